"""Prints one row for each client: what it said about itself, held against what was seen on the wire.

    report.py FOLDER NAME...        exits with 1 when a client failed, or said what the wire does not show
"""

import sys
from pathlib import Path

FOLDER, NAMES = Path(sys.argv[1]), sys.argv[2:]
COLUMNS = ["client", "version", "Basic", "post", "hard characters", "ü", "colon in the id", "token verified by", "asked about", "result"]


def lines(name):
    path = FOLDER / name
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def verified(oks):
    """`PyJWT (EdDSA ES256)`: each library with the algorithms of the tokens that it verified."""
    libraries = {}
    for ok in oks:
        if ok[0] == "verified":
            libraries.setdefault(ok[1], []).append(ok[2])
    return ", ".join(f"{library} ({' '.join(algorithms)})" for library, algorithms in libraries.items())


def methods(oks, kind):
    return " ".join(ok[0].split()[1] for ok in oks if ok[0] in (f"{kind} basic", f"{kind} post"))


def row(name):
    said = lines(f"{name}.out")
    seen = {(line[0], line[1]) for line in lines(f"{name}.wire")}
    oks = [line[1:] for line in said if line[0] == "ok"]
    failed = [" ".join(line[1:]) for line in said if line[0] == "failed"]
    version = next((line[1] for line in said if line[0] == "version"), "")
    # Not the plain client's, which looks the same in every spelling. "raw" is what "raw Latin-1" is in ASCII.
    ways = {way.removeprefix("basic ") for kind, way in seen if kind in ("hard", "umlaut") and way.startswith("basic")}
    ways = sorted(way for way in ways if not any(other.startswith(f"{way} ") for other in ways))
    for ok in oks:
        kind, _, method = ok[0].partition(" ")
        if method in ("basic", "post") and not any(k == kind and w.startswith(method) for k, w in seen):
            failed.append(f"{ok[0]}: not seen on the wire")
    if not methods(oks, "plain"):
        failed.append("no token")
    for failure in failed:
        print(f"{name}: {failure}", file=sys.stderr)
    result = "FAILED" if failed else "ok"
    basic = " and ".join(ways) if "basic" in methods(oks, "plain") else "-"
    post = "yes" if "post" in methods(oks, "plain") else "-"
    return [name, version, basic, post, *(methods(oks, kind) for kind in ("hard", "umlaut", "colon")),
            verified(oks), " ".join(ok[0] for ok in oks if ok[0] in ("introspected", "revoked")), result]


rows = [row(name) for name in NAMES]
widths = [max(len(line[at]) for line in [COLUMNS, *rows]) for at in range(len(COLUMNS))]
print()
for line in [COLUMNS, ["-" * width for width in widths], *rows]:
    print(" | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
print()
passed = sum(line[-1] == "ok" for line in rows)
print(f"{passed} passed, {len(rows) - passed} failed")
sys.exit(0 if passed == len(rows) else 1)
