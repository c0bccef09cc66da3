"""CKSUM: Upload-Checksum."""

import base64
import binascii
import hashlib
import os
import signal

import pytest

from lib import client, proc, rig
from lib.record import read_head

ids = pytest.mark.ids

# More than tusfcgi keeps in memory until it is verified.
LARGE = 1024 * 1024 + 3


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return (crc ^ 0xffffffff).to_bytes(4, "big")


DIGESTS = {
    "sha1": lambda d: hashlib.sha1(d).digest(),
    "sha256": lambda d: hashlib.sha256(d).digest(),
    "sha512": lambda d: hashlib.sha512(d).digest(),
    "md5": lambda d: hashlib.md5(d).digest(),
    "crc32": lambda d: binascii.crc32(d).to_bytes(4, "big"),
    "crc32c": crc32c,
}


def checksum(data, name="sha1"):
    digest = base64.b64encode(DIGESTS[name](data)).decode()
    return {"Upload-Checksum": f"{name} {digest}"}


@ids("CKSUM-01")
def test_the_right_checksum(tus):
    url = tus.create(10)
    assert tus.patch(url, 0, b"abc", checksum(b"abc")).status == 204
    assert tus.data(url) == b"abc"


@ids("CKSUM-02", "CKSUM-15")
@pytest.mark.parametrize("size", [1, 100, LARGE])
@pytest.mark.parametrize("length", [None, client.CHUNKED])
def test_a_wrong_checksum_changes_nothing(tus, size, length):
    if length and not tus.transport.chunked:
        pytest.skip("this web server refuses bodies of unknown length")
    url = tus.create(size + 10)
    tus.patch(url, 0, b"abc")
    data = b"x" * size
    with tus.unchanged(url):
        reply = tus.patch(url, 3, data, checksum(b"other"), length=length)
        assert (reply.status, reply.code) == (460, "ERR_CHECKSUM_MISMATCH")
    assert tus.patch(url, 3, data, checksum(data), length=length).status == 204
    assert tus.data(url) == b"abc" + data


@ids("CKSUM-15")
def test_a_wrong_last_chunk_leaves_it_unfinished(tus):
    url = tus.create(3)
    with tus.unchanged(url):
        assert tus.patch(url, 0, b"abc", checksum(b"abd")).status == 460
        assert tus.get(url).status == 404


@ids("CKSUM-03")
@pytest.mark.parametrize("size", [1, 19, 21, 32, 64])
def test_a_digest_of_another_length_is_460(tus, size):
    url = tus.create(10)
    digest = base64.b64encode(
        (hashlib.sha1(b"abc").digest() * 4)[:size]).decode()
    with tus.unchanged(url):
        assert tus.patch(url, 0, b"abc", {
            "Upload-Checksum": f"sha1 {digest}"}).status == 460


@ids("CKSUM-04")
@pytest.mark.parametrize("name", ["foo", "sha3-256", "sha-1", "crc"])
def test_an_unknown_algorithm_is_400(tus, name):
    url = tus.create(10)
    with tus.unchanged(url):
        reply = tus.patch(url, 0, b"abc", {"Upload-Checksum": f"{name} YQ=="})
        assert (reply.status, reply.code) == (400, "ERR_CHECKSUM_ALGORITHM")


@ids("CKSUM-05", "CKSUM-06")
@pytest.mark.parametrize("value", [
    "sha1", "sha1 ", "sha1  x", "sha1 !!!", "", " ", "sha1 a b",
    "sha1  Lve95gjOVATpfV8EL5X4nxwjKHE=", "sha1 Lve95gjOVATpfV8EL5X4nxwjKHE",
    "SHA1 Lve95gjOVATpfV8EL5X4nxwjKHE=", "Sha1 YQ==", "sha1\tYQ==", "YQ=="])
def test_a_malformed_header_is_400(tus, value):
    url = tus.create(10)
    with tus.unchanged(url):
        for body in (b"", b"abc"):
            reply = tus.patch(url, 0, body, {"Upload-Checksum": value})
            assert (reply.status, reply.code) == (400, "ERR_INVALID_CHECKSUM")
    with tus.nothing_created():
        assert tus.post({"Upload-Length": 10,
                         "Upload-Checksum": value}).status == 400


@ids("CKSUM-07", "CKSUM-11")
@pytest.mark.parametrize("name", list(DIGESTS))
def test_each_algorithm_on_bodies_of_every_size(tus, name):
    assert name in tus.options().tokens("Tus-Checksum-Algorithm")
    sizes = [0, 1, 55, 56, 64, 65] + ([LARGE] if name != "crc32c" else [9999])
    for size in sizes:
        data = bytes(i * 7 & 255 for i in range(size))
        url = tus.create(size + 1)
        wrong = checksum(data + b"!", name)
        assert tus.patch(url, 0, data, wrong).status == 460
        assert tus.patch(url, 0, data, checksum(data, name)).status == 204
        assert tus.data(url) == data
        tus.delete(url)


@ids("CKSUM-07")
def test_every_advertised_algorithm_is_known_here(tus):
    assert set(tus.options().tokens("Tus-Checksum-Algorithm")) == set(DIGESTS)


@ids("CKSUM-08")
def test_it_covers_the_body_of_this_request_only(tus):
    url = tus.create(10)
    tus.patch(url, 0, b"abc")
    assert tus.patch(url, 3, b"def", checksum(b"abcdef")).status == 460
    assert tus.patch(url, 3, b"def", checksum(b"def")).status == 204


@ids("CKSUM-09")
def test_no_header_no_verification(tus):
    assert tus.patch(tus.create(10), 0, b"abc").status == 204


@ids("CKSUM-10", "CKSUM-11")
@pytest.mark.parametrize("data", [b"", b"abc", b"x" * LARGE])
def test_the_first_bytes_can_have_one(tus, data):
    headers = {"Upload-Length": LARGE, "Content-Type": client.BODY}
    with tus.nothing_created():
        reply = tus.post({**headers, **checksum(b"other")}, data)
        assert reply.status == 460
        assert "Location" not in reply
    reply = tus.post({**headers, **checksum(data)}, data)
    assert (reply.status, reply["Upload-Offset"]) == (201, str(len(data)))
    assert tus.data(reply["Location"]) == data


@ids("CKSUM-11")
def test_an_empty_body_is_verified_too(tus):
    url = tus.create(10)
    with tus.unchanged(url):
        assert tus.patch(url, 0, b"", checksum(b"x")).status == 460
        assert tus.patch(url, 0, b"", checksum(b"")).status == 204
    done = tus.finished(b"abc")
    assert tus.patch(done, 3, b"", checksum(b"")).status == 204
    for length in (None, client.CHUNKED):
        if length is None or tus.transport.chunked:
            assert tus.patch(done, 3, b"", checksum(b"x"),
                             length=length).status == 460


@ids("CKSUM-12")
@pytest.mark.parametrize("sent", [100, 2000000])
def test_what_came_before_the_client_died_is_discarded(tus, streaming, sent):
    data = b"x" * 3000000
    url = tus.create(len(data) + 3)
    tus.patch(url, 0, b"abc")
    with tus.unchanged(url):
        upload = tus.open_patch(url, 3, len(data), checksum(data))
        upload.send(data[:sent])
        rig.wait_for(lambda: proc.holder(tus.path(url, ".lock")), "the lock")
        if sent > LARGE:
            rig.wait_for(lambda: tus.size(url) > LARGE, "the bytes")
        upload.reset()
        rig.wait_for(lambda: not proc.holder(tus.path(url, ".lock")),
                     "the lock to be free")
    assert tus.patch(url, 3, data, checksum(data)).status == 204


@ids("CKSUM-13")
def test_a_killed_worker_leaves_nothing_unverified(serve, streaming):
    tus = serve(own=True)
    data = b"x" * 3000000
    url = tus.create(len(data) + 3)
    tus.patch(url, 0, b"abc")
    upload = tus.open_patch(url, 3, len(data), checksum(data))
    upload.send(data[:2500000])
    rig.wait_for(lambda: tus.size(url) > LARGE, "the bytes")
    os.kill(proc.holder(tus.path(url, ".lock")), signal.SIGKILL)
    assert tus.offset(url) == 3
    upload.close()
    assert tus.patch(url, 3, data, checksum(data)).status == 204
    assert tus.data(url) == b"abc" + data


@ids("CKSUM-14", "CKSUM-16")
@pytest.mark.parametrize("size", [100, 2500000])
def test_unverified_bytes_are_seen_by_nobody(tus, streaming, size):
    data = b"x" * 3000000
    url = tus.create(len(data))
    upload = tus.open_patch(url, 0, len(data), checksum(data))
    upload.send(data[:size])
    rig.wait_for(lambda: proc.holder(tus.path(url, ".lock")), "the lock")
    assert tus.get(url).status == 404
    # Asking takes the lock over; what was not verified is gone.
    assert tus.offset(url) == 0
    reply = upload.reply()
    assert (reply.status, reply.code) == (423, "ERR_UPLOAD_INTERRUPTED")
    assert tus.size(url) == 0
    assert tus.patch(url, 0, data, checksum(data)).status == 204


@ids("CKSUM-17")
def test_a_trailer_is_refused_not_ignored(tus):
    url = tus.create(10)
    for trailer in ("Upload-Checksum", "x, upload-checksum"):
        with tus.unchanged(url):
            reply = tus.patch(url, 0, b"abc", {"Trailer": trailer})
            assert (reply.status, reply.code) == (
                400, "ERR_CHECKSUM_TRAILER_UNSUPPORTED")
    assert tus.patch(url, 0, b"abc", {
        "Trailer": "Upload-Checksum", **checksum(b"abc")}).status == 204
    assert tus.patch(url, 3, b"abc", {"Trailer": "Expires"}).status == 204


@ids("CKSUM-18")
def test_it_is_ignored_where_it_is_disabled(serve):
    tus = serve({"extensions": {"checksum": False}})
    url = tus.create(10)
    for i, value in enumerate(("sha1 YQ==", "foo", "")):
        assert tus.patch(url, i, b"x", {
            "Upload-Checksum": value}).status == 204
    assert tus.patch(url, 3, b"x", {"Trailer": "Upload-Checksum"}).status \
        == 204


@ids("CKSUM-04")
def test_an_algorithm_that_is_switched_off_is_400(serve):
    tus = serve({"checksum": {"algorithms": ["sha256"]}})
    url = tus.create(10)
    assert tus.patch(url, 0, b"abc", checksum(b"abc")).status == 400
    assert tus.patch(url, 0, b"abc", checksum(b"abc", "sha256")).status == 204


@ids("CKSUM-02")
def test_a_mismatch_leaves_the_record_as_it_was(tus):
    url = tus.create(LARGE)
    before = read_head(tus.path(url, ".info"))
    assert tus.patch(url, 0, b"x" * LARGE, checksum(b"y")).status == 460
    assert read_head(tus.path(url, ".info")) == before
