"""A folder for hooks, and servers that run them."""

import pytest

from lib import rig
from lib.programs import Hooks


@pytest.fixture
def hooks(tmp_path):
    return Hooks(tmp_path)


@pytest.fixture
def start(server, hooks):
    def start(config=None, **options):
        given = {"hooks": {"dir": str(hooks.dir)}}
        return server(config=rig.merge(given, config or {}),
                      env={"HOME": str(hooks.home), "SECRET": "x"}, **options)
    return start
