"""Parked uploads whose locks are in a lock service: the lock changes its
process with the upload, and is still one lock for all hosts."""

import os
import signal
import subprocess
import time

import pytest

from lib import clients, proc, rig, slow
from lib.hosts import ENGINES, Service, must_be_installed

DATA = bytes(range(256)) * 40
SESSION = 10


@pytest.fixture(params=ENGINES)
def pools(request, server, tmp_path):
    """Two pools, each with an agent of its own, on one directory."""
    kind = request.param
    must_be_installed(kind)
    if kind not in subprocess.run([rig.program(), "-V"], capture_output=True,
                                  text=True, check=True).stdout:
        pytest.skip(f"built without {kind}")
    service = Service(kind, tmp_path / kind, port=rig.free_port())
    config = {
        "store": {"path": str(tmp_path / "store"), "shared": True,
                  "durability": "full"},
        "pool": {"max_parked": 100, "max_workers": 4, "min_spare": 2,
                 "reserve": 1},
        "metrics": {"enabled": True, "path": "/files/metrics"},
        "lock": {"type": kind, "hosts": [f"127.0.0.1:{service.port}"],
                 "session": f"{SESSION}s", "reply": "3s"}}
    (tmp_path / "store").mkdir()
    try:
        both = []
        for _ in "ab":
            one = server(config=config)
            one.uploads = tmp_path / "store"
            rig.wait_for(lambda one=one: "session of" in one.log(),
                         "a session", 60)
            both.append(one)
        yield both
    finally:
        service.kill()


def size(one, path):
    return (one.uploads / path.rsplit("/", 1)[1]).stat().st_size


def park(one):
    """An upload that has some bytes on the disk and is parked."""
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    up.send(1000)
    rig.wait_for(lambda: size(one, path) == 1000, "the bytes")
    slow.wait_parked(one, 1)
    return path, up


def parker(one):
    return next(p for p in proc.children(one.app.pid) if proc.is_parking(p))


def test_the_lock_goes_along_with_a_parked_upload(pools):
    """Through three workers at least, and every worker serves others."""
    a, b = pools
    path, up = park(a)
    for n in range(3):
        # The worker that had the lock takes others.
        assert slow.create(a, 10)
        up.send(1000)
        rig.wait_for(lambda n=n: size(a, path) == 2000 + 1000 * n,
                     "the bytes")
        slow.wait_parked(a, 1)
    up.send_rest()
    assert up.answer()[0] == 204
    assert (a.uploads / path.rsplit("/", 1)[1]).read_bytes() == DATA
    assert "parks=4" in a.log()
    # It is free for the other host, at once.
    began = time.monotonic()
    assert clients.offset(b.origin + path) == len(DATA)
    assert clients.request("DELETE", b.origin + path)[0] == 204
    assert time.monotonic() - began < SESSION / 2


@pytest.mark.parametrize("which", [0, 1])
def test_a_parked_upload_is_handed_over_to_a_request(pools, which):
    """Of this host, or of the other."""
    path, up = park(pools[0])
    other = pools[which]
    up.send(500)
    began = time.monotonic()
    assert clients.offset(other.origin + path) == 1500
    assert time.monotonic() - began < 3
    status, _, body = up.answer()
    assert (status, body.split(b":")[0]) == (423, b"ERR_UPLOAD_INTERRUPTED")
    more = slow.append(other, path, DATA[1500:], 1500)
    more.send_rest()
    assert more.answer()[0] == 204
    assert (other.uploads / path.rsplit("/", 1)[1]).read_bytes() == DATA


def test_the_lock_is_free_when_the_parking_process_is_killed(pools):
    """The agent sees the end of the connection: nobody waits for the
    session."""
    a, b = pools
    path, up = park(a)
    os.kill(parker(a), signal.SIGKILL)
    began = time.monotonic()
    # In a shared store what was not acknowledged is cut off.
    assert clients.offset(b.origin + path) == 0
    assert time.monotonic() - began < SESSION / 2
    assert up.answer()[0] == 502


def test_no_byte_is_written_when_the_lock_was_lost_meanwhile(pools):
    """The agent dies while the upload is parked."""
    a, b = pools
    path, up = park(a)
    agent = next(p for p in proc.children(a.app.pid) if is_agent(p))
    os.kill(agent, signal.SIGKILL)
    rig.wait_for(lambda: clients.request("HEAD", b.origin + path)[0] == 200,
                 "the other host to get it", 30)
    # In a shared store what was not acknowledged is cut off.
    other = slow.append(b, path, DATA)
    other.send(100)
    rig.wait_for(lambda: size(b, path) == 100, "the bytes of the other")
    up.send(3000)
    status, _, body = up.answer()
    assert (status, body.split(b":")[0]) == (423, b"ERR_UPLOAD_INTERRUPTED")
    other.send_rest()
    assert other.answer()[0] == 204
    assert (b.uploads / path.rsplit("/", 1)[1]).read_bytes() == DATA


def is_agent(pid):
    """It writes to the board of the locks."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return any("rw-s" in line and "tusfcgi-locks" in line
                   for line in maps)
