"""Fixtures that every black-box test may use; see lib/rig.py."""

import contextlib
import os
import subprocess

import pytest

from lib import fronts, left, rig  # noqa: F401 (fronts makes itself known)
from lib.app import App
from lib.summary import Summary


def pytest_configure(config):
    left.adopt_orphans()
    if os.geteuid() == 0:
        # Before the first program that is to see what a test mounts.
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            left.make_mounts_private()
    config.pluginmanager.register(Summary())


def pytest_make_parametrize_id(val):
    """The name of a test is in the environment of what it starts, which has
    no room for a long value."""
    if not isinstance(val, (str, bytes)) or len(val) <= 60:
        return None
    return f"{ascii(val[:40]).lstrip('b')[1:-1]}, {len(val)} long"


def name_of(item):
    """As JUnit's XML has it: "folder.test_file.test_name"."""
    path, _, name = item.nodeid.partition("::")
    return f"{path.removesuffix('.py').replace('/', '.')}.{name}"


def pytest_collection_modifyitems(config, items):
    """TUSFCGI_ONLY is a file with the names of those that are wanted."""
    for item in items:
        if len(item.nodeid) > 1000:
            raise pytest.UsageError(f"give it a short id: {item.nodeid[:200]}")
    wanted = os.environ.get("TUSFCGI_ONLY")
    if not wanted:
        return
    with open(wanted, encoding="utf-8") as file:
        names = set(file.read().splitlines())
    config.hook.pytest_deselected(
        items=[i for i in items if name_of(i) not in names])
    items[:] = [i for i in items if name_of(i) in names]


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Set up before all that is for one test alone, and torn down after it."""
    with left.nothing():
        yield


def stop_all(started):
    """The last one first, and all of them, even if one of them resists."""
    with contextlib.ExitStack() as stack:
        for one in started:
            stack.callback(one.stop)


@pytest.fixture
def server(tmp_path):
    """A factory: server(front_end="nginx", config={...}) -> rig.Server.

    Everything it started is stopped at the end of the test, and a report of
    a sanitizer in a log fails the test.  Where the web server is not
    installed, the test is skipped.
    """
    started = []

    def start(front_end="nginx", **options):
        wanted = rig.FRONT_ENDS[front_end].program
        if not rig.have(wanted):
            pytest.skip(f"no {wanted}")
        one = rig.Server(tmp_path, front_end, **options)
        started.append(one)
        one.start()
        return one

    yield start
    stop_all(started)
    for one in started:
        one.check_logs()


@pytest.fixture
def app(tmp_path):
    """A factory: app(config={...}, args=["-w", "4"]) -> App, running."""
    started = []

    def start(**options):
        one = App(tmp_path, **options)
        started.append(one)
        one.start_app()
        return one

    yield start
    stop_all(started)
    for one in started:
        one.check_logs()
