"""requests_oauth2client without secrets: it signs, shows certificates of requests, and proves possession (DPoP), nonces too."""

from pathlib import Path

import requests
from jwskate import Jwk
from requests_oauth2client import DPoPToken, EndpointError, InvalidClient, OAuth2Client, PrivateKeyJwt, PublicApp

import proofs


def fetch(realm, auth, dpop, certificate=None):
    session = requests.Session()
    if certificate:
        session.cert = (certificate["certificate"], certificate["key"])
    with session:
        client = OAuth2Client(realm["token_endpoint"], auth=auth, session=session)
        token = client.client_credentials(scope=proofs.FACTS["scope"], dpop=dpop)
    answer = {"access_token": str(token.access_token), "token_type": token.token_type}
    if isinstance(token, DPoPToken):
        answer["jkt"] = token.dpop_key.dpop_jkt
    return answer


def by_key(realm, key, algorithm, dpop):
    private = Jwk.from_pem(Path(key["key"]).read_bytes(), kid=key["kid"], alg=algorithm)
    return fetch(realm, PrivateKeyJwt(key["id"], private, aud=realm["issuer"]), dpop)


def by_certificate(realm, certificate, _is_self_signed, dpop):
    return fetch(realm, PublicApp(certificate["id"]), dpop, certificate)


def is_invalid_client(error):
    return isinstance(error, InvalidClient)


proofs.prove("requests_oauth2client", by_key, by_certificate, is_invalid_client,
             lambda error: isinstance(error, EndpointError), dpop=True)
