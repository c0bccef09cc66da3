"""The master and its workers: growth, loss, replacement, the end."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import rig
from lib.fastcgi import STDIN, record
from lib.proc import is_alive
from lib.programs import Hooks

from .conftest import close_all, max_size, reload, start_uploads

LARGE = 1 << 20

# Each body keeps its worker until it is over.
KEPT = {"max_parked": 0}

# --- Size. ---

def test_the_pool_grows_with_the_uploads_and_shrinks_again(app):
    one = app(config={"pool": {"min_spare": 2, "max_workers": 40,
                               "idle": "1s", **KEPT}})
    rig.wait_for(lambda: len(one.workers()) == 2, "two spare workers")
    paths, streams = start_uploads(one, 20)
    for path in paths:
        one.wait_for_bytes(path, 10)
    rig.wait_for(lambda: 22 <= len(one.workers()) <= 40, "two more")
    close_all(streams)
    rig.wait_for(lambda: len(one.workers()) == 2, "the others to go")
    assert "killed" not in one.log()


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_a_pool_that_grows_does_not_look_twice_each_time(app, tmp_path):
    """Short requests would show at the second look, 20 ms after the first; the
    workers of these have nothing but their hooks to wait for."""
    trace, hooks = tmp_path / "trace", Hooks(tmp_path)
    hooks.write("pre-create", "#!/bin/sh\n"
                f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done\n")
    one = app(config={"pool": {"min_spare": 1, "max_workers": 40},
                      "hooks": {"dir": str(hooks.dir)}},
              under=["strace", "-D", "-qq", "-o", trace, "-e", "trace=ppoll"])
    with ThreadPoolExecutor(16) as crowd:
        made = [crowd.submit(one.client.create, 5) for _ in range(16)]
        rig.wait_for(lambda: len(one.workers()) > 16, "a worker for each")
        looks = trace.read_text()
        hooks.go()
    assert all(path.result() for path in made)
    assert "ppoll" in looks and looks.count("tv_nsec=20000000") <= 3


def test_a_fixed_pool_keeps_its_size(app):
    one = app(args=["-w", "3"], config={"pool": {"idle": "1s"}})
    rig.wait_for(lambda: len(one.workers()) == 3, "three workers")
    before = sorted(one.workers())
    time.sleep(1.5)
    assert sorted(one.workers()) == before


def test_one_worker_is_the_process_itself(app):
    one = app(args=["-w", "1"])
    assert one.workers() == []
    assert one.client.request("OPTIONS", "/files").status == 200


def test_a_worker_leaves_after_max_requests(app):
    one = app(args=["-w", "2"], config={"pool": {"max_requests": 5}})
    rig.wait_for(lambda: len(one.workers()) == 2, "two workers")
    before = set(one.workers())
    for _ in range(20):
        assert one.client.request("OPTIONS", "/files").status == 200
    rig.wait_for(lambda: len(one.workers()) == 2 and
                 not before & set(one.workers()), "two others")
    assert "error" not in one.log()


def test_a_full_pool_says_so_and_head_still_answers(app):
    """503 + Retry-After for a body; the reserve serves all else"""
    one = app(config={"pool": {"min_spare": 1, "max_workers": 6,
                               "reserve": 2, **KEPT},
                      "timeouts": {"drain": "1s"}})
    paths, streams = start_uploads(one, 4)
    for path in paths:
        one.wait_for_bytes(path, 10)
    other = one.client.create(1 << 30)
    began = time.monotonic()
    with one.client.open_patch(other, 0, 1 << 30) as stream:
        stream.send(b"x" * 100)
        answer = stream.read()
    assert answer.status == 503 and answer.headers["retry-after"] == "1"
    assert answer.body.startswith(b"ERR_TOO_BUSY")
    assert one.client.offset(other) == 0
    assert time.monotonic() - began < 1
    # What is small and here already needs no place.
    assert one.client.patch(other, 0, b"y" * 4000).status == 204
    close_all(streams)

    def is_taken():
        return one.client.patch(other, 4000, b"z" * 100000).status == 204

    rig.wait_for(is_taken, "a place")
    assert one.client.offset(other) == 104000


def test_slow_downloads_leave_the_reserve_alone(app):
    one = app(config={"pool": {"min_spare": 1, "max_workers": 6,
                               "reserve": 2}, "cors": {"origins": ["*"]}})
    size = 5 * LARGE
    path = one.client.create(size)
    assert one.client.patch(path, 0, b"x" * size).status == 204
    streams = []

    def is_full():
        stream = one.client.open("GET", path, length=0)
        stream.send_raw(record(STDIN))
        streams.append(stream)
        stream.socket.settimeout(0.3)
        return stream.socket.recv(19)[8:] == b"Status: 503"

    rig.wait_for(is_full, "a full house")
    assert 5 <= len(streams) <= 8
    began = time.monotonic()
    assert one.client.offset(path) == size
    assert time.monotonic() - began < 1
    answer = one.client.request("GET", path, {"Origin": "https://a.example"})
    assert answer.status == 503 and answer.headers["retry-after"] == "1"
    # An answer like any other: a page may read it, the log knows of it, and
    # nothing is left in it of the one that was meant to be.
    assert answer.body.startswith(b"ERR_TOO_BUSY: ")
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    assert not answer.duplicates and "etag" not in answer.headers
    rig.wait_for(lambda: re.search(r"GET.*503.*ERR_TOO_BUSY", one.log()),
                 "a line about it")
    small = one.client.create(100)
    assert one.client.patch(small, 0, b"x" * 100).status == 204
    assert one.client.request("GET", small).body == b"x" * 100
    close_all(streams)
    rig.wait_for(lambda: one.client.request("GET", path).status == 200,
                 "a place")


def test_places_of_killed_workers_are_free_again(app):
    one = app(config={"pool": {"min_spare": 1, "max_workers": 4,
                               "reserve": 2}})
    for _ in range(4):
        paths, streams = start_uploads(one, 2)
        for path in paths:
            one.wait_for_bytes(path, 10)
        killed = set(one.workers())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        close_all(streams)
        rig.wait_for(lambda: not killed & set(one.workers()) and
                     one.client.request("OPTIONS", "/files").status == 200,
                     "another worker")


def send_until_done(client, statuses, i):
    """An upload of somebody who comes again when told to; its path."""
    body = f"{i:04d}".encode() * 5000
    path, offset = client.create(len(body)), 0
    while offset < len(body):
        with client.open_patch(path, offset, len(body) - offset) as stream:
            try:
                stream.send(body[offset:offset + 10000])
                time.sleep(0.2)
                stream.send(body[offset + 10000:])
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = stream.finish()
        statuses.append((answer.status, answer.headers.get("retry-after")))
        if answer.status != 204:
            time.sleep(0.1)
        offset = client.offset(path)
    return path, body


def test_a_crowd_is_turned_away_and_served_in_the_end(app):
    """Ten times as many clients as places: 503 or 204, and nothing lost."""
    one = app(config={"pool": {"min_spare": 2, "max_workers": 14,
                               "reserve": 2, **KEPT},
                      "log": {"level": "warn"}})
    statuses = []
    with ThreadPoolExecutor(120) as crowd:
        found = list(crowd.map(
            lambda i: send_until_done(one.client, statuses, i), range(120)))
    assert set(statuses) == {(204, None), (503, "1")}
    for path, body in found:
        assert one.client.request("GET", path).body == body
    assert len(one.workers()) <= 14 and "killed" not in one.log()


# --- Memory. ---

def resident(one):
    with open(f"/proc/{one.app.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def send_at_once(one, path, size):
    """A body of which much is here when the process looks."""
    stream = one.client.open_patch(path, 10000, size)
    os.kill(one.app.pid, signal.SIGSTOP)
    sender = threading.Thread(target=stream.send, args=(b"x" * 2 * LARGE,))
    sender.start()
    time.sleep(0.1)
    os.kill(one.app.pid, signal.SIGCONT)
    sender.join()
    return stream


@pytest.mark.parametrize("size", [2 * LARGE, 4 * LARGE])
def test_a_body_leaves_no_memory_behind(app, size):
    """Neither when it is over nor, half way, when it stalls."""
    one = app(args=["-w", "1"])
    path = one.client.create(16 * LARGE)
    assert one.client.patch(path, 0, b"x" * 10000).status == 204
    before = resident(one)
    with send_at_once(one, path, size):
        one.wait_for_bytes(path, 10000 + 2 * LARGE)
        rig.wait_for(lambda: resident(one) < before + LARGE // 4,
                     "the memory of the body", 5)


# --- Loss. ---

def receiver_of(one, path):
    """The worker that has the data file of an upload open."""
    name = path.rsplit("/", 1)[1]
    for pid in one.workers():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                continue
            if target.endswith("/" + name):
                return pid
    return None


def test_a_worker_killed_in_the_middle_of_a_body_loses_only_that(app):
    """PATCH-17, LOCK-05"""
    one = app(config={"pool": KEPT})
    body = os.urandom(3 * LARGE)
    path = one.client.create(len(body))
    with one.client.open_patch(path, 0, len(body)) as stream:
        stream.send(body[:2 * LARGE])
        one.wait_for_bytes(path, 2 * LARGE)
        pid = receiver_of(one, path)
        os.kill(pid, signal.SIGKILL)
        assert not stream.finish().ended
    offset = one.client.offset(path)
    assert 0 <= offset <= 2 * LARGE
    answer = one.client.patch(path, offset, body[offset:])
    assert answer.status == 204
    assert one.client.request("GET", path).body == body
    rig.wait_for(lambda: len(one.workers()) >= 4, "another worker")
    assert "killed by signal 9" in one.log()


def test_no_worker_outlives_a_killed_master(app):
    one = app()
    paths, streams = start_uploads(one, 3)
    for path in paths:
        one.wait_for_bytes(path, 10)
    workers = one.workers()
    assert len(workers) >= 4
    one.stop_app(signal.SIGKILL)
    rig.wait_for(lambda: not any(map(is_alive, workers)), "the workers", 5)
    one.start_app()
    for path in paths:
        assert one.client.offset(path) == 10
    close_all(streams)


def test_workers_that_die_at_once_are_not_forked_without_end(app, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    one = app(args=["-w", "2"],
              config={"finish": {"move_to": f"{target}/{{id}}"}})
    rig.wait_for(lambda: len(one.workers()) == 2, "two workers")
    target.rmdir()
    for pid in one.workers():
        os.kill(pid, signal.SIGKILL)
    time.sleep(2)
    deaths = one.log().count("left with status 1")
    assert 1 <= deaths <= 16
    target.mkdir()
    rig.wait_for(lambda: len(one.workers()) == 2 and
                 one.client.request("OPTIONS", "/files").status == 200,
                 "two workers that live")


# --- The end. ---

@pytest.mark.parametrize("args", [[], ["-w", "1"]])
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_keeps_the_bytes_of_those_who_are_busy(app, args, sig):
    """COMMON-11"""
    one = app(args=args)
    paths, streams = start_uploads(one, 1 if args else 3)
    for path in paths:
        one.wait_for_bytes(path, 10)
    for stream in streams:
        stream.send(b"y" * 5)
    began = time.monotonic()
    assert one.stop_app(sig) == 0
    assert time.monotonic() - began < 3
    for stream in streams:
        answer = stream.read()
        assert answer.status == 503
        assert answer.body.startswith(b"ERR_SERVER_SHUTDOWN")
    one.start_app()
    for path in paths:
        assert one.client.offset(path) == 15
        assert one.client.patch(path, 15, b"z" * 85).status == 204
    close_all(streams)


def test_a_stop_does_not_wait_for_one_who_hangs(app):
    one = app(config={"timeouts": {"shutdown": "1s"}})
    rig.wait_for(lambda: len(one.workers()) == 4, "four workers")
    hanging = one.workers()[0]
    os.kill(hanging, signal.SIGSTOP)
    began = time.monotonic()
    assert one.stop_app() == 0
    assert 0.9 < time.monotonic() - began < 4
    assert not is_alive(hanging)


def test_an_idle_pool_stops_at_once(app):
    one = app()
    began = time.monotonic()
    assert one.stop_app() == 0
    assert time.monotonic() - began < 2


# --- Readers who stall. ---

class Stalled:
    """A reader of standard error who reads nothing until asked."""

    def __init__(self, kind):
        if kind == "socket":
            self.ours, self.theirs = (
                s.detach() for s in socket.socketpair())
        elif kind == "terminal":
            self.ours, self.theirs = pty.openpty()
        else:
            self.ours, self.theirs = os.pipe()

    def read_all(self):
        """Wake up; returns what came until there is nothing for a moment."""
        data = b""
        while select.select([self.ours], [], [], 1)[0]:
            try:
                piece = os.read(self.ours, 65536)
            except OSError:
                break
            if not piece:
                break
            data += piece
        return data.decode()

    def close(self):
        os.close(self.ours)
        os.close(self.theirs)


def start_with_stderr(one, fd):
    one.app = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", rig.program(), "-c",
         str(one.config_path), *one.args], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=fd, env=one.env)
    rig.wait_for(lambda: rig.accepts(socket.AF_UNIX, one.address),
                 "tusfcgi to listen")


@pytest.mark.parametrize("args", [["-w", "4"], ["-w", "1"]])
@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_a_stalled_reader_of_stderr_stops_nobody(app, kind, args):
    one = app(args=args)
    one.stop_app()
    reader = Stalled(kind)
    start_with_stderr(one, reader.theirs)
    path = one.client.create(100)
    began = time.monotonic()
    for _ in range(1500):
        assert one.client.head(path).status == 200
    assert time.monotonic() - began < 30
    heard = reader.read_all()
    assert "listening on" in heard and "method=HEAD" in heard
    for _ in range(20):
        assert one.client.head(path).status == 200
    assert "lines of the log could not be written" in reader.read_all()
    for _ in range(1500):
        one.client.head(path)
    began = time.monotonic()
    assert one.stop_app() == 0
    assert time.monotonic() - began < 5
    reader.close()


def test_a_log_that_is_a_pipe_holds_up_nothing(app):
    """Neither without a reader nor with one that stalls."""
    one = app(args=["-w", "2"])
    pipe = one.dir / "log.pipe"
    os.mkfifo(pipe)
    reload(one, {"log": {"target": str(pipe)}})
    rig.wait_for(lambda: "configuration refused" in one.log(), "a refusal")
    assert one.client.request("OPTIONS", "/files").status == 200
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    before = set(one.workers())
    one.app.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: not before & set(one.workers()), "new workers")
    for _ in range(1500):
        assert one.client.request("OPTIONS", "/files").status == 200
    assert b"method=OPTIONS" in os.read(fd, 65536)
    assert one.stop_app() == 0
    os.close(fd)


def test_a_stalled_service_manager_stops_nobody(app, tmp_path):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            filler.sendto(b"x", str(tmp_path / "notify"))
    began = time.monotonic()
    one = app(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    reload(one, {"max_size": "2M"})
    rig.wait_for(lambda: max_size(one) == str(2 << 20), "the new size")
    assert one.stop_app() == 0
    assert time.monotonic() - began < 10
    manager.close()
    filler.close()


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_a_lock_on_the_directory_of_the_socket_holds_up_nothing(app, args):
    """Every user who may read the directory can take that lock."""
    one = app(args=args)
    assert one.stop_app() == 0
    fd = os.open(one.socket.parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    one.start_app()
    assert one.client.request("OPTIONS", "/files").status == 200
    assert "started without it" in one.log()
    os.close(fd)


# --- Patience. ---

def give_way(one, ask):
    """Stall an upload, ask for it; how long the answer took."""
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x" * 10)
        one.wait_for_bytes(path, 10)
        began = time.monotonic()
        ask(path)
        took = time.monotonic() - began
        assert stream.read().status == 423
    return took


def test_a_stalled_upload_gives_way_to_a_head(app):
    """LOCK-01, LOCK-03; the best of three, on a busy machine"""
    one = app()

    def ask(path):
        assert one.client.offset(path) == 10
        assert one.client.patch(path, 10, b"y" * 90).status == 204

    assert min(give_way(one, ask) for _ in range(3)) < 1


def test_a_stalled_upload_gives_way_to_a_patch(app):
    """LOCK-02"""
    one = app()

    def ask(path):
        assert one.client.patch(path, 10, b"y" * 90).status == 204

    assert min(give_way(one, ask) for _ in range(3)) < 1


def test_a_busy_lock_is_423_after_the_timeout(app):
    """LOCK-04"""
    one = app(config={"lock": {"timeout": "1s"}, "pool": KEPT})
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x" * 10)
        one.wait_for_bytes(path, 10)
        pid = receiver_of(one, path)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        answer = one.client.patch(path, 10, b"y")
        os.kill(pid, signal.SIGCONT)
        assert answer.status == 423 and answer.headers["retry-after"] == "1"
        assert 0.9 < time.monotonic() - began < 2


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_silence_ends_a_body_and_keeps_it(app, args):
    """PATCH-18"""
    one = app(args=args, config={"timeouts": {"read": "1s"}})
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x" * 10)
        began = time.monotonic()
        answer = stream.read()
        assert 0.9 < time.monotonic() - began < 2.5
        assert answer.ended and answer.status >= 400
    assert one.client.offset(path) == 10


def test_a_body_below_the_least_rate_ends(app):
    one = app(config={"timeouts": {"read": "1s", "min_rate": 1000}})
    slow, fast = one.client.create(100), one.client.create(LARGE)
    with one.client.open_patch(slow, 0, 100) as a, \
            one.client.open_patch(fast, 0, LARGE) as b:
        for _ in range(15):
            a.send(b"x")
            b.send(b"x" * 400)
            time.sleep(0.1)
        assert a.read().status >= 400
        b.send(b"x" * (LARGE - 15 * 400))
        assert b.finish().status == 204


def test_a_waiter_who_hangs_up_leaves_the_holder_alone(app):
    """A HEAD whose client has gone must not end the upload for nothing."""
    one = app(config={"lock": {"timeout": "30s"}, "pool": KEPT})
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x" * 10)
        one.wait_for_bytes(path, 10)
        pid = receiver_of(one, path)
        os.kill(pid, signal.SIGSTOP)
        with one.client.open_patch(path, 10, 5) as waiter:
            time.sleep(0.3)
            waiter.close()
        time.sleep(0.3)
        os.kill(pid, signal.SIGCONT)
        stream.send(b"x" * 90)
        assert stream.finish().status == 204


# --- Load. ---

@pytest.mark.alone
def test_slow_uploads_do_not_delay_a_head(app):
    """300 clients that send a byte now and then; HEAD within 50 ms"""
    one = app(config={"pool": {"max_workers": 320}, "log": {"level": "warn"}})
    paths, streams = start_uploads(one, 300)
    for path in paths:
        one.wait_for_bytes(path, 10)
    other = one.client.create(5)
    times = []
    for i in range(100):
        for stream in streams[i::100]:
            stream.send(b"y")
        began = time.monotonic()
        assert one.client.head(other).status == 200
        times.append(time.monotonic() - began)
    assert sorted(times)[97] < 0.05, sorted(times)[-5:]
    for path, i in zip(paths, range(300)):
        one.wait_for_bytes(path, 11)
    close_all(streams)
