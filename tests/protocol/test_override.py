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
    assert reply.status in (200, 405, 415)
    assert reply.body == b""


@ids("OVR-04")
def test_the_real_method_does_not_matter(tus):
    url = tus.create(10)
    reply = override(tus, "GET", "OPTIONS", url)
    assert (reply.status, reply["Tus-Version"]) == (200, "1.0.0")
    with tus.unchanged(url):
        reply = override(tus, "PATCH", "HEAD", url, PATCH, b"abc")
        assert reply.status == 200
    assert override(tus, "PUT", "PATCH", url, PATCH, b"abc").status == 204
    assert override(tus, "GET", "DELETE", url).status == 204
    assert override(tus, "FOO", "POST", "/files/", {
        "Upload-Length": 1}, b"").status == 201


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
