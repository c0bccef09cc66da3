"""TERM: DELETE."""

import pytest

from lib import client

ids = pytest.mark.ids

UNKNOWN = "/files/" + "0" * 32


@ids("TERM-01", "TERM-02", "TERM-03", "TERM-04", "TERM-06")
@pytest.mark.parametrize("sent", [0, 3, 10])
def test_after_delete_there_is_nothing(tus, sent):
    before = tus.files()
    url = tus.create(10)
    tus.patch(url, 0, b"x" * sent)
    reply = tus.delete(url)
    assert (reply.status, reply.body) == (204, b"")
    assert tus.head(url).status == 404
    assert tus.get(url).status == 404
    assert tus.patch(url, sent, b"").status == 404
    assert tus.delete(url).status == 404
    assert tus.files() == before


@ids("TERM-05")
def test_unknown_is_404(tus):
    with tus.nothing_created():
        assert tus.delete(UNKNOWN).status == 404


@ids("TERM-07")
def test_delete_takes_over_a_running_patch(tus, streaming):
    before = tus.files()
    url = tus.create(100)
    upload = tus.open_patch(url, 0, 100)
    upload.send(b"0123456789")
    tus.wait_offset(url, 10)
    assert tus.delete(url).status == 204
    try:
        assert upload.reply().status == 423
    except (EOFError, ConnectionResetError):
        pass
    assert tus.head(url).status == 404
    assert tus.files() == before


@ids("TERM-08")
def test_a_part_can_go_when_the_final_is_made(tus):
    parts = [tus.partial(b"abc"), tus.partial(b"def")]
    final = tus.create(headers={"Upload-Concat": "final;" + " ".join(parts)})
    for part in parts:
        assert tus.delete(part).status == 204
    assert tus.get(final).body == b"abcdef"
    assert tus.delete(final).status == 204


@ids("TERM-09")
def test_where_it_is_disabled_it_is_405(serve):
    tus = serve({"extensions": {"termination": False}})
    assert "termination" not in tus.options().tokens("Tus-Extension")
    url = tus.create(10)
    with tus.unchanged(url):
        reply = tus.delete(url)
        assert reply.status == 405
        assert "DELETE" not in reply.tokens("Allow")


@ids("TERM-09")
def test_finished_uploads_can_be_protected(serve):
    tus = serve({"extensions": {"termination_of_finished": False}})
    url = tus.finished(b"abc")
    with tus.unchanged(url):
        reply = tus.delete(url)
        assert (reply.status, reply.code) == (
            403, "ERR_UPLOAD_TERMINATION_REJECTED")
    assert tus.delete(tus.create(10)).status == 204


@ids("TERM-10")
def test_a_body_and_an_offset_mean_nothing(tus):
    url = tus.create(10)
    reply = tus.request("DELETE", url, {
        "Upload-Offset": "x", "Content-Type": client.BODY}, b"abc" * 1000)
    assert reply.status == 204
    assert tus.head(url).status == 404


@ids("TERM-11")
@pytest.mark.parametrize("suffix", ["", ".info"])
def test_half_a_deletion_counts(tus, suffix):
    """The server died between the two files."""
    url = tus.create(10)
    tus.patch(url, 0, b"abc")
    tus.path(url, suffix).unlink()
    assert tus.head(url).status == 404
    assert tus.patch(url, 3, b"x").status == 404
    assert tus.get(url).status == 404
    assert tus.delete(url).status in (204, 404)
