"""tusfcgi lock-agent: one agent of a host for processes without a master."""

import itertools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest

from lib import clients, fronts, proc, rig
from lib.app import App, is_alive
from lib.locks import SESSION, Agent, Redis
from ops.exposition import Metrics
from ops.test_metrics import NAMES, SERVICE

pytestmark = [
    pytest.mark.skipif(not shutil.which("redis-server"),
                       reason="redis-server is not installed"),
    pytest.mark.skipif("redis" not in subprocess.run(
        [rig.program(), "-V"], capture_output=True, text=True,
        check=True).stdout, reason="built without hiredis"),
]

@pytest.fixture
def place(short_folder):
    return short_folder


@pytest.fixture
def redis(place):
    one = Redis(str(place))
    yield one
    one.stop()


def settings(place, redis, **more):
    return rig.merge({
        "store": {"shared": True, "durability": "full"},
        "lock": {"type": "redis", "hosts": [redis.path], "reply": "1s",
                 "session": f"{SESSION}s", "agent": str(place / "lock.sock")},
        "log": {"level": "debug"}}, more)


@pytest.fixture
def agent(place, redis):
    one = Agent(settings(place, redis), place)
    yield one
    if one.process.poll() is None:
        one.stop()
    for log in place.glob("agent*"):
        assert not rig.SANITIZER.search(log.read_text()), log.read_text()


@pytest.fixture
def alone(tmp_path, place, redis, agent, servers):
    """Any number of processes without a master, as a web server starts
    them."""
    numbers = itertools.count()

    def start(**more):
        folder = tmp_path / f"alone{next(numbers)}"
        folder.mkdir()
        one = App(folder, args=["-w", "1"], config=rig.merge(settings(
            place, redis, store={"path": str(tmp_path / "store")}), more))
        one.uploads = tmp_path / "store"
        return servers(one)

    assert is_alive(agent.child())
    return start


def begin(one):
    path = one.client.create(100)
    patch = one.client.open_patch(path, 0, 100)
    patch.send(b"x" * 50)
    rig.wait_for(lambda: one.data_size(path) == 50, "the bytes")
    return path, patch


def test_processes_without_a_master_lock_each_other_out(alone):
    a, b = alone(), alone()
    path, patch = begin(a)
    assert b.client.offset(path) == 50
    assert patch.read().body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    assert b.client.patch(path, 50, b"y" * 50).status == 204
    assert not proc.children(a.app.pid) and not proc.children(b.app.pid)


def test_an_agent_that_dies_is_followed_by_another(alone, agent):
    a = alone()
    path, patch = begin(a)
    child = agent.child()
    os.kill(child, signal.SIGKILL)
    assert patch.read().body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    began = time.monotonic()
    rig.wait_for(lambda: a.client.head(path).status == 200, "another agent")
    assert time.monotonic() - began < SESSION - 1
    assert agent.child() != child
    assert "the lock agent died" in agent.log()
    assert a.client.patch(path, a.client.offset(path), b"y").status == 204


def test_without_the_service_nothing_is_locked_until_it_is_back(alone, agent):
    a = alone()
    path = a.client.create(10)
    assert a.client.patch(path, 0, b"abc").status == 204
    agent.stop(signal.SIGKILL)
    answer = a.client.patch(path, 3, b"d")
    assert answer.status == 503
    assert answer.body.startswith(b"ERR_LOCK_UNAVAILABLE")
    assert a.client.head(path).status == 423
    agent.start()
    assert a.client.patch(path, 3, b"defghij").status == 204
    assert a.client.offset(path) == 10


# struct agent_request of lock/agent.h: op, may_ask, slot, id.
REQUEST = struct.Struct("@iBi65s3x")
TAKE, UNASK, RELEASE = 1, 2, 3


NONSENSE = [
    REQUEST.pack(TAKE, 2, 0, b"a b"),
    *[REQUEST.pack(RELEASE, False, slot, b"")
      for slot in (-1, -2 ** 31, 8192, 2 ** 31 - 1)],
    *[REQUEST.pack(op, True, 0, id_)
      for op in (TAKE, UNASK)
      for id_ in (b"", b"a}b", b"a/../b", b"a b", b"\xff", b"x" * 65)],
    REQUEST.pack(99, False, 0, b"a"), REQUEST.pack(-1, False, 0, b"a"),
    b"", b"x", b"x" * 79, b"x" * 4096]


@pytest.mark.parametrize("data", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_at_its_socket_does_nothing(agent, redis, data):
    """As of a worker that was taken over."""
    child = agent.child()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        one.settimeout(10)
        one.connect(str(agent.socket))
        assert one.recv(16) == b"b"
        one.send(data)
        if data[:4] != REQUEST.pack(RELEASE, False, 0, b"")[:4]:
            assert one.recv(1024) == b""
        else:
            assert one.recv(1024)
    assert not redis.locks()
    assert agent.child() == child


def test_a_stop_gives_up_what_is_held(alone, agent, redis):
    """The holder has been told before another may have it."""
    a = alone()
    path, patch = begin(a)
    assert [x for x in redis.locks() if path.rsplit("/", 1)[1] in x]
    began = time.monotonic()
    assert agent.stop() == 0
    assert time.monotonic() - began < SESSION - 1
    assert not redis.locks()
    assert patch.read().body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    assert not os.path.exists(agent.socket)
    agent.start()
    assert a.client.head(path).status == 200


def scrape(one):
    answer = one.client.request("GET", "/metrics", resumable=None)
    return Metrics(answer.body.decode())


def test_the_metrics_tell_of_the_service(alone, agent, redis):
    one = alone(metrics={"enabled": True})
    assert one.client.create(1)
    m = scrape(one)
    assert m.types == {f"tusd_{k}": v for k, v in {**NAMES, **SERVICE}.items()}
    assert m["tusd_lock_agent_up"] == 1 and m["tusd_lock_held"] == 0
    assert 0 < m["tusd_lock_session_seconds"] <= SESSION
    path, patch = begin(one)
    other = alone(metrics={"enabled": True})
    rig.wait_for(lambda: scrape(other)["tusd_lock_held"] == 1, "the lock")
    before = scrape(other)
    assert before["tusd_lock_engine_seconds_count"] > m[
        "tusd_lock_engine_seconds_count"] > 0
    assert before['tusd_lock_engine_seconds_bucket{le="+Inf"}'] == before[
        "tusd_lock_engine_seconds_count"]
    assert before["tusd_lock_lost_total"] == 0
    redis.ask("del", *redis.locks())
    assert patch.read().status == 423
    rig.wait_for(lambda: scrape(other)["tusd_lock_lost_total"] == 1,
                 "the loss")
    redis.process.send_signal(signal.SIGSTOP)
    rig.wait_for(lambda: scrape(other)["tusd_lock_engine_errors_total"] > 0,
                 "an error")
    rig.wait_for(lambda: scrape(other)["tusd_lock_agent_up"] == 0, "the end")
    assert scrape(other)["tusd_lock_session_seconds"] == 0
    redis.process.send_signal(signal.SIGCONT)
    rig.wait_for(lambda: scrape(other)["tusd_lock_agent_up"] == 1, "its back")
    agent.stop()
    assert scrape(other)["tusd_lock_agent_up"] == 0
    assert path


def test_two_stores_with_one_prefix_are_refused(alone, agent, place, redis,
                                                tmp_path):
    """By accident they would wait for each other."""
    one = alone()
    note = tmp_path / "store/.store"
    rig.wait_for(lambda: note.exists() and note.stat().st_size > 0, "a note")
    mine = json.loads(note.read_text())["ID"]
    file = place / "second.conf"
    config = rig.merge(settings(place, redis), {
        "store": {"path": str(tmp_path / "second")},
        "pool": {"listen": str(place / "second.sock")},
        "lock": {"agent": ""}})
    file.write_text(rig.libconfig(config))
    run = subprocess.run([rig.program(), "-c", str(file)], timeout=30,
                         capture_output=True, text=True, check=False)
    assert run.returncode == 2, run
    assert f'lock.prefix = "/tus" belongs to another store, {mine}' \
        in run.stderr
    check = subprocess.run([rig.program(), "-t", "-c", str(file)], timeout=30,
                           capture_output=True, text=True, check=False)
    assert check.returncode == 2 and "another store" in check.stderr, check
    # So it is with the agent of the first.
    file.write_text(rig.libconfig(rig.merge(
        config, {"lock": {"agent": agent.socket, "reply": "1s"}})))
    check = subprocess.run([rig.program(), "-t", "-c", str(file)], timeout=30,
                           capture_output=True, text=True, check=False)
    assert "serves another store" in check.stdout + check.stderr, check
    file.write_text(rig.libconfig(rig.merge(
        config, {"lock": {"prefix": "/two"}})))
    check = subprocess.run([rig.program(), "-t", "-c", str(file)], timeout=30,
                           capture_output=True, text=True, check=False)
    assert check.returncode == 0 and "warning" not in check.stdout, check
    assert one.client.create(1)
    # When the last of the first store is gone, the name is free.
    one.stop_app()
    agent.stop()
    file.write_text(rig.libconfig(config))
    check = subprocess.run([rig.program(), "-t", "-c", str(file)], timeout=30,
                           capture_output=True, text=True, check=False)
    assert check.returncode == 0, check


def test_one_store_with_two_prefixes_is_refused(alone, place, redis, tmp_path):
    assert alone().client.create(1)
    file = place / "second.conf"
    file.write_text(rig.libconfig(rig.merge(settings(place, redis), {
        "store": {"path": str(tmp_path / "store")},
        "pool": {"listen": str(place / "second.sock")},
        "lock": {"agent": "", "prefix": "/two"}})))
    run = subprocess.run([rig.program(), "-c", str(file)], timeout=30,
                         capture_output=True, text=True, check=False)
    assert run.returncode == 1, run
    assert 'in use with lock.prefix = "/tus", not "/two"' in run.stderr


def test_a_claim_that_the_service_forgot_is_made_again(alone, agent, redis):
    one = alone()
    assert one.client.create(1)
    assert len(redis.locks()) == 1
    redis.ask("flushall")
    rig.wait_for(redis.locks, "the claim")
    assert one.client.create(1)
    assert ".store was lost" not in agent.log()


def test_a_service_that_does_not_answer_is_no_mistake(place, redis, tmp_path):
    """It may come later, so the start says so and goes on."""
    redis.process.send_signal(signal.SIGSTOP)
    file = place / "t.conf"
    file.write_text(rig.libconfig(rig.merge(settings(place, redis), {
        "store": {"path": str(tmp_path / "store")},
        "pool": {"listen": str(place / "t.sock")}, "lock": {"agent": ""}})))
    log = place / "t.log"
    one = rig.spawn([rig.program(), "-c", str(file)], log)
    try:
        rig.wait_for(lambda: "listening on" in log.read_text(), "the start")
        assert " warn " in log.read_text()
        assert "cannot get a lock" in log.read_text()
        check = subprocess.run([rig.program(), "-t", "-c", str(file)],
                               timeout=30, capture_output=True, text=True,
                               check=False)
        assert check.returncode == 0, check
        assert "warning: lock.hosts: cannot get a lock" in check.stdout
    finally:
        redis.process.send_signal(signal.SIGCONT)
        assert rig.end(one, signal.SIGTERM) == 0


def test_the_socket_is_for_its_user_alone(agent, alone):
    info = os.stat(agent.socket)
    assert info.st_mode & 0o777 == 0o600 and info.st_uid == os.geteuid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(agent.socket)
        assert s.recv(1) == b"b"
    if os.geteuid() == 0:
        # Whatever the mode is, the agent looks who it is that connects.
        os.chmod(agent.socket, 0o666)
        run = subprocess.run(
            ["setpriv", "--reuid", "65534", "--clear-groups",
             "/usr/bin/python3", "-c",
             "import socket, sys; s = socket.socket(socket.AF_UNIX, "
             "socket.SOCK_SEQPACKET); s.connect(sys.argv[1]); "
             "print(s.recv(1))", agent.socket],
            capture_output=True, text=True, check=False)
        assert run.stdout == "b''\n", run
    assert alone().client.create(1)


def test_the_board_takes_no_memory_for_locks_that_nobody_holds(agent, alone):
    """It has room for 8,192, in 1.5 MB that an agent once read through."""
    assert alone().client.create(1)
    text = Path(f"/proc/{agent.child()}/smaps").read_text()
    board, = re.findall(r"tusfcgi-locks.*?^Rss: +(\d+) kB", text, re.S | re.M)
    assert int(board) < 64


def test_a_second_service_leaves_the_first_alone(agent, alone):
    run = subprocess.run(
        [rig.program(), "lock-agent", "-c", str(agent.file)], timeout=20,
        capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "listens on" in run.stderr, run
    assert alone().client.create(1)


def test_the_agent_is_confined_and_follows_its_log(agent, place):
    status = Path(f"/proc/{agent.child()}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "files are confined" in agent.log() or \
        "files are not confined" in agent.log()
    agent.stop()
    log = place / "its.log"
    agent.file.write_text(agent.file.read_text().replace(
        'level = "debug"', f'level = "debug"; target = "{log}"'))
    one = rig.spawn([rig.program(), "lock-agent", "-c", str(agent.file)],
                    agent.log_path)
    rig.wait_for(lambda: log.exists() and "session of" in log.read_text(),
                 "its log")
    log.rename(place / "old.log")
    one.send_signal(signal.SIGHUP)
    rig.wait_for(log.exists, "the new log")
    os.kill(proc.children(one.pid)[0], signal.SIGKILL)
    rig.wait_for(lambda: "session of" in log.read_text(), "its new session")
    one.terminate()
    assert one.wait(20) == 0


@pytest.mark.parametrize("change,said", [
    ({"lock": {"agent": ""}}, "lock.agent has to say"),
    ({"lock": {"type": "flock"}, "store": {"shared": False}},
     "needs no agent"),
    ({"lock": {"agent": "/tmp/" + "x" * 200}}, "too long for a socket"),
], ids=["nowhere", "flock", "long"])
def test_what_cannot_be_is_said(place, redis, change, said):
    file = place / "bad.conf"
    file.write_text(rig.libconfig(
        rig.merge(settings(place, redis), change)))
    run = subprocess.run([rig.program(), "lock-agent", "-c", str(file)],
                         capture_output=True, text=True, timeout=20,
                         check=False)
    assert run.returncode == 2 and said in run.stderr, run


def create(url):
    status, headers, _ = clients.request("POST", url, {"Upload-Length": "10"})
    assert status == 201, headers
    return urllib.parse.urljoin(url, headers["Location"])


def patch(url, offset, body):
    return clients.request("PATCH", url, {
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream"}, body)[0]


@pytest.mark.parametrize("name", ["apache-fcgid", "lighttpd-spawn"])
def test_web_servers_that_start_it_use_the_agent(name, server, place, redis):
    if fronts.missing(name):
        pytest.skip(f"{name} is not installed")
    probe = rig.FRONT_ENDS[name]()
    who = {}
    if probe.public and os.geteuid() == 0:
        who = {"pool": {"user": "www-data"}}
    agent = Agent(settings(place, redis, **who), place)
    try:
        one = server(name, config=settings(place, redis))
        path = create(one.url)
        assert patch(path, 0, b"hello") == 204
        assert clients.offset(path) == 5
        agent.stop()
        assert patch(path, 5, b"world") == 503
        agent.start()
        assert patch(path, 5, b"world") == 204
    finally:
        if agent.process.poll() is None:
            agent.stop()
