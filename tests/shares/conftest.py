"""Pools on a file system that two hosts share: TUSFCGI_SHARE says which."""

import os
import shutil
import tempfile

import pytest

from lib import left, rig
from lib.app import App

from . import share as shares

KIND = os.environ.get("TUSFCGI_SHARE", "")
# They take minutes, and engines that are not everywhere.
collect_ignore_glob = [] if KIND else ["test_*.py"]


@pytest.fixture(scope="session")
def share():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if KIND not in shares.KINDS:
        pytest.skip(f"TUSFCGI_SHARE is none of {', '.join(shares.KINDS)}")
    folder = tempfile.mkdtemp(prefix="tus-share-", dir="/tmp")
    try:
        one = shares.KINDS[KIND](folder)
    except (shares.Cannot, TimeoutError) as e:
        pytest.skip(f"{KIND}: {e}")
    left.keep()
    yield one
    one.close()
    shutil.rmtree(folder, ignore_errors=True)


SHARED = {"store": {"shared": True, "durability": "full"},
          "lock": {"method": "ofd"}, "metrics": {"enabled": True},
          "pool": {"min_spare": 2, "max_workers": 8}}


@pytest.fixture
def pool(share, tmp_path):
    """pool(0), pool(1): on either host, on one store."""
    started = []

    def start(i, config=SHARED, launch=True):
        folder = tmp_path / f"pool{len(started)}"
        folder.mkdir()
        store = share.places[i] / f"store-{tmp_path.name[-40:]}"
        one = App(folder, config=rig.merge(
            {"store": {"path": str(store)}}, config))
        one.uploads = store
        started.append(one)
        if launch:
            begin(one)
        return one

    yield start
    for one in started:
        one.stop()
        one.check_logs()


def begin(one):
    before = len(one.log()) if one.log_path.exists() else 0
    one.start_app()
    # It listens before it knows that it may serve.
    rig.wait_for(lambda: "listening on" in one.log()[before:] or
                 one.app.poll() is not None, "the start", patience=60)
    assert one.app.poll() is None, one.log()


@pytest.fixture
def pools(pool):
    return pool(0), pool(1)
