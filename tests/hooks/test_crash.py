"""Killed at every system call, no event is lost; and in the good case every
one is told once.

The story of tests/hook/drive.c runs under strace, which kills it at the n-th
call of a kind.  Then two hours pass, somebody sweeps, and the hooks must have
been told of everything that a client had an answer for, and of every upload
that is finished.  TUSFCGI_DEEP=1 takes every call instead of every fourth.
"""

import collections
import json
import os
import shutil
import subprocess
import time

import pytest

from lib import rig, uploads

DRIVE = os.path.join(os.path.dirname(rig.program()), "hook-drive")
STEP = 1 if os.environ.get("TUSFCGI_DEEP") else 4
CALLS = ("openat", "flock", "pwrite64", "write", "renameat", "unlinkat",
         "fdatasync", "fsync", "ftruncate", "clone", "wait4", "close")

# Not more than a few milliseconds: there are thousands of them.
HOOK = """#!/bin/sh
read -r event
echo "$TUS_EVENT_ID $event" >>"$HOME/events"
"""


def strace_works():
    return rig.have("strace") and subprocess.run(
        ["strace", "-qq", "-o", "/dev/null", "true"],
        capture_output=True, check=False).returncode == 0


if not strace_works():
    pytest.skip("strace may not trace here", allow_module_level=True)
if not os.access(DRIVE, os.X_OK):
    pytest.skip("hook-drive is not built: make check", allow_module_level=True)


class Place:
    """A store, its hooks, and what was told."""

    def __init__(self, home):
        self.home = home
        shutil.rmtree(home, ignore_errors=True)
        self.store = home / "store"
        hooks = home / "hooks"
        self.store.mkdir(parents=True)
        hooks.mkdir()
        for name in ("post-create", "post-finish", "post-terminate"):
            (hooks / name).write_text(HOOK)
            (hooks / name).chmod(0o755)
        self.conf = home / "conf"
        self.conf.write_text(rig.libconfig({
            "store": {"path": str(self.store), "min_free": "0",
                      "durability": "full"},
            "hooks": {"dir": str(hooks)}}))
        # The search for leaks does not work under strace.
        self.env = {**os.environ, "HOME": str(home),
                    "ASAN_OPTIONS": "detect_leaks=0"}

    def drive(self, *tracer):
        """What was acknowledged: a list of (what, id)."""
        run = subprocess.run([*tracer, DRIVE, self.conf], env=self.env,
                             capture_output=True, text=True, timeout=60,
                             check=False)
        assert run.returncode in (0, -9), run.stderr
        return [tuple(line.split()[1:]) for line in run.stdout.splitlines()]

    def sweep(self):
        then = time.time() - 7200
        for path in self.store.iterdir():
            os.utime(path, (then, then))
        run = subprocess.run(
            [rig.program("tusctl"), "-c", self.conf, "sweep"], env=self.env,
            capture_output=True, text=True, timeout=60, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def events(self):
        """(event, upload): [event ids]"""
        told = collections.defaultdict(list)
        path = self.home / "events"
        for line in path.read_text().splitlines() if path.exists() else ():
            event_id, _, text = line.partition(" ")
            event = json.loads(text)
            told[event["Type"], event["Event"]["Upload"]["ID"]].append(
                event_id)
        return told

    def finished(self):
        return [path.stem for path in self.store.glob("*.info")
                if json.loads(path.read_text())["Finished"]]


def check(place, acks):
    """What must hold after a sweep."""
    told = place.events()
    names = {"created": "post-create", "finished": "post-finish",
             "terminated": "post-terminate"}
    gone = {id for what, id in acks if what == "terminated"}
    for what, id in acks:
        if what in names and not (what == "finished" and id in gone):
            assert told[names[what], id], f"{names[what]} of {id} is lost"
    for id in place.finished():
        assert told["post-finish", id], f"post-finish of {id} is lost"
    for key, ids in told.items():
        assert len(ids) <= 2, f"{key} {len(ids)} times"
        assert len(set(ids)) <= 1, f"{key} with several ids"
    assert not list((place.store / ".hooks").glob("*.json"))
    assert not [path for path in place.store.glob("*.lock")
                if path.stem in place.finished()]
    assert not any(uploads.pending(place.store, id)
                   for id in place.finished())


def count_calls(place):
    trace = place.home / "trace"
    place.drive("strace", "-qq", "-o", str(trace), "-e",
                "trace=" + ",".join(CALLS))
    return collections.Counter(
        line.split("(")[0] for line in trace.read_text().splitlines()
        if "(" in line)


def test_every_event_is_told_once(tmp_path):
    place = Place(tmp_path / "place")
    acks = place.drive()
    assert [what for what, _ in acks] == [
        "created", "patched", "patched", "finished", "created", "finished",
        "created", "finished", "created", "finished", "terminated"]
    place.sweep()
    check(place, acks)
    told = place.events()
    assert all(len(ids) == 1 for ids in told.values())
    assert len(told) == 4 + 4 + 1


def test_no_event_is_lost_wherever_it_is_killed(tmp_path):
    counts = count_calls(Place(tmp_path / "count"))
    assert counts["renameat"] > 3 and counts["unlinkat"] > 3
    runs = twice = 0
    for call, count in sorted(counts.items()):
        # The loader's, and the many that only read.
        step = STEP * 3 if call in ("close", "openat") else STEP
        for n in range(1, count + 1, step):
            place = Place(tmp_path / "place")
            acks = place.drive(
                "strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                "-e", f"inject={call}:signal=KILL:when={n}")
            place.sweep()
            place.sweep()
            try:
                check(place, acks)
            except AssertionError as error:
                raise AssertionError(f"killed at {call} {n}: {error}") \
                    from error
            runs += 1
            twice += any(len(i) > 1 for i in place.events().values())
    print(f"{runs} kills, {twice} times something was told twice")
    assert runs > 100 // STEP
