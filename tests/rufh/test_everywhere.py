"""Both protocols on one upload, over each locker that is built in and over
each store."""

import socket
import subprocess

import pytest

from lib import hosts, rig
from lib.rufh import Rufh
from s3 import bucket

ids = pytest.mark.ids

DATA = bytes(range(256)) * 60
MARK = {"Upload-Draft-Interop-Version": 8}


def built_in(kind):
    """The names that -V lists."""
    text = subprocess.run([rig.program(), "-V"], capture_output=True,
                          text=True, check=False).stdout
    return next((line.split()[1:] for line in text.splitlines()
                 if line.startswith(kind)), [])


LOCKS = [("flock", {"method": "flock"}), ("ofd", {"method": "ofd"}),
         *((name, {"type": name}) for name in built_in("locks:")
           if name != "flock")]


@pytest.fixture(params=LOCKS, ids=lambda lock: lock[0])
def lock(request, tmp_path):
    """The group of that name in the configuration."""
    name, config = request.param
    if name in ("flock", "ofd", "memory"):
        yield config
        return
    hosts.must_be_installed(name)
    service = hosts.Service(name, tmp_path / "service", port=rig.free_port())
    try:
        rig.wait_for(lambda: rig.accepts(
            socket.AF_INET, ("127.0.0.1", service.port)), name)
        yield {**config, "hosts": [f"127.0.0.1:{service.port}"]}
    finally:
        service.kill()


def wait_for_locks(server, lock):
    """A lock service that accepts connections is not yet ready for work."""
    if "hosts" in lock:
        rig.wait_for(lambda: "session of" in server.log(), "a session")


@pytest.fixture(params=["file", "s3"])
def rufh(request, server, tmp_path, lock):
    config = {"rufh": {"enable": True}, "lock": {"timeout": "3s", **lock}}
    if request.param == "file":
        # A lock service over a directory means that others have it, too.
        if "hosts" in lock:
            config["store"] = {"shared": True, "durability": "full"}
        one = server("nginx", config=config)
        wait_for_locks(one, lock)
        yield Rufh(one, "nginx")
        return
    if "s3" not in built_in("stores:"):
        pytest.skip("built without the store for buckets")
    engine = bucket.start_engine("")
    one = bucket.Server(tmp_path, engine, config=config)
    try:
        one.start()
        wait_for_locks(one, lock)
        yield Rufh(one, "nginx")
    finally:
        one.stop()
        engine.stop()
    one.check_logs()


def arrived(rufh, url):
    assert rufh.get(url, MARK).body == rufh.tus.get(url).body == DATA
    reply = rufh.head(url, MARK)
    assert (reply.status, reply["Upload-Complete"], reply["Upload-Offset"],
            reply["Upload-Length"]) == (204, "?1", str(len(DATA)),
                                        str(len(DATA)))
    reply = rufh.tus.head(url)
    assert (reply.status, reply["Upload-Offset"]) == (200, str(len(DATA)))


@ids("RUFH-04", "RUFH-22", "RUFH-53", "RUFH-60", "RUFH-86")
def test_an_upload_in_both_protocols(rufh):
    tus = rufh.tus
    url = rufh.create(None, DATA[:5000])
    assert tus.patch(url, 5000, DATA[5000:10000]).status == 204
    reply = rufh.patch(url, 10000, DATA[10000:], True)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    arrived(rufh, url)
    url = tus.create(len(DATA))
    assert rufh.patch(url, 0, DATA[:9000]).status == 204
    assert tus.patch(url, 9000, DATA[9000:]).status == 204
    arrived(rufh, url)
    arrived(rufh, rufh.finished(DATA))
    # An empty one that completes; one that nobody has told the length of.
    url = rufh.create(None, DATA)
    assert rufh.patch(url, len(DATA), b"", True).status == 201
    arrived(rufh, url)
    assert rufh.get(rufh.finished(b"")).body == b""
    for maker, remover in ((rufh, tus), (tus, rufh)):
        url = maker.create(len(DATA))
        assert remover.delete(url, MARK).status == 204
        assert tus.head(url).status == rufh.head(url, MARK).status == 404


@ids("RUFH-42", "RUFH-93")
def test_one_gives_way_to_the_other(rufh):
    """Whose append it is, and whoever asks: its bytes are in the answer, and
    the upload goes on there."""
    for holder, other in ((rufh, rufh.tus), (rufh.tus, rufh)):
        url = other.create(len(DATA))
        assert holder.patch(url, 0, DATA[:4000]).status == 204
        upload = holder.open_patch(url, 4000, len(DATA) - 4000)
        upload.send(DATA[4000:12000])

        # The first to ask may be there before the append has the lock.
        def taken_over():
            offset = int(other.head(url, MARK)["Upload-Offset"])
            return offset if offset > 4000 else None

        offset = rig.wait_for(taken_over, "what the append brought")
        assert upload.reply().status == 423
        assert other.patch(url, offset, DATA[offset:]).status in (201, 204)
        arrived(rufh, url)


@ids("RUFH-50", "RUFH-57", "RUFH-80")
def test_what_is_refused_is_not_there(rufh):
    url = rufh.create(len(DATA), DATA[:5000])
    wrong = "sha-256=:" + "A" * 43 + "=:"
    assert rufh.patch(url, 5000, DATA[5000:], True,
                      {"Content-Digest": wrong}).status == 400
    assert rufh.patch(url, 1, DATA[1:], True).status == 409
    assert rufh.tus.offset(url) == 5000
    assert rufh.patch(url, 5000, DATA[5000:] + b"x").status == 400
    assert rufh.tus.head(url).status == 404
