"""Two hosts on one bucket while workers, agents, hosts, links, the lock service
and the store die, sleep or are cut off: no acknowledged byte is lost.

A bucket has no lock that a host could lose: two writers can only add the bytes
of one client where they belong, and a record is changed by compare-and-swap.

TUSFCGI_S3_TWO_HOSTS says for how many seconds for each service (30), with
TUSFCGI_CLIENTS clients (12); only then, and with TUSFCGI_S3_NAME=radosgw, on a
radosgw that is started for it and killed, too.  In a short time no record may happen to be changed
by two hosts at once, so one that surely is comes at the end.
"""

import contextlib
import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
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
    """On the host of the lock service."""

    def __init__(self, net, port, **options):
        super().__init__(port, **options)
        self.there = ThreadPoolExecutor(1, initializer=enter,
                                        initargs=(net.engine,))

    def raw(self, *args, **options):
        return self.there.submit(super().raw, *args, **options).result(60)

    def stop(self):
        super().stop()
        self.there.shutdown()


class Fake(Store):
    def __init__(self, net, _):
        process = subprocess.Popen(
            [*net.under(net.engine), sys.executable,
             str(client.HERE / "fake.py"), "--bind", "0.0.0.0", "--min-part",
             str(PART)], stdout=subprocess.PIPE)
        super().__init__(net, int(process.stdout.readline()), process=process)

    def port_for(self, _):
        return self.port

    def signal(self, sig):
        self.process.send_signal(sig)

    def hold_record(self, name):
        """That of an upload comes late."""
        self.rules({"m": rf"PUT .*{name}\.info", "do": "delay",
                    "arg": 2 * SESSION})

    def holds_record(self):
        return any("delay" in map(str, x) for x in self.log())


class Relay:
    """Between a host and the store; a request that `held` matches comes late."""

    def __init__(self, there, port):
        self.there, self.target = there, ("127.0.0.1", port)
        self.held, self.holds = None, False
        self.listener = there.submit(socket.create_server,
                                     ("0.0.0.0", 0)).result()
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self.listener.accept()
                threading.Thread(target=self.connect, args=(one,),
                                 daemon=True).start()

    def connect(self, one):
        with one, contextlib.suppress(OSError), self.there.submit(
                socket.create_connection, self.target).result() as other:
            back = threading.Thread(target=self.copy, args=(other, one))
            back.start()
            self.copy(one, other)
            back.join()

    def copy(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if self.held and self.held.match(data):
                    self.held, self.holds = None, True
                    time.sleep(2 * SESSION)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Radosgw(Store):
    """Host A has a relay before it."""

    def __init__(self, net, folder):
        under = net.under(net.engine)
        folder = folder / "ceph"
        done = subprocess.run(
            [*under, client.HERE / "ceph-up", folder, "26800",
             ENGINE.format(0)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        port, access, secret = done.stdout.splitlines()[-1].split()
        super().__init__(net, int(port), access=access, secret=secret)
        self.words = [*under, "radosgw", "-c", folder / "ceph.conf", "-n",
                      "client.rgw.a", "-f"]
        self.pid = int((folder / "pids").read_text().split()[-1])
        self.relay = Relay(self.there, self.port)

    def port_for(self, host):
        return self.relay.port if host == 0 else self.port

    def hold_record(self, name):
        self.relay.held = re.compile(rb"PUT .*%s\.info " % name.encode())

    def holds_record(self):
        return self.relay.holds

    def signal(self, sig):
        os.kill(self.pid, sig)

    def kill(self):
        """And start it again: what it keeps is in the memory of ceph-osd."""
        self.signal(signal.SIGKILL)
        self.pid = subprocess.Popen(self.words, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL).pid

    def stop(self):
        """What Ceph has started ends with the test."""
        self.relay.listener.close()
        self.there.shutdown()


class Bucket(Hosts):
    """Two pools with one bucket; store."""

    engine = None

    def __init__(self, store, *args, **options):
        self.make_store = store
        super().__init__(*args, **options)

    def start_host(self, i, host, folder, config, env):
        if i == 0:
            self.engine = self.make_store(self.net, folder.parent)
            self.bucket = "b" + os.urandom(6).hex()
            assert self.engine.ask("PUT", "/" + self.bucket).status == 200
        folder.mkdir()
        del config["store"]
        one = bucket.App(
            folder, self.engine, shared=self, under=self.net.under(host),
            config=config, s3={
                "part_size": "256K", "endpoint":
                f"http://{ENGINE.format(i)}:{self.engine.port_for(i)}"})
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
        self.hosts.engine.signal(signal.SIGSTOP)
        time.sleep(2)
        self.hosts.engine.signal(signal.SIGCONT)

    def store_killed(self):
        self.hosts.engine.kill()
        time.sleep(1)

    EVENTS = (Chaos.worker_killed, Chaos.agent_killed, Chaos.agent_stopped,
              Chaos.host_asleep, Chaos.host_cut_off, Chaos.engine_killed,
              Chaos.engine_stopped, store_stopped)


class RadosgwChaos(BucketChaos):
    EVENTS = (*BucketChaos.EVENTS, BucketChaos.store_killed)


CHAOS = {Fake: BucketChaos, Radosgw: RadosgwChaos}


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
    hosts.engine.hold_record(path.rsplit("/", 1)[1])
    with a.client.open_patch(path, 2, 3) as stream:
        stream.send(b"llo")
        rig.wait_for(hosts.engine.holds_record, "the record")
        os.kill(agent_of(a), signal.SIGKILL)
        rig.wait_for(lambda: b.client.head(path).status == 200, "the lock")
        at = b.client.offset(path)
        assert at == 5 or b.client.patch(path, at,
                                         b"hello"[at:]).status == 204
        assert b.client.request("GET", path).body == b"hello"
        answer = stream.finish()
    assert answer.status == 423, answer
    assert "fenced=1" in a.log()


KINDS = [pytest.param((Fake, "redis"), id="redis"),
         pytest.param((Fake, "zookeeper"), id="zookeeper"),
         *(pytest.param((Radosgw, "redis"), id=x.id)
           for x in client.real_too() if x.id == "radosgw"
           and "TUSFCGI_S3_TWO_HOSTS" in os.environ)]


@pytest.fixture(params=KINDS)
def hosts(request, tmp_path):
    store, service = request.param
    must_have(service)
    pools = Bucket(store, service, tmp_path, config={
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
    torture(hosts, CHAOS[type(hosts.engine)], lots, SECONDS, CLIENTS)
    fences = fenced(hosts)
    fence_one(hosts)
    assert fenced(hosts) == fences + 1
