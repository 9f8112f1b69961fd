"""jeton itself: one realm in a folder of its own, run with the real commands."""

import base64
import http.client
import json
import subprocess
import time
import urllib.parse

from process import Failed, Process
from wire import free_port

AUDIENCE = "https://api.example.com"
OTHER_AUDIENCE = "https://other.example.com"
# With characters that are easily lost between a configuration, a form encoding and a header.
GATEWAY_SECRET = "gateway's sécret, %41+41 &=:"

CONFIGURATION = """\
[server]
listen = "127.0.0.1:{port}"
trusted_proxies = ["127.0.0.1/32"]

[admin]
listen = "127.0.0.1:{admin}"

[realm.main]
issuer = "http://127.0.0.1:{port}"
scopes = ["orders:read", "orders:write"]
audience = "{audience}"
token.lifetime = "10m"
"""


class Jeton:
    def __init__(self, program, place):
        self.program = program
        self.place = place
        self.port = free_port()
        place.mkdir()
        self.configuration = place / "jeton.toml"
        text = CONFIGURATION.format(port=self.port, admin=free_port(), audience=AUDIENCE)
        self.configuration.write_text(text)
        gateway = {"client_id": "gateway", "role": "resource_server", "client_secret": GATEWAY_SECRET}
        self.command("client", "import", "--realm", "main", reading=json.dumps(gateway))
        self.start()

    def start(self):
        command = [self.program, "serve", "--config", self.configuration]
        self.process = Process(command, self.place / "jeton.log")
        self.process.listens(self.port)

    def end(self):
        self.process.resume()
        self.process.end()

    def command(self, *words, reading=None):
        """Runs a command; what it prints as JSON."""
        done = subprocess.run(
            [self.program, *words, "--config", self.configuration, "--json"],
            input=reading, capture_output=True, text=True, timeout=30,
        )
        if done.returncode != 0:
            raise Failed(f"jeton {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def post(self, path, form, client, secret, *more):
        """A request of a client that authenticates with its secret (RFC 6749 section 2.3.1)."""
        quoted = ":".join(urllib.parse.quote_plus(part) for part in (client, secret))
        headers = {
            "Authorization": "Basic " + base64.b64encode(quoted.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
            **dict(more),
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, urllib.parse.urlencode(form), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class Caller:
    """A client of the realm that calls the API."""

    def __init__(self, jeton, name):
        self.jeton = jeton
        self.client_id = f"caller-{name}"
        self.subject = f"subject-of-{name}"
        made = jeton.command(
            "client", "create", self.client_id, "--realm", "main", "--subject", self.subject,
            "--scope", "orders:read orders:write", "--audience", AUDIENCE, "--audience", OTHER_AUDIENCE,
        )
        self.secret = made["client_secret"]

    def bound_token(self, prover):
        """A token that is bound to a key (RFC 9449 section 5)."""
        proof = prover.proof("POST", f"http://127.0.0.1:{self.jeton.port}/oauth2/token")
        form = {"grant_type": "client_credentials", "scope": "orders:read", "resource": AUDIENCE}
        status, body = self.jeton.post("/oauth2/token", form, self.client_id, self.secret, proof)
        if status != 200 or json.loads(body)["token_type"] != "DPoP":
            raise Failed(f"no bound token: {status} {body.decode()}")
        return json.loads(body)["access_token"]

    def token(self, scope="orders:read", audience=AUDIENCE):
        form = {"grant_type": "client_credentials", "scope": scope, "resource": audience}
        until = time.monotonic() + 3
        while True:
            status, body = self.jeton.post("/oauth2/token", form, self.client_id, self.secret)
            if status == 200:
                return json.loads(body)["access_token"]
            # The server hears within a second of what was done behind its back.
            if time.monotonic() > until:
                raise Failed(f"no token: {status} {body.decode()}")
            time.sleep(0.1)

    def revoke(self, token):
        status, body = self.jeton.post("/oauth2/revoke", {"token": token}, self.client_id, self.secret)
        if status != 200:
            raise Failed(f"the token was not revoked: {status} {body.decode()}")

    def disable(self):
        self.jeton.command("client", "disable", self.client_id, "--realm", "main")


def claims(token):
    """What a JWT says, unchecked."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
