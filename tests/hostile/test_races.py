"""Everybody at once on the same few uploads, in two pools.

PATCH, DELETE, HEAD, GET, concatenation and sweep meet in every order; a
worker that is stopped keeps its lock, one that is killed does not.
"""

import base64
import hashlib
import os
import random
import signal
import threading
import time

import pytest

from lib import rig
from lib.fastcgi import STDIN, record
from .conftest import number, tusctl
from .crowd import Bytes, Tally, ask, patch_headers, send_some
from .test_torture import two_pools

SECONDS = number("RACES", 8)
SIZE = 300_000
RACERS = 16


class Shared:
    """An upload that everybody writes, with the same bytes."""

    def __init__(self, name, path):
        self.path = path
        self.content = Bytes(name)
        self.lock = threading.Lock()
        self.acknowledged = 0
        self.deleted = False

    def floor(self):
        with self.lock:
            return self.acknowledged, self.deleted

    def acknowledge(self, offset):
        with self.lock:
            self.acknowledged = max(self.acknowledged, offset)

    def delete(self):
        with self.lock:
            self.deleted = True


class Racer:
    def __init__(self, pools, places, name, seed, tally, until):
        self.pools, self.places, self.tally = pools, places, tally
        self.until = until
        self.lots = random.Random(f"{seed}/{name}")
        self.name = name
        self.made = 0

    @property
    def client(self):
        return self.lots.choice(self.pools).client

    def run(self):
        try:
            while time.monotonic() < self.until:
                place = self.lots.randrange(len(self.places))
                upload = self.places[place]
                act = self.lots.choices(
                    [self.head, self.patch, self.drop, self.get, self.delete,
                     self.concat], [6, 8, 3, 2, 1, 1])[0]
                act(upload)
                if upload.deleted:
                    self.places[place] = self.create() or upload
        except Exception as problem:  # noqa: BLE001
            self.wrong(None, f"{type(problem).__name__}: {problem}")

    def wrong(self, upload, text):
        path = upload.path if upload else ""
        self.tally.violation(f"{self.name} {path}: {text}")

    def create(self):
        self.made += 1
        answer = ask(self.client, "POST", "/files", {
            "Upload-Length": str(SIZE), "Upload-Concat": "partial"})
        if answer is None or answer.status != 201:
            return None
        self.tally.add("uploads")
        return Shared(f"{self.name}/{self.made}", answer.headers["location"])

    def judge(self, upload, before, answer, good):
        """Is this status possible?  404 only once somebody deleted it."""
        self.tally.add("requests")
        if answer is None:
            self.tally.add("lost answers")
            return False
        if answer.status == 404 and (upload.deleted or
                                     self.deleting(upload)):
            return False
        if before[1] and answer.status != 404:
            self.wrong(upload, f"deleted, and then {answer}")
        elif answer.status not in good:
            self.wrong(upload, f"{answer}")
        return answer.status in (200, 204)

    @staticmethod
    def deleting(upload):
        """Somebody may be deleting it now: his answer is on its way."""
        return getattr(upload, "dying", 0) > 0

    def head(self, upload):
        before = upload.floor()
        answer = ask(self.client, "HEAD", upload.path)
        if not self.judge(upload, before, answer, (200, 423)):
            return None
        offset = int(answer.headers["upload-offset"])
        if offset < before[0]:
            self.wrong(upload, f"{before[0]} was acknowledged, now {offset}")
        upload.acknowledge(offset)
        return offset

    def patch(self, upload):
        at = self.head(upload)
        if at is None:
            return
        data = upload.content(at, min(SIZE - at, self.lots.choice(
            [0, 1, 5000, 40000, SIZE])))
        extra = {}
        if self.lots.random() < 0.3:
            digest = hashlib.sha1(data + self.lots.choice([b"", b"x"]))
            extra["Upload-Checksum"] = "sha1 " + base64.b64encode(
                digest.digest()).decode()
        before = upload.floor()
        answer = ask(self.client, "PATCH", upload.path,
                     patch_headers(at, extra), data)
        # The holder let somebody else in: 423 in the middle of a body, and
        # 409 if somebody else was faster.
        if self.judge(upload, before, answer, (204, 409, 423, 460)):
            upload.acknowledge(int(answer.headers["upload-offset"]))

    def drop(self, upload):
        at = upload.acknowledged
        data = upload.content(at, min(SIZE - at, 60000))
        send_some(self.client, upload.path, at, data,
                  self.lots.randrange(len(data) + 1))

    def get(self, upload):
        before = upload.floor()
        answer = ask(self.client, "GET", upload.path)
        # Partial uploads are not shown; concatenated ones are looked at there.
        self.judge(upload, before, answer, (404, 200))

    def delete(self, upload):
        before = upload.floor()
        with upload.lock:
            upload.dying = getattr(upload, "dying", 0) + 1
        answer = ask(self.client, "DELETE", upload.path)
        if self.judge(upload, before, answer, (204, 423)):
            upload.delete()
        elif answer is not None:
            # Else it may be done or not, for ever.
            with upload.lock:
                upload.dying -= 1

    def concat(self, upload):
        parts = [upload] + self.lots.choices(self.places, k=2)
        # Without its own metadata it could be that of another racer.
        answer = ask(self.client, "POST", "/files", {
            "Upload-Metadata": f"of-{id(self)}-{time.monotonic_ns()}",
            "Upload-Concat": "final;" + " ".join(p.path for p in parts)})
        self.tally.add("requests")
        # 423: the same is being made of the same parts.
        if answer is None or answer.status in (400, 404, 423):
            return
        if answer.status != 201:
            self.wrong(upload, f"concat: {answer}")
            return
        self.tally.add("concatenations")
        path = answer.headers["location"]
        got = ask(self.client, "GET", path)
        expected = b"".join(p.content(0, SIZE) for p in parts)
        if got is not None and got.body != expected:
            self.wrong(upload, f"{path} has other bytes than its parts")
        ask(self.client, "DELETE", path)


def sweep(app, until, tally):
    while time.monotonic() < until:
        done = tusctl(app, "sweep")
        if done.returncode != 0:
            tally.violation(f"sweep: {done.stdout} {done.stderr}")
        tally.add("sweeps")
        time.sleep(0.2)


def kill_and_stop(pools, until, lots, tally):
    """Not more often than clients are patient."""
    while time.monotonic() < until:
        time.sleep(0.3)
        workers = [w for pool in pools for w in pool.workers()]
        try:
            victim = lots.choice(workers)
            if lots.random() < 0.5:
                os.kill(victim, signal.SIGKILL)
                tally.add("kills")
            else:
                os.kill(victim, signal.SIGSTOP)
                time.sleep(0.5)
                os.kill(victim, signal.SIGCONT)
                tally.add("stops")
        except (ProcessLookupError, IndexError):
            pass


@pytest.mark.parametrize("trouble", [False, True])
def test_no_race_loses_a_byte(app, lots, trouble):
    """INV-01, INV-02, INV-05, INV-11, INV-12; with kills and stops too"""
    race(two_pools(app), lots, trouble)


def race(pools, lots, trouble=False):
    """Everybody on the same few uploads, and then they are as they must be."""
    tally, seed = Tally(), lots.random()
    until = time.monotonic() + SECONDS
    places = []
    racers = [Racer(pools, places, f"racer {i}", seed, tally, until)
              for i in range(RACERS)]
    places.extend(racers[0].create() for _ in range(6))
    jobs = [threading.Thread(target=r.run, daemon=True) for r in racers]
    jobs.append(threading.Thread(target=sweep, args=(pools[0], until, tally),
                                 daemon=True))
    if trouble:
        jobs.append(threading.Thread(target=kill_and_stop, args=(
            pools, until, lots, tally), daemon=True))
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(SECONDS + 60)
    assert not any(job.is_alive() for job in jobs)
    print(f"races: {tally.line()}")
    assert tally.violations == []
    assert tally["requests"] > 100
    for upload in places:
        finish(pools[0], upload)


def finish(app, upload):
    """Whatever happened to it, it can be finished, and is right."""
    if upload.deleted:
        return
    def look():
        answer = app.client.head(upload.path)
        return answer if answer.status != 423 else None
    answer = rig.wait_for(look, "the lock")
    if answer.status == 404 and getattr(upload, "dying", 0) > 0:
        return
    at = int(answer.headers["upload-offset"])
    answer = app.client.patch(upload.path, at, upload.content(at, SIZE - at))
    assert answer.status == 204
    stored = app.uploads / upload.path.rsplit("/", 1)[1]
    assert stored.read_bytes() == upload.content(0, SIZE)


def worker_with(server, path, others=()):
    """A worker that has this file open, and is not one of the others."""
    def look():
        for pid in set(server.workers()) - set(others):
            for fd in os.scandir(f"/proc/{pid}/fd"):
                try:
                    if os.readlink(fd.path) == str(path):
                        return pid
                except FileNotFoundError:
                    pass
        return None
    return rig.wait_for(look, "a worker at the lock")


def test_a_stopped_waiter_stops_no_upload(app):
    """INV-13: it cannot let go of its question, so that every holder is asked
    to be short; each of them gets on nevertheless."""
    server = app(args=["-w", "6"], config={"lock": {"timeout": "20s"}})
    client, content = server.client, Bytes("stopped")
    path = client.create(SIZE)
    lock = server.uploads / (path.rsplit("/", 1)[1] + ".lock")
    stopped = []
    try:
        with client.open_patch(path, 0, SIZE) as stream:
            stream.send(content(0, 1000))
            server.wait_for_bytes(path, 1000)
            stopped.append(worker_with(server, lock))
            os.kill(stopped[0], signal.SIGSTOP)
            waiter = client.open("HEAD", path)
            waiter.send_raw(record(STDIN))
            stopped.append(worker_with(server, lock, stopped))
            os.kill(stopped[1], signal.SIGSTOP)
            os.kill(stopped[0], signal.SIGCONT)
            assert stream.read().status == 423
        at, until = client.offset(path), time.monotonic() + 20
        assert at == 1000
        while at < SIZE and time.monotonic() < until:
            with client.open_patch(path, at, SIZE - at) as stream:
                for to in range(at, SIZE, 2000):
                    stream.send(content(to, min(2000, SIZE - to)))
                    time.sleep(0.01)
                answer = stream.finish()
            assert answer.status in (204, 423)
            now = client.offset(path)
            assert now > at
            at = now
        assert at == SIZE
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert waiter.read().status == 200
    stored = server.uploads / path.rsplit("/", 1)[1]
    assert stored.read_bytes() == content(0, SIZE)
