"""Clients that take their time: a request whose body comes piece by piece.

    up = slow.Request(one, "PATCH", path, b"hello world", {"Upload-Offset": "0"})
    up.send(5); ...; up.send_rest(); status, headers, body = up.answer()
"""

import http.client
import re
import select
import socket
import time

from lib import clients, rig

TYPE = {"Content-Type": "application/offset+octet-stream",
        "Tus-Resumable": "1.0.0"}


def metric(one, name):
    """A value of those that are to be had at .../files/metrics."""
    text = clients.request("GET", one.url + "metrics")[2].decode()
    found = re.search(rf"^\w+?_{re.escape(name)} (\d+)$", text, re.MULTILINE)
    assert found, text
    return int(found[1])


def parked(one):
    """How many requests wait in no worker."""
    return metric(one, "uploads_parked")


def wait_parked(one, n, patience=rig.PATIENCE):
    rig.wait_for(lambda: parked(one) == n, f"{n} parked", patience)


def create(one, size, **headers):
    """The path of a new upload; size None: its length comes later."""
    length = ({"Upload-Defer-Length": "1"} if size is None else
              {"Upload-Length": str(size)})
    status, answer, _ = clients.request(
        "POST", one.url, {**length, **headers}, b"")
    assert status == 201, status
    return answer["Location"]


class Request:
    """One request, its head sent at once, its body when the caller says so."""

    def __init__(self, one, method, path, data, headers=None, chunked=False):
        self.data, self.sent, self.chunked = data, 0, chunked
        self.link = socket.create_connection(("127.0.0.1", one.port),
                                             timeout=60)
        self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        length = ({"Transfer-Encoding": "chunked"} if chunked else
                  {"Content-Length": str(len(data))})
        fields = {"Host": "127.0.0.1", **TYPE, **length, **(headers or {})}
        head = "".join(f"{k}: {v}\r\n" for k, v in fields.items()
                       if v is not None)
        self.link.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())

    def send(self, n):
        piece = self.data[self.sent:self.sent + n]
        self.sent += len(piece)
        if self.chunked and piece:
            self.link.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        else:
            self.link.sendall(piece)

    def send_rest(self):
        self.send(len(self.data) - self.sent)
        if self.chunked:
            self.link.sendall(b"0\r\n\r\n")

    def is_answered(self):
        return bool(select.select([self.link], [], [], 0)[0])

    def answer(self):
        """(status, headers, body); the connection is closed."""
        reply = http.client.HTTPResponse(self.link)
        reply.begin()
        result = reply.status, reply.headers, reply.read()
        self.close()
        return result

    def close(self):
        self.link.close()


def append(one, path, data, offset=0, **more):
    return Request(one, "PATCH", path, data,
                   {"Upload-Offset": str(offset), **more.pop("headers", {})},
                   **more)


def drip(request, piece, pause):
    """All of it but for the end, slowly."""
    while request.sent < len(request.data):
        request.send(piece)
        time.sleep(pause)
