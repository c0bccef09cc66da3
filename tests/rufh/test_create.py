"""Creation: POST and PUT."""

import base64
import hashlib
import re

import pytest

from lib import client, proc, rig
from lib.rufh import PARTIAL, TYPES, limits, problem

ids = pytest.mark.ids

LENGTHS = TYPES + "inconsistent-upload-length"


def metadata(rufh, url):
    """What a tus client is told."""
    value = rufh.tus.head(url)["Upload-Metadata"]
    pairs = [m.split(" ") for m in value.split(",")] if value else []
    return {k: base64.b64decode(v) for k, v in pairs}


@ids("RUFH-20")
def test_a_creation_without_content(rufh):
    reply = rufh.post(False)
    assert (reply.status, reply["Upload-Complete"], reply["Upload-Offset"]) \
        == (201, "?0", "0")
    assert limits(reply)["min-size"] == 0
    url = reply["Location"]
    reply = rufh.head(url)
    assert (reply["Upload-Offset"], reply["Upload-Complete"]) == ("0", "?0")
    assert "Upload-Length" not in reply


@ids("RUFH-21")
@pytest.mark.parametrize("kind", [
    None, "text/plain", PARTIAL, client.BODY, "x"])
def test_the_first_bytes(rufh, kind):
    reply = rufh.post(False, b"abc", {"Content-Type": kind})
    assert (reply.status, reply["Upload-Complete"], reply["Upload-Offset"]) \
        == (201, "?0", "3")
    assert "Upload-Limit" in reply
    assert rufh.data(reply["Location"]) == b"abc"
    assert rufh.head(reply["Location"])["Upload-Offset"] == "3"


@ids("RUFH-22", "RUFH-24", "RUFH-41")
@pytest.mark.parametrize("size", [1, 3, 3000000])
def test_all_at_once(rufh, size):
    data = bytes(i & 255 for i in range(size))
    reply = rufh.post(True, data)
    assert (reply.status, reply["Upload-Complete"], reply["Upload-Offset"]) \
        == (201, "?1", str(size))
    assert "Upload-Limit" in reply
    assert "max-age" not in limits(reply)
    url = reply["Location"]
    assert rufh.data(url) == data
    reply = rufh.head(url)
    assert (reply.status, reply["Upload-Complete"], reply["Upload-Length"],
            reply["Upload-Offset"]) == (204, "?1", str(size), str(size))


@ids("RUFH-23")
def test_an_empty_file(rufh):
    for reply in (rufh.post(True), rufh.post(False, b"", {
            "Upload-Length": 0})):
        assert (reply.status, reply["Upload-Complete"],
                reply["Upload-Offset"]) == (201, "?1", "0")
        reply = rufh.head(reply["Location"])
        assert (reply["Upload-Length"], reply["Upload-Complete"]) == (
            "0", "?1")


@ids("RUFH-24")
def test_the_length_is_shown_from_the_first_moment(rufh):
    assert rufh.head(rufh.create(9))["Upload-Length"] == "9"
    assert "Upload-Length" not in rufh.head(rufh.create())


@ids("RUFH-25", "RUFH-91")
@pytest.mark.parametrize("length", [0, 2, 4, 1000000])
def test_lengths_that_disagree(rufh, length):
    with rufh.nothing_created():
        reply = rufh.post(True, b"abc", {"Upload-Length": length})
        assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)
        assert problem(reply)["code"] == "ERR_INVALID_UPLOAD_LENGTH"


@ids("RUFH-25")
@pytest.mark.parametrize("length", [2, 4])
def test_lengths_that_turn_out_to_disagree(rufh, chunked, length):
    with rufh.nothing_created():
        reply = rufh.post(True, b"abc", {"Upload-Length": length},
                          length=client.CHUNKED)
        assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)


@ids("RUFH-26")
def test_more_than_announced(rufh):
    with rufh.nothing_created():
        reply = rufh.post(False, b"abcd", {"Upload-Length": 3})
        assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)


@ids("RUFH-26")
def test_more_than_announced_in_chunks(rufh, chunked):
    with rufh.nothing_created():
        reply = rufh.post(False, b"abcd", {"Upload-Length": 3},
                          length=client.CHUNKED)
        assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)


@ids("RUFH-26")
def test_exactly_what_was_announced_is_all(rufh):
    reply = rufh.post(False, b"abc", {"Upload-Length": 3})
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")


@ids("RUFH-27")
def test_the_end_of_the_body_is_the_length(rufh, chunked):
    reply = rufh.post(True, b"abc", length=client.CHUNKED)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    assert rufh.head(reply["Location"])["Upload-Length"] == "3"
    reply = rufh.post(True, length=client.CHUNKED)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    reply = rufh.post(False, b"abc", length=client.CHUNKED)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?0")
    assert "Upload-Length" not in rufh.head(reply["Location"])


@ids("RUFH-27", "RUFH-28")
@pytest.mark.parametrize("length", [client.CHUNKED, 100])
def test_what_was_cut_off_is_never_complete(rufh, streaming, transport,
                                            length):
    if length == client.CHUNKED and not rufh.transport.chunked:
        pytest.skip("no bodies of unknown length")
    before = rufh.tus.files()
    upload = rufh.open("POST", None, {"Upload-Complete": "?1"}, length)
    upload.send(b"abc")
    upload.reset()
    rig.wait_for(lambda: rufh.tus.files() == before, "the rest to go")


@ids("RUFH-29")
def test_an_offset_at_creation_is_zero(rufh):
    assert rufh.post(False, b"", {"Upload-Offset": 0}).status == 201
    assert rufh.post(False, b"", {"Upload-Offset": "x"}).status == 201
    with rufh.nothing_created():
        assert rufh.post(False, b"", {"Upload-Offset": 3}).status == 400


@ids("RUFH-30", "RUFH-85")
def test_words_of_tus_mean_nothing(rufh):
    reply = rufh.post(False, b"abc", {
        "Upload-Defer-Length": "x", "Upload-Checksum": "x"})
    assert reply.status == 201
    with rufh.nothing_created():
        for value in ("partial", "final;/files/a"):
            reply = rufh.post(True, b"", {"Upload-Concat": value})
            assert reply.status == 400
            assert problem(reply)["code"] == "ERR_CONCATENATION_UNSUPPORTED"


@ids("RUFH-31")
@pytest.mark.parametrize("headers, wanted", [
    ({"Content-Disposition": "attachment; filename*=UTF-8''%c3%bc.txt; "
                             "filename=u.txt", "Content-Type": "text/plain"},
     {"filename": "ü.txt".encode(), "filetype": b"text/plain"}),
    ({"Content-Disposition": 'inline; filename="a\\"b"'},
     {"filename": b'a"b'}),
    ({"Content-Disposition": "nonsense; ;;= filename"}, {}),
    ({"Content-Type": PARTIAL}, {}),
    ({"Content-Type": client.BODY}, {}),
    ({"Content-Type": "application/x-www-form-urlencoded"}, {}),
    ({"Content-Type": "image/png; a=b"}, {"filetype": b"image/png; a=b"}),
    ({"Upload-Metadata": "filename eA==", "Content-Type": "text/plain"},
     {"filename": b"x"}),
    ({}, {})])
def test_what_describes_the_file_is_kept(rufh, headers, wanted):
    url = rufh.create(5, headers=headers)
    assert metadata(rufh, url) == wanted


@ids("RUFH-31")
def test_malformed_metadata_is_400(rufh):
    with rufh.nothing_created():
        reply = rufh.post(False, b"", {"Upload-Metadata": "a !"})
        assert reply.status == 400
        assert problem(reply)["code"] == "ERR_INVALID_METADATA"


@ids("RUFH-32")
def test_coded_content_is_sent_back_as_such(rufh):
    url = rufh.finished(b"coded", {"Content-Encoding": "gzip"})
    assert rufh.data(url) == b"coded"
    assert metadata(rufh, url)["encoding"] == b"gzip"
    for who in (rufh, rufh.tus):
        reply = who.get(url)
        assert (reply.status, reply["Content-Encoding"], reply.body) == (
            200, "gzip", b"coded")
    url = rufh.finished(b"x", {"Content-Encoding": "not a token"})
    assert "Content-Encoding" not in rufh.get(url)


@ids("RUFH-33")
def test_put_creates_as_post_does(rufh):
    reply = rufh.request("PUT", None, {"Upload-Complete": "?1"}, b"abc")
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    assert rufh.data(reply["Location"]) == b"abc"
    # In the words of tus it means what it meant.
    assert rufh.tus.request("PUT", None, {"Upload-Length": 3}).status == 405


@ids("RUFH-34", "RUFH-70")
def test_what_is_too_large_is_not_created(serve):
    rufh = serve({"max_size": 10})
    with rufh.nothing_created():
        for reply in (rufh.post(False, b"", {"Upload-Length": 11}),
                      rufh.post(True, b"x" * 11),
                      rufh.post(False, b"x" * 11)):
            assert reply.status == 413
            assert problem(reply)["code"] in (
                "ERR_MAX_SIZE_EXCEEDED", "ERR_UPLOAD_SIZE_EXCEEDED")
            assert limits(reply)["max-size"] == 10
    assert rufh.post(True, b"x" * 10).status == 201


@ids("RUFH-34")
def test_what_grows_too_large_is_removed(serve, chunked):
    rufh = serve({"max_size": 10})
    with rufh.nothing_created():
        for is_complete in (True, False):
            reply = rufh.post(is_complete, b"x" * 11, length=client.CHUNKED)
            assert reply.status == 413
            assert limits(reply)["max-size"] == 10


@ids("RUFH-35")
def test_the_location_is_as_configured(serve):
    for where, start in (("path", "/files/"), ("absolute", "http://"),
                         ("https://a.example", "https://a.example/files/")):
        reply = serve({"location": where}).post(False)
        assert reply["Location"].startswith(start)
        assert re.search("/[0-9a-f]{32}$", reply["Location"])


@ids("RUFH-71", "RUFH-70")
def test_one_request_brings_no_more(serve):
    rufh = serve({"rufh": {"max_append_size": 10}})
    with rufh.nothing_created():
        reply = rufh.post(True, b"x" * 11)
        assert reply.status == 413
        assert limits(reply)["max-append-size"] == 10
    url = rufh.create(30, b"x" * 10)
    with rufh.unchanged(url):
        reply = rufh.patch(url, 10, b"x" * 11)
        assert reply.status == 413
        assert limits(reply)["max-append-size"] == 10
    assert rufh.patch(url, 10, b"x" * 10).status == 204
    assert rufh.tus.patch(url, 20, b"x" * 10).status == 204
    url = rufh.tus.create(20)
    assert rufh.tus.patch(url, 0, b"x" * 20).status == 204


@ids("RUFH-71")
def test_one_chunked_request_brings_no_more(serve, chunked):
    rufh = serve({"rufh": {"max_append_size": 10}})
    with rufh.nothing_created():
        assert rufh.post(True, b"x" * 11,
                         length=client.CHUNKED).status == 413
    url = rufh.create(30, b"x" * 3)
    with rufh.unchanged(url):
        reply = rufh.patch(url, 3, b"x" * 11, length=client.CHUNKED)
        assert reply.status == 413
    assert rufh.patch(url, 3, b"x" * 10, length=client.CHUNKED).status == 204


def digest(data, name="sha-256"):
    value = hashlib.new(name.replace("-", ""), data).digest()
    return f"{name}=:{base64.b64encode(value).decode()}:"


@ids("RUFH-80", "RUFH-91")
def test_the_digest_of_the_content(rufh):
    for name in ("sha-256", "sha-512"):
        reply = rufh.post(True, b"abc", {
            "Content-Digest": digest(b"abc", name)})
        assert reply.status == 201
    with rufh.nothing_created():
        for is_complete in (True, False):
            reply = rufh.post(is_complete, b"abd", {
                "Content-Digest": digest(b"abc")})
            assert reply.status == 400
            document = problem(reply)
            assert document["type"] == TYPES + "digest-mismatched-values"
            assert document["code"] == "ERR_CHECKSUM_MISMATCH"
            assert document["mismatched_digests"] == [
                {"algorithm": "sha-256", "header": "Content-Digest"}]
    url = rufh.create(6, b"abc")
    with rufh.unchanged(url):
        reply = rufh.patch(url, 3, b"def", True, {
            "Content-Digest": digest(b"deg")})
        assert reply.status == 400
    reply = rufh.patch(url, 3, b"def", True, {
        "Content-Digest": digest(b"def")})
    assert reply.status == 201


@ids("RUFH-82")
def test_every_known_digest_has_to_match(rufh):
    both = digest(b"abc") + ", " + digest(b"abc", "sha-512")
    assert rufh.post(True, b"abc", {"Content-Digest": both}).status == 201
    half = digest(b"abc") + ", " + digest(b"abd", "sha-512")
    with rufh.nothing_created():
        for field in (half, digest(b"abd") + ", " + digest(b"abc", "sha-512")):
            reply = rufh.post(True, b"abc", {"Content-Digest": field})
            assert reply.status == 400
            assert len(problem(reply)["mismatched_digests"]) == 1
        for field in ("sha-256=x", "sha-256=:AA==:,", "sha-256"):
            reply = rufh.post(True, b"abc", {"Content-Digest": field})
            assert (reply.status, problem(reply)["code"]) == (
                400, "ERR_INVALID_DIGEST")
        reply = rufh.post(True, b"abc", {"Content-Digest": "sha-256=:AA==:"})
        assert reply.status == 400
        assert problem(reply)["type"] == TYPES + "digest-invalid-values"
        assert problem(reply)["invalid_digests"][0]["algorithm"] == "sha-256"
        reply = rufh.post(True, b"", {"Content-Digest": digest(b"abc")})
        assert reply.status == 400
    for field in ("md5=:AA==:", "unixsum=5", digest(b"abd") + ", " +
                  digest(b"abc")):
        assert rufh.post(True, b"abc",
                         {"Content-Digest": field}).status == 201
    assert rufh.post(True, b"", {"Content-Digest": digest(b"")}).status == 201


@ids("RUFH-81")
def test_unverified_bytes_are_discarded(rufh, streaming):
    url = rufh.create(200, b"abc")
    upload = rufh.open_patch(url, 3, 100, False, {
        "Content-Digest": digest(b"x" * 100)})
    upload.send(b"x" * 10)
    rig.wait_for(lambda: proc.holder(rufh.path(url, ".lock")), "the lock")
    assert rufh.head(url)["Upload-Offset"] == "3"
    assert upload.reply().status == 423
    assert rufh.data(url) == b"abc"


@ids("RUFH-85")
def test_digests_are_off_where_checksums_are(serve):
    rufh = serve({"extensions": {"checksum": False}})
    assert rufh.post(True, b"abc", {
        "Content-Digest": digest(b"x")}).status == 201


@ids("RUFH-85")
def test_tus_knows_no_content_digest(tus):
    reply = tus.post({"Upload-Length": 3, "Content-Type": client.BODY,
                      "Content-Digest": digest(b"x")}, b"abc")
    assert reply.status == 201


@ids("RUFH-83")
def test_the_digest_of_all_of_it(rufh):
    reply = rufh.post(True, b"abc", {"Repr-Digest": digest(b"abc")})
    assert reply.status == 201
    with rufh.nothing_created():
        reply = rufh.post(True, b"abc", {"Repr-Digest": digest(b"abd")})
        assert reply.status == 400
        assert problem(reply)["mismatched_digests"] == [
            {"algorithm": "sha-256", "header": "Repr-Digest"}]
    url = rufh.create(6, b"abc", {"Repr-Digest": digest(b"abcdef")})
    assert rufh.patch(url, 3, b"def", True).status == 201
    url = rufh.create(6, b"abc", {"Repr-Digest": digest(b"abcdeg")})
    reply = rufh.patch(url, 3, b"def", True)
    assert (reply.status, reply["Upload-Complete"]) == (400, "?0")
    assert rufh.head(url, {"Upload-Draft-Interop-Version": 6}).status == 404
    assert not rufh.path(url).exists()


@ids("RUFH-84")
@pytest.mark.parametrize("field", ["Repr-Digest", "Content-Digest"])
def test_a_digest_is_told_where_it_is_wanted(rufh, field):
    for want, name in (("sha-256=1, sha-512=3", "sha-512"),
                       ("md5=9, sha-256=1", "sha-256")):
        reply = rufh.post(True, b"abc", {"Want-" + field: want})
        assert reply.status == 201
        if field == "Repr-Digest":
            assert reply["Repr-Digest"] == digest(b"abc", name)
    assert "Repr-Digest" not in rufh.post(True, b"abc", {
        "Want-" + field: "md5=9"})
