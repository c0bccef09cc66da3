"""What store.shared promises, on a real CephFS or NFS; see run."""

import hashlib
import os
import random
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from hostile.crowd import Tally
from hostile.test_torture import Uploader
from lib import rig
from lib.app import is_alive
from lib.hosts import half, offset_within, take_turns

from .conftest import SHARED, begin

SECONDS = int(os.environ.get("TUSFCGI_TORTURE", "60"))
CLIENTS = int(os.environ.get("TUSFCGI_CLIENTS", "6"))
LARGE = int(os.environ.get("TUSFCGI_SHOW_SIZE", str(48 << 20)))


def content(one, path):
    answer = one.client.request("GET", path, resumable=None)
    assert answer.status == 200, answer
    return answer.body


def fenced(one):
    text = one.client.request("GET", "/metrics", resumable=None).body
    return int(re.search(rb"store_fenced_total (\d+)", text)[1])


def kill_workers(one):
    workers = one.workers()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    for pid in workers:
        rig.wait_for(lambda pid=pid: not is_alive(pid), "its end")


def kill(one):
    workers = one.workers()
    one.app.send_signal(signal.SIGKILL)
    one.app.wait()
    for pid in workers:
        rig.wait_for(lambda pid=pid: not is_alive(pid), "its end")


LOCKER = r"""
import fcntl, os, struct, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
byte = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, (1 << 40) + 8, 1, 0)
try:
    if sys.argv[2] == "ofd":
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, byte)
    else:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("has", flush=True)
    sys.stdin.read()
except OSError as e:
    print(os.strerror(e.errno), flush=True)
"""


def locker(place, how):
    one = subprocess.Popen(["python3", "-c", LOCKER, str(place), how],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           text=True)
    return one, one.stdout.readline().strip()


@pytest.mark.parametrize("how", ["ofd", "flock"])
def test_a_lock_of_one_host_is_one_for_the_other(share, how):
    places = [p / f"lock-{how}" for p in share.places]
    first, said = locker(places[0], how)
    assert said == "has"
    second, said = locker(places[1], how)
    assert said == os.strerror(11)
    second.communicate()
    first.kill()
    first.wait()

    def can_have():
        one, said = locker(places[1], how)
        one.communicate()
        return said == "has"

    began = time.monotonic()
    rig.wait_for(can_have, "the lock of a killed process")
    print(f"\n{how}: free {1000 * (time.monotonic() - began):.0f} ms after "
          "kill -9")


def test_the_contract_of_the_locks_is_kept(share):
    """The processes of each test are on both hosts."""
    program = Path(rig.program()).parent / "tests/lock/flock_test"
    if not program.exists():
        pytest.skip(f"{program} is not built: make check TESTS=")
    run = subprocess.run([program], check=False, capture_output=True,
                         text=True, timeout=500, env={
        **os.environ, "TMPDIR": str(share.places[0]),
        "TUSFCGI_LOCK_TWIN": str(share.places[1])})
    if run.returncode:
        print(run.stdout + run.stderr)
    assert run.returncode == 0
    print("\n" + "\n".join(
        (run.stdout + run.stderr).strip().splitlines()[-2:]))


def test_hosts_take_turns_at_once(pools):
    take_turns(*pools)


def test_an_upload_goes_from_host_to_host(pools):
    a, b = pools
    path, stream = half(a)
    began = time.monotonic()
    assert b.client.offset(path) == 50
    took = time.monotonic() - began
    assert stream.read().body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    assert b.client.patch(path, 50, b"y" * 50).status == 204
    for one in (a, b):
        assert content(one, path) == b"x" * 50 + b"y" * 50
    print(f"\nhand-over after {1000 * took:.0f} ms")


def test_what_a_killed_worker_held_is_free_on_the_other_host(pools):
    a, b = pools
    path, stream = half(a)
    kill_workers(a)
    answer, took = offset_within(b, path, 10)
    stream.close()
    assert answer.headers["upload-offset"] == "10"
    assert b.client.patch(path, 10, b"y" * 90).status == 204
    assert content(a, path) == b"x" * 10 + b"y" * 90
    print(f"\nfree {1000 * took:.0f} ms after kill -9")


def test_what_was_removed_is_gone_everywhere_at_once(pools):
    a, b = pools
    for one, other in ((a, b), (b, a)):
        path = one.client.create(10)
        assert other.client.offset(path) == 0
        assert other.client.patch(path, 0, b"hello").status == 204
        assert one.client.request("DELETE", path).status == 204
        assert other.client.head(path).status == 404
        assert other.client.patch(path, 5, b"hello").status == 404
        assert one.client.head(path).status == 404


def test_creation_with_a_body_and_a_quota(pool):
    config = rig.merge(SHARED, {"owner": {"param": "REMOTE_USER"},
                                "quota": {"uploads": 2}})
    a, b = pool(0, config), pool(1, config)
    mine = {"REMOTE_USER": "joe"}

    def create(one):
        return one.client.request(
            "POST", "/files", {
                "Upload-Length": "10",
                "Content-Type": "application/offset+octet-stream"},
            b"hello", extra=mine)

    first, second = create(a), create(b)
    assert (first.status, second.status) == (201, 201)
    assert create(a).status == 413 == create(b).status
    path = "/files/" + first.headers["location"].rsplit("/", 1)[1]
    assert b.client.request("DELETE", path, extra=mine).status == 204
    assert a.client.request("HEAD", path, extra=mine).status == 404
    third = create(a)
    assert third.status == 201
    # What one host counted is nothing that the other one may rely on.
    path = "/files/" + third.headers["location"].rsplit("/", 1)[1]
    for i in range(6):
        one, other = (a, b) if i % 2 else (b, a)
        assert create(other).status == 413
        assert one.client.request("DELETE", path, extra=mine).status == 204
        answer = create(other)
        assert answer.status == 201
        assert create(one).status == 413
        path = "/files/" + answer.headers["location"].rsplit("/", 1)[1]


def test_parts_of_two_hosts_are_joined(pools):
    a, b = pools
    parts = []
    for one, data in ((a, b"hello "), (b, b"world")):
        path = one.client.create(
            len(data), headers={"Upload-Concat": "partial"})
        assert one.client.patch(path, 0, data).status == 204
        parts.append(path)
    answer = b.client.request("POST", "/files", {
        "Upload-Concat": "final;" + " ".join(parts)})
    assert answer.status == 201, answer
    path = "/files/" + answer.headers["location"].rsplit("/", 1)[1]
    assert content(a, path) == b"hello world"


def test_a_large_upload_alternates(pools):
    path = pools[0].client.create(LARGE)
    piece, sent = 1 << 20, hashlib.sha256()
    block = random.Random(1).randbytes(piece)
    began = time.monotonic()
    for at in range(0, LARGE, piece):
        data = block[at // piece:] + block[:at // piece]
        sent.update(data)
        one = pools[at // piece % 2]
        assert one.client.patch(path, at, data).status == 204
    took = time.monotonic() - began
    for one in pools:
        assert hashlib.sha256(content(one, path)).digest() == sent.digest()
    print(f"\n{LARGE >> 20} MiB in {took:.1f} s")


def test_a_host_that_lost_its_locks_acknowledges_nothing(share, pools):
    """The other one goes on."""
    a, b = pools
    path, stream = half(a)
    other = a.client.create(10)
    assert a.client.patch(other, 0, b"hello").status == 204
    began = time.monotonic()
    share.part(0)
    answer, _ = offset_within(b, path, share.patience)
    assert answer.headers.get("upload-offset") == "10", answer
    took = time.monotonic() - began
    assert b.client.patch(path, 10, b"y" * 45).status == 204
    if not share.must_restart:
        share.rejoin(0)
    stream.send(b"z" * 50)
    answer = stream.read()
    assert answer.status == 423 and b"LOCKED" in answer.body, \
        a.log()[-900:]
    line = [x for x in a.log().splitlines() if "method=PATCH" in x][-1]
    assert "fenced=1" in line and "code=ERR_UPLOAD_LOCKED" in line, line
    # A client takes 404 and 410 for an order to begin anew.
    for name in (path, other):
        answer = a.client.head(name)
        print(f"HEAD on the host that lost its locks: {answer.status}")
        assert answer.status in (200, 423, 503), answer
    if share.must_restart:
        kill(a)
        share.rejoin(0)
        begin(a)
    else:
        assert fenced(a) >= 1
    assert a.client.offset(path) == 55
    assert b.client.patch(path, 55, b"y" * 45).status == 204
    for one in (a, b):
        assert content(one, path) == b"x" * 10 + b"y" * 90
    assert a.client.patch(other, 5, b"world").status == 204
    print(f"free on the other host {took:.1f} s after it was parted")


PLAIN = {"store": {"durability": "data"}, "lock": {"method": "ofd"}}


def tusctl(one, *words):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", str(one.config_path), *words],
        timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode == 0, (run.stdout, run.stderr)
    return run.stdout


def test_a_store_is_shared_and_one_host_takes_it_back(pool):
    """As the manual says: each step that is left out is refused."""
    plain = pool(0, PLAIN)
    path = plain.client.create(20)
    assert plain.client.patch(path, 0, b"hello").status == 204
    shared = pool(1, launch=False)
    for while_it_runs in (True, False):
        with pytest.raises((AssertionError, RuntimeError)):
            begin(shared)
        word = "store.shared = " if while_it_runs else "tusctl settle"
        assert word in shared.log(), shared.log()
        if while_it_runs:
            plain.stop_app()
    tusctl(plain, "settle")
    begin(shared)
    other = pool(0)
    assert shared.client.offset(path) == 5
    assert other.client.patch(path, 5, b"world").status == 204
    assert shared.client.patch(path, 10, b"!" * 5).status == 204
    assert "locks of type flock" in tusctl(shared, "check", "--locks")
    with pytest.raises((AssertionError, RuntimeError)):
        begin(plain)
    assert "store.shared = true" in plain.log()
    shared.stop_app()
    other.stop_app()
    begin(plain)
    assert plain.client.patch(path, 15, b"?" * 5).status == 204
    assert content(plain, path) == b"helloworld!!!!!?????"


def check(one):
    return subprocess.run(
        [rig.program(), "-t", "-c", str(one.config_path)], timeout=60,
        capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options, bad, instead", [
    ("vers=4.2,nolock", None, None), ("vers=4.0", "vers=4.0", "vers=4.1"),
    ("vers=4.2,local_lock=all", None, None),
    ("vers=4.2,local_lock=flock", None, None),
    ("vers=4.2,local_lock=posix", None, None),
    ("vers=4.2,soft", "soft", "hard"),
    ("vers=4.2,softerr", "softerr", "hard")])
def test_a_mount_that_is_not_safe_is_refused(share, pool, options, bad,
                                             instead):
    if not hasattr(share, "options"):
        pytest.skip("this kind has no such options")
    one = pool(0, launch=False)
    place = share.folder / "other"
    place.mkdir(exist_ok=True)
    share.mount(0, options + ",nosharecache", place)
    try:
        (place / one.uploads.name).mkdir(exist_ok=True)
        one.configure(rig.merge(SHARED, {
            "store": {"path": str(place / one.uploads.name)}}))
        run = check(one)
        is_there = subprocess.run(
            ["grep", str(place), "/proc/self/mountinfo"], text=True,
            capture_output=True, check=True).stdout.split(" - ")[1]
        print(f"\n{options}: {run.returncode} {is_there.strip()}\n"
              f"{run.stderr.strip()}")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
    if bad is None:
        # These are for version 3: the kernel forgets the word.
        assert "local_lock=none" in is_there
        assert run.returncode == 0, run
    else:
        assert run.returncode == 2, run
        assert f"mounted with {bad}, which is not safe; mount it with " \
            f"{instead}" in run.stderr


def test_flock_is_warned_of_where_nobody_is_heard(share, pool):
    one = pool(0, {"lock": {"method": "flock"}}, launch=False)
    one.uploads.mkdir()
    run = check(one)
    assert run.returncode == 0, run
    assert ('lock.method = "flock": on NFS' in run.stdout) == \
        hasattr(share, "options"), run


class Chaos:
    """Kills, and one host that is parted in the middle."""

    def __init__(self, share, pools, seed, tally):
        self.share = share
        self.pools = pools
        self.lots = random.Random(seed)
        self.tally = tally

    def worker(self):
        one = self.lots.choice(self.pools)
        try:
            os.kill(self.lots.choice(one.workers()), signal.SIGKILL)
        except (ProcessLookupError, IndexError):
            pass

    def master(self):
        one = self.lots.choice(self.pools)
        kill(one)
        one.start_app()

    def host(self):
        one = self.pools[0]
        self.share.part(0)
        time.sleep(2)
        if self.share.must_restart:
            kill(one)
        self.share.rejoin(0)
        if self.share.must_restart:
            begin(one)

    def run(self, until):
        half_time = time.monotonic() + SECONDS / 2
        n = 0
        try:
            while time.monotonic() < until - 5:
                what = self.master if n % 5 == 4 else self.worker
                if self.share.is_fence and \
                        time.monotonic() > half_time:
                    what, half_time = self.host, until + 1
                what()
                self.tally.add(f"{what.__name__} hit")
                n += 1
                time.sleep(1)
        except Exception as problem:  # noqa: BLE001 (a thread must not hide)
            self.tally.violation(f"chaos: {type(problem).__name__}: {problem}")


def test_no_acknowledged_byte_is_lost_whatever_dies(share, pools):
    tally, seed = Tally(), random.SystemRandom().randrange(1 << 32)
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=Uploader(
        pools, f"client {i}", seed, tally, until).run, daemon=True)
        for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    Chaos(share, pools, seed, tally).run(until)
    for thread in threads:
        thread.join(until + 90 - time.monotonic())
    assert not any(t.is_alive() for t in threads), "a client hangs"
    print(f"\n{SECONDS} s, {tally.line()}, seed {seed}, store_fenced_total "
          f"{[fenced(one) for one in pools]}")
    assert tally.violations == []
    assert tally["files byte-exact"] > 0
