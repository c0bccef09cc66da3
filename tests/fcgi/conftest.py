"""Fixtures of the tests without a web server; see lib/app.py."""

import pytest

from lib.app import App, children, is_alive  # noqa: F401
