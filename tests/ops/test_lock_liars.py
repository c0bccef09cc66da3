"""A lock service that answers anything at all, and clients of the lock agent
that behave badly: the agent lives on, and needs no more memory."""

import os
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from lib import proc, rig, zookeeper
from lib.listener import Listener
from lib.zookeeper import (
    CHILDREN, CONNECT, CREATE2, Cut, event, frame, number, reply, text)
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
    "zookeeper": {
        "bytes": (b"", bytes(range(256)) * 16),
        "sessions": (b"", number(37) + bytes(37)),
        "lengths below zero": (b"", b"\xff" * 41),
    },
}


def of(kind, lie):
    """A lie about answers of one kind."""
    return lambda k, xid, true: lie(xid, true) if k == kind else true


def of_all(lie):
    """A lie about all answers but that to the handshake."""
    return lambda k, xid, true: true if k == CONNECT else lie(xid, true)


def cut_at_each_byte():
    length = 0

    def lie(kind, xid, true):
        nonlocal length
        length += 1
        return Cut(true[:length % len(true)])
    return lie


# What a ZooKeeper says that is true but for this: the type of a request, the
# xid and the true answer to it -> what is sent.  With its length in front.
ZOOKEEPER = {
    "a byte less": of_all(lambda xid, true: frame(true[4:-1])),
    "half of it": of_all(lambda xid, true: frame(true[4:len(true) // 2 + 10])),
    "the head of a list": of(CHILDREN, lambda xid, true: reply(xid)),
    "a piece of the head": of_all(lambda xid, true: frame(true[4:11])),
    "nothing": of_all(lambda xid, true: frame(b"")),
    "a length below zero": of_all(lambda xid, true: number(-1) + true),
    "no end": of_all(lambda xid, true: number(2 ** 31 - 1) + bytes(1 << 26)),
    "another xid": of_all(lambda xid, true: reply(xid + 7)),
    "twice": of_all(lambda xid, true: true + true),
    "events": of_all(lambda xid, true: event(b"/tus/l/x") + event(b"") + true),
    "the end of a session": of_all(
        lambda xid, true: event(b"", -1, -112) + true),
    "a list of less": of(CHILDREN, lambda xid, true: reply(
        xid, number(1000) + text(b"an-upload.abc"))),
    "odd names": of(CHILDREN, lambda xid, true: reply(
        xid, number(4) + text(b"") + text(b".") + text(b"\n\0\xff.\xff") +
        text(b"x" * 70000 + b".y"))),
    "errors": of_all(lambda xid, true: reply(xid, error=77)),
    "a session of no time": of(
        CONNECT, lambda xid, true: true[:8] + number(0) + true[12:]),
    "a session of weeks": of(
        CONNECT, lambda xid, true: true[:8] + number(2 ** 31 - 1) + true[12:]),
    "no leader": of(CONNECT, lambda xid, true: true[:-1] + b"\1"),
    "another session": of(CONNECT, lambda xid, true: (
        true[:12] + os.urandom(8) + true[20:])),
    "no more": lambda kind, xid, true: Cut(),
}

# The library of ZooKeeper does not survive these.
FATAL = {
    "unasked": of(zookeeper.SYNC, lambda xid, true: true + reply(xid + 1)),
    "an event of nothing": of(
        zookeeper.SYNC, lambda xid, true: reply(zookeeper.EVENT) + true),
    "the head of an answer": of(CREATE2, lambda xid, true: reply(xid)),
}


class Liar(Listener):
    """Says the same to each that asks, as long as it listens."""

    def __init__(self, first, then):
        self.first, self.then = first, then
        super().__init__()

    def talk(self, one):
        one.recv(65536)
        one.sendall(self.first)
        while self.socket.fileno() != -1:
            one.sendall(self.then)


class Victim:
    """An agent that believes the service at that port."""

    def __init__(self, kind, port, folder, place):  # noqa: F811
        if kind not in BUILT:
            pytest.skip(f"built without {kind}")
        self.log_path = folder / "log"
        self.socket = place / "lock.sock"
        file = folder / "conf"
        file.write_text(rig.libconfig({
            "store": {"path": str(folder / "store"), "shared": True,
                      "durability": "full"},
            "lock": {"type": kind, "hosts": [f"127.0.0.1:{port}"],
                     "reply": "1s", "session": "4s",
                     "agent": str(self.socket)}}))
        # What was freed must not count, nor the shadow of two GiB.
        self.process = rig.spawn(
            [rig.program(), "lock-agent", "-c", str(file)], self.log_path,
            env={"ASAN_OPTIONS": "quarantine_size_mb=1:"
                                 "allocator_may_return_null=1:"
                                 "max_allocation_size_mb=1024"})
        self.child, = rig.wait_for(
            lambda: "listening" in self.log() and
            proc.children(self.process.pid), "the agent")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def take(self):
        """Does it grant a lock?"""
        try:
            with connect(self) as one:
                one.recv(16)
                one.send(REQUEST.pack(TAKE, False, 0, b"an-upload"))
                return struct.unpack("@i", one.recv(1024)[:4])[0] == 0
        except (OSError, struct.error):
            return False

    def lives(self, seconds):
        """The same one, in as little memory, and without a rest."""
        time.sleep(seconds)
        assert proc.children(self.process.pid) == [self.child], self.log()
        status = Path(f"/proc/{self.child}/status").read_text()
        assert int(re.search(r"VmRSS:\s+(\d+)", status)[1]) < 150 << 10
        times = Path(f"/proc/{self.child}/stat").read_text().split()[13:15]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")

    def end(self):
        assert rig.end(self.process, signal.SIGTERM) == 0
        assert max(map(len, self.log().splitlines())) < 4096


@pytest.mark.parametrize("kind, lie", [
    (kind, lie) for kind, lies in LIES.items() for lie in lies])
def test_the_agent_outlives_any_answer(tmp_path, place, kind, lie):  # noqa: F811
    liar = Liar(*LIES[kind][lie])
    one = Victim(kind, liar.port, tmp_path, place)
    try:
        one.lives(3)
        assert "session of" not in one.log()
    finally:
        liar.stop()
        one.end()
    assert not rig.SANITIZER.search(one.log()), one.log()


@pytest.mark.parametrize("lie", [*ZOOKEEPER, "a cut at each byte"])
def test_the_agent_outlives_a_zookeeper_that_lies(tmp_path, place, lie):  # noqa: F811
    """And does not spin, and has locks again when it says what is true."""
    liar = zookeeper.ZooKeeper(ZOOKEEPER.get(lie) or cut_at_each_byte())
    one = Victim("zookeeper", liar.port, tmp_path, place)
    try:
        one.take()
        assert one.lives(3) < 1, one.log()
        liar.lie = None
        rig.wait_for(one.take, "a lock")
        one.lives(0)
    finally:
        liar.stop()
        one.end()
    assert not rig.SANITIZER.search(one.log()), one.log()


@pytest.mark.parametrize("lie", FATAL)
def test_an_agent_that_a_zookeeper_kills_is_followed_by_another(
        tmp_path, place, lie):  # noqa: F811
    """Each is alone with what it has read, and the last one has locks."""
    liar = zookeeper.ZooKeeper(FATAL[lie])
    one = Victim("zookeeper", liar.port, tmp_path, place)
    try:
        rig.wait_for(lambda: one.take() or len(re.findall(
            r"the lock agent (?:died of signal|left with status) \d+: its "
            "locks are lost", one.log())) >= 3, "three deaths")
        assert not one.take()
        liar.lie = None
        rig.wait_for(one.take, "a lock")
    finally:
        liar.stop()
        one.end()


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
