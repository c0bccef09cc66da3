"""finish.move_to onto file systems that are none of Unix.

exFAT has neither hard links nor a rename that spares what is there, and, like
NTFS and SMB, refuses many names; others have shorter ones.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib import folders, mounts, rig

ODD = {
    "Meeting 10:30.mp4": "Meeting 10_30.mp4", "what?.txt": "what_.txt",
    "CON": "_CON", "nul.txt": "_nul.txt", "x.": "x_", "y ": "y_",
    'a<b>c"d|e*f\\g': "a_b_c_d_e_f_g", "plain.txt": "plain.txt",
    "é 日.txt": "é 日.txt",
}


class Mover:
    def __init__(self, app, root, template="{filename}", names=None):
        self.root = root
        finish = {"move_to": f"{root}/{template}"}
        if names:
            finish["names"] = names
        self.app = app(config={"finish": finish, "store": {
            "dir_mode": "2770", "min_free": "0"}})
        self.client = self.app.client

    def upload(self, name, body=b"hello"):
        path = self.client.create(len(body), {"filename": name})
        assert self.client.patch(path, 0, body).status == 204
        lock = self.app.uploads / (path.rsplit("/", 1)[1] + ".lock")
        rig.wait_for(lambda: not lock.exists(), f"{name} to be moved")
        return path

    def files(self):
        return {str(p.relative_to(self.root)): p.read_bytes()
                for p in self.root.rglob("*") if p.is_file()}

    def check(self):
        run = subprocess.run(
            [rig.program(), "-t", "-c", self.app.config_path], timeout=20,
            capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout


@pytest.fixture
def exfat():
    with mounts.image("exfat", 64 << 20, "loop,umask=007") as root:
        (root / "in").mkdir()
        yield root / "in"


@pytest.fixture
def vfat():
    with mounts.image("vfat", 64 << 20, "loop,umask=007,utf8") as root:
        (root / "in").mkdir()
        yield root / "in"


@pytest.fixture
def ntfs():
    options = "loop,umask=007,windows_names"
    with mounts.image("ntfs", 64 << 20, options, ["-F", "-q"]) as root:
        (root / "in").mkdir()
        yield root / "in"


@pytest.fixture(params=["exfat", "vfat", "ntfs"])
def foreign(request):
    return request.getfixturevalue(request.param)


def test_all_that_is_finished_goes_there(app, foreign):
    one = Mover(app, foreign)
    assert "names there   as Windows takes them" in one.check()
    paths = {name: one.upload(name, name.encode()) for name in ODD}
    assert one.files() == {want: name.encode() for name, want in ODD.items()}
    for name, path in paths.items():
        assert one.client.request("GET", path).body == name.encode()
        assert one.client.offset(path) == len(name.encode())
    assert not [p for p in foreign.iterdir() if p.name.startswith(".")]
    assert "is not moved" not in one.app.log()


def test_nothing_is_overwritten_there(app, foreign):
    one = Mover(app, foreign, "{meta:none}/{filename}")
    (foreign / "_").mkdir()
    (foreign / "_/a.txt").write_bytes(b"theirs")
    (foreign / "_/b.txt").write_bytes(b"")
    for n in range(3):
        one.upload("a.txt", b"%d" % n)
    one.upload("A.TXT", b"3")
    one.upload("b.txt", b"4")
    files = one.files()
    assert files["_/a.txt"] == b"theirs" and files["_/b.txt"] == b""
    assert sorted(files.values()) == [b"", b"0", b"1", b"2", b"3", b"4",
                                      b"theirs"]


def test_an_empty_upload_and_a_long_name_go_there(app, foreign):
    one = Mover(app, foreign, "{filename}/{filename}")
    one.upload("empty", b"")
    one.upload("é" * 200 + ".txt", b"long")
    long = [name for name in one.files() if name.endswith(".txt")]
    assert one.files() == {"empty/empty": b"", long[0]: b"long"}


@contextlib.contextmanager
def short_names():
    """encfs: of 255 bytes some 180 are left."""
    if not rig.have("encfs"):
        pytest.skip("encfs is not installed")
    mounts.may_mount()
    with tempfile.TemporaryDirectory(prefix="tusfcgi-", dir="/tmp") as home:
        raw, place = Path(home) / "raw", Path(home) / "mnt"
        raw.mkdir()
        place.mkdir()
        run = subprocess.run(
            ["encfs", "--standard", "-S", str(raw), str(place)], input="x\n",
            capture_output=True, text=True, timeout=60, check=False)
        if run.returncode != 0:
            pytest.skip(f"encfs: {run.stdout[-200:]}")
        try:
            yield place
        finally:
            mounts.run("umount", "-l", str(place))


def test_names_are_cut_to_what_fits(app):
    with short_names() as root:
        one = Mover(app, root)
        one.upload("x" * 251 + ".mp4")
        one.upload("x" * 251 + ".mp4")
        first, second = sorted(one.files())
        assert 100 < len(first) < 255 and first.endswith("-1.mp4")
        assert len(second) == len(first) and second.endswith("xxx.mp4")
        assert f"any, of at most {len(first)} bytes" in one.check()
        one.app.stop_app()


@pytest.mark.parametrize("names, want", [
    ("unix", "a:b."), ("auto", "a:b."), ("windows", "a_b_"), (None, "a:b.")])
def test_whoever_knows_better_says_so(app, tmp_path, names, want):
    root = tmp_path / "in"
    root.mkdir(mode=0o770)
    one = Mover(app, root, names=names)
    one.upload("a:b.")
    assert one.files() == {want: b"hello"}
    assert sorted(p.name for p in root.iterdir()) == [want]
    said = one.check()
    assert ("as Windows" in said) == (names == "windows")
    assert "at most 255 bytes" in said


def test_a_probe_that_was_killed_is_no_harm(app, tmp_path):
    root = tmp_path / "in"
    (root / ".tusfcgi-probe").mkdir(parents=True)
    root.chmod(0o770)
    (root / ".tusfcgi-probe/CON").write_bytes(b"")
    (root / ".tusfcgi-probe/a").write_bytes(b"")
    (root / ".tusfcgi-probe-over").mkdir()
    (root / ".tusfcgi-probe-over/lock").write_bytes(b"")
    one = Mover(app, root)
    one.upload("a:b")
    assert [p.name for p in root.iterdir()] == ["a:b"]


def test_names_are_tried_by_one_host_at_a_time(app, tmp_path):
    """NFS locks a directory for one host only, and a file for all."""
    root = tmp_path / "in"
    root.mkdir()
    root.chmod(0o770)
    one = Mover(app, root)
    # The start has tried them, too, and removed this again.
    probe = root / ".tusfcgi-probe"
    probe.mkdir()
    with open(probe / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "names there" not in one.check()
        assert [p.name for p in probe.iterdir()] == ["lock"]
    assert "at most 255 bytes" in one.check()
    assert not list(root.iterdir())


def test_only_what_is_below_may_be_written_to(short_folder, app):
    """Nothing can be tried out there, and nothing has to be."""
    if os.geteuid() != 0:
        pytest.skip("two users need root")
    (short_folder / "joe").mkdir(mode=0o770)
    shutil.chown(short_folder / "joe", "nobody")

    uploads = short_folder / ".uploads"
    uploads.mkdir()
    shutil.chown(uploads, "nobody")
    one = app(config={
        "finish": {"move_to": f"{short_folder}/{{filename}}/{{id}}"},
        "store": {"path": str(uploads)}, "pool": {"user": "nobody"}})
    path = one.client.create(5, {"filename": "joe"})
    assert one.client.patch(path, 0, b"hello").status == 204
    place = short_folder / "joe" / path.rsplit("/", 1)[1]
    rig.wait_for(place.exists, "the file to be moved")
    assert place.read_bytes() == b"hello"


@pytest.mark.parametrize("there", ["same", "other"])
def test_a_default_acl_holds_for_what_is_moved(app, tmp_path, there):
    """A rename takes it as a copy does."""
    if not rig.have("setfacl"):
        pytest.skip("setfacl is not installed")
    with folders.temporary("/dev/shm" if there == "other" else tmp_path) \
            as folder:
        run = subprocess.run(
            ["setfacl", "-d", "-m", "u:nobody:r,g::-,o::-", folder],
            capture_output=True, text=True, check=False)
        if run.returncode != 0:
            pytest.skip(f"no ACLs here: {run.stderr}")
        one = Mover(app, folder)
        one.upload("a.txt")
        (folder / "made").touch(mode=0o660)
        acls = [subprocess.run(["getfacl", "-cE", folder / name], check=True,
                               capture_output=True, text=True).stdout
                for name in ("a.txt", "made")]
        assert "user:nobody:r--" in acls[0] and acls[0] == acls[1]
