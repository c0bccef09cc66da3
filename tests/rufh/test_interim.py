"""104 Upload Resumption Supported, and what it makes of a creation."""

import time

import pytest

from lib import client, rig
from lib.rufh import limits

ids = pytest.mark.ids
only = pytest.mark.only

N = "Upload-Draft-Interop-Version"
DATA = bytes(range(256)) * 1000
LIGHTTPD = {"SERVER_SOFTWARE": "lighttpd/1.4.69"}


def begin(rufh, length=None, headers=None, **options):
    """As URLSession begins an upload; then the 104 is here."""
    upload = rufh.open("POST", None, {
        N: 6, "Upload-Complete": "?1", **(headers or {})},
        len(DATA) if length is None else length, **options)
    reply = upload.read_head()
    while reply.status == 100:
        reply = upload.read_head()
    assert reply.status == 104, reply
    return upload, reply


@ids("RUFH-95", "RUFH-35")
@only("lighttpd")
def test_the_client_is_told_before_it_sends(rufh):
    upload, early = begin(rufh)
    assert sorted(name.lower() for name, _ in early.headers) == [
        "location", "upload-draft-interop-version", "upload-limit"]
    assert early[N] == "6"
    assert limits(early)["min-size"] == 0
    upload.send(DATA)
    reply = upload.reply()
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    assert reply["Location"] == early["Location"]
    assert rufh.data(reply["Location"]) == DATA


@ids("RUFH-28", "RUFH-52", "RUFH-64")
@only("lighttpd")
def test_an_upload_of_url_session_that_is_cut_off_goes_on(rufh):
    upload, early = begin(rufh)
    upload.send(DATA[:100000])
    url = client.target_of(early["Location"])
    rufh.tus.wait_offset(url, 100000)
    upload.reset()
    offset, tries = 100000, 0
    while offset < len(DATA):
        reply = rufh.head(url, {N: 6})
        assert (reply.status, reply["Upload-Complete"],
                reply["Upload-Length"]) == (204, "?0", str(len(DATA)))
        offset = int(reply["Upload-Offset"])
        end = min(offset + 60000, len(DATA))
        # It says nothing of Upload-Complete, and means all; each but the
        # last is cut off as well.
        upload = rufh.open("PATCH", url, {
            N: 6, "Content-Type": "application/partial-upload",
            "Upload-Offset": offset}, len(DATA) - offset)
        upload.send(DATA[offset:end])
        if end == len(DATA):
            reply = upload.reply()
            assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
        else:
            rufh.tus.wait_offset(url, end)
            upload.reset()
        offset, tries = end, tries + 1
    assert tries > 2
    assert rufh.data(url) == DATA


@ids("RUFH-94")
@only("lighttpd")
def test_a_creation_is_taken_over(rufh):
    for other in (rufh, rufh.tus):
        upload, early = begin(rufh)
        upload.send(DATA[:100000])
        url = client.target_of(early["Location"])
        rufh.tus.wait_offset(url, 100000)
        start = time.monotonic()
        reply = other.head(url)
        assert reply["Upload-Offset"] == "100000"
        assert time.monotonic() - start < 2
        reply = upload.reply()
        assert (reply.status, reply["Upload-Complete"]) == (423, "?0")
        reply = other.patch(url, 100000, DATA[100000:])
        assert reply.status in (201, 204)
        assert rufh.data(url) == DATA


@ids("RUFH-94", "RUFH-86")
@only("lighttpd")
def test_a_creation_is_cancelled(rufh):
    upload, early = begin(rufh)
    upload.send(DATA[:100000])
    url = client.target_of(early["Location"])
    rufh.tus.wait_offset(url, 100000)
    assert rufh.delete(url, {N: 6}).status == 204
    assert upload.reply().status in (404, 423)
    assert rufh.head(url, {N: 6}).status == 404
    assert not rufh.path(url).exists()


@ids("RUFH-95")
@only("fastcgi")
@pytest.mark.parametrize("n", range(3, 11))
def test_every_version_is_told_its_own(rufh, n):
    rufh.params = LIGHTTPD
    exchange = rufh.open("POST", None, {
        N: n, "Upload-Complete": "?1", "Upload-Incomplete": "?0"}, 3,
        is_ours=False)
    exchange.send(b"abc")
    reply = exchange.reply()
    (early,) = exchange.interim
    assert (reply.status, early[N]) == (201, str(n))
    assert [name for name, _ in early.headers if name != "Status"] == [
        "location", "upload-limit", "upload-draft-interop-version"]
    assert early["Location"] == reply["Location"]


@ids("RUFH-97")
@only("fastcgi")
def test_nobody_else_is_told(rufh):
    rufh.params = LIGHTTPD
    url = rufh.create(100)

    def interim(method, target, headers, body=b"", params=None):
        exchange = rufh.open(method, target, headers, len(body), params,
                             is_ours=False)
        exchange.send(body)
        exchange.reply()
        return exchange.interim

    good = {N: 6, "Upload-Complete": "?1"}
    assert len(interim("POST", None, good, b"abc")) == 1
    for n in (None, 2, 11, "x"):
        assert not interim("POST", None, {**good, N: n}, b"abc")
    assert not interim("POST", None, good)
    assert not interim("POST", None, {**good, "Upload-Length": 4}, b"abc")
    assert not interim("POST", None, {
        **good, "Tus-Resumable": "1.0.0", "Upload-Length": 3,
        "Content-Type": client.BODY}, b"abc")
    assert not interim("PATCH", url, {
        **good, "Upload-Offset": 0, "Upload-Complete": "?0",
        "Content-Type": "application/partial-upload"}, b"abc")
    for method in ("HEAD", "GET", "OPTIONS", "DELETE"):
        assert not interim(method, url, {N: 6})
    for params in ({"SERVER_PROTOCOL": "HTTP/1.0"},
                   {"SERVER_SOFTWARE": "nginx/1.29.0"},
                   {"SERVER_SOFTWARE": "Apache/2.4.62 (Debian)"},
                   {"SERVER_SOFTWARE": None}):
        assert not interim("POST", None, good, b"abc", params)


@ids("RUFH-95")
@only("fastcgi")
def test_the_administrator_has_the_last_word(serve):
    for interim, software, count in (
            ("off", "lighttpd/1.4.69", 0), ("on", "nginx/1.22.1", 1),
            ("auto", "lighttpd/1.4.69", 1), ("auto", "nginx/1.22.1", 0)):
        rufh = serve({"rufh": {"interim": interim}})
        rufh.params = {"SERVER_SOFTWARE": software}
        exchange = rufh.open("POST", None, {N: 6, "Upload-Complete": "?1"}, 3)
        exchange.send(b"abc")
        assert exchange.reply().status == 201
        assert len(exchange.interim) == count


@ids("RUFH-95", "RUFH-97")
def test_no_web_server_is_broken_by_it(rufh, transport):
    for method, url in (("POST", None), ("PUT", None)):
        exchange = rufh.open(method, url, {N: 6, "Upload-Complete": "?1"},
                             len(DATA))
        exchange.send(DATA)
        reply = exchange.reply()
        assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
        assert rufh.data(reply["Location"]) == DATA
        assert len(exchange.interim) == transport.startswith("lighttpd")


@ids("RUFH-94", "RUFH-34", "RUFH-25")
@only("fastcgi")
def test_what_was_told_and_cannot_be_is_removed(serve):
    rufh = serve({"max_size": 10})
    rufh.params = LIGHTTPD
    for headers in ({}, {"Upload-Length": 4}, {"Upload-Length": 8}):
        with rufh.nothing_created():
            exchange = rufh.open("POST", None, {
                N: 6, "Upload-Complete": "?1", **headers}, client.CHUNKED)
            exchange.send(b"abcdef" if headers else b"abcdefghijk")
            exchange.end()
            assert exchange.reply().status in (400, 413)
            assert len(exchange.interim) == 1


@ids("RUFH-81", "RUFH-94")
@only("fastcgi")
def test_what_was_told_and_is_not_verified_begins_anew(rufh):
    from rufh.test_create import digest
    rufh.params = LIGHTTPD
    before = set(rufh.tus.files())
    upload = rufh.open("POST", None, {
        N: 6, "Upload-Complete": "?1",
        "Content-Digest": digest(DATA)}, len(DATA))
    upload.send(DATA[:1000])
    (name,) = rig.wait_for(
        lambda: {n for n in set(rufh.tus.files()) - before if "." not in n},
        "the upload")
    upload.reset()
    url = f"{rufh.base}/{name}"
    reply = rufh.head(url, {N: 6})
    assert (reply["Upload-Offset"], reply["Upload-Length"]) == (
        "0", str(len(DATA)))
    assert rufh.patch(url, 0, DATA, True, {
        "Content-Digest": digest(DATA)}).status == 201
