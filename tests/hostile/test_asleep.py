"""Two pools with an agent each, one Redis: what a process does that slept
longer than its lease."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from lib import rig
from lib.app import App, children
from lib.hosts import agent_of, half
from lib.locks import SESSION, Redis

pytestmark = [
    pytest.mark.skipif(not shutil.which("redis-server"),
                       reason="redis-server is not installed"),
    pytest.mark.skipif("redis" not in subprocess.run(
        [rig.program(), "-V"], capture_output=True, text=True,
        check=True).stdout, reason="built without hiredis"),
]


@pytest.fixture
def pools(tmp_path, short_folder):
    redis = Redis(short_folder)
    started = []
    try:
        for name in "ab":
            place = tmp_path / name
            place.mkdir()
            one = App(place, config={
                "store": {"path": str(tmp_path / "store"), "shared": True,
                          "durability": "full"},
                # What is parked has no file open: nothing keeps B out of it.
                "pool": {"min_spare": 2, "max_workers": 8, "max_parked": 0},
                "metrics": {"enabled": True},
                "lock": {"type": "redis", "hosts": [redis.path],
                         "session": f"{SESSION}s", "reply": "1s"}})
            one.uploads = tmp_path / "store"
            one.redis = redis
            started.append(one)
            one.start_app()
            rig.wait_for(lambda one=one: "session of" in one.log(),
                         "a session")
        yield started
    finally:
        for one in started:
            one.stop()
        redis.stop()
    for one in started:
        one.check_logs()


def send_to(pids, sig):
    for pid in pids:
        os.kill(pid, sig)


def has_lock(redis, path):
    return [x for x in redis.locks() if path.rsplit("/", 1)[1] in x]


def test_a_worker_that_is_stopped_keeps_its_lock(pools):
    """The agent renews it."""
    a, b = pools
    path, patch = half(a)
    workers = [p for p in children(a.app.pid) if p != agent_of(a)]
    send_to(workers, signal.SIGSTOP)
    end = time.monotonic() + SESSION + 1
    try:
        while time.monotonic() < end:
            assert b.client.head(path).status == 423
    finally:
        send_to(workers, signal.SIGCONT)
    # It was asked to give way meanwhile, and does so with all that it has.
    assert patch.read().body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    assert b.client.offset(path) == 50


@pytest.mark.parametrize("first", ["worker", "agent"])
def test_a_worker_stopped_beyond_its_lease_must_not_write(pools, first):
    """Whichever of the two wakes up first."""
    a, b = pools
    path, patch = half(a)
    agent = agent_of(a)
    workers = [p for p in children(a.app.pid) if p != agent]
    send_to([*workers, agent], signal.SIGSTOP)
    rig.wait_for(lambda: not has_lock(a.redis, path), "the end of the lease")
    # More comes while it sleeps, which it finds when it wakes up.
    patch.send(b"z" * 50)
    assert b.client.head(path).status == 423
    order = [workers, [agent]] if first == "worker" else [[agent], workers]
    send_to(order[0], signal.SIGCONT)
    if first == "worker":
        assert patch.read().body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    send_to(order[1], signal.SIGCONT)
    if first == "agent":
        assert patch.read().body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    assert b"z" not in (a.uploads / path.rsplit("/", 1)[1]).read_bytes()
    # Only what was acknowledged before counts.
    assert rig.wait_for(lambda: b.client.head(path).status == 200, "b")
    assert b.client.offset(path) == 10
    assert b.client.patch(path, 10, b"y" * 90).status == 204
    answer = a.client.request("GET", path, resumable=None)
    assert answer.body == b"x" * 10 + b"y" * 90
