"""The table of bad inputs, reliability.md section 6, row by row.

An upload of length 100 at offset 50 must be as it was after each of them, and
nothing new may lie in the store.  What is about records, other files in the
store, ids and FastCGI is in test_security, test_head and test_fastcgi too; the
rows are repeated here where the table has them.
"""

import base64
import json

import pytest

from lib import client
from lib.record import forge
from lib.summary import ROWS

ids = pytest.mark.ids
only = pytest.mark.only

COUNT = {"rows": 0}


@pytest.fixture(autouse=True)
def count(request):
    """How many rows were tried, over all transports, for the summary."""
    before = COUNT["rows"]
    yield
    request.node.user_properties.append((ROWS, COUNT["rows"] - before))


@pytest.fixture
def tus(serve):
    return serve({"max_size": "1M"})


@pytest.fixture
def url(tus):
    path = tus.create(100)
    assert tus.patch(path, 0, b"x" * 50).status == 204
    return path


def row(reply, *statuses):
    COUNT["rows"] += 1
    assert reply.status in statuses, reply
    return reply


def b64(data):
    return base64.b64encode(data).decode()


UNKNOWN = ["f" * 32, "{flip}", "{upper}", "{short}"]


@pytest.mark.parametrize("bad", UNKNOWN)
def test_well_formed_but_unknown_ids(tus, url, bad):
    name = tus.id(url)
    flip = ("1" if name[0] == "0" else "0") + name[1:]
    bad = "/files/" + bad.format(flip=flip, upper=name.upper(),
                                 short=name[:31])
    with tus.unchanged(url), tus.nothing_created():
        row(tus.head(bad), 404)
        row(tus.patch(bad, 50, b"x"), 404)
        row(tus.delete(bad), 404)


def test_a_query_is_ignored(tus, url):
    row(tus.head(url + "?a=b"), 200)


CREATIONS = [
    # Upload-Length
    *[({"Upload-Length": v}, 400) for v in (
        "-1", "+5", "1e3", "", "0x10", "5, 5", "9223372036854775808",
        "1" * 20, "9" * 7000, " ", "5 5", "5;", "\u0661")],
    # neither or both lengths
    ({}, 400),
    ({"Upload-Length": 1, "Upload-Defer-Length": 1}, 400),
    *[({"Upload-Defer-Length": v}, 400) for v in ("0", "2", "true", "")],
    ({"Upload-Length": 2 ** 20 + 1}, 413),
    # metadata
    *[({"Upload-Length": 1, "Upload-Metadata": v}, 400) for v in (
        "a b c", "\u00e4 YQ==", "a !!!!", "a YQ", "a Y-_=", "a YQ==,a Yg==",
        "a,a", "a YQ== b")],
    ({"Upload-Length": 1, "Upload-Metadata": "a " + "YWFh" * 1100}, 431),
    ({"Upload-Length": 1, "Upload-Metadata":
      ",".join(f"{i:x}" for i in range(1500))}, 431),
    # concatenation
    *[({"Upload-Concat": v}, 400) for v in (
        "final", "final;", "final; ", "Final;a", "partial;x", "test")],
    *[({"Upload-Concat": f"final;{v}"}, 404) for v in (
        "/files/" + "0" * 32, "/other/x", "/files/../../etc/passwd",
        "/files/%61", "..", "%2e%2e/x")],
    ({"Upload-Concat": "final;" + "a " * 1001}, 400),
    # checksum
    *[({"Upload-Length": 1, "Upload-Checksum": v}, 400) for v in (
        "sha1", "sha1 !!!", "foo YQ==", "SHA1 YQ==", "sha1 a b", "")],
    # methods and versions
    ({"Upload-Length": 1, "X-HTTP-Method-Override": "FOO"}, 405),
    ({"Upload-Length": 1, "X-HTTP-Method-Override": "TRACE"}, 405),
    *[({"Upload-Length": 1, "Tus-Resumable": v}, 412) for v in (
        None, "0.2.2", "1.0.0, 1.0.0", "1", "1.0.0.0")],
]


@pytest.mark.parametrize("headers, status", CREATIONS,
                         ids=lambda v: ascii(v)[:40])
def test_creations(tus, headers, status):
    with tus.nothing_created():
        row(tus.post(headers), status)


@pytest.mark.parametrize("value", [
    ",", "a", "", "a YQ==, b Yg==", "a YQ==,"])
def test_metadata_that_is_fine(tus, value):
    row(tus.post({"Upload-Length": 1, "Upload-Metadata": value}), 201)


@pytest.mark.parametrize("value", [
    b"x\r\nSet-Cookie: a=b", b"a\0b", b"\xff", b"../../etc/passwd",
    b'a";x="', "\u202egnp.exe".encode()])
def test_metadata_that_only_looks_dangerous(tus, value):
    before = set(tus.server.dir.iterdir())
    sent = f"filename {b64(value)},filetype {b64(value)}"
    url = tus.finished(b"abc", {"Upload-Metadata": sent})
    assert row(tus.head(url), 200)["Upload-Metadata"] == sent
    reply = row(tus.get(url), 200)
    assert reply["Content-Type"] == "application/octet-stream"
    assert reply["Content-Disposition"].startswith("attachment")
    assert "Set-Cookie" not in reply
    assert set(tus.server.dir.iterdir()) == before


@pytest.mark.parametrize("kind, sent", [
    (b"text/html", "text/html"), (b"image/svg+xml", "image/svg+xml"),
    (b"text/html\r\nX:y", "application/octet-stream")])
def test_dangerous_types_are_saved(tus, kind, sent):
    url = tus.finished(b"abc", {"Upload-Metadata": f"filetype {b64(kind)}"})
    reply = row(tus.get(url), 200)
    assert reply["Content-Type"] == sent
    assert reply["Content-Disposition"].startswith("attachment")


def test_a_length_of_63_bits_without_a_maximum(endless):
    tus = endless
    url = tus.create(2 ** 63 - 1)
    assert tus.path(url).stat().st_blocks == 0
    row(tus.patch(url, 0, b"abc"), 204)
    row(tus.patch(url, 2 ** 63 - 1, b"abc"), 409)


@pytest.mark.parametrize("length, body, kind, status", [
    (3, b"1234", client.BODY, 413), (3, b"x" * 10 ** 6, client.BODY, 413),
    (3, b"123", None, 415), (3, b"123", "text/plain", 415),
    (3, b"123", "application/json", 415)])
def test_bodies_of_creations(tus, length, body, kind, status):
    headers = {"Upload-Length": length, "Content-Type": kind}
    with tus.nothing_created():
        row(tus.post(headers, body), status)
        if tus.transport.chunked:
            row(tus.post(headers, body, length=client.CHUNKED), status)
    row(tus.post({"Upload-Length": length, "Content-Type": kind}, b""), 201)


@pytest.mark.parametrize("offset, status", [
    *[(v, 400) for v in (None, "", "-1", "50a", "50,50", str(2 ** 63))],
    (49, 409), (51, 409), (2 ** 63 - 1, 409)])
def test_offsets(tus, url, offset, status):
    with tus.unchanged(url):
        for body in (b"", b"abc"):
            reply = row(tus.patch(url, offset, body), status)
            if status == 409:
                assert reply["Upload-Offset"] == "50"


def test_leading_zeros_are_digits(tus, url):
    row(tus.patch(url, "050", b"abc"), 204)


def test_more_than_remains(tus, url):
    with tus.unchanged(url):
        row(tus.patch(url, 50, b"x" * 60), 413)
        if tus.transport.chunked:
            row(tus.patch(url, 50, b"x" * 60, length=client.CHUNKED), 413)


@pytest.mark.parametrize("kind, status", [
    (None, 415), ("text/plain", 415),
    ("application/offset+octet-streamX", 415),
    ("Application/Offset+Octet-Stream; x=1", 204)])
def test_content_types(tus, url, kind, status):
    row(tus.patch(url, 50, b"x", {"Content-Type": kind}), status)
    assert tus.offset(url) == (51 if status == 204 else 50)


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.0, 1.0.0"])
def test_versions(tus, url, version):
    headers = {"Tus-Resumable": version}
    with tus.unchanged(url):
        for target, status in (
                (url, 412),
                ("/files/" + "0" * 32, 412 if version else tus.unclaimed)):
            row(tus.head(target, headers), status)
            row(tus.patch(target, 50, b"x", headers), 412)
            row(tus.delete(target, headers), status)


def test_patches_of_what_is_whole(tus):
    url = tus.partial(b"abc")
    final = tus.create(headers={"Upload-Concat": f"final;{url}"})
    with tus.unchanged(url), tus.unchanged(final):
        row(tus.patch(url, 3), 204)
        row(tus.patch(url, 3, b"x"), 413)
        row(tus.patch(final, 3), 403)
        row(tus.patch(final, 3, b"x"), 403)


def test_declarations(tus):
    url = tus.create(headers={"Upload-Defer-Length": "1"})
    tus.patch(url, 0, b"x" * 50)
    with tus.unchanged(url):
        row(tus.patch(url, 50, b"", {"Upload-Length": 49}), 400)
        row(tus.patch(url, 50, b"", {"Upload-Length": 2 ** 20 + 1}), 413)
    row(tus.patch(url, 50, b"", {"Upload-Length": 100}), 204)
    row(tus.patch(url, 50, b"", {"Upload-Length": 100}), 204)
    row(tus.patch(url, 50, b"", {"Upload-Length": 101}), 400)


def test_final_uploads(tus):
    part = tus.partial(b"x" * 600000)
    plain = tus.finished(b"abc")
    unfinished = tus.create(10, {"Upload-Concat": "partial"})
    undeclared = tus.create(headers={
        "Upload-Concat": "partial", "Upload-Defer-Length": "1"})
    final = tus.create(headers={"Upload-Concat": f"final;{part}"})
    header = {"Upload-Concat": f"final;{part}"}
    with tus.nothing_created():
        for other in (plain, unfinished, undeclared, final):
            row(tus.post({"Upload-Concat": f"final;{part} {other}"}), 400)
        row(tus.post({**header, "Upload-Length": 3}), 400)
        row(tus.post({**header, "Upload-Defer-Length": 1}), 400)
        row(tus.post({**header, "Content-Type": client.BODY}, b"x"), 403)
        row(tus.post({"Upload-Concat": f"final;{part} {part}"}), 413)


@pytest.mark.parametrize("value, status", [
    ("sha1", 400), ("sha1 !!!", 400), ("foo YQ==", 400), ("SHA1 YQ==", 400),
    ("sha1 a b", 400), ("", 400), ("sha1 YQ==", 460),
    ("sha1 " + b64(b"x" * 20), 460), ("sha1 " + b64(b"x" * 21), 460)])
def test_checksums(tus, url, value, status):
    with tus.unchanged(url):
        row(tus.patch(url, 50, b"abc", {"Upload-Checksum": value}), status)


@pytest.mark.parametrize("method", ["PUT", "patch", "Head", "X" * 4000])
def test_methods(tus, url, method):
    """nginx knows methods of capital letters only."""
    ours = tus.name == "fastcgi"
    with tus.unchanged(url):
        row(tus.request(method, url, is_ours=ours and method != "Head"),
            *((405,) if ours else (400, 405, 414)))


@pytest.mark.parametrize("name", ["FOO", "TRACE", "CONNECT"])
def test_overrides(tus, url, name):
    with tus.unchanged(url):
        for method in ("POST", "PATCH", "GET", "PUT"):
            reply = row(tus.request(method, url, {
                "X-HTTP-Method-Override": name}), 405)
            assert "Allow" in reply


@pytest.mark.parametrize("version", [None, "0.1", "x"])
def test_options_of_any_version_and_id(tus, url, version):
    for target in (url, "/files/", "/files/" + "0" * 32, "/files/x.y"):
        row(tus.options(target, {"Tus-Resumable": version}), 200)


@pytest.mark.parametrize("origin", [
    "null", "https://evil.example", "https://good.example.evil"])
def test_origins(serve, origin):
    tus = serve({"cors": {"origins": ["https://good.example"]}})
    with tus.nothing_created():
        reply = row(tus.post({"Upload-Length": 1, "Origin": origin}), 403)
    assert not [n for n, _ in reply.headers if n.startswith("Access-")]


@only("fastcgi")
@pytest.mark.parametrize("origin", [
    b"https://good.example\r\nX: y", b"https://good.example\0"])
def test_origins_that_http_cannot_carry(serve, origin):
    tus = serve({"cors": {"origins": ["https://good.example"]}})
    reply = tus.post({"Upload-Length": 1, "Origin": origin})
    # A NUL ends the parameter for libfcgi, which would make it the good one.
    row(reply, 400 if b"\0" in origin else 403)
    assert "X" not in reply


@only("fastcgi")
@pytest.mark.parametrize("value, status", [
    ("-1", 204), ("-2", 400), ("abc", 400), ("", 204), (None, 204)])
def test_content_lengths(tus, url, value, status):
    row(tus.patch(url, 50, b"abc", params={"CONTENT_LENGTH": value}), status)
    # What came is kept where the body was only shorter than announced.
    assert tus.offset(url) == (53 if value in ("-1", "", None) else 50)


@only("fastcgi")
@pytest.mark.parametrize("value", ["40"])
def test_a_body_shorter_than_announced_is_kept(tus, url, value):
    row(tus.patch(url, 50, b"abc", params={"CONTENT_LENGTH": value}), 400)
    assert tus.offset(url) == 53


BROKEN_RECORDS = [
    (b"", 404), (b"\0" * 600, 404), (b"{", 500), (b"null", 500),
    (b"[]", 500), (b"[" * 10000, 500), (b'{"Size":1e400}', 500),
    (b" " * 2 ** 20, 500), (b'{"ID":"other","Size":3,"Offset":0}', 500),
    (b'{"Size":-1}', 500), (b'{"ID":"\\ud800"}', 500),
    (b'{"ID":"a\\u0000b"}', 500),
]


@pytest.mark.parametrize("record, status", BROKEN_RECORDS,
                         ids=lambda v: repr(v)[:20])
def test_broken_records(tus, url, record, status):
    tus.path(url, ".info").write_bytes(record)
    row(tus.head(url), status)
    row(tus.patch(url, 50, b"x"), status)
    row(tus.get(url), status)
    assert tus.data(url) == b"x" * 50
    # What is empty was never an upload: the sweep removes the rest.
    row(tus.delete(url), *((204,) if status == 500 else (204, 404)))
    row(tus.head(url), 404)


@pytest.mark.parametrize("change", ["shift", "negative", "other id", "huge"])
def test_records_that_are_almost_right(tus, url, change):
    path = tus.path(url, ".info")
    if change == "shift":
        path.write_bytes(b" " + path.read_bytes())
        # As JSON it is still right, so it may be read like a foreign one.
        row(tus.head(url), 200, 500)
    elif change == "negative":
        forge(path, "Size", -5)
        row(tus.head(url), 500)
    elif change == "other id":
        path.write_bytes(path.read_bytes().replace(
            tus.id(url).encode(), b"f" * 32, 1))
        row(tus.head(url), 500)
    else:
        path.write_bytes(path.read_bytes() + b" " * 2 ** 20)
        row(tus.head(url), 500)
    row(tus.delete(url), 204)


def test_a_path_in_a_record_is_ignored(tus, url):
    path = tus.path(url, ".info")
    record = json.loads(path.read_text())
    old = json.dumps(record["Storage"]["Path"]).encode()
    text = path.read_bytes()
    if old not in text:
        old = old.replace(b"/", b"\\/")
    assert old in text
    path.write_bytes(text.replace(old, b'"/etc/passwd"'))
    assert row(tus.head(url), 200)["Upload-Offset"] == "50"
    row(tus.patch(url, 50, b"y" * 50), 204)
    assert tus.get(url).body == b"x" * 50 + b"y" * 50


@pytest.mark.parametrize("suffix, content", [
    (".info.new", b"{"), (".lock", b"12345\n"), (".stop", b"")])
def test_leftovers_beside_an_upload(tus, url, suffix, content):
    tus.path(url, suffix).write_bytes(content)
    assert row(tus.head(url), 200)["Upload-Offset"] == "50"
    row(tus.patch(url, 50, b"y" * 50), 204)
    row(tus.delete(url), 204)
    tus.path(url, suffix).unlink(missing_ok=True)


@pytest.mark.parametrize("value, status", [
    ("bytes=3-", 416), ("bytes=-0", 416),
    ("bytes=" + ",".join(["0-0"] * 1000), 200)])
def test_ranges(tus, value, status):
    url = tus.finished(b"abc")
    row(tus.get(url, {"Range": value}), status)


def test_a_client_that_is_gone_after_the_headers(tus, streaming):
    with tus.nothing_created():
        for _ in range(5):
            upload = tus.open("POST", None, {
                "Upload-Length": 100, "Content-Type": client.BODY}, 100)
            upload.reset()
            COUNT["rows"] += 1
        row(tus.options(), 200)


@ids("COMMON-10")
def test_creations_without_space(serve):
    tus = serve({"store": {"min_free": 2 ** 60}})
    with tus.nothing_created():
        row(tus.post({"Upload-Length": 1}), 507)
