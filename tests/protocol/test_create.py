"""CREATE: new uploads."""

import os
import re
import shutil
import threading

import pytest

from lib import client

ids = pytest.mark.ids


@ids("CREATE-01", "CREATE-02")
def test_a_creation_tells_where_the_upload_is(tus):
    reply = tus.post({"Upload-Length": 100})
    assert (reply.status, reply.body) == (201, b"")
    assert re.fullmatch(r"/files/[A-Za-z0-9_-]+", reply["Location"])
    reply = tus.head(reply["Location"])
    assert reply["Upload-Offset"] == "0"
    assert reply["Upload-Length"] == "100"


@ids("CREATE-03")
def test_no_length_at_all_is_400(tus):
    with tus.nothing_created():
        assert tus.post().status == 400
        assert tus.post({"Upload-Metadata": "a YQ=="}).status == 400


@ids("CREATE-04", "CREATE-10")
@pytest.mark.parametrize("length", [
    "-1", "1.5", "", "abc", "9223372036854775808", "99999999999999999999"])
def test_an_invalid_length_is_400(tus, length):
    with tus.nothing_created():
        reply = tus.post({"Upload-Length": length})
        assert (reply.status, reply.code) == (400, "ERR_INVALID_UPLOAD_LENGTH")


@ids("CREATE-05", "CREATE-10")
def test_the_maximum(serve):
    tus = serve({"max_size": "1M"})
    with tus.nothing_created():
        reply = tus.post({"Upload-Length": 2 ** 20 + 1})
        assert (reply.status, reply.code) == (413, "ERR_MAX_SIZE_EXCEEDED")
        assert tus.post({"Upload-Length": 2 ** 63 - 1}).status == 413
    assert tus.post({"Upload-Length": 2 ** 20}).status == 201


@ids("CREATE-06")
def test_an_empty_upload_is_whole_at_once(tus):
    url = tus.create(0)
    reply = tus.head(url)
    assert (reply["Upload-Offset"], reply["Upload-Length"]) == ("0", "0")
    assert tus.patch(url, 0).status == 204
    assert tus.get(url).body == b""


@ids("CREATE-07")
def test_a_great_length_takes_no_space(endless):
    tus = endless
    url = tus.create(2 ** 50)
    assert os.stat(tus.path(url)).st_blocks == 0
    assert tus.post({"Upload-Length": 2 ** 63}).status == 400


def free(tus):
    where = os.statvfs(tus.server.uploads)
    return where.f_bavail * where.f_frsize


@ids("CREATE-14")
@pytest.mark.parametrize("length", [2 ** 50, 2 ** 63 - 1])
def test_a_length_that_does_not_fit_is_507(tus, length):
    with tus.nothing_created():
        for body in (None, b"abc"):
            headers = {"Upload-Length": length}
            if body is not None:
                headers["Content-Type"] = client.BODY
            reply = tus.post(headers, body) if body else tus.post(headers)
            assert (reply.status, reply.code) == (507, "ERR_NO_SPACE")


@ids("CREATE-14")
def test_what_must_stay_free_is_not_for_a_length(serve):
    tus = serve({"store": {"min_free": "1G"}})
    with tus.nothing_created():
        assert tus.post({"Upload-Length": free(tus) - (1 << 29)}).status == 507
    # Each by itself: another one of the same length fits as well.
    for _ in range(2):
        assert tus.post({"Upload-Length": free(tus) // 2}).status == 201


@ids("CREATE-14")
def test_a_declared_length_that_does_not_fit_is_507(tus):
    url = tus.create(None, {"Upload-Defer-Length": "1"})
    reply = tus.patch(url, 0, b"abc", {"Upload-Length": 2 ** 50})
    assert (reply.status, reply.code) == (507, "ERR_NO_SPACE")
    head = tus.head(url)
    assert head["Upload-Defer-Length"] == "1"
    assert head["Upload-Length"] is None
    offset = int(head["Upload-Offset"])
    reply = tus.patch(url, offset, b"abcdef"[offset:], {"Upload-Length": 6})
    assert reply.status == 204 and tus.data(url) == b"abcdef"


@ids("CREATE-14")
def test_all_unfinished_ones_together_have_to_fit(small_disk, serve):
    # What is created takes its space at once, so not that of the whole machine.
    tus = serve({"store": {"overcommit": "never"}}, own=True)
    half = free(tus) * 6 // 10
    url = tus.create(half)
    with tus.nothing_created():
        reply = tus.post({"Upload-Length": half})
        assert (reply.status, reply.code) == (507, "ERR_NO_SPACE")
    tus.create(1000)
    deferred = tus.create(None, {"Upload-Defer-Length": "1"})
    assert tus.patch(deferred, 0, b"",
                     {"Upload-Length": half}).status == 507
    # What is gone, or finished, lacks nothing.
    assert tus.delete(url).status == 204
    assert tus.post({"Upload-Length": half}).status == 201


@ids("CREATE-08")
def test_two_creations_are_two_uploads(tus):
    urls = {tus.create(10) for _ in range(20)}
    assert len(urls) == 20
    for url in urls:
        # Version 4, variant 1: 122 random bits.
        assert re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}",
                            tus.id(url))


@ids("CREATE-09")
@pytest.mark.parametrize("kind", [
    None, "text/plain", "application/json",
    "application/x-www-form-urlencoded"])
def test_an_empty_body_may_have_any_type(tus, kind):
    reply = tus.post({"Upload-Length": 10, "Content-Type": kind}, b"")
    assert reply.status == 201
    assert "Upload-Offset" not in reply


@ids("CREATE-09")
def test_an_empty_body_of_unknown_length(tus, chunked):
    reply = tus.post({"Upload-Length": 10, "Content-Type": "a/b"},
                     length=client.CHUNKED)
    assert reply.status == 201
    assert tus.offset(reply["Location"]) == 0


@ids("CREATE-10")
def test_a_refused_creation_leaves_nothing(tus):
    rows = [
        {"Upload-Length": 5, "Upload-Metadata": "a !"},
        {"Upload-Length": 5, "Upload-Concat": "x"},
        {"Upload-Length": 5, "Upload-Defer-Length": "1"},
        {"Upload-Length": 5, "Upload-Checksum": "sha1 x"},
        {"Upload-Concat": "final;/files/" + "0" * 32},
        {"Upload-Length": 5, "X-HTTP-Method-Override": "FOO"},
    ]
    with tus.nothing_created():
        for row in rows:
            assert 400 <= tus.post(row).status < 500


@ids("CREATE-12")
def test_a_store_that_cannot_be_written_is_500(serve):
    """Its folder is gone: permissions do not stop everybody."""
    tus = serve(own=True, args=["-w", "1"])
    assert tus.delete(tus.create(10)).status == 204
    tus.server.uploads.rename(tus.server.dir / "gone")
    shutil.rmtree(tus.server.dir / "gone")
    reply = tus.post({"Upload-Length": 10})
    assert (reply.status, reply.code) == (500, "ERR_INTERNAL_SERVER_ERROR")
    assert "Location" not in reply


@ids("CREATE-13")
def test_a_thousand_creations_at_once_are_a_thousand_uploads(tus):
    urls = []

    def create():
        for _ in range(125):
            urls.append(tus.create(10))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(urls)) == 1000
    for url in urls[::100]:
        assert tus.offset(url) == 0
