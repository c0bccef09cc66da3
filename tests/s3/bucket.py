"""tusfcgi with its uploads in a bucket, behind nginx."""

import hashlib
import os
import signal
import subprocess
import threading

import pytest

from lib import app, clients, rig
from s3 import client

PART = 4096
BASE = {"timeout": "5s", "retries": 3, "part_size": "4K"}


def need_store():
    """Skips a module where the program was configured with --disable-s3."""
    names = subprocess.run([rig.program(), "-V"], capture_output=True,
                           text=True, check=False).stdout
    if " s3" not in names:
        pytest.skip("built with --disable-s3", allow_module_level=True)


def name_of(kind):
    """For the name of a test."""
    return None if kind == client.REAL else kind or "strict"


def start_engine(kind):
    """The fake with a flaw ("" for none), or the one that TUSFCGI_S3 names."""
    if kind == client.REAL:
        return client.real()
    flaws = [x for f in kind.split() for x in ("--flaw", f)]
    return client.start_fake("--min-part", str(PART), *flaws)


class InBucket:
    """Of a rig.Server.  s3: more of that group of the configuration; env:
    instead of keys; shared: another one, whose bucket this one has as well."""

    def __init__(self, folder, engine, s3=None, config=None, env=None,
                 shared=None,
                 **options):
        self.engine = engine
        if shared is not None:
            self.bucket = shared.bucket
        else:
            self.bucket = "b" + os.urandom(6).hex()
            assert engine.ask("PUT", "/" + self.bucket).status == 200
        self.s3 = s3 or {}
        super().__init__(folder, config=config, env=env or {
            "AWS_ACCESS_KEY_ID": engine.access,
            "AWS_SECRET_ACCESS_KEY": engine.secret}, **options)

    def configure(self, config):
        spool = self.dir / "spool"
        spool.mkdir(exist_ok=True)
        whole = rig.merge({
            "store": {"type": "s3"},
            "s3": {"endpoint": f"http://127.0.0.1:{self.engine.port}",
                   "bucket": self.bucket, "spool": str(spool), **BASE,
                   **self.s3},
            "expiration": {"sweep": 0}, "log": {"level": "debug"},
            "pool": {"listen": str(self.socket)}}, config)
        lock = whole.setdefault("lock", {})
        if lock.get("type", "flock") == "flock" and "path" not in lock:
            locks = self.dir / "locks"
            locks.mkdir(exist_ok=True)
            lock["path"] = str(locks)
        self.config_path.write_text(rig.libconfig(whole))

    def keys(self):
        """All objects of the bucket."""
        return self.engine.ask(
            "GET", "/" + self.bucket, "list-type=2").all("Key")

    def parts(self):
        """The ids of all multipart uploads that are not finished."""
        return self.engine.ask(
            "GET", "/" + self.bucket, "uploads=").all("UploadId")


class Server(InBucket, rig.Server):
    """Behind a web server."""


class App(InBucket, app.App):
    """Without one."""


def tusctl(server, *args, status=0):
    """What it says."""
    done = subprocess.run(
        [rig.program("tusctl"), "-c", server.config_path, *args], text=True,
        capture_output=True, check=False, env=server.env)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def create(server, size, **headers):
    length = {"Upload-Defer-Length": "1"} if size is None else \
        {"Upload-Length": str(size)}
    status, got, _ = clients.request(
        "POST", server.url, {**length, **headers})
    assert status == 201, (status, server.log()[-2000:])
    return server.origin + got["Location"] \
        if got["Location"].startswith("/") else got["Location"]


def patch(url, offset, data, **headers):
    """(status, headers, body) of a PATCH."""
    return clients.request("PATCH", url, {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset), **headers}, data)


def content(size, seed=b"s"):
    """Bytes that repeat nowhere."""
    return hashlib.shake_128(seed).digest(size)


def kill_at(server, pattern, nth, when, job):
    """Run it in a thread, with this server killed and started again when the
    request is made: "before" S3 does what it is asked, "after" it, or while it
    is in "flight".  The thread, which is over."""
    server.engine.rules({"m": pattern, "nth": nth, "do": when})
    thread = threading.Thread(target=job, daemon=True)
    thread.start()
    rig.wait_for(lambda: any(x[3] for x in server.engine.log()) or
                 not thread.is_alive(), "the request")
    server.stop_app(signal.SIGKILL)
    server.start_app()
    thread.join(60)
    assert not thread.is_alive(), nth
