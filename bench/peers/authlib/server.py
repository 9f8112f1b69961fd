"""A token endpoint for the client-credentials grant: one client in memory, JWTs signed with ES256."""

import hmac

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask
from joserfc.jwk import ECKey, KeySet


class Client(ClientMixin):
    client_id = "client"
    client_secret = "vQ0Wn1h6VdoEwQ6C6ZbCk4yvX4z5v6p6m3m0Q8x2S3c"

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return scope or ""

    def check_client_secret(self, client_secret):
        return hmac.compare_digest(self.client_secret, client_secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


class Tokens(JWTBearerTokenGenerator):
    # It may be asked for every token; made once, as a careful deployment would.
    keys = KeySet([ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256"})])

    def get_jwks(self):
        return self.keys


CLIENTS = {Client.client_id: Client()}

app = Flask(__name__)
server = AuthorizationServer(app, query_client=CLIENTS.get, save_token=lambda token, request: None)
server.register_grant(ClientCredentialsGrant)
server.register_token_generator("default", Tokens("https://auth.example", alg="ES256", expires_generator=lambda *_: 600))


@app.post("/token")
def token():
    return server.create_token_response()
