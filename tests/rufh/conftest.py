"""The checklist suite of the IETF's protocol: tests by id, as in protocol/.

A test asks for rufh, a client of a server with rufh.enable, or for serve,
which makes one: serve(config) -> rufh.Rufh.
"""

import pytest

from lib import rig
from lib.rufh import Rufh
from lib.summary import note_client
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

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    note_client(item, (yield).get_result(),
                "clients of the IETF's protocol by front ends", "transport")
