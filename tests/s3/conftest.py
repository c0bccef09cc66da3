"""An S3 in memory for each test, and tusfcgi in front of it."""

import pytest

from s3 import bucket


@pytest.fixture
def strict():
    """It has no flaws, and the smallest part is bucket.PART."""
    one = bucket.start_engine("")
    yield one
    one.stop()


@pytest.fixture
def engine(strict):
    """The one that a test is about; some files have others."""
    return strict


@pytest.fixture
def start(tmp_path, engine, servers):
    """start(**options) -> a bucket.Server."""
    return lambda **options: servers(
        bucket.Server(tmp_path, engine, **options))
