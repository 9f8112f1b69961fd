"""Writes what a run without secrets needs into its folder: certificates, keys, the server's configuration, its clients, the facts.

    prepare_proofs.py JETON FOLDER
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

JETON, FOLDER = sys.argv[1], Path(sys.argv[2])
SCOPE = "read write"
ALGORITHMS = "ES256", "PS256", "EdDSA"


def run(*command):
    return subprocess.run(command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, timeout=60).stdout


def authority(name):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2",
        "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")


def certificate(name, by, usage, alternative):
    """By an authority, or by itself."""
    signed = ["-CA", f"{by}.pem", "-CAkey", f"{by}.key"] if by else []
    run("openssl", "req", "-x509", *signed, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
        "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
        "-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"extendedKeyUsage={usage}",
        "-addext", f"subjectAltName={alternative}")


def create(realm, client_id, *how):
    run(JETON, "client", "create", client_id, "--realm", realm, "--scope", SCOPE, *how)


authority("authority")
authority("clients")
certificate("server", "authority", "serverAuth", "DNS:localhost")
certificate("tls", "clients", "clientAuth", "DNS:tls.example.com")
certificate("self", None, "clientAuth", "DNS:self.example.com")
keys = {}
for name in *ALGORITHMS, "other":
    algorithm = name if name in ALGORITHMS else "ES256"
    public = run(JETON, "client", "keygen", "--algorithm", algorithm, "--out", f"{name}.key.pem")
    (FOLDER / f"{name}.jwks.json").write_bytes(public)
    keys[name] = {"id": f"key-{name}", "algorithm": algorithm, "kid": json.loads(public)["keys"][0]["kid"],
                  "key": str(FOLDER / f"{name}.key.pem")}
# Only who does not sign in its own name is refused.
keys["other"]["id"] = keys["ES256"]["id"]
keys["other"]["kid"] = keys["ES256"]["kid"]

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
settings = f"""\
[server]
listen = "127.0.0.1:{port}"
[server.tls]
certificate = "server.pem"
key = "server.key"
client_certificates = "optional"
client_ca = "clients.pem"

[admin]
listen = "127.0.0.1:0"

[storage]
url = "sqlite:jeton.db"
"""
realms = {}
for realm, more in {"main": "", "nonce": 'dpop.nonces = "required"\n', "fapi2": 'profile = "fapi2"\n'}.items():
    issuer = f"https://localhost:{port}/{realm}"
    settings += f'\n[realm.{realm}]\nissuer = "{issuer}"\n{more}'
    realms[realm] = {"issuer": issuer, "token_endpoint": f"{issuer}/oauth2/token"}
(FOLDER / "jeton.toml").write_text(settings)
for realm in realms:
    for algorithm in ALGORITHMS:
        create(realm, f"key-{algorithm}", "--jwks-file", f"{algorithm}.jwks.json")
    bound = ["--sender-constrained", "mtls=allowed"]
    create(realm, "tls", "--tls-san-dns", "tls.example.com", *bound)
    create(realm, "self", "--jwks-file", "self.pem", "--authentication", "self_signed_tls_client_auth", *bound)
(FOLDER / "facts.json").write_text(json.dumps({
    "scope": SCOPE,
    "realms": realms,
    "keys": keys,
    "certificates": {name: {"id": name, "certificate": str(FOLDER / f"{name}.pem"), "key": str(FOLDER / f"{name}.key")}
                     for name in ("tls", "self")},
    "authority": str(FOLDER / "authority.pem"),
}))
