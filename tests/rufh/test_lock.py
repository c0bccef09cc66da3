"""One writer per upload, whichever words it uses."""

import threading
import time

import pytest

from lib import proc

ids = pytest.mark.ids


def hanging(who, url, offset, data, length):
    upload = who.open_patch(url, offset, length)
    upload.send(data)
    getattr(who, "tus", who).wait_offset(url, offset + len(data))
    return upload


@ids("RUFH-93", "RUFH-42")
def test_either_protocol_takes_over_from_either(rufh, tus, streaming):
    for holder in (rufh, tus):
        for other in (rufh, tus):
            url = other.create(200)
            upload = hanging(holder, url, 0, b"0123456789", 200)
            start = time.monotonic()
            reply = other.head(url)
            assert reply["Upload-Offset"] == "10"
            assert time.monotonic() - start < 2
            reply = upload.reply()
            assert reply.status == 423
            reply = other.patch(url, 10, b"x" * 190)
            assert reply.status in (204, 201)
            assert rufh.data(url) == b"0123456789" + b"x" * 190


@ids("RUFH-93", "RUFH-86")
def test_a_cancellation_ends_an_append(rufh, streaming):
    url = rufh.create(200)
    upload = hanging(rufh, url, 0, b"0123456789", 200)
    assert rufh.delete(url).status == 204
    try:
        assert upload.reply().status in (404, 423)
    except (EOFError, ConnectionResetError):
        pass
    time.sleep(0.3)
    assert not rufh.path(url).exists()


@ids("RUFH-92")
def test_a_stopped_holder_is_423(rufh, streaming, freeze):
    url = rufh.create(200)
    upload = hanging(rufh, url, 0, b"0123456789", 200)
    freeze(proc.holder(rufh.path(url, ".lock")))
    for ask in (lambda: rufh.head(url), lambda: rufh.patch(url, 10, b"x"),
                lambda: rufh.delete(url)):
        reply = ask()
        assert reply.status == 423
        assert "Upload-Offset" not in reply
    upload.reset()


@ids("RUFH-93")
def test_there_are_never_two_winners(rufh, tus):
    data = bytes(range(256)) * 8
    url = rufh.create(len(data))
    wins = []

    def push(who, code):
        for _ in range(200):
            offset = int(rufh.head(url)["Upload-Offset"] or -1)
            if offset == len(data):
                return
            if offset < 0:
                continue
            reply = who.patch(url, offset, data[offset:offset + 64])
            assert reply.status in (204, 201, 409, 423, 400), reply
            if reply.status in (204, 201):
                wins.append(offset)

    threads = [threading.Thread(target=push, args=(who, 0))
               for who in (rufh, tus, rufh, tus)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(wins) == sorted(set(wins))
    assert rufh.data(url) == data
    assert rufh.head(url)["Upload-Complete"] == "?1"
