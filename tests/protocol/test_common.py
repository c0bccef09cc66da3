"""COMMON: what holds for every response.

The client checks COMMON-01 to 05 and 09 on each reply of the whole suite; here
are requests for one reply of every kind.
"""

import re
import resource
import signal

import pytest

from lib import client, proc, rig

ids = pytest.mark.ids

BAD_INTEGERS = [
    "-5", "+5", "5.0", "0x5", "", " ", "5, 5", "5,6", "1" * 20, "5 5", "1e3",
    "9223372036854775808", "five", "\u0665",
]


@ids("COMMON-01", "COMMON-02", "COMMON-03", "COMMON-04", "COMMON-05")
def test_every_kind_of_response_is_well_formed(tus):
    url = tus.create(10)
    seen = {
        200: tus.options(),
        201: tus.post({"Upload-Length": 1}),
        204: tus.patch(url, 0, b"abc"),
        400: tus.post(),
        404: tus.head("/files/" + "0" * 32),
        405: tus.request("PUT", url),
        409: tus.patch(url, 7),
        412: tus.delete(url, {"Tus-Resumable": "0.9"}),
        413: tus.patch(url, 3, b"x" * 8),
        415: tus.patch(url, 3, b"x", {"Content-Type": "text/plain"}),
        431: tus.post({"Upload-Length": 1,
                       "Upload-Metadata": "a " + "YWFh" * 1200}),
        460: tus.patch(url, 3, b"x", {"Upload-Checksum": "sha1 YQ=="}),
    }
    for status, reply in seen.items():
        client.check(reply, "HEAD" if status == 404 else "?")
        assert reply.status == status
    assert tus.head(url).status == 200
    assert seen[201].body == seen[200].body == b""
    # A sharp check must be able to fail.
    with pytest.raises(AssertionError):
        seen[200].headers.append(("Tus-Resumable", "1.0.0"))
        client.check(seen[200], "OPTIONS")


@ids("COMMON-05")
def test_no_value_breaks_out_of_its_header(tus):
    for value in ("a DQpTZXQtQ29va2llOiB4", "a AA==", "a Cg=="):
        url = tus.finished(b"x", {
            "Upload-Metadata": f"filename {value[2:]},filetype {value[2:]}"})
        for reply in (tus.head(url), tus.get(url)):
            assert reply.status == 200
            assert "Set-Cookie" not in reply


@ids("COMMON-06")
@pytest.mark.parametrize("value", BAD_INTEGERS)
def test_malformed_integers_are_400(tus, value):
    assert tus.post({"Upload-Length": value}).status == 400
    url = tus.create(10)
    with tus.unchanged(url):
        assert tus.patch(url, value).status == 400
        assert tus.patch(url, 0, headers={
            "Upload-Length": value}).status == 400


@ids("COMMON-06")
def test_integers_up_to_the_greatest_are_taken(endless):
    tus = endless
    url = tus.create("0009223372036854775")
    assert tus.head(url)["Upload-Length"] == "9223372036854775"
    url = tus.create(2 ** 63 - 1)
    assert tus.head(url)["Upload-Length"] == str(2 ** 63 - 1)
    assert tus.patch(url, "000", b"x").status == 204


@ids("COMMON-07")
def test_names_in_any_case_and_white_space_around_values(tus):
    reply = tus.request("POST", headers={
        "Tus-Resumable": None, "tUS-rESUMABLE": " \t1.0.0 \t",
        "UPLOAD-LENGTH": "  5\t"})
    assert reply.status == 201
    url = reply["Location"]
    reply = tus.request("PATCH", url, {
        "content-TYPE": f"\t{client.BODY} ", "upload-offset": " 0 "}, b"abc")
    assert (reply.status, reply["Upload-Offset"]) == (204, "3")


@ids("COMMON-08")
def test_the_first_failure_in_order_wins(tus):
    """Each row has a fault more than the next, and its own answer."""
    done = tus.partial(b"ab")
    final = target = tus.create(headers={"Upload-Concat": f"final;{done}"})
    url = tus.create(5)
    everything = {
        "X-HTTP-Method-Override": "FOO", "Tus-Resumable": "0.1",
        "Content-Type": "text/plain", "Upload-Offset": "x",
        "Upload-Length": "9", "Upload-Checksum": "x"}
    unknown = "/files/" + "0" * 32
    rows = [
        # fixed so far, target, expected
        ({}, unknown, 405),
        ({"X-HTTP-Method-Override": "OPTIONS"}, unknown, 200),
        ({"X-HTTP-Method-Override": None}, unknown, 412),
        ({"Tus-Resumable": "1.0.0"}, tus.base + "/", 405),
        ({}, tus.base + "/a/b", 404),
        ({}, unknown, 415),
        ({"Content-Type": client.BODY}, unknown, 400),
        ({"Upload-Offset": "9"}, unknown, 404),
        ({}, final, 403),
        ({}, url, 409),
        ({"Upload-Offset": "0"}, url, 400),
        ({"Upload-Length": None}, url, 413),
    ]
    for fix, target, status in rows:
        everything.update(fix)
        reply = tus.request("PATCH", target, everything, b"123456")
        assert reply.status == status, (fix, target, reply)
    reply = tus.request("PATCH", url, everything, b"12345")
    assert (reply.status, reply.code) == (400, "ERR_INVALID_CHECKSUM")
    everything["Upload-Checksum"] = None
    assert tus.request("PATCH", url, everything, b"12345").status == 204


@ids("COMMON-08")
def test_the_first_failure_of_a_creation_wins(tus):
    everything = {
        "Content-Type": "text/plain", "Upload-Concat": "x",
        "Upload-Length": "x", "Upload-Metadata": "a !",
        "Upload-Checksum": "x"}
    rows = [
        ({}, "ERR_INVALID_CONTENT_TYPE"),
        ({"Content-Type": client.BODY}, "ERR_INVALID_CONCAT"),
        ({"Upload-Concat": None}, "ERR_INVALID_UPLOAD_LENGTH"),
        ({"Upload-Length": "5"}, "ERR_INVALID_METADATA"),
        ({"Upload-Metadata": None}, "ERR_UPLOAD_SIZE_EXCEEDED"),
        ({"Upload-Length": "6"}, "ERR_INVALID_CHECKSUM"),
    ]
    with tus.nothing_created():
        for fix, code in rows:
            everything.update(fix)
            assert tus.post(everything, b"123456").code == code, fix


@ids("COMMON-08")
def test_syntax_is_judged_before_the_lock(tus, streaming):
    """A refused request interrupts nobody."""
    url = tus.create(100)
    upload = tus.open_patch(url, 0, 10)
    upload.send(b"abc")
    tus.wait_offset(url, 3)
    assert tus.patch(url, 0, headers={"Content-Type": "a/b"}).status == 415
    assert tus.patch(url, "x").status == 400
    assert tus.delete(url, {"Tus-Resumable": None}).status == 412
    upload.send(b"defghij")
    upload.end()
    assert upload.reply().status == 204


@ids("COMMON-09")
def test_405_names_what_is_allowed(tus):
    url = tus.create(1)
    assert sorted(tus.request("PUT", url).tokens("Allow")) == [
        "DELETE", "GET", "HEAD", "OPTIONS", "PATCH"]
    assert sorted(tus.request("PUT").tokens("Allow")) == ["OPTIONS", "POST"]


@ids("COMMON-10")
def test_a_damaged_store_is_500_without_a_path(tus):
    url = tus.create(10)
    tus.path(url).unlink()
    tus.path(url).mkdir()
    for reply in (tus.head(url), tus.patch(url, 0, b"x")):
        assert reply.status == 500
        if reply.body:
            assert reply.code == "ERR_INTERNAL_SERVER_ERROR"
    tus.path(url).rmdir()


@ids("COMMON-10")
def test_no_space_for_a_creation_is_507(serve):
    tus = serve({"store": {"min_free": 2 ** 60}})
    with tus.nothing_created():
        reply = tus.post({"Upload-Length": 10})
    assert (reply.status, reply.code) == (507, "ERR_NO_SPACE")
    assert "Location" not in reply


def limit_files(tus, size):
    """The master first: who is forked meanwhile has it from there."""
    master = tus.server.app.pid
    resource.prlimit(master, resource.RLIMIT_FSIZE, (size, -1))
    for pid in proc.children(master):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, -1))


@ids("COMMON-10")
def test_no_space_in_a_body_is_507_and_keeps_what_fitted(serve):
    """RLIMIT_FSIZE makes a write fall short like a full disk does."""
    # A pool that grows would have workers without the limit.
    tus = serve({"log": {"level": "warn"}}, own=True, args=["-w", "3"])
    url = tus.create(3000000)
    limit_files(tus, 1000000)
    data = bytes(range(250)) * 8000
    reply = tus.patch(url, 0, data)
    assert (reply.status, reply.code) == (507, "ERR_NO_SPACE")
    offset = tus.offset(url)
    assert 0 < offset <= 1000000
    assert tus.data(url) == data[:offset]
    limit_files(tus, -1)
    assert tus.patch(url, offset, data[offset:]).status == 204
    assert tus.data(url) == data


@ids("COMMON-11")
def test_sigterm_in_a_patch_keeps_the_bytes(serve, streaming):
    tus = serve(own=True)
    url = tus.create(100)
    upload = tus.open_patch(url, 0, 100)
    upload.send(b"0123456789")
    tus.wait_offset(url, 10)
    assert tus.server.stop_app(signal.SIGTERM) == 0
    try:
        reply = upload.reply()
        assert (reply.status, reply.code) == (503, "ERR_SERVER_SHUTDOWN")
    except (EOFError, ConnectionResetError):
        pass
    tus.server.start_app()
    assert tus.offset(url) == 10
    assert tus.patch(url, 10, b"x" * 90).status == 204
    assert tus.data(url) == b"0123456789" + b"x" * 90


def test_the_manual_has_every_code_with_its_status():
    """Users look for what they were told."""
    tables = "".join((rig.TREE / name).read_text()
                     for name in ("web/answer.c", "tus/tus.c"))
    codes = re.findall(r"\{ (\d{3}), \"(ERR_\w+)\"", tables)
    assert len(codes) > 40
    page = (rig.TREE / "man/tusfcgi.8").read_text()
    page = page.partition(".Ss Refusals")[2].partition(".Sh")[0]
    told = {}
    for item in page.split(".It ")[1:]:
        told[item[:3]] = set(re.findall(r"ERR_\w+", item))
    for status, code in codes:
        assert code in told.get(status, ()), (status, code)


def test_the_log_has_one_line_per_request(serve):
    tus = serve({"log": {"level": "info"}}, own=True)
    url = tus.create(10)
    tus.patch(url, 0, b"abc")
    rig.wait_for(lambda: re.search(r"PATCH.*204", tus.server.log()),
                 "a line about the PATCH")
