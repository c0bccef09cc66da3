"""tusctl beside a pool that is receiving an upload."""

import json
import subprocess
from pathlib import Path

import pytest

from lib import fastcgi, rig, uploads


class Work:
    """A pool, an upload, and a client in the middle of its PATCH."""

    def __init__(self, folder):
        self.store = uploads.Store(folder / "uploads")
        self.conf = folder / "test.conf"
        self.conf.write_text(
            'store: { path = "%s"; };\npool: { min_spare = 2; };\n'
            % self.store.path)
        self.log = folder / "log"
        self.client = fastcgi.Client(str(folder / "socket"))
        self.app = rig.spawn([rig.program(), "-c", str(self.conf), "-s",
                              self.client.address], self.log)
        rig.wait_for(lambda: rig.accepts(fastcgi.socket.AF_UNIX,
                                         self.client.address), "the pool")
        self.path = self.client.create(100)
        self.id = self.path.rsplit("/", 1)[1]
        self.patch = self.client.open_patch(self.path, 0, length=100)
        self.patch.send(b"x" * 10)
        rig.wait_for(lambda: len(self.store.data(self.id)) == 10, "10 bytes")

    def workers(self):
        text = Path("/proc/%d/task/%d/children" % (self.app.pid,
                                                   self.app.pid)).read_text()
        return [int(pid) for pid in text.split()]

    def tusctl(self, *arguments):
        return subprocess.run(
            [rig.program("tusctl"), "-c", self.conf, *arguments], text=True,
            capture_output=True, timeout=30)

    def stop(self):
        self.patch.close()
        self.app.terminate()
        self.app.wait(timeout=20)
        assert not rig.SANITIZER.search(self.log.read_text())


@pytest.fixture
def work(short_folder):
    work = Work(short_folder)
    yield work
    work.stop()


def test_show_names_the_worker_that_receives(work):
    """While it is parked, the kernel only knows which process took the lock."""
    one = json.loads(work.tusctl("show", work.id, "--json").stdout)
    assert one["lock_pid"] in [None, *work.workers()]
    assert one["offset"] == 10 and one["state"] == "unfinished"


def test_nothing_but_rm_disturbs_an_upload_at_work(work):
    work.store.make_old(work.id, 1000)
    assert "1 in use" in work.tusctl("sweep", "--older-than", "10").stdout
    assert "0 damaged" in work.tusctl("check").stdout
    assert work.tusctl("settle").returncode == 1
    assert work.tusctl("adopt").returncode == 1
    work.patch.send(b"y" * 90)
    answer = work.patch.finish()
    assert answer.status == 204
    assert work.store.data(work.id) == b"x" * 10 + b"y" * 90
    assert "state      finished" in work.tusctl("show", work.id).stdout


def test_rm_waits_for_a_short_request(work):
    id = work.client.create(5).rsplit("/", 1)[1]
    with work.store.guarded(id):
        rm = subprocess.Popen([rig.program("tusctl"), "-c", work.conf, "rm", id],
                              stderr=subprocess.PIPE, text=True)
        # It has the lock, and looks at the record.
        rig.wait_for(lambda: id + ".lock" in work.store.names(), "the lock")
        assert work.store.data(id) == b""
    _, said = rm.communicate(timeout=30)
    assert (rm.returncode, said) == (0, "")
    assert not [name for name in work.store.names() if id in name]


def test_rm_gets_the_upload_from_the_worker(work):
    result = work.tusctl("rm", work.id)
    assert result.returncode == 0, result.stderr
    assert work.patch.read().status == 423
    assert work.store.names() == []
    assert work.client.head(work.path).status == 404
