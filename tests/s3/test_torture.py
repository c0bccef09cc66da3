"""Many clients on one bucket, and a worker or a master killed every second.

One host with flock; two hosts with locks in Redis.  Every offset that was
acknowledged is kept, every finished upload is byte-exact.  TUSFCGI_S3_TORTURE
says for how many seconds (5), with TUSFCGI_CLIENTS clients (12);
TUSFCGI_S3_LARGE, how many MiB a large upload has (32) that is killed five times.
"""

import contextlib
import hashlib
import http.client
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from hostile.test_torture import Uploader, torture
from lib import clients, rig
from s3 import bucket, client

bucket.need_store()

SECONDS = int(os.environ.get("TUSFCGI_S3_TORTURE", 5))
LARGE = int(os.environ.get("TUSFCGI_S3_LARGE", 32)) << 20
CLIENTS = int(os.environ.get("TUSFCGI_CLIENTS", 12))
KINDS = ["", "no-if-match lists-parts", *client.real_too()]


@pytest.fixture(params=KINDS, ids=bucket.name_of)
def engine(request):
    one = bucket.start_engine(request.param)
    yield one
    one.stop()


@pytest.fixture
def redis(tmp_path):
    """Its socket."""
    version = subprocess.run([rig.program(), "-V"], capture_output=True,
                             text=True, check=True).stdout
    if "redis" not in version:
        pytest.skip("built without hiredis")
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    path = f"/tmp/tus-redis-{os.getpid()}.sock"
    with subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "",
             "--dir", str(tmp_path)], stdout=subprocess.DEVNULL) as process:
        rig.wait_for(lambda: os.path.exists(path), "redis-server")
        yield path
        process.kill()


@pytest.fixture
def lots():
    """A seeded generator; the seed is printed."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"TUSFCGI_SEED={seed}")
    return random.Random(seed)


def check_bucket(pools):
    """A sweep, days later, leaves nothing but uploads."""
    one = pools[0]
    if one.engine.process is None:
        # Nothing can be made older there.
        return
    one.engine.age(2 * 86400)
    bucket.tusctl(one, "sweep", "--older-than", "1")
    # A PUT of the object that came after its removal leaves an object alone.
    assert all(k.endswith(".info") for k in one.keys()
               if "." in k and k not in (".store", ".sweep"))
    assert not one.parts()
    assert "0 damaged" in bucket.tusctl(one, "check")


@pytest.fixture
def pool(engine, tmp_path, servers):
    """The first one, and others that share its bucket."""
    started = []

    def start(**options):
        started.append(servers(bucket.App(
            tmp_path, engine, s3={"part_size": "256K"},
            shared=started[0] if started else None, **options)))
        return started[-1]

    return start


def test_one_host_loses_nothing_to_kills(pool, lots):
    pools = [pool(config={"pool": {"max_workers": 16}})]
    torture(Uploader, pools, lots, SECONDS, CLIENTS)
    check_bucket(pools)


def test_two_hosts_with_redis_lose_nothing_to_kills(pool, redis, lots):
    config = {"pool": {"max_workers": 16}, "lock": {
        "type": "redis", "hosts": [redis], "session": "4s", "reply": "1s"}}
    pools = [pool(config=config) for _ in range(2)]
    torture(Uploader, pools, lots, SECONDS, CLIENTS)
    check_bucket(pools)


def in_parts(server, name):
    """How many bytes of an upload the engine has."""
    for mpu in server.parts():
        answer = server.engine.ask(
            "GET", f"/{server.bucket}/{name}", f"uploadId={mpu}")
        if answer.status == 200:
            return sum(map(int, answer.all("Size")))
    return 0


def digest_of(server, name):
    """sha256 of the object, as our GET streams it."""
    digest = hashlib.sha256()
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    c.request("GET", f"{server.base}/{name}")
    answer = c.getresponse()
    assert answer.status == 200
    while data := answer.read(1 << 20):
        digest.update(data)
    c.close()
    return digest.hexdigest()


class Slowly:
    """A file of which all takes four seconds."""

    def __init__(self, stream):
        self.stream = stream

    def read(self, n):
        time.sleep(4 * n / LARGE)
        return self.stream.read(n)


def send_all(url, file, kills):
    """As a client that never gives up: asks, and sends all that is missing."""
    port, path = re.fullmatch(r"http://127.0.0.1:(\d+)(/.*)", url).groups()
    while True:
        status, headers, _ = clients.request("HEAD", url)
        if status != 200:
            time.sleep(0.05)
            continue
        at = int(headers["Upload-Offset"])
        if at == LARGE:
            kills.is_over = True
            return
        kills.offsets.append(at)
        with open(file, "rb") as stream, contextlib.suppress(
                OSError, http.client.HTTPException):
            stream.seek(at)
            c = http.client.HTTPConnection("127.0.0.1", int(port), timeout=300,
                                           blocksize=1 << 20)
            c.request("PATCH", path, Slowly(stream), {
                "Content-Type": "application/offset+octet-stream",
                "Tus-Resumable": "1.0.0", "Upload-Offset": str(at),
                "Content-Length": str(LARGE - at)})
            c.getresponse().read()
            c.close()


class Kills:
    """When the engine has another eighth of the upload, all of ours dies."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.offsets, self.done, self.is_over = [], 0, False

    def run(self):
        for n in range(1, 6):
            rig.wait_for(lambda n=n: self.is_over or in_parts(
                self.server, self.name) >= n * LARGE // 8, f"kill {n}", 300)
            if self.is_over:
                return
            self.server.stop_app(signal.SIGKILL)
            self.server.start_app()
            self.done += 1


def test_a_large_upload_survives_five_kills(engine, tmp_path):
    server = bucket.Server(tmp_path, engine, s3={"part_size": "1M"})
    server.start()
    file = clients.make_file(tmp_path / "large", LARGE)
    try:
        url = bucket.create(server, LARGE)
        kills = Kills(server, url.rpartition("/")[2])
        sender = threading.Thread(target=send_all, args=(url, file, kills),
                                  daemon=True)
        sender.start()
        # In this thread: what a thread has started ends with it.
        kills.run()
        sender.join(600)
        assert kills.done == 5 and len(kills.offsets) > 3, kills.offsets
        want = clients.digest(file)
        assert digest_of(server, kills.name) == want
        print(f"sha256 {want}, {LARGE} bytes, resumed at {kills.offsets}")
    finally:
        server.stop()
    server.check_logs()
