"""What every Python client is put through, and what is printed about it: one line a check, divided by tabs.

A client brings `fetch(endpoint, client_id, secret, method)`, which gives the token or raises, and
`is_invalid_client(error)`, which knows the library's own error type; where it can, `is_active(realm, client, token)` and
`revoke(realm, client, token)`, too.
"""

import json
import os
import sys
import traceback
from importlib.metadata import version

import joserfc.errors
import jwt
import requests
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

with open(os.environ["INTEROP_FACTS"], encoding="utf-8") as file:
    FACTS = json.load(file)
REALMS = FACTS["realms"]
failures = 0


def check(name, act):
    global failures
    try:
        act()
        print("ok", name, sep="\t")
    except Exception as error:
        failures += 1
        traceback.print_exc()
        print("failed", name, f"{type(error).__name__}: {error}", sep="\t")


def run(package, fetch, is_invalid_client, methods, colon, after=None):
    """`after`: `is_active` and `revoke`. `colon`: methods that can tell an identifier with a colon from its secret."""
    print("version", version(package), sep="\t")
    realm = REALMS[0]
    for method in methods:
        for kind in "plain", "hard", "umlaut":
            check(f"{kind} {method}", lambda: token_of(fetch, realm, kind, method))
        if method in colon:
            check(f"colon {method}", lambda: token_of(fetch, realm, "colon", method))
        else:
            check(f"colon {method} refused", lambda: refused(fetch, is_invalid_client, realm, "colon", method))
        check(f"wrong secret {method}", lambda: refused(fetch, is_invalid_client, realm, "plain", method, "wrong"))
    check("another token each time", lambda: two_differ(fetch, realm, methods[0]))
    if after:
        check("introspected", lambda: introspected(fetch, realm, *after))
        check("revoked", lambda: revoked(fetch, realm, *after))
    for verify, library in (by_pyjwt, "PyJWT"), (by_joserfc, "joserfc"):
        for at, realm in enumerate(REALMS):
            other = REALMS[at - 1]
            check(f"{library} refuses {realm['algorithm']} of another realm",
                  lambda: not_verified(verify, token_of(fetch, realm, "plain", methods[0]), realm, other))
            check(f"verified\t{library}\t{realm['algorithm']}",
                  lambda: verify(token_of(fetch, realm, "plain", methods[0]), realm, realm))
    sys.exit(1 if failures else 0)


def token_of(fetch, realm, kind, method):
    client = realm["clients"][kind]
    token = fetch(realm["token_endpoint"], client["id"], client["secret"], method)
    claims = jwt.decode(token, options={"verify_signature": False})
    wanted = {"client_id": client["id"], "sub": client["id"], "scope": FACTS["scope"], "iss": realm["issuer"]}
    found = {name: claims.get(name) for name in wanted}
    assert found == wanted, found
    return token


def refused(fetch, is_invalid_client, realm, kind, method, secret=None):
    client = realm["clients"][kind]
    try:
        fetch(realm["token_endpoint"], client["id"], secret or client["secret"], method)
    except Exception as error:
        if is_invalid_client(error):
            return
        raise
    raise AssertionError("a token came back")


def two_differ(fetch, realm, method):
    assert token_of(fetch, realm, "plain", method) != token_of(fetch, realm, "plain", method)


def introspected(fetch, realm, is_active, _):
    token = token_of(fetch, realm, "hard", "basic")
    assert is_active(realm, realm["clients"]["hard"], token)
    assert not is_active(realm, realm["clients"]["hard"], token[:-8])
    # Other clients' tokens are none of its business.
    assert not is_active(realm, realm["clients"]["plain"], token)


def revoked(fetch, realm, is_active, revoke):
    token = token_of(fetch, realm, "hard", "basic")
    revoke(realm, realm["clients"]["hard"], token)
    assert not is_active(realm, realm["clients"]["hard"], token)


def by_pyjwt(token, realm, keys_of):
    key = jwt.PyJWKClient(keys_of["jwks_uri"]).get_signing_key_from_jwt(token)
    # PyJWT knows Ed25519 by the name that RFC 8037 gave it, as jeton does.
    jwt.decode(token, key, algorithms=[realm["algorithm"]], audience=FACTS["audience"], issuer=realm["issuer"],
               options={"require": ["exp", "iat", "iss", "sub", "aud", "jti"]})


def by_joserfc(token, realm, keys_of):
    keys = KeySet.import_key_set(requests.get(keys_of["jwks_uri"], timeout=10).json())
    decoded = joserfc_jwt.decode(token, keys, algorithms=[realm["algorithm"]])
    assert decoded.header["typ"] == "at+jwt", decoded.header
    essential = {"essential": True}
    joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": realm["issuer"]},
        aud={"essential": True, "value": FACTS["audience"]},
        exp=essential, iat=essential, sub=essential, jti=essential,
    ).validate(decoded.claims)


def not_verified(verify, token, realm, other):
    try:
        verify(token, realm, other)
    except (jwt.PyJWTError, joserfc.errors.JoseError, ValueError):
        return
    raise AssertionError("another realm's keys verified it")
