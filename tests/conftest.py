"""Fixtures that every black-box test may use; see lib/rig.py."""

import pytest

from lib import fronts, rig  # noqa: F401 (fronts makes itself known)
from lib.app import App


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
    for one in reversed(started):
        one.stop()
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
    for one in reversed(started):
        one.stop()
    for one in started:
        one.check_logs()
