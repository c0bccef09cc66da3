"""The checklist suite of the IETF's protocol: tests by id, as in protocol/.

A test asks for rufh, a client of a server with rufh.enable, or for serve,
which makes one: serve(config) -> rufh.Rufh.
"""

import pytest

from lib import rig
from lib.rufh import Rufh
from protocol.conftest import (  # noqa: F401 (pytest finds them here)
    chunked, excuse, freeze, is_possible, pytest_collection_modifyitems,
    pytest_configure, pytest_itemcollected, shared, streaming, transport,
    workers)
from protocol.conftest import serve as serve_tus  # noqa: F401


@pytest.fixture
def serve(serve_tus):  # noqa: F811
    def start(config=None, own=False, **options):
        config = rig.merge({"rufh": {"enable": True}}, config or {})
        tus = serve_tus(config, own, **options)
        return Rufh(tus.server, tus.name)

    return start


@pytest.fixture
def rufh(serve):
    """A client of the server with the defaults, and rufh on."""
    return serve()


@pytest.fixture
def tus(rufh):
    """One that speaks tus to the same server."""
    return rufh.tus


# --- Clients by front ends ---------------------------------------------------

CELLS = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if item.path.name != "test_clients.py" or report.passed and \
            report.when != "call":
        return
    params = dict(item.callspec.params)
    front = params.pop("transport")
    row = " ".join([item.originalname[5:].replace("_", " "),
                    *map(str, params.values())])
    CELLS.setdefault(row, {})[front] = {
        "passed": "yes", "skipped": "skipped"}.get(report.outcome, "NO")


def pytest_terminal_summary(terminalreporter):
    if not CELLS:
        return
    terminalreporter.section("clients of the IETF's protocol by front ends")
    names = list(dict.fromkeys(n for cells in CELLS.values() for n in cells))
    rows = [["", *names]] + [[row, *(cells.get(n, "-") for n in names)]
                             for row, cells in CELLS.items()]
    wide = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for row in rows:
        terminalreporter.write_line("  ".join(
            cell.ljust(w) for cell, w in zip(row, wide)).rstrip())
