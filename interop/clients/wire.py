"""Stands between the clients and the server, passes every byte on unchanged, and notes how credentials were sent.

    wire.py FACTS UPSTREAM PORT LOG

PORT is a file that is written: where this listens. UPSTREAM, where the server listens, and FACTS are files that are read
when they are needed, since a realm's issuer has this port, and so there is no server yet when this starts. LOG gets one line for
each request that carries credentials: the client's kind, how they were written, what exactly was sent in front of the
secret, and the values of Accept and Upgrade, divided by tabs. Secrets are not logged.
"""

import asyncio
import base64
import json
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote_plus

FACTS, UPSTREAM, PORT, LOG = (Path(name) for name in sys.argv[1:5])
BASIC = re.compile(rb"(?im)^authorization: *basic +([A-Za-z0-9+/=]+)")
ACCEPT = re.compile(rb"(?im)^accept: *([^\r\n]*)")
UPGRADE = re.compile(rb"(?im)^upgrade: *([^\r\n]*)")
LENGTH = re.compile(rb"(?im)^content-length: *([0-9]+)")


def known():
    """Every client's kind by its identifier."""
    realms = json.loads(FACTS.read_text(encoding="utf-8"))["realms"]
    return {client["id"]: kind for realm in realms for kind, client in realm["clients"].items()}


def basic_way(credentials, kinds):
    """Whose Basic credentials these are, and in which of the three spellings."""
    for encoding in "UTF-8", "Latin-1":
        try:
            text = credentials.decode(encoding)
        except UnicodeDecodeError:
            continue
        for client_id, kind in kinds.items():
            # Not split at a colon: a raw identifier may have one.
            if text.startswith(client_id + ":"):
                return kind, "raw" if client_id.isascii() else f"raw {encoding}", client_id
        sent = text.partition(":")[0]
        if (kind := kinds.get(unquote_plus(sent))) is not None:
            return kind, "encoded", sent
    return "unknown", "unknown", "-"


def note(head, body):
    accept = ACCEPT.search(head)
    upgrade = UPGRADE.search(head)
    end = [accept[1].decode("latin-1") if accept else "-", upgrade[1].decode("latin-1") if upgrade else "-"]
    kinds = known()
    lines = []
    if found := BASIC.search(head):
        kind, way, sent = basic_way(base64.b64decode(found[1] + b"=="), kinds)
        lines.append([kind, f"basic {way}", sent, *end])
    form = parse_qs(body.decode("latin-1"))
    if "client_secret" in form:
        kind = kinds.get(form.get("client_id", [""])[0], "unknown")
        lines.append([kind, "post", "-", *end])
    with LOG.open("a", encoding="utf-8") as log:
        for line in lines:
            log.write("\t".join(line) + "\n")


class Requests:
    """Takes what one connection sends apart into requests; bodies of token requests have a length."""

    def __init__(self):
        self.bytes = b""

    def feed(self, data):
        self.bytes += data
        while (end := self.bytes.find(b"\r\n\r\n")) >= 0:
            head, rest = self.bytes[: end + 2], self.bytes[end + 4 :]
            length = LENGTH.search(head)
            length = int(length[1]) if length else 0
            if len(rest) < length:
                return
            note(head, rest[:length])
            self.bytes = rest[length:]


async def pass_on(reader, writer, seen=None):
    try:
        while data := await reader.read(65536):
            # Noted first: when a client has its answer, the line about it is there.
            if seen:
                seen.feed(data)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        try:
            writer.write_eof()
        except OSError:
            pass


async def connection(reader, writer):
    try:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", int(UPSTREAM.read_text()))
    except OSError:
        writer.close()
        return
    await asyncio.gather(pass_on(reader, upstream_writer, Requests()), pass_on(upstream_reader, writer))
    writer.close()
    upstream_writer.close()


async def main():
    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    PORT.write_text(f"{server.sockets[0].getsockname()[1]}\n")
    await server.serve_forever()


asyncio.run(main())
