"""A folder of hooks that cannot be read is not one without hooks.

A pre-hook that cannot be found refuses; the event of a post-hook waits until it
is found again.  Each test breaks what was in order when the server started.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lib import client, rig

REFUSE = "#!/bin/sh\necho '{\"RejectUpload\": true}'\n"
RECORD = "#!/bin/sh\necho $TUS_ID >>\"$HOME/$(basename \"$0\")\"\n"


class Place:
    """CURRENT is a link to a release, which is a directory of programs."""

    def __init__(self, home):
        self.home = home
        self.current = home / "current"
        self.release = self.make("r1")
        self.current.symlink_to("r1")

    def make(self, name):
        path = self.home / name
        path.mkdir(mode=0o755)
        return path

    def switch(self, name):
        new = self.home / "new"
        new.symlink_to(name)
        new.rename(self.current)

    def write(self, name, text, release=None):
        path = (release or self.release) / name
        path.write_text(text)
        path.chmod(0o755)

    def told(self, name):
        path = self.home / name
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def place(tmp_path):
    # As long as the longest that anybody has, so that a reason behind it is cut.
    home = tmp_path / ("long" * 40)
    home.mkdir()
    return Place(home)


@pytest.fixture
def start(app, place):
    def start(config=None, **options):
        given = {"hooks": {"dir": str(place.current)}}
        one = app(config=rig.merge(given, config or {}),
                  env={"HOME": str(place.home)}, **options)
        return one, client.Tus(one, "fastcgi")
    return start


def sweep(one):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", one.config_path, "sweep"],
        env={**os.environ, **one.env}, capture_output=True, text=True,
        timeout=60, check=False)
    assert not rig.SANITIZER.search(run.stderr), run.stderr
    return run


def test_a_link_that_is_switched_is_followed(start, place):
    one, tus = start()
    assert tus.post({"Upload-Length": 5}).status == 201
    second = place.make("r2")
    place.write("pre-create", REFUSE, second)
    place.switch("r2")
    assert tus.post({"Upload-Length": 5}).status == 400
    shutil.rmtree(place.release)
    assert tus.post({"Upload-Length": 5}).status == 400
    place.make("r3")
    place.write("post-finish", RECORD, place.home / "r3")
    place.switch("r3")
    url = tus.create(5, body=b"hello")
    rig.wait_for(lambda: place.told("post-finish"), "post-finish")
    assert place.told("post-finish") == [tus.id(url)]


def dangling_file(place):
    (place.release / "pre-create").unlink()
    (place.release / "pre-create").symlink_to("nowhere")


def looping_file(place):
    (place.release / "pre-create").unlink()
    (place.release / "pre-create").symlink_to("pre-create")


def directory(place):
    (place.release / "pre-create").unlink()
    (place.release / "pre-create").mkdir()


def no_run_bit(place):
    (place.release / "pre-create").chmod(0o644)


def no_interpreter(place):
    place.write("pre-create", "#!/no/such/shell\n")


def empty(place):
    place.write("pre-create", "")


def dangling_dir(place):
    place.switch("nowhere")


def looping_dir(place):
    place.switch("current")


def no_dir(place):
    place.current.unlink()


def a_file_is_the_dir(place):
    place.switch("r1/pre-create")


def everybodys_dir(place):
    place.release.chmod(0o777)


BROKEN = [
    (dangling_file, "cannot be run: it or its interpreter does not"),
    (looping_file, "cannot be run: .*symbolic links"),
    (directory, "cannot be run: Permission denied"),
    (no_run_bit, "cannot be run: Permission denied"),
    (no_interpreter, "cannot be run: it or its interpreter does not"),
    (empty, "cannot be run: Exec format error"),
    (dangling_dir, "hooks.dir: .*No such file or directory"),
    (looping_dir, "hooks.dir: .*symbolic links"),
    (no_dir, "hooks.dir: .*No such file or directory"),
    (a_file_is_the_dir, "hooks.dir: .*Not a directory"),
    (everybodys_dir, "hooks.dir: .*it is writable by everybody"),
]


@pytest.mark.parametrize("how,said", BROKEN, ids=lambda x: getattr(
    x, "__name__", ""))
def test_a_pre_hook_that_cannot_be_found_refuses(start, place, how, said):
    place.write("pre-create", RECORD)
    one, tus = start()
    tus.create(5)
    how(place)
    reply = tus.post({"Upload-Length": 5})
    assert reply.status == 500, reply
    errors = [line for line in one.log().splitlines() if "status=500" in line]
    assert len(errors) == 1 and re.search(f'err=".*{said}', errors[0]), errors
    assert len(list(one.uploads.glob("*.info"))) == 1


@pytest.mark.parametrize("how", [dangling_dir, looping_dir, no_dir,
                                 a_file_is_the_dir, everybodys_dir])
def test_post_hooks_that_cannot_be_found_wait(start, place, how):
    names = ["post-create", "post-finish", "post-terminate"]
    one, tus = start({"hooks": {"events": names}})
    place.write("pre-create", "")
    # It listens before it has looked at its hooks.
    assert tus.options().status == 200
    how(place)
    url = tus.create(5, body=b"hello")
    gone = tus.create(5)
    assert tus.delete(gone).status == 204
    wanted = 4
    rig.wait_for(lambda: one.log().count("hooks.dir: ") >= wanted,
                 "all to be tried")
    run = sweep(one)
    assert run.returncode == 1 and "hooks.dir: " in run.stderr, run.stderr
    place.release.chmod(0o755)
    for name in names:
        place.write(name, RECORD)
    if place.current.is_symlink():
        place.current.unlink()
    place.current.symlink_to("r1")
    run = sweep(one)
    assert run.returncode == 0, run.stderr
    assert sorted(place.told("post-create")) == sorted(map(tus.id,
                                                           (url, gone)))
    assert place.told("post-finish") == [tus.id(url)]
    assert place.told("post-terminate") == [tus.id(gone)]
    assert not list((one.uploads / ".hooks").glob("*"))


def test_a_worker_that_starts_later_refuses_and_serves(start, place):
    """It must not be without workers, and the answer must not be "yes"."""
    one, tus = start({"pool": {"min_spare": 1, "max_workers": 2,
                               "max_requests": 1}})
    url = tus.create(5)
    no_dir(place)
    for _ in range(4):
        assert tus.post({"Upload-Length": 5}).status == 500
        assert tus.offset(url) == 0
    one.app.send_signal(1)
    rig.wait_for(lambda: "configuration refused" in one.log(), "the reload")
    assert tus.post({"Upload-Length": 5}).status == 500


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_a_directory_of_another_user_that_may_only_be_listed(app):
    with tempfile.TemporaryDirectory(prefix="tusfcgi-") as folder:
        place = Place(Path(folder))
        store = place.make("uploads")
        for path in (place.home, store):
            shutil.chown(path, "nobody")
        place.write("pre-create", RECORD)
        one = app(config={"store": {"path": str(store)},
                          "hooks": {"dir": str(place.current)},
                          "pool": {"user": "nobody", "group": "nogroup"}},
                  env={"HOME": folder})
        tus = client.Tus(one, "fastcgi")
        tus.create(5)
        place.release.chmod(0o744)
        assert tus.post({"Upload-Length": 5}).status == 500
        assert "hooks.dir: look for" in one.log()
        assert "Permission denied" in one.log()
        place.release.chmod(0o700)
        assert tus.post({"Upload-Length": 5}).status == 500
        assert len(list(store.glob("*.info"))) == 1
        one.stop_app()


# Forbids to run, or to look at, anything below the first argument: Landlock's
# EXECUTE, or READ_DIR, is allowed beneath its siblings only.
CONFINE = """
import ctypes, os, struct, sys
right, hidden = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
attr = struct.pack("QQ", right, 0)
fd = libc.syscall(444, attr, len(attr) - 8, 0)
assert fd >= 0, os.strerror(ctypes.get_errno())
def allow(path):
    try:
        at = os.open(path, os.O_PATH)
    except OSError:
        return
    if right == 1 or os.path.isdir(path):
        libc.syscall(445, fd, 1, struct.pack("=Qi", right, at), 0)
    os.close(at)
at = "/"
for part in hidden.strip("/").split("/"):
    for name in os.listdir(at):
        if name != part and not os.path.islink(os.path.join(at, name)):
            allow(os.path.join(at, name))
    at = os.path.join(at, part)
libc.prctl(38, 1, 0, 0, 0)
assert libc.syscall(446, fd, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[3], sys.argv[3:])
"""


def write_config(place):
    path = place.home / "tusfcgi.conf"
    path.write_text(rig.libconfig({
        "store": {"path": str(place.make("uploads"))},
        "hooks": {"dir": str(place.current)}}))
    return path


def has_landlock():
    import ctypes
    return ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1


@pytest.mark.skipif(not has_landlock(), reason="no Landlock")
@pytest.mark.parametrize("right,said", [
    (1, "cannot be run: Permission denied"),
    (8, "hooks.dir: .*Permission denied")], ids=["execute", "read-dir"])
def test_a_sandbox_that_forbids_the_hooks(start, place, right, said):
    place.write("pre-create", RECORD)
    confine = [sys.executable, "-c", CONFINE, str(right), str(place.release)]
    if right == 8:
        # Such a directory is refused at the start already.
        run = subprocess.run(
            [*confine, rig.program(), "-t", "-c", write_config(place)],
            capture_output=True, text=True, check=False)
        assert run.returncode == 1 and re.search(said, run.stderr), run
        return
    one, tus = start(under=confine)
    assert tus.post({"Upload-Length": 5}).status == 500
    assert re.search(said, one.log())
