"""Raw FastCGI that no web server would send.

Requests of every kind are taken apart and put together wrongly: records cut,
doubled, swapped, of wrong version, type, length, role or request, parameters
that announce more than they have.  The process survives every one of them,
and the uploads that it does not concern stay as they were.
TUSFCGI_MUTATE says for how many seconds (8).
"""

import os
import struct
import time
from pathlib import Path

import pytest

from lib import fastcgi
from lib.fastcgi import PARAMS, STDIN, begin, pair, record
from .conftest import number

SECONDS = number("MUTATE", 8)


def chunks(lots, kind, data):
    """Data as records, cut wherever the lots say."""
    out = []
    while data:
        n = lots.choice([1, 7, 8, 100, 8192, 65535])
        out.append(record(kind, data[:n], padding=lots.choice([0, 0, 1, 255])))
        data = data[n:]
    return out + [record(kind)]


class Garbage:
    def __init__(self, lots, paths):
        self.lots, self.paths = lots, paths

    def request(self):
        """A request that might be meant."""
        lots = self.lots
        method = lots.choice(["POST", "PATCH", "HEAD", "DELETE", "GET",
                              "OPTIONS", "PUT", "x" * 5000, "\0", ""])
        uri = lots.choice(self.paths + [
            "/files", "/files/", "/files/..%2f..%2fetc/passwd", "/", "",
            "/files/" + "a" * 70, "/files/\xff", "http://h/files/x?y"])
        body = lots.randbytes(lots.choice([0, 1, 10, 5000, 100_000]))
        headers = {}
        for name, values in (
                ("Upload-Offset", ["0", "50", "-1", "9" * 30, "5, 5"]),
                ("Upload-Length", ["100", "0", "9" * 19, "1e9", "\r\nX: y"]),
                ("Upload-Defer-Length", ["1", "2"]),
                ("Upload-Metadata", ["a YQ==", "," * 4000, "k " + "Q" * 7000,
                                     "a YQ==\r\nSet-Cookie: x"]),
                ("Upload-Concat", ["partial", "final;" + " ".join(
                    lots.choices(self.paths, k=lots.choice([1, 3, 900]))),
                    "final;" + "/ " * 3000]),
                ("Upload-Checksum", ["sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                     "md5 x", "crc32 AAAAAA=="]),
                ("Content-Type", ["application/offset+octet-stream", "x"]),
                ("X-HTTP-Method-Override", ["PATCH", "DELETE", "FOO"]),
                ("Range", ["bytes=0-1", "bytes=-0", "bytes=" + "0-1," * 900]),
                ("Origin", ["null", "https://evil.example"]),
                ("Tus-Resumable", ["1.0.0", "0.2.2"])):
            if lots.random() < 0.35:
                headers[name] = lots.choice(values)
        length = lots.choice([None, "", len(body), len(body) + 5, "-1",
                              "9" * 25, 1 << 62])
        variables = fastcgi.variables(method, uri, headers, length)
        data = b"".join(pair(k, v) for k, v in variables.items())
        if lots.random() < 0.2:
            data = self.bend(data)
        return [begin(role=lots.choice([1, 1, 1, 1, 2, 3, 9, 65535]),
                      flags=lots.choice([0, 0, 1, 255]))] + \
            chunks(lots, PARAMS, data) + chunks(lots, STDIN, body)

    def bend(self, data):
        """Some bytes of it are wrong, or it announces a lot."""
        lots = self.lots
        if lots.random() < 0.3:
            size = lots.choice([1 << 16, 1 << 24, (1 << 31) - 1])
            return data + struct.pack(
                ">II", size | 1 << 31, lots.choice([0, size]) | 1 << 31) + \
                lots.randbytes(300)
        data = bytearray(data)
        for _ in range(lots.choice([1, 3, 30])):
            if data:
                data[lots.randrange(len(data))] = lots.randrange(256)
        return bytes(data)

    def make(self):
        """The records of one connection, not quite as they should be."""
        lots = self.lots
        records = self.request()
        if lots.random() < 0.2:
            records += self.request()
        for _ in range(lots.choice([0, 0, 1, 2, 5])):
            at = lots.randrange(len(records))
            how = lots.randrange(9)
            if how == 0:
                del records[at]
            elif how == 1:
                records.insert(at, records[lots.randrange(len(records))])
            elif how == 2:
                other = lots.randrange(len(records))
                records[at], records[other] = records[other], records[at]
            elif how == 3:
                records[at] = records[at][:lots.randrange(
                    len(records[at]) + 1)]
            elif how == 4:
                records[at] = self.bend(records[at])
            elif how == 5:
                records.insert(at, record(
                    lots.randrange(256), lots.randbytes(lots.choice([0, 8])),
                    lots.choice([0, 1, 2, 65535]), lots.randrange(256)))
            elif how == 6:
                records.insert(at, record(fastcgi.ABORT))
            elif how == 7:
                records.insert(at, record(9, pair(
                    "FCGI_MAX_CONNS", "") * lots.choice([1, 2000]), 0))
            else:
                records.insert(at, lots.randbytes(lots.choice([1, 8, 3000])))
            if not records:
                records = [b""]
        data = b"".join(records)
        if lots.random() < 0.2:
            data = data[:lots.randrange(len(data) + 1)]
        return data


def send(client, data, half_close):
    """Whatever comes back, it comes soon; a connection may also be cut."""
    with fastcgi.Stream(client.connect()) as stream:
        try:
            stream.send_raw(data)
            if half_close:
                stream.socket.shutdown(1)
            else:
                stream.socket.settimeout(0.02)
        except OSError:
            return None
        try:
            return stream.read()
        except TimeoutError:
            return None


def test_garbage_ends_no_process_and_touches_nothing(app, lots):
    """INV-23, INV-33 (the whole program)"""
    server = app(args=["-w", "1"], config={
        "timeouts": {"read": "200ms", "drain": "200ms"},
        "lock": {"timeout": "100ms"}, "store": {"min_free": "0"},
        "log": {"level": "warn"}}, env={
            # libfcgi forgets a few bytes on the way out of what it refuses.
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") +
            ":detect_leaks=0"})
    client = server.client
    client.patience = 10
    mine = client.create(100_000)
    client.patch(mine, 0, b"mine" * 25_000)
    other = client.create(100)
    client.patch(other, 0, b"o" * 50)
    garbage = Garbage(lots, [client.create(1000) for _ in range(4)] +
                      [mine.replace("/files/", "/files/x")])
    until, n, statuses = time.monotonic() + SECONDS, 0, {}
    while time.monotonic() < until:
        n += 1
        data = garbage.make()
        (server.dir / f"garbage{n % 8}").write_bytes(data)
        assert server.app.poll() is None, server.log()[-3000:]
        answer = send(client, data, lots.random() < 0.8)
        status = answer.status if answer else None
        statuses[status] = statuses.get(status, 0) + 1
        if status is not None:
            head = answer.raw.split(b"\r\n\r\n")[0]
            assert b"Set-Cookie" not in head and b"\0" not in head
        if n % 50 == 0:
            clean(server, mine, other)
    assert server.app.poll() is None, server.log()[-3000:]
    assert client.request("GET", mine).body == b"mine" * 25_000
    assert client.offset(other) == 50
    server.stop_app()
    print(f"garbage: {n} connections in {SECONDS} s, answers {statuses}")


def clean(server, *keep):
    """So that the disk does not fill up."""
    keep = {path.rsplit("/", 1)[1] for path in keep}
    for path in server.uploads.iterdir():
        if path.name.split(".")[0] not in keep and \
                path.stat().st_size > 1_000_000:
            path.unlink()


def test_parameters_without_end_are_refused(app):
    """More than any web server sends is not kept in memory."""
    server = app(args=["-w", "1"], config={"log": {"level": "warn"}})
    many = record(PARAMS, pair("HTTP_X", "v" * 60_000))
    with fastcgi.Stream(server.client.connect()) as stream:
        stream.send_raw(begin())
        sent = 0
        try:
            for _ in range(2000):
                stream.send_raw(many)
                sent += len(many)
        except OSError:
            pass
    assert sent < 20 << 20
    status = Path(f"/proc/{server.app.pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0])
    assert server.client.request("OPTIONS", "/files").status == 200
    print(f"parameters: {sent} bytes sent, peak {peak} KiB")


def test_questions_without_end_are_refused(app):
    """libfcgi would answer them into 64 bytes of its stack."""
    server = app(args=["-w", "1"])
    pid = server.app.pid
    ask = [pair(name, "") for name in
           ("FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS")]
    for content in (ask[0] * 4, ask[2] * 3, b"".join(ask) * 500):
        answer = server.client.raw(record(9, content, 0))
        assert answer.raw == b""
        assert server.client.request("OPTIONS", "/files").status == 200
    # Behind a record whose padding libfcgi takes for the next record.
    hidden = struct.pack(">BBHHBx", 1, 1, 1, 8, 176) + begin()[8:]
    answer = server.client.raw(hidden + record(9, b"".join(ask) * 500, 0))
    assert answer.raw == b""
    # All three at once are what the specification wants answered.
    meant = record(9, b"".join(ask), 0)
    with fastcgi.Stream(server.client.connect()) as stream:
        stream.send_raw(meant + begin() + fastcgi.params(
            fastcgi.variables("OPTIONS", "/files")) + record(STDIN))
        assert stream.read().status == 200
    assert server.app.pid == pid and server.app.poll() is None


def address_space(pid):
    """The most there ever was of it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmPeak:")[1].split()[0]) * 1024


@pytest.mark.parametrize("name, value", [
    (1 << 30, 1 << 30), ((1 << 31) - 1, (1 << 31) - 1), (5, 1 << 24)])
def test_a_length_that_is_only_announced_allocates_nothing(
        app, name, value):
    server = app(args=["-w", "1"])
    assert server.client.request("OPTIONS", "/files").status == 200
    before = address_space(server.app.pid)
    announced = struct.pack(">II", name | 1 << 31, value | 1 << 31)
    refused = begin(role=2, flags=1) + fastcgi.params(
        fastcgi.variables("OPTIONS", "/files")) + record(STDIN)
    for n, data in enumerate((
            begin() + record(PARAMS, announced + b"HTTP_"),
            # One byte after the other, and split over records.
            begin() + b"".join(record(PARAMS, bytes([b])) for b in announced),
            record(9, announced, 0),
            # Of no request; around a question.
            begin() + record(PARAMS, announced, 0),
            record(77, announced, 0) + begin(),
            # Of another request, without content: the next one would be
            # skipped in its place, and the one after it not understood.
            begin() + record(PARAMS, b"", 2) + record(PARAMS, b"\x05\x05") +
            record(PARAMS, announced),
            begin() + record(PARAMS, announced[:2]) + record(9, b"", 0) +
            record(PARAMS, announced[2:])), 1):
        assert server.client.raw(data).status is None
        assert server.client.request("OPTIONS", "/files").status == 200
        assert server.log().count("no web server sends such") == n
    # Behind a request that was not worth reading.
    with fastcgi.Stream(server.client.connect()) as stream:
        stream.send_raw(refused)
        assert stream.read().status == 500
        try:
            stream.send_raw(begin(request_id=2) + record(
                PARAMS, announced, 2))
        except OSError:
            pass
        assert stream.read().status is None
    assert server.app.poll() is None
    assert address_space(server.app.pid) < before + (8 << 20)
