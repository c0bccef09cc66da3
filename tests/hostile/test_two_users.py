"""Two pools under two users share one directory through their group.

Needs root, to become both of them.
"""

import os
import pwd
import shutil
import subprocess
import threading
import time

import pytest

from lib import fastcgi, rig
from .crowd import Bytes
from .test_races import race

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="two users at once need root")

# Both are on every Debian; the group is that of the third.
USERS = ("nobody", "daemon")
GROUP = "games"


class Pool:
    def __init__(self, home, store, user):
        self.socket = home / f"{user}.sock"
        self.log = home / f"{user}.log"
        self.uploads = store
        self.config_path = config = home / f"{user}.conf"
        config.write_text(rig.libconfig({
            "store": {"path": str(store), "min_free": "0"},
            "lock": {"timeout": "3s"},
            "quota": {"uploads": 20},
            "log": {"level": "debug"},
            "pool": {"listen": str(self.socket), "user": user,
                     "group": GROUP, "min_spare": 2, "max_workers": 8}}))
        self.process = rig.spawn([rig.program(), "-c", str(config)], self.log)
        self.client = fastcgi.Client(str(self.socket))
        try:
            rig.wait_for(lambda: rig.accepts(1, str(self.socket)), "a pool")
        except TimeoutError:
            raise RuntimeError(self.log.read_text()) from None


@pytest.fixture
def pools(short_folder):
    """Two of them, on a directory as the manual wants it."""
    store = short_folder / "store"
    store.mkdir()
    shutil.chown(store, USERS[0], GROUP)
    store.chmod(0o2770)
    made = []
    try:
        made.extend(Pool(short_folder, store, user) for user in USERS)
        yield made, store
    finally:
        for pool in made:
            rig.end(pool.process, 15)
        logs = "".join(pool.log.read_text() for pool in made)
    assert not rig.SANITIZER.search(logs), logs


def owners(store):
    return {pwd.getpwuid(p.stat().st_uid).pw_name for p in store.iterdir()
            if p.name != ".store"}


@pytest.mark.parametrize("first, second", [(0, 1), (1, 0)])
def test_everything_works_crosswise(pools, first, second):
    """INV-35"""
    (a, b), store = [pools[0][i] for i in (first, second)], pools[1]
    content = Bytes("crosswise")
    path = a.client.create(100_000, headers={"Upload-Concat": "partial"})
    assert a.client.patch(path, 0, content(0, 30_000)).status == 204
    assert b.client.offset(path) == 30_000
    assert b.client.patch(path, 30_000, content(30_000, 30_000)).status == 204
    assert a.client.patch(path, 60_000, content(60_000, 40_000)).status == 204
    other = b.client.create(5, headers={"Upload-Concat": "partial"})
    assert b.client.patch(other, 0, b"other").status == 204
    final = b.client.request(
        "POST", "/files", {"Upload-Concat": f"final;{path} {other}"})
    assert final.status == 201
    got = a.client.request("GET", final.headers["location"])
    assert got.body == content(0, 100_000) + b"other"
    deferred = a.client.create(0, headers={})
    declared = b.client.request(
        "POST", "/files", {"Upload-Defer-Length": "1"}).headers["location"]
    assert a.client.patch(declared, 0, b"abc",
                          {"Upload-Length": "3"}).status == 204
    assert owners(store) == set(USERS)
    for gone in (path, other, final.headers["location"], deferred, declared):
        assert b.client.request("DELETE", gone).status == 204
        assert a.client.head(gone).status == 404
    assert [p.name for p in store.iterdir()] == [".store"]


def test_a_lock_is_handed_over_to_the_other_user(pools):
    """INV-12, INV-35"""
    (a, b), _ = pools
    path = a.client.create(1000)
    with a.client.open_patch(path, 0, 1000) as stream:
        stream.send(b"h" * 400)
        time.sleep(0.5)
        began = time.monotonic()
        assert b.client.offset(path) == 400
        assert time.monotonic() - began < 1
    assert b.client.patch(path, 400, b"h" * 600).status == 204


def test_both_write_the_same_uploads_at_once(pools):
    """INV-11, INV-35"""
    pair, store = pools
    size = 400_000
    paths = [pair[i % 2].client.create(size) for i in range(4)]

    def write(client, path):
        content = Bytes(path)
        while True:
            answer = client.head(path)
            if answer.status == 423:
                continue
            at = int(answer.headers["upload-offset"])
            if at == size:
                return
            client.patch(path, at, content(at, min(7777, size - at)))

    jobs = [threading.Thread(target=write, args=(pool.client, path),
                             daemon=True)
            for pool in pair for path in paths for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    for path in paths:
        stored = store / path.rsplit("/", 1)[1]
        assert stored.read_bytes() == Bytes(path)(0, size)


def test_no_race_between_users_loses_a_byte(pools, lots):
    """INV-35; PATCH, DELETE, HEAD, GET, concatenation and a sweep by root"""
    race(pools[0], lots)


def test_an_owner_has_one_quota_with_both(pools):
    """Whoever of them counts, and whoever strikes out what is gone."""
    pair, store = pools
    joe = {"extra": {"TUS_OWNER": "joe"}}
    start, got = threading.Barrier(32), []

    def create(client):
        return client.request("POST", "/files", {"Upload-Length": "5"}, **joe)

    def try_once(client):
        start.wait()
        got.append(create(client).status)

    jobs = [threading.Thread(target=try_once, args=(pair[i % 2].client,),
                             daemon=True) for i in range(32)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert sorted(got) == [201] * 20 + [413] * 12
    made_by = {e.name.split(".")[0]: pwd.getpwuid(e.stat().st_uid).pw_name
               for e in store.glob(".quota/*/*.5")}
    assert len(made_by) == 20 and set(made_by.values()) == set(USERS)
    for user, other in zip(USERS, reversed(pair)):
        # One goes as it should, one in a crash.
        gone, lost = [id for id in made_by if made_by[id] == user][:2]
        assert create(other.client).status == 413
        assert other.client.request(
            "DELETE", f"/files/{gone}", **joe).status == 204
        for file in (lost, lost + ".info"):
            (store / file).unlink()
        assert create(other.client).status == 201
        assert create(other.client).status == 201
        assert create(other.client).status == 413


def test_an_operator_sweeps_what_both_made(pools):
    """INV-35; as root, tusctl works as who owns the directory"""
    pair, store = pools
    paths = [pool.client.create(10) for pool in pair]
    config = store.parent / "nobody.conf"
    for path, pool in zip(paths, reversed(pair)):
        pool.client.patch(path, 0, b"half!")
    done = subprocess.run(
        [rig.program("tusctl"), "-c", str(config), "rm"] +
        [path.rsplit("/", 1)[1] for path in paths],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in store.iterdir()] == [".store"]
