"""A disk that is full, in every way that one can be, and what else runs out.

What was received is kept, the answer says try again, nothing half made stays
behind, and when there is room again everything goes on.  The disk is a small
file system in a file, which needs root and a loop device.
"""

import base64
import errno
import hashlib
import itertools
import os
import resource
import struct
import subprocess
import time
from pathlib import Path

import pytest

from lib import mounts, rig, uploads
from lib.proc import descriptors
from .conftest import number, tusctl
from .crowd import Bytes, ask, patch_headers

HERE = Path(__file__).parent
MEMORY_STEP = number("MEMORY_STEP", 6)


class Disk:
    def __init__(self, folder, size, *options):
        self.mnt = folder / "disk"
        self.mnt.mkdir()
        image = folder / "image"
        with open(image, "wb") as f:
            f.truncate(size)
        self.run(rig.have("mkfs.ext4"), "-q", "-F", "-m", "0", *options,
                 str(image))
        self.run("mount", "-o", "loop", str(image), str(self.mnt))
        self.store = self.mnt / "store"
        self.store.mkdir()
        self.many = self.mnt / "many"
        self.many.mkdir()

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, capture_output=True)

    def fill(self):
        """Not a byte is left."""
        with open(self.mnt / "filler", "ab", buffering=0) as f:
            for size in (1 << 20, 1 << 16, 1 << 12):
                try:
                    while True:
                        f.write(b"f" * size)
                except OSError:
                    continue
            os.fsync(f.fileno())

    def fill_inodes(self):
        try:
            for n in itertools.count():
                (self.many / str(n)).touch()
        except OSError:
            return

    def free(self):
        (self.mnt / "filler").unlink(missing_ok=True)
        for path in self.many.iterdir():
            path.unlink()


@pytest.fixture
def disk(tmp_path):
    """A factory: disk(bytes, options of mkfs.ext4)."""
    made = []

    def make(size, *options):
        mounts.may_mount()
        if not rig.have("mkfs.ext4"):
            pytest.skip("a file system of its own needs mkfs.ext4")
        try:
            made.append(Disk(tmp_path, size, *options))
        except subprocess.CalledProcessError as e:
            pytest.skip(f"no loop mounts here: {e.stderr[-200:]}")
        return made[0]

    yield make
    for one in made:
        subprocess.run(["umount", "-l", str(one.mnt)], check=False)


def names(store):
    return {path.name for path in store.iterdir()} - {".store"}


def digest(data):
    return {"Upload-Checksum": "sha1 " + base64.b64encode(
        hashlib.sha1(data).digest()).decode()}


def left(small):
    """What nobody may find there, once all is over."""
    return {name for name in names(small.store)
            if name.endswith((".new", ".lock"))}


SIZE = 6 << 20
KINDS = {"announced": {"length": None}, "of unknown length": {
    "extra": {"CONTENT_LENGTH": ""}}, "checksummed": {}}


@pytest.mark.parametrize("durability", ["data", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_507_and_keeps_what_fitted(disk, app, durability, kind):
    """INV-16"""
    small = disk(24 << 20)
    server = app(config={"store": {"path": str(small.store), "min_free": "0",
                                   "durability": durability}})
    content = Bytes(kind)
    path = server.client.create(SIZE)
    assert server.client.patch(path, 0, content(0, 1000)).status == 204
    small.fill()
    os.truncate(small.mnt / "filler",
                os.path.getsize(small.mnt / "filler") - (2 << 20))
    data = content(1000, SIZE - 1000)
    headers = digest(data) if kind == "checksummed" else {}
    answer = server.client.patch(path, 1000, data, headers, **KINDS[kind])
    assert answer.status == 507 and answer.ended, answer
    offset = server.client.offset(path)
    if kind == "checksummed":
        assert offset == 1000
    else:
        assert 1000 + (1 << 20) < offset < 1000 + (3 << 20)
    stored = small.store / path.rsplit("/", 1)[1]
    assert stored.read_bytes()[:offset] == content(0, offset)
    small.free()
    rest = content(offset, SIZE - offset)
    assert server.client.patch(path, offset, rest).status == 204
    assert stored.read_bytes() == content(0, SIZE)
    assert left(small) == set()


def test_on_a_full_disk_nothing_is_made_and_all_can_be_removed(disk, app):
    """INV-16"""
    small = disk(24 << 20)
    server = app(config={"store": {"path": str(small.store), "min_free": "0"}})
    partial = {"Upload-Concat": "partial"}
    part = server.client.create(1 << 20, headers=partial)
    assert server.client.patch(part, 0, b"p" * (1 << 20)).status == 204
    half = server.client.create(100)
    assert server.client.patch(half, 0, b"h").status == 204
    new = server.client.create(100)
    small.fill()
    before = names(small.store)
    # A file system may find a last block here and there.
    answers = [server.client.request("POST", "/files", headers, body)
               for headers, body in (
                   ({"Upload-Concat": f"final;{part} {part}"}, b""),
                   ({"Upload-Length": "100000", "Content-Type":
                     "application/offset+octet-stream"}, b"x" * 100_000))]
    assert [a.status for a in answers] == [507, 507]
    assert names(small.store) == before
    assert server.client.offset(half) == 1
    assert server.client.offset(new) == 0
    for path in (part, half, new):
        assert server.client.request("DELETE", path).status == 204
    assert names(small.store) == set()


@pytest.fixture
def no_inodes(disk, app):
    """A server whose store has room for bytes, not for files."""
    small = disk(8 << 20, "-N", "128")
    server = app(config={"store": {"path": str(small.store), "min_free": "0"}})
    return small, server


def test_no_inode_left_is_507_and_nothing_is_half_made(no_inodes):
    """INV-17"""
    small, server = no_inodes
    path = server.client.create(10)
    begun = server.client.create(10)
    assert server.client.patch(begun, 0, b"01234").status == 204
    small.fill_inodes()
    before = names(small.store)
    answer = server.client.request("POST", "/files", {"Upload-Length": "5"})
    assert answer.status == 507
    assert server.client.offset(path) == 0
    assert server.client.patch(begun, 5, b"56789").status == 204
    assert server.client.request("GET", begun).body == b"0123456789"
    # There is no lock yet, and none can be made.
    small.fill_inodes()
    assert server.client.patch(path, 0, b"x").status == 507
    assert server.client.offset(path) == 0
    assert names(small.store) | {begun.rsplit("/", 1)[1] + ".lock"} == before
    small.free()
    assert server.client.patch(path, 0, b"0123456789").status == 204
    assert left(small) == set()


def test_without_room_for_a_lock_rm_waits_for_a_short_request(disk, app):
    """It locks the record, and needs no lock file.  INV-31"""
    small = disk(8 << 20, "-N", "128")
    server = app(config={"lock": {"timeout": "300ms"}, "store": {
        "path": str(small.store), "min_free": "0"}})
    id = server.client.create(5).rsplit("/", 1)[1]
    small.fill_inodes()
    with uploads.Store(small.store).guarded(id):
        done = tusctl(server, "rm", id)
        assert done.returncode == 1 and "in use" in done.stderr
        assert {id, id + ".info"} <= names(small.store)
    assert tusctl(server, "rm", id).returncode == 0
    assert left(small) == set()


@pytest.mark.parametrize("how", ["DELETE", "rm", "sweep", "leftovers"])
def test_what_fills_a_disk_with_files_can_be_removed(no_inodes, how):
    """Uploads that nobody ever wrote to have no lock, and there is no room for
    one: they must go nevertheless.  INV-31"""
    small, server = no_inodes
    paths, answer = [], None
    while answer is None or answer.status == 201:
        answer = server.client.request(
            "POST", "/files", {"Upload-Length": "5"})
        paths.append(answer.headers.get("location"))
    assert answer.status == 507 and len(paths) > 20
    paths.pop()
    small.fill_inodes()
    ids = [path.rsplit("/", 1)[1] for path in paths]
    if how == "DELETE":
        for path in paths:
            assert server.client.request("DELETE", path).status == 204
    elif how == "rm":
        done = tusctl(server, "rm", *ids)
        assert done.returncode == 0, done
    else:
        for path in small.store.iterdir():
            if how == "leftovers" and path.suffix == ".info":
                path.unlink()
                small.fill_inodes()
            else:
                os.utime(path, (time.time() - 86400,) * 2)
        done = tusctl(server, "sweep", "--older-than", "1h")
        assert done.returncode == 0, done
    assert not {name for name in names(small.store) if len(name) >= 32}
    small.free()
    assert server.client.create(5)


def test_no_room_for_a_lock_is_no_reason_to_finish_or_repair(no_inodes):
    """Only removal can do without."""
    small, server = no_inodes
    path = server.client.create(5)
    stored = small.store / path.rsplit("/", 1)[1]
    stored.write_bytes(b"12345")
    os.utime(stored, (1, 1))
    small.fill_inodes()
    # After any 5xx for HEAD a client would start all over.
    assert server.client.head(path).status == 423
    assert "finished" not in tusctl(server, "sweep").stdout.split(",")[0]
    assert tusctl(server, "settle").returncode == 1
    head = stored.with_name(stored.name + ".info").read_bytes()
    assert b'"Finished":                   0' in head


def is_idle(pid):
    """Only the listening socket is open."""
    try:
        links = [os.readlink(fd.path) for fd in os.scandir(f"/proc/{pid}/fd")]
    except FileNotFoundError:
        return False
    return sum(link.startswith("socket:") for link in links) == 1


@pytest.mark.parametrize("spare", [0, 1, 2, 3])
def test_too_many_open_files_is_503_and_leaves_nothing(app, spare):
    """What a worker may open besides the connection: not enough."""
    server = app(args=["-w", "1"])
    path = server.client.create(10)
    # Some are opened when they are first needed.
    assert server.client.patch(path, 0, b"").status == 204
    assert server.client.offset(path) == 0
    pid = server.app.pid
    rig.wait_for(lambda: is_idle(pid), "the end of the connection")
    opened, before = descriptors(pid), names(server.uploads)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 2 + spare, hard))
    seen = set()
    for _ in range(3):
        for answer in (
                server.client.patch(path, 0, b""),
                server.client.request("POST", "/files",
                                      {"Upload-Length": "5"}),
                server.client.head(path), server.client.request("GET", path)):
            seen.add(answer.status)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    # HEAD is told to wait: after any 5xx clients start all over.
    assert seen <= {200, 201, 204, 404, 423, 503}, seen
    assert (503 in seen or 423 in seen) == (spare < 3), seen
    rig.wait_for(lambda: is_idle(pid), "the end of the connection")
    assert descriptors(pid) == opened
    if 201 not in seen:
        assert names(server.uploads) == before
    assert server.client.patch(path, 0, b"0123456789").status == 204


# --- Faults from a library ----------------------------------------------------

class Faults:
    """A call of the workers fails, the n-th from now on; see faults.c."""

    def __init__(self, folder, source, *options):
        self.library = folder / "faults.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", *options, "-o",
                        str(self.library), str(source)], check=True)
        plan = folder / "plan"
        plan.write_bytes(bytes(64))
        self.fd = os.open(plan, os.O_RDWR)
        asan = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": str(self.library), "FAULTS": str(plan),
                    "ASAN_OPTIONS": asan + ":verify_asan_link_order=0"}

    def arm(self, countdown, errno=0, for_good=False):
        os.pwrite(self.fd, struct.pack("iii", errno, for_good, 0), 4)
        os.pwrite(self.fd, struct.pack("i", countdown), 0)

    def disarm(self):
        """Did it fail?"""
        os.pwrite(self.fd, struct.pack("i", 0), 0)
        return struct.unpack("i", os.pread(self.fd, 4, 12))[0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_quota_is_507_and_keeps_what_fitted(app, tmp_path, kind):
    """INV-16: EDQUOT, as a file system with quotas would say it"""
    faults = Faults(tmp_path, HERE / "faults.c")
    server = app(args=["-w", "1"], env=faults.env)
    content = Bytes(kind)
    path = server.client.create(SIZE)
    data = content(0, SIZE)
    headers = digest(data) if kind == "checksummed" else {}
    faults.arm(3, errno.EDQUOT, for_good=True)
    answer = server.client.patch(path, 0, data, headers, **KINDS[kind])
    assert answer.status == 507, answer
    # Nothing can be written, the record neither: it is as it was.
    assert server.client.request("POST", "/files", {
        "Upload-Length": "1"}).status == 507
    assert faults.disarm()
    offset = server.client.offset(path)
    assert (offset == 0) == (kind == "checksummed") and offset < SIZE
    rest = content(offset, SIZE - offset)
    assert server.client.patch(path, offset, rest).status == 204
    stored = server.uploads / path.rsplit("/", 1)[1]
    assert stored.read_bytes() == data
    assert names(server.uploads) == {stored.name, stored.name + ".info"}


def test_out_of_memory_costs_a_request_and_nothing_else(
        app, plain, tmp_path, monkeypatch, lots):
    """INV-19: an allocation of the workers fails, every one in its turn"""
    monkeypatch.setenv("TUSFCGI", str(plain))
    faults = Faults(tmp_path, HERE / "faults.c", "-DMALLOC")
    server = app(args=["-w", "32"], env=faults.env,
                 config={"pool": {"sandbox": False}})
    server.client.patience = 5
    count, runs, deaths = lots.randrange(MEMORY_STEP), 0, 0
    while True:
        count += MEMORY_STEP
        runs += 1
        # The master is slow to replace those who die young.
        if len(server.workers()) < 8:
            assert server.stop_app() == 0
            server.start_app()
        faults.arm(count)
        lost = converse(server, faults, count)
        if lost is None:
            break
        deaths += lost
    assert count > 150 and deaths > runs // 2
    done = tusctl(server, "sweep")
    assert done.returncode == 0, done
    assert not [n for n in names(server.uploads) if n.endswith(".lock")]
    print(f"out of memory: {runs - 1} of {count} allocations failed, "
          f"{deaths} requests lost")


def converse(server, faults, n):
    """How many answers were lost; None if nothing failed."""
    client, content, lost = server.client, Bytes(str(n)), 0
    acknowledged = sent = 0
    path = None

    def ask_for(good, *args, **options):
        nonlocal lost
        answer = ask(client, *args, **options)
        lost += answer is None
        assert answer is None or answer.status in (good, 409, 423, 500, 503)
        return answer if answer is not None and answer.status == good else None

    while path is None:
        made = ask_for(201, "POST", "/files", {
            "Upload-Length": "2000", "Upload-Concat": "partial",
            "Upload-Metadata": "filename YQ==,k Yg=="})
        path = made and made.headers["location"]
    for end, with_digest in ((500, False), (2000, True)):
        data = content(acknowledged, end - acknowledged)
        sent = end
        done = ask_for(204, "PATCH", path, patch_headers(
            acknowledged, digest(data) if with_digest else {}), data)
        seen = ask_for(200, "HEAD", path)
        offset = int(seen.headers["upload-offset"]) if seen else None
        assert done is None or offset in (None, end)
        if done:
            acknowledged = end
        if offset is not None:
            assert acknowledged <= offset <= sent
            acknowledged = offset
    final = ask_for(201, "POST", "/files", {
        "Upload-Concat": f"final;{path} {path}"}) \
        if acknowledged == 2000 else None
    if final:
        got = ask_for(200, "GET", final.headers["location"])
        assert got is None or got.body == content(0, 2000) * 2
        ask_for(204, "DELETE", final.headers["location"])
    if not faults.disarm():
        return None
    offset = client.offset(path)
    assert acknowledged <= offset <= sent
    if offset < 2000:
        assert client.patch(path, offset, content(
            offset, 2000 - offset)).status == 204
    stored = server.uploads / path.rsplit("/", 1)[1]
    assert stored.read_bytes() == content(0, 2000)
    return lost
