"""PATCH: append to an upload."""

import os
import signal
import threading

import pytest

from lib import client, proc, rig

ids = pytest.mark.ids
only = pytest.mark.only

UNKNOWN = "/files/" + "0" * 32


def noise(n):
    """n bytes with no short period, the same each time."""
    block = bytes((i * i + (i >> 8) * 7) & 255 for i in range(65521))
    return (block * (n // len(block) + 1))[:n]


@ids("PATCH-01")
def test_bytes_are_appended_exactly(tus):
    data = bytes(range(256)) * 100
    url = tus.create(len(data))
    reply = tus.patch(url, 0, data[:1000])
    assert (reply.status, reply["Upload-Offset"]) == (204, "1000")
    reply = tus.patch(url, 1000, data[1000:])
    assert (reply.status, reply["Upload-Offset"]) == (204, str(len(data)))
    assert tus.data(url) == data


@ids("PATCH-02", "PATCH-03", "PATCH-27")
@pytest.mark.parametrize("kind", [
    None, "", "text/plain", "application/offset+octet-streamX",
    "application/octet-stream", "application/offset", ";x"])
def test_another_content_type_is_415(tus, kind):
    url = tus.create(10)
    with tus.unchanged(url):
        for body in (b"", b"abc"):
            reply = tus.patch(url, 0, body, {"Content-Type": kind})
            assert (reply.status, reply.code) == (
                415, "ERR_INVALID_CONTENT_TYPE")
            assert reply["Accept-Patch"] == client.BODY


@ids("PATCH-04")
@pytest.mark.parametrize("kind", [
    "Application/Offset+Octet-Stream; foo=1",
    "application/offset+octet-stream;",
    "APPLICATION/OFFSET+OCTET-STREAM"])
def test_the_media_type_counts_not_its_spelling(tus, kind):
    url = tus.create(10)
    assert tus.patch(url, 0, b"abc", {"Content-Type": kind}).status == 204


@ids("PATCH-05")
def test_a_missing_offset_is_400(tus):
    url = tus.create(10)
    with tus.unchanged(url):
        reply = tus.patch(url, None, b"abc")
        assert (reply.status, reply.code) == (400, "ERR_INVALID_OFFSET")


@ids("PATCH-06")
@pytest.mark.parametrize("offset", [0, 4, 6, 10, 11, 2 ** 63 - 1])
def test_another_offset_is_409_and_tells_the_right_one(tus, offset):
    url = tus.create(10)
    tus.patch(url, 0, b"12345")
    with tus.unchanged(url):
        for body in (b"", b"abc"):
            reply = tus.patch(url, offset, body)
            assert (reply.status, reply.code) == (409, "ERR_MISMATCHED_OFFSET")
            assert reply["Upload-Offset"] == "5"


@ids("PATCH-07")
def test_unknown_is_404(tus):
    with tus.nothing_created():
        for body in (b"", b"abc"):
            reply = tus.patch(UNKNOWN, 0, body)
            assert reply.status == 404
            assert "Upload-Offset" not in reply


@ids("PATCH-09")
@pytest.mark.parametrize("size", [8, 20000000])
def test_more_than_announced_is_413_and_nothing_is_stored(tus, size):
    url = tus.create(10)
    tus.patch(url, 0, b"123")
    with tus.unchanged(url):
        reply = tus.patch(url, 3, noise(size))
        assert (reply.status, reply.code) == (413, "ERR_UPLOAD_SIZE_EXCEEDED")


@ids("PATCH-10")
@pytest.mark.parametrize("size", [8, 3000000])
def test_more_than_announced_in_chunks_is_rolled_back(tus, chunked, size):
    url = tus.create(10)
    tus.patch(url, 0, b"123")
    with tus.unchanged(url):
        reply = tus.patch(url, 3, noise(size), length=client.CHUNKED)
        assert (reply.status, reply.code) == (413, "ERR_UPLOAD_SIZE_EXCEEDED")


@ids("PATCH-10")
def test_a_byte_too_many_after_the_last_one_is_rolled_back(tus, chunked):
    """The upload looked whole for a moment."""
    url = tus.create(10)
    with tus.unchanged(url):
        upload = tus.open_patch(url, 0, client.CHUNKED)
        upload.send(b"123456789")
        upload.send(b"0")
        if tus.transport.streams:
            tus.wait_offset(url, 9)
        upload.send(b"!")
        upload.end()
        assert upload.reply().status == 413


@ids("PATCH-10", "PATCH-20")
def test_chunks_that_fill_it_exactly_complete_it(tus, chunked):
    data = noise(200000)
    url = tus.create(len(data))
    assert tus.patch(url, 0, data[:3], length=client.CHUNKED).status == 204
    reply = tus.patch(url, 3, data[3:], length=client.CHUNKED)
    assert (reply.status, reply["Upload-Offset"]) == (204, str(len(data)))
    assert tus.data(url) == data
    assert tus.get(url).status == 200


@ids("PATCH-11")
def test_an_empty_body_changes_nothing(tus):
    url = tus.create(10)
    with tus.unchanged(url):
        reply = tus.patch(url, 0)
        assert (reply.status, reply["Upload-Offset"]) == (204, "0")


@ids("PATCH-12", "PATCH-13")
def test_a_whole_upload_takes_an_empty_body_only(tus):
    url = tus.finished(b"12345")
    with tus.unchanged(url):
        reply = tus.patch(url, 5)
        assert (reply.status, reply["Upload-Offset"]) == (204, "5")
        assert tus.patch(url, 5, b"x").status == 413
        assert tus.patch(url, 5, noise(2000000)).status == 413
        assert tus.patch(url, 4, b"5").status == 409


@ids("PATCH-12", "PATCH-13")
def test_a_whole_upload_and_chunks(tus, chunked):
    url = tus.finished(b"12345")
    with tus.unchanged(url):
        assert tus.patch(url, 5, length=client.CHUNKED).status == 204
        assert tus.patch(url, 5, b"x", length=client.CHUNKED).status == 413


@ids("PATCH-14")
def test_single_bytes_concatenate(tus):
    data = noise(100)
    url = tus.create(len(data))
    for i in range(len(data)):
        reply = tus.patch(url, i, data[i:i + 1])
        assert reply["Upload-Offset"] == str(i + 1)
    assert tus.data(url) == data


@ids("PATCH-15")
@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65535, 65536, 2 ** 24])
def test_bodies_of_every_size(tus, size):
    data = noise(size)
    url = tus.create(size + 1)
    reply = tus.patch(url, 0, data)
    assert (reply.status, reply["Upload-Offset"]) == (204, str(size))
    assert tus.data(url) == data
    tus.delete(url)


@ids("PATCH-15")
@pytest.mark.parametrize("start", [2 ** 31 - 2, 2 ** 32 - 2, 2 ** 40])
def test_offsets_beyond_32_bits(endless, start):
    """The file is stretched rather than filled."""
    tus = endless
    url = tus.create(start + 10)
    tus.patch(url, 0, b"x")
    os.truncate(tus.path(url), start)
    assert tus.offset(url) == start
    reply = tus.patch(url, start, b"12345")
    assert reply["Upload-Offset"] == str(start + 5)
    with open(tus.path(url), "rb") as data:
        data.seek(start - 2)
        assert data.read() == b"\0\x0012345"
    assert tus.patch(url, start + 5, b"1234567").status == 413
    reply = tus.patch(url, start + 5, b"67890")
    assert reply["Upload-Offset"] == str(start + 10)
    assert tus.head(url)["Upload-Length"] == str(start + 10)
    tus.delete(url)


@ids("PATCH-15", "FCGI-08")
@pytest.mark.parametrize("length", [2 ** 31 + 5, 2 ** 32 + 5])
def test_a_content_length_beyond_32_bits(tus, streaming, length):
    url = tus.create(length)
    upload = tus.open_patch(url, 0, length)
    upload.send(b"x" * 1000)
    tus.wait_offset(url, 1000)
    upload.reset()
    assert tus.offset(url) == 1000
    # One byte too many is seen beforehand, though it has 34 bits.
    upload = tus.open_patch(url, 1000, length - 999)
    assert upload.reply().status == 413


@ids("PATCH-16")
@pytest.mark.parametrize("sent", [0, 1, 8193, 500000])
def test_what_came_before_the_client_died_is_kept(tus, streaming, sent):
    data = noise(1000000)
    url = tus.create(len(data))
    upload = tus.open_patch(url, 0, len(data))
    upload.send(data[:sent])
    tus.wait_offset(url, sent)
    upload.reset()
    assert tus.offset(url) == sent
    assert tus.patch(url, sent, data[sent:]).status == 204
    assert tus.data(url) == data


@ids("PATCH-16")
def test_dying_again_and_again_never_goes_back(tus, streaming, chunked):
    data = noise(300000)
    url = tus.create(len(data))
    offset, step = 0, 29989
    while offset + step < len(data):
        upload = tus.open_patch(url, offset, client.CHUNKED)
        upload.send(data[offset:offset + step])
        upload.reset()
        now = tus.offset(url)
        # Bytes of the one before may still have been on their way.
        assert offset <= now < len(data)
        offset = now
        step = step // 2 if step > 5000 else 59981
    while offset < len(data):
        offset = tus.offset(url)
        reply = tus.patch(url, offset, data[offset:])
        assert reply.status in (204, 409, 423)
        offset = tus.offset(url)
    assert tus.data(url) == data


@ids("PATCH-17", "LOCK-05")
def test_a_killed_worker_costs_nothing(serve, streaming):
    tus = serve(own=True)
    data = noise(200000)
    url = tus.create(len(data))
    upload = tus.open_patch(url, 0, len(data))
    upload.send(data[:70000])
    tus.wait_offset(url, 70000)
    worker = proc.holder(tus.path(url, ".lock"))
    assert worker
    os.kill(worker, signal.SIGKILL)
    assert tus.offset(url) == 70000
    upload.close()
    assert tus.patch(url, 70000, data[70000:]).status == 204
    assert tus.data(url) == data


@ids("PATCH-18")
def test_a_stalled_client_is_cut_and_its_bytes_kept(serve, streaming):
    tus = serve({"timeouts": {"read": "1s"}})
    url = tus.create(100)
    upload = tus.open_patch(url, 0, 50)
    upload.send(b"0123456789")
    tus.wait_offset(url, 10)
    lock = tus.path(url, ".lock")
    assert proc.holder(lock)
    rig.wait_for(lambda: proc.holder(lock) is None, "the lock to be free", 8)
    try:
        reply = upload.reply()
        # Nothing that would make a client give up.
        assert reply.status in (408, 423, 503)
    except (EOFError, ConnectionResetError):
        pass
    assert tus.offset(url) == 10
    assert tus.patch(url, 10, b"x" * 90).status == 204


@ids("PATCH-18")
def test_a_slow_but_steady_client_is_not_cut(serve, streaming):
    """The time limit is for one pause, not for the whole body."""
    tus = serve({"timeouts": {"read": "1s"}})
    url = tus.create(8)
    upload = tus.open_patch(url, 0, 8)
    for i in range(8):
        upload.send(b"%d" % i)
        tus.wait_offset(url, i + 1)
        threading.Event().wait(0.25)
    upload.end()
    assert upload.reply().status == 204


@only("fastcgi")
@ids("PATCH-20")
def test_a_content_length_that_is_absent_or_empty(tus):
    for value in (None, ""):
        url = tus.create(6)
        reply = tus.patch(url, 0, b"abc", length=client.CHUNKED,
                          params={"CONTENT_LENGTH": value})
        assert (reply.status, reply["Upload-Offset"]) == (204, "3")


@only("fastcgi")
@ids("PATCH-21", "FCGI-02")
def test_an_end_before_the_announced_length_is_400(tus):
    url = tus.create(10)
    reply = tus.patch(url, 0, b"1234", length=10)
    assert (reply.status, reply.code) == (400, "ERR_UNEXPECTED_EOF")
    assert tus.offset(url) == 4
    assert tus.data(url) == b"1234"


@only("fastcgi")
@ids("PATCH-22")
def test_more_than_the_announced_length_is_ignored(tus):
    url = tus.create(20)
    for body in (b"1234567", b"1" * 100000):
        offset = tus.offset(url)
        reply = tus.patch(url, offset, body, length=4)
        assert (reply.status, reply["Upload-Offset"]) == (
            204, str(offset + 4))
    assert tus.data(url) == b"12341111"


@ids("PATCH-23")
def test_the_length_cannot_be_changed(tus):
    url = tus.create(10)
    reply = tus.patch(url, 0, b"abc", {"Upload-Length": 10})
    assert (reply.status, reply["Upload-Offset"]) == (204, "3")
    with tus.unchanged(url):
        for length in (9, 11, 2):
            assert tus.patch(url, 3, b"x", {
                "Upload-Length": length}).status == 400
    assert tus.head(url)["Upload-Length"] == "10"
    done = tus.finished(b"abc")
    with tus.unchanged(done):
        assert tus.patch(done, 3, b"", {"Upload-Length": 3}).status == 204
        assert tus.patch(done, 3, b"", {"Upload-Length": 4}).status == 400


@ids("PATCH-24")
def test_expect_100_continue(tus):
    url = tus.create(10)
    reply = tus.patch(url, 0, b"abc", {"Expect": "100-continue"})
    assert (reply.status, reply["Upload-Offset"]) == (204, "3")


@ids("PATCH-25")
def test_headers_of_a_creation_mean_nothing_here(tus):
    url = tus.create(10, {"Upload-Metadata": "a YQ=="})
    reply = tus.patch(url, 0, b"abc", {
        "Upload-Metadata": "b !!!", "Upload-Concat": "final;x",
        "Upload-Defer-Length": "7"})
    assert reply.status == 204
    reply = tus.head(url)
    assert reply["Upload-Metadata"] == "a YQ=="
    assert "Upload-Concat" not in reply


@ids("PATCH-26")
def test_an_upload_is_finished_once(tus):
    """Its record is final: no later request writes to it."""
    url = tus.finished(b"12345")
    record = tus.path(url, ".info").read_bytes()
    when = tus.path(url, ".info").stat().st_mtime_ns
    answers = []

    def again():
        answers.append(tus.patch(url, 5).status)

    threads = [threading.Thread(target=again) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [204] * 8
    assert tus.path(url, ".info").read_bytes() == record
    assert tus.path(url, ".info").stat().st_mtime_ns == when
    assert not tus.path(url, ".lock").exists()


@ids("PATCH-26", "LOCK-06")
def test_of_two_that_send_the_last_bytes_one_finishes(serve, tmp_path):
    """And what is done once it is finished is done once."""
    hooks = tmp_path / "hooks"
    hooks.mkdir(mode=0o755)
    done = tmp_path / "done"
    (hooks / "post-finish").write_text(
        f"#!/bin/sh\necho $TUS_ID >>{done}\n")
    (hooks / "post-finish").chmod(0o755)
    tus = serve({"hooks": {"dir": str(hooks)}}, own=True)
    urls = [tus.create(4) for _ in range(20)]
    for url in urls:
        statuses = []
        barrier = threading.Barrier(3)

        def patch(offset, data):
            barrier.wait()
            statuses.append(tus.patch(url, offset, data).status)

        threads = [threading.Thread(target=patch, args=a) for a in (
            (0, b"abcd"), (0, b"abcd"), (4, b""))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sorted(statuses)[0] == 204
        assert set(statuses) <= {204, 409, 423}
        assert tus.data(url) == b"abcd"
    rig.wait_for(lambda: done.exists() and len(
        done.read_text().split()) >= len(urls), "all to be told of")
    assert tus.server.stop_app() == 0
    assert sorted(done.read_text().split()) == sorted(map(tus.id, urls))


@only("nginx")
@ids("PATCH-19")
def test_a_spooling_web_server_loses_all_and_breaks_nothing(
        transport, server):
    """nginx with its default, as an operator may have it."""
    one = server("nginx", config={}, replace={
        "fastcgi_request_buffering off;": "fastcgi_request_buffering on;"})
    tus = client.Tus(one, "nginx")
    url = tus.create(1000)
    with tus.unchanged(url):
        upload = tus.open_patch(url, 0, 1000)
        upload.send(b"x" * 500)
        upload.reset()
    assert tus.patch(url, 0, b"x" * 1000).status == 204
