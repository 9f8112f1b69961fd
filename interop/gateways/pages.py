"""Holds each page of docs/operate/gateways equal to the files that its gateway runs on.

A page names a file in a comment, `<!-- interop/gateways/nginx/jeton.conf -->`, and shows it in the fenced
block that follows.
"""

import re

from gateways import GATEWAYS, HERE, PAGES, ROOT

BLOCK = re.compile(r"<!-- interop/gateways/(\S+) -->\n```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def complaints():
    """One line for each difference."""
    found = []
    for gateway in GATEWAYS:
        page = PAGES / gateway.page
        shown = {name: text for name, _, text in BLOCK.findall(page.read_text())} if page.exists() else {}
        where = page.relative_to(ROOT)
        for name in gateway.recipe:
            if name not in shown:
                found.append(f"{where}: does not show interop/gateways/{name}")
            elif shown.pop(name) != (HERE / name).read_text():
                found.append(f"{where}: interop/gateways/{name} is not as shown; run with --write-pages")
        found += [f"{where}: interop/gateways/{name} is no file of this recipe" for name in shown]
    return found


def write():
    """Puts the files into the pages."""
    for gateway in GATEWAYS:
        page = PAGES / gateway.page

        def with_file(block):
            return f"<!-- interop/gateways/{block[1]} -->\n```{block[2]}\n{(HERE / block[1]).read_text()}```"

        page.write_text(BLOCK.sub(with_file, page.read_text()))
