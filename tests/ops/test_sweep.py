"""The server sweeps by itself, for hosts that have neither timer nor cron."""

import fcntl
import glob
import os
import re
import signal
import time
from pathlib import Path

import pytest

from lib import clients, fronts, proc, rig, uploads
from lib.app import is_alive

DAY = 86400
BOTH = pytest.mark.parametrize("args", [["-w", "2"], ["-w", "1"]],
                               ids=["pool", "alone"])


def config(every, **more):
    return rig.merge({"expiration": {"sweep": every},
                      "log": {"level": "info"}}, more)


def expired(one):
    return uploads.Store(one.uploads).make(
        b"hello", size=11, expires=int(time.time()) - 60)


def is_gone(one, id):
    return not (one.uploads / (id + ".info")).exists()


def wait_until_gone(one, id):
    rig.wait_for(lambda: is_gone(one, id), "the expired upload to go")


def note(one):
    return (one.uploads / ".sweep").read_text()


def write_note(one, ago, drift=0):
    """As if the last sweep had been so many seconds ago; never half there."""
    text = "boot %s real %d running %d\n" % (
        uploads.boot_id(), time.time() - ago - drift,
        time.clock_gettime(time.CLOCK_BOOTTIME) - ago)
    fd = os.open(one.uploads / ".sweep", os.O_WRONLY | os.O_CREAT, 0o660)
    os.pwrite(fd, text.encode(), 0)
    os.close(fd)


def lines(one):
    return re.findall(r"\bsweep expired=.*", one.log())


@BOTH
def test_what_expired_goes_by_itself(app, args):
    one = app(config=config("1s"), args=args)
    id = expired(one)
    kept = one.client.create(11)
    wait_until_gone(one, id)
    rig.wait_for(lambda: lines(one), "a line about it")
    assert lines(one)[0].startswith("sweep expired=1 finished=0 ")
    assert one.client.head(kept).status == 200


@BOTH
def test_a_sweep_that_has_nothing_to_do_says_nothing(app, args):
    one = app(config=config("1s"), args=args)
    rig.wait_for(lambda: (one.uploads / ".sweep").exists() and note(one),
                 "the first sweep")
    first = note(one)
    rig.wait_for(lambda: note(one) != first, "the second")
    assert not re.search(r"\bsweep\b", one.log())


@BOTH
def test_a_finish_that_was_not_taken_is_told_again(app, args, tmp_path):
    hooks, told = tmp_path / "hooks", tmp_path / "told"
    hooks.mkdir()
    hook = hooks / "post-finish"
    hook.write_text(f"#!/bin/sh\ncat >/dev/null\n"
                    f"test -e {told} && echo $TUS_ID >>{told}\n")
    hook.chmod(0o755)
    one = app(config=config("1s", hooks={"dir": str(hooks)}), args=args)
    path = one.client.create(5)
    assert one.client.patch(path, 0, b"hello").status == 204
    rig.wait_for(lambda: "hook post-finish: exit status 1" in one.log(),
                 "the hook to fail")
    told.touch()
    rig.wait_for(lambda: told.read_text(), "it to be told again")
    rig.wait_for(lambda: not uploads.pending(
        one.uploads, path.rsplit("/", 1)[1]), "the mark to go")
    assert told.read_text() == path.rsplit("/", 1)[1] + "\n"


@BOTH
def test_what_a_sweep_tells_hooks_is_counted(app, args, tmp_path):
    hooks, works = tmp_path / "hooks", tmp_path / "works"
    hooks.mkdir()
    for name in ("post-create", "post-finish"):
        (hooks / name).write_text(
            f"#!/bin/sh\ncat >/dev/null\ntest -e {works}\n")
        (hooks / name).chmod(0o755)
    one = app(config=config("1s", hooks={"dir": str(hooks)},
                            metrics={"enabled": True},
                            pool={"reserve": 0}), args=args)

    def calls(hook):
        text = one.client.request("GET", "/metrics").body.decode()
        return tuple(int(re.search(
            rf'_{what}_total{{hooktype="{hook}"}} (\d+)', text).group(1))
            for what in ("hook_invocations", "hook_errors"))

    path = one.client.create(5)
    assert one.client.patch(path, 0, b"hello").status == 204
    rig.wait_for(lambda: all(calls(h)[1] > 0 for h in (
        "post-create", "post-finish")), "both to fail")
    works.touch()
    rig.wait_for(lambda: lines(one) and "events=1" in one.log(),
                 "both to be told")
    rig.wait_for(lambda: all(calls(h)[0] == calls(h)[1] + 1 for h in (
        "post-create", "post-finish")), "the count of it")


def starts(ones, seconds):
    """When sweeps of a store began, as their notes say."""
    seen, end = set(), time.monotonic() + seconds
    while time.monotonic() < end:
        seen |= {m.group(1) for m in [re.search(r"running (\d+)$", note(ones))]
                 if m}
        time.sleep(0.05)
    return sorted(int(n) for n in seen)


@BOTH
def test_not_more_often_than_configured_over_all_servers(app, args):
    one = app(config=config("3s"), args=args)
    # So that they do not look at the same moment.
    time.sleep(1.5)
    app(config=config("3s", store={"path": str(one.uploads)}), args=args)
    rig.wait_for((one.uploads / ".sweep").exists, "the first sweep")
    times = starts(one, 8)
    assert 2 <= len(times) <= 4
    assert all(b - a >= 3 for a, b in zip(times, times[1:])), times


@BOTH
def test_the_last_sweep_counts_whoever_ran_it(app, args):
    one = app(config=config("2s", log={"level": "debug"}), args=args)
    id = expired(one)

    def is_not_yet():
        write_note(one, 1)
        return one.log().count("no sweep: not yet") >= 2

    rig.wait_for(is_not_yet, "it to look twice")
    assert not is_gone(one, id)
    wait_until_gone(one, id)


@BOTH
def test_one_at_a_time(app, args):
    one = app(config=config("1s", log={"level": "debug"}), args=args)
    rig.wait_for((one.uploads / ".sweep").exists, "the first sweep")
    with open(one.uploads / ".sweep") as other:
        rig.wait_for(lambda: is_locked(other), "the lock")
        id = expired(one)
        rig.wait_for(lambda: "another sweep is at work" in one.log(),
                     "it to notice")
        assert not is_gone(one, id)
    wait_until_gone(one, id)


def is_locked(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


# --- While it goes on. ---

def nice_of(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat.rpartition(")")[2].split()[16])


def sweeper(one):
    """The pid of the sweep that is at work."""
    return next((p for p in proc.children(one.app.pid) if nice_of(p) == 19),
                None)


@pytest.fixture
def long_sweep(app, tmp_path):
    """A factory: a server in the middle of a sweep that takes its time."""
    def start(args):
        hooks = tmp_path / "hooks"
        hooks.mkdir()
        one = app(config=config("1s", hooks={
            "dir": str(hooks), "events": ["post-finish"],
            "timeout": "60s"}), args=args)
        id = uploads.Store(one.uploads).make(b"hello", size=5)
        (one.uploads / (id + ".lock")).touch()
        (hooks / "post-finish").write_text(
            f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
        (hooks / "post-finish").chmod(0o755)
        rig.wait_for(lambda: (tmp_path / "pid").exists() and
                     (tmp_path / "pid").read_text(), "the hook to begin")
        one.hook = int((tmp_path / "pid").read_text())
        one.id = id
        return one
    return start


@BOTH
def test_no_request_waits_for_a_sweep(long_sweep, args):
    one = long_sweep(args)
    for _ in range(20):
        began = time.monotonic()
        path = one.client.create(5)
        assert one.client.patch(path, 0, b"hel").status == 204
        assert one.client.offset(path) == 3
        assert time.monotonic() - began < 1
    assert sweeper(one)


@BOTH
def test_a_sweep_does_not_hold_the_listening_socket(long_sweep, args):
    one = long_sweep(args)

    def sockets(pid):
        return {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}

    listening = {f"socket:[{line.split()[6]}]" for line in
                 Path("/proc/net/unix").read_text().splitlines()
                 if line.endswith(f" {one.address}")}
    assert sockets(one.app.pid) & listening
    assert not sockets(sweeper(one)) & listening


@BOTH
def test_a_sweep_is_confined_like_a_worker(long_sweep, args):
    one = long_sweep(args)
    status = Path(f"/proc/{sweeper(one)}/status").read_text()
    assert re.search(r"NoNewPrivs:\s+1", status)


@BOTH
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_a_stop_does_not_wait_for_a_sweep_nor_leave_it_behind(
        long_sweep, args, sig):
    one = long_sweep(args)
    pid = sweeper(one)
    began = time.monotonic()
    one.stop_app(sig)
    assert time.monotonic() - began < 2
    rig.wait_for(lambda: not is_alive(pid) and not is_alive(one.hook),
                 "both to be gone", 5)
    # It was not told, and the next sweep will know.
    assert (one.uploads / (one.id + ".lock")).exists()
    assert not (one.uploads / ".sweep").read_text()


@BOTH
def test_a_sweep_that_is_terminated_is_missed_by_nobody(long_sweep, args):
    """As by a service manager that tells every process of a service."""
    one = long_sweep(args)
    pid = sweeper(one)
    os.kill(pid, signal.SIGTERM)
    rig.wait_for(lambda: "sweep killed by signal 15" in one.log(), "its end")
    rig.wait_for(lambda: sweeper(one) not in (None, pid), "another one")
    assert one.client.create(5)


@BOTH
def test_a_sweep_ends_by_itself_where_a_reload_forbids_more(app, args):
    one = app(config=config("1s"), args=args)
    wait_until_gone(one, expired(one))
    one.configure(config(0))
    one.app.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: "configuration read" in one.log(), "the reload")
    rig.wait_for(lambda: not sweeper(one), "the last one to end")
    id = expired(one)
    time.sleep(2.5)
    assert not is_gone(one, id)


# --- The clock. ---

@BOTH
def test_after_a_jump_of_the_clock_nothing_goes_and_it_is_said_once(app, args):
    one = app(config=config("1s"), args=args)
    rig.wait_for(lambda: (one.uploads / ".sweep").exists() and note(one),
                 "the first sweep")

    def has_jumped():
        # A sweep may just have been writing.
        if "jumped" not in one.log():
            write_note(one, 100, drift=DAY)
        return "jumped" in one.log()

    rig.wait_for(has_jumped, "it to notice")
    id = expired(one)
    time.sleep(3.5)
    assert not is_gone(one, id)
    assert one.log().count("the clock jumped") == 1
    write_note(one, 100)
    wait_until_gone(one, id)


FAKETIME = next(iter(sorted(glob.glob("/usr/lib/*/faketime/libfaketime.so.1"))),
                None)


@pytest.mark.skipif(not FAKETIME, reason="needs libfaketime")
@BOTH
@pytest.mark.parametrize("jump", ["+400d", "-400d"])
def test_a_clock_that_jumps_under_a_server_removes_nothing(
        app, tmp_path, args, jump):
    """The time of day jumps, the time since boot cannot."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    env = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(clock),
           "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
           "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
    one = app(config=config("1s", expiration={"after": "7d"}), args=args,
              env=env)
    path = one.client.create(11)
    assert one.client.patch(path, 0, b"hello").status == 204
    lost = uploads.Store(one.uploads).file(
        uploads.new_id() + ".info.new", b"{", age=600)
    rig.wait_for(lambda: (one.uploads / ".sweep").exists() and note(one),
                 "the first sweep")
    first = note(one)
    clock.write_text(jump)
    rig.wait_for(lambda: "the clock jumped by" in one.log(), "it to notice")
    time.sleep(2.5)
    assert lost.exists() and one.data_size(path) == 5
    assert one.log().count("the clock jumped by") == 1
    clock.write_text("+0")
    rig.wait_for(lambda: note(one) != first, "a sweep that dares")
    assert one.client.offset(path) == 5
    assert one.client.patch(path, 5, b" world").status == 204


def test_a_clock_that_is_wrong_makes_nothing_410(app):
    """A client forgets an upload that is said to be gone."""
    one = app(config=config(0, expiration={"after": "7d"}))
    id = expired(one)
    path = "/files/" + id
    assert one.client.head(path).status == 410
    write_note(one, 100, drift=DAY)
    assert one.client.offset(path) == 5
    assert one.client.patch(path, 5, b" ").status == 204
    other = expired(one)
    write_note(one, 100)
    assert one.client.head("/files/" + other).status == 410


# --- A clock that was not set. ---

def faked(when):
    """The environment of a program whose time of day stands still."""
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": when, "TZ": "UTC",
            "DONT_FAKE_MONOTONIC": "1",
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}


@pytest.mark.skipif(not FAKETIME, reason="needs libfaketime")
@pytest.mark.parametrize("when", [
    "1970-01-01 00:00:00", "1970-01-01 00:00:01", "1969-12-31 23:00:00"])
def test_uploads_work_before_the_clock_is_set(app, when):
    one = app(config=config(0, expiration={"after": "7d"}), env=faked(when))
    path = one.client.create(5)
    assert one.client.patch(path, 0, b"hel").status == 204
    assert one.client.offset(path) == 3
    assert one.client.patch(path, 3, b"lo").status == 204
    whole = one.client.request("POST", "/files", {
        "Upload-Length": "5", **one.client.patch_headers(0)}, b"hello")
    for done in (path, whole.headers["location"], one.client.create(0)):
        assert one.client.head(done).status == 200
        assert one.client.request("GET", done).status == 200
    assert one.client.request("DELETE", path).status == 204


@BOTH
def test_what_was_made_before_the_clock_was_set_keeps_its_time(app, args):
    """Seven days from the first sweep that knows what day it is."""
    one = app(config=config("1s", expiration={"after": "7d"}), args=args)
    store = uploads.Store(one.uploads)
    id = store.make(b"hello", size=11, created=100, expires=100 + 7 * DAY)
    store.make_old(id, time.time() - 100)
    path = "/files/" + id
    assert one.client.offset(path) == 5
    rig.wait_for(lambda: store.head(id)["Expires"] > 8 * DAY,
                 "it to be renewed")
    assert abs(store.head(id)["Expires"] - time.time() - 7 * DAY) < 60
    assert one.client.offset(path) == 5
    assert one.client.patch(path, 5, b" world").status == 204


# --- Started by the web server. ---

def test_a_process_of_mod_fcgid_sweeps_when_it_has_nothing_to_do(server):
    name = "apache-fcgid"
    if fronts.missing(name):
        pytest.skip(f"{name}: {fronts.missing(name)}")
    one = server(name, config=config("1s"))
    id = expired(one)
    for file in one.uploads.glob(id + "*"):
        one.own(file)
    assert clients.request("OPTIONS", one.url)[0] in (200, 204)
    wait_until_gone(one, id)
