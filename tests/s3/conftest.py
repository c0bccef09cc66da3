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
def engine(request):
    """The one that a test is about; its parameter is the flaws.  Some files have
    others."""
    one = bucket.start_engine(getattr(request, "param", ""))
    yield one
    one.stop()


@pytest.fixture
def start(tmp_path, engine, servers):
    """start(**options) -> a bucket.Server."""
    return lambda **options: servers(
        bucket.Server(tmp_path, engine, **options))
