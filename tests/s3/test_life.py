"""What a client and a hook see is the same, be the upload in a file or in a
bucket: hooks, owners, other pages, checksums, and who may write."""

import base64
import hashlib
import socket
import time

import pytest

from lib import clients, rig
from lib.programs import Hooks
from s3 import bucket, client
from s3.bucket import PART, content, create, patch

bucket.need_store()

ORIGIN = "https://app.example.org"
NOBODY = 'fastcgi_param REMOTE_USER       "";'


@pytest.fixture
def hooks(tmp_path):
    return Hooks(tmp_path)


@pytest.fixture
def start(start):
    return lambda config=None, **kw: start(
        config=config, args=["-w", "3"], **kw)


@pytest.fixture
def hooked(start, hooks):
    def begin(config=None):
        keys = {"AWS_ACCESS_KEY_ID": client.fake.ACCESS,
                "AWS_SECRET_ACCESS_KEY": client.fake.SECRET}
        return start(rig.merge({"hooks": {"dir": str(hooks.dir)}},
                               config or {}),
                     env={**keys, "HOME": str(hooks.home)})
    return begin


def told(hooks, server, url, size):
    """All of an upload's events, with where it is."""
    name = url.rpartition("/")[2]
    hooks.wait_for("post-terminate")
    for event in hooks.events:
        up = event["json"]["Event"]["Upload"]
        if event["json"]["Type"] == "pre-create":
            continue
        assert (up["ID"], up["Size"]) == (name, size)
        assert up["Storage"] == {"Type": "s3store", "Bucket": server.bucket,
                                 "Key": name}
    return hooks.told()


@pytest.mark.parametrize("size", [9, 3 * PART + 2])
def test_every_event_is_told(hooked, hooks, size):
    hooks.record()
    server = hooked()
    url, data = create(server, size), content(size)
    assert patch(url, 0, data[:5])[0] == 204
    assert patch(url, 5, data[5:])[0] == 204
    hooks.wait_for("post-finish")
    assert clients.request("DELETE", url)[0] == 204
    events = told(hooks, server, url, size)
    # What is sent afterwards may overtake each other.
    assert sorted(e for e in events if e != "post-receive") == sorted(
        n for n in hooks.names if n != "post-receive")
    assert "post-receive" in events


def test_a_hook_chooses_id_and_key(hooked, hooks):
    hooks.answer("pre-create", {"ChangeFileInfo": {
        "ID": "mine", "Storage": {"Path": "out/a.txt"}}})
    server = hooked()
    url = create(server, 2 * PART)
    assert url.endswith("/mine")
    assert patch(url, 0, content(2 * PART))[0] == 204
    assert sorted(server.keys()) == ["mine.info", "out/a.txt"]
    assert clients.request("GET", url)[2] == content(2 * PART)
    # Taken, and as with files that is the hook's mistake.
    assert clients.request("POST", server.url, {"Upload-Length": "5"})[
        0] == 500


@pytest.mark.parametrize("path", ["a.txt", "x.info", "../a/b", "/a/b"])
def test_a_hook_cannot_choose_what_is_a_record(hooked, hooks, path):
    hooks.answer("pre-create", {"ChangeFileInfo": {
        "Storage": {"Path": path}}})
    server = hooked()
    assert clients.request("POST", server.url, {"Upload-Length": "5"})[
        0] == 500
    assert not server.keys() and not server.parts()


@pytest.mark.parametrize("size", [9, 2 * PART + 3])
def test_a_hook_refuses_the_finish_and_then_does_not(hooked, hooks, size):
    hooks.answer("pre-finish", {"RejectUpload": True, "HTTPResponse": {
        "StatusCode": 422, "Body": "no"}})
    server = hooked()
    url, data = create(server, size), content(size)
    assert patch(url, 0, data)[0] == 422
    assert clients.offset(url) == size - 1
    assert url.rpartition("/")[2] not in server.keys()
    # Also after a crash.
    server.stop_app(9)
    server.start_app()
    assert clients.offset(url) == size - 1
    hooks.remove("pre-finish")
    assert patch(url, size - 1, data[-1:])[0] == 204
    assert clients.request("GET", url)[2] == data


def test_a_finish_that_nobody_was_told_of_is_told_by_the_sweep(hooked, hooks):
    server = hooked({"expiration": {"sweep": "1s"}})
    url = create(server, 9)
    hooks.write("post-finish", "#!/bin/sh\nexit 1\n")
    assert patch(url, 0, content(9))[0] == 204
    hooks.record("post-finish")
    assert hooks.wait_for("post-finish")[0]["Event"]["Upload"]["ID"] == \
        url.rpartition("/")[2]


def test_an_upload_of_another_owner_is_not_there(start):
    server = start({"owner": {"param": "REMOTE_USER", "require": True}},
                   replace={NOBODY: "fastcgi_param REMOTE_USER $http_x_who;"})
    ann, bob = {"X-Who": "ann"}, {"X-Who": "bob"}
    url = create(server, 9, **ann)
    assert clients.request("HEAD", url, bob)[0] == 404
    assert patch(url, 0, content(9), **bob)[0] == 404
    assert patch(url, 0, content(9), **ann)[0] == 204
    assert clients.request("GET", url, bob)[0] == 404
    assert clients.request("DELETE", url, bob)[0] == 404
    assert clients.request("GET", url, ann)[2] == content(9)
    assert clients.request("POST", server.url, {"Upload-Length": "9"})[
        0] == 403


def test_pages_of_another_origin(start):
    server = start({"cors": {"origins": [ORIGIN]}})
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    status, headers, _ = clients.request("OPTIONS", server.url, asked)
    assert status in (200, 204)
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    url = create(server, 9, Origin=ORIGIN)
    status, headers, _ = patch(url, 0, content(9), Origin=ORIGIN)
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Upload-Offset" in headers["Access-Control-Expose-Headers"]
    assert patch(url, 9, b"", Origin="https://evil.example.org")[0] == 403


def test_the_extensions_are_the_same(start):
    server = start()
    _, headers, _ = clients.request("OPTIONS", server.url)
    assert set(headers["Tus-Extension"].split(",")) >= {
        "creation", "creation-with-upload", "creation-defer-length",
        "termination", "concatenation", "checksum"}


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha512", "md5"])
def test_a_checksum_is_right_or_nothing_is_kept(start, name):
    server = start()
    data = content(3 * PART)
    url = create(server, len(data))
    for at, piece, good in ((0, data[:PART + 5], False),
                            (0, data[:PART + 5], True),
                            (PART + 5, data[PART + 5:], False),
                            (PART + 5, data[PART + 5:], True)):
        digest = hashlib.new(name, piece if good else b"other").digest()
        status, _, _ = patch(url, at, piece, **{
            "Upload-Checksum": f"{name} {base64.b64encode(digest).decode()}"})
        assert status == (204 if good else 460)
        assert clients.offset(url) == at + (len(piece) if good else 0)
    assert clients.request("GET", url)[2] == data


def hang(server, url, at, data, size):
    """A PATCH of size bytes of which only these come."""
    where = url[len(server.origin):]
    s = socket.create_connection(("127.0.0.1", server.port))
    s.sendall(f"PATCH {where} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\n"
              f"Content-Type: application/offset+octet-stream\r\n"
              f"Upload-Offset: {at}\r\nContent-Length: {size}\r\n\r\n"
              .encode() + data)
    return s


@pytest.mark.parametrize("came", [100, PART + 100])
def test_an_upload_is_handed_over_within_a_second(start, came):
    """Its bytes are kept, though the client still hangs on."""
    server = start()
    data = content(3 * PART)
    took = []
    # The machine may have other things to do; not every time.
    while not took or min(took) > 1 and len(took) < 5:
        url = create(server, len(data))
        server.engine.rules()
        with hang(server, url, 0, data[:came], len(data)):
            rig.wait_for(lambda: any("list-type" in x[1] for x in
                                     server.engine.log()), "the worker")
            begun = time.monotonic()
            assert clients.offset(url) == came
            took.append(time.monotonic() - begun)
        assert patch(url, came, data[came:])[0] == 204
        assert clients.request("GET", url)[2] == data
    assert min(took) <= 1, took


def test_a_part_on_a_slow_way_is_handed_over_later(start):
    """S3 takes its time for a part: the next one waits, and loses nothing."""
    server = start()
    data = content(3 * PART)
    url = create(server, len(data))
    server.engine.rules({"m": "partNumber", "do": "delay", "arg": 2})
    with hang(server, url, 0, data[:PART + 100], len(data)):
        rig.wait_for(lambda: any("partNumber" in x[1] for x in
                                 server.engine.log()), "the part")
        rig.wait_for(lambda: clients.request("HEAD", url)[0] == 200,
                     "the hand-over")
        assert clients.offset(url) == PART + 100
    assert patch(url, PART + 100, data[PART + 100:])[0] == 204
    assert clients.request("GET", url)[2] == data


@pytest.mark.parametrize("size", [9, 3 * PART])
def test_a_record_whose_answer_is_lost_is_no_rivals(hooked, hooks, size):
    """It is put again, and S3 says that there is another: its own."""
    hooks.record("post-finish")
    server = hooked({"expiration": {"sweep": 0}})
    url = create(server, size)
    server.engine.rules({"m": "^PUT .*[.]info", "do": "lose"})
    assert patch(url, 0, content(size))[0] == 204
    hooks.wait_for("post-finish")
    assert clients.request("GET", url)[2] == content(size)


def test_a_rivals_record_is_not_written_over(start):
    """As after a removal that another host began."""
    server = start()
    url = create(server, 9)
    name = url.rpartition("/")[2] + ".info"
    where = f"/{server.bucket}/{name}"
    text = server.engine.ask("GET", where).body
    server.engine.rules({"m": "^PUT .*[.]info", "do": "delay", "arg": 1})
    with hang(server, url, 0, content(9), 9) as s:
        rig.wait_for(lambda: any("PUT" in x[0] and ".info" in x[1] for x in
                                 server.engine.log()), "the finish")
        assert server.engine.ask("PUT", where, body=text + b" ").status == 200
        answer = s.recv(4096)
    assert b" 423 " in answer, answer
    assert server.engine.ask("GET", where).body == text + b" "


@pytest.mark.parametrize("engine", ["no-if-match"], indirect=True)
def test_a_creation_whose_fate_is_unknown_takes_another_id(engine, start):
    """Its record may come when the upload has been removed again."""
    server = start()
    engine.rules({"m": "^PUT .*[.]info", "do": "later"})
    status = 503
    while status == 503:
        status, headers, _ = clients.request(
            "POST", server.url, {"Upload-Length": "9"})
    url = server.origin + headers["Location"]
    assert clients.request("DELETE", url)[0] == 204
    assert engine.again() == [200]
    assert clients.request("HEAD", url)[0] == 404
    assert len(server.keys()) == 1
