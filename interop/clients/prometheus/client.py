"""Prometheus, scraping targets with `oauth2:` of its configuration; the targets verify the token with PyJWT.

    client.py PROMETHEUS FOLDER     prints one line a check, divided by tabs
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt

PROGRAM, FOLDER = sys.argv[1], Path(sys.argv[2])
FACTS = json.loads(Path(os.environ["INTEROP_FACTS"]).read_text(encoding="utf-8"))
REALMS = {realm["algorithm"]: realm for realm in FACTS["realms"]}
# Every scrape asks for these; a job's name says whose token it comes with.
JOBS = [*((algorithm, "plain") for algorithm in REALMS), ("EdDSA", "hard"), ("EdDSA", "umlaut"), ("EdDSA", "colon")]
# The job whose secret is wrong.
WRONG = "wrong"
SECONDS_MAX = 60


class Target(BaseHTTPRequestHandler):
    """Gives a figure to who brings a token of this path's client, signed by this path's realm."""

    keys = {algorithm: jwt.PyJWKClient(realm["jwks_uri"]) for algorithm, realm in REALMS.items()}
    # The tokens that were accepted at each path, one for each scrape.
    accepted = {}
    refused = []

    def do_GET(self):
        try:
            self.verify(self.headers.get("Authorization", "").removeprefix("Bearer "))
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            self.refused.append(f"{self.path}: {error}")
            self.send_response(401)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"answered 1\n")

    def verify(self, token):
        algorithm, kind = self.path.strip("/").split("/")
        realm = REALMS[algorithm]
        key = self.keys[algorithm].get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, algorithms=[algorithm], audience=FACTS["audience"], issuer=realm["issuer"])
        wanted = {"client_id": realm["clients"][kind]["id"], "scope": FACTS["scope"]}
        found = {name: claims.get(name) for name in wanted}
        if found != wanted:
            raise ValueError(found)
        self.accepted.setdefault((algorithm, kind), []).append(token)

    def log_message(self, *_):
        pass


def job(name, algorithm, kind, target, secret=None):
    client = REALMS[algorithm]["clients"][kind]
    return {
        "job_name": name,
        "metrics_path": f"/{algorithm}/{kind}",
        "static_configs": [{"targets": [target]}],
        "oauth2": {
            "client_id": client["id"],
            "client_secret": secret or client["secret"],
            "token_url": REALMS[algorithm]["token_endpoint"],
            "scopes": FACTS["scope"].split(),
        },
    }


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def targets(port):
    """Health and last error of each job, or nothing while Prometheus starts."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=5) as answer:
            active = json.load(answer)["data"]["activeTargets"]
    except OSError:
        return {}
    return {target["labels"]["job"]: (target["health"], target["lastError"]) for target in active}


def settled(found):
    """Whether every job was scraped well twice, and the wrong one has failed."""
    return all(len(Target.accepted.get(job, [])) >= 2 for job in JOBS) and found.get(WRONG, ("", ""))[0] == "down"


def main():
    version = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    print("version", re.search(rb"version (\d+[.\d]*)", version.stdout)[1].decode(), sep="\t")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = f"127.0.0.1:{server.server_port}"
    jobs = [job(f"{algorithm} {kind}", algorithm, kind, target) for algorithm, kind in JOBS]
    jobs.append(job(WRONG, "EdDSA", "plain", target, secret="wrong"))
    settings = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
    # JSON is YAML.
    (FOLDER / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
    port = free_port()
    with (FOLDER / "prometheus.log").open("wb") as log:
        prometheus = subprocess.Popen(
            [PROGRAM, f"--config.file={FOLDER}/prometheus.yml", f"--storage.tsdb.path={FOLDER}/prometheus",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        end = time.monotonic() + SECONDS_MAX
        found = {}
        while time.monotonic() < end and prometheus.poll() is None and not settled(found):
            time.sleep(0.5)
            found = targets(port)
    finally:
        prometheus.terminate()
        prometheus.wait(30)
    sys.exit(0 if report(found) else 1)


def report(found):
    results = {}
    for algorithm, kind in JOBS:
        result = found.get(f"{algorithm} {kind}", ("missing", "no such job"))
        if kind == "plain":
            results[f"verified\tPyJWT\t{algorithm}"] = result
        if algorithm == "EdDSA":
            results[f"{kind} basic"] = result
    for name, (health, error) in results.items():
        print("ok", name, sep="\t") if health == "up" else print("failed", name, error, sep="\t")
    once = all(len(set(tokens)) == 1 and len(tokens) > 1 for tokens in Target.accepted.values())
    health, error = found.get(WRONG, ("missing", ""))
    told = health == "down" and "invalid_client" in error
    print("ok" if once else "failed", "one token for many scrapes", sep="\t")
    print("ok" if told else "failed", "wrong secret basic", error.replace("\n", " "), sep="\t")
    for refused in Target.refused:
        print("failed", "scrape", refused, sep="\t")
    return once and told and not Target.refused and all(health == "up" for health, _ in results.values())


main()
