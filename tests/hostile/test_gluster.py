"""Two hosts on one GlusterFS volume: a brick and two mounts of this machine.

GlusterFS does not promise to stop a host whose locks it gave away, so here
processes are killed, and none is stopped or cut off.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib import mounts, rig
from lib.app import App, is_alive
from lib.hosts import half, take_turns

pytestmark = [
    pytest.mark.skipif(not rig.have("glusterfsd"),
                       reason="glusterfs-server is not installed"),
    pytest.mark.skipif(not os.path.exists("/dev/fuse") or os.geteuid() != 0,
                       reason="needs root and /dev/fuse"),
]

VOLUME_ID = "12345678-1234-1234-1234-1234567890ab"
BRICK = """
volume posix
  type storage/posix
  option directory {brick}
  option volume-id {id}
end-volume
volume locks
  type features/locks
  subvolumes posix
end-volume
volume brick
  type performance/io-threads
  subvolumes locks
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port {port}
  option auth.addr.brick.allow 127.0.0.1
  subvolumes brick
end-volume
"""
CLIENT = """
volume client
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port {port}
  option remote-subvolume brick
end-volume
"""


class Volume:
    """One brick, two mounts."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.brick = self.folder / "brick"
        self.brick.mkdir()
        os.setxattr(self.brick, "trusted.glusterfs.volume-id",
                    bytes.fromhex(VOLUME_ID.replace("-", "")))
        self.port = rig.free_port()
        self.processes = []
        self.mounts = [self.folder / "m0", self.folder / "m1"]
        self.run("glusterfsd", "brick", BRICK)
        rig.wait_for(lambda: rig.accepts(2, ("127.0.0.1", self.port)),
                     "the brick")
        for place in self.mounts:
            place.mkdir()
            # As the manual has it.
            self.run("glusterfs", place.name, CLIENT, "--attribute-timeout=0",
                     "--entry-timeout=0", str(place))
            rig.wait_for(lambda place=place: os.path.ismount(place),
                         "a mount")

    def run(self, program, name, text, *more):
        file = self.folder / f"{name}.vol"
        file.write_text(text.format(brick=self.brick, port=self.port,
                                    id=VOLUME_ID))
        self.processes.append(rig.spawn(
            [rig.have(program), "-N", "-f", str(file), "-l",
             str(self.folder / f"{name}.log"), "-p",
             str(self.folder / f"{name}.pid"), *more],
            self.folder / f"{name}.out"))

    def close(self):
        for place in self.mounts:
            subprocess.run(["umount", "-l", str(place)], check=False,
                           capture_output=True)
        for one in reversed(self.processes):
            one.kill()
            one.wait()


@pytest.fixture(scope="module")
def volume():
    mounts.may_mount()
    folder = tempfile.mkdtemp(prefix="tus-gluster-", dir="/tmp")
    try:
        one = Volume(folder)
    except (OSError, TimeoutError) as e:
        pytest.skip(f"no GlusterFS here: {e}")
    yield one
    one.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pools(volume, tmp_path):
    """A pool on each mount."""
    started = []

    def start(config):
        name = f"store{tmp_path.name[-40:]}"
        for i, place in enumerate(volume.mounts):
            folder = tmp_path / f"host{i}"
            folder.mkdir()
            one = App(folder, config=rig.merge(config, {
                "store": {"path": str(place / name)},
                "pool": {"min_spare": 2, "max_workers": 8}}))
            one.uploads = place / name
            started.append(one)
            one.start_app()
            # It listens before it knows that it may serve.
            rig.wait_for(lambda one=one: "listening on" in one.log() or
                         one.app.poll() is not None, "the start")
            assert one.app.poll() is None, one.log()
        return started

    yield start
    for one in started:
        one.stop()
        one.check_logs()


SHARED = {"store": {"shared": True, "durability": "full"},
          "lock": {"method": "ofd"}}


def test_hosts_take_turns_at_once(pools):
    """The kernel keeps the bytes of a record that another host wrote."""
    take_turns(*pools(SHARED))


def test_an_upload_goes_from_host_to_host(pools):
    a, b = pools(SHARED)
    assert "GlusterFS does not promise" in a.log()
    path, stream = half(a)
    assert b.client.offset(path) == 50
    assert stream.read().body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    assert b.client.patch(path, 50, b"y" * 50).status == 204
    for one in (a, b):
        answer = one.client.request("GET", path, resumable=None)
        assert answer.body == b"x" * 50 + b"y" * 50


def test_what_a_killed_worker_held_is_free_on_the_other_host(pools):
    a, b = pools(SHARED)
    path, stream = half(a)
    workers = a.workers()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    for pid in workers:
        rig.wait_for(lambda pid=pid: not is_alive(pid), "its end")
    stream.close()
    rig.wait_for(lambda: b.client.head(path).status == 200, "the lock")
    assert b.client.offset(path) == 10
    assert b.client.patch(path, 10, b"y" * 90).status == 204


def test_creation_with_a_body_and_a_quota_and_a_removal_work(pools):
    """What a host makes, and locks as it makes it, is its own."""
    a, b = pools({**SHARED, "owner": {"param": "REMOTE_USER"},
                  "quota": {"uploads": 2}})
    mine = {"REMOTE_USER": "joe"}

    def create(one):
        answer = one.client.request(
            "POST", "/files", {
                "Upload-Length": "10",
                "Content-Type": "application/offset+octet-stream"},
            b"hello", extra=mine)
        return answer.status, answer.headers.get("location", "")

    (one, first), (two, _) = create(a), create(b)
    assert (one, two) == (201, 201)
    assert create(a)[0] == 413 == create(b)[0]
    path = "/files/" + first.rsplit("/", 1)[1]
    assert b.client.request("DELETE", path, extra=mine).status == 204
    assert a.client.request("HEAD", path, extra=mine).status == 404
    assert create(a)[0] == 201


def test_flock_is_warned_of(volume, tmp_path):
    config = tmp_path / "t.conf"
    config.write_text(rig.libconfig({
        "store": {"path": str(volume.mounts[0] / "flock")}}))
    (volume.mounts[0] / "flock").mkdir()
    run = subprocess.run([rig.program(), "-t", "-c", str(config)], timeout=60,
                         capture_output=True, text=True, check=False)
    assert 'lock.method = "flock": on GlusterFS' in run.stdout, run
