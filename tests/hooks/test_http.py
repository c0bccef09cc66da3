"""Hooks that are a URL: a small endpoint as one would write it for tusd v2."""

import hashlib
import hmac
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

from lib import clients, rig

if not rig.have("nginx"):
    pytest.skip("no nginx", allow_module_level=True)

BODY = {"Content-Type": "application/offset+octet-stream"}
SECRET = "correct horse"


class Endpoint(http.server.ThreadingHTTPServer):
    """Keeps what it is told; answers what it is told to."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.calls = []
        # The event's name, or None for all: (status, body, headers, delay)
        self.answers = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hooks?a=b"

    def told(self, name=None):
        if name is None:
            return [c["json"]["Type"] for c in self.calls]
        return [c for c in self.calls if c["json"]["Type"] == name]

    def answer(self, name, status=200, body=b"{}", headers=None, delay=0):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.answers[name] = (status, body, headers or {}, delay)

    def wait_for(self, name, count=1):
        rig.wait_for(lambda: len(self.told(name)) >= count, name)
        return self.told(name)

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        event = json.loads(raw)
        self.server.calls.append({"raw": raw, "json": event,
                                  "path": self.path,
                                  "headers": self.headers})
        answers = self.server.answers
        status, body, headers, delay = answers.get(
            event["Type"], answers.get(None, (200, b"", {}, 0)))
        time.sleep(delay)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    one = Endpoint()
    yield one
    one.close()


@pytest.fixture
def start(server, endpoint):
    def start(config=None, env=None, **options):
        given = {"hooks": {"url": endpoint.url, "backoff": "50ms"}}
        return server(config=rig.merge(given, config or {}), env=env,
                      **options)
    return start


def create(one, size, body=b"", **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    return clients.request("POST", one.url, {
        "Upload-Length": str(size), **headers, **(BODY if body else {})},
        body)


def url_of(one, answer):
    status, headers, body = answer
    assert status == 201, (status, body)
    return one.origin + headers["Location"]


def spool_of(one):
    return one.uploads / ".hooks"


def spool(one):
    return list(spool_of(one).glob("*"))


def sweep(one):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", one.config_path, "sweep"],
        capture_output=True, text=True, timeout=120, check=False)
    assert not rig.SANITIZER.search(run.stderr), run.stderr
    return run


def test_each_event_is_posted_once(start, endpoint):
    one = start()
    url = url_of(one, create(one, 5, b"hello"))
    endpoint.wait_for("post-finish")
    assert clients.request("DELETE", url)[0] == 204
    endpoint.wait_for("post-terminate")
    rig.wait_for(lambda: not spool(one), "an empty spool")
    assert sorted(endpoint.told()) == [
        "post-create", "post-finish", "post-receive", "post-terminate",
        "pre-create", "pre-finish", "pre-terminate"]
    call = endpoint.told("post-finish")[0]
    assert call["path"] == "/hooks?a=b"
    assert call["headers"]["Content-Type"] == "application/json"
    assert call["headers"]["X-Tus-Event-Id"]
    assert call["headers"]["X-Request-Id"] in one.log()
    assert call["headers"]["X-Hook-Signature"] is None
    assert list(call["json"]) == ["Type", "Event", "EventID"]
    assert call["json"]["Event"]["Upload"]["Offset"] == 5


def test_the_signature_is_that_of_the_body(start, endpoint):
    one = start({"hooks": {"secret": SECRET}})
    url_of(one, create(one, 5, b"hello"))
    endpoint.wait_for("post-finish")
    for call in endpoint.calls:
        # What a receiver tells repeats by is signed, too.
        assert call["json"]["EventID"] == call["headers"]["X-Tus-Event-Id"]
        wanted = hmac.new(SECRET.encode(), call["raw"], hashlib.sha256)
        assert call["headers"]["X-Hook-Signature"] == \
            "sha256=" + wanted.hexdigest()


def test_headers_are_forwarded_where_configured(start, endpoint):
    one = start({"hooks": {"forward_headers": [
        "Authorization", "x-tenant", "Content-Length", "X-Absent"]}})
    create(one, 5, Authorization="Bearer abc", X_Tenant="Müller".encode()
           .decode("latin-1"), Cookie="secret=1")
    headers = endpoint.told("pre-create")[0]["headers"]
    assert headers["Authorization"] == "Bearer abc"
    assert headers["X-Tenant"].encode("latin-1").decode() == "Müller"
    assert headers["Cookie"] is None and headers["X-Absent"] is None
    endpoint.wait_for("post-create")
    assert endpoint.told("post-create")[0]["headers"]["Authorization"]


def test_pre_create_may_reject(start, endpoint):
    endpoint.answer("pre-create", body={
        "RejectUpload": True,
        "HTTPResponse": {"StatusCode": 401, "Body": "log in",
                         "Header": {"WWW-Authenticate": "Bearer"}}})
    one = start()
    status, headers, body = create(one, 5)
    assert (status, body) == (401, b"log in")
    assert headers["WWW-Authenticate"] == "Bearer"


def test_pre_create_may_choose_the_id(start, endpoint):
    endpoint.answer("pre-create", body={"ChangeFileInfo": {"ID": "chosen"}})
    one = start()
    assert url_of(one, create(one, 5)).endswith("/chosen")


def test_an_empty_answer_says_go_on(start, endpoint):
    endpoint.answer("pre-create", status=204, body=b"")
    one = start()
    assert create(one, 5)[0] == 201


@pytest.mark.parametrize("answer,said", [
    ({"status": 404}, "HTTP status 404"),
    ({"status": 302, "headers": {"Location": "/elsewhere"}},
     "HTTP status 302"),
    ({"body": b"<html>"}, "not JSON"),
    ({"body": b'{"HTTPResponse": {"StatusCode": 9999}}'}, "StatusCode"),
    ({"body": b" " * 100000}, "longer than"),
])
def test_a_pre_hook_that_fails_is_answered_500(start, endpoint, answer, said):
    endpoint.answer("pre-create", **answer)
    one = start()
    status, _, body = create(one, 5)
    assert status == 500
    assert body.startswith(b"ERR_INTERNAL_SERVER_ERROR")
    assert said in one.log()
    assert len(endpoint.calls) == 1
    assert not list(one.uploads.glob("*.info"))


@pytest.mark.parametrize("body, said", [
    (b"the database is locked", "HTTP status 500: the database is locked\""),
    (b"\r\n one line\nand another", "HTTP status 500: one line\""),
    (b'{"error": "no"}', r'HTTP status 500: {\"error\": \"no\"}"'),
    (b"<!doctype html><h1>Oops</h1>", "HTTP status 500\""),
    (b"", "HTTP status 500\""),
    (b"x" * 100000, "HTTP status 500: " + "x" * 100),
    (b"a\x1b[2Jb", r"HTTP status 500: a\x1b[2Jb"),
])
def test_the_log_has_what_a_refusal_says(start, endpoint, body, said):
    endpoint.answer("pre-create", status=500, body=body)
    endpoint.answer("post-terminate", status=500, body=body)
    one = start({"hooks": {"retries": 0}})
    if len(body) < 50000:
        assert create(one, 5)[0] == 500
        rig.wait_for(lambda: "hook pre-create: " + said in one.log(),
                     "the reason")
        return
    # Nobody looks at the rest of it where nothing is asked.
    endpoint.answer("pre-create")
    url = url_of(one, create(one, 5))
    assert clients.request("DELETE", url)[0] == 204
    rig.wait_for(lambda: "hook post-terminate: " + said in one.log(),
                 "the reason")


def test_the_owner_is_told_and_told_again(start, endpoint):
    """By the sweep as well, and the signature covers it."""
    endpoint.answer(None, status=200, body=b"")
    for event in ("post-create", "post-finish"):
        endpoint.answer(event, status=500, body=b"not now")
    one = start({"owner": {"param": "HTTP_X_WHO"},
                 "hooks": {"retries": 0, "secret": SECRET}})
    url_of(one, create(one, 5, b"hello", X_Who="anna"))
    for event in ("post-create", "post-finish"):
        endpoint.wait_for(event)
        endpoint.answer(event)
    def is_told():
        subprocess.run([rig.program("tusctl"), "-c", one.config_path, "sweep"],
                       check=False, capture_output=True)
        return all(len(endpoint.told(event)) > 1
                   for event in ("post-create", "post-finish"))
    rig.wait_for(is_told, "the sweep to tell")
    for call in endpoint.calls:
        assert call["json"]["Event"]["Upload"]["Owner"] == "anna"
        assert call["headers"]["X-Hook-Signature"] == "sha256=" + hmac.new(
            SECRET.encode(), call["raw"], hashlib.sha256).hexdigest()


def test_a_5xx_is_tried_again(start, endpoint):
    endpoint.answer("pre-create", status=503)
    one = start({"hooks": {"retries": 2}})
    assert create(one, 5)[0] == 500
    assert len(endpoint.calls) == 3
    ids = {c["headers"]["X-Tus-Event-Id"] for c in endpoint.calls}
    assert len(ids) == 1


def test_an_endpoint_that_comes_back_in_time(start, endpoint):
    port = endpoint.server_port
    one = start({"hooks": {"backoff": "200ms", "retries": 5}})
    endpoint.close()
    back = []
    timer = threading.Timer(0.5, lambda: back.append(Endpoint(port)))
    timer.start()
    assert create(one, 5)[0] == 201
    timer.join()
    back[0].close()


def test_time_is_up(start, endpoint):
    endpoint.answer("pre-create", delay=5)
    one = start({"hooks": {"timeout": "400ms"}})
    began = time.monotonic()
    assert create(one, 5)[0] == 500
    assert time.monotonic() - began < 3


def test_no_proxy_is_asked(start, endpoint):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        one = start(env={"http_proxy": proxy, "all_proxy": proxy,
                         "HTTP_PROXY": proxy})
        assert create(one, 5)[0] == 201


@pytest.mark.skipif(not rig.have("openssl"), reason="no openssl")
def test_a_certificate_that_nobody_vouches_for(start, endpoint, tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    endpoint.socket = context.wrap_socket(endpoint.socket, server_side=True)
    url = endpoint.url.replace("http:", "https:")
    hooks = {"hooks": {"url": url, "retries": 0}}
    one = start(hooks)
    assert create(one, 5)[0] == 500
    assert "certificate" in one.log()
    assert not endpoint.calls
    one = start(hooks, env={"SSL_CERT_FILE": str(cert)})
    assert create(one, 5)[0] == 201


def test_what_was_not_taken_waits_for_the_sweep(start, endpoint):
    endpoint.answer(None, status=500)
    one = start({"hooks": {"retries": 0, "events": [
        "post-create", "post-finish", "post-terminate"]}})
    url = url_of(one, create(one, 5))
    assert clients.request("PATCH", url, {**BODY, "Upload-Offset": "0"},
                           b"hello")[0] == 204
    endpoint.wait_for("post-finish")
    gone = url_of(one, create(one, 5))
    assert clients.request("DELETE", gone)[0] == 204
    endpoint.wait_for("post-terminate")
    assert sweep(one).returncode == 1
    failed = list(endpoint.calls)
    endpoint.answers.clear()
    endpoint.calls.clear()
    assert sweep(one).returncode == 0
    assert sweep(one).returncode == 0
    assert sorted(endpoint.told()) == ["post-create", "post-create",
                                       "post-finish", "post-terminate"]
    assert {c["headers"]["X-Tus-Event-Id"] for c in endpoint.calls} == \
        {c["headers"]["X-Tus-Event-Id"] for c in failed}
    assert not spool(one)
    assert not list(one.uploads.glob("*.lock"))


def test_the_sweep_does_not_knock_for_ever_where_nobody_answers(
        start, endpoint):
    one = start({"hooks": {"retries": 0, "timeout": "200ms"}})
    event = json.dumps({"Type": "post-create", "Event": {
        "Upload": {"ID": "x", "Size": 5, "Offset": 0}}})
    spool_of(one).mkdir(exist_ok=True)
    for n in range(15):
        (spool_of(one) / f"{n:019d}-x.json").write_text(event)
    endpoint.answer(None, delay=2)
    run = sweep(one)
    assert run.returncode == 1
    taken, left = re.search(r"(\d+) events were not taken, (\d+) not tried",
                            run.stderr).groups()
    assert 1 <= int(taken) <= 10 and int(taken) + int(left) == 15
    assert len(spool(one)) == 15


def test_what_is_no_event_stays_and_is_named(start, endpoint):
    one = start()
    spool_of(one).mkdir(exist_ok=True)
    bad = spool_of(one) / "1-bad.json"
    bad.write_text("{}")
    (spool_of(one) / "2-new.new").write_text("{")
    run = sweep(one)
    assert run.returncode == 1 and "1-bad" in run.stderr
    assert len(spool(one)) == 2
    os.utime(spool_of(one) / "2-new.new", (1, 1))
    sweep(one)
    assert spool(one) == [bad.with_suffix(".bad")]


def test_a_missing_libcurl_is_said_before_anything_starts(tmp_path, endpoint):
    """It is loaded only for hooks.url; a broken one is found first here."""
    for name in "libcurl.so.4", "libcurl-gnutls.so.4":
        (tmp_path / name).touch()
    conf = tmp_path / "tusfcgi.conf"
    (tmp_path / "uploads").mkdir()

    def check(**settings):
        conf.write_text(rig.libconfig({
            "store": {"path": str(tmp_path / "uploads")}, **settings}))
        return subprocess.run(
            [rig.program(), "-t", "-c", conf], capture_output=True, text=True,
            check=False,
            env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)})

    run = check(hooks={"url": endpoint.url})
    assert run.returncode != 0
    assert "hooks.url needs libcurl (Debian: libcurl4): " in run.stderr
    assert check().returncode == 0


def test_both_ways_at_once_are_refused(tmp_path, endpoint):
    conf = tmp_path / "tusfcgi.conf"
    (tmp_path / "uploads").mkdir()
    conf.write_text(rig.libconfig({
        "store": {"path": str(tmp_path / "uploads")},
        "hooks": {"dir": str(tmp_path), "url": endpoint.url}}))
    run = subprocess.run([rig.program(), "-t", "-c", conf],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert f"{conf}:" in run.stderr
    assert "hooks.url cannot be set together with hooks.dir" in run.stderr
