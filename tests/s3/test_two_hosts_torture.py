"""Two hosts on one bucket while workers, agents, hosts, links, the lock service
and the store die, sleep or are cut off: no acknowledged byte is lost.

A bucket has no lock that a host could lose: two writers can only add the bytes
of one client where they belong, and a record is changed by compare-and-swap.

TUSFCGI_S3_TWO_HOSTS says for how many seconds for each service (30), with
TUSFCGI_CLIENTS clients (12).  In a short time no record may happen to be changed
by two hosts at once, so one that surely is comes at the end.
"""

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hostile.test_two_hosts_torture import Chaos, fenced, torture
from lib import rig
from lib.hosts import ENGINE, SESSION, Hosts, agent_of, must_have
from s3 import bucket, client

bucket.need_store()

SECONDS = int(os.environ.get("TUSFCGI_S3_TWO_HOSTS", 30))
CLIENTS = int(os.environ.get("TUSFCGI_CLIENTS", 12))
PART = 1 << 18
NETWORK_NAMESPACE = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


def enter(name):
    """For the thread that calls it, for ever."""
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    assert libc.setns(fd, NETWORK_NAMESPACE) == 0, ctypes.get_errno()
    os.close(fd)


class Store(client.Engine):
    """The fake, on the host of the lock service."""

    def __init__(self, net):
        self.words = [*net.under(net.engine), sys.executable,
                      str(client.HERE / "fake.py"), "--bind", "0.0.0.0",
                      "--min-part", str(PART)]
        process = subprocess.Popen(self.words, stdout=subprocess.PIPE)
        super().__init__(int(process.stdout.readline()), process=process)
        self.there = ThreadPoolExecutor(1, initializer=enter,
                                        initargs=(net.engine,))

    def raw(self, *args, **options):
        return self.there.submit(super().raw, *args, **options).result(60)

    def stop(self):
        super().stop()
        self.there.shutdown()


class Bucket(Hosts):
    """Two pools with one bucket; store."""

    engine = None

    def start_host(self, i, host, folder, config, env):
        if i == 0:
            self.engine = Store(self.net)
            self.bucket = "b" + os.urandom(6).hex()
            assert self.engine.ask("PUT", "/" + self.bucket).status == 200
        folder.mkdir()
        del config["store"]
        one = bucket.App(
            folder, self.engine, shared=self, under=self.net.under(host),
            config=config, s3={
                "part_size": "256K", "endpoint":
                f"http://{ENGINE.format(i)}:{self.engine.port}"})
        self.append(one)
        one.start_app()
        rig.wait_for(lambda: "session of" in one.log(), "a session")

    def close(self):
        super().close()
        if self.engine is not None:
            self.engine.stop()


class BucketChaos(Chaos):
    def evict(self, i, pids):
        """No file system takes anything from a host that sleeps."""

    def store_stopped(self):
        self.hosts.engine.process.send_signal(signal.SIGSTOP)
        time.sleep(2)
        self.hosts.engine.process.send_signal(signal.SIGCONT)

    EVENTS = (Chaos.worker_killed, Chaos.agent_killed, Chaos.agent_stopped,
              Chaos.host_asleep, Chaos.host_cut_off, Chaos.engine_killed,
              Chaos.engine_stopped, store_stopped)


def fence_one(hosts):
    """The record of one host comes when another host has finished the
    upload."""
    a, b = hosts
    rig.wait_for(lambda: a.client.request(
        "POST", "/files", {"Upload-Length": "5"}).status == 201,
        "the host to be back")
    path = a.client.create(5)
    assert rig.wait_for(lambda: a.client.patch(
        path, 0, b"he").status == 204, "a lock")
    hosts.engine.rules({"m": rf"PUT .*{path.rsplit('/', 1)[1]}\.info",
                        "do": "delay", "arg": 2 * SESSION})
    with a.client.open_patch(path, 2, 3) as stream:
        stream.send(b"llo")
        rig.wait_for(lambda: any("delay" in map(str, x)
                                 for x in hosts.engine.log()), "the record")
        os.kill(agent_of(a), signal.SIGKILL)
        rig.wait_for(lambda: b.client.head(path).status == 200, "the lock")
        at = b.client.offset(path)
        assert at == 5 or b.client.patch(path, at,
                                         b"hello"[at:]).status == 204
        assert b.client.request("GET", path).body == b"hello"
        answer = stream.finish()
    assert answer.status == 423, answer
    assert "fenced=1" in a.log()


@pytest.fixture(params=["redis", "zookeeper"])
def hosts(request, tmp_path):
    must_have(request.param)
    pools = Bucket(request.param, tmp_path, config={
        "metrics": {"enabled": True}, "lock": {"timeout": "1s"},
        "pool": {"max_workers": 32}})
    yield pools
    pools.close()
    for one in pools:
        assert not rig.SANITIZER.search(one.log()), one.log()


@pytest.fixture
def lots():
    """A seeded generator; the seed is printed."""
    seed = int(os.environ.get("TUSFCGI_SEED", random.randrange(1 << 32)))
    print(f"TUSFCGI_SEED={seed}")
    return random.Random(seed)


def test_no_acknowledged_byte_is_lost_whatever_dies(hosts, lots):
    torture(hosts, BucketChaos, lots, SECONDS, CLIENTS)
    fences = fenced(hosts)
    fence_one(hosts)
    assert fenced(hosts) == fences + 1
