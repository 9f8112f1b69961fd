"""Runs the checks on each gateway in turn and prints a table. `run` starts this; see there."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pages
from checks import ROWS, Trial
from gateways import GATEWAYS, Running
from jeton import Caller, Jeton
from process import Failed
from upstream import Upstream


def main():
    arguments = read_arguments()
    if arguments.write_pages:
        pages.write()
    differences = pages.complaints()
    for difference in differences:
        print(difference, file=sys.stderr)
    if arguments.pages or arguments.write_pages:
        return 1 if differences else 0
    # So that what was started is ended however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [gateway for gateway in GATEWAYS if not arguments.names or gateway.name in arguments.names]
    place = Path(tempfile.mkdtemp(prefix="jeton-gateways-"))
    place.chmod(0o755)
    failures = {}
    cells = {}
    upstream, jeton = Upstream(), None
    try:
        jeton = Jeton(arguments.jeton, place / "jeton")
        for gateway in chosen:
            print(f"== {gateway.name}", flush=True)
            cells[gateway.name] = column(gateway, place, jeton, upstream, failures)
    finally:
        if jeton is not None:
            jeton.end()
        upstream.close()
    table(cells)
    for (name, row), text in failures.items():
        print(f"{name}, {row}: {text}")
    failed = len(failures) + len(differences)
    passed = sum(cell != "-" for column in cells.values() for cell in column.values()) - len(failures)
    if failed:
        print(f"logs: {place}")
    else:
        shutil.rmtree(place)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def read_arguments():
    names = [gateway.name for gateway in GATEWAYS]
    reader = argparse.ArgumentParser(prog="interop/gateways/run")
    reader.add_argument("names", nargs="*", metavar="NAME", help=f"which gateways: {', '.join(names)}")
    reader.add_argument("--jeton", help="the program to run")
    reader.add_argument("--pages", action="store_true", help="only compare the pages with the files")
    reader.add_argument("--write-pages", action="store_true", help="only put the files into the pages")
    arguments = reader.parse_args()
    for name in arguments.names:
        if name not in names:
            reader.error(f"there is no gateway {name}; there are {', '.join(names)}")
    return arguments


def column(gateway, place, jeton, upstream, failures):
    """The result of every row for one gateway."""
    results = {name: "-" for name, _, _ in ROWS}
    running = None
    try:
        caller = Caller(jeton, gateway.name)
        running = Running(gateway, place / gateway.name, jeton.port, upstream.port)
        trial = Trial(gateway, running, jeton, upstream, caller)
        for name, asking, offline in ROWS:
            check = asking if gateway.way == "asks" else offline
            if check is not None:
                results[name] = attempt(check, trial, failures, (gateway.name, name))
    except Failed as failed:
        first = ROWS[0][0]
        results[first] = "FAILED"
        failures[gateway.name, "start"] = str(failed)
    finally:
        if running is not None:
            running.end()
    return results


def attempt(check, trial, failures, key):
    try:
        return check(trial) or "ok"
    except Failed as failed:
        failures[key] = str(failed)
        return "FAILED"


def table(cells):
    widths = {name: max(len(name), *map(len, column.values())) for name, column in cells.items()}
    print("\n" + " " * 14 + "  ".join(f"{name:<{width}}" for name, width in widths.items()))
    for row, _, _ in ROWS:
        line = "  ".join(f"{cells[name][row]:<{width}}" for name, width in widths.items())
        print(f"{row:<14}{line}".rstrip())
    print("- : not in this gateway's power; its page says so\n")


if __name__ == "__main__":
    sys.exit(main())
