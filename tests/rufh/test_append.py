"""Offset retrieval, append and cancellation."""

import time

import pytest

from lib import client, rig
from lib.record import forge
from lib.rufh import PARTIAL, TYPES, limits, problem

ids = pytest.mark.ids

UNKNOWN = "/files/" + "0" * 32
MARK = {"Upload-Draft-Interop-Version": "6"}
LENGTHS = TYPES + "inconsistent-upload-length"


def is_gone(rufh, url):
    return rufh.head(url, MARK).status == 404 and not rufh.path(url).exists()


@ids("RUFH-40", "RUFH-41")
def test_head_tells_all(rufh):
    url = rufh.create(10, b"abc")
    reply = rufh.head(url)
    assert (reply.status, reply["Upload-Offset"], reply["Upload-Length"],
            reply["Upload-Complete"]) == (204, "3", "10", "?0")
    assert limits(reply)["min-size"] == 0
    assert "Content-Length" not in reply or reply["Content-Length"] == "0"


@ids("RUFH-40", "RUFH-04")
@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10, None])
def test_head_says_the_same_to_all(rufh, n):
    url = rufh.finished(b"abc")
    reply = rufh.head(url, {"Upload-Draft-Interop-Version": n})
    assert (reply.status, reply["Upload-Offset"], reply["Upload-Length"],
            reply["Upload-Complete"]) == (204, "3", "3", "?1")


@ids("RUFH-41")
def test_a_moved_file_is_complete(serve, tmp_path, transport):
    if transport == "apache-fcgid":
        pytest.skip("Apache's user may not see our folder")
    target = tmp_path / "moved"
    target.mkdir()
    rufh = serve({"finish": {"move_to": f"{target}/{{id}}"}}, own=True)
    url = rufh.finished(b"abc")
    rig.wait_for(lambda: list(target.iterdir()), "the file to be moved")
    reply = rufh.head(url)
    assert (reply.status, reply["Upload-Complete"],
            reply["Upload-Length"]) == (204, "?1", "3")


@ids("RUFH-42")
def test_the_offset_is_one_to_go_on_from(rufh):
    data = bytes(range(250))
    url = rufh.create(len(data))
    last = 0
    while last < len(data):
        offset = int(rufh.head(url)["Upload-Offset"])
        assert offset >= last
        last = min(offset + 37, len(data))
        assert rufh.patch(url, offset, data[offset:last]).status in (204, 201)
    assert rufh.data(url) == data


@ids("RUFH-44")
def test_get_of_an_unfinished_upload_is_as_head(rufh):
    url = rufh.create(10, b"abc")
    reply = rufh.get(url)
    assert (reply.status, reply["Upload-Offset"], reply["Upload-Length"],
            reply["Upload-Complete"]) == (204, "3", "10", "?0")


@ids("RUFH-44")
def test_get_of_a_finished_upload_is_the_file(rufh):
    url = rufh.finished(b"abc")
    reply = rufh.get(url)
    assert (reply.status, reply.body, reply["Upload-Complete"],
            reply["Upload-Offset"]) == (200, b"abc", "?1", "3")
    reply = rufh.get(url, {"Range": "bytes=1-1"})
    assert (reply.status, reply.body) == (206, b"b")


@ids("RUFH-44")
def test_get_where_nothing_is_handed_out(serve):
    rufh = serve({"extensions": {"download": False}})
    url = rufh.finished(b"abc")
    reply = rufh.get(url, MARK)
    assert (reply.status, reply["Upload-Complete"]) == (204, "?1")
    url = rufh.create(5)
    assert rufh.get(url, MARK).status == 204


@ids("RUFH-45")
def test_what_is_not_there_is_404(rufh):
    for method in ("HEAD", "GET", "DELETE"):
        reply = rufh.request(method, UNKNOWN, MARK)
        assert reply.status == 404
        assert "Upload-Offset" not in reply
        assert "Upload-Complete" not in reply
        assert "Upload-Limit" not in reply
        assert reply["Upload-Draft-Interop-Version"] == "6"
    reply = rufh.patch(UNKNOWN, 0, b"x")
    assert problem(reply)["code"] == "ERR_UPLOAD_NOT_FOUND"


@ids("RUFH-45")
def test_what_has_expired_is_410(serve):
    rufh = serve({"expiration": {"after": "1h"}})
    url = rufh.create(5)
    forge(rufh.path(url, ".info"), "Expires", int(time.time()) - 60)
    assert rufh.head(url).status == 410
    assert rufh.patch(url, 0, b"x").status == 410


@ids("RUFH-45")
def test_final_and_partial_uploads_of_tus(rufh, tus):
    part = tus.partial(b"ab")
    assert rufh.head(part, MARK)["Upload-Complete"] == "?1"
    url = tus.create(headers={"Upload-Concat": f"final;{part} {part}"})
    reply = rufh.head(url, MARK)
    assert (reply["Upload-Offset"], reply["Upload-Complete"]) == ("4", "?1")
    assert rufh.patch(url, 4, b"", True).status in (201, 403)
    with rufh.unchanged(part):
        assert rufh.patch(part, 2, b"x").status == 400


@ids("RUFH-46")
def test_nothing_is_redirected(rufh):
    url = rufh.finished(b"abc")
    for reply in (rufh.head(url), rufh.get(url), rufh.head(UNKNOWN, MARK),
                  rufh.get(url + "/")):
        assert not 300 <= reply.status < 304


@ids("RUFH-50")
@pytest.mark.parametrize("kind", [
    None, "text/plain", client.BODY + "x", "application/partial-uploads"])
def test_another_content_type_is_415(rufh, kind):
    url = rufh.create(10)
    with rufh.unchanged(url):
        reply = rufh.patch(url, 0, b"abc", False, {"Content-Type": kind})
        assert reply.status == 415
        assert problem(reply)["code"] == "ERR_INVALID_CONTENT_TYPE"
        assert PARTIAL in reply["Accept-Patch"]


@ids("RUFH-50")
def test_the_media_type_counts_not_its_spelling(rufh):
    url = rufh.create(10)
    assert rufh.patch(url, 0, b"abc", False, {
        "Content-Type": "Application/Partial-Upload; a=b"}).status == 204


@ids("RUFH-50")
@pytest.mark.parametrize("n", [4, 5])
def test_older_clients_send_any_type(rufh, n):
    rufh.headers = {"Upload-Draft-Interop-Version": n}
    url = rufh.create(10)
    for kind in (None, "text/plain", client.BODY):
        offset = rufh.head(url)["Upload-Offset"]
        assert rufh.patch(url, offset, b"ab", False, {
            "Content-Type": kind}).status == 204


@ids("RUFH-51")
@pytest.mark.parametrize("offset", [None, "x", "-1", "0.0", "+0", "?0", "0, 0"])
def test_without_an_offset_it_is_400(rufh, offset):
    url = rufh.create(10)
    with rufh.unchanged(url):
        reply = rufh.patch(url, offset, b"abc")
        assert reply.status == 400
        assert problem(reply)["code"] == "ERR_INVALID_OFFSET"


@ids("RUFH-52")
@pytest.mark.parametrize("value", [None, "1", "true", "?2", "?1;"])
def test_without_completeness_it_is_400(rufh, value):
    url = rufh.create(10)
    with rufh.unchanged(url):
        for n in (None, 7, 8, 9, 10):
            reply = rufh.patch(url, 0, b"abc", value, {
                "Upload-Draft-Interop-Version": n})
            assert reply.status == 400
            assert problem(reply)["code"] == "ERR_INVALID_UPLOAD_COMPLETE"


@ids("RUFH-52")
@pytest.mark.parametrize("n", [4, 5, 6])
def test_older_clients_say_nothing_and_mean_all(rufh, n):
    rufh.headers = {"Upload-Draft-Interop-Version": n}
    url = rufh.create(3)
    reply = rufh.patch(url, 0, b"abc", None)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")


@ids("RUFH-53")
def test_an_append(rufh):
    url = rufh.create(10)
    reply = rufh.patch(url, 0, b"abc")
    assert (reply.status, reply["Upload-Complete"], reply["Upload-Offset"]) \
        == (204, "?0", "3")
    assert "Upload-Limit" in reply and "Location" not in reply


@ids("RUFH-54")
@pytest.mark.parametrize("length", [None, 6])
def test_the_completing_append(rufh, length):
    url = rufh.create(length, b"abc")
    reply = rufh.patch(url, 3, b"def", True)
    assert (reply.status, reply["Upload-Complete"], reply["Upload-Offset"]) \
        == (201, "?1", "6")
    assert client.target_of(reply["Location"]) == url
    assert rufh.data(url) == b"abcdef"
    assert rufh.head(url)["Upload-Length"] == "6"


@ids("RUFH-55", "RUFH-91")
@pytest.mark.parametrize("offset", [0, 2, 4, 10, 999999999999999])
def test_another_offset_is_409_and_tells_the_right_one(rufh, offset):
    url = rufh.create(10, b"abc")
    with rufh.unchanged(url):
        for body, is_complete in ((b"", False), (b"x" * 20, True)):
            reply = rufh.patch(url, offset, body, is_complete)
            assert (reply.status, reply["Upload-Offset"]) == (409, "3")
            document = problem(reply)
            assert document["type"] == TYPES + "mismatching-upload-offset"
            assert (document["expected-offset"],
                    document["provided-offset"]) == (3, offset)
            assert document["code"] == "ERR_MISMATCHED_OFFSET"
    assert rufh.patch(url, 3, b"defghij").status == 201


@ids("RUFH-56")
def test_lengths_that_disagree(rufh):
    url = rufh.create(10, b"abc")
    with rufh.unchanged(url):
        for is_complete, headers, body in (
                (False, {"Upload-Length": 9}, b"d"),
                (False, {"Upload-Length": 2}, b"d"),
                (True, {}, b"d"), (True, {}, b""),
                (True, {"Upload-Length": 10}, b"d")):
            reply = rufh.patch(url, 3, body, is_complete, headers)
            assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)
    assert rufh.patch(url, 3, b"d", False,
                      {"Upload-Length": 10}).status == 204


@ids("RUFH-56")
def test_a_length_may_come_late(serve):
    rufh = serve({"max_size": 100})
    url = rufh.create(None, b"abc")
    with rufh.unchanged(url):
        for length in (2, 0):
            reply = rufh.patch(url, 3, b"d", False, {"Upload-Length": length})
            assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)
        reply = rufh.patch(url, 3, b"d", True, {"Upload-Length": 9})
        assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)
        reply = rufh.patch(url, 3, b"d", False, {"Upload-Length": 101})
        assert (reply.status, limits(reply)["max-size"]) == (413, 100)
    assert rufh.patch(url, 3, b"d", False, {"Upload-Length": 9}).status == 204
    assert rufh.head(url)["Upload-Length"] == "9"


@ids("RUFH-57")
@pytest.mark.parametrize("is_complete", [False, True])
@pytest.mark.parametrize("length", [None, client.CHUNKED])
def test_bytes_beyond_the_length_end_the_upload(rufh, transport, is_complete,
                                                length):
    if length and not rufh.transport.chunked:
        pytest.skip("no bodies of unknown length")
    for known, headers in ((10, {}), (None, {"Upload-Length": 10})):
        url = rufh.create(known, b"abc")
        reply = rufh.patch(url, 3, b"x" * 8, is_complete, headers,
                           length=length)
        assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)
        assert is_gone(rufh, url)
        assert rufh.patch(url, 3, b"x").status == 404


@ids("RUFH-58")
def test_a_finished_upload_is_never_removed(rufh, transport):
    url = rufh.finished(b"abc")
    with rufh.unchanged(url):
        for offset, status in ((3, 400), (0, 409), (4, 409)):
            for is_complete in (False, True):
                reply = rufh.patch(url, offset, b"x", is_complete)
                assert reply.status == status
        if rufh.transport.chunked:
            reply = rufh.patch(url, 3, b"x", True, length=client.CHUNKED)
            assert reply.status == 400


@ids("RUFH-59")
def test_the_last_byte_finishes_whatever_is_said(rufh):
    url = rufh.create(6, b"abc")
    reply = rufh.patch(url, 3, b"def", False)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")


@ids("RUFH-60")
def test_an_empty_append_completes(rufh):
    url = rufh.create(None, b"abc")
    reply = rufh.patch(url, 3, b"", True)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    assert rufh.head(url)["Upload-Length"] == "3"
    url = rufh.create(6, b"abc")
    with rufh.unchanged(url):
        assert rufh.patch(url, 3, b"", True).status == 400


@ids("RUFH-60")
def test_a_body_that_ends_short_is_kept(rufh, chunked, transport):
    url = rufh.create(6, b"abc")
    reply = rufh.patch(url, 3, b"d", True, length=client.CHUNKED)
    assert (reply.status, problem(reply)["type"]) == (400, LENGTHS)
    # A web server that waits for a short body tells its length: then none of
    # it is taken.
    assert rufh.head(url)["Upload-Offset"] in (
        ["4"] if transport == "fastcgi" else ["3", "4"])
    url = rufh.create(None, b"abc")
    reply = rufh.patch(url, 3, b"def", True, length=client.CHUNKED)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    assert rufh.head(url)["Upload-Length"] == "6"


@ids("RUFH-61")
def test_an_empty_append_changes_nothing(rufh):
    for length in (None, 10):
        url = rufh.create(length, b"abc")
        with rufh.unchanged(url):
            reply = rufh.patch(url, 3)
            assert (reply.status, reply["Upload-Complete"],
                    reply["Upload-Offset"]) == (204, "?0", "3")


@ids("RUFH-62")
def test_the_final_answer_may_be_asked_for_again(rufh):
    url = rufh.finished(b"abc")
    with rufh.unchanged(url):
        for is_complete in (False, True):
            reply = rufh.patch(url, 3, b"", is_complete)
            assert (reply.status, reply["Upload-Complete"],
                    reply["Upload-Offset"]) == (201, "?1", "3")
            assert client.target_of(reply["Location"]) == url
            reply = rufh.patch(url, 2, b"", is_complete)
            assert (reply.status, reply["Upload-Offset"]) == (409, "3")


@ids("RUFH-63", "RUFH-64")
def test_what_came_before_the_cut_is_kept(rufh, streaming):
    url = rufh.create()
    upload = rufh.open_patch(url, 0, 100, True)
    upload.send(b"x" * 10)
    rufh.tus.wait_offset(url, 10)
    upload.reset()
    reply = rufh.head(url)
    assert (reply["Upload-Offset"], reply["Upload-Length"],
            reply["Upload-Complete"]) == ("10", "100", "?0")
    reply = rufh.patch(url, 10, b"x" * 90, True)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")


@ids("RUFH-65")
def test_past_the_limit_the_upload_stays(serve, chunked):
    rufh = serve({"max_size": 10})
    url = rufh.create(None, b"abc")
    with rufh.unchanged(url):
        reply = rufh.patch(url, 3, b"x" * 8, length=client.CHUNKED)
        assert (reply.status, limits(reply)["max-size"]) == (413, 10)
        reply = rufh.patch(url, 3, b"x" * 8)
        assert (reply.status, limits(reply)["max-size"]) == (413, 10)


@ids("RUFH-66", "RUFH-75")
def test_an_append_renews_the_time(serve):
    rufh = serve({"expiration": {"after": "1h"}})
    reply = rufh.post(False, b"abc")
    url = reply["Location"]
    assert 3590 <= limits(reply)["max-age"] <= 3600
    forge(rufh.path(url, ".info"), "Expires", int(time.time()) + 60)
    assert limits(rufh.head(url))["max-age"] <= 60
    reply = rufh.patch(url, 3, b"d")
    assert limits(reply)["max-age"] > 3500


@ids("RUFH-72")
def test_there_is_no_least_append(rufh):
    url = rufh.create(3)
    for i in range(3):
        reply = rufh.patch(url, i, b"x")
        assert "min-append-size" not in (limits(reply) or {})
    assert reply.status == 201


@ids("RUFH-74", "RUFH-34")
def test_the_web_server_may_set_the_limit(serve, transport):
    if transport != "fastcgi":
        pytest.skip("the parameter is the web server's")
    rufh = serve({"max_size": 1000})
    rufh.params = {"TUS_MAX_SIZE": "10"}
    reply = rufh.post(True, b"x" * 11)
    assert (reply.status, limits(reply)["max-size"]) == (413, 10)


@ids("RUFH-86")
def test_a_cancelled_upload_is_gone(rufh):
    for url in (rufh.create(5, b"abc"), rufh.finished(b"abc")):
        assert rufh.delete(url).status == 204
        assert is_gone(rufh, url)
        for method in ("HEAD", "GET", "DELETE"):
            assert rufh.request(method, url, MARK).status == 404
        assert rufh.patch(url, 3, b"de").status == 404


@ids("RUFH-87")
def test_cancellation_may_be_forbidden(serve):
    rufh = serve({"extensions": {"termination": False}})
    assert rufh.delete(rufh.create(5), MARK).status == 405
    rufh = serve({"extensions": {"termination_of_finished": False}})
    url = rufh.finished(b"abc")
    reply = rufh.delete(url)
    assert reply.status == 403
    assert rufh.delete(rufh.create(5)).status == 204


@ids("RUFH-90")
def test_a_refusal_has_nothing_of_the_request(rufh):
    reply = rufh.patch("/files/" + "f" * 32, 0, b"x", False, {
        "X-Evil": "EVIL", "Content-Disposition": "EVIL"})
    document = problem(reply)
    assert document["type"] == "about:blank"
    assert set(document) == {"type", "title", "status", "code"}
    assert b"EVIL" not in reply.body


@ids("RUFH-14")
def test_numbers_beyond_fifteen_digits(serve):
    rufh = serve({"store": {"overcommit": "always"}})
    url = rufh.tus.create(10 ** 15)
    reply = rufh.head(url, MARK)
    assert reply.status == 204
    assert "Upload-Length" not in reply
    url = rufh.tus.create(10 ** 15 - 1)
    assert rufh.head(url, MARK)["Upload-Length"] == "9" * 15


@ids("RUFH-10", "RUFH-12", "RUFH-13", "RUFH-11")
def test_fields_are_structured(rufh):
    url = rufh.create(" 0010;a=1 ")
    assert rufh.head(url)["Upload-Length"] == "10"
    reply = rufh.patch(url, "0;x=?0", b"abc", "?0; a=:AA==:")
    assert reply.status == 204
    for length in ("+5", "5.0", "5, 5", "\"5\"", "-1", "5;", "0000000000000005"):
        assert "Upload-Length" not in rufh.head(rufh.create(length))


@ids("RUFH-15", "RUFH-16")
def test_limits_of_clients_mean_nothing(rufh):
    reply = rufh.post(False, b"", {"Upload-Limit": "max-size=1, x"})
    assert (reply.status, reply["Upload-Limit"]) == (201, "min-size=0")
