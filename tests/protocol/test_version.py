"""VER: the protocol version."""

import pytest


ids = pytest.mark.ids
only = pytest.mark.only

UNKNOWN = "/files/" + "0" * 32


@pytest.fixture
def url(tus):
    return tus.create(10)


@ids("VER-01", "VER-07")
@pytest.mark.parametrize("version", [
    "0.2.2", "99.99.99", "1.0", "foo", "1.0.0, 1.0.0", "1.0.0x", "", "1.0.00"])
def test_another_version_is_412_and_nothing_is_done(tus, url, version):
    other = {"Tus-Resumable": version}
    with tus.unchanged(url), tus.nothing_created():
        for reply in (
                tus.post({**other, "Upload-Length": 1}),
                tus.head(url, other),
                tus.patch(url, 0, b"abc", other),
                tus.delete(url, other)):
            assert reply.status == 412
            assert reply["Tus-Version"] == "1.0.0"


# nginx 1.22 passes on only one of them.
@only("fastcgi")
@ids("VER-07")
def test_the_version_twice_is_412(tus, url):
    twice = {"Tus-Resumable": ["1.0.0", "1.0.0"]}
    with tus.unchanged(url):
        assert tus.patch(url, 0, b"x", twice).status == 412


@ids("VER-02")
def test_post_without_a_version_is_412(tus):
    with tus.nothing_created():
        assert tus.post({"Tus-Resumable": None,
                         "Upload-Length": 1}).status == 412


@ids("VER-03")
def test_patch_without_a_version_is_412(tus, url):
    with tus.unchanged(url):
        assert tus.patch(url, 0, b"x", {"Tus-Resumable": None}).status == 412


@ids("VER-04")
def test_delete_without_a_version_is_412(tus, url):
    with tus.unchanged(url):
        assert tus.delete(url, {"Tus-Resumable": None}).status == 412


@ids("VER-05")
def test_head_without_a_version_is_412(tus, url):
    reply = tus.head(url, {"Tus-Resumable": None})
    assert reply.status == 412
    assert "Upload-Offset" not in reply


@ids("VER-06")
def test_get_needs_no_version(tus):
    url = tus.finished(b"abc")
    for version in (None, "0.2.2"):
        reply = tus.get(url, {"Tus-Resumable": version})
        assert (reply.status, reply.body) == (200, b"abc")


@ids("VER-08")
def test_the_version_comes_before_existence(tus):
    for version in (None, "0.2.2"):
        other = {"Tus-Resumable": version}
        status = 412 if version else tus.unclaimed
        assert tus.head(UNKNOWN, other).status == status
        assert tus.patch(UNKNOWN, 0, b"", other).status == 412
        assert tus.delete(UNKNOWN, other).status == status
        assert tus.head("/files/../x/..", other, is_ours=False).status in (
            400, 404, 412)
