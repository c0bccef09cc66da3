"""A ZooKeeper in memory, as much of one as the agent needs, which can lie."""

import itertools
import socket
import struct
import threading

from lib.listener import Listener

CREATE, DELETE, EXISTS, GET, CHILDREN, SYNC = 1, 2, 3, 4, 8, 9
PING, CREATE2, AUTH, SET_WATCHES, CLOSE = 11, 15, 100, 101, -11
CONNECT = 0     # Not a request's type: the answer to the handshake.
NO_NODE, NODE_EXISTS, NO_CHILDREN = -101, -110, -108
EVENT = -1      # The xid of what nobody has asked for.
DELETED, CHILD = 2, 4
CONNECTED = 3
EPHEMERAL = 1


def number(n):
    return struct.pack(">i", n)


def long(n):
    return struct.pack(">q", n)


def text(data):
    return number(len(data)) + data


def frame(body):
    return number(len(body)) + body


def reply(xid, body=b"", error=0, zxid=1):
    return frame(number(xid) + long(zxid) + number(error) + body)


def event(path, kind=DELETED, state=CONNECTED):
    return reply(EVENT, number(kind) + number(state) + text(path))


class Node:
    def __init__(self, data, owner, zxid):
        self.data, self.owner, self.zxid = data, owner, zxid

    def stat(self):
        return struct.pack(">qqqqiiiqiiq", self.zxid, self.zxid, 0, 0, 0, 0, 0,
                           self.owner, len(self.data), 0, self.zxid)


class Cut:
    """A lie: this is sent, and then the connection ends."""

    def __init__(self, data=b""):
        self.data = data


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, form):
        size = struct.calcsize(form)
        value, = struct.unpack(form, self.data[:size])
        self.data = self.data[size:]
        return value

    def number(self):
        return self.take(">i")

    def text(self):
        size = max(0, self.number())
        value, self.data = self.data[:size], self.data[size:]
        return value


class ZooKeeper(Listener):
    """lie: what is sent, given the type, the xid and the true answer."""

    def __init__(self, lie=None, port=0):
        self.lie = lie
        self.nodes, self.watches = {}, {}
        self.zxids, self.sessions = itertools.count(1), itertools.count(1)
        self.seen = []
        self.mutex = threading.RLock()
        super().__init__(port)

    def talk(self, one):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with one.makefile("rb") as stream:
            session = self.greet(one, stream)
            while session and (data := self.read(stream)) is not None:
                if not self.send(one, *self.answer(one, session, data)):
                    break

    @staticmethod
    def read(stream):
        head = stream.read(4)
        if len(head) < 4:
            return None
        return stream.read(struct.unpack(">i", head)[0])

    def send(self, one, kind, xid, true):
        data = true if self.lie is None else self.lie(kind, xid, true)
        one.sendall(data.data if isinstance(data, Cut) else data)
        return not isinstance(data, Cut)

    def greet(self, one, stream):
        r = Reader(self.read(stream) or b"")
        if len(r.data) < 24:
            return 0
        r.number(), r.take(">q")
        timeout, session = r.number(), r.take(">q")
        session = session or next(self.sessions)
        body = number(0) + number(timeout) + long(session) + text(b"p" * 16)
        return session if self.send(one, CONNECT, 0, frame(body + b"\0")) else 0

    # --- Requests. ---

    def tell(self, path, kind):
        for one in self.watches.pop((path, kind), []):
            try:
                one.sendall(event(path, kind))
            except OSError:
                pass

    def watch(self, one, path, kind):
        self.watches.setdefault((path, kind), set()).add(one)

    def remove(self, path):
        with self.mutex:
            del self.nodes[path]
            self.tell(path, DELETED)
            self.tell(path.rpartition(b"/")[0], CHILD)

    def create(self, session, r):
        path, data = r.text(), r.text()
        for _ in range(r.number()):
            r.number(), r.text(), r.text()
        if path in self.nodes:
            return NODE_EXISTS, b""
        node = self.nodes[path] = Node(
            data, session if r.number() & EPHEMERAL else 0, next(self.zxids))
        self.tell(path.rpartition(b"/")[0], CHILD)
        return 0, text(path) + node.stat()

    def look(self, one, kind, r):
        path = r.text()
        node = self.nodes.get(path)
        if node is None:
            return NO_NODE, b""
        if r.data[:1] == b"\1":
            self.watch(one, path, CHILD if kind == CHILDREN else DELETED)
        if kind == EXISTS:
            return 0, node.stat()
        if kind == GET:
            return 0, text(node.data) + node.stat()
        names = [p[len(path) + 1:] for p in self.nodes
                 if p.startswith(path + b"/")]
        return 0, number(len(names)) + b"".join(map(text, names))

    def carry_out(self, one, session, kind, r):
        if kind in (CREATE, CREATE2):
            error, body = self.create(session, r)
            return error, body if kind == CREATE2 else body[:-68]
        if kind in (EXISTS, GET, CHILDREN):
            return self.look(one, kind, r)
        if kind == DELETE:
            path = r.text()
            if path not in self.nodes:
                return NO_NODE, b""
            self.remove(path)
        if kind == SYNC:
            return 0, text(r.text())
        return 0, b""

    def answer(self, one, session, data):
        r = Reader(data)
        xid, kind = r.number(), r.number()
        with self.mutex:
            self.seen.append(kind)
            error, body = self.carry_out(one, session, kind, r)
            return kind, xid, reply(xid, body, error, next(self.zxids))
