"""What a Python client is put through that has no secret, and what is printed about it: one line a check, divided by tabs.

A client brings `by_key(realm, key, algorithm, dpop)` and `by_certificate(realm, certificate, is_self_signed, dpop)`, which give
the token endpoint's answer as a dict or raise, `is_invalid_client(error)` and `is_refused(error)`. Where the library knows DPoP, `dpop` says that
the token shall be bound, and the answer has the key's thumbprint under `jkt`.
"""

import base64
import hashlib
import json
import os
import ssl
import sys
import traceback
from importlib.metadata import version
from pathlib import Path

import jwt

FACTS = json.loads(Path(os.environ["INTEROP_FACTS"]).read_text(encoding="utf-8"))
MAIN, NONCE, FAPI2 = (FACTS["realms"][name] for name in ("main", "nonce", "fapi2"))
failures = 0


def check(name, detail, act):
    global failures
    try:
        act()
        print("ok", name, detail, sep="\t")
    except Exception as error:
        failures += 1
        traceback.print_exc()
        print("failed", f"{name} {detail}", " ".join(f"{type(error).__name__}: {error}".split()), sep="\t")


def prove(package, by_key, by_certificate, is_invalid_client, is_refused, dpop):
    print("version", version(package), sep="\t")

    def keyed(realm, name, dpop=False):
        key = FACTS["keys"][name]
        return by_key(realm, key, key["algorithm"], dpop)

    def shown(realm, name, dpop=False):
        return by_certificate(realm, FACTS["certificates"][name], name == "self", dpop)

    for algorithm in "ES256", "PS256", "EdDSA":
        check("private_key_jwt", algorithm, lambda: is_bearer(keyed(MAIN, algorithm)))
    check("refused", "another key", lambda: refused(lambda: keyed(MAIN, "other"), is_invalid_client))
    check("tls_client_auth", "yes", lambda: is_bound(shown(MAIN, "tls"), "tls"))
    check("self_signed", "yes", lambda: is_bound(shown(MAIN, "self"), "self"))
    check("fapi2", "mTLS+mTLS", lambda: is_bound(shown(FAPI2, "tls"), "tls"))
    check("refused", "unbound", lambda: refused(lambda: keyed(FAPI2, "ES256"), is_refused))
    if dpop:
        check("DPoP", "key", lambda: is_dpop(keyed(MAIN, "ES256", True)))
        check("nonce", "key", lambda: is_dpop(keyed(NONCE, "ES256", True)))
        check("fapi2", "key+DPoP", lambda: is_dpop(keyed(FAPI2, "PS256", True)))
        check("fapi2", "mTLS+DPoP", lambda: is_dpop(shown(FAPI2, "tls", True)))
    sys.exit(1 if failures else 0)


def confirmation(answer):
    return jwt.decode(answer["access_token"], options={"verify_signature": False}).get("cnf")


def is_bearer(answer):
    assert answer["token_type"].lower() == "bearer", answer["token_type"]
    assert confirmation(answer) is None


def is_dpop(answer):
    assert answer["token_type"].lower() == "dpop", answer["token_type"]
    assert confirmation(answer)["jkt"] == answer["jkt"]


def is_bound(answer, name):
    pem = Path(FACTS["certificates"][name]["certificate"]).read_text(encoding="ascii")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
    thumbprint = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert confirmation(answer)["x5t#S256"] == thumbprint


def refused(act, is_right):
    try:
        act()
    except Exception as error:
        if is_right(error):
            return
        raise
    raise AssertionError("a token came back")
