"""Every front end, or those that TUS_FRONTS names."""

import os

import pytest

from lib import fronts, rig

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
    """What makes no sense is not asked; a skip is for what is missing."""
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


@pytest.fixture(scope="session", params=NAMES)
def front(request, tmp_path_factory):
    """A server with the snippet as shipped, for all tests that leave it
    as it is; it also speaks HTTPS and HTTP/2."""
    reason = usable(request.param)
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    one = rig.Server(tmp_path_factory.mktemp("front"), request.param, tls=True)
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
