"""A worker that has served for a long time is as it was at the beginning.

TUSFCGI_SOAK says how many requests (10000), whatever they are: whole uploads,
checksums right and wrong, concatenations, downloads, nonsense, and clients
that leave in the middle of everything.
"""

import base64
import hashlib
import re
import time
from pathlib import Path

import pytest

from lib import rig
from lib.fastcgi import begin
from lib.proc import descriptors, memory
from .conftest import number, tusctl
from .crowd import Bytes, ask, patch_headers, send_some

REQUESTS = number("SOAK", 10_000)
LOOKS = 20
SIZE = 30_000


class Visitor:
    """Makes one kind of trouble after the other; n counts requests."""

    def __init__(self, client, lots):
        self.client, self.lots, self.n = client, lots, 0
        self.content = Bytes("soak")

    def ask(self, *args, **options):
        self.n += 1
        return ask(self.client, *args, **options)

    def create(self, headers=None):
        return self.ask("POST", "/files", {
            "Upload-Length": str(SIZE), "Upload-Metadata": "filename YQ==",
            **(headers or {})}).headers["location"]

    def leave(self, path):
        self.n += 1
        send_some(self.client, path, 0, self.content(0, SIZE),
                  self.lots.randrange(SIZE))

    def offset(self, path):
        """Who left has left once his request is over."""
        return rig.wait_for(lambda: self.look(path), "the lock")[0]

    def look(self, path):
        answer = self.ask("HEAD", path)
        return answer.status == 200 and (
            int(answer.headers["upload-offset"]),)

    def visit(self):
        path = self.create({"Upload-Concat": "partial"})
        if self.lots.random() < 0.5:
            self.leave(path)
        at = self.offset(path)
        data = self.content(at, SIZE - at)
        for end in (b"x", b""):
            digest = hashlib.sha1(data + end).digest()
            self.ask("PATCH", path, patch_headers(at, {
                "Upload-Checksum": "sha1 " + base64.b64encode(
                    digest).decode()}), data)
        final = self.ask("POST", "/files", {
            "Upload-Concat": f"final;{path} {path}"}).headers["location"]
        assert len(self.ask("GET", final).body) == 2 * SIZE
        self.ask("GET", final, {"Range": "bytes=5-9"})
        self.ask("OPTIONS", "/files")
        self.ask("PATCH", path, patch_headers(7), b"x")
        self.ask("PUT", path, extra={"HTTP_X": "x" * 3000})
        self.ask("POST", "/files", {"Upload-Length": "x"}, b"y" * 500)
        self.ask("HEAD", "/files/" + "0" * 32)
        self.n += 1
        self.client.raw(begin() + b"nonsense")
        if self.lots.random() < 0.9:
            self.ask("DELETE", path)
        if self.lots.random() < 0.9:
            self.ask("DELETE", final)
        if self.lots.random() < 0.1:
            self.leave(self.create())


def test_a_long_life_leaves_no_trace_in_a_worker(
        app, plain, lots, monkeypatch):
    """INV-27, INV-28, INV-38, INV-09"""
    monkeypatch.setenv("TUSFCGI", str(plain))
    server = app(args=["-w", "1"], config={
        "log": {"level": "error"}, "expiration": {"after": "1s"}})
    pid, visitor = server.app.pid, Visitor(server.client, lots)
    began, used, opened = time.monotonic(), [], []
    for look in range(1, LOOKS + 1):
        while visitor.n < REQUESTS * look // LOOKS:
            visitor.visit()
        server.client.request("OPTIONS", "/files")
        used.append(memory(pid))
        opened.append(descriptors(pid))
    warm = LOOKS // 4
    grown = used[-1] - used[warm]
    slope = grown / (visitor.n * (LOOKS - 1 - warm) / LOOKS / 1000)
    took = time.monotonic() - began
    print(f"soak: {visitor.n} requests in {took:.0f} s, {used[-1] >> 10} KiB, "
          f"{slope:+.0f} bytes per 1000 requests, "
          f"{min(opened[warm:])}-{max(opened[warm:])} descriptors")
    # A page here and there is no leak.
    assert grown < 64 * 1024 + visitor.n
    assert max(opened[warm:]) <= min(opened[warm:]) + 1
    names = rig.wait_for(lambda: names_after_sweep(server), "the last expiry")
    uploads = {n for n in names if "." not in n}
    assert names == uploads | {n + ".info" for n in uploads}


def names_after_sweep(server):
    """None while something is unfinished and not expired."""
    assert tusctl(server, "sweep").returncode == 0
    names = {p.name for p in server.uploads.iterdir()} - {".sweep", ".store"}
    for name in names:
        if "." not in name:
            answer = server.client.head("/files/" + name)
            if answer.status != 200 or answer.headers["upload-offset"] != \
                    answer.headers["upload-length"]:
                return None
    return names


@pytest.mark.parametrize("headers, length", [
    ({}, None), ({"Upload-Checksum": "crc32 AAAAAA=="}, None),
    ({}, ""), ({"Upload-Metadata": "k " + "Q" * 4092}, None)])
def test_the_size_of_a_body_is_not_that_of_a_worker(
        app, plain, monkeypatch, headers, length):
    """INV-27: 8 MiB and what there is without a body"""
    monkeypatch.setenv("TUSFCGI", str(plain))
    server = app(args=["-w", "1"], config={"log": {"level": "error"}})
    size = 64 << 20
    path = server.client.create(size, headers={
        k: v for k, v in headers.items() if k == "Upload-Metadata"})

    def peak():
        text = Path(f"/proc/{server.app.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) * 1024

    before = peak()
    piece = bytes(1 << 20)
    with server.client.open_patch(
            path, 0, None if length == "" else size,
            {k: v for k, v in headers.items() if k != "Upload-Metadata"}) \
            as stream:
        for _ in range(size >> 20):
            stream.send(piece)
        answer = stream.finish()
    assert answer.status == (460 if "Upload-Checksum" in headers else 204)
    print(f"body: {(peak() - before) >> 10} KiB for {size >> 20} MiB")
    assert peak() - before < 8 << 20
