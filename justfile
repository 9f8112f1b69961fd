# `just` lists these. Nothing here is more than a short name for a command.

# What CI runs: formatting, clippy, licences and bans, all tests.
check:
    bash scripts/test

# Tests alone: just test, just test -p jeton-engine, just test scope.
test *arguments:
    cargo nextest run --workspace --locked {{arguments}}

# The rules of the house alone.
tidy:
    cargo test --locked -p jeton --test tidy

# Invented input for every reader: just fuzz, just fuzz 600, just fuzz 600 jws.
fuzz *arguments:
    bash scripts/fuzz {{arguments}}

# Brings every file into shape.
format:
    cargo fmt --all

# Known vulnerabilities of dependencies; needs the network.
advisories:
    cargo deny check advisories

# Takes over changed snapshots after looking at each.
snapshots:
    cargo insta review
