"""The gateways: which files of a recipe each one runs on, and how it is started.

The files are those of the recipe to the letter; only the three ports of the example are replaced by
free ones, and paths below /etc by the folder of the run.
"""

import os
import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from jeton import GATEWAY_SECRET
from process import Failed, Process
from wire import free_port, send

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGES = ROOT / "docs/operate/gateways"

# The ports of the examples: the gateway's, jeton's, the API's.
GATEWAY_PORT, JETON_PORT, API_PORT = "8000", "8080", "9000"


class Gateway(NamedTuple):
    name: str
    page: str
    # Relative to this folder: what the page shows.
    recipe: tuple
    # What surrounds it on a real machine, for a process of our own; PLACE is the folder of the run.
    frame: tuple
    # The program and its arguments.
    command: tuple
    # Paths of the recipe that are elsewhere in the run.
    paths: tuple = ()
    # "asks" jeton about each request, or is "offline" and checks signatures only.
    way: str = "asks"
    # Whether it can hold a token to the key that it is bound to.
    checks_proofs: bool = True


GATEWAYS = (
    Gateway(
        "nginx", "nginx.md", ("nginx/jeton.conf",), ("nginx/frame.conf",),
        ("nginx", "-p", "PLACE", "-e", "PLACE/error.log", "-c", "PLACE/frame.conf"),
    ),
    Gateway(
        "envoy-ext-authz", "envoy-ext-authz.md", ("envoy-ext-authz/envoy.yaml",), (),
        ("envoy", "-c", "PLACE/envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1",
         "--log-level", "warning"),
    ),
    Gateway(
        "envoy-jwt-authn", "envoy-jwt-authn.md", ("envoy-jwt-authn/envoy.yaml",), (),
        ("envoy", "-c", "PLACE/envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1",
         "--log-level", "warning"),
        way="offline",
    ),
    Gateway(
        "traefik", "traefik.md", ("traefik/traefik.yml", "traefik/jeton.yml"), (),
        ("traefik", "--configFile=PLACE/traefik.yml"),
        paths=("/etc/traefik/jeton.yml",),
    ),
    Gateway(
        "caddy", "caddy.md", ("caddy/Caddyfile",), (),
        ("caddy", "run", "--config", "PLACE/Caddyfile", "--adapter", "caddyfile"),
    ),
    Gateway(
        "haproxy", "haproxy.md", ("haproxy/haproxy.cfg", "haproxy/jeton.lua"), (),
        ("haproxy", "-db", "-f", "PLACE/haproxy.cfg"),
        paths=("/etc/haproxy/jeton.lua",),
    ),
    Gateway(
        "apache", "apache.md", ("apache/jeton.conf", "apache/jeton.lua"), ("apache/frame.conf",),
        ("apache2", "-DFOREGROUND", "-f", "PLACE/frame.conf"),
        paths=("/etc/apache2/jeton-secret.conf", "/etc/apache2/jeton.lua"),
        checks_proofs=False,
    ),
)


class Running:
    """A gateway at work between callers and the API."""

    def __init__(self, gateway, place, jeton_port, api_port):
        self.port = free_port()
        place.mkdir()
        # Workers of some gateways are not who started them.
        place.chmod(0o755)
        ports = {GATEWAY_PORT: self.port, JETON_PORT: jeton_port, API_PORT: api_port}
        for file in (*gateway.recipe, *gateway.frame):
            text = (HERE / file).read_text()
            if file in gateway.recipe:
                text = re.sub(r"\b(8000|8080|9000)\b", lambda found: str(ports[found[1]]), text)
                for path in gateway.paths:
                    text = text.replace(path, str(place / Path(path).name))
            (place / Path(file).name).write_text(text.replace("PLACE", str(place)))
        secret = place / "jeton-secret.conf"
        secret.touch(0o600)
        secret.write_text(f'OIDCOAuthClientSecret "{GATEWAY_SECRET}"\n')
        program, *arguments = (word.replace("PLACE", str(place)) for word in gateway.command)
        found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
        if found is None:
            raise Failed(f"there is no {program}")
        # Where Caddy and others would look for files of their own.
        environment = {"PATH": os.environ["PATH"], "HOME": str(place)}
        self.process = Process([found, *arguments], place / "output.log", environment)
        try:
            self.process.listens(self.port)
            self.answers()
        except Failed:
            self.process.end()
            raise

    def answers(self, seconds=15.0):
        """Waits until the gateway says no by itself: some listen first and read the rest later."""
        until = time.monotonic() + seconds
        while (status := send(self.port).status) != 401:
            if time.monotonic() > until:
                raise Failed(f"said {status} without a token; its last words: {self.process.last_words()}")
            time.sleep(0.1)

    def end(self):
        self.process.end()
