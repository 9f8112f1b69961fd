"""Authlib: an OAuth2Session of its integration with requests."""

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

import checks


def fetch(endpoint, client_id, secret, method):
    with OAuth2Session(client_id, secret, scope=checks.FACTS["scope"], timeout=10,
                       token_endpoint_auth_method=f"client_secret_{method}") as session:
        return session.fetch_token(endpoint, grant_type="client_credentials")["access_token"]


def is_invalid_client(error):
    return isinstance(error, OAuthError) and error.error == "invalid_client"


def is_active(realm, client, token):
    with OAuth2Session(client["id"], client["secret"], timeout=10) as session:
        answer = session.introspect_token(realm["introspection_endpoint"], token=token)
        answer.raise_for_status()
        return answer.json()["active"]


def revoke(realm, client, token):
    with OAuth2Session(client["id"], client["secret"], timeout=10) as session:
        session.revoke_token(realm["revocation_endpoint"], token=token).raise_for_status()


checks.run("authlib", fetch, is_invalid_client, methods=["basic", "post"], colon=["post"], after=(is_active, revoke))
