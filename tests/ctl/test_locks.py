"""tusctl check --locks: can locks be had, and who has them?"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lib import mounts, rig, zookeeper
from lib.locks import SESSION, Redis

redis_only = [
    pytest.mark.skipif(not shutil.which("redis-server"),
                       reason="redis-server is not installed"),
    pytest.mark.skipif("redis" not in subprocess.run(
        [rig.program(), "-V"], capture_output=True, text=True,
        check=True).stdout, reason="built without hiredis"),
]


def check(one, status=0):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", str(one.config_path), "check",
         "--locks"], timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode == status, run
    return run.stdout + run.stderr


def tusctl(one, *words):
    return subprocess.run(
        [rig.program("tusctl"), "-c", str(one.config_path), *words],
        timeout=60, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("method", ["flock", "ofd"])
def test_it_says_which_process_has_an_upload(app, method):
    one = app(config={"lock": {"method": method}, "pool": {"max_parked": 0}})
    path = one.client.create(10)
    said = check(one)
    assert "locks of type flock\n" in said and "0 uploads locked" in said
    with one.client.open_patch(path, 0, 10) as stream:
        stream.send(b"x")
        one.wait_for_bytes(path, 1)
        said = check(one)
        name = path.rsplit("/", 1)[1]
        line, = [x for x in said.splitlines() if x.startswith("held")]
        # An open file description has no process.
        who = line.removeprefix(f"held  {name} by ")
        assert who == "a process of this host" if method == "ofd" else \
            int(who.removeprefix("process ")) in one.workers(), line
        assert said.endswith("1 uploads locked now\n")


def test_it_knows_of_locks_that_the_kernel_does_not_list(app, tmp_path):
    """Those of other hosts, and all of CephFS and GlusterFS."""
    mounts.may_mount()
    one = app(config={"store": {"shared": True, "durability": "full"},
                      "lock": {"method": "ofd"}})
    path = one.client.create(10)
    with one.client.open_patch(path, 0, 10) as stream:
        stream.send(b"x")
        one.wait_for_bytes(path, 1)
        with mounts.mounted("/dev/null", "/proc/locks", ["--bind"]):
            said = check(one)
            name = path.rsplit("/", 1)[1]
            assert f"held  {name} by a process here or on another host\n" \
                in said
    assert said.endswith("1 uploads locked now\n")


def test_it_counts_what_a_dead_worker_left(app):
    one = app(config={"pool": {"max_parked": 0}})
    path = one.client.create(10)
    with one.client.open_patch(path, 0, 10) as stream:
        stream.send(b"x")
        one.wait_for_bytes(path, 1)
        for pid in one.workers():
            os.kill(pid, signal.SIGKILL)
    name = path.rsplit("/", 1)[1]
    assert (one.uploads / f"{name}.lock").exists()
    (one.uploads / name).unlink()
    (one.uploads / f"{name}.info").unlink()
    assert "note  1 locks of uploads that are gone" in check(one)


@pytest.fixture
def redis(short_folder):
    one = Redis(short_folder)
    yield one
    one.stop()


def through(redis, *more_hosts, **lock):
    return {"store": {"shared": True, "durability": "full"},
            "lock": {"type": "redis", "hosts": [redis.path, *more_hosts],
                     "session": f"{SESSION}s", "reply": "1s", **lock}}


class TestAService:
    pytestmark = redis_only

    def test_each_host_is_tried_and_holders_are_named(self, app, redis):
        one = app(config=through(redis))
        rig.wait_for(lambda: "session of" in one.log(), "a session")
        path = one.client.create(10)
        with one.client.open_patch(path, 0, 10) as stream:
            stream.send(b"x")
            one.wait_for_bytes(path, 1)
            said = check(one)
        assert f"{redis.path}: a lock in " in said
        assert 'a session under lock.prefix = "/tus"' in said
        name = path.rsplit("/", 1)[1]
        assert f"held  {name} by {socket.gethostname()}\n" in said
        assert not [x for x in redis.locks() if ".check" in x]

    def test_a_host_that_is_down_is_bad_though_others_serve(self, app, redis):
        one = app(config=through(redis, "127.0.0.1:9"))
        said = check(one, status=1)
        assert f"{redis.path}: a lock in " in said
        assert "BAD   127.0.0.1:9: no answer" in said
        assert 'a session under' in said

    def test_a_service_that_is_stopped_is_bad(self, app, redis):
        one = app(config=through(redis))
        redis.process.send_signal(signal.SIGSTOP)
        try:
            said = check(one, status=1)
        finally:
            redis.process.send_signal(signal.SIGCONT)
        assert f"BAD   {redis.path}: no answer" in said
        assert "BAD   no session: nobody gets a lock" in said

    def test_a_password_that_is_wrong_is_named(self, app, redis, tmp_path):
        redis.ask("config", "set", "requirepass", "secret")
        file = tmp_path / "password"
        file.write_text("wrong\n")
        file.chmod(0o600)
        one = app(config={"lock": {"type": "flock"}})
        one.stop_app()
        one.configure(through(redis, password_file=str(file)))
        said = check(one, status=1)
        assert f"{redis.path} refuses: WRONGPASS" in said, said

    def test_an_agent_that_is_not_there_is_bad(self, app, redis):
        socket_path = str(Path(redis.path).parent / "none.sock")
        one = app(config={})
        one.stop_app()
        one.configure(through(redis, agent=socket_path))
        said = check(one, status=1)
        assert f"BAD   the lock agent at {socket_path} does not answer" in said
        assert f"{redis.path}: a lock in " in said


class TestAZooKeeper:
    """One that is not what it seems."""

    pytestmark = pytest.mark.skipif("zookeeper" not in subprocess.run(
        [rig.program(), "-V"], capture_output=True, text=True,
        check=True).stdout, reason="built without zookeeper")

    @pytest.fixture
    def liar(self):
        one = zookeeper.ZooKeeper()
        yield one
        one.stop()

    @pytest.fixture
    def stopped(self, app, liar):
        """The paths of some uploads, and who had their locks in files."""
        shared = {"shared": True, "durability": "full"}
        one = app(config={"store": shared, "lock": {"method": "ofd"}})
        paths = [one.client.create(10) for _ in range(20)]
        one.stop_app()
        one.configure({
            "store": shared,
            "lock": {"type": "zookeeper", "reply": "1s",
                     "session": f"{SESSION}s",
                     "hosts": [f"127.0.0.1:{liar.port}"]}})
        return one, [path.rsplit("/", 1)[1] for path in paths]

    def test_names_from_a_service_cannot_move_the_cursor(self, stopped, liar):
        one, ids = stopped
        liar.nodes[f"/tus/l/{ids[0]}".encode()] = zookeeper.Node(
            b"evil\x1b[2J\nhost\xff/abc:1", 99, 1)
        said = check(one)
        assert f"held  {ids[0]} by evil?[2J?host?\n" in said
        assert "\n1 uploads locked now\n" in said
        show = tusctl(one, "show", ids[0])
        assert re.search(r"locked +on evil\?\[2J\?host\?\n", show), show
        show = json.loads(tusctl(one, "show", "--json", ids[0]))
        assert show["locked"] and show["lock_host"] == "evil?[2J?host?"

    def test_a_list_that_the_service_cuts_short_is_not_whole(
            self, stopped, liar):
        """What it does not tell is not free."""
        one, ids = stopped
        busy = threading.Event()

        def fall_silent(kind, _, true):
            if liar.seen.count(zookeeper.DELETE) > 8:
                busy.wait(60)
            return true

        liar.nodes[f"/tus/l/{ids[-1]}".encode()] = zookeeper.Node(
            b"other/abc:1", 99, 1)
        liar.lie = fall_silent
        try:
            said = check(one, status=1)
            assert "uploads locked now" not in said
            assert "the lock service does not answer any more" in said
            assert re.search("locked +not known: the lock service does not",
                             tusctl(one, "show", ids[-1]))
            show = json.loads(tusctl(one, "show", "--json", ids[-1]))
            assert show["locked"] is None
        finally:
            busy.set()

    def test_a_command_waits_for_its_session(self, stopped, liar):
        """A service that is far away takes longer than a command to begin."""
        one, ids = stopped
        liar.nodes[f"/tus/l/{ids[0]}".encode()] = zookeeper.Node(
            b"other/abc:1", 99, 1)
        liar.lie = lambda kind, xid, true: time.sleep(0.05) or true
        assert re.search("locked +on other", tusctl(one, "show", ids[0]))
        tusctl(one, "rm", ids[1])
        assert ids[1] not in tusctl(one, "list")

    def test_a_client_that_it_kills_is_named(self, stopped, liar):
        one, _ = stopped
        liar.lie = lambda kind, xid, true: (
            true + zookeeper.reply(zookeeper.EVENT)
            if kind == zookeeper.SYNC else true)
        said = check(one, status=1)
        assert re.search(r"BAD   127\.0\.0\.1:\d+: no answer: what it answers "
                         "ends the process that reads it", said), said
        assert "BAD   the lock agent of this command has died" in said

    def test_four_letters_without_an_answer_are_a_note(self, stopped):
        """A lock was had before, and that is what counts."""
        said = check(stopped[0])
        assert re.search(r"(good|SLOW) +127\.0\.0\.1:\d+: a lock in ", said)
        assert "note  127.0.0.1" in said and "are not known" in said
