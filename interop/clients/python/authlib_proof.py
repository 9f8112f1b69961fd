"""Authlib without secrets: private_key_jwt for the issuer, and a certificate of requests. It knows no DPoP."""

from pathlib import Path

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, OKPKey, RSAKey

import proofs


def fetch(session, realm):
    return session.fetch_token(realm["token_endpoint"], grant_type="client_credentials", scope=proofs.FACTS["scope"])


# A key in PEM is taken for one of RSA.
KINDS = {"ES256": ECKey, "PS256": RSAKey, "EdDSA": OKPKey}


def by_key(realm, key, algorithm, _dpop):
    private = KINDS[algorithm].import_key(Path(key["key"]).read_text(encoding="ascii"))
    with OAuth2Session(key["id"], private,
                       token_endpoint_auth_method="private_key_jwt") as session:
        # What it calls the token endpoint here becomes the audience, and that is the issuer.
        session.register_client_auth_method(
            PrivateKeyJWT(realm["issuer"], alg=algorithm, headers={"kid": key["kid"]}))
        return fetch(session, realm)


def by_certificate(realm, certificate, _is_self_signed, _dpop):
    # "none" sends the identifier alone.
    with OAuth2Session(certificate["id"], token_endpoint_auth_method="none") as session:
        session.cert = (certificate["certificate"], certificate["key"])
        return fetch(session, realm)


def is_invalid_client(error):
    return isinstance(error, OAuthError) and error.error == "invalid_client"


proofs.prove("authlib", by_key, by_certificate, is_invalid_client,
             lambda error: isinstance(error, OAuthError), dpop=False)
