"""What the benchmark does with many connections, or with many requests."""

import asyncio
import http.client
import socket
import time

TUS = {"Tus-Resumable": "1.0.0"}


def ask(connection, method, path, headers, body=None):
    """One request; the response, its body read."""
    connection.request(method, path, body, {**TUS, **headers})
    response = connection.getresponse()
    response.read()
    return response


def create(connection, path, headers, body=None):
    response = ask(connection, "POST", path, headers, body)
    if response.status != 201:
        raise RuntimeError(f"creation answered {response.status}")
    return response.getheader("Location")


def concat(port, path, parts, size):
    """A final upload of so many parts; only the concatenation is counted as
    work, but the parts cost as well: read it as one figure."""
    c = http.client.HTTPConnection("127.0.0.1", port)
    body = b"x" * size
    urls = [create(c, path, {
        "Upload-Concat": "partial", "Upload-Length": str(size),
        "Content-Type": "application/offset+octet-stream"}, body)
        for _ in range(parts)]
    create(c, path, {"Upload-Concat": "final;" + " ".join(urls)})
    c.close()
    return 1


def begin_slow(port, path, length):
    """An upload whose PATCH has sent its headers and nothing else."""
    c = http.client.HTTPConnection("127.0.0.1", port)
    where = create(c, path, {"Upload-Length": str(length)})
    c.close()
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall((f"PATCH {where} HTTP/1.1\r\nHost: localhost\r\n"
               "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
               "Content-Type: application/offset+octet-stream\r\n"
               f"Content-Length: {length}\r\n\r\n").encode())
    return where.rsplit("/", 1)[1], s


def uploads(peer, count, seconds):
    """So many uploads at 1 KiB/s, and HEADs of another one meanwhile."""
    c = http.client.HTTPConnection("127.0.0.1", peer.port)
    other = create(c, peer.path, {"Upload-Length": "10"})
    running = []
    for _ in range(count):
        running.append(begin_slow(peer.port, peer.path, 1 << 20))
        running[-1][1].sendall(b"x")
    # Some servers close what was idle meanwhile.
    c.close()
    served = all_have_bytes(peer, [name for name, _ in running])
    times = []
    end = time.monotonic() + seconds
    piece = b"x" * 128
    sent = 1
    while time.monotonic() < end:
        slice_end = time.monotonic() + 0.125
        for _, s in running:
            s.sendall(piece)
        sent += len(piece)
        while True:
            began = time.monotonic()
            if ask(c, "HEAD", other, {}).status != 200:
                raise RuntimeError("HEAD failed")
            times.append((time.monotonic() - began) * 1000)
            if time.monotonic() + 0.02 > slice_end:
                break
            time.sleep(0.02)
    time.sleep(1)
    sizes = {name: (peer.uploads / name).stat().st_size
             for name, _ in running}
    result = {"progress": sum(size > 1 for size in sizes.values()),
              "served": served, "pss": peer.app.pss(),
              "processes": len(peer.app.all_pids()),
              "complete": sum(size == sent for size in sizes.values())}
    for _, s in running:
        s.close()
    c.close()
    times.sort()
    result["p50"] = times[len(times) // 2]
    result["p99"] = times[len(times) * 99 // 100]
    result["max"] = times[-1]
    return result


class Trickle:
    """So many uploads, each sending 1 KiB a second, and HEADs meanwhile."""

    PIECE, TURNS = b"x" * 1024, 20

    def __init__(self, peer, count):
        self.peer, self.count = peer, count
        self.names, self.sockets, self.sent, self.heads = [], [], [], []
        self.link = http.client.HTTPConnection("127.0.0.1", peer.port)
        self.other = create(self.link, peer.path, {"Upload-Length": "10"})

    def open(self):
        """One more; its PATCH has sent its headers."""
        where = create(self.link, self.peer.path,
                       {"Upload-Length": str(1 << 20)})
        s = socket.create_connection(("127.0.0.1", self.peer.port))
        s.sendall((f"PATCH {where} HTTP/1.1\r\nHost: localhost\r\n"
                   "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
                   "Content-Type: application/offset+octet-stream\r\n"
                   f"Content-Length: {1 << 20}\r\n\r\n").encode())
        s.setblocking(False)
        self.names.append(where.rsplit("/", 1)[1])
        self.sockets.append(s)
        self.sent.append(0)

    def open_all(self):
        """Those that are open send on in turn, or they would be cut off."""
        turn = 0
        while len(self.sockets) < self.count:
            self.open()
            for _ in range(3):
                turn = (turn + 1) % len(self.sockets)
                self.put(turn)
            self.look()

    def put(self, i):
        self.sent[i] += self.sockets[i].send(self.PIECE)

    def look(self):
        began = time.monotonic()
        if ask(self.link, "HEAD", self.other, {}).status != 200:
            raise RuntimeError("HEAD failed")
        self.heads.append((time.monotonic() - began) * 1000)

    def run(self, seconds):
        """A part of all has its turn, then the next."""
        began = time.monotonic()
        self.heads.clear()
        for turn in range(seconds * self.TURNS):
            for i in range(turn % self.TURNS, len(self.sockets), self.TURNS):
                self.put(i)
            self.look()
            time.sleep(max(0, began + (turn + 1) / self.TURNS -
                           time.monotonic()))
        return time.monotonic() - began

    def stored(self):
        return [(self.peer.uploads / name).stat().st_size
                for name in self.names]

    def close(self):
        for s in self.sockets:
            s.close()
        self.link.close()


def all_have_bytes(peer, names):
    """How long until each has a byte on the disk, in seconds."""
    began = time.monotonic()
    waiting = set(names)
    while waiting and time.monotonic() - began < 30:
        waiting = {n for n in waiting
                   if (peer.uploads / n).stat().st_size == 0}
        time.sleep(0.01)
    return time.monotonic() - began


def early(peer, count):
    """PATCHes of 1 GiB that are refused at once, their clients staying
    connected: ms until the answer, and until somebody else gets one."""
    c = http.client.HTTPConnection("127.0.0.1", peer.port)
    where = create(c, peer.path, {"Upload-Length": str(1 << 30)})
    answered, free = [], []
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", peer.port)) as s:
            began = time.monotonic()
            s.sendall((f"PATCH {where} HTTP/1.1\r\nHost: localhost\r\n"
                       "Tus-Resumable: 1.0.0\r\nUpload-Offset: 5\r\n"
                       "Content-Type: application/offset+octet-stream\r\n"
                       f"Content-Length: {1 << 30}\r\n\r\n").encode() +
                      b"x" * 65536)
            if not s.recv(4096).startswith(b"HTTP/1.1 409"):
                raise RuntimeError("the PATCH was not refused")
            answered.append((time.monotonic() - began) * 1000)
            began = time.monotonic()
            ask(c, "HEAD", where, {})
            free.append((time.monotonic() - began) * 1000)
    c.close()
    return sorted(answered), sorted(free)


# --- More clients than there is room for -------------------------------------

class Crowd:
    """Clients that all want to send at the same time, and try again when they
    are told to; what happened is counted."""

    SIZE, PIECE, PAUSE = 65536, 8192, 0.1

    def __init__(self, peer, count):
        self.peer = peer
        self.count = count
        self.seen = {}
        self.wrong = []
        self.heads = []
        self.finished = 0

    def note(self, what):
        self.seen[what] = self.seen.get(what, 0) + 1

    def run(self, patience):
        asyncio.run(asyncio.wait_for(self.all(), patience))

    async def all(self):
        pinger = asyncio.create_task(self.ping())
        names = await asyncio.gather(
            *(self.client(i) for i in range(self.count)))
        pinger.cancel()
        for i, name in enumerate(names):
            if (self.peer.uploads / name).read_bytes() != self.content(i):
                self.wrong.append(f"{name} has other content")

    def content(self, i):
        return (f"{i:08d}" * (self.SIZE // 8)).encode()

    async def request(self, method, path, headers, body=b"", pause=0):
        """The status and the headers; 0 if the connection was lost."""
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.peer.port)
        except OSError:
            return 0, {}
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost",
                 "Tus-Resumable: 1.0.0", "Connection: close",
                 f"Content-Length: {len(body)}",
                 *(f"{k}: {v}" for k, v in headers.items())]
        answer = asyncio.create_task(self.answer(reader))
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            for at in range(0, len(body), self.PIECE):
                if answer.done():
                    break
                writer.write(body[at:at + self.PIECE])
                await writer.drain()
                await asyncio.sleep(pause)
        except OSError:
            pass
        try:
            return await answer
        except (OSError, asyncio.IncompleteReadError):
            return 0, {}
        finally:
            writer.close()

    @staticmethod
    async def answer(reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return int(head[0].split()[1]), {
            k.lower(): v for k, v in
            (line.split(": ", 1) for line in head[1:] if ": " in line)}

    async def client(self, i):
        """One upload, until it is finished; its name."""
        path = None
        while path is None:
            status, headers = await self.request(
                "POST", self.peer.path, {"Upload-Length": self.SIZE})
            self.note(f"POST {status}")
            if status == 201:
                path = headers["location"]
                path = path[path.index("/files"):]
            else:
                await asyncio.sleep(1)
        offset = 0
        while offset < self.SIZE:
            status, headers = await self.request(
                "PATCH", path, {
                    "Upload-Offset": offset,
                    "Content-Type": "application/offset+octet-stream"},
                self.content(i)[offset:], self.PAUSE)
            self.note(f"PATCH {status}")
            if status == 204:
                offset = int(headers["upload-offset"])
                continue
            if status == 503 and "retry-after" not in headers:
                self.wrong.append("503 without Retry-After")
            if status not in (0, 409, 423, 502, 503, 504):
                self.wrong.append(f"PATCH answered {status}")
            await asyncio.sleep(1 + i % 100 / 100)
            status, headers = await self.request("HEAD", path, {})
            self.note(f"HEAD {status}")
            offset = int(headers.get("upload-offset", offset))
        self.finished += 1
        return path.rsplit("/", 1)[1]

    async def ping(self):
        status, headers = 0, {}
        while status != 201:
            status, headers = await self.request(
                "POST", self.peer.path, {"Upload-Length": 10})
        path = headers["location"]
        path = path[path.index("/files"):]
        while True:
            began = time.monotonic()
            status, _ = await self.request("HEAD", path, {})
            self.note(f"HEAD {status}")
            self.heads.append((time.monotonic() - began) * 1000)
            await asyncio.sleep(0.05)
