"""Uploads in a bucket, as a client and the bucket see them."""

import signal

import pytest

from lib import clients, rig
from s3 import bucket, client
from s3.bucket import PART, content, create, patch

bucket.need_store()

ENGINES = ["", "error-in-200", "no-if-match lists-parts", "bare-if-match",
           "equal-parts", *client.real_too()]


@pytest.fixture(params=ENGINES, ids=bucket.name_of)
def engine(request):
    one = bucket.start_engine(request.param)
    yield one
    one.stop()


@pytest.fixture
def start(tmp_path, servers):
    return lambda engine, **options: servers(
        bucket.Server(tmp_path, engine, **options))


def send(url, data, sizes):
    """In chunks of these sizes, the last of them for all that is left."""
    at = 0
    for size in (*sizes, len(data)):
        piece = data[at:at + size]
        status, headers, body = patch(url, at, piece)
        assert status == 204, body
        at += len(piece)
        assert headers["Upload-Offset"] == str(at)
        if at == len(data):
            return
        assert clients.offset(url) == at


@pytest.mark.parametrize("size, sizes", [
    (1, ()), (PART - 1, (5,)), (PART, (PART - 1,)),
    (PART + 1, (1, PART - 1)), (5 * PART, (3 * PART,)),
    (6 * PART + 77, (100, PART, 100, 2 * PART, 1))])
def test_what_is_sent_is_what_is_there(engine, start, size, sizes):
    server = start(engine)
    data = content(size)
    url = create(server, size, **{
        "Upload-Metadata": "filename YS50eHQ=,filetype dGV4dC9wbGFpbg=="})
    send(url, data, sizes)
    status, headers, body = clients.request("GET", url)
    assert (status, body) == (200, data)
    assert clients.offset(url) == size
    name = url.rpartition("/")[2]
    got = engine.ask("GET", f"/{server.bucket}/{name}")
    assert got.body == data
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["x-amz-meta-tus-id"] == name
    assert got.headers["x-amz-meta-filename"] == "a.txt"
    assert sorted(server.keys()) == [name, name + ".info"]
    assert not server.parts()
    status, _, body = clients.request(
        "GET", url, {"Range": f"bytes={size // 2}-"})
    assert (status, body) == (206, data[size // 2:])
    assert clients.request("DELETE", url)[0] == 204
    assert clients.request("HEAD", url)[0] == 404
    assert not server.keys()


def test_an_empty_upload(engine, start):
    server = start(engine)
    url = create(server, 0)
    assert clients.request("GET", url)[2] == b""
    url = create(server, None)
    status, headers, _ = patch(url, 0, b"", **{"Upload-Length": "0"})
    assert (status, headers["Upload-Offset"]) == (204, "0")
    assert clients.request("GET", url)[2] == b""
    assert not server.parts()


def test_a_length_that_comes_later(engine, start):
    server = start(engine)
    data = content(3 * PART + 10)
    url = create(server, None)
    assert patch(url, 0, data[:PART + 50])[0] == 204
    assert clients.offset(url) == PART + 50
    # Without bytes, and the tail has to outlive that.
    status, headers, _ = patch(url, PART + 50, b"",
                               **{"Upload-Length": str(len(data))})
    assert (status, headers["Upload-Offset"]) == (204, str(PART + 50))
    assert patch(url, PART + 50, data[PART + 50:])[0] == 204
    assert clients.request("GET", url)[2] == data


def test_bytes_that_are_not_verified_are_not_sent(engine, start):
    server = start(engine)
    data = content(2 * PART + 5)
    url = create(server, len(data))
    assert patch(url, 0, data[:10])[0] == 204
    status, _, _ = patch(url, 10, data[10:], **{
        "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="})
    assert status == 460
    assert clients.offset(url) == 10
    assert patch(url, 10, data[10:])[0] == 204
    assert clients.request("GET", url)[2] == data


def test_an_unfinished_upload_is_removed(engine, start):
    server = start(engine)
    url = create(server, 3 * PART)
    assert patch(url, 0, content(PART + 5))[0] == 204
    assert clients.request("DELETE", url)[0] == 204
    assert clients.request("HEAD", url)[0] == 404
    assert not server.keys() and not server.parts()


def test_many_small_chunks_leave_few_segments(strict, start):
    server = start(strict)
    data = content(PART)
    url = create(server, PART)
    for at in range(0, 40):
        assert patch(url, at, data[at:at + 1])[0] == 204
        segments = [k for k in server.keys() if ".part." in k]
        assert len(segments) <= 17
    assert patch(url, 40, data[40:])[0] == 204
    assert clients.request("GET", url)[2] == data


def test_a_merge_of_segments_that_fails_loses_none(strict, start):
    server = start(strict, s3={"retries": 0})
    data = content(PART)
    url = create(server, PART)
    for at in range(0, 16):
        assert patch(url, at, data[at:at + 1])[0] == 204
    strict.rules({"m": "^PUT .*[.]part[.]", "do": "503", "times": 9})
    assert patch(url, 16, data[16:17])[0] == 503
    strict.rules()
    assert clients.offset(url) == 16
    assert patch(url, 16, data[16:])[0] == 204
    assert clients.request("GET", url)[2] == data


def test_creation_with_the_whole_body(engine, start):
    server = start(engine)
    for size in (5, 3 * PART):
        data = content(size)
        status, headers, _ = clients.request("POST", server.url, {
            "Upload-Length": str(size),
            "Content-Type": "application/offset+octet-stream"}, data)
        assert (status, headers["Upload-Offset"]) == (201, str(size))
        url = server.origin + headers["Location"]
        assert clients.request("GET", url)[2] == data
    assert not server.parts()


def test_a_crash_loses_nothing_that_was_acknowledged(engine, start):
    server = start(engine)
    data = content(8 * PART + 3)
    url = create(server, len(data))
    at = 0
    for size in (100, PART, 2 * PART + 7):
        assert patch(url, at, data[at:at + size])[0] == 204
        at += size
        server.stop_app(signal.SIGKILL)
        server.start_app()
        assert clients.offset(url) == at
    assert patch(url, at, data[at:])[0] == 204
    assert clients.request("GET", url)[2] == data


def test_a_concatenation(engine, start):
    server = start(engine)
    pieces = [content(n, bytes([n % 251])) for n in
              (3 * PART + 9, 5, 2 * PART, PART, 1)]
    urls = []
    for data in pieces:
        urls.append(create(server, len(data), **{"Upload-Concat": "partial"}))
        send(urls[-1], data, ())
    for parts in (slice(1, 2), slice(0, 5)):
        paths = " ".join(u[len(server.origin):] for u in urls[parts])
        status, headers, body = clients.request(
            "POST", server.url, {"Upload-Concat": "final;" + paths})
        assert status == 201, body
        url = server.origin + headers["Location"]
        assert clients.request("GET", url)[2] == b"".join(pieces[parts])
    assert not server.parts()


def test_a_part_in_the_bucket_is_copied_there(strict, start):
    server = start(strict)
    data = content(4 * PART)
    url = create(server, len(data), **{"Upload-Concat": "partial"})
    send(url, data, ())
    strict.rules()
    status, _, _ = clients.request("POST", server.url, {
        "Upload-Concat": "final;" + url[len(server.origin):]})
    assert status == 201
    # No byte of it comes here.
    assert not [x for x in strict.log() if x[0] == "GET" and
                "list-type" not in x[1] and ".info" not in x[1]]
    assert max(x[2] for x in strict.log()) < PART


def test_what_expires_is_swept(strict, start):
    server = start(strict, config={
        "expiration": {"after": "1s", "sweep": "1s"}})
    url = create(server, 3 * PART)
    assert patch(url, 0, content(PART + 9))[0] == 204
    assert len(server.keys()) == 2 and server.parts()
    done = create(server, 3)
    send(done, b"abc", ())
    name = done.rpartition("/")[2]
    rig.wait_for(lambda: set(server.keys()) <= {
        name, name + ".info", ".sweep"}, "the sweep")
    assert not server.parts()
    assert clients.request("HEAD", url)[0] in (404, 410)
    assert clients.request("GET", done)[2] == b"abc"


def test_a_bucket_out_of_reach_is_named(tmp_path, servers):
    """As a directory that was covered: clients come back, and nobody looks for
    what keeps the server busy."""
    engine = bucket.start_engine("")
    server = servers(bucket.Server(tmp_path, engine, s3={"retries": 0}))
    url, done = create(server, 10), create(server, 3)
    assert patch(done, 0, b"abc")[0] == 204
    assert patch(url, 0, b"abc")[0] == 204
    engine.stop()
    asked = [clients.request("POST", server.url, {"Upload-Length": "3"}),
             patch(url, 3, b"def"), clients.request("GET", done),
             clients.request("DELETE", url)]
    for status, headers, body in asked:
        assert (status, body.split(b":")[0]) == (503, b"ERR_STORE_UNAVAILABLE")
        assert int(headers["Retry-After"]) > 0
    assert clients.request("HEAD", url)[0] == 423
    said = [x for x in server.log().splitlines() if " request method=" in x]
    assert all("code=ERR_STORE_UNAVAILABLE" in x for x in said[-5:]), said
