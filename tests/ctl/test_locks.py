"""tusctl check --locks: can locks be had, and who has them?"""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from lib import mounts, rig
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
