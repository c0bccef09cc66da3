"""Two pools in network namespaces of their own, one store, locks in Redis."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from lib import rig
from lib.app import App, children, is_alive

SESSION = 4


def have_namespaces():
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    run = subprocess.run(["ip", "netns", "add", "tus-probe"],
                         capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", "tus-probe"], capture_output=True,
                   check=False)
    return run.returncode == 0


pytestmark = [
    pytest.mark.skipif(not shutil.which("redis-server"),
                       reason="redis-server is not installed"),
    pytest.mark.skipif(not have_namespaces(),
                       reason="needs root and network namespaces"),
    pytest.mark.skipif("redis" not in subprocess.run(
        [rig.program(), "-V"], capture_output=True, text=True,
        check=True).stdout, reason="built without hiredis"),
]


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


# Bytes that were acknowledged before the PATCH that is broken; no host counts
# on more than these when the writer could not say what it had.
ACKNOWLEDGED = 10
SAFE = str(ACKNOWLEDGED)
REST = b"y" * (100 - ACKNOWLEDGED)


class Net:
    """A host for the engine, and one for each pool."""

    def __init__(self):
        self.name = f"tus{os.getpid()}"
        self.engine = self.name + "e"
        self.hosts = [self.name + "a", self.name + "b"]
        for name in [self.engine, *self.hosts]:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for i, host in enumerate(self.hosts):
            ip("link", "add", "up0", "netns", host, "type", "veth", "peer",
               "name", f"down{i}", "netns", self.engine)
            ip("-n", host, "addr", "add", f"10.99.{i}.2/24", "dev", "up0")
            ip("-n", self.engine, "addr", "add", f"10.99.{i}.1/24", "dev",
               f"down{i}")
            ip("-n", host, "link", "set", "up0", "up")
            ip("-n", self.engine, "link", "set", f"down{i}", "up")

    def cut(self, i):
        ip("-n", self.hosts[i], "link", "set", "up0", "down")

    def mend(self, i):
        ip("-n", self.hosts[i], "link", "set", "up0", "up")

    def close(self):
        for name in [self.engine, *self.hosts]:
            subprocess.run(["ip", "netns", "del", name], check=False,
                           capture_output=True)


@pytest.fixture
def hosts(tmp_path):
    """[A, B]; net and redis are A's members, too."""
    net = Net()
    redis = subprocess.Popen(
        ["ip", "netns", "exec", net.engine, "redis-server", "--port", "6379",
         "--protected-mode", "no", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL)
    pools = []
    try:
        for i, host in enumerate(net.hosts):
            folder = tmp_path / f"host{i}"
            folder.mkdir()
            one = App(folder, under=["ip", "netns", "exec", host], config={
                "store": {"path": str(tmp_path / "store"),
                          "shared": True, "durability": "full"},
                "pool": {"min_spare": 2, "max_workers": 8},
                "lock": {"type": "redis", "hosts": [f"10.99.{i}.1:6379"],
                         "session": f"{SESSION}s", "reply": "1s"}})
            one.net, one.redis = net, redis
            one.uploads = tmp_path / "store"
            pools.append(one)
            one.start_app()
            rig.wait_for(lambda one=one: "session of" in one.log(),
                         "a session")
        yield pools
    finally:
        for one in pools:
            one.stop()
        redis.kill()
        redis.wait()
        net.close()
    for one in pools:
        one.check_logs()


def agent_of(one):
    """The one of the children that writes to the board."""
    return next(pid for pid in children(one.app.pid) if any(
        "rw-s" in line and "tusfcgi-locks" in line for line in
        Path(f"/proc/{pid}/maps").read_text().splitlines()))


def begin(one, size=100):
    """An upload, and a body that has only half come."""
    path = one.client.create(size)
    assert one.client.patch(path, 0, b"x" * ACKNOWLEDGED).status == 204
    patch = one.client.open_patch(path, ACKNOWLEDGED, size - ACKNOWLEDGED)
    patch.send(b"x" * (size // 2 - ACKNOWLEDGED))
    rig.wait_for(lambda: one.data_size(path) == size // 2, "the bytes")
    return path, patch


def offset_within(one, path, seconds):
    """What HEAD says at last, and after how long."""
    began = time.monotonic()
    while True:
        answer = one.client.head(path)
        took = time.monotonic() - began
        if answer.status == 200 or took > seconds:
            return answer, took
        time.sleep(0.05)


def test_an_upload_goes_from_host_to_host(hosts):
    a, b = hosts
    path, patch = begin(a)
    time.sleep(0.3)
    answer, took = offset_within(b, path, 5)
    assert (answer.status, answer.headers["upload-offset"]) == (200, "50")
    assert took < 2
    answer = patch.read()
    assert answer.status == 423
    assert answer.body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    line = [x for x in b.log().splitlines() if "method=HEAD" in x][-1]
    assert f"lock_host={socket.gethostname()} " in line, line
    assert b.client.patch(path, 50, b"y" * 50).status == 204
    assert a.client.head(path).headers["upload-offset"] == "100"


def test_what_a_killed_worker_held_is_free_everywhere(hosts):
    a, b = hosts
    path, patch = begin(a)
    for pid in children(a.app.pid):
        if pid != agent_of(a):
            os.kill(pid, signal.SIGKILL)
    answer, took = offset_within(b, path, 5)
    patch.close()
    assert (answer.status, answer.headers["upload-offset"]) == (200, SAFE)
    assert took < 1.5


def test_what_a_killed_agent_held_is_free_soon(hosts):
    a, b = hosts
    path, patch = begin(a)
    os.kill(agent_of(a), signal.SIGKILL)
    answer = patch.read()
    assert answer.body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    answer, took = offset_within(b, path, 2 * SESSION)
    assert (answer.status, answer.headers["upload-offset"]) == (200, SAFE)
    assert took < SESSION
    rig.wait_for(lambda: a.client.head(path).status == 200, "another agent")
    assert "the lock agent died" in a.log()


def test_a_host_that_is_cut_off_stops_before_another_begins(hosts):
    a, b = hosts
    path, patch = begin(a)
    a.net.cut(0)
    began = time.monotonic()
    answer = patch.read()
    stopped = time.monotonic() - began
    assert answer.body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    answer, _ = offset_within(b, path, 2 * SESSION)
    took = time.monotonic() - began
    assert (answer.status, answer.headers["upload-offset"]) == (200, SAFE)
    assert stopped < SESSION and stopped < took < SESSION + 2
    assert a.client.patch(path, ACKNOWLEDGED, REST).status == 503
    assert a.client.head(path).status == 423
    a.net.mend(0)
    rig.wait_for(lambda: a.client.head(path).status == 200, "the link")
    assert a.client.patch(path, ACKNOWLEDGED, REST).status == 204


def test_without_redis_nobody_writes_and_the_rest_goes_on(hosts):
    a, b = hosts
    path = a.client.create(10)
    done = a.client.create(3)
    assert a.client.patch(done, 0, b"abc").status == 204
    a.redis.send_signal(signal.SIGSTOP)
    answer = a.client.patch(path, 0, b"x" * 5)
    assert answer.status == 503 and answer.headers["retry-after"] == "5"
    assert answer.body.startswith(b"ERR_LOCK_UNAVAILABLE")
    assert b.client.head(path).status == 423
    assert b.client.head(done).headers["upload-offset"] == "3"
    a.redis.send_signal(signal.SIGCONT)
    began = time.monotonic()
    rig.wait_for(lambda: a.client.patch(path, 0, b"x" * 5).status == 204,
                 "redis")
    assert time.monotonic() - began < 5
    assert is_alive(agent_of(a)) and is_alive(agent_of(b))
