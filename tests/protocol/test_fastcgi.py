"""FCGI: what only somebody who speaks FastCGI sees, and what must not get
lost between us and the web server."""

import os
import random

import pytest

from lib import client, fastcgi, proc, rig

ids = pytest.mark.ids
only = pytest.mark.only


@pytest.fixture
def raw(serve):
    """A client for single records, and no web server."""
    return serve()


def connect(tus):
    return fastcgi.Client(tus.server.socket, 10).connect()


def params_of(tus, method, target, headers=None, length=None, params=None):
    return client.cgi_params(
        tus.server, method, target,
        client.expand({**tus.headers, **(headers or {})}), length,
        params or {})


def read_reply(stream):
    answer = stream.read()
    assert answer.ended, answer.raw
    reply = client.reply_of(answer.raw)
    client.check(reply, "?" if reply.body else "HEAD")
    return reply


def talk(tus, data):
    """Sends bytes, gives back the reply."""
    with fastcgi.Stream(connect(tus)) as stream:
        stream.send_raw(data)
        return read_reply(stream)


@ids("FCGI-01")
@pytest.mark.parametrize("status, headers", [
    (409, {"Upload-Offset": 5}), (415, {"Content-Type": "text/plain"}),
    (412, {"Tus-Resumable": "0.1"}), (400, {"Upload-Offset": "x"}),
    (413, {}), (404, None)])
def test_a_refusal_of_a_large_body_arrives(tus, status, headers):
    url = tus.create(10)
    if headers is None:
        url, headers = "/files/" + "0" * 32, {}
    reply = tus.patch(url, 0, b"x" * 20000000, headers)
    assert reply.status == status
    assert reply.body.startswith(b"ERR_")


@ids("FCGI-01")
def test_a_client_that_never_ends_does_not_bind_a_worker(serve, streaming):
    """The rest of a refused body is read for a limited time only."""
    tus = serve({"timeouts": {"drain": "1s"}, "pool": {
        "min_spare": 1, "max_workers": 2, "reserve": 0}}, own=True)
    url = tus.create(10)
    hanging = [tus.open_patch(url, 5, 2 ** 30) for _ in range(4)]
    for exchange in hanging:
        exchange.send(b"x" * 1000)
    for _ in range(4):
        assert tus.head(url, timeout=15).status == 200
    for exchange in hanging:
        exchange.reset()


@ids("FCGI-02", "FCGI-03")
@pytest.mark.parametrize("how", ["close", "abort", "half a record"])
def test_the_ways_a_body_breaks_off(raw, how):
    url = raw.create(100)
    upload = raw.open_patch(url, 0, 100)
    upload.send(b"0123456789")
    raw.wait_offset(url, 10)
    if how == "abort":
        upload.try_send(fastcgi.record(fastcgi.ABORT))
    elif how == "half a record":
        upload.try_send(fastcgi.record(fastcgi.STDIN, b"abcdef")[:11])
        raw.wait_offset(url, 13)
    upload.reset()
    expected = 13 if how == "half a record" else 10
    assert raw.offset(url) == expected
    assert raw.patch(url, expected, b"x" * (100 - expected)).status == 204


@ids("FCGI-03")
def test_an_abort_is_answered_and_the_worker_stays(raw):
    url = raw.create(100)
    upload = raw.open_patch(url, 0, 100)
    upload.send(b"0123456789")
    raw.wait_offset(url, 10)
    upload.try_send(fastcgi.record(fastcgi.ABORT))
    try:
        assert upload.reply().status in (400, 423)
    except (EOFError, ConnectionResetError):
        pass
    assert raw.offset(url) == 10


@ids("FCGI-04")
def test_the_connection_is_kept_if_asked_for(raw):
    url = raw.create(10)
    with fastcgi.Stream(connect(raw)) as stream:
        for _ in range(3):
            stream.send_raw(
                fastcgi.begin(flags=fastcgi.KEEP_CONN) +
                fastcgi.params(params_of(raw, "HEAD", url)) +
                fastcgi.record(fastcgi.STDIN))
            assert read_reply(stream).status == 200


@ids("FCGI-04")
def test_the_connection_is_closed_if_not(raw):
    url = raw.create(10)
    with fastcgi.Stream(connect(raw)) as stream:
        stream.send_raw(fastcgi.begin() + fastcgi.params(
            params_of(raw, "HEAD", url)) + fastcgi.record(fastcgi.STDIN))
        assert read_reply(stream).status == 200
        assert stream.exactly(1) is None


@ids("FCGI-04")
def test_a_kept_connection_after_a_refused_body(raw):
    """The rest of the body is not read as the next request."""
    url = raw.create(10)
    keep = fastcgi.begin(flags=fastcgi.KEEP_CONN)
    with fastcgi.Stream(connect(raw)) as stream:
        stream.send_raw(
            keep + fastcgi.params(params_of(raw, "PATCH", url, {
                "Content-Type": client.BODY, "Upload-Offset": 7}, 100000)) +
            fastcgi.stdin(b"x" * 100000) + fastcgi.record(fastcgi.STDIN))
        assert read_reply(stream).status == 409
        stream.send_raw(
            keep + fastcgi.params(params_of(raw, "HEAD", url)) +
            fastcgi.record(fastcgi.STDIN))
        assert read_reply(stream)["Upload-Offset"] == "0"


@ids("FCGI-05")
@pytest.mark.parametrize("size, padding", [
    (1, 0), (7, 3), (100, 255), (65000, 0)])
def test_parameters_in_pieces(raw, size, padding):
    url = raw.create(10)
    data = fastcgi.begin() + fastcgi.params(
        {**params_of(raw, "HEAD", url), "EMPTY": b"", "": b"x"}, size,
        padding) + fastcgi.record(fastcgi.STDIN)
    assert talk(raw, data).status == 200


@ids("FCGI-05")
def test_many_and_long_parameters(raw):
    url = raw.create(10)
    long = {f"HTTP_X_{i}": b"y" * 900 for i in range(70)}
    long["HTTP_X_LONG"] = b"z" * 65000
    data = fastcgi.begin() + fastcgi.params(
        {**long, **params_of(raw, "HEAD", url)}) + fastcgi.record(
            fastcgi.STDIN)
    assert talk(raw, data).status == 200


@ids("FCGI-05")
def test_a_body_in_pieces_of_every_size(raw):
    body = bytes(i * 7 & 255 for i in range(3000))
    for size in (1, 5, 8, 8184, 65535):
        url = raw.create(len(body))
        pieces = b"".join(
            fastcgi.record(fastcgi.STDIN, body[i:i + size], padding=i % 8)
            for i in range(0, len(body), size))
        data = fastcgi.begin() + fastcgi.params(params_of(
            raw, "PATCH", url, {"Content-Type": client.BODY,
                                "Upload-Offset": 0}, len(body))) + \
            pieces + fastcgi.record(fastcgi.STDIN)
        assert talk(raw, data)["Upload-Offset"] == str(len(body))
        assert raw.data(url) == body


@ids("FCGI-07")
def test_the_reason_of_460(tus):
    url = tus.create(10)
    reply = tus.patch(url, 0, b"abc", {"Upload-Checksum": "sha1 YQ=="})
    assert (reply.status, reply.reason) == (460, "Checksum Mismatch")


@ids("FCGI-08")
@pytest.mark.parametrize("value", [
    "abc", "-2", "-10", "1x", "0x5", "9223372036854775808", "1" * 30, "5, 5", "+3"])
def test_garbage_as_content_length_is_400(raw, value):
    url = raw.create(10)
    with raw.unchanged(url):
        reply = raw.patch(url, 0, b"abc", params={"CONTENT_LENGTH": value})
        assert reply.status == 400
    with raw.nothing_created():
        assert raw.post({"Upload-Length": 5},
                        params={"CONTENT_LENGTH": value}).status == 400


@ids("FCGI-08")
@pytest.mark.parametrize("value", ["-1", "", None])
def test_an_unknown_content_length_is_none(raw, value):
    """Caddy says -1, nginx nothing."""
    url = raw.create(3)
    reply = raw.patch(url, 0, b"abc", params={"CONTENT_LENGTH": value})
    assert (reply.status, raw.data(url)) == (204, b"abc")
    reply = raw.post({"Upload-Length": 5}, params={"CONTENT_LENGTH": value})
    assert reply.status == 201


@ids("FCGI-09")
def test_without_request_uri_the_path_is_script_name_and_path_info(raw):
    url = raw.create(10)
    path = url[len("/files"):]
    split = {"SCRIPT_NAME": "/files", "PATH_INFO": path}
    whole = {"SCRIPT_NAME": url, "PATH_INFO": None}
    for uri in (None, ""):
        assert raw.head(url, params={
            **split, "REQUEST_URI": uri}).status == 200
        # Where nothing is split, base_path must be known.
        assert raw.head(url, params={
            **whole, "REQUEST_URI": uri,
            "TUS_BASE_PATH": "/files"}).status == 200


@ids("FCGI-10")
def test_there_is_one_answer_and_no_1xx(raw):
    url = raw.create(10)
    for reply in (raw.patch(url, 0, b"abc", {"Expect": "100-continue"}),
                  raw.post({"Upload-Length": 3})):
        assert len(reply.all("Status")) == 1
        assert reply.status >= 200


@ids("FCGI-09", "COMMON-01", "COMMON-03")
@pytest.mark.parametrize("method", ["POST", "HEAD", "GET"])
def test_without_any_path_it_is_400(raw, method):
    """With all that every response has, and no body to HEAD."""
    with raw.nothing_created():
        reply = raw.request(method, "/files/", {"Upload-Length": 1}, params={
            "REQUEST_URI": None, "SCRIPT_NAME": None, "PATH_INFO": None})
    assert reply.status == 400
    assert reply.reason == "Bad Request"


@ids("COMMON-01", "COMMON-03")
def test_another_role_is_500(raw):
    """To an authorizer any 200 would mean "let him in"."""
    data = fastcgi.begin(role=fastcgi.AUTHORIZER) + fastcgi.params(
        params_of(raw, "GET", "/files/")) + fastcgi.record(fastcgi.STDIN)
    assert talk(raw, data).status == 500


def mutations(rng, tus, url):
    """Conversations that are wrong somewhere."""
    good = fastcgi.begin() + fastcgi.params(params_of(
        tus, "PATCH", url, {"Content-Type": client.BODY,
                            "Upload-Offset": 0}, 3)) + \
        fastcgi.stdin(b"abc") + fastcgi.record(fastcgi.STDIN)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = rng.choice([len(data), len(data), rng.randrange(len(data))])
        yield bytes(data[:cut])


WRONG = [
    b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\1" * 8, b"\xff" * 64,
    fastcgi.begin(role=fastcgi.AUTHORIZER) + fastcgi.params({}),
    fastcgi.begin(role=9) + fastcgi.params({}),
    fastcgi.begin(request_id=0) + fastcgi.params({}),
    fastcgi.begin() + fastcgi.record(fastcgi.STDIN, b"early"),
    fastcgi.begin() + fastcgi.params({}) + fastcgi.record(fastcgi.STDIN),
    fastcgi.begin() + fastcgi.record(fastcgi.PARAMS, b"\xff\xff\xff\xff" * 4),
    fastcgi.begin() + fastcgi.record(fastcgi.PARAMS, b"\x80\0\0\x05"),
    fastcgi.record(fastcgi.BEGIN, b"\0\1\0\0\0\0\0\0", version=2),
    fastcgi.record(9, b"\x0f\0FCGI_MPXS_CONNS", request_id=0),
    fastcgi.record(99), fastcgi.begin() + fastcgi.begin(),
]


@ids("FCGI-05")
def test_wrong_records_harm_nobody(raw):
    """REQUEST_METHOD missing, other roles, records at the wrong place."""
    url = raw.create(3)
    rng = random.Random(int(os.environ.get("SEED", 7)))
    client_ = fastcgi.Client(raw.server.socket, 10)
    for data in WRONG + list(mutations(rng, raw, url)):
        client_.raw(data)
    assert raw.head(url).status == 200
    assert "Sanitizer" not in raw.server.log()


@ids("FCGI-06")
def test_aborted_requests_leave_no_descriptor(serve, streaming, workers):
    tus = serve({"pool": {"min_spare": 2}, "log": {"level": "warn"}},
                own=True)
    url = tus.create(10 ** 6)
    tus.head(url)
    before = {p: proc.descriptors(p) for p in workers(tus)}
    for _ in range(100):
        upload = tus.open_patch(url, tus.size(url), 10 ** 5)
        upload.send(b"x" * 100)
        upload.reset()
    assert tus.head(url).status == 200
    # The last ones may still be at work.
    rig.wait_for(lambda: all(
        proc.descriptors(pid) <= count + 1 for pid, count in before.items()
        if pid in proc.children(tus.server.app.pid)),
        "the descriptors to be closed")


# --- The same parameter twice -----------------------------------------------

def talk_twice(tus, method, target, headers, *more):
    """A request with more parameters behind the usual ones."""
    pairs = list(params_of(tus, method, target, headers, 0).items())
    return talk(tus, fastcgi.begin() + fastcgi.params(pairs + list(more)) +
                fastcgi.record(fastcgi.STDIN))


@ids("COMMON-12", "COMMON-06", "VER-07", "META-04")
def test_headers_that_come_twice_are_one_list(raw):
    """Older nginx hands on each line; lighttpd and Apache join them."""
    for name, first, second, status in (
            ("UPLOAD_LENGTH", "5", "6", 400), ("UPLOAD_LENGTH", "5", "5", 400),
            ("TUS_RESUMABLE", "1.0.0", "0.2.2", 412),
            ("TUS_RESUMABLE", "1.0.0", "1.0.0", 412),
            ("UPLOAD_METADATA", "a YQ==", "a Yg==", 400),
            ("UPLOAD_CONCAT", "partial", "partial", 400),
            ("X_HTTP_METHOD_OVERRIDE", "POST", "DELETE", 405)):
        with raw.nothing_created():
            reply = talk_twice(
                raw, "POST", "/files/", {
                    "Upload-Length": 5, name.replace("_", "-"): first},
                ("HTTP_" + name, second))
            assert reply.status == status, (name, reply)
    reply = talk_twice(raw, "POST", "/files/",
                       {"Upload-Length": 5, "Upload-Metadata": "a YQ=="},
                       ("HTTP_UPLOAD_METADATA", "b"),
                       ("HTTP_UPLOAD_METADATA", "c Yw=="))
    assert reply.status == 201
    assert raw.head(reply["Location"])["Upload-Metadata"] == \
        "a YQ==, b, c Yw=="


@ids("COMMON-12")
def test_two_equal_lines_of_a_client_are_one_list(serve):
    """Through the web server, whatever it makes of them."""
    tus = serve()
    with tus.nothing_created():
        for name, first, second, status in (
                ("Upload-Length", "5", "6", 400),
                ("Tus-Resumable", "1.0.0", "0.2.2", 412)):
            reply = tus.post({"Upload-Length": "5", name: [first, second]})
            assert reply.status == status
    reply = tus.post({"Upload-Length": "5",
                      "Upload-Metadata": ["a YQ==", "b"]})
    assert tus.head(reply["Location"])["Upload-Metadata"] == "a YQ==, b"


@ids("FCGI-11")
@pytest.mark.parametrize("name, value", [
    ("REQUEST_METHOD", "HEAD"), ("REQUEST_URI", "/other"),
    ("CONTENT_LENGTH", "5"), ("HTTPS", "on"), ("REQUEST_SCHEME", "https"),
    ("PATH_INFO", "/x"), ("TUS_MAX_SIZE", "3"),
    ("REDIRECT_TUS_MAX_SIZE", "3"), ("TUS_BASE_PATH", "/other")])
def test_two_values_of_what_the_web_server_says_are_refused(raw, name, value):
    before = {"HTTPS": "off", "TUS_MAX_SIZE": "2", "TUS_BASE_PATH": "/files",
              "REDIRECT_TUS_MAX_SIZE": "2"}
    first = [(name, before[name])] if name in before else []
    with raw.nothing_created():
        reply = talk_twice(raw, "POST", "/files/", {"Upload-Length": 1},
                           *first, (name, value))
    assert (reply.status, reply.code) == (400, "ERR_AMBIGUOUS_PARAMETER")
    said = raw.server.log()
    assert f"two values of {name.removeprefix('REDIRECT_')}" in said


@ids("FCGI-11")
def test_equal_values_and_what_we_do_not_read_do_not_matter(raw):
    reply = talk_twice(
        raw, "POST", "/files/", {"Upload-Length": 1}, ("HTTPS", "on"),
        ("HTTPS", "on"), ("REQUEST_METHOD", "POST"), ("SERVER_NAME", "a"),
        ("SERVER_NAME", "b"), ("SCRIPT_NAME", "/x"), ("QUERY_STRING", "y"),
        ("REMOTE_USER", "a"), ("REMOTE_USER", "b"))
    assert reply.status == 201


@only("fastcgi")
@ids("FCGI-11")
def test_two_users_are_none(serve):
    """Stock fastcgi_params passes the name that a client claims; the line
    that clears it comes behind that, or before."""
    for name in ("REMOTE_USER", "TUS_OWNER"):
        tus = serve({"owner": {"param": "REMOTE_USER", "require": True}})
        for pairs in ([(name, "alice"), (name, "")],
                      [(name, ""), (name, "alice")],
                      [(name, "bob"), (name, "alice")]):
            with tus.nothing_created():
                reply = talk_twice(tus, "POST", "/files/",
                                   {"Upload-Length": 1}, *pairs)
                assert (reply.status, reply.code) == (
                    403, "ERR_OWNER_UNKNOWN")
        reply = talk_twice(tus, "POST", "/files/", {"Upload-Length": 1},
                           (name, "alice"), (name, "alice"))
        assert reply.status == 201


@only("fastcgi")
def test_a_nul_byte_makes_nobody_somebody_else(serve):
    """libfcgi would cut the name there."""
    tus = serve({"owner": {"param": "REMOTE_USER", "require": True}})
    for pair in (("REMOTE_USER", "alice\0x"), ("REMOTE_USER\0X", "alice"),
                 ("HTTP_X", "\0")):
        with tus.nothing_created():
            reply = talk_twice(tus, "POST", "/files/", {"Upload-Length": 1},
                               pair)
        assert (reply.status, reply.code) == (400, "ERR_BAD_REQUEST")
    assert "NUL byte" in tus.server.log()
