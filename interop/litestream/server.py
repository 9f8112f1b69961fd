"""A jeton of its own, and programs that this run started and ends."""

import base64
import http.client
import json
import os
import socket
import subprocess
import time
import urllib.parse

CONFIGURATION = """\
[server]
listen = "127.0.0.1:{port}"

[admin]
listen = "127.0.0.1:{admin}"

[storage]
url = "sqlite:jeton.db"

[realm.main]
issuer = "http://127.0.0.1:{port}"
token = {{ format = "stored", lifetime = "1h" }}
limits = {{ client = "off", source = "off" }}
"""


class Failed(Exception):
    """What the drill says when it cannot go on."""


class Process:
    """Ends by the process it is and no other."""

    def __init__(self, command, log):
        self.log = log
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def kill(self):
        self.popen.kill()
        self.popen.wait(10)

    def end(self):
        self.popen.terminate()
        self.popen.wait(30)


def free_port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


class Jeton:
    """One realm with stored tokens, in a folder of its own."""

    def __init__(self, program, home):
        self.program, self.home = program, home
        self.port = free_port()
        home.mkdir()
        self.configuration = home / "jeton.toml"
        self.configuration.write_text(CONFIGURATION.format(port=self.port, admin=free_port()))
        self.process = None

    def start(self):
        command = [self.program, "serve", "--config", self.configuration]
        self.process = Process(command, self.home / "jeton.log")
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if self.process.popen.poll() is not None:
                raise Failed(f"jeton ended at once: {self.process.log.read_text()[-400:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed("jeton does not listen")

    def kill(self):
        self.process.kill()

    def end(self):
        self.process.end()

    def command(self, *words):
        done = subprocess.run(
            [self.program, *map(str, words), "--config", self.configuration, "--json"],
            capture_output=True, text=True, timeout=120, env={**os.environ})
        if done.returncode != 0:
            raise Failed(f"jeton {' '.join(map(str, words))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def post(self, connection, path, form, client, secret):
        quoted = ":".join(urllib.parse.quote_plus(part) for part in (client, secret))
        headers = {
            "Authorization": "Basic " + base64.b64encode(quoted.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", path, urllib.parse.urlencode(form), headers)
        response = connection.getresponse()
        return response.status, response.read()
