"""tusctl sweep: what goes, and above all what stays."""

import fcntl
import json
import os
import re
import subprocess
import time

import pytest

from lib import proc, rig, uploads
from lib.tusctl import DAY, HOUR, NO_LEAKS, past


def any_process_has_open(path):
    return any(path in proc.opened(pid) for pid in proc.everybody())


def test_sweep_removes_what_expired_and_nothing_else(tool, store):
    old = store.make(b"hello", size=11, expires=past(60))
    store.file(old + ".lock")
    keep = [store.make(b"hello", size=11, expires=past(-HOUR)),
            store.make(b"hello", size=11, age=400 * DAY),
            store.make(b"hello", size=5, age=400 * DAY)]
    out = tool.run("sweep")
    assert "1 expired" in out and old in out
    assert store.names() == sorted(
        name for id in keep for name in (id, id + ".info"))


def test_sweep_older_than_removes_abandoned_uploads(tool, store):
    store.make(b"hello", size=11, age=8 * DAY)
    keep = [store.make(b"hello", size=11, age=6 * DAY),
            store.make(b"hello", size=5, age=8 * DAY)]
    tool.run("sweep", "--older-than", "7d")
    assert store.names() == sorted(
        name for id in keep for name in (id, id + ".info"))


def test_sweep_dry_run_changes_nothing(tool, store):
    store.make(b"hello", size=11, expires=past(60))
    store.make(b"hello", size=5, finished=0, age=2 * HOUR)
    store.file(uploads.new_id(), b"lost", age=2 * HOUR)
    store.file(uploads.new_id() + ".lock")
    before = store.names()
    out = tool.run("sweep", "--dry-run")
    assert "would be: 1 expired uploads, 1 leftovers and 1 locks removed, " \
        "1 uploads finished" in out
    assert store.names() == before and not (store.path / ".sweep").exists()


def test_sweep_skips_what_is_in_use(tool, store):
    id = store.make(b"hello", size=11, expires=past(60))
    with store.locked(id):
        assert "1 in use" in tool.run("sweep")
        assert store.data(id) == b"hello"
    tool.run("sweep")
    assert store.names() == []


def test_sweep_asks_nobody_to_let_go(tool, store):
    """With all places for those who wait taken, asking would fail."""
    id = store.make(b"hello", size=11, expires=past(60))
    with store.locked(id), store.waiters(id):
        assert "1 in use" in tool.run("sweep")


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
def test_sweep_looks_again_under_the_lock(tool, store):
    """A request renews the expiry between our look and our lock."""
    id = store.make(b"hello", size=11, expires=past(60))
    store.file(id + ".lock")
    slow = [rig.have("strace"), "-qq", "-o", "/dev/null", "-e",
            "trace=flock", "-e", "inject=flock:delay_enter=700000"]
    sweep = subprocess.Popen(slow + [rig.program("tusctl"), "-c", tool.conf,
                                     "sweep"], stdout=subprocess.PIPE,
                             text=True, env=NO_LEAKS)
    lock = store.path / (id + ".lock")
    rig.wait_for(lambda: any_process_has_open(lock), "the sweep to lock")
    store.make(b"hello", size=11, id=id, expires=past(-DAY))
    out, _ = sweep.communicate(timeout=30)
    assert sweep.returncode == 0 and "0 expired" in out
    assert store.data(id) == b"hello"


def test_names_that_others_chose_do_nothing_to_the_terminal(tool, store):
    """Neither ESC, nor C1, nor what turns the rest of the line around."""
    odd = "\x1b[31m\x9b\u202e.txt"
    store.file(odd)
    for args in (["sweep"], ["sweep", "--dry-run"], ["rm", odd]):
        run = subprocess.run(
            [rig.program("tusctl"), "-c", tool.conf, *args], timeout=60,
            capture_output=True, text=True, check=False, env=NO_LEAKS)
        assert "tusctl: ?[31m" in run.stderr
        assert not set(odd) & {"\x1b", "\x9b", "\u202e"} & \
            set(run.stdout + run.stderr)


def test_sweep_finishes_what_only_lacks_the_finish(tool, store):
    id = store.make(b"hello", size=5, finished=0, offset=0, age=2 * HOUR,
                    expires=past(60))
    fresh = store.make(b"hello", size=5, finished=0)
    out = tool.run("sweep")
    assert "1 uploads finished" in out
    assert store.head(id)["Finished"] >= past(60)
    assert store.head(id)["Offset"] == 5
    assert store.head(fresh)["Finished"] == 0
    assert store.data(id) == b"hello"


def test_sweep_does_not_forget_whom_it_could_not_tell(tool, store, tmp_path):
    hook = tmp_path / "hooks" / "post-finish"
    hook.parent.mkdir()
    told = tmp_path / "told"
    tool.configure('hooks: { dir = "%s"; };' % hook.parent)
    id = store.make(b"hello", size=5, finished=0, age=2 * HOUR)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    tool.run("sweep", status=1)
    assert store.head(id)["Finished"] != 0
    assert uploads.pending(store.path, id) == "t"
    hook.write_text("#!/bin/sh\necho $TUS_ID >> %s\n" % told)
    tool.run("sweep")
    tool.run("sweep")
    assert told.read_text() == id + "\n"
    assert uploads.pending(store.path, id) == ""


def test_sweep_does_not_ask_for_ever_where_hooks_fail(tool, store, tmp_path):
    """Each takes as long as hooks.timeout, ten of them are enough."""
    hook = tmp_path / "hooks" / "post-finish"
    hook.parent.mkdir()
    conf = f'hooks: {{ dir = "{hook.parent}"; timeout = "%s"; }};'
    tool.configure(conf % "300ms")
    hook.write_text("#!/bin/sh\necho >> %s/asked\nexec sleep 60\n" % tmp_path)
    hook.chmod(0o755)
    for _ in range(15):
        store.file(store.make(b"hello", size=5) + ".lock")
    old = store.make(b"hello", size=11, expires=past(60))
    tool.run("sweep", status=1)
    asked = (tmp_path / "asked").read_text().count("\n")
    left = int(re.search(r"(\d+) finished uploads not tried", tool.stderr)[1])
    # A slow machine may kill one before it has said a word.
    assert 1 <= asked <= 15 - left <= 10
    assert old + ".info" not in store.names(), "time decides alone"
    hook.write_text("#!/bin/sh\necho >> %s/told\n" % tmp_path)
    tool.configure(conf % "30s")
    tool.run("sweep")
    assert (tmp_path / "told").read_text().count("\n") == 15


def test_sweep_removes_locks_that_nobody_needs(tool, store):
    finished = store.make(b"hello", size=5)
    unfinished = store.make(b"hello", size=11)
    for id in (finished, unfinished, uploads.new_id()):
        store.file(id + ".lock")
    out = tool.run("sweep")
    assert "2 locks removed" in out
    assert [n for n in store.names() if n.endswith(".lock")] == [
        unfinished + ".lock"]


def test_sweep_removes_a_lock_without_upload_only_if_it_is_free(tool, store):
    id = uploads.new_id()
    with store.locked(id):
        tool.run("sweep")
        assert store.names() == [id + ".lock"]
    tool.run("sweep")
    assert store.names() == []


LEFTOVERS = {
    "bytes of a creation that died": ("", b"lost"),
    "record of a creation that died": (".info.new", b"{}"),
    "record that never reached the disk": (".info", b""),
    "record of zeros": (".info", bytes(500)),
    "stop file of tusd": (".stop", b""),
    "lock file of tusd": (".lock.123", b"77"),
}


@pytest.mark.parametrize("what", LEFTOVERS)
def test_sweep_removes_leftovers_once_they_are_old(tool, store, what):
    suffix, content = LEFTOVERS[what]
    store.file(uploads.new_id() + suffix, content, age=2 * HOUR)
    young = store.file(uploads.new_id() + suffix, content, age=HOUR // 2)
    assert "1 leftovers" in tool.run("sweep")
    assert store.names() == [young.name]


def test_sweep_removes_the_record_of_a_deletion_that_died(tool, store):
    id = store.make(b"hello", size=11, age=2 * HOUR)
    (store.path / id).unlink()
    assert "1 leftovers" in tool.run("sweep")
    assert store.names() == []


def at(store, id, path, **more):
    """Has tusd's record name another place for the bytes."""
    record = store.path / (id + ".info")
    text = json.loads(record.read_text())
    text["Storage"]["Path"] = str(path)
    record.write_text(json.dumps({**text, **more}))
    store.make_old(record.name, 100 * DAY)


STRANGE = {
    "tusd, its bytes elsewhere": "/srv/project/a.bin",
    "tusd, its bytes not here just now": "project/a.bin",
    "tusd, its bytes nowhere": None,
    "damaged, and no bytes": b"{}",
    "ours once, its bytes elsewhere": "/srv/project/b.bin",
}


@pytest.mark.parametrize("what", STRANGE)
def test_sweep_never_removes_a_record_that_is_not_ours(tool, store, what):
    """The bytes are somewhere, or come back with their file system."""
    path = STRANGE[what]
    if what.startswith("ours"):
        id = store.make(b"hello", size=11)
        record = store.path / (id + ".info")
        record.write_bytes(record.read_bytes().replace(
            str(store.path / id).encode() + b'"', path.encode() + b'"', 1))
    else:
        id = store.make_tusd(b"hello", 11)
    (store.path / id).unlink()
    if isinstance(path, bytes):
        (store.path / (id + ".info")).write_bytes(path)
    elif path and not what.startswith("ours"):
        at(store, id, path if path[0] == "/" else store.path / path)
    store.make_old(id + ".info", 100 * DAY)
    before = store.names()
    tool.run("sweep", "--older-than", "1d", "--force")
    assert store.names() == before
    assert f"{id}.info: left alone: record without bytes" in tool.stderr


@pytest.mark.parametrize("content", [b"", b"77"])
def test_nor_if_tusd_left_its_lock(tool, store, content):
    id = store.make_tusd(b"hello", 11, id="my-own-id")
    (store.path / id).unlink()
    at(store, id, "/srv/project/a.bin")
    store.file(id + ".lock", content, age=100 * DAY)
    before = store.names()
    tool.run("sweep")
    assert store.names() == before
    assert "another server" in tool.run("rm", id, status=1) + tool.stderr
    assert store.names() == before


def test_sweep_never_removes_bytes_that_a_record_borrows(tool, store):
    """A hook of tusd's that names the file by an id of its own."""
    id = store.make_tusd(b"hello", 11)
    borrowed = uploads.new_id()
    (store.path / id).rename(store.path / borrowed)
    at(store, id, store.path / borrowed)
    store.make_old(borrowed, 100 * DAY)
    before = store.names()
    tool.run("sweep")
    assert store.names() == before
    assert f"{borrowed}: left alone: bytes without a record" in tool.stderr


def test_sweep_never_removes_the_lock_files_of_others(tool, store):
    names = ["composer.lock", "yarn.lock", uploads.new_id() + ".lock"]
    for name in names:
        store.file(name, b"" if name == "yarn.lock" else b"{}",
                   age=100 * DAY)
    orphan = store.file(uploads.new_id() + ".lock", b"", age=100 * DAY)
    assert "1 locks removed" in tool.run("sweep")
    assert store.names() == sorted(names) and not orphan.exists()


def test_sweep_removes_both_halves_of_an_empty_record(tool, store):
    id = store.make(b"hello", size=11, age=2 * HOUR)
    store.file(id + ".info", b"", age=2 * HOUR)
    tool.run("sweep")
    tool.run("sweep")
    assert store.names() == []


def test_sweep_does_not_touch_a_creation_at_work(tool, store):
    data = store.file(uploads.new_id(), b"", age=2 * HOUR)
    with open(data, "r+b") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        assert "1 in use" in tool.run("sweep")
    assert store.names() == [data.name]


def test_sweep_does_not_touch_the_side_file_of_a_locked_upload(tool, store):
    """It is being adopted, or created under an id announced early."""
    id = uploads.new_id()
    store.file(id + ".info.new", b"{}", age=2 * HOUR)
    with store.locked(id):
        assert "0 in use" not in tool.run("sweep")
        assert id + ".info.new" in store.names()
    tool.run("sweep")
    assert store.names() == []


def test_sweep_reports_strangers_and_leaves_them(tool, store):
    names = ["README", "notes.txt", "a.info", "my-own-id", ".hidden"]
    for name in names:
        store.file(name, b"mine", age=100 * DAY)
    os.mkdir(store.path / "sub")
    os.symlink("/etc/passwd", store.path / uploads.new_id())
    before = store.names()
    tool.run("sweep")
    assert store.names() == before
    for name in names + ["sub"]:
        assert re.search(r"^tusctl: %s: left alone" % re.escape(name),
                         tool.stderr, re.M), (name, tool.stderr)


HALVES = {
    "bytes without a record": ("",),
    "record without bytes": (".info",),
    "record that had no name yet": ("", ".info.new"),
    "record of zeros": ("", ".info"),
}


@pytest.mark.parametrize("what", HALVES)
def test_sweep_removes_half_an_upload_whose_id_a_hook_chose(
        tool, store, what):
    """Its lock tells it from a stranger's file."""
    for suffix in HALVES[what]:
        store.file("of-a-hook" + suffix, b"", age=2 * HOUR)
        store.file("young" + suffix, b"", age=HOUR // 2)
        store.file("README" + suffix, b"", age=2 * HOUR)
    store.file("of-a-hook.lock")
    store.file("young.lock")
    tool.run("sweep")
    tool.run("sweep")
    assert store.names() == sorted([
        "young.lock", *(name + suffix for suffix in HALVES[what]
                        for name in ("young", "README"))])


def test_sweep_leaves_what_no_lock_tells_of(tool, store):
    """Locks in memory, or of a service, leave no trace: it may be a
    stranger's."""
    tool.configure('lock: { type = "memory"; };')
    store.file("of-a-hook", b"", age=2 * HOUR)
    tool.run("sweep")
    assert "of-a-hook: left alone" in tool.stderr
    assert store.names() == ["of-a-hook"]


def test_sweep_does_not_touch_half_an_upload_that_is_being_made(tool, store):
    store.file("of-a-hook", b"", age=2 * HOUR)
    with store.locked("of-a-hook"):
        assert "in use" in tool.run("sweep")
    assert store.names() == ["of-a-hook", "of-a-hook.lock"]


def test_sweep_leaves_damaged_records_and_says_so(tool, store):
    id = store.make(b"hello", size=11, age=100 * DAY)
    store.file(id + ".info", b"{nonsense", age=100 * DAY)
    before = store.names()
    tool.run("sweep", "--older-than", "1d")
    assert "1 damaged" in tool.stderr and store.names() == before


# The clock guard.

def note(store, real, running, boot=None):
    (store.path / ".sweep").write_text(
        "boot %s real %d running %d" % (boot or uploads.boot_id(), real,
                                        running))


def running():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


@pytest.mark.parametrize("drift", [10 * 365 * DAY, -10 * 365 * DAY, 2 * HOUR,
                                   -2 * HOUR])
def test_sweep_removes_nothing_after_a_clock_jump(tool, store, drift):
    store.make(b"hello", size=11, expires=past(60))
    store.file(uploads.new_id(), b"lost", age=2 * HOUR)
    before = store.names()
    note(store, past(100) - drift, running() - 100)
    for _ in range(2):
        tool.run("sweep", status=1)
        assert "jumped" in tool.stderr and store.names() == before
    tool.run("sweep", "--force")
    assert store.names() == []
    store.make(b"hello", size=11, expires=past(60))
    tool.run("sweep")
    assert store.names() == []


@pytest.mark.parametrize("drift, interval, is_sane", [
    (50, 100, True), (300, 100, False), (300, 2 * HOUR, True),
    (2 * HOUR, 30 * DAY, False), (HOUR // 2, 30 * DAY, True),
])
def test_a_jump_is_an_hour_or_a_tenth(tool, store, drift, interval, is_sane):
    for sign in (1, -1):
        note(store, past(interval) - sign * drift, running() - interval)
        tool.run("sweep", status=0 if is_sane else 1)


def test_sweep_trusts_a_clock_that_was_put_right_again(tool, store):
    tool.run("sweep")
    note(store, past(100) + DAY, running() - 100)
    tool.run("sweep", status=1)
    note(store, past(100) + 5, running() - 100)
    tool.run("sweep")


def test_sweep_notices_over_a_reboot_that_the_clock_went_back(tool, store):
    note(store, past(-5 * DAY), 1000, boot=uploads.OTHER_BOOT)
    tool.run("sweep", status=1)
    note(store, past(5 * DAY), 99999999, boot=uploads.OTHER_BOOT)
    tool.run("sweep")


def test_sweep_knows_a_reboot_by_the_time_that_the_machine_runs(tool, store):
    """Some boards have one boot id for ever."""
    note(store, past(5 * DAY), running() + 4 * DAY)
    tool.run("sweep")
    note(store, past(-5 * DAY), running() + 4 * DAY)
    tool.run("sweep", status=1)


def test_sweep_starts_over_from_a_note_it_cannot_read(tool, store):
    (store.path / ".sweep").write_bytes(b"\0\0\0")
    tool.run("sweep")
    assert (store.path / ".sweep").read_text().startswith("boot ")


def test_what_is_of_no_known_time_goes_only_by_force(tool, store):
    """It was written before the clock was set."""
    id = store.make(b"hello", size=11, created=100, age=time.time() - 100)
    tool.run("sweep", "--older-than", "7d")
    assert store.data(id) == b"hello"
    tool.run("sweep", "--older-than", "7d", "--force")
    assert store.names() == []
