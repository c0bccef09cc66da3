"""Which protocol is it?  And both on one upload."""

import re

import pytest

from lib import client
from lib.rufh import PARTIAL, limits

ids = pytest.mark.ids

UNKNOWN = "/files/" + "0" * 32
MARKERS = [{"Upload-Complete": "?0"}, {"Upload-Draft-Interop-Version": "6"},
           {"Content-Type": PARTIAL}]


@ids("RUFH-01")
def test_off_is_as_without_it(serve):
    rufh = serve({"rufh": {"enable": False}})
    tus = rufh.tus
    tus.headers = {}
    with tus.nothing_created():
        for headers in MARKERS:
            assert tus.post(headers).status == 412
            assert tus.head(UNKNOWN, headers).status == 412
            assert tus.delete(UNKNOWN, headers).status == 412
            assert tus.patch(UNKNOWN, 0, b"", headers).status == 412
    reply = tus.options()
    assert "Upload-Limit" not in reply
    assert reply["Accept-Patch"] == client.BODY
    assert "PUT" not in reply.tokens("Allow")


@ids("RUFH-02", "RUFH-03")
def test_tus_resumable_wins_over_every_marker(tus):
    for headers in MARKERS:
        reply = tus.post({"Upload-Length": 5, "Upload-Complete": "?1",
                          "Content-Type": client.BODY,
                          **({} if "Content-Type" in headers else headers)},
                         b"abc")
        assert (reply.status, reply["Upload-Offset"]) == (201, "3")
        assert "Upload-Complete" not in reply and "Upload-Limit" not in reply
        reply = tus.head(reply["Location"], headers)
        assert reply.status == 200 and "Upload-Complete" not in reply
    reply = tus.post({"Upload-Complete": "?1", "Tus-Resumable": "2.0.0"})
    assert reply.status == 412


def conversation(tus):
    """What a client of tus may say, right and wrong, in an order that leaves
    something to be said: (method, target, headers, body)."""
    data = {"Content-Type": client.BODY}
    part = {"Upload-Concat": "partial", "Upload-Length": 3, **data}
    url = tus.create(10, {"Upload-Metadata": "filename YQ=="})
    whole, other = tus.finished(b"abc"), tus.create(10)
    unknown = "/files/" + "0" * 32
    yield "OPTIONS", None, {}, None
    yield "OPTIONS", url, MARKERS[0], None
    yield "GET", None, {}, None
    yield "PUT", None, {}, b""
    yield "PUT", url, {}, b""
    yield "FOO", url, {}, None
    for target in (url, whole, unknown):
        for version in ("1.0.0", "0.2.2", ""):
            yield "HEAD", target, {"Tus-Resumable": version}, None
            yield "GET", target, {"Tus-Resumable": version}, None
    # Without a version, on what tus has made.
    for method in ("HEAD", "GET", "DELETE", "PATCH", "POST", "PUT"):
        yield method, other, {"Tus-Resumable": None}, None
        yield method, None, {"Tus-Resumable": None}, None
    yield "GET", unknown, {"Tus-Resumable": None}, None
    yield "PATCH", unknown, {"Tus-Resumable": None, **data}, b""
    for extra in MARKERS:
        yield "HEAD", url, extra, None
        yield "POST", None, {"Upload-Length": 5, **extra}, b"abc"
        yield "POST", None, {"Upload-Length": 5, **data, **extra}, b""
        yield "PATCH", url, {"Upload-Offset": 0, **extra}, b"abc"
    yield "POST", None, {"Upload-Length": 10 ** 15}, b""
    yield "POST", None, {}, b""
    yield "POST", None, part, b"abc"
    yield "POST", None, {"Upload-Concat": f"final;{url}"}, b""
    yield "PATCH", url, {"Upload-Offset": 1, **data}, b"abc"
    yield "PATCH", url, {"Upload-Offset": 0, **data}, b"a" * 11
    yield "PATCH", url, {"Upload-Offset": 0, **data,
                         "Upload-Checksum": "sha1 AAAA"}, b"abc"
    yield "PATCH", url, {"Upload-Offset": 0, **data}, b"abc"
    yield "PATCH", url, {"Upload-Offset": 3, **data}, b"defghij"
    yield "DELETE", url, {}, None
    yield "HEAD", url, {}, None


def said(reply):
    """An answer, but for what no two servers have in common."""
    return (reply.status, reply.reason, sorted(
        (name, re.sub("[0-9a-f]{32}", "ID", value))
        for name, value in reply.headers
        if name not in ("Date", "ETag", "Last-Modified", "Upload-Expires")),
        reply.body)


@ids("RUFH-01", "RUFH-02", "RUFH-03")
@pytest.mark.only("fastcgi", "nginx")
@pytest.mark.parametrize("more", [
    {}, {"cors": {"origins": ["https://good.example"]}},
    {"extensions": {"termination": False, "download": False}}])
def test_tus_is_answered_as_without_it(serve, more):
    """Whether or not the other protocol is spoken beside it."""
    more = {"max_size": "1T", "store": {"overcommit": "always"}, **more}
    without = serve({"rufh": {"enable": False}, **more}).tus
    beside = serve(more).tus
    for origin in (None, "https://good.example", "https://other.example"):
        talks = [[(line, tus.request(*line[:2], {"Origin": origin, **line[2]},
                                     line[3])) for line in conversation(tus)]
                 for tus in (without, beside)]
        for (line, reply), (_, other) in zip(*talks, strict=True):
            assert said(other) == said(reply), line


@ids("RUFH-02")
def test_without_a_marker_its_maker_decides(rufh, tus):
    ours = rufh.create(5)
    reply = rufh.head(ours)
    assert (reply.status, reply["Upload-Complete"]) == (204, "?0")
    theirs = tus.create(5)
    tus.headers = {}
    assert tus.head(theirs).status == 412
    assert tus.delete(theirs).status == 412
    assert tus.get(UNKNOWN).status == 404
    assert tus.head(UNKNOWN).status == 404
    assert tus.delete(UNKNOWN).status == 404
    assert rufh.delete(ours).status == 204


@ids("RUFH-02")
def test_without_anything_it_is_tus(tus):
    url = tus.create(5)
    tus.headers = {}
    with tus.nothing_created():
        assert tus.post({"Upload-Length": 5}).status == 412
        assert tus.patch(url, 0, b"abc").status == 412


@ids("RUFH-02", "RUFH-08")
def test_a_malformed_marker_is_none(rufh, tus):
    tus.headers = {}
    with tus.nothing_created():
        for value in ("true", "1", "?2", "?1;", "?1, ?1", ""):
            assert tus.post({"Upload-Complete": value}).status == 412
        for headers in MARKERS[1:]:
            for value in ("true", "?2", None):
                reply = rufh.post(value, b"", headers)
                assert reply.status == 400
                assert reply["Upload-Complete"] == "?0"


@ids("RUFH-04")
def test_each_request_sees_its_own_protocol(rufh, tus):
    url = rufh.create(10, headers={
        "Content-Disposition": 'attachment; filename="a"'})
    reply = tus.head(url)
    assert (reply.status, reply["Upload-Offset"], reply["Upload-Length"],
            reply["Upload-Metadata"]) == (200, "0", "10", "filename YQ==")
    assert tus.head(rufh.create())["Upload-Defer-Length"] == "1"
    url = tus.create(10)
    reply = rufh.head(url, {"Upload-Draft-Interop-Version": 8})
    assert (reply.status, reply["Upload-Offset"], reply["Upload-Length"],
            reply["Upload-Complete"]) == (204, "0", "10", "?0")


@ids("RUFH-04", "RUFH-93")
def test_appends_alternate_between_the_protocols(rufh, tus):
    data = bytes(range(100))
    for url in (tus.create(100), rufh.create(100)):
        for offset in range(0, 100, 20):
            reply = tus.patch(url, offset, data[offset:offset + 10])
            assert (reply.status, reply["Upload-Offset"]) == (
                204, str(offset + 10))
            reply = rufh.patch(url, offset + 10, data[offset + 10:offset + 20])
            assert reply["Upload-Offset"] == str(offset + 20)
        assert reply.status == 201
        assert rufh.data(url) == data


@ids("RUFH-04")
def test_begun_in_one_and_finished_in_the_other(rufh, tus):
    url = rufh.create()
    assert tus.patch(url, 0, b"123", {"Upload-Length": 5}).status == 204
    assert tus.patch(url, 3, b"45").status == 204
    reply = rufh.head(url)
    assert (reply.status, reply["Upload-Complete"]) == (204, "?1")
    url = tus.create(headers={"Upload-Defer-Length": "1"})
    assert rufh.patch(url, 0, b"12345", True).status == 201
    assert tus.head(url)["Upload-Length"] == "5"
    assert rufh.data(url) == b"12345"


@ids("RUFH-05")
@pytest.mark.parametrize("n", range(4, 11))
def test_a_known_version_is_in_every_answer(rufh, n):
    rufh.headers = {"Upload-Draft-Interop-Version": n}
    url = rufh.create(5)
    replies = [rufh.head(url), rufh.patch(url, 0, b"ab"),
               rufh.patch(url, 0, b"ab"), rufh.get(url), rufh.delete(url),
               rufh.head(url), rufh.post("?x"), rufh.post(True, b"abc")]
    for reply in replies:
        assert reply["Upload-Draft-Interop-Version"] == str(n), reply


@ids("RUFH-05")
@pytest.mark.parametrize("n", ["2", "11", "0", "x", "6.0", "-6", "6, 6"])
def test_another_version_is_as_none(rufh, n):
    rufh.headers = {"Upload-Draft-Interop-Version": n}
    url = rufh.create(5)
    for reply in (rufh.patch(url, 0, b"ab"), rufh.head(url)):
        assert reply.status == 204
        assert "Upload-Draft-Interop-Version" not in reply
    assert rufh.patch(url, 2, b"cde", None).status == 400


@ids("RUFH-06")
def test_the_method_may_be_overridden(rufh):
    url = rufh.create(5)
    reply = rufh.request("POST", url, rufh.patch_headers(
        0, False, {"X-HTTP-Method-Override": " patch "}), b"abc")
    assert (reply.status, reply["Upload-Offset"]) == (204, "3")
    reply = rufh.request("POST", url, {
        "X-HTTP-Method-Override": "DELETE",
        "upload-draft-interop-version": " 6 "})
    assert reply.status == 204
    assert rufh.head(url, MARKERS[1]).status == 404


@ids("RUFH-07", "RUFH-73")
def test_options_tells_the_limits(serve):
    rufh = serve({"max_size": 1000, "expiration": {"after": "1h"}})
    for url in (None, UNKNOWN):
        for headers in [{}] + MARKERS:
            reply = rufh.tus.request("OPTIONS", url, {
                "Tus-Resumable": None, **headers})
            assert reply.status == 200
            assert reply["Tus-Version"] == "1.0.0"
            assert reply["Upload-Limit"] == "min-size=0, max-size=1000"
            assert reply["Accept-Patch"] == f"{client.BODY}, {PARTIAL}"
            assert "Upload-Complete" not in reply
    reply = rufh.post(False)
    assert limits(reply)["max-size"] == 1000


@ids("RUFH-08")
def test_methods_have_their_places(rufh):
    url = rufh.create(5)
    mark = {"Upload-Complete": "?0"}
    with rufh.nothing_created():
        for method in ("POST", "PUT"):
            reply = rufh.request(method, url, mark)
            assert reply.status == 405
            assert "PATCH" in reply.tokens("Allow")
        for method in ("PATCH", "HEAD", "GET", "DELETE"):
            reply = rufh.request(method, None, mark)
            assert reply.status == 405
            assert {"POST", "PUT"} <= set(reply.tokens("Allow"))


@ids("RUFH-43")
@pytest.mark.parametrize("field", [
    {"Upload-Offset": 0}, {"Upload-Complete": "?0"}, {"Upload-Length": 5}])
def test_what_asks_only_brings_nothing(rufh, field):
    url = rufh.create(5)
    with rufh.unchanged(url):
        for method in ("HEAD", "GET", "DELETE"):
            assert rufh.request(method, url, field).status == 400
        # One that does not parse is not there.
        assert rufh.head(url, {name: "x" for name in field}).status == 204
