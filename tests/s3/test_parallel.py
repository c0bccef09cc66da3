"""Parts that are sent while others come: s3.parallel."""

import base64
import hashlib
import re
import signal
import socket

import pytest

from lib import clients, rig
from s3 import bucket
from s3.bucket import PART, content, create, patch
from s3.test_life import hang

bucket.need_store()

PUT = "^PUT .*partNumber="


@pytest.fixture
def start(start):
    return lambda **s3: start(s3=s3)


def numbers(server):
    """Of the parts that were sent, in their order."""
    return [int(re.search(r"partNumber=(\d+)", target)[1])
            for method, target, _, _ in server.engine.log()
            if re.match(PUT, f"{method} {target}")]


def check(server, url, data):
    name = url.rpartition("/")[2]
    assert clients.offset(url) == len(data)
    assert server.engine.ask(
        "GET", f"/{server.bucket}/{name}").body == data
    assert sorted(server.keys()) == [name, name + ".info"]


@pytest.mark.parametrize("parallel", [1, 2, 3, 8])
def test_so_many_parts_are_under_way_and_no_more(start, parallel):
    server = start(parallel=parallel)
    data = content(12 * PART + 5)
    url = create(server, len(data))
    server.engine.rules({"m": PUT, "do": "meet", "arg": parallel,
                         "times": 99})
    assert patch(url, 0, data)[0] == 204
    assert server.engine.most_parts() == parallel
    assert sorted(numbers(server)) == list(range(1, 14))
    check(server, url, data)


@pytest.mark.parametrize("parallel", [1, 2, 3])
@pytest.mark.parametrize("tail", [1, PART - 1, PART + 1])
def test_any_chunks_make_the_same_object(start, parallel, tail):
    """A place in the spool is used again only when its part is there."""
    server = start(parallel=parallel)
    data = content(11 * PART + 77)
    url = create(server, len(data))
    at = 0
    for size in (tail, 5 * PART, 1, 3 * PART + 2, len(data)):
        server.engine.rules({"m": PUT, "do": "delay", "arg": 0.02,
                             "times": 99})
        piece = data[at:at + size]
        assert patch(url, at, piece)[0] == 204
        at += len(piece)
        assert clients.offset(url) == at
    check(server, url, data)


def test_parts_that_grow_take_other_places(start):
    """Those of the old size are on their way, and one of the new size, which
    comes in two pieces, would not fit between the last old place and the
    first."""
    server = start(parallel=3)
    data = content(1007 * PART + 5)
    url = create(server, None)
    at, half = 997 * PART, 1001 * PART
    assert patch(url, 0, data[:at],
                 **{"Upload-Length": str(len(data))})[0] == 204
    server.engine.rules({"m": PUT, "do": "delay", "arg": 0.2, "times": 99})
    with hang(server, url, at, data[at:half], len(data) - at) as client:
        rig.wait_for(lambda: len(numbers(server)) == 3, "parts")
        client.sendall(data[half:])
        client.settimeout(30)
        assert client.recv(4096).startswith(b"HTTP/1.1 204 ")
    check(server, url, data)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_one_that_fails_holds_back_the_offset(start, number):
    """Others come through; what lies behind it does not count yet."""
    server = start(parallel=4, retries=0)
    data = content(6 * PART)
    url = create(server, len(data))
    rules = [{"m": f"{PUT}{number}&|{PUT}{number}$", "do": "drop",
              "times": 99},
             {"m": "^PUT .*[.]part[.]", "do": "drop", "times": 99}]
    server.engine.rules(*rules)
    assert patch(url, 0, data[:5 * PART + 9])[0] == 503
    assert len(set(numbers(server))) >= number
    assert clients.offset(url) == (number - 1) * PART
    server.stop_app(signal.SIGKILL)
    server.start_app()
    assert clients.offset(url) == (number - 1) * PART
    server.engine.rules()
    at = (number - 1) * PART
    assert patch(url, at, data[at:])[0] == 204
    check(server, url, data)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_one_that_fails_holds_back_what_is_acknowledged(start, number):
    """It and all behind it are kept in segments instead."""
    server = start(parallel=4, retries=0)
    data = content(7 * PART)
    url = create(server, len(data))
    server.engine.rules({"m": f"{PUT}{number}&|{PUT}{number}$", "do": "drop",
                         "times": 99})
    at = 5 * PART + 9
    status, _, _ = patch(url, 0, data[:at])
    assert status in (204, 503)
    now = clients.offset(url)
    assert now == at or status == 503 and now >= (number - 1) * PART
    server.engine.rules()
    assert patch(url, now, data[now:])[0] == 204
    check(server, url, data)


def test_one_that_fails_is_kept_with_all_behind_it(start):
    """In segments; the next request makes parts of them."""
    server = start(parallel=4, retries=0)
    data = content(9 * PART)
    url = create(server, len(data))
    assert patch(url, 0, data[:PART // 2])[0] == 204
    server.engine.rules({"m": PUT, "do": "drop", "times": 99})
    status, _, _ = patch(url, PART // 2, data[PART // 2:8 * PART])
    assert status == 503
    server.engine.rules()
    at = clients.offset(url)
    assert at > PART
    assert patch(url, at, data[at:])[0] == 204
    check(server, url, data)


def test_a_backlog_of_parts_is_sent_first(start):
    """Verified bytes, of which no part could be sent, become one segment."""
    server = start(parallel=1, retries=0)
    data = content(7 * PART + 3)
    url = create(server, len(data))
    server.engine.rules({"m": PUT, "do": "drop", "times": 99})
    at = 5 * PART + 7
    digest = base64.b64encode(hashlib.sha1(data[:at]).digest()).decode()
    assert patch(url, 0, data[:at], **{
        "Upload-Checksum": "sha1 " + digest})[0] == 204
    assert numbers(server)
    server.engine.rules()
    assert clients.offset(url) == at
    assert patch(url, at, data[at:])[0] == 204
    assert numbers(server)[:5] == [1, 2, 3, 4, 5]
    check(server, url, data)


def test_a_part_arrives_while_its_client_is_silent(start):
    """More than a socket takes at once."""
    large = 8 << 20
    server = start(part_size="8M", parallel=1)
    data = content(2 * large)
    url = create(server, len(data))
    with hang(server, url, 0, data[:large + 100], len(data)):
        rig.wait_for(lambda: server.engine.ask(
            "GET", f"/{server.bucket}/{url.rpartition('/')[2]}",
            "uploadId=" + server.parts()[0]).all("Size") == [str(large)],
            "the part")
    rig.wait_for(lambda: clients.request("HEAD", url)[0] == 200, "the end")
    at = clients.offset(url)
    assert at == large + 100
    assert patch(url, at, data[at:])[0] == 204
    check(server, url, data)


def refused(server, head, *fields):
    """The answer to a request whose body is longer than the limit."""
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.settimeout(30)
        s.sendall("\r\n".join([
            head + " HTTP/1.1", "Host: a", "Tus-Resumable: 1.0.0",
            "Content-Type: application/offset+octet-stream",
            f"Content-Length: {LIMIT + 1}", *fields, "", ""]).encode() +
            b"x" * 100)
        answer = s.recv(4096).decode()
    assert re.match(r"HTTP/1.1 413 ", answer), answer
    assert f"\r\nTus-Max-Size: {LIMIT}\r\n" in answer, answer


# 10,000 parts that do not grow.
LIMIT = 10000 * PART


def test_an_upload_without_a_length_ends_with_its_grid(start):
    server = start(part_growth=False)
    url = create(server, None)
    path = url[len(server.origin):]
    status, said, text = patch(
        url, 0, b"", **{"Upload-Length": str(LIMIT + 1)})
    assert (status, said["Tus-Max-Size"]) == (413, str(LIMIT)), text
    refused(server, "PATCH " + path, "Upload-Offset: 0")
    # What fits goes on, and its length may be said.
    at = clients.offset(url)
    assert patch(url, at, b"abc", **{"Upload-Length": str(LIMIT)})[0] == 204
    assert clients.offset(url) == at + 3
    # With parts that grow, the limit is S3's.
    server = start()
    url = create(server, None)
    assert patch(url, 0, b"", **{"Upload-Length": str(LIMIT + 1)})[0] == 204


def test_a_creation_without_a_length_ends_there_too(start):
    """Its limit is known when it is made, and what came is taken back."""
    server = start(part_growth=False)
    refused(server, "POST " + server.base + "/", "Upload-Defer-Length: 1")
    assert not server.keys() and not server.parts()
