"""GET: downloads (not part of tus)."""

import base64
from urllib.parse import unquote_to_bytes

import pytest

from lib import client, proc, rig

ids = pytest.mark.ids

INLINE = [
    "text/plain", "image/png", "image/jpeg", "image/gif", "image/bmp",
    "image/webp", "audio/wave", "audio/wav", "audio/x-wav", "audio/x-pn-wav",
    "audio/webm", "audio/ogg", "video/mp4", "video/webm", "video/ogg",
    "application/ogg"]


def finished(tus, data=b"abc", **metadata):
    pairs = [f"{k} {base64.b64encode(v).decode()}"
             for k, v in metadata.items()]
    return tus.finished(data, {"Upload-Metadata": ",".join(pairs) or None})


@ids("GET-01")
@pytest.mark.parametrize("size", [1, 8191, 65536, 3000000])
def test_a_finished_upload_comes_back(tus, size):
    data = bytes((i * 31 + (i >> 8)) & 255 for i in range(size))
    reply = tus.get(finished(tus, data))
    assert reply.status == 200
    assert reply["Content-Length"] == str(size)
    assert reply.body == data


@ids("GET-02")
def test_an_unfinished_upload_is_404(tus):
    url = tus.create(10)
    for offset in (0, 5):
        assert tus.get(url).status == 404
        tus.patch(url, offset, b"12345"[:5 - offset])
    assert tus.get(tus.create(headers={
        "Upload-Defer-Length": "1"}, body=b"abc")).status == 404


@ids("GET-03")
def test_an_empty_upload_is_empty(tus):
    reply = tus.get(tus.create(0))
    assert (reply.status, reply.body) == (200, b"")


@ids("GET-04")
@pytest.mark.parametrize("kind", INLINE)
def test_harmless_types_are_shown(tus, kind):
    reply = tus.get(finished(tus, filetype=kind.encode(), filename=b"a.b"))
    assert reply["Content-Type"] == kind
    assert reply["Content-Disposition"].startswith("inline;")
    assert 'filename="a.b"' in reply["Content-Disposition"]


@ids("GET-04", "GET-05")
@pytest.mark.parametrize("kind, sent", [
    (b"text/html", "text/html"), (b"image/svg+xml", "image/svg+xml"),
    (b"application/pdf", "application/pdf"), (b"text/xml", "text/xml"),
    (b"text/html\r\nX-Evil: 1", "application/octet-stream"),
    (b"text", "application/octet-stream"), (b"", "application/octet-stream"),
    (b"text/plain; charset=x", "application/octet-stream"),
    (b"text/plain\0", "application/octet-stream"),
    (b"\xff/x", "application/octet-stream"),
    (None, "application/octet-stream")])
def test_anything_else_is_saved(tus, kind, sent):
    metadata = {} if kind is None else {"filetype": kind}
    reply = tus.get(finished(tus, **metadata))
    assert reply["Content-Type"] == sent
    assert reply["Content-Disposition"].startswith("attachment")
    assert "X-Evil" not in reply


@ids("GET-06")
@pytest.mark.parametrize("name, expected", [
    (b"plain.txt", 'attachment;filename="plain.txt"'),
    (b'a"b\\c', 'attachment;filename="a\\"b\\\\c"'),
    (b"a\r\nX-Evil: 1", None),
    (b"a\0b", None),
    ("na\u00efve \u20ac.txt".encode(), None),
    (b"\xff\xfe", None),
    (b"../../etc/passwd", None),
    (b"x" * 1000, 'attachment;filename="' + "x" * 255 + '"'),
    ("\u20ac".encode() * 1000, 'attachment;filename="' + "_" * 255 +
     "\";filename*=UTF-8''" + "%E2%82%AC" * 85),
    (("x" * 253 + "\u20ac").encode(), 'attachment;filename="' +
     "x" * 253 + '"')], ids=lambda v: ascii(v)[:20])
def test_file_names_are_quoted(tus, name, expected):
    reply = tus.get(finished(tus, filename=name))
    assert reply.status == 200
    assert "X-Evil" not in reply
    value = reply["Content-Disposition"]
    if expected:
        assert value == expected
    assert all(" " <= ch <= "~" for ch in value)
    assert len(value) < 1100
    if "*=" in value:
        unquote_to_bytes(value.partition("*=UTF-8''")[2]).decode()
    if not expected and any(byte > 0x7e for byte in name):
        assert "filename*=UTF-8''" in value
    if name.startswith("na".encode()):
        assert "filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt" in value


@ids("GET-07")
@pytest.mark.parametrize("value, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=2-5", 2, 5), ("bytes=5-", 5, 9),
    ("bytes=-3", 7, 9), ("bytes=0-99", 0, 9), ("bytes=9-9", 9, 9),
    ("bytes=-99", 0, 9), ("Bytes=1-2", 1, 2)])
def test_one_range(tus, value, first, last):
    url = finished(tus, b"0123456789")
    reply = tus.get(url, {"Range": value})
    assert reply.status == 206
    assert reply["Content-Range"] == f"bytes {first}-{last}/10"
    assert reply.body == b"0123456789"[first:last + 1]


@ids("GET-07")
@pytest.mark.parametrize("value", [
    "bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"])
def test_a_range_beyond_the_end_is_416(tus, value):
    reply = tus.get(finished(tus, b"0123456789"), {"Range": value})
    assert reply.status == 416
    assert reply["Content-Range"] == "bytes */10"


@ids("GET-07")
@pytest.mark.parametrize("value", [
    "bytes=0-1,3-4", "bytes=" + ",".join(["0-0"] * 1000), "bytes=", "bytes=x",
    "bytes=5-2", "lines=0-1", "bytes", "bytes=1-2x", "bytes=--1", ""])
def test_what_is_no_single_range_is_the_whole(tus, value):
    reply = tus.get(finished(tus, b"0123456789"), {"Range": value})
    assert (reply.status, reply.body) == (200, b"0123456789")


@ids("GET-07")
def test_conditions(tus):
    url = finished(tus, b"0123456789")
    tag = tus.get(url)["ETag"]
    whole = tus.get(url)
    for value in (tag, f'"other", {tag}', f"W/{tag}", f'"a" ,W/{tag}', "*",
                  f"  {tag}"):
        reply = tus.get(url, {"If-None-Match": value})
        assert (reply.status, reply.body) == (304, b"")
        # What was kept is as good as before, and said to be.
        for name in ("ETag", "Cache-Control"):
            assert reply[name] == whole[name]
    for value in ('"other"', tag[1:-1], "", f'"x{tag[1:]}', f'w/{tag}x'):
        assert tus.get(url, {"If-None-Match": value}).status == 200
    # It comes before the range.
    assert tus.get(url, {"If-None-Match": tag,
                         "Range": "bytes=99-"}).status == 304
    reply = tus.get(url, {"Range": "bytes=0-1", "If-Range": tag})
    assert (reply.status, reply.body) == (206, b"01")
    for value in ('"other"', f"W/{tag}", "Sat, 01 Jan 2000 00:00:00 GMT"):
        for part in ("bytes=0-1", "bytes=99-"):
            reply = tus.get(url, {"Range": part, "If-Range": value})
            assert (reply.status, reply.body) == (200, b"0123456789")
    assert tus.get(url, {"If-Range": tag}).status == 200


@ids("GET-11")
def test_if_match(tus):
    """RFC 9110 §13.1.1: compared strongly, and before anything else."""
    url = finished(tus, b"0123456789")
    tag = tus.get(url)["ETag"]
    for value in (tag, f'"other", {tag}', "*", f" {tag} "):
        assert tus.get(url, {"If-Match": value}).body == b"0123456789"
        assert tus.get(url, {"If-Match": value,
                             "If-None-Match": tag}).status == 304
        assert tus.get(url, {"If-Match": value,
                             "Range": "bytes=0-1"}).status == 206
    for value in ('"other"', f"W/{tag}", "", tag[1:-1]):
        for more in ({}, {"If-None-Match": tag}, {"Range": "bytes=99-"}):
            reply = tus.get(url, {"If-Match": value, **more})
            assert (reply.status, reply.code) == (
                412, "ERR_PRECONDITION_FAILED")
            assert "Tus-Version" not in reply
    begun = tus.create(3)
    for method in ("HEAD", "PATCH", "DELETE"):
        assert tus.request(method, begun, {
            "If-Match": '"other"', "Upload-Offset": 0,
            "Content-Type": client.BODY}).status in (200, 204)


@ids("GET-08")
def test_where_it_is_disabled_it_is_405(serve):
    tus = serve({"extensions": {"download": False}})
    reply = tus.get(finished(tus))
    assert reply.status == 405
    assert "GET" not in reply.tokens("Allow")


@ids("GET-09")
def test_a_partial_upload_is_404(tus):
    assert tus.get(tus.partial(b"abc")).status == 404
    assert tus.get(tus.create(10, {"Upload-Concat": "partial"})).status == 404


@ids("GET-10")
def test_a_client_that_leaves_frees_the_worker(serve):
    tus = serve({"pool": {"min_spare": 1, "max_workers": 2, "reserve": 0}},
                own=True)
    url = finished(tus, b"x" * 20000000)
    for _ in range(6):
        download = tus.open("GET", url)
        download.end()
        if tus.name == "fastcgi":
            download.stream.exactly(1000)
        else:
            download.file.read(1000)
        download.reset()
    assert tus.offset(url) == 20000000
    assert proc.holder(tus.path(url, ".lock")) is None
    assert tus.delete(url).status == 204
    rig.wait_for(lambda: not tus.path(url).exists(), "the file to be gone")


@ids("GET-04")
def test_headers_that_protect_the_page(tus):
    reply = tus.get(finished(tus, filetype=b"text/plain"))
    assert reply["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert reply["Referrer-Policy"] == "no-referrer"
    assert "no-cache" in reply["Cache-Control"]
