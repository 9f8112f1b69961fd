"""jeton under load with Litestream beside it, killed together, restored, and asked about everything."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from server import Failed, Jeton, Process

# How far a replica may be behind what was acknowledged: Litestream looks at the log once a second, and
# writes what it found in about as long on a busy machine.
LAG_SECONDS = 3.0
CONFIGURATION = """\
dbs:
  - path: {database}
    replica:
      type: file
      path: {replica}
      sync-interval: 1s
"""


class Load:
    """Asks for stored tokens, revokes each fourth, and notes when each answer arrived."""

    def __init__(self, jeton, secret, connections):
        self.jeton, self.secret = jeton, secret
        self.stop = threading.Event()
        self.kept, self.revoked, self.lock = [], [], threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(connections)]
        for thread in self.threads:
            thread.start()

    def run(self):
        connection = self.jeton.connection()
        number = 0
        try:
            while not self.stop.is_set():
                status, body = self.jeton.post(
                    connection, "/oauth2/token", {"grant_type": "client_credentials"}, "load", self.secret)
                arrived = time.monotonic()
                if status != 200:
                    continue
                token = json.loads(body)["access_token"]
                with self.lock:
                    self.kept.append((arrived, token))
                number += 1
                if number % 4 == 0:
                    status, _ = self.jeton.post(
                        connection, "/oauth2/revoke", {"token": token}, "load", self.secret)
                    arrived = time.monotonic()
                    if status == 200:
                        with self.lock:
                            self.revoked.append((arrived, token))
        except OSError:
            pass  # it was killed
        finally:
            connection.close()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(10)


def litestream(program, *words):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Failed(f"litestream {' '.join(map(str, words))}: {done.stderr.strip()[-400:]}")


def round_of(arguments, place, number):
    """One round; what was found."""
    home = place / f"round-{number}"
    jeton = Jeton(arguments.jeton, home)
    secret = jeton.command("client", "create", "load", "--realm", "main")["client_secret"]
    replica, configuration = home / "replica", home / "litestream.yml"
    database = home / "jeton.db"
    configuration.write_text(CONFIGURATION.format(database=database, replica=replica))
    jeton.start()
    stream = Process([arguments.litestream, "replicate", "-config", configuration], home / "litestream.log")
    load = Load(jeton, secret, arguments.connections)
    time.sleep(arguments.seconds)
    log_bytes = (home / "jeton.db-wal").stat().st_size
    killed = time.monotonic()
    jeton.kill()
    stream.kill()
    load.end()
    # The machine is lost with its disk: nothing but the replica, the master key and the configuration is left.
    lost = home / "lost"
    lost.mkdir()
    for path in home.glob("jeton.db*"):
        if path.name != "jeton.db.master-key":
            shutil.move(path, lost / path.name)
    restored = home / "restored.db"
    litestream(arguments.litestream, "restore", "-config", configuration, "-o", restored, database)
    examined = jeton.command("database", "restore", "--from", restored)
    jeton.start()
    found = asked(jeton, secret, load.kept, load.revoked, killed)
    jeton.end()
    return {"round": number, "rows": examined["rows"]["token"], "log_mib": log_bytes / 2**20, **found}


def asked(jeton, secret, kept, revoked, killed):
    """What the restored server says of every acknowledged token and revocation."""
    connection = jeton.connection()
    revoked_at = {token: arrived for arrived, token in revoked}
    behind, lost, wrongly_active, furthest = 0, 0, 0, 0.0
    for arrived, token in kept:
        status, body = jeton.post(connection, "/oauth2/introspect", {"token": token}, "load", secret)
        if status != 200:
            raise Failed(f"introspection answered {status}")
        active = json.loads(body)["active"]
        if token in revoked_at:
            # Its revocation is what was acknowledged last.
            arrived, is_missing = revoked_at[token], active
        else:
            is_missing = not active
        if not is_missing:
            continue
        age = killed - arrived
        furthest = max(furthest, age)
        if age > LAG_SECONDS:
            lost += 1
            wrongly_active += token in revoked_at
        else:
            behind += 1
    connection.close()
    return {"kept": len(kept), "revoked": len(revoked), "behind": behind, "lost": lost,
            "wrongly_active": wrongly_active, "furthest": furthest}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jeton", required=True)
    parser.add_argument("--litestream", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    place = pathlib.Path(tempfile.mkdtemp(prefix="jeton-litestream-"))
    failed = False
    print("| round | acknowledged | revoked | rows restored | in the lag | furthest behind | lost | log |")
    print("|---|---|---|---|---|---|---|---|")
    try:
        for number in range(1, arguments.rounds + 1):
            found = round_of(arguments, place, number)
            print("| {round} | {kept} | {revoked} | {rows} | {behind} | {furthest:.2f} s | {lost} | {log_mib:.1f} MiB |"
                  .format(**found), flush=True)
            failed |= found["lost"] > 0 or found["kept"] < 100 or found["rows"] == 0
    except Failed as error:
        print(f"litestream: {error}; everything is in {place}", file=sys.stderr)
        return 1
    if failed:
        print(f"what was acknowledged more than {LAG_SECONDS} s before the end is lost; everything is in {place}",
              file=sys.stderr)
        return 1
    shutil.rmtree(place)
    print(f"\nnothing acknowledged more than {LAG_SECONDS} s before the end was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
