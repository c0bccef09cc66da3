"""The checklist suite: one test per id of protocol.md, over each transport.

TUS_TRANSPORTS names the transports ("nginx fastcgi"); lib/client.py has the
list.  Behind nginx the server speaks the IETF's protocol as well, of which no
client of tus may notice anything but VER-08.  A test names what it covers with
@ids("PATCH-10"), which also makes -k PATCH-10 find it.
"""

import json
import os
import signal

import pytest

from lib import cannot, client, fronts, left, proc, rig

NAMES = os.environ.get("TUS_TRANSPORTS", "nginx fastcgi").split()


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "only(name, ...): transports where it can be tried at all")
    config.addinivalue_line(
        "markers", "ids(name, ...): what of the checklist the test covers")


def pytest_itemcollected(item):
    names = [n for m in item.iter_markers("ids") for n in m.args]
    item.extra_keyword_matches.update(names)
    if names:
        item._nodeid += " " + " ".join(names)


def is_possible(item):
    """Without a skip: where @only names others there is nothing to test."""
    only = [n for m in item.iter_markers("only") for n in m.args]
    if "raw" in item.fixturenames:
        only.append("fastcgi")
    name = item.callspec.params.get("transport") \
        if hasattr(item, "callspec") else None
    return not only or name in only


def excuse(item):
    """The web server may be to blame: see cannot.py."""
    name = item.callspec.params.get("transport") \
        if hasattr(item, "callspec") else None
    reason = cannot.reason_for(name, item.nodeid) if name else None
    if reason:
        item.add_marker(pytest.mark.xfail(reason=reason, run=False))


def pytest_collection_modifyitems(config, items):
    for item in items:
        excuse(item)
    dropped = [i for i in items if not is_possible(i)]
    items[:] = [i for i in items if is_possible(i)]
    config.hook.pytest_deselected(items=dropped)


def front_end_for(transport):
    """Past the web server there is one nevertheless: the first asked for."""
    if transport != "fastcgi":
        return transport
    return next((n for n in NAMES if n != "fastcgi"), "nginx")


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """One server per configuration, for all tests that do not break it."""
    folder = tmp_path_factory.mktemp("shared")
    running = {}

    def start(front_end, config):
        key = front_end + json.dumps(config, sort_keys=True)
        if key not in running:
            one = rig.Server(folder, front_end, config=config)
            one.start()
            running[key] = one
            left.keep()
        return running[key]

    yield start
    for server in running.values():
        server.stop()
    for server in running.values():
        server.check_logs()


@pytest.fixture(params=NAMES)
def transport(request):
    if request.param in fronts.NAMES and fronts.missing(request.param):
        pytest.skip(f"{request.param}: {fronts.missing(request.param)}")
    return request.param


DEFAULTS = {"lock": {"timeout": "2s"}}
BESIDE = {"rufh": {"enable": True}}


@pytest.fixture
def serve(transport, shared, server):
    """serve(config) -> a client of a server with this configuration.

    own=True starts one for this test alone, which may then break it; other
    options go to rig.Server.
    """
    def start(config=None, own=False, **options):
        config = rig.merge(DEFAULTS, config or {})
        if transport == "nginx":
            config = rig.merge(BESIDE, config)
        front_end = front_end_for(transport)
        if own or options:
            one = server(front_end, config=config, **options)
        else:
            one = shared(front_end, config)
        return client.Tus(one, transport)

    return start


@pytest.fixture
def tus(serve):
    """A client of the server with the defaults."""
    return serve()


@pytest.fixture
def endless(serve):
    """Likewise, where a length need not fit into what is free."""
    return serve({"store": {"overcommit": "always"}})


@pytest.fixture
def streaming(transport):
    """Skips where the web server spools a body before it asks us."""
    if not client.TRANSPORTS[transport].streams:
        pytest.skip("(stream): this web server spools bodies")


@pytest.fixture
def chunked(transport):
    if not client.TRANSPORTS[transport].chunked:
        pytest.skip("this web server refuses bodies of unknown length")


@pytest.fixture
def workers():
    """workers(tus): the pids, once all of them have opened the store."""
    def find(tus):
        pids = proc.workers(tus.server.app.pid)
        ready = all(tus.server.uploads in proc.opened(p) for p in pids)
        return ready and pids

    return lambda tus: rig.wait_for(lambda: find(tus), "all workers")


@pytest.fixture
def freeze():
    """freeze(pid) stops a process until the end of the test."""
    frozen = []

    def stop(pid):
        os.kill(pid, signal.SIGSTOP)
        frozen.append(pid)

    yield stop
    for pid in frozen:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
