"""A FastCGI client over raw sockets, as a web server would be one.

    client = fastcgi.Client("/path/to/socket")          or ("127.0.0.1", 9000)
    answer = client.request("HEAD", "/files/ID")        -> Response
    answer.status, answer.headers["upload-offset"], answer.body

    with client.open("PATCH", "/files/ID", headers, length=100) as stream:
        stream.send(b"...")                             slice by slice
        answer = stream.finish()                        or close() in the middle

Requests carry Tus-Resumable unless told otherwise.  The functions that build
records are public, so that a test can send wrong ones.
"""

import base64
import socket
import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = 1, 2, 3, 4, 5, 6, 7
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP_CONN = 1
PATIENCE = 30.0


def record(kind, content=b"", request_id=1, version=1, padding=0):
    return struct.pack(">BBHHBx", version, kind, request_id, len(content),
                       padding) + content + b"\0" * padding


def begin(role=RESPONDER, flags=0, request_id=1):
    return record(BEGIN, struct.pack(">HB5x", role, flags), request_id)


def pair(name, value):
    def size(n):
        return bytes([n]) if n < 128 else struct.pack(">I", n | 1 << 31)
    name = name.encode("latin-1") if isinstance(name, str) else name
    value = value.encode("latin-1") if isinstance(value, str) else value
    return size(len(name)) + size(len(value)) + name + value


def params(variables, piece=65000, padding=0):
    """All PARAMS records, the empty one at the end included; of a dict, or
    of pairs, where names may come twice."""
    pairs = variables.items() if isinstance(variables, dict) else variables
    data = b"".join(pair(k, v) for k, v in pairs)
    pieces = [data[i:i + piece] for i in range(0, len(data), piece)]
    return b"".join(record(PARAMS, p, padding=padding) for p in pieces) + \
        record(PARAMS)


def stdin(data, piece=32768):
    """STDIN records for data, without the empty one at the end."""
    return b"".join(record(STDIN, data[i:i + piece])
                    for i in range(0, len(data), piece))


def variables(method, uri, headers=None, length=None, extra=None,
              resumable="1.0.0"):
    """The parameters that nginx sends; None as a value leaves one out."""
    result = {
        "REQUEST_METHOD": method, "REQUEST_URI": uri,
        "CONTENT_LENGTH": "" if length is None else str(length),
        "CONTENT_TYPE": "", "SCRIPT_NAME": "/files",
        "PATH_INFO": uri.split("?")[0][len("/files"):],
        "QUERY_STRING": uri.partition("?")[2],
        "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "example.test"}
    if resumable is not None:
        result["HTTP_TUS_RESUMABLE"] = resumable
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            result[key] = value
        else:
            result["HTTP_" + key] = value
    result.update(extra or {})
    return {k: v for k, v in result.items() if v is not None}


class Response:
    """What came back: status, headers (lower case, one value each) or, if
    there was none, raw and ended."""

    def __init__(self, raw, errors, ended):
        self.raw = raw
        self.errors = errors
        self.ended = ended
        self.status = None
        self.reason = ""
        self.headers = {}
        self.duplicates = []
        head, self.separator, self.body = raw.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n") if self.separator else []:
            name, _, value = line.decode("latin-1").partition(":")
            name, value = name.lower(), value.strip()
            if name in self.headers:
                self.duplicates.append(name)
            self.headers[name] = value
        if "status" in self.headers:
            code, _, self.reason = self.headers.pop("status").partition(" ")
            self.status = int(code)

    def __repr__(self):
        return f"<Response {self.status} {self.headers} {self.body[:80]!r}>"


class Stream:
    """One request under way."""

    def __init__(self, sock):
        self.socket = sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data, piece=32768):
        self.socket.sendall(stdin(data, piece))

    def send_raw(self, data):
        self.socket.sendall(data)

    def finish(self):
        """The end of the body; then the answer."""
        try:
            self.socket.sendall(record(STDIN))
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self.read()

    def read(self):
        """The answer, without ending the body first."""
        out, err, ended = [], [], False
        while not ended:
            header = self.exactly(8)
            if header is None:
                break
            _, kind, _, length, padding = struct.unpack(">BBHHBx", header)
            content = self.exactly(length + padding)
            if content is None:
                break
            content = content[:length]
            if kind == STDOUT:
                out.append(content)
            elif kind == STDERR:
                err.append(content)
            elif kind == END:
                ended = True
        return Response(b"".join(out), b"".join(err), ended)

    def exactly(self, n):
        data = b""
        while len(data) < n:
            try:
                piece = self.socket.recv(n - len(data))
            except (ConnectionResetError, BrokenPipeError):
                return None
            if not piece:
                return None
            data += piece
        return data

    def close(self):
        self.socket.close()


class Client:
    """Makes a connection for every request."""

    def __init__(self, address, patience=PATIENCE):
        self.address = address
        self.patience = patience

    def connect(self):
        is_tcp = isinstance(self.address, tuple)
        s = socket.socket(socket.AF_INET if is_tcp else socket.AF_UNIX)
        s.settimeout(self.patience)
        s.connect(self.address if is_tcp else str(self.address))
        return s

    def raw(self, data, end=True):
        """Send these bytes; then the answer, if there is one."""
        with Stream(self.connect()) as stream:
            try:
                stream.send_raw(data)
                if end:
                    stream.socket.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return stream.read()

    def open(self, method, uri, headers=None, length=None, extra=None,
             flags=0, resumable="1.0.0"):
        """Begin a request; its body is up to the caller."""
        stream = Stream(self.connect())
        stream.send_raw(begin(flags=flags) + params(
            variables(method, uri, headers, length, extra, resumable)))
        return stream

    def request(self, method, uri, headers=None, body=b"", extra=None,
                length=None, resumable="1.0.0"):
        """A whole request."""
        length = len(body) if length is None else length
        data = begin() + params(variables(
            method, uri, headers, length, extra, resumable)) + \
            stdin(body) + record(STDIN)
        with Stream(self.connect()) as stream:
            try:
                stream.send_raw(data)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return stream.read()

    # The requests that nearly every test makes.

    def create(self, length, metadata=None, headers=None, base="/files"):
        """POST; the path of the new upload."""
        headers = {"Upload-Length": str(length), **(headers or {})}
        if metadata:
            headers["Upload-Metadata"] = ",".join(
                f"{k} {base64.b64encode(v.encode()).decode()}"
                for k, v in metadata.items())
        answer = self.request("POST", base, headers)
        assert answer.status == 201, answer
        return answer.headers["location"]

    def patch_headers(self, offset, headers=None):
        return {"Upload-Offset": str(offset),
                "Content-Type": "application/offset+octet-stream",
                **(headers or {})}

    def patch(self, path, offset, body, headers=None, **options):
        return self.request("PATCH", path,
                            self.patch_headers(offset, headers), body,
                            **options)

    def open_patch(self, path, offset, length=None, headers=None, **options):
        return self.open("PATCH", path, self.patch_headers(offset, headers),
                         length, **options)

    def head(self, path):
        return self.request("HEAD", path)

    def offset(self, path):
        """What HEAD says; None if it says nothing."""
        answer = self.head(path)
        return int(answer.headers["upload-offset"]) \
            if answer.status == 200 else None
