"""What is still to be done for a finished upload stands in its record: over a
reboot that takes the locks away, in a store of an older build, and on the way
back to one.

TUSFCGI_OLD names a folder with tusfcgi and tusctl of the commit a63581f; the
tests that run it are skipped without.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lib import rig, uploads

OLD = os.environ.get("TUSFCGI_OLD")


class Site:
    """A server whose finished uploads somebody is told of, or not."""

    def __init__(self, app, home):
        self.app = app
        self.hooks, self.told = home / "hooks", home / "told"
        self.hooks.mkdir()
        self.works = home / "works"
        hook = self.hooks / "post-finish"
        hook.write_text(f"#!/bin/sh\ncat >/dev/null\ntest -e {self.works} || "
                        f"exit 1\necho $TUS_ID >>{self.told}\n")
        hook.chmod(0o755)

    def start(self, **config):
        self.one = self.app(config=rig.merge(
            {"hooks": {"dir": str(self.hooks)}, "pool": {"reserve": 0}},
            config))
        self.store = uploads.Store(self.one.uploads)
        return self.one

    def run(self, command, *arguments, folder=None):
        program = str(Path(folder) / "tusctl") if folder else \
            rig.program("tusctl")
        done = subprocess.run(
            [program, "-c", str(self.one.config_path), command, *arguments],
            capture_output=True, text=True, timeout=60)
        assert not rig.SANITIZER.search(done.stderr), done.stderr
        return done

    def finish(self, data=b"hello"):
        path = self.one.client.create(len(data))
        assert self.one.client.patch(path, 0, data).status == 204
        return path.rsplit("/", 1)[1]

    def wait_until_untold(self):
        rig.wait_for(lambda: self.one.log().count("hook post-finish") > 0,
                     "the hook to fail")
        self.works.touch()

    def finish_untold(self):
        id = self.finish()
        self.wait_until_untold()
        return id

    def times_told(self, id):
        return self.told.read_text().split().count(id) \
            if self.told.exists() else 0


@pytest.fixture
def site(app, tmp_path):
    return Site(app, tmp_path)


@pytest.fixture
def old(monkeypatch):
    """Everything that is started is of the older build until undone."""
    if not OLD:
        pytest.skip("TUSFCGI_OLD is not set")
    monkeypatch.setenv("TUSFCGI", str(Path(OLD) / "tusfcgi"))
    return monkeypatch


def test_a_reboot_that_takes_the_locks_loses_no_finish(site, tmp_path):
    """lock.path = "/run/tusfcgi", as the manual has it."""
    locks = tmp_path / "locks"
    locks.mkdir()
    one = site.start(lock={"path": str(locks)})
    id = site.finish_untold()
    one.stop_app()
    shutil.rmtree(locks)
    locks.mkdir()
    for _ in range(2):
        assert site.run("sweep").returncode == 0
    assert site.times_told(id) == 1


def test_an_upload_that_was_told_has_nothing_pending(site):
    site.works.touch()
    site.start()
    id = site.finish()
    rig.wait_for(lambda: site.times_told(id), "the hook")
    rig.wait_for(lambda: uploads.pending(site.one.uploads, id) == "",
                 "it to be struck out")
    site.run("sweep")
    assert site.times_told(id) == 1


def make_old(site, *args, **kwargs):
    """An upload as the older build wrote its record."""
    id = site.store.make(*args, **kwargs)
    assert uploads.pending(site.one.uploads, id) is None
    return id


def test_the_lock_of_an_old_record_says_once_that_all_is_pending(site):
    site.works.touch()
    one = site.start()
    told, untold = [make_old(site, b"hello", size=5) for _ in range(2)]
    site.store.file(untold + ".lock")
    for id in told, untold:
        assert one.client.offset("/files/" + id) == 5
    for _ in range(2):
        assert site.run("sweep").returncode == 0
    assert (site.times_told(told), site.times_told(untold)) == (0, 1)
    assert untold + ".lock" not in site.store.names()


def test_an_old_record_whose_finish_is_not_taken_keeps_its_lock(site):
    site.start()
    id = make_old(site, b"hello", size=5)
    site.store.file(id + ".lock")
    assert site.run("sweep").returncode == 1
    assert id + ".lock" in site.store.names()
    site.works.touch()
    assert site.run("sweep").returncode == 0
    assert site.times_told(id) == 1


def test_an_old_upload_goes_on_and_its_finish_is_noted(site):
    one = site.start()
    id = make_old(site, b"hel", size=5)
    assert one.client.patch("/files/" + id, 3, b"lo").status == 204
    assert site.store.data(id) == b"hello"
    site.wait_until_untold()
    assert "t" in uploads.pending(one.uploads, id)
    rig.wait_for(lambda: site.run("sweep").returncode == 0 and
                 site.times_told(id), "it to be told")
    site.run("sweep")
    assert site.times_told(id) == 1
    assert uploads.pending(one.uploads, id) == ""


def test_settle_does_what_is_pending(site):
    one = site.start()
    id = site.finish_untold()
    one.stop_app()
    assert site.run("settle").returncode == 0
    assert site.times_told(id) == 1
    assert uploads.pending(one.uploads, id) == ""
    assert id + ".lock" not in site.store.names()


def test_settle_leaves_a_lock_where_something_is_left_to_do(site):
    """Which is what an older build looks for."""
    one = site.start()
    id = site.finish_untold()
    done = site.finish()
    rig.wait_for(lambda: site.times_told(done), "the other")
    one.stop_app()
    site.works.unlink()
    assert site.run("settle").returncode == 1
    assert [n for n in site.store.names() if n.endswith(".lock")] == [
        id + ".lock"]
    assert "t" in uploads.pending(one.uploads, id)


def test_a_store_of_the_older_build_goes_on_here(site, old):
    one = site.start()
    untold = site.finish_untold()
    told = site.finish()
    begun = one.client.create(5)
    assert one.client.patch(begun, 0, b"hel").status == 204
    rig.wait_for(lambda: site.times_told(told), "the other")
    one.stop_app()
    old.undo()
    one.start_app()
    for path, offset in ((untold, 5), (told, 5), (begun[len("/files/"):], 3)):
        assert one.client.offset("/files/" + path) == offset
    assert one.client.patch(begun, 3, b"lo").status == 204
    rig.wait_for(lambda: site.times_told(begun[len("/files/"):]), "the third")
    for _ in range(2):
        assert site.run("sweep").returncode == 0
    for id in (untold, told, begun[len("/files/"):]):
        assert site.times_told(id) == 1


def test_the_older_build_goes_on_with_a_store_of_this_one(site, old):
    older = os.environ["TUSFCGI"]
    old.undo()
    one = site.start()
    untold = site.finish_untold()
    told = site.finish()
    begun = one.client.create(5)
    assert one.client.patch(begun, 0, b"hel").status == 204
    rig.wait_for(lambda: site.times_told(told), "the other")
    one.stop_app()
    site.works.unlink()
    assert site.run("settle").returncode == 1
    site.works.touch()
    old.setenv("TUSFCGI", older)
    one.start_app()
    for path, offset in ((untold, 5), (told, 5), (begun[len("/files/"):], 3)):
        assert one.client.offset("/files/" + path) == offset
    assert one.client.patch(begun, 3, b"lo").status == 204
    for _ in range(2):
        assert site.run("sweep", folder=OLD).returncode == 0
    for id in (untold, told, begun[len("/files/"):]):
        assert site.times_told(id) == 1
    one.stop_app()
    old.undo()
