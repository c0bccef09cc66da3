"""Fixtures of the tests without a web server; see lib/app.py."""

import pytest

from lib.app import App, children, is_alive  # noqa: F401


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
