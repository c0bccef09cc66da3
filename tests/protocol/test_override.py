"""OVR: X-HTTP-Method-Override."""

import pytest

from lib import client

ids = pytest.mark.ids


def override(tus, real, name, url, headers=None, body=None):
    return tus.request(real, url, {
        "X-HTTP-Method-Override": name, **(headers or {})}, body)


PATCH = {"Content-Type": client.BODY, "Upload-Offset": "0"}


@ids("OVR-01")
def test_post_can_be_patch(tus):
    url = tus.create(10)
    reply = override(tus, "POST", "PATCH", url, PATCH, b"abc")
    assert (reply.status, reply["Upload-Offset"]) == (204, "3")
    assert tus.data(url) == b"abc"


@ids("OVR-02")
def test_post_can_be_delete(tus):
    url = tus.create(10)
    assert override(tus, "POST", "DELETE", url).status == 204
    assert tus.head(url).status == 404


@ids("OVR-03")
def test_post_can_be_head(tus):
    url = tus.create(10)
    reply = override(tus, "POST", "HEAD", url)
    assert (reply.status, reply.body) == (200, b"")
    assert reply["Upload-Offset"] == "0"


@ids("OVR-03", "COMMON-03")
@pytest.mark.parametrize("name", ["FOO", "GET", "OPTIONS", "POST", "PATCH"])
def test_a_real_head_never_has_a_body(tus, name):
    """The client looks at every reply; so do web servers."""
    reply = override(tus, "HEAD", name, tus.finished(b"abc"))
    assert reply.status in (200, 405)
    assert reply.body == b""


@ids("OVR-04")
@pytest.mark.parametrize("real", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_method_that_writes_can_be_any_other(tus, real):
    url = tus.create(10)
    reply = override(tus, real, "OPTIONS", url)
    assert (reply.status, reply["Tus-Version"]) == (200, "1.0.0")
    with tus.unchanged(url):
        assert override(tus, real, "HEAD", url, PATCH, b"abc").status == 200
    assert override(tus, real, "PATCH", url, PATCH, b"abc").status == 204
    assert override(tus, real, "DELETE", url).status == 204


@ids("OVR-04", "OVR-06")
@pytest.mark.parametrize("real, harmless", [
    ("GET", ("GET", "HEAD", "OPTIONS")), ("HEAD", ("GET", "HEAD", "OPTIONS")),
    ("OPTIONS", ("OPTIONS",)), ("FOO", ())])
def test_a_safe_method_never_becomes_more(tus, real, harmless):
    """Web servers ask for no password where OPTIONS comes, for one."""
    begun, done = tus.create(10), tus.finished(b"abc")
    for name in ("POST", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "get",
                 "delete"):
        for url in (begun, done, tus.base + "/"):
            with tus.unchanged(begun), tus.nothing_created():
                reply = override(
                    tus, real, name, url, {**PATCH, "Upload-Length": 10},
                    None if real in ("GET", "HEAD") else b"abc")
            if name.upper() in harmless:
                assert reply.status in (200, 404, 405)
                assert reply.status == 200 or name != "OPTIONS"
            else:
                assert reply.status == 405
                assert "OPTIONS" in reply.tokens("Allow")
                assert "Upload-Offset" not in reply
    assert tus.data(done) == b"abc"


@ids("OVR-05")
def test_an_unknown_override_is_405(tus):
    url = tus.create(10)
    with tus.unchanged(url):
        for name in ("FOO", "TRACE", "PATC", "PATCH, PATCH"):
            reply = override(tus, "PATCH", name, url, PATCH, b"abc")
            assert reply.status == 405
            assert "PATCH" in reply.tokens("Allow")


@ids("OVR-05")
def test_an_empty_override_is_none_and_case_does_not_matter(tus):
    url = tus.create(10)
    assert override(tus, "PATCH", "", url, PATCH, b"a").status == 204
    assert override(tus, "PATCH", "  ", url, {
        **PATCH, "Upload-Offset": 1}, b"b").status == 204
    reply = override(tus, "POST", "patch", url, {
        **PATCH, "Upload-Offset": 2}, b"c")
    assert (reply.status, tus.data(url)) == (204, b"abc")
