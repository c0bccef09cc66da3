"""Many clients, and a worker, a master or a parking process killed -9 every
second.

Every offset that was acknowledged is kept, every finished upload is
byte-exact, whoever dies meanwhile.  TUSFCGI_TORTURE says for how many seconds
(15), with TUSFCGI_CLIENTS clients (40).
"""

import base64
import hashlib
import itertools
import multiprocessing
import os
import random
import signal
import threading
import time

from lib import proc

from .conftest import number
from .crowd import (Bytes, Tally, ask, patch_headers, patiently, send_some)

SECONDS = number("TORTURE", 15)
CLIENTS = number("CLIENTS", 40)
PROCESSES = 4
LARGEST = 3 << 20

# So many seconds apart; a worker is killed in each of the others.
MASTER_EVERY = 4

# Seconds that a slow client waits between two pieces of a body.
PAUSES = (0.01, 0.15, 0.4, 2.5)


class Uploader:
    """One client: uploads one file after the other."""

    def __init__(self, apps, name, seed, tally, until):
        self.apps = apps
        self.name = name
        self.lots = random.Random(f"{seed}/{name}")
        self.tally = tally
        self.until = until
        self.acknowledged = self.tried = 0
        self.path = None

    @property
    def client(self):
        return self.lots.choice(self.apps).client

    def ask(self, *args, **options):
        # What was begun may be finished: nobody is killed at the end.
        return patiently(self.client, self.tally, *args,
                         until=self.until + 30, **options)

    def run(self):
        n = 0
        try:
            while time.monotonic() < self.until:
                self.upload(f"{self.name}/{n}")
                n += 1
        except Exception as problem:  # noqa: BLE001 (a thread must not hide)
            self.wrong(f"{type(problem).__name__}: {problem}")

    def wrong(self, text):
        self.tally.violation(f"{self.name} {self.path}: {text}")

    def upload(self, name):
        self.content = Bytes(name)
        self.size = self.lots.choice(
            [0, 1, 4096, self.lots.randrange(1, LARGEST)])
        self.acknowledged = self.tried = 0
        self.path = None
        answer = self.ask("POST", "/files",
                          {"Upload-Length": str(self.size)})
        if answer is None:
            return
        if answer.status != 201:
            self.wrong(f"POST: {answer}")
            return
        self.path = answer.headers["location"]
        self.tally.add("uploads")
        while self.acknowledged < self.size:
            if not self.step():
                return
        self.check()
        if self.lots.random() < 0.5:
            self.delete()

    def step(self):
        """One PATCH, however it ends; then what is acknowledged."""
        at = self.acknowledged
        n = min(self.size - at, self.lots.choice(
            [1, 4095, 4096, 65536, 262144, 1 << 20]))
        data = self.content(at, n)
        how = self.lots.random()
        self.tried = max(self.tried, at + n)
        if how < 0.15:
            send_some(self.client, self.path, at, data,
                      self.lots.randrange(n + 1))
            return self.look()
        extra = {}
        if how < 0.3:
            good = how < 0.25
            digest = hashlib.sha1(data if good else data + b"x").digest()
            extra["Upload-Checksum"] = "sha1 " + base64.b64encode(
                digest).decode()
        answer = self.patch(patch_headers(at, extra), data)
        if answer is not None and answer.status == 204:
            self.acknowledge(int(answer.headers["upload-offset"]), at + n)
            return True
        if answer is not None and answer.status not in (409, 423, 460, 503):
            self.wrong(f"PATCH at {at}: {answer}")
            return False
        if answer is None:
            self.tally.add("lost answers")
        return self.look()

    def patch(self, headers, data):
        return ask(self.client, "PATCH", self.path, headers, data)

    def look(self):
        answer = self.ask("HEAD", self.path)
        if answer is None:
            return False
        if answer.status != 200:
            self.wrong(f"HEAD: {answer}")
            return False
        self.acknowledge(int(answer.headers["upload-offset"]), None)
        return True

    def acknowledge(self, offset, expected):
        if expected is not None and offset != expected:
            self.wrong(f"204 says {offset}, not {expected}")
        if offset < self.acknowledged:
            self.wrong(f"{self.acknowledged} shrank to {offset}")
        if offset > self.tried:
            self.wrong(f"{offset} of {self.tried} that were sent")
        self.tally.add("acknowledged bytes",
                       max(0, offset - self.acknowledged))
        self.acknowledged = offset

    def check(self):
        answer = self.ask("GET", self.path)
        if answer is None:
            return
        if answer.status != 200:
            self.wrong(f"GET: {answer}")
        elif len(answer.body) != self.size:
            # Cut off by a kill: the length says so.
            again = self.ask("GET", self.path)
            if again is not None and len(again.body) != int(
                    again.headers["content-length"]):
                self.tally.add("downloads cut off")
        elif hashlib.sha256(answer.body).hexdigest() != \
                self.content.sha256(self.size):
            self.wrong("wrong bytes")
        else:
            self.tally.add("files byte-exact")

    def delete(self):
        answer = self.ask("DELETE", self.path)
        if answer is None:
            return
        if answer.status not in (204, 404):
            self.wrong(f"DELETE: {answer}")
            return
        answer = self.ask("HEAD", self.path)
        if answer is not None and answer.status != 404:
            self.wrong(f"deleted, but HEAD: {answer}")


class SlowUploader(Uploader):
    """Its bodies come in a few pieces, so that they are parked between them."""

    def patch(self, headers, data):
        pieces = self.lots.randrange(1, 5)
        size = max(1, len(data) // pieces)
        try:
            with self.client.open("PATCH", self.path, headers,
                                  len(data)) as stream:
                for at in range(0, len(data), size):
                    time.sleep(self.lots.choice(PAUSES))
                    stream.send(data[at:at + size])
                answer = stream.finish()
        except OSError:
            return None
        if answer.status is None or not answer.ended:
            return None
        return answer


def holders(apps):
    """Workers that hold the lock of an upload, in the middle of a PATCH."""
    found = []
    for worker in (w for app in apps for w in app.workers()):
        try:
            names = [os.readlink(f.path)
                     for f in os.scandir(f"/proc/{worker}/fd")]
        except OSError:
            continue
        if any(name.endswith(".lock") for name in names):
            found.append(worker)
    return found


def kill_a_worker(apps, lots, tally):
    """A busy one most of the time, or there would be little to lose."""
    found = holders(apps) if lots.random() < 0.9 else []
    what = "workers killed in a PATCH" if found else "other workers killed"
    parkers = [p for app in apps for p in proc.children(app.app.pid)
               if proc.is_parking(p)]
    if parkers and lots.random() < 0.4:
        found, what = parkers, "parking processes killed"
    found = found or [w for app in apps for w in app.workers()]
    try:
        os.kill(lots.choice(found), signal.SIGKILL)
        tally.add(what)
    except (ProcessLookupError, IndexError):
        pass


def kill_a_master(apps, lots, tally):
    """The kernel kills its workers, and another one finds the socket of the
    first there."""
    app = lots.choice(apps)
    tally.add("masters killed in a PATCH" if holders([app]) else
              "other masters killed")
    app.stop_app(signal.SIGKILL)
    app.start_app()


def kill_every_second(apps, until, lots, tally):
    try:
        for n in itertools.count(1):
            time.sleep(1)
            if time.monotonic() > until:
                return
            if n % MASTER_EVERY == 0:
                kill_a_master(apps, lots, tally)
            else:
                kill_a_worker(apps, lots, tally)
    except Exception as problem:  # noqa: BLE001 (a thread must not hide)
        tally.violation(f"killing: {type(problem).__name__}: {problem}")


def run_clients(kind, apps, names, seed, until, result):
    tally = Tally()
    threads = [threading.Thread(
        target=kind(apps, name, seed, tally, until).run, daemon=True)
        for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(until + 60 - time.monotonic())
    for name in names[:sum(t.is_alive() for t in threads)]:
        tally.violation(f"{name} or another one hangs")
    result.put((tally.counts, tally.violations))


def two_pools(app, **pool):
    """On one directory, with different promises."""
    pool = {"max_workers": 64, **pool}
    first = app(config={"pool": pool})
    second = app(config={"pool": pool,
                         "store": {"path": str(first.uploads),
                                   "durability": "full"}})
    return [first, second]


def torture(kind, pools, lots, seconds=SECONDS, clients=CLIENTS):
    """What it came to."""
    fork = multiprocessing.get_context("fork")
    result, seed = fork.Queue(), lots.random()
    until = time.monotonic() + seconds
    names = [f"client {i}" for i in range(clients)]
    jobs = [fork.Process(target=run_clients, args=(
        kind, pools, names[i::PROCESSES], seed, until, result))
        for i in range(PROCESSES)]
    for job in jobs:
        job.start()
    tally = Tally()
    # In this thread: a master that another one starts ends with that one.
    kill_every_second(pools, until, lots, tally)
    for _ in jobs:
        counts, violations = result.get(timeout=seconds + 120)
        tally.violations += violations
        for what, n in counts.items():
            tally.add(what, n)
    print(f"torture: {seconds} s, {clients} clients, {tally.line()}")
    assert tally.violations == []
    assert tally["files byte-exact"] > 0
    return tally


def masters_killed(tally):
    return tally["masters killed in a PATCH"] + tally["other masters killed"]


def test_what_was_acknowledged_survives_a_kill_every_second(app, lots):
    """INV-01, INV-02, INV-10"""
    tally = torture(Uploader, two_pools(app), lots)
    assert masters_killed(tally) > 0
    assert tally["workers killed in a PATCH"] > 0


def test_what_was_acknowledged_survives_parking(app, lots):
    """INV-41: bodies change their process all the time, and each of the
    processes that they pass is killed now and then."""
    pools = two_pools(app, max_parked=1000, max_workers=6, reserve=2,
                      min_spare=2)
    tally = torture(SlowUploader, pools, lots)
    assert masters_killed(tally) > 0
    assert tally["parking processes killed"] > 0
    assert any("parks=" in pool.log() for pool in pools)
