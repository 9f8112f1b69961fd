"""A jeton with some traffic, a Prometheus that scrapes it, and every query that operators are given.

Rules and dashboard are those of docs/operate, unchanged. A query may be empty only where this jeton has nothing to
tell: it runs on SQLite and without TLS.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "interop" / "gateways"))

from process import Failed, Process  # noqa: E402
from wire import free_port  # noqa: E402

RULES = ROOT / "docs" / "operate" / "prometheus" / "jeton.rules.yml"
DASHBOARD = ROOT / "docs" / "operate" / "grafana" / "jeton.json"

# What a server on SQLite and without TLS has nothing to tell of.
MAY_BE_EMPTY = ("jeton_store_connections", "jeton_tls_certificate_expiry", "jeton_tls_crl_next_update")
# Divisions by the number of times that nobody had to be looked up, and quantiles of what did not happen, have
# no value: the query is right and there is nothing to see.
MAY_BE_NAN = ("histogram_quantile", "jeton_cache_hits_total")

JETON = """\
[server]
listen = "127.0.0.1:{port}"
[admin]
listen = "127.0.0.1:{admin}"
[realm.main]
issuer = "http://127.0.0.1:{port}/main"
scopes = ["read"]
[realm.growth]
issuer = "http://127.0.0.1:{port}/growth"
dialects = ["dt-growth"]
"""

PROMETHEUS = """\
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: ["{rules}"]
scrape_configs:
  - job_name: jeton
    static_configs:
      - targets: ["127.0.0.1:{admin}"]
"""


def command(program, configuration, *words):
    done = subprocess.run(
        [program, *words, "--config", configuration, "--json"], capture_output=True, text=True, timeout=30
    )
    if done.returncode != 0:
        raise Failed(f"jeton {' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def ask(url, form=None, headers=None):
    """Status and body, whatever the status is."""
    data = urllib.parse.urlencode(form).encode() if isinstance(form, dict) else form
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def traffic(base, secret, growth_secret):
    """One of everything: what is accepted, and what is refused."""
    client = {"grant_type": "client_credentials", "client_id": "partner"}
    status, body = ask(f"{base}/main/oauth2/token", {**client, "client_secret": secret})
    if status == 200:
        token = json.loads(body)["access_token"]
        own = {"client_id": "partner", "client_secret": secret, "token": token}
        for _ in range(2):
            ask(f"{base}/main/oauth2/introspect", own)
            ask(f"{base}/main/oauth2/verify", headers={"Authorization": f"Bearer {token}"})
        ask(f"{base}/main/oauth2/revoke", own)
    ask(f"{base}/main/oauth2/token", {**client, "client_secret": "wrong"})
    ask(f"{base}/main/oauth2/verify", headers={"Authorization": "Bearer nothing"})
    ask(f"{base}/main/.well-known/jwks.json")
    ask(f"{base}/nowhere")
    growth = json.dumps({**client, "client_secret": growth_secret}).encode()
    ask(f"{base}/growth/auth/v1/token", growth, {"Content-Type": "application/json"})
    return status


class Prometheus:
    def __init__(self, place, admin):
        self.port = free_port()
        configuration = place / "prometheus.yml"
        configuration.write_text(PROMETHEUS.format(rules=RULES, admin=admin))
        subprocess.run(["promtool", "check", "config", configuration], check=True, stdout=subprocess.DEVNULL)
        self.process = Process(
            ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={place / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            place / "prometheus.log",
        )
        self.process.listens(self.port)

    def api(self, path, **parameters):
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        status, body = ask(f"http://127.0.0.1:{self.port}/api/v1/{path}{query}")
        answer = json.loads(body)
        if status != 200 or answer["status"] != "success" or answer.get("warnings"):
            raise Failed(f"{path}{query}: {status} {answer.get('error') or answer.get('warnings')}")
        return answer["data"]

    def query(self, expression):
        return self.api("query", query=expression)["result"]


def dashboard_queries():
    """Every query of the dashboard, with the variables that Grafana would put in."""
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    for panel in dashboard["panels"]:
        expressions += [target["expr"] for target in panel.get("targets", [])]
    known = {"$job": "jeton", "$instance": ".*", "$realm": ".*", "$__rate_interval": "10s"}
    filled = []
    for expression in expressions:
        for name, value in known.items():
            expression = expression.replace(name, value)
        if "$" in expression:
            raise Failed(f"the dashboard has a variable that it does not declare: {expression}")
        filled.append(expression)
    return filled


def check_text(admin):
    """The older text format, as promtool reads it; Prometheus itself asks for OpenMetrics."""
    _, text = ask(f"http://127.0.0.1:{admin}/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30)
    if done.returncode != 0:
        raise Failed(f"promtool check metrics: {done.stdout.decode()}{done.stderr.decode()}")
    names = set(re.findall(rb"^# TYPE (\S+) ", text, re.M))
    print(f"promtool check metrics: {len(names)} metrics, {len(text) // 1024} KiB, nothing to complain of")


def check_target(prometheus):
    [target] = prometheus.api("targets")["activeTargets"]
    if target["health"] != "up" or target["lastError"]:
        raise Failed(f"the scrape fails: {target['lastError']}")
    print(f"scrape: up, {target['lastScrapeDuration'] * 1000:.1f} ms")


def check_rules(prometheus):
    rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    for rule in rules:
        if rule["health"] != "ok" or rule.get("lastError"):
            raise Failed(f"rule {rule['name']}: {rule['health']} {rule.get('lastError')}")
        if rule["type"] == "recording" and not prometheus.query(rule["name"]):
            raise Failed(f"rule {rule['name']} records nothing")
        firing = rule.get("alerts", [])
        if any(alert["state"] == "firing" for alert in firing):
            raise Failed(f"alert {rule['name']} fires on a server that is well")
        # An alert that does not fire has no data; what it looks at must have.
        for name in set(re.findall(r"(?<![\w:])(?:jeton|process)_\w+(?![\w:])", rule["query"])):
            if not name.startswith(MAY_BE_EMPTY) and not prometheus.query(name):
                raise Failed(f"rule {rule['name']} looks at {name}, which has no data")
    print(f"rules: {len(rules)} evaluated without an error, none fires")


def check_dashboard(prometheus):
    empty = 0
    expressions = dashboard_queries()
    for expression in expressions:
        result = prometheus.query(expression)
        is_annotation = expression.startswith("changes(")
        if not result:
            if not is_annotation and not any(name in expression for name in MAY_BE_EMPTY):
                raise Failed(f"no data: {expression}")
            empty += 1
        elif all(series["value"][1] == "NaN" for series in result):
            if not any(part in expression for part in MAY_BE_NAN):
                raise Failed(f"no number: {expression}")
    print(f"dashboard: {len(expressions)} queries without an error, {len(expressions) - empty} with data")


def run(program, place):
    port, admin = free_port(), free_port()
    configuration = place / "jeton.toml"
    configuration.write_text(JETON.format(port=port, admin=admin))
    secrets = [
        command(program, configuration, "client", "create", "partner", "--realm", realm, *more)["client_secret"]
        for realm, *more in (("main", "--scope", "read", "--secret-expires", "3d"), ("growth",))
    ]
    jeton = Process([program, "serve", "--config", configuration], place / "jeton.log")
    prometheus = None
    try:
        jeton.listens(port)
        prometheus = Prometheus(place, admin)
        base, accepted = f"http://127.0.0.1:{port}", 0
        until = time.monotonic() + 15
        while time.monotonic() < until:
            accepted += traffic(base, *secrets) == 200
            time.sleep(0.05)
        if not accepted:
            raise Failed("no token was issued")
        check_text(admin)
        check_target(prometheus)
        check_rules(prometheus)
        check_dashboard(prometheus)
    finally:
        if prometheus:
            prometheus.process.end()
        jeton.end()


def main():
    with tempfile.TemporaryDirectory(prefix="jeton-prometheus-") as place:
        try:
            run(os.path.abspath(sys.argv[1]), pathlib.Path(place))
        except Failed as failed:
            print(f"interop/prometheus: {failed}", file=sys.stderr)
            sys.exit(1)


main()
