"""Prints one row for each client that has no secret: what it did, by its own word.

    report_proofs.py FOLDER NAME...        exits with 1 when a client failed
"""

import sys
from pathlib import Path

FOLDER, NAMES = Path(sys.argv[1]), sys.argv[2:]
CHECKS = ["private_key_jwt", "tls_client_auth", "self_signed", "DPoP", "nonce", "fapi2", "refused"]
COLUMNS = ["client", "version", *CHECKS, "result"]


def row(name):
    path = FOLDER / f"{name}.out"
    said = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    failed = [" ".join(line[1:]) for line in said if line[0] == "failed"]
    done = {check: [line[2] for line in said if line[:2] == ["ok", check]] for check in CHECKS}
    if not any(done.values()):
        failed.append("nothing was done")
    for failure in failed:
        print(f"{name}: {failure}", file=sys.stderr)
    version = next((line[1] for line in said if line[0] == "version"), "")
    cells = [", ".join(done[check]) or "-" for check in CHECKS]
    return [name, version, *cells, "FAILED" if failed else "ok"]


rows = [row(name) for name in NAMES]
widths = [max(len(line[at]) for line in [COLUMNS, *rows]) for at in range(len(COLUMNS))]
print()
for line in [COLUMNS, ["-" * width for width in widths], *rows]:
    print(" | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
print()
passed = sum(line[-1] == "ok" for line in rows)
print(f"{passed} passed, {len(rows) - passed} failed")
sys.exit(0 if passed == len(rows) else 1)
