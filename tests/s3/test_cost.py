"""What a worker keeps for itself while its client is slow."""

import ctypes

import pytest

from lib import proc, rig
from lib.once import once
from lib.plain import build
from s3 import bucket
from s3.bucket import content, create
from s3.test_life import hang

bucket.need_store()

PART = 8 << 20
# Two requests that are over keep a handle each.
LITTLE = 128 << 10


@pytest.fixture
def plain(tmp_path_factory, monkeypatch):
    """Sanitizers have a malloc of their own."""
    path = once(tmp_path_factory, "plain-s3",
                lambda folder: str(build(folder, s3=True)))
    monkeypatch.setenv("TUSFCGI", path)


def patience():
    """Ten seconds later all is closed anyhow, which a libcurl since 8.7 waits
    for: it gives a buffer back with the handle, and not before."""
    curl = ctypes.CDLL("libcurl.so.4").curl_version
    curl.restype = ctypes.c_char_p
    version = curl().split()[0].partition(b"/")[2].split(b".")
    return 7 if tuple(map(int, version[:2])) < (8, 7) else 25


@pytest.mark.alone
@pytest.mark.usefixtures("plain")
def test_parts_that_are_sent_leave_no_buffers(start):
    server = start(s3={"part_size": "8M"}, args=["-w", "2"])
    data = content(4 * PART)
    url = create(server, 8 * PART)

    def most():
        return max(map(proc.own_memory, proc.workers(server.app.pid)))

    def parts():
        return sum("partNumber=" in x[1] for x in server.engine.log())

    with hang(server, url, 0, data[:100], 8 * PART) as client:
        rig.wait_for(lambda: any("uploadId" in x[1]
                                 for x in server.engine.log()), "the claim")
        before = most()
        client.sendall(data[100:])
        rig.wait_for(lambda: parts() == 4, "the parts")
        rig.wait_for(lambda: most() <= before + LITTLE,
                     f"{before} bytes and a few", patience())
