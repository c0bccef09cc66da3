"""Connections to S3 that are not used: closed by us, or by the other side."""

from pathlib import Path

import pytest

from lib import clients, rig
from s3 import bucket
from s3.bucket import PART, content, create, patch
from s3.test_life import hang

bucket.need_store()

# States of Linux: open, and open on our side alone.
OPEN = ("01", "08")


def connections(server):
    """How many tusfcgi has to the engine."""
    far = f"0100007F:{server.engine.port:04X}"
    rows = [x.split() for x in Path("/proc/net/tcp").read_text().splitlines()]
    return len([x for x in rows if x[2] == far and x[3] in OPEN])


def wait_for_none(server):
    rig.wait_for(lambda: connections(server) == 0, "the end of connections",
                 40)


def test_a_worker_that_waits_keeps_no_connection(start):
    """After ten seconds."""
    server = start()
    data = content(5 * PART)
    url = create(server, len(data))
    assert patch(url, 0, data)[0] == 204
    assert connections(server) > 1
    wait_for_none(server)
    assert clients.offset(url) == len(data)
    assert connections(server) == 1


def test_an_upload_that_waits_keeps_no_connection(start):
    """Its client sends nothing for a while; then it goes on."""
    server = start()
    data = content(7 * PART)
    url = create(server, len(data))
    with hang(server, url, 0, data[:3 * PART + 7], len(data)) as client:
        rig.wait_for(lambda: len([x for x in server.engine.log()
                                  if "partNumber=" in x[1]]) == 3, "parts")
        assert connections(server) > 0
        wait_for_none(server)
        client.sendall(data[3 * PART + 7:])
        client.settimeout(30)
        assert client.recv(4096).startswith(b"HTTP/1.1 204 ")
    assert clients.request("GET", url)[2] == data


def send(server):
    data = content(3 * PART + 1)
    url = create(server, len(data))
    yield
    assert patch(url, 0, data)[0] == 204
    yield
    assert clients.request("GET", url)[2] == data


def look(server):
    url = create(server, 3)
    yield
    assert clients.offset(url) == 0
    yield


def make(server):
    create(server, 3)
    yield
    create(server, 3 * PART)
    yield


def remove(server):
    url = create(server, 3)
    assert patch(url, 0, b"abc")[0] == 204
    yield
    assert clients.request("DELETE", url)[0] == 204
    yield


def join(server):
    url = create(server, 6 * PART, **{"Upload-Concat": "partial"})
    assert patch(url, 0, content(6 * PART))[0] == 204
    yield
    status, headers, _ = clients.request("POST", server.url, {
        "Upload-Concat": "final;" + url[len(server.origin):]})
    assert status == 201
    yield
    assert clients.offset(server.origin + headers["Location"]) == 6 * PART


# What is asked first, or what has a body.
FIRST = {send: "^PUT .*partNumber=", look: "^GET ", remove: "^PUT .*[.]info"}


@pytest.fixture
def kept(start):
    """A worker that has connections, and tries nothing again by itself."""
    server = start(s3={"retries": 0}, args=["-w", "1"])
    for _ in send(server):
        pass
    return server


@pytest.mark.parametrize("what", [send, look, make, remove, join])
def test_one_that_the_engine_has_closed_spoils_no_request(kept, what):
    steps = what(kept)
    next(steps)
    assert kept.engine.hang_up() > 0
    assert list(steps) == [None]


@pytest.mark.parametrize("what", FIRST)
def test_one_that_the_engine_closes_just_now_spoils_no_request(kept, what):
    """The request was on its way already."""
    steps = what(kept)
    next(steps)
    kept.engine.rules({"m": FIRST[what], "do": "drop"})
    assert list(steps) == [None]
    assert [x for x in kept.engine.log() if x[3] == "drop"]
