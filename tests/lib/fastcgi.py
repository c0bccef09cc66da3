"""A FastCGI client that can say everything, also what no web server says.

    with fastcgi.Connection(path_or_host_port) as fcgi:
        fcgi.begin()
        fcgi.params({"REQUEST_METHOD": "HEAD", "REQUEST_URI": "/files/x"})
        fcgi.stdin(b"")
        reply = fcgi.reply()        reply.status, reply["Upload-Offset"]

Every record can be sent on its own, with any version, request id, padding or
length, so a conversation can stop, stall or go wrong at any byte.
"""

import socket
import struct

from lib.reply import Reply

BEGIN_REQUEST = 1
ABORT_REQUEST = 2
END_REQUEST = 3
PARAMS = 4
STDIN = 5
STDOUT = 6
STDERR = 7
DATA = 8
GET_VALUES = 9
GET_VALUES_RESULT = 10
UNKNOWN_TYPE = 11

RESPONDER = 1
AUTHORIZER = 2
FILTER = 3

KEEP_CONN = 1

# protocolStatus of END_REQUEST
REQUEST_COMPLETE = 0
CANT_MPX_CONN = 1
OVERLOADED = 2
UNKNOWN_ROLE = 3

# The longest payload of one record that needs no padding.
FULL = 65528


def record(kind, payload=b"", request_id=1, padding=0, version=1, length=None):
    """The bytes of one record; length may lie about the payload."""
    if length is None:
        length = len(payload)
    return struct.pack(">BBHHBx", version, kind, request_id, length,
                       padding) + payload + bytes(padding)


def records(kind, data, size=FULL, request_id=1):
    """A stream cut into records, without the empty one at its end."""
    return b"".join(record(kind, data[i:i + size], request_id)
                    for i in range(0, len(data), size))


def as_bytes(text):
    """Params are bytes; text stands for itself as HTTP would send it."""
    if isinstance(text, bytes):
        return text
    return str(text).encode("utf-8", "surrogateescape")


def pairs(params):
    """Name-value pairs of a dict or a list of (name, value)."""
    items = params.items() if hasattr(params, "items") else params
    out = []
    for name, value in items:
        name, value = as_bytes(name), as_bytes(value)
        for part in (name, value):
            out.append(bytes([len(part)]) if len(part) < 128 else
                       struct.pack(">I", len(part) | 0x80000000))
        out += [name, value]
    return b"".join(out)


class Connection:
    """One connection to a FastCGI application: a path, or (host, port)."""

    def __init__(self, address, timeout=30.0):
        family = socket.AF_INET if isinstance(address, tuple) \
            else socket.AF_UNIX
        self.socket = socket.socket(family)
        self.socket.settimeout(timeout)
        self.socket.connect(address if family == socket.AF_INET
                            else str(address))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """What a web server does when its client is gone."""
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def begin(self, role=RESPONDER, flags=0, request_id=1):
        self.send(record(BEGIN_REQUEST, struct.pack(">HB5x", role, flags),
                         request_id))

    def params(self, params, size=FULL, request_id=1, end=True):
        self.send(records(PARAMS, pairs(params), size, request_id))
        if end:
            self.send(record(PARAMS, request_id=request_id))

    def stdin(self, data, size=FULL, request_id=1):
        """A piece of the body; an empty piece ends it."""
        self.send(records(STDIN, data, size, request_id) if data
                  else record(STDIN, request_id=request_id))

    def abort(self, request_id=1):
        self.send(record(ABORT_REQUEST, request_id=request_id))

    def read(self, n):
        while len(self.buffer) < n:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"closed after {len(self.buffer)} bytes")
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read_record(self):
        """(type, request id, payload)"""
        version, kind, request_id, length, padding = struct.unpack(
            ">BBHHBx", self.read(8))
        assert version == 1, f"record of version {version}"
        payload = self.read(length)
        self.read(padding)
        return kind, request_id, payload

    def reply(self, request_id=1):
        """Reads until END_REQUEST; EOFError if the application hung up."""
        out, err = [], []
        while True:
            kind, number, payload = self.read_record()
            assert number == request_id, f"record of request {number}"
            if kind == STDOUT:
                out.append(payload)
            elif kind == STDERR:
                err.append(payload)
            elif kind == END_REQUEST:
                break
        app_status, protocol_status = struct.unpack(">IB", payload[:5])
        reply = parse(b"".join(out))
        reply.stderr = b"".join(err)
        reply.app_status = app_status
        reply.protocol_status = protocol_status
        return reply


def parse(out):
    """What a CGI program writes: "Status: 204 No Content", headers, body."""
    if not out:
        return Reply(0, "", [], b"")
    head, _, body = out.partition(b"\r\n\r\n")
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
