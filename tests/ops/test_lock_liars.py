"""A lock service that answers anything at all, and clients of the lock agent
that behave badly: the agent lives on, and needs no more memory."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lib import proc, rig
from ops.test_lock_agent import (  # noqa: F401 (fixtures)
    REQUEST, TAKE, agent, alone, place, pytestmark, redis)

BUILT = subprocess.run([rig.program(), "-V"], capture_output=True, text=True,
                       check=True).stdout
HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# What is sent first, and what then, for ever.
LIES = {
    "redis": {
        "yes to all": (b"", b"+OK\r\n"),
        "numbers nobody asked for": (b"", b":1\r\n:99999999999999999999\r\n"),
        "nothing": (b"", b"$-1\r\n"),
        "a string without an end": (b"$500000000\r\n", b"x" * 65536),
        "a line without an end": (b"+", b"x" * 65536),
        "arrays": (b"", b"*2\r\n*1\r\n:1\r\n$-1\r\n"),
        "a long array": (b"*1000000000\r\n", b":1\r\n" * 10000),
        "another script": (b"", b"-NOSCRIPT none\r\n"),
        "bytes": (b"", bytes(range(256)) * 16),
    },
    "etcd": {
        "a body without an end": (HTTP + b"\r\n", b"x" * 65536),
        "headers without an end": (HTTP, b"X-More: " + b"x" * 4000 + b"\r\n"),
        "chunks without an end": (
            HTTP + b"Transfer-Encoding: chunked\r\n\r\n",
            b"10000\r\n" + b"{" * 65536 + b"\r\n"),
        "lines": (HTTP + b"Transfer-Encoding: chunked\r\n\r\n",
                  b"1\r\n\n\r\n" * 1000),
        "empty answers": (b"", HTTP + b"Content-Length: 2\r\n\r\n{}"),
        "odd leases": (b"", HTTP + b"Content-Length: 66\r\n\r\n"
                       b'{"header":{},"ID":"1\\r\\n\\"","TTL":"99999999999'
                       b'9999999999999999"}'),
        "tokens": (b"", HTTP + b"Content-Length: 18\r\n\r\n"
                   b'{"token":"a\\r\\nb"}'),
        "bytes": (b"", bytes(range(256)) * 16),
    },
}


class Liar:
    """Says the same to each that asks, as long as it listens."""

    def __init__(self, first, then):
        self.first, self.then = first, then
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.lie, args=(one,),
                             daemon=True).start()

    def lie(self, one):
        with one:
            try:
                one.recv(65536)
                one.sendall(self.first)
                while self.socket.fileno() != -1:
                    one.sendall(self.then)
            except OSError:
                pass


@pytest.mark.parametrize("kind, lie", [
    (kind, lie) for kind, lies in LIES.items() for lie in lies])
def test_the_agent_outlives_any_answer(tmp_path, place, kind, lie):  # noqa: F811
    if kind not in BUILT:
        pytest.skip(f"built without {kind}")
    liar = Liar(*LIES[kind][lie])
    file, log = tmp_path / "conf", tmp_path / "log"
    file.write_text(rig.libconfig({
        "store": {"path": str(tmp_path / "store"), "shared": True,
                  "durability": "full"},
        "lock": {"type": kind, "hosts": [f"127.0.0.1:{liar.port}"],
                 "reply": "1s", "session": "4s",
                 "agent": str(place / "lock.sock")}}))
    # What was freed must not count.
    one = rig.spawn([rig.program(), "lock-agent", "-c", str(file)], log,
                    env={"ASAN_OPTIONS": "quarantine_size_mb=1"})
    try:
        child, = rig.wait_for(
            lambda: "listening" in log.read_text() and
            proc.children(one.pid), "the agent")
        time.sleep(3)
        assert proc.children(one.pid) == [child], log.read_text()
        status = Path(f"/proc/{child}/status").read_text()
        assert int(re.search(r"VmRSS:\s+(\d+)", status)[1]) < 150 << 10
        assert "session of" not in log.read_text()
        assert max(map(len, log.read_text().splitlines())) < 4096
    finally:
        liar.socket.close()
        assert rig.end(one, signal.SIGTERM) == 0
    assert not rig.SANITIZER.search(log.read_text()), log.read_text()


def connect(agent):  # noqa: F811
    one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.settimeout(10)
    one.connect(str(agent.socket))
    return one


def test_clients_that_die_or_never_listen_keep_nothing(agent, redis, alone):  # noqa: F811
    """As a worker that is killed between its request and the answer."""
    child = agent.child()
    take = REQUEST.pack(TAKE, True, 0, b"an-upload")
    for _ in range(50):
        with connect(agent) as one:
            one.send(take)
    deaf = connect(agent)
    deaf.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            deaf.send(take)
    deaf.close()
    rig.wait_for(lambda: not [x for x in redis.locks() if "an-upload" in x],
                 "the locks to be gone")
    path = alone().client.create(5)
    assert alone().client.patch(path, 0, b"hello").status == 204
    assert agent.child() == child


FLOOD = """
import socket, sys, time
end, n = time.monotonic() + 3, 0
while time.monotonic() < end:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.setblocking(False)
    try:
        s.connect(sys.argv[1])
        n += 1
    except OSError:
        time.sleep(0.001)
    s.close()
print(n)
"""


def test_another_user_who_connects_for_ever_stops_nobody(agent, alone):  # noqa: F811
    if os.geteuid() != 0:
        pytest.skip("needs root")
    one = alone()
    os.chmod(agent.socket, 0o666)
    with subprocess.Popen(
            ["setpriv", "--reuid", "65534", "--clear-groups",
             "/usr/bin/python3", "-c", FLOOD, agent.socket],
            stdout=subprocess.PIPE, text=True) as flood:
        done = 0
        while flood.poll() is None:
            path = one.client.create(5)
            assert one.client.patch(path, 0, b"hello").status == 204
            done += 1
        assert int(flood.stdout.read()) > 100
    assert done > 3
