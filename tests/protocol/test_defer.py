"""DEFER: creation-defer-length."""

import base64
import hashlib

import pytest

from lib import client

ids = pytest.mark.ids


def defer(tus, headers=None, body=None):
    return tus.create(headers={"Upload-Defer-Length": "1",
                               **(headers or {})}, body=body)


def declare(tus, url, offset, body, size, headers=None, **options):
    return tus.patch(url, offset, body, {
        "Upload-Length": size, **(headers or {})}, **options)


def check_undeclared(tus, url, offset):
    reply = tus.head(url)
    assert reply["Upload-Offset"] == str(offset)
    assert reply["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in reply


@ids("DEFER-01")
def test_an_upload_of_unknown_length(tus):
    check_undeclared(tus, defer(tus), 0)


@ids("DEFER-02")
@pytest.mark.parametrize("value", ["0", "2", "true", "", "1, 1", "01", "-1"])
def test_any_other_value_is_400(tus, value):
    with tus.nothing_created():
        assert tus.post({"Upload-Defer-Length": value}).status == 400


@ids("DEFER-03")
def test_both_lengths_are_400(tus):
    with tus.nothing_created():
        reply = tus.post({"Upload-Defer-Length": "1", "Upload-Length": 5})
        assert (reply.status, reply.code) == (
            400, "ERR_AMBIGUOUS_UPLOAD_LENGTH")


@ids("DEFER-04", "DEFER-05", "DEFER-06")
def test_data_first_the_length_later(tus):
    url = defer(tus)
    for i in range(3):
        assert tus.patch(url, 2 * i, b"ab").status == 204
        check_undeclared(tus, url, 2 * i + 2)
    assert declare(tus, url, 6, b"cd", 10).status == 204
    reply = tus.head(url)
    assert (reply["Upload-Length"], reply["Upload-Offset"]) == ("10", "8")
    assert "Upload-Defer-Length" not in reply
    assert tus.get(url).status == 404
    assert tus.patch(url, 8, b"ef").status == 204
    assert tus.get(url).body == b"abababcdef"


@ids("DEFER-06")
@pytest.mark.parametrize("length", [None, client.CHUNKED])
def test_a_declaration_that_the_body_fills_completes(tus, length):
    if length and not tus.transport.chunked:
        pytest.skip("this web server refuses bodies of unknown length")
    url = defer(tus)
    tus.patch(url, 0, b"ab")
    assert declare(tus, url, 2, b"cde", 5, length=length).status == 204
    assert tus.get(url).body == b"abcde"


@ids("DEFER-07")
def test_an_empty_patch_can_declare_and_complete(tus):
    url = defer(tus)
    tus.patch(url, 0, b"abc")
    reply = declare(tus, url, 3, b"", 3)
    assert (reply.status, reply["Upload-Offset"]) == (204, "3")
    assert tus.get(url).body == b"abc"
    empty = defer(tus)
    assert declare(tus, empty, 0, b"", 0).status == 204
    assert tus.get(empty).body == b""


@ids("DEFER-08")
def test_a_declared_length_stays(tus):
    url = defer(tus)
    assert declare(tus, url, 0, b"abc", 10).status == 204
    with tus.unchanged(url):
        for other in (9, 11, 3, 0):
            assert declare(tus, url, 3, b"", other).status == 400
    assert declare(tus, url, 3, b"d", 10).status == 204


@ids("DEFER-09")
def test_a_declaration_that_cannot_be(serve):
    tus = serve({"max_size": "1M"})
    url = defer(tus)
    tus.patch(url, 0, b"12345")
    rows = [
        (4, b"", 400),
        (4, b"x", 400),
        (2 ** 20 + 1, b"x", 413),
        (6, b"xy", 413),
        ("x", b"", 400),
    ]
    with tus.unchanged(url):
        for length, body, status in rows:
            assert declare(tus, url, 5, body, length).status == status
            check_undeclared(tus, url, 5)
        if tus.transport.chunked:
            assert declare(tus, url, 5, b"xy", 6,
                           length=client.CHUNKED).status == 413
            check_undeclared(tus, url, 5)
    assert declare(tus, url, 5, b"x", 6).status == 204


@ids("DEFER-10")
def test_the_maximum_holds_for_what_is_undeclared(serve):
    tus = serve({"max_size": 1000})
    url = defer(tus)
    tus.patch(url, 0, b"x" * 900)
    with tus.unchanged(url):
        reply = tus.patch(url, 900, b"x" * 101)
        assert (reply.status, reply.code) == (413, "ERR_MAX_SIZE_EXCEEDED")
        if tus.transport.chunked:
            reply = tus.patch(url, 900, b"x" * 101, length=client.CHUNKED)
            assert reply.status == 413
    assert tus.patch(url, 900, b"x" * 100).status == 204
    check_undeclared(tus, url, 1000)
    assert declare(tus, url, 1000, b"", 1000).status == 204


@ids("DEFER-11")
def test_a_partial_upload_may_be_deferred(tus):
    url = defer(tus, {"Upload-Concat": "partial"})
    final = {"Upload-Concat": f"final;{url}"}
    tus.patch(url, 0, b"ab")
    assert tus.post(final).status == 400
    assert declare(tus, url, 2, b"c", 3).status == 204
    assert tus.get(tus.create(headers=final)).body == b"abc"


@ids("DEFER-12")
def test_deferred_with_first_bytes(tus):
    reply = tus.post({"Upload-Defer-Length": "1",
                      "Content-Type": client.BODY}, b"abc")
    assert (reply.status, reply["Upload-Offset"]) == (201, "3")
    check_undeclared(tus, reply["Location"], 3)


@ids("DEFER-13")
def test_a_wrong_checksum_declares_nothing(tus):
    url = defer(tus)
    tus.patch(url, 0, b"12")
    right = base64.b64encode(hashlib.sha1(b"345").digest()).decode()
    with tus.unchanged(url):
        for body in (b"xyz", b"3456"):
            reply = declare(tus, url, 2, body, 6, {
                "Upload-Checksum": f"sha1 {right}"})
            assert reply.status == 460
            check_undeclared(tus, url, 2)
    assert declare(tus, url, 2, b"345", 5, {
        "Upload-Checksum": f"sha1 {right}"}).status == 204
    assert tus.get(url).body == b"12345"


@ids("DEFER-04")
def test_a_declaring_client_that_dies(tus, streaming):
    """The length was said before the body: it may stay, the bytes do."""
    url = defer(tus)
    upload = tus.open_patch(url, 0, 100, {"Upload-Length": 200})
    upload.send(b"0123456789")
    tus.wait_offset(url, 10)
    upload.reset()
    reply = tus.head(url)
    assert reply["Upload-Offset"] == "10"
    assert reply["Upload-Length"] in (None, "200")
    assert declare(tus, url, 10, b"x" * 190, 200).status == 204
