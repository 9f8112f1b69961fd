"""Writes what a run needs into its folder: the server's configuration, its clients, and the facts that clients are told.

    prepare.py JETON FOLDER PORT        PORT: where the realms are reached
"""

import json
import subprocess
import sys
from pathlib import Path

JETON, FOLDER, PORT = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
SCOPE = "read write"
AUDIENCE = "https://api.example.com"
# What some rule treats apart: form encoding (space + % & =), Basic (:), JSON and headers (" \\). `%41` is no escape here: read
# as one, the secret is another. No colon in the identifier, since raw Basic cannot carry it (RFC 7617 section 2).
HARD = 'partner 7+100%/"&=\\', 'p:w +%41&"=\\/?#;~'
# What UTF-8 and Latin-1 write differently; more than RFC 6749 appendix A permits.
UMLAUT = "Händler 7", "p:wü +%41"
COLON = "urn:partner:7", "p:w +%41"


def create(realm, client_id, secret):
    command = [JETON, "--config", FOLDER / "jeton.toml", "client", "create", client_id, "--realm", realm,
               "--scope", SCOPE, "--json"]
    if secret:
        command.append("--secret-stdin")
    made = subprocess.run(command, input=(secret or "").encode(), stdout=subprocess.PIPE, check=True, timeout=60)
    return {"id": client_id, "secret": secret or json.loads(made.stdout)["client_secret"]}


settings = """\
[server]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

[storage]
url = "sqlite:jeton.db"
"""
facts = {"scope": SCOPE, "audience": AUDIENCE, "realms": []}
for algorithm in "EdDSA", "ES256", "RS256":
    realm = algorithm.lower()
    issuer = f"http://127.0.0.1:{PORT}/{realm}"
    settings += f"""
[realm.{realm}]
issuer = "{issuer}"
audience = "{AUDIENCE}"
token = {{ format = "jwt", algorithm = "{algorithm}" }}
"""
    facts["realms"].append({
        "algorithm": algorithm,
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth2/token",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "introspection_endpoint": f"{issuer}/oauth2/introspect",
        "revocation_endpoint": f"{issuer}/oauth2/revoke",
        "verify": f"{issuer}/oauth2/verify",
    })
(FOLDER / "jeton.toml").write_text(settings)
for realm in facts["realms"]:
    name = realm["algorithm"].lower()
    realm["clients"] = {
        "plain": create(name, "partner-7", None),
        "hard": create(name, *HARD),
        "umlaut": create(name, *UMLAUT),
        "colon": create(name, *COLON),
    }
(FOLDER / "facts.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
