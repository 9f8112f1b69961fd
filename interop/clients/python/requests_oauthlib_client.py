"""requests-oauthlib: a session of oauthlib's BackendApplicationClient."""

import os

from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

import checks

# The server is on loopback.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"


def fetch(endpoint, client_id, secret, method):
    client = BackendApplicationClient(client_id=client_id, scope=checks.FACTS["scope"].split())
    with OAuth2Session(client=client) as session:
        if method == "basic":
            token = session.fetch_token(endpoint, auth=HTTPBasicAuth(client_id, secret), timeout=10)
        else:
            token = session.fetch_token(endpoint, client_secret=secret, include_client_id=True, timeout=10)
        return token["access_token"]


def is_invalid_client(error):
    return isinstance(error, InvalidClientError)


checks.run("requests-oauthlib", fetch, is_invalid_client, methods=["basic", "post"], colon=["post"])
