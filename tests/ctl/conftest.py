"""A directory of uploads, and tusctl for it."""

import pytest

from lib.tusctl import Tool


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path)


@pytest.fixture
def store(tool):
    return tool.store
