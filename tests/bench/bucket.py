"""Uploads in a bucket: goals of the S3 store, on one radosgw in memory.

TUSFCGI_S3 names another engine, as for tests/s3.  The sink is tests/s3/fake.py,
whose own work is not counted.
"""

import asyncio
import os
import signal
import subprocess
import threading
import time

import parts
import peers
import report
from lib import rig
from s3 import client

MIB = 1 << 20
PART = 8 * MIB


class Tusfcgi(peers.Tusfcgi):
    """Ours, with its uploads in a bucket."""

    def __init__(self, folder, engine, name="tusfcgi"):
        self.engine = engine
        super().__init__(folder, name)

    def settings(self):
        (self.dir / "locks").mkdir()
        return {"store": {"type": "s3"}, "lock": {"path": str(self.dir / "locks")},
                "s3": {"endpoint": f"http://127.0.0.1:{self.engine.port}",
                       "bucket": "bench", "access_key": self.engine.access,
                       "secret_key": self.engine.secret, "part_size": "8M"}}

    def start(self, program, conf, *args):
        conf.chmod(0o600)
        super().start(program, conf, *args)

    def clear(self):
        empty(self.engine)


class Node(peers.Peer):
    """@tus/server with @tus/s3-store, no front end."""

    name = "node-s3"

    def __init__(self, folder, engine):
        super().__init__(folder)
        self.engine = engine
        modules = peers.install_node(folder.parent.parent)
        self.app.spawn(
            ["node", modules / "peer-s3.mjs", self.port,
             f"http://127.0.0.1:{engine.port}", "bench", engine.access,
             engine.secret], self.dir / "app.log")
        self.wait()

    def clear(self):
        empty(self.engine)


def empty(engine):
    """A memory of 2 GiB is soon full, and what is removed goes in seconds."""
    keys = engine.ask("GET", "/bench", "list-type=2").all("Key")
    for key in keys:
        engine.ask("DELETE", "/bench/" + key)
    time.sleep(3 if keys else 0)


def kept(kind):
    """The same, and what was sent stays between two rounds."""
    class Kept(kind):
        def clear(self):
            pass
    return Kept


class Relay:
    """Between a server and an engine; counts the bytes of both ways."""

    def __init__(self, engine):
        self.bytes = 0
        self.target = engine.port
        self.port = rig.free_port()
        self.access, self.secret, self.ask = (
            engine.access, engine.secret, engine.ask)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(asyncio.start_server(
            self.relay, "127.0.0.1", self.port), self.loop).result()

    async def relay(self, reader, writer):
        there_in, there_out = await asyncio.open_connection(
            "127.0.0.1", self.target)
        await asyncio.gather(self.copy(reader, there_out),
                             self.copy(there_in, writer))

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                self.bytes += len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


def start_engine(folder):
    """The engine, and what ends it."""
    if "TUSFCGI_S3" in os.environ:
        return client.real(), lambda: None
    done = subprocess.run(
        [peers.TREE / "tests" / "s3" / "ceph-up", folder / "ceph",
         str(rig.free_port() // 100 * 100)], capture_output=True, text=True,
        check=False)
    pids = folder / "ceph" / "pids"

    def stop():
        for pid in pids.read_text().split() if pids.exists() else ():
            os.kill(int(pid), signal.SIGKILL)

    if done.returncode != 0:
        stop()
        raise RuntimeError(f"ceph-up: {done.stderr}")
    port, access, secret = done.stdout.split()[-3:]
    return client.Engine(int(port), access, secret), stop


def on(kind, engine, *args):
    """A maker for compare()."""
    return lambda folder: kind(folder, engine, *args)


def traffic(bench, engine):
    """Bytes sent to and read from S3, per byte of 64 chunks of 1 MiB."""
    size, found = 64 * MIB, {}
    for kind in (Tusfcgi, Node):
        relay = Relay(engine)
        peer = kind(bench.fresh(), relay)
        try:
            relay.bytes = 0
            bench.drive(peer, "tus", peer.path, size, MIB)
            found[peer.name] = relay.bytes / size
        finally:
            peer.close()
            relay.close()
            empty(engine)
        print(f"  {peer.name:12} {found[peer.name]:.2f} bytes of traffic for each")
    goal = report.Goal("S3", "traffic, tusfcgi / node-s3", 0.6,
                       [found["tusfcgi"] / found["node-s3"]], False)
    bench.keep("s3: 64 chunks of 1 MiB", {"traffic": found}, [goal])


def tiny(bench, count):
    """Creations, each followed by a PATCH of 1 KiB."""
    def work(peer):
        for _ in range(count):
            bench.drive(peer, "tus", peer.path, 1024, 1024)
        return count
    return work


def s3(bench):
    if "TUSFCGI_S3" not in os.environ and not rig.have("radosgw"):
        print("s3: left out: radosgw is not installed")
        return
    where = bench.fresh()
    engine, stop = start_engine(where)
    try:
        engine.ask("PUT", "/bench")
        both = [on(Tusfcgi, engine), on(Node, engine)]
        bench.compare("s3: one PATCH of 256 MiB", both,
                      parts.send(bench, 256 * MIB),
                      [("S3", "app", "node-s3", 0.15, False)])
        traffic(bench, engine)
        bench.compare("s3: create + PATCH 1 KiB", both,
                      tiny(bench, 20 if bench.quick else 100),
                      [("S3", "app", "node-s3", 0.10, False),
                       ("S3", "per_s", "node-s3", 2, True)], "upload")
        bench.compare("s3: HEAD of finished uploads",
                      [on(kept(Tusfcgi), engine), on(kept(Node), engine)],
                      parts.ask_heads(bench),
                      [("S3", "app", "node-s3", 0.10, False)], "HEAD")
    finally:
        stop()
    sink = client.start_fake()
    try:
        sink.ask("PUT", "/bench")
        bench.compare("s3: 256 MiB into a sink", [
            peers.Tusfcgi, on(Tusfcgi, sink, "tusfcgi-s3")],
            parts.send(bench, 256 * MIB),
            [("S3", "app", "tusfcgi", 2, False, "tusfcgi-s3")])
    finally:
        sink.stop()


PARTS = {"s3": s3}
