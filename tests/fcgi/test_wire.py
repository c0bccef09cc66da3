"""What comes in and what goes out, record by record.

The names in brackets are those of the protocol's checklist.
"""

import contextlib
import os
import random
import socket
import subprocess
import time

import pytest

from lib import fastcgi, rig
from lib.fastcgi import record

ALONE = ["-w", "1"]


@pytest.fixture
def one(app):
    """A single process, so that what survives is this very one."""
    server = app(args=ALONE)
    yield server
    assert server.app.poll() is None, server.log()
    assert server.client.request("OPTIONS", "/files").status == 200


def test_answers_carry_one_status_and_a_true_length(one):
    """COMMON-02, COMMON-03, COMMON-05, HEAD-11"""
    path = one.client.create(10)
    answers = [
        one.client.request("OPTIONS", "/files"),
        one.client.patch(path, 3, b"x"),
        one.client.request("PUT", path),
        one.client.request("GET", path),
        one.client.request("HEAD", path, resumable="0.2.2"),
        one.client.head(path),
        one.client.patch(path, 0, b"0123456789"),
    ]
    for answer in answers:
        assert answer.ended and not answer.duplicates
        assert answer.headers["tus-resumable"] == "1.0.0"
    for answer in answers[:4]:
        assert int(answer.headers["content-length"]) == len(answer.body)
    for answer in answers[4:]:
        assert answer.body == b""
        assert "content-length" not in answer.headers
    assert answers[1].body.startswith(b"ERR_MISMATCHED_OFFSET: ")


def test_the_status_line_has_a_reason(one):
    """FCGI-07"""
    path = one.client.create(3)
    answer = one.client.patch(path, 0, b"abc", {
        "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="})
    assert answer.status == 460 and answer.reason == "Checksum Mismatch"


@pytest.mark.parametrize("piece", [1, 7, 8, 127, 8184, 8192, 32768, 65535])
@pytest.mark.parametrize("padding", [0, 1, 255])
def test_records_of_any_size_make_one_body(one, piece, padding):
    """FCGI-05"""
    body = random.Random(piece).randbytes(2000 if piece < 8 else 100000)
    path = one.client.create(len(body))
    data = fastcgi.begin() + fastcgi.params(fastcgi.variables(
        "PATCH", path, one.client.patch_headers(0), len(body)),
        piece=piece, padding=padding)
    data += b"".join(
        record(fastcgi.STDIN, body[i:i + piece], padding=padding)
        for i in range(0, len(body), piece))
    answer = one.client.raw(data + record(fastcgi.STDIN), end=False)
    assert answer.status == 204
    assert one.client.request("GET", path).body == body


def test_many_and_long_params_do_no_harm(one):
    """FCGI-05"""
    extra = {f"HTTP_X_{i}": "v" * 500 for i in range(200)}
    extra["HTTP_COOKIE"] = "c" * 64 * 1024
    extra["HTTP_X_EMPTY"] = ""
    answer = one.client.request("OPTIONS", "/files", extra=extra)
    assert answer.status == 200


def test_two_values_of_one_param_are_refused(one):
    data = fastcgi.begin() + record(
        fastcgi.PARAMS,
        fastcgi.pair("REQUEST_METHOD", "OPTIONS") +
        fastcgi.pair("REQUEST_URI", "/files") +
        fastcgi.pair("REQUEST_METHOD", "PATCH")) + \
        record(fastcgi.PARAMS) + record(fastcgi.STDIN)
    answer = one.client.raw(data, end=False)
    assert answer.status == 400
    assert answer.body.startswith(b"ERR_AMBIGUOUS_PARAMETER: ")
    assert "two values of REQUEST_METHOD" in one.log()


@pytest.mark.parametrize("missing", [
    {"REQUEST_METHOD": None},
    {"REQUEST_METHOD": ""},
    {"REQUEST_URI": None, "SCRIPT_NAME": None, "PATH_INFO": None},
])
def test_what_is_no_request_is_refused(one, missing):
    answer = one.client.request("OPTIONS", "/files", extra=missing)
    assert answer.status == 400
    assert int(answer.headers["content-length"]) == len(answer.body)


@pytest.mark.parametrize("role", [fastcgi.AUTHORIZER, fastcgi.FILTER])
def test_other_roles_never_hear_yes(one, role):
    data = fastcgi.begin(role=role) + fastcgi.params(
        fastcgi.variables("OPTIONS", "/files")) + record(fastcgi.STDIN)
    assert one.client.raw(data, end=False).status == 500


def test_no_params_at_all_are_refused(one):
    answer = one.client.raw(
        fastcgi.begin() + record(fastcgi.PARAMS) + record(fastcgi.STDIN),
        end=False)
    assert answer.status in (None, 400)


def test_without_request_uri_the_script_name_serves(one):
    """FCGI-09"""
    path = one.client.create(10)
    answer = one.client.request("HEAD", path, extra={"REQUEST_URI": None})
    assert answer.status == 200 and answer.headers["upload-offset"] == "0"


@pytest.mark.parametrize("base, uri, path_info, location", [
    ("", "/files/", "/", "/files/"),
    ("", "/a/b%20c/", "/", "/a/b%20c/"),
    ("", "/up/files", "", "/up/files/"),
    ("/files", "/files", None, "/files/"),
    ("/files/", "/files/?x=/y", "", "/files/"),
    ("/files", "http://example.test/files", None, "/files/"),
    ("/", "/", None, "/"),
])
def test_location_is_below_the_endpoint(app, base, uri, path_info, location):
    """ROUTE-01, LOC-01"""
    config = {"base_path": base} if base else {}
    one = app(args=ALONE, config=config)
    answer = one.client.request("POST", uri, {"Upload-Length": "1"},
                                extra={"PATH_INFO": path_info})
    assert answer.status == 201
    assert answer.headers["location"].startswith(location)
    name = answer.headers["location"][len(location):]
    assert len(name) == 32
    answer = one.client.request(
        "HEAD", location + name, extra={"PATH_INFO": "/" + name})
    assert answer.status == 200


def test_what_is_outside_the_endpoint_is_not_found(app):
    """ROUTE-06"""
    one = app(args=ALONE, config={"base_path": "/files"})
    for uri in ("/", "/other", "/filesystem", "/file", "/files/a/b"):
        assert one.client.request("HEAD", uri).status == 404, uri


def test_the_web_server_may_name_endpoint_owner_and_limit(app):
    one = app(args=ALONE, config={"base_path": "/files",
                                  "owner": {"require": True}})
    mine = {"TUS_BASE_PATH": "/mine", "TUS_OWNER": "me", "TUS_MAX_SIZE": "9"}
    answer = one.client.request("POST", "/mine", {"Upload-Length": "9"},
                                extra=mine)
    assert answer.status == 201
    path = answer.headers["location"]
    assert path.startswith("/mine/")
    assert one.client.request("HEAD", path, extra=mine).status == 200
    other = {**mine, "TUS_OWNER": "you"}
    assert one.client.request("HEAD", path, extra=other).status == 404
    assert one.client.request("POST", "/mine", {"Upload-Length": "10"},
                              extra=mine).status == 413
    nobody = {**mine, "TUS_OWNER": None}
    assert one.client.request("HEAD", path, extra=nobody).status in (401, 403)


@pytest.mark.parametrize("length, status", [
    ("", 204), (None, 204), ("5", 204), ("0", 204),
    ("-1", 204), ("-2", 400), ("abc", 400), ("5 5", 400),
    ("99999999999999999999", 400),
])
def test_content_length_in_all_spellings(one, length, status):
    """FCGI-08"""
    path = one.client.create(100)
    answer = one.client.request(
        "PATCH", path, one.client.patch_headers(0), b"12345",
        extra={"CONTENT_LENGTH": length})
    assert answer.status == status, answer
    expected = 5 if status == 204 and length != "0" else 0
    assert one.client.offset(path) == expected


def test_a_body_that_ends_early_is_kept_and_refused(one):
    """PATCH-21"""
    path = one.client.create(100)
    answer = one.client.patch(path, 0, b"1234", length=10)
    assert answer.status == 400
    assert answer.body.startswith(b"ERR_UNEXPECTED_EOF")
    assert one.client.offset(path) == 4


def test_what_exceeds_content_length_is_ignored(one):
    """PATCH-22"""
    path = one.client.create(100)
    assert one.client.patch(path, 0, b"1" * 50, length=10).status == 204
    assert one.client.offset(path) == 10


@pytest.mark.parametrize("how", ["close", "half-close", "abort"])
def test_what_came_before_the_end_of_a_connection_is_kept(one, how):
    """PATCH-16, FCGI-02, FCGI-03"""
    path = one.client.create(1000000)
    with one.client.open_patch(path, 0, 1000000) as stream:
        stream.send(b"x" * 500000)
        if how == "half-close":
            stream.socket.shutdown(socket.SHUT_WR)
            assert stream.read().status == 400
        elif how == "abort":
            stream.send_raw(record(fastcgi.ABORT))
            stream.read()
    assert one.client.offset(path) == 500000
    assert one.client.patch(path, 500000, b"y" * 500000).status == 204


@pytest.mark.parametrize("piece", [1000, 30000])
def test_a_slow_body_is_stored_as_it_comes(one, piece):
    """At once, not when the next tick is due."""
    path = one.client.create(13 * piece)
    with one.client.open_patch(path, 0, 13 * piece) as stream:
        began = time.monotonic()
        for i in range(1, 13):
            stream.send(b"x" * piece)
            one.wait_for_bytes(path, i * piece)
        assert time.monotonic() - began < 12 * 0.15
        stream.send(b"x" * piece)
        assert stream.finish().status == 204


def test_a_body_of_unknown_length_ends_with_its_record(one):
    """PATCH-20"""
    path = one.client.create(3000)
    with one.client.open_patch(path, 0) as stream:
        stream.send(b"x" * 1000)
        one.wait_for_bytes(path, 1000)
        stream.send(b"x" * 1000)
        answer = stream.finish()
    assert answer.status == 204 and answer.headers["upload-offset"] == "2000"


def test_an_answer_does_not_wait_for_the_end_of_the_body(one):
    path = one.client.create(100)
    with one.client.open_patch(path, 7, 100) as stream:
        stream.send(b"x" * 50)
        began = time.monotonic()
        assert stream.read().status == 409
        assert time.monotonic() - began < 0.5


def test_a_large_refused_body_is_read_to_its_end(one):
    """FCGI-01, PATCH-09"""
    size = 20000000
    path = one.client.create(100)
    with one.client.open_patch(path, 0, size) as stream:
        for _ in range(size // 1000000):
            stream.send(b"x" * 1000000)
        answer = stream.finish()
    assert answer.status == 413 and answer.ended
    assert one.client.offset(path) == 0


def test_draining_is_bounded(app):
    one = app(args=ALONE, config={"timeouts": {"drain": "1s"}})
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 1 << 40) as stream:
        end = time.monotonic() + 10
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < end:
                stream.send(b"x" * 1000)
                time.sleep(0.001)
    assert one.client.offset(path) == 0


def test_a_client_who_does_not_read_gives_the_process_back(app):
    """GET-10"""
    one = app(args=ALONE, config={"timeouts": {"read": "1s"}})
    size = 20000000
    path = one.client.create(size)
    assert one.client.patch(path, 0, b"x" * size).status == 204
    with one.client.open("GET", path, length=0) as stream:
        stream.send_raw(record(fastcgi.STDIN))
        began = time.monotonic()
        assert one.client.offset(path) == size
        assert 0.5 < time.monotonic() - began < 5
        assert not stream.read().ended
    assert one.client.request("GET", path).body == b"x" * size


@pytest.fixture
def reads_all():
    """Without OS_Read of our own no record is looked at beforehand."""
    version = subprocess.run([rig.program(), "-V"], capture_output=True)
    if b"not replaced" in version.stdout:
        pytest.skip("libfcgi's OS_Read is not replaced in this build")


def test_a_connection_may_be_kept(one, reads_all):
    """FCGI-04"""
    path = one.client.create(3000000)
    body = b"x" * 1000000
    with one.client.open_patch(path, 0, 1000000, flags=1) as stream:
        stream.send(body)
        assert stream.finish().status == 204
        for offset in (1000000, 2000000):
            stream.send_raw(fastcgi.begin(flags=1) + fastcgi.params(
                fastcgi.variables("PATCH", path, one.client.patch_headers(
                    offset), 1000000)))
            stream.send(body)
            assert stream.finish().status == 204
    assert one.client.offset(path) == 3000000


def test_who_keeps_the_socket_open_does_not_hold_the_process(one):
    """A request that was read to its end is closed; libfcgi would wait 100 ms."""
    path = one.client.create(100)
    head = fastcgi.begin() + fastcgi.params(
        fastcgi.variables("HEAD", path, length=0)) + record(fastcgi.STDIN)
    began = time.monotonic()
    streams = []
    for i in range(20):
        streams.append(fastcgi.Stream(one.client.connect()))
        streams[-1].send_raw(head)
        assert streams[-1].read().status == 200
        streams.append(one.client.open_patch(path, 2 * i, 2))
        streams[-1].send(b"xy")
        assert streams[-1].finish().status == 204
    assert time.monotonic() - began < 1.5
    for stream in streams:
        stream.close()


def test_a_kept_connection_does_not_keep_the_process(one):
    with one.client.open("OPTIONS", "/files", flags=1) as stream:
        assert stream.finish().status == 200
        began = time.monotonic()
        assert one.client.request("OPTIONS", "/files").status == 200
        assert time.monotonic() - began < 5


def test_a_connection_is_kept_after_a_request_without_a_body(one, reads_all):
    """However late its last record comes."""
    path = one.client.create(100)
    head = fastcgi.begin(flags=1) + fastcgi.params(
        fastcgi.variables("HEAD", path, length=0))
    with fastcgi.Stream(one.client.connect()) as stream:
        for pause in (0, 0.2, 0):
            stream.send_raw(head)
            time.sleep(pause)
            assert stream.finish().status == 200


# More values than libfcgi has room for on its stack.
QUESTION = record(9, fastcgi.pair("FCGI_MAX_CONNS", "") * 40, request_id=0)
# The longest value that two bytes more would make negative.
ANNOUNCED = fastcgi.begin() + record(
    fastcgi.PARAMS, b"\xff\xff\xff\xfc\0" + b"x" * 100)
STRICT = {"ASAN_OPTIONS": "max_allocation_size_mb=1024"}


def peak(pid):
    """The most memory that a process ever asked for, in MiB."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) // 1024 for line in f
                    if line.startswith("VmPeak"))


@pytest.mark.parametrize("attack", [QUESTION, ANNOUNCED],
                         ids=["question", "announced"])
@pytest.mark.parametrize("hide", [
    record(fastcgi.STDIN, b"x" * 65535)[:8],
    record(fastcgi.STDIN, b"x" * 65535)[:9],
    record(fastcgi.PARAMS, b"x" * 65535)[:8],
    fastcgi.begin()[:8] + b"\0",
    record(fastcgi.STDIN)[:7],
    b"\1",
    fastcgi.begin() + fastcgi.params(fastcgi.variables("OPTIONS", "/files")),
], ids=["header", "content", "params", "begin", "half", "byte", "request"])
def test_nothing_hides_behind_a_request(app, reads_all, hide, attack):
    """libfcgi drops what is buffered behind a request on a kept connection;
    whoever counts it as the beginning of a record is blind to what follows."""
    one = app(args=ALONE, env=STRICT)
    one.client.request("OPTIONS", "/files")
    before = peak(one.app.pid)
    whole = fastcgi.begin(flags=1) + fastcgi.params(
        fastcgi.variables("OPTIONS", "/files", length=0)) + \
        record(fastcgi.STDIN)
    with fastcgi.Stream(one.client.connect()) as stream:
        stream.send_raw(whole + hide)
        assert stream.read().status == 200
        # What is cut short is known not to be a request: no answer to it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            stream.send_raw(attack)
        assert stream.read().raw == b""
    assert one.client.request("OPTIONS", "/files").status == 200
    assert one.app.poll() is None, one.log()
    assert peak(one.app.pid) - before < 1024


def test_nothing_hides_in_the_padding_of_the_last_params(one, reads_all):
    """libfcgi takes it for the next record."""
    path = one.client.create(5)
    hidden = record(9, fastcgi.pair("FCGI_MAX_CONNS", "") * 15, request_id=0)
    padding = hidden + b"\0" * (255 - len(hidden))
    params = fastcgi.params(fastcgi.variables(
        "PATCH", path, one.client.patch_headers(0), 5))
    assert params.endswith(b"\0\0\0\0")
    data = fastcgi.begin() + params[:-2] + b"\xff\0" + padding
    assert one.client.raw(data + record(fastcgi.STDIN, b"12345")).raw == b""


@pytest.mark.parametrize("number", [1, 8, 9])
def test_a_few_questions_are_answered(one, reads_all, number):
    """HAProxy asks before its first request."""
    question = record(9, fastcgi.pair("FCGI_MPXS_CONNS", ""), request_id=0)
    request = fastcgi.begin() + fastcgi.params(fastcgi.variables(
        "OPTIONS", "/files", length=0)) + record(fastcgi.STDIN)
    answer = one.client.raw(question * number + request)
    assert answer.status == (200 if number <= 8 else None)


def test_params_that_are_cut_are_no_request(one):
    """libfcgi believes them to be whole if they end between two pairs."""
    head = fastcgi.begin() + record(fastcgi.PARAMS, b"".join(
        fastcgi.pair(name, value) for name, value in fastcgi.variables(
            "POST", "/files", {"Upload-Length": "7"}, 0).items()))
    assert one.client.raw(head).raw == b""
    assert one.names() == {".store"}


@pytest.mark.parametrize("number", [8192, 8193, 400000])
def test_the_number_of_params_is_limited(one, reads_all, number):
    pairs = b"\0\0" * (number - 2) + fastcgi.pair(
        "REQUEST_METHOD", "OPTIONS") + fastcgi.pair("REQUEST_URI", "/files")
    data = fastcgi.begin() + b"".join(
        record(fastcgi.PARAMS, pairs[i:i + 65000])
        for i in range(0, len(pairs), 65000)) + record(fastcgi.PARAMS)
    answer = one.client.raw(data + record(fastcgi.STDIN))
    assert answer.status == (200 if number <= 8192 else None)


def trickle(one, begin, piece, seconds):
    """Send pieces until the connection is closed; for how long?"""
    began = time.monotonic()
    with fastcgi.Stream(one.client.connect()) as stream:
        stream.send_raw(begin)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began < seconds:
                stream.send_raw(piece)
                time.sleep(0.03)
    return time.monotonic() - began


@pytest.mark.parametrize("begin, piece", [
    (fastcgi.begin() + record(fastcgi.PARAMS, b"x" * 60000)[:8], b"\x7f"),
    (b"", record(9, request_id=0)),
    (fastcgi.begin(role=99), b"x"),
    (fastcgi.begin() + record(fastcgi.PARAMS, b"\5\5ab") +
     record(fastcgi.PARAMS), b"x"),
    (fastcgi.begin() + fastcgi.params(
        fastcgi.variables("HEAD", "/files/x", length=0)),
     record(fastcgi.STDIN, b"x")),
    (fastcgi.begin(role=fastcgi.AUTHORIZER) + fastcgi.params(
        fastcgi.variables("HEAD", "/files/x", length=0)),
     record(fastcgi.STDIN, b"x")),
    (fastcgi.begin() + fastcgi.params({}), record(fastcgi.STDIN, b"x")),
    (fastcgi.begin() + fastcgi.params(
        fastcgi.variables("HEAD", "/files/x", length=0)) +
     record(fastcgi.STDIN), b"x"),
], ids=["params", "questions", "role", "cut", "bodyless", "authorizer",
        "nothing", "ended"])
def test_who_never_stops_sending_gives_the_process_back(
        app, reads_all, begin, piece):
    one = app(args=ALONE, config={"timeouts": {"read": "1s", "drain": "1s"}})
    assert trickle(one, begin, piece, 8) < 5
    assert one.client.request("OPTIONS", "/files").status == 200


@pytest.mark.parametrize("data", [
    b"", b"\0", b"\1", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100,
    fastcgi.begin(),
    fastcgi.begin(role=fastcgi.AUTHORIZER) + record(fastcgi.PARAMS),
    fastcgi.begin(role=fastcgi.FILTER) + record(fastcgi.PARAMS),
    fastcgi.begin(role=99) + record(fastcgi.PARAMS),
    fastcgi.begin(request_id=0) + record(fastcgi.PARAMS, request_id=0),
    fastcgi.begin() + fastcgi.begin(),
    fastcgi.begin() + record(fastcgi.STDIN, b"early"),
    fastcgi.begin() + record(fastcgi.ABORT),
    fastcgi.begin() + record(fastcgi.PARAMS, version=7),
    fastcgi.begin() + record(200, b"unknown type"),
    record(fastcgi.BEGIN, b"short"),
    record(9, fastcgi.pair("FCGI_MAX_CONNS", ""), request_id=0),
    fastcgi.begin() + record(fastcgi.PARAMS, b"\xff\xff\xff\xff"),
    fastcgi.begin() + record(fastcgi.PARAMS, b"\x84\0\0\0\0abc"),
    fastcgi.begin() + record(fastcgi.PARAMS, b"\x05\x05ab"),
])
def test_garbage_does_not_end_the_process(one, data):
    one.client.raw(data)
    one.client.raw(data + record(fastcgi.STDIN))


def test_a_request_may_be_cut_anywhere(one):
    path = one.client.create(100)
    whole = fastcgi.begin() + fastcgi.params(fastcgi.variables(
        "PATCH", path, one.client.patch_headers(0), 20)) + \
        fastcgi.stdin(b"x" * 20) + record(fastcgi.STDIN)
    for n in range(0, len(whole) - 8, 3):
        one.client.raw(whole[:n])
    offset = one.client.offset(path)
    assert one.client.patch(path, offset, b"").status == 204


def test_mutated_requests_do_not_end_the_process(one):
    """SEC-07: 1,000 requests with a few bytes changed.

    All but the lengths of names and values: libfcgi allocates whatever they
    say, which is why only the web server may reach the socket.
    """
    rng = random.Random(7)
    path = one.client.create(100)
    variables = fastcgi.variables("PATCH", path, one.client.patch_headers(0),
                                  5)
    whole = fastcgi.begin() + fastcgi.params(variables) + \
        fastcgi.stdin(b"12345") + record(fastcgi.STDIN)
    lengths, at = set(), 24
    for name, value in variables.items():
        lengths |= {at, at + 1}
        at += 2 + len(name) + len(value)
    # A record that ends elsewhere moves the lengths as well.
    lengths |= {20, 21, 22}
    places = [i for i in range(len(whole)) if i not in lengths]
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.choice(places)] = rng.randrange(256)
        answer = one.client.raw(bytes(data))
        assert answer.status is None or answer.status < 500, answer


def test_a_line_break_never_gets_into_a_header(one):
    """COMMON-05"""
    evil = "/files/\r\nSet-Cookie: a=b"
    for extra in ({"TUS_BASE_PATH": evil}, {"HTTP_ORIGIN": evil},
                  {"HTTP_HOST": evil}, {"REQUEST_URI": evil}):
        answer = one.client.request("POST", "/files", {"Upload-Length": "1"},
                                    extra=extra)
        assert "set-cookie" not in answer.headers
        assert b"Set-Cookie" not in answer.raw.partition(b"\r\n\r\n")[0] or \
            b"\nSet-Cookie" not in answer.raw


def test_many_requests_leave_nothing_behind(app):
    """FCGI-06"""
    one = app(args=ALONE, env={"ASAN_OPTIONS": "quarantine_size_mb=1"})

    def memory():
        with open(f"/proc/{one.app.pid}/statm") as f:
            return int(f.read().split()[1])

    path = one.client.create(100)
    for _ in range(2000):
        one.client.head(path)
    before = memory()
    for _ in range(4000):
        one.client.head(path)
    # Pages; a single byte for each request would be one.
    assert memory() - before < 100
    assert len(os.listdir(f"/proc/{one.app.pid}/fd")) < 20


def test_each_request_is_one_line_of_the_log(one):
    path = one.client.create(10)
    assert one.client.patch(path, 0, b"1234").status == 204
    assert one.client.patch(path, 9, b"1234").status == 409
    lines = [line for line in one.log().splitlines() if " request " in line]
    assert len(lines) == 3
    name = path.rsplit("/", 1)[1]
    assert "method=POST" in lines[0] and f"id={name}" in lines[0]
    assert "method=PATCH" in lines[1] and "status=204" in lines[1]
    assert "offset=4" in lines[1] and "bytes=4" in lines[1]
    assert "status=409" in lines[2] and "ERR_MISMATCHED_OFFSET" in lines[2]


def test_a_thousand_parts_are_one_upload(one):
    """Named by whole URLs, which is more than a web server lets through."""
    part = one.client.request("POST", "/files", {
        "Upload-Concat": "partial", "Upload-Length": "3",
        "Content-Type": "application/offset+octet-stream"},
        b"abc").headers["location"]
    url = "https://uploads.example.org" + part.removeprefix("http://localhost")
    parts = "final;" + " ".join([url] * 1000)
    made = one.client.request("POST", "/files", {"Upload-Concat": parts})
    assert made.status == 201, made
    final = made.headers["location"]
    head = one.client.head(final)
    assert head.headers["upload-concat"] == parts
    assert head.headers["upload-offset"] == "3000"
    name = final.rsplit("/", 1)[1]
    assert (one.uploads / name).read_bytes() == b"abc" * 1000
