"""CWU: the first bytes together with the creation."""

import pytest

from lib import client, rig

ids = pytest.mark.ids


def create(tus, size, body, headers=None, **options):
    return tus.post({"Upload-Length": size, "Content-Type": client.BODY,
                     **(headers or {})}, body, **options)


@ids("CWU-01")
def test_the_first_bytes(tus):
    reply = create(tus, 10, b"abc")
    assert (reply.status, reply["Upload-Offset"]) == (201, "3")
    url = reply["Location"]
    assert tus.offset(url) == 3
    assert tus.patch(url, 3, b"defghij").status == 204
    assert tus.get(url).body == b"abcdefghij"


@ids("CWU-02")
def test_all_bytes(tus):
    reply = create(tus, 3, b"abc")
    assert (reply.status, reply["Upload-Offset"]) == (201, "3")
    assert tus.get(reply["Location"]).body == b"abc"


@ids("CWU-03")
def test_no_bytes(tus):
    reply = create(tus, 3, b"")
    assert (reply.status, reply["Upload-Offset"]) == (201, "0")


@ids("CWU-04")
@pytest.mark.parametrize("kind", [None, "text/plain", "application/json"])
def test_a_body_of_another_type_is_415(tus, kind):
    with tus.nothing_created():
        reply = create(tus, 10, b"abc", {"Content-Type": kind})
        assert (reply.status, reply.code) == (415, "ERR_INVALID_CONTENT_TYPE")
        if tus.transport.chunked:
            assert create(tus, 10, b"abc", {"Content-Type": kind},
                          length=client.CHUNKED).status == 415


@ids("CWU-05", "CWU-06")
@pytest.mark.parametrize("length", [0, 3])
@pytest.mark.parametrize("size", [4, 3000000])
def test_more_than_the_length_is_413(tus, length, size):
    with tus.nothing_created():
        assert create(tus, length, b"x" * size).status == 413
        if tus.transport.chunked:
            assert create(tus, length, b"x" * size,
                          length=client.CHUNKED).status == 413


@ids("CWU-05")
def test_more_than_the_maximum_is_413(serve, chunked):
    tus = serve({"max_size": 1000})
    with tus.nothing_created():
        reply = tus.post({"Upload-Defer-Length": "1",
                          "Content-Type": client.BODY}, b"x" * 1001,
                         length=client.CHUNKED)
        assert reply.status == 413


@ids("CWU-07")
def test_chunks(tus, chunked):
    reply = create(tus, 10, b"abc", length=client.CHUNKED)
    assert (reply.status, reply["Upload-Offset"]) == (201, "3")
    reply = create(tus, 3, b"abc", length=client.CHUNKED)
    assert (reply.status, reply["Upload-Offset"]) == (201, "3")
    assert tus.get(reply["Location"]).body == b"abc"


@ids("CWU-08")
def test_the_expiry_is_told_while_it_is_unfinished(serve):
    tus = serve({"expiration": {"after": "1h"}})
    assert "Upload-Expires" in create(tus, 10, b"abc")
    assert "Upload-Expires" not in create(tus, 3, b"abc")


@ids("CWU-09")
def test_a_client_that_vanishes_leaves_nothing_behind(tus, streaming):
    before = set(tus.files())
    upload = tus.open("POST", None, {
        "Upload-Length": 100, "Content-Type": client.BODY}, 100)
    upload.send(b"0123456789")

    def made():
        return [f for f in set(tus.files()) - before if "." not in f]

    rig.wait_for(made, "the upload to be created")
    upload.reset()
    # The client has never heard of it: nothing is kept.
    rig.wait_for(lambda: set(tus.files()) == before, "the upload to be gone")


@ids("CWU-10")
def test_a_partial_upload_with_first_bytes(tus):
    reply = create(tus, 3, b"abc", {"Upload-Concat": "partial"})
    assert (reply.status, reply["Upload-Offset"]) == (201, "3")
    final = tus.create(headers={
        "Upload-Concat": f"final;{reply['Location']}"})
    assert tus.get(final).body == b"abc"


@ids("CWU-11", "CONCAT-10")
def test_a_final_upload_with_a_body_is_403(tus):
    part = tus.partial(b"abc")
    headers = {"Upload-Concat": f"final;{part}", "Upload-Length": None}
    with tus.nothing_created():
        reply = create(tus, None, b"x", headers)
        assert (reply.status, reply.code) == (403, "ERR_MODIFY_FINAL")
        if tus.transport.chunked:
            assert create(tus, None, b"x", headers,
                          length=client.CHUNKED).status == 403
        headers["Content-Type"] = "text/plain"
        assert create(tus, None, b"x", headers).status == 415
        if tus.transport.chunked:
            assert create(tus, None, b"x", headers,
                          length=client.CHUNKED).status == 415
