"""Every front end, or those that TUS_FRONTS names.

At the end, what test_clients.py saw is printed as a table.
"""

import os
import shutil

import pytest

from lib import browser, fronts, rig
from lib.once import once
from lib.summary import note_client

NAMES = os.environ.get(
    "TUS_FRONTS", "nginx lighttpd lighttpd-spawn apache-proxy apache-fcgid "
    "htaccess").split()


def pytest_configure(config):
    for line in (
            "only_front(name, ...): about these front ends",
            "but(name, ...): about all front ends but these",
            "having(property, ...): about front ends with streams, chunked...",
            "lacking(property, ...): about front ends without"):
        config.addinivalue_line("markers", line)


def concerns(item, name):
    """Is a test about this front end at all?"""
    kind = rig.FRONT_ENDS[name]

    def arguments(marker):
        return [a for m in item.iter_markers(marker) for a in m.args]

    only = arguments("only_front")
    return ((not only or name in only) and name not in arguments("but") and
            all(getattr(kind, p) for p in arguments("having")) and
            not any(getattr(kind, p) for p in arguments("lacking")))


def pytest_collection_modifyitems(config, items):
    """A test that does not concern a web server is left out there.  It is skipped
    only if something is not installed."""
    here = os.path.dirname(__file__)
    out = [i for i in items if str(i.path).startswith(here) and
           "front" in i.fixturenames and
           not concerns(i, i.callspec.params["front"])]
    config.hook.pytest_deselected(items=out)
    items[:] = [i for i in items if i not in out]


def usable(name):
    if name == "nginx":
        return None if rig.have("nginx") else "no nginx"
    return fronts.missing(name)


def make_pages(folder):
    """Our page, and Uppy below it; test_clients.py skips what is not there."""
    if not browser.missing():
        browser.install_page(folder)
        browser.install_uppy(folder / "uppy")
    return str(folder)


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    return once(tmp_path_factory, "pages", make_pages)


def pages_for(kind, pages, folder):
    """A copy that knows where to upload, and in which pieces."""
    copy = folder / "pages"
    shutil.copytree(pages, copy)
    if (copy / "index.html").exists():
        browser.install_page(copy, f"{kind.base}/", str(kind.piece or 0))
    return copy


@pytest.fixture(scope="session", params=NAMES)
def front(request, pages, tmp_path_factory):
    """A server with the snippet as shipped, for all tests that leave it
    as it is; it also speaks HTTPS and HTTP/2, and shows pages."""
    reason = usable(request.param)
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    folder = tmp_path_factory.mktemp("front")
    one = rig.Server(
        folder, request.param, tls=True,
        page=pages_for(rig.FRONT_ENDS[request.param], pages, folder))
    one.name = request.param
    one.start()
    yield one
    one.stop()
    one.check_logs()


@pytest.fixture
def own(server):
    """own(name, ...) -> a server for one test alone; skips if it cannot."""
    def start(name, **options):
        reason = usable(name)
        if reason:
            pytest.skip(f"{name}: {reason}")
        return server(name, **options)

    return start


# --- Clients by front ends ---------------------------------------------------

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    note_client(item, (yield).get_result(), "clients by front ends", "front")
