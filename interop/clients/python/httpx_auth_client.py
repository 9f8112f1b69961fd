"""httpx-auth: the token is fetched on the way to a resource, and kept; it knows Basic alone."""

import httpx
from httpx_auth import InvalidGrantRequest, OAuth2, OAuth2ClientCredentials

import checks


def fetch(endpoint, client_id, secret, method):
    # It keeps tokens for the whole process; every fetch here is to be a real one.
    OAuth2.token_cache.clear()
    auth = OAuth2ClientCredentials(endpoint, client_id, secret, scope=checks.FACTS["scope"], timeout=10)
    with httpx.Client(auth=auth) as client:
        # The resource is the realm's own check for gateways.
        resource = next(realm["verify"] for realm in checks.REALMS if realm["token_endpoint"] == endpoint)
        answer = client.get(resource, params={"scope": "read", "audience": checks.FACTS["audience"]})
        answer.raise_for_status()
        return answer.request.headers["Authorization"].removeprefix("Bearer ")


def is_invalid_client(error):
    return isinstance(error, InvalidGrantRequest) and str(error).startswith("invalid_client")


checks.run("httpx-auth", fetch, is_invalid_client, methods=["basic"], colon=[])
