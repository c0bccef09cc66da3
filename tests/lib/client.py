"""A tus client for tests: exact about what it sends, strict about replies.

    t = client.Tus(server, "nginx")         or "fastcgi": past the web server
    url = t.create(100, {"Upload-Metadata": "filename d29ybGQ="})
    assert t.patch(url, 0, b"abc").status == 204
    x = t.open("PATCH", url, {...}, length=10)      and then piece by piece
    x.send(b"abc"); x.reset()

Every reply that tusfcgi made is held against what protocol.md wants of every
response (COMMON-01 to 05 and 09), so no test needs to say so again.
"""

import os
import re
import socket
import struct
import time
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes, urlsplit

from lib import fastcgi
from lib.reply import Reply

VERSION = "1.0.0"
BODY = "application/offset+octet-stream"
CHUNKED = "chunked"

ERROR_BODY = re.compile(rb"\AERR_[A-Z_]+: [^\r\n\0]+\n\Z")
TOKEN = re.compile(r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def target_of(url):
    """What stands in the request line for a URL or a path."""
    if not url.startswith(("http://", "https://")):
        return url
    parts = urlsplit(url)
    return parts.path + ("?" + parts.query if parts.query else "")


def as_bytes(text):
    """Bytes stand for themselves, text for its UTF-8."""
    if isinstance(text, bytes):
        return text
    return str(text).encode("utf-8", "surrogateescape")


def expand(headers):
    """[(name, value)] of a dict; a list is several lines, None is none."""
    out = []
    for name, value in headers.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        out += [(name, as_bytes(v)) for v in values if v is not None]
    return out


class HttpExchange:
    """One request over one HTTP/1.1 connection."""

    def __init__(self, server, method, target, headers, length, timeout,
                 params=None):
        self.method = method
        self.length = length
        # Responses with status 104 that came before the last one.
        self.interim = []
        self.socket = socket.create_connection(
            ("127.0.0.1", server.port), timeout)
        self.file = self.socket.makefile("rb")
        lines = [f"{method} {target} HTTP/1.1".encode("latin-1")]
        names = {name.lower() for name, _ in headers}
        if "host" not in names:
            lines.append(f"Host: 127.0.0.1:{server.port}".encode())
        lines += [n.encode("latin-1") + b": " + v for n, v in headers]
        if length == CHUNKED:
            lines.append(b"Transfer-Encoding: chunked")
        elif length is not None:
            lines.append(f"Content-Length: {length}".encode())
        lines += [b"Connection: close", b"", b""]
        self.socket.sendall(b"\r\n".join(lines))

    def send(self, data):
        """A piece of the body.  The server may have stopped listening."""
        if not data:
            return
        if self.length == CHUNKED:
            data = b"%x\r\n" % len(data) + data + b"\r\n"
        self.try_send(data)

    def try_send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def end(self):
        if self.length == CHUNKED:
            self.try_send(b"0\r\n\r\n")

    def reset(self):
        """The client is gone, without a word."""
        self.file.close()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def read_head(self):
        line = self.file.readline().decode("latin-1")
        if not line:
            raise EOFError("closed without an answer")
        _, status, reason = (line.rstrip("\r\n") + "  ").split(" ", 2)
        headers = []
        while True:
            line = self.file.readline().decode("latin-1")
            if line in ("\r\n", ""):
                break
            name, _, value = line.rstrip("\r\n").partition(":")
            headers.append((name, value.strip(" \t")))
        return Reply(int(status), reason.strip(), headers, b"")

    def reply(self):
        reply = self.read_head()
        while reply.status in (100, 104):
            if reply.status == 104:
                self.interim.append(reply)
            reply = self.read_head()
        if self.method == "HEAD" or reply.status in (204, 304):
            return reply
        if reply["Transfer-Encoding"] == "chunked":
            reply.body = self.read_chunks()
        elif reply["Content-Length"] is not None:
            reply.body = self.file.read(int(reply["Content-Length"]))
        else:
            reply.body = self.file.read()
        return reply

    def read_chunks(self):
        body = b""
        while True:
            size = int(self.file.readline().split(b";")[0], 16)
            body += self.file.read(size)
            self.file.readline()
            if size == 0:
                return body


class FcgiExchange:
    """One request over one FastCGI connection, as nginx would pass it."""

    def __init__(self, server, method, target, headers, length, timeout,
                 params=None):
        self.interim = []
        connection = fastcgi.Client(server.socket, timeout).connect()
        self.stream = fastcgi.Stream(connection)
        self.socket = connection
        self.stream.send_raw(fastcgi.begin() + fastcgi.params(cgi_params(
            server, method, target, headers, length, params or {})))

    def send(self, data):
        if data:
            self.try_send(fastcgi.stdin(data, 65528))

    def try_send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def end(self):
        self.try_send(fastcgi.record(fastcgi.STDIN))

    def reset(self):
        self.socket.close()

    close = reset

    def reply(self):
        answer = self.stream.read()
        if not answer.ended:
            raise EOFError(f"closed without an end: {answer.raw[:200]}")
        reply = reply_of(answer.raw)
        while reply.status == 104:
            self.interim.append(reply)
            reply = reply_of(reply.body)
        return reply


def reply_of(raw):
    """What a CGI program writes: "Status: 204 No Content", headers, body."""
    head, separator, body = raw.partition(b"\r\n\r\n")
    assert separator, f"no end of the headers: {raw[:200]}"
    headers = []
    status, reason = 200, "OK"
    for line in head.split(b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        value = value.strip(" \t")
        if name.lower() == "status":
            code, _, reason = value.partition(" ")
            status = int(code)
        headers.append((name, value))
    return Reply(status, reason, headers, body)


def cgi_params(server, method, target, headers, length, params):
    path, _, query = target.partition("?")
    base = getattr(server, "base", "/files")
    # Web servers look at the decoded path.
    decoded = unquote_to_bytes(as_bytes(path))
    all_params = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "SCRIPT_NAME": base,
        "PATH_INFO": decoded[len(base):]
                     if decoded.startswith(as_bytes(base)) else "",
        "QUERY_STRING": query,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "" if length in (None, CHUNKED) else length,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "4711",
        "HTTP_HOST": f"127.0.0.1:{server.port}",
    }
    for name, value in headers:
        value = value.strip(b" \t")
        name = name.upper().replace("-", "_")
        if name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            all_params[name] = value
        key = "HTTP_" + name
        if key in all_params and key != "HTTP_HOST":
            value = all_params[key] + b", " + value
        all_params[key] = value
    all_params.update(params)
    return {k: as_bytes(v) for k, v in all_params.items() if v is not None}


class Transport:
    """How requests travel, and what this way can do."""

    def __init__(self, exchange, streams, chunked):
        self.exchange = exchange
        # The program sees a body while it arrives, and what came of it when
        # the client is gone.
        self.streams = streams
        # A body of unknown length gets through (lighttpd: 411).
        self.chunked = chunked


TRANSPORTS = {
    "fastcgi": Transport(FcgiExchange, True, True),
    "nginx": Transport(HttpExchange, True, True),
    "lighttpd": Transport(HttpExchange, True, False),
    "lighttpd-spawn": Transport(HttpExchange, True, False),
    "apache-proxy": Transport(HttpExchange, True, True),
    "apache-fcgid": Transport(HttpExchange, False, True),
    "htaccess": Transport(HttpExchange, False, True),
}


def check(reply, method):
    """What holds for every response of ours."""
    assert reply.all("Tus-Resumable") == [VERSION], reply
    assert reply.all("X-Content-Type-Options") == ["nosniff"], reply
    names = [name.lower() for name, _ in reply.headers]
    assert len(names) == len(set(names)), f"a header twice: {reply}"
    for name, value in reply.headers:
        assert TOKEN.match(name), f"header name {name!r}: {reply}"
        assert not re.search(r"[\0\r\n]", value), reply
    if method in ("HEAD", "ANY") or reply.status in (204, 304):
        assert reply.body == b"", reply
        # A HEAD that is no more than a GET without its body has an ETag.
        assert reply["Content-Length"] in (None, "0") or "ETag" in reply, reply
    else:
        assert reply["Content-Length"] == str(len(reply.body)), reply
    if reply.status == 204:
        assert "Content-Type" not in reply, reply
    if reply.status >= 400 and method not in ("HEAD", "ANY"):
        assert reply["Content-Type"] == "text/plain; charset=utf-8", reply
        assert ERROR_BODY.match(reply.body), reply
        # The text is fixed: neither a path nor an id can be in it.
        assert not re.search(rb"[0-9a-f]{32}|/(var|tmp|home|srv)/",
                             reply.body), reply
    if method == "HEAD" or reply.status in (201, 204) or reply.status >= 400:
        if method != "OPTIONS" and "ETag" not in reply:
            assert reply["Cache-Control"] == "no-store", reply
    if reply.status == 405:
        assert "Allow" in reply, reply
    if reply.status == 412 and reply.code != "ERR_PRECONDITION_FAILED" and \
            method != "HEAD":
        assert reply["Tus-Version"] == VERSION, reply
    if reply.status == 423:
        assert reply["Retry-After"] == "1", reply


def override_of(method, override):
    """The method that counts.  Where HEAD became something else, ANY: like
    that, but without a body."""
    if method == "HEAD" and override and override.upper() != "HEAD":
        return "ANY"
    if method not in ("POST", "PUT", "PATCH", "DELETE", "GET"):
        return method
    return (override or method).upper()


class Exchange:
    """An exchange whose reply is checked."""

    def __init__(self, inner, method, is_ours):
        self.inner = inner
        # After the override.
        self.method = method
        self.is_ours = is_ours

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def reply(self):
        try:
            reply = self.inner.reply()
        finally:
            self.inner.close()
        if self.is_ours:
            check(reply, self.method)
        return reply


class Tus:
    """One server, spoken to by one transport."""

    def __init__(self, server, transport):
        self.server = server
        self.name = transport
        self.transport = TRANSPORTS[transport]
        self.base = getattr(server, "base", "/files")
        # Does the server speak the IETF's protocol besides?
        self.has_rufh = getattr(server, "config", {}).get(
            "rufh", {}).get("enable", False)
        # What HEAD and DELETE of an upload that is not there are told where
        # they name no version: that they are not in words of tus (VER-08),
        # unless they may as well be in those of the other protocol (RUFH-45).
        self.unclaimed = 404 if self.has_rufh else 412
        # Anybody's request from now on goes out with these.
        self.headers = {"Tus-Resumable": VERSION}
        self.params = {}

    def open(self, method, url=None, headers=None, length=None, params=None,
             is_ours=True, timeout=60.0):
        """A request whose body, of length bytes, CHUNKED, or None for no
        body at all, the caller sends.  A header that is None is left out.
        params: more FastCGI parameters, where there are any.
        is_ours: the reply is made by tusfcgi, not by the web server."""
        merged = {**self.headers, **(headers or {})}
        target = target_of(url if url is not None else self.base + "/")
        override = str(merged.get("X-HTTP-Method-Override") or "")
        return Exchange(
            self.transport.exchange(
                self.server, method, target, expand(merged), length, timeout,
                {**self.params, **(params or {})}),
            override_of(method, override.strip(" \t")), is_ours)

    def request(self, method, url=None, headers=None, body=None, length=None,
                **options):
        """A whole request.  length: what to announce instead of the truth."""
        if length is None and (body is not None or method in (
                "POST", "PATCH", "PUT")):
            length = len(body or b"")
        exchange = self.open(method, url, headers, length, **options)
        exchange.send(body or b"")
        exchange.end()
        return exchange.reply()

    # Shorthands.  Each returns the reply unless it says otherwise.

    def post(self, headers=None, body=None, **options):
        return self.request("POST", None, headers, body, **options)

    def head(self, url, headers=None, **options):
        return self.request("HEAD", url, headers, **options)

    def get(self, url, headers=None, **options):
        return self.request("GET", url, headers, **options)

    def delete(self, url, headers=None, **options):
        return self.request("DELETE", url, headers, **options)

    def options(self, url=None, headers=None, **options):
        return self.request("OPTIONS", url, headers, **options)

    def patch(self, url, offset, body=b"", headers=None, **options):
        return self.request("PATCH", url, {
            "Content-Type": BODY, "Upload-Offset": offset, **(headers or {})},
            body, **options)

    def open_patch(self, url, offset, length, headers=None, **options):
        return self.open("PATCH", url, {
            "Content-Type": BODY, "Upload-Offset": offset, **(headers or {})},
            length, **options)

    def create(self, length=None, headers=None, body=None):
        """The path of a new upload, with its first bytes if there are."""
        wanted = {} if length is None else {"Upload-Length": length}
        if body is not None:
            wanted["Content-Type"] = BODY
        reply = self.post({**wanted, **(headers or {})}, body)
        assert reply.status == 201, reply
        return target_of(reply["Location"])

    def finished(self, data, headers=None):
        """The path of an upload that is whole."""
        url = self.create(len(data), headers)
        if data:
            reply = self.patch(url, 0, data)
            assert reply.status == 204, reply
        return url

    def partial(self, data):
        return self.finished(data, {"Upload-Concat": "partial"})

    def offset(self, url):
        reply = self.head(url)
        assert reply.status == 200, reply
        return int(reply["Upload-Offset"])

    def wait_offset(self, url, offset, patience=10.0):
        """Until the data file holds that much; takes no lock."""
        end = time.monotonic() + patience
        while self.size(url) != offset:
            assert time.monotonic() < end, \
                f"{self.size(url)} bytes after {patience} s, not {offset}"
            time.sleep(0.01)

    # What is on the disk.

    def id(self, url):
        return target_of(url).rstrip("/").rsplit("/", 1)[1]

    def path(self, url, suffix=""):
        return self.server.uploads / (self.id(url) + suffix)

    def size(self, url):
        try:
            return os.stat(self.path(url)).st_size
        except FileNotFoundError:
            return -1

    def data(self, url):
        return self.path(url).read_bytes()

    def files(self):
        return sorted(self.server.names() - {".store"})

    def state(self, url):
        """All that a client and the disk show of an upload."""
        reply = self.head(url)
        return (reply.status, reply["Upload-Offset"], reply["Upload-Length"],
                reply["Upload-Defer-Length"], reply["Upload-Metadata"],
                reply["Upload-Concat"],
                self.data(url) if self.path(url).exists() else None)

    @contextmanager
    def unchanged(self, url):
        """Whatever happens inside must leave the upload as it was."""
        before = self.state(url)
        yield
        assert self.state(url) == before

    @contextmanager
    def nothing_created(self):
        """Nor may anything be left on the disk."""
        before = self.files()
        yield
        assert self.files() == before
