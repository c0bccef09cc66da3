"""Fixtures that every black-box test may use; see lib/rig.py."""

import contextlib
import os
import shutil
import subprocess

import pytest

from lib import folders, fronts, left, mounts, rig  # noqa: F401 (fronts makes itself known)
from lib.app import App
from lib.summary import Summary

FAILED = pytest.StashKey[bool]()
MOST_DISK = 2 << 30


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


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    if outcome.get_result().failed:
        item.stash[FAILED] = True


@pytest.fixture
def tmp_path(tmp_path, request):
    """pytest's own, but gone after a test that passes: several thousand of them
    fill a disk.  A test that needs a large one mounts a small one."""
    yield tmp_path
    taken = folders.taken(tmp_path)
    if FAILED not in request.node.stash:
        shutil.rmtree(tmp_path, ignore_errors=True)
    assert taken < MOST_DISK, f"the test takes {taken >> 20} MiB of the disk"


@pytest.fixture
def small_disk(tmp_path):
    """64 MiB are all the space that the test's servers have."""
    with mounts.covered(tmp_path, "64m", "755"):
        yield tmp_path


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
def short_folder():
    """Where any user may go, and short enough for a socket."""
    with folders.temporary() as folder:
        yield folder


@pytest.fixture
def servers():
    """servers(one) starts a rig.Server, or what is derived from it.

    At the end of the test all of them are stopped, and a report of a sanitizer
    in a log fails the test.  A fixture that a server needs to the last comes
    before this one.
    """
    started = []

    def start(one):
        started.append(one)
        one.start()
        return one

    yield start
    stop_all(started)
    for one in started:
        one.check_logs()


@pytest.fixture
def server(tmp_path, servers):
    """A factory: server(front_end="nginx", config={...}) -> rig.Server.

    Where the web server is not installed, the test is skipped.
    """
    def start(front_end="nginx", **options):
        wanted = rig.FRONT_ENDS[front_end].program
        if not rig.have(wanted):
            pytest.skip(f"no {wanted}")
        return servers(rig.Server(tmp_path, front_end, **options))

    return start


@pytest.fixture
def app(tmp_path, servers):
    """A factory: app({...}, args=["-w", "4"]) -> App, running."""
    return lambda config=None, **options: servers(
        App(tmp_path, config=config, **options))
