"""HEAD: how far an upload has got."""

import pytest


ids = pytest.mark.ids

UNKNOWN = "/files/" + "0" * 32


@ids("HEAD-01", "HEAD-02", "HEAD-04", "HEAD-11")
def test_the_offset_at_the_start_in_the_middle_and_at_the_end(tus):
    url = tus.create(5)
    for offset, data in ((0, b"ab"), (2, b"cde"), (5, b"")):
        reply = tus.head(url)
        assert reply.status == 200
        assert reply["Upload-Offset"] == str(offset)
        assert reply["Upload-Length"] == "5"
        assert reply["Cache-Control"] == "no-store"
        assert reply["Content-Length"] in (None, "0")
        assert "Content-Disposition" not in reply
        assert tus.patch(url, offset, data).status == 204


@ids("HEAD-03", "HEAD-09")
def test_the_length_only_if_it_is_known(tus):
    reply = tus.head(tus.create(5))
    assert reply["Upload-Length"] == "5"
    assert "Upload-Defer-Length" not in reply
    reply = tus.head(tus.create(headers={"Upload-Defer-Length": "1"}))
    assert "Upload-Length" not in reply
    assert reply["Upload-Defer-Length"] == "1"


@ids("HEAD-05")
def test_unknown_is_404(tus):
    with tus.nothing_created():
        reply = tus.head(UNKNOWN)
    assert reply.status == 404
    assert "Upload-Offset" not in reply


@ids("HEAD-06")
def test_terminated_is_404(tus):
    url = tus.create(5)
    assert tus.delete(url).status == 204
    reply = tus.head(url)
    assert reply.status == 404
    assert "Upload-Offset" not in reply


@ids("HEAD-08")
@pytest.mark.parametrize("value", [
    None, "a", "filename d29ybGQ=,is_confidential", "b YQ==, a YQ==",
    "a ,b Yg==", "a YQ==,"])
def test_metadata_is_returned_as_it_was_sent(tus, value):
    url = tus.create(5, {"Upload-Metadata": value})
    assert tus.head(url)["Upload-Metadata"] == value


@ids("HEAD-10")
def test_concat_is_returned_as_it_was_sent(tus):
    assert "Upload-Concat" not in tus.head(tus.create(5))
    part = tus.partial(b"ab")
    assert tus.head(part)["Upload-Concat"] == "partial"
    value = f"final;{part}   http://example.org{part}/"
    final = tus.create(headers={"Upload-Concat": value})
    assert tus.head(final)["Upload-Concat"] == value


@ids("HEAD-12")
def test_a_patch_at_the_offset_of_head_is_taken(tus):
    url = tus.create(1000)
    data = bytes(range(100)) * 10
    while (offset := tus.offset(url)) < 1000:
        assert offset == tus.size(url)
        assert tus.patch(url, offset, data[offset:offset + 137]).status == 204
    assert tus.data(url) == data


@ids("HEAD-13")
def test_a_thousand_heads_change_nothing(serve):
    tus = serve({"expiration": {"after": "1h"}})
    url = tus.create(10)
    tus.patch(url, 0, b"abc")
    stats = [(tus.path(url, s).stat().st_mtime_ns, tus.path(url, s).stat().
              st_ctime_ns) for s in ("", ".info")]
    expires = tus.head(url)["Upload-Expires"]
    with tus.unchanged(url):
        for _ in range(1000):
            assert tus.head(url).status == 200
    assert tus.head(url)["Upload-Expires"] == expires
    assert stats == [(tus.path(url, s).stat().st_mtime_ns, tus.path(
        url, s).stat().st_ctime_ns) for s in ("", ".info")]


@ids("HEAD-14")
def test_missing_data_is_never_offset_0(tus):
    url = tus.create(10)
    tus.patch(url, 0, b"abc")
    tus.path(url).unlink()
    for reply in (tus.head(url), tus.patch(url, 0, b"x"), tus.get(url)):
        assert reply.status == 404
        assert "Upload-Offset" not in reply
    assert not tus.path(url).exists()


@ids("HEAD-15")
@pytest.mark.parametrize("damage", [b"{", b"null", b"[]", b"x" * 300])
def test_a_damaged_record_is_500(tus, damage):
    url = tus.create(10)
    tus.path(url, ".info").write_bytes(damage)
    reply = tus.head(url)
    assert reply.status == 500
    assert "Upload-Offset" not in reply
    assert tus.delete(url).status == 204
    assert tus.head(url).status == 404


PLAIN = {"Tus-Resumable": None}


@ids("HEAD-16")
def test_head_of_what_get_serves_needs_no_version(tus):
    """wget --spider, and whoever asks how long a download will be."""
    url = tus.create(5, {"Upload-Metadata": "filename YS50eHQ=,"
                                            "filetype dGV4dC9wbGFpbg=="})
    assert tus.patch(url, 0, b"hello").status == 204
    get, head = tus.get(url), tus.head(url, PLAIN)
    assert (head.status, head.body) == (200, b"")
    for name in ("ETag", "Content-Type", "Content-Disposition",
                 "Accept-Ranges", "Cache-Control", "Content-Length"):
        assert head[name] == get[name], name
    assert "Upload-Offset" not in head
    assert tus.head(url, {**PLAIN, "If-None-Match": get["ETag"]}).status == 304
    reply = tus.head(url, {**PLAIN, "If-Match": '"other"'})
    assert (reply.status, reply["Tus-Version"]) == (412, None)
    # A range is for GET alone.
    reply = tus.head(url, {**PLAIN, "Range": "bytes=0-1"})
    assert (reply.status, reply["Content-Length"]) == (200, "5")
    # Of tus, it is as it was.
    assert tus.head(url)["Upload-Offset"] == "5"
    assert tus.head(url, {"Tus-Resumable": "0.2.2"}).status == 412


@ids("HEAD-16", "OVR-03", "COMMON-02")
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_no_length_without_a_body_where_another_method_came(tus, method):
    """To anything but HEAD a Content-Length promises that many bytes."""
    url = tus.finished(b"hello")
    override = {"X-HTTP-Method-Override": "HEAD"}
    reply = tus.request(method, url, {**PLAIN, **override})
    assert (reply.status, reply["Tus-Version"]) == (412, "1.0.0")
    assert reply["Content-Length"] in (None, "0")
    reply = tus.request(method, url, override)
    assert (reply.status, reply["Upload-Offset"]) == (200, "5")


@ids("HEAD-16", "VER-05", "VER-08")
def test_head_without_a_version_is_412_for_all_else(serve):
    tus = serve()
    final = tus.create(headers={
        "Upload-Concat": f"final;{tus.partial(b'abc')}"})
    assert tus.head(final, PLAIN).status == 200
    off = serve({"extensions": {"download": False}})
    for one, url in ((tus, tus.create(5)), (tus, UNKNOWN),
                     (tus, tus.partial(b"abc")), (tus, tus.base + "/"),
                     (off, off.finished(b"abc"))):
        reply = one.head(url, PLAIN)
        if url == UNKNOWN and one.has_rufh:
            assert reply.status == one.unclaimed
        else:
            assert (reply.status, reply["Tus-Version"]) == (412, "1.0.0")
        assert "Upload-Offset" not in reply


@ids("HEAD-16")
def test_head_without_a_version_tells_nothing_of_other_peoples(serve):
    tus = serve({"owner": {"param": "HTTP_X_USER"}})
    url = tus.create(3, {"X-User": "ann"})
    assert tus.patch(url, 0, b"abc", {"X-User": "ann"}).status == 204
    assert tus.head(url, {**PLAIN, "X-User": "ann"}).status == 200
    for who in ({}, {"X-User": "bob"}):
        theirs, none = (tus.head(u, {**PLAIN, **who}) for u in (url, UNKNOWN))
        assert theirs.status == none.status == tus.unclaimed
        assert [h for h in theirs.headers if h[0] != "Date"] == \
            [h for h in none.headers if h[0] != "Date"]
