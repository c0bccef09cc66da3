"""Two hosts and a lock service, each in a network namespace of its own."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lib import proc, rig
from lib.app import App
from lib.proc import children

SESSION = 4
# Of the engine's host, as each of the two sees it.
ENGINE = "10.99.{}.1"
ENGINES = ("redis", "etcd", "zookeeper")
JAR = "/usr/share/java/zookeeper.jar"
BOARD = re.compile(r"^\S+ rw-s .*tusfcgi-locks", re.M)


def have_namespaces():
    """With links, which "ip" configures from within."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    probe = f"tus-probe{os.getpid()}"
    steps = (["netns", "add", probe],
             ["-n", probe, "link", "set", "lo", "up"])
    good = all(subprocess.run(["ip", *step], capture_output=True,
                              check=False).returncode == 0 for step in steps)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True,
                   check=False)
    return good


def must_be_installed(kind):
    """Skips, and says why, where this service cannot be had."""
    there = {"redis": shutil.which("redis-server"),
             "etcd": shutil.which("etcd"),
             "zookeeper": shutil.which("java") and os.path.exists(JAR)}
    if not there[kind]:
        pytest.skip(f"{kind} is not installed")


def must_have(kind):
    """Skips, and says why, where two hosts with this cannot be had."""
    must_be_installed(kind)
    built = subprocess.run([rig.program(), "-V"], capture_output=True,
                           text=True, check=True).stdout
    if kind not in built:
        pytest.skip(f"built without {kind}")
    if not have_namespaces():
        pytest.skip("needs root and network namespaces")


class Service:
    """Redis forgets what it knew when it is killed, the others do not.

    Two services on one host need ports of their own: `port`.  more: words for
    its command, or lines for the settings of ZooKeeper."""

    PORTS = {"redis": 6379, "etcd": 2379, "zookeeper": 2181}

    def __init__(self, kind, folder, under=(), port=None, more=()):
        self.kind = kind
        self.folder = Path(folder)
        self.under = under
        self.folder.mkdir()
        self.port = port or self.PORTS[kind]
        self.peer_port = rig.free_port() if port else 2380
        self.more = more
        self.words = [*under, *getattr(self, "make_" + kind)()]
        self.start()

    def make_redis(self):
        return ["redis-server", "--port", str(self.port), "--protected-mode",
                "no", "--save", "", "--dir", str(self.folder), *self.more]

    def make_etcd(self):
        peer = f"http://127.0.0.1:{self.peer_port}"
        return [
            "etcd", "--data-dir", str(self.folder / "data"),
            "--listen-client-urls", f"http://0.0.0.0:{self.port}",
            "--advertise-client-urls", f"http://127.0.0.1:{self.port}",
            "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}", *self.more]

    def make_zookeeper(self):
        settings = self.folder / "zoo.cfg"
        settings.write_text("\n".join([
            "tickTime=500", f"dataDir={self.folder}/data",
            f"clientPort={self.port}", *self.more, ""]))
        return [
            "java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dzookeeper.admin.enableServer=false", "-cp", JAR,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(settings)]

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.words, stdout=log, stderr=subprocess.STDOUT)

    def send_signal(self, sig):
        """One of its threads may go on for a while after SIGSTOP."""
        self.process.send_signal(sig)
        if sig == signal.SIGSTOP:
            rig.wait_for(lambda: proc.stopped(self.process.pid),
                         f"{self.kind} to stop")

    def kill(self):
        self.process.kill()
        self.process.wait()


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Net:
    """A host for the engine, and one for each pool."""

    def __init__(self):
        self.name = f"tus{os.getpid()}"
        self.engine = self.name + "e"
        self.hosts = [self.name + "a", self.name + "b"]
        for name in [self.engine, *self.hosts]:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for i, host in enumerate(self.hosts):
            ip("link", "add", "up0", "netns", host, "type", "veth", "peer",
               "name", f"down{i}", "netns", self.engine)
            ip("-n", host, "addr", "add", f"10.99.{i}.2/24", "dev", "up0")
            ip("-n", self.engine, "addr", "add", f"{ENGINE.format(i)}/24",
               "dev", f"down{i}")
            ip("-n", host, "link", "set", "up0", "up")
            ip("-n", self.engine, "link", "set", f"down{i}", "up")

    def under(self, host):
        return ["ip", "netns", "exec", host]

    def cut(self, i):
        ip("-n", self.hosts[i], "link", "set", "up0", "down")

    def mend(self, i):
        ip("-n", self.hosts[i], "link", "set", "up0", "up")

    def close(self):
        for name in [self.engine, *self.hosts]:
            subprocess.run(["ip", "netns", "del", name], check=False,
                           capture_output=True)


class Hosts(list):
    """The pools, A and B; net and service."""

    def __init__(self, kind, folder, config=None, env=None):
        super().__init__()
        self.net = Net()
        self.store = folder / "store"
        try:
            self.service = Service(kind, folder / "service",
                                   self.net.under(self.net.engine))
            for i, host in enumerate(self.net.hosts):
                self.start_host(i, host, folder / f"host{i}", rig.merge(
                    self.config(i), config or {}), (env or {}).get(i))
        except BaseException:
            self.close()
            raise

    def config(self, i):
        return {
            "store": {"path": str(self.store), "shared": True,
                      "durability": "full"},
            "pool": {"min_spare": 2, "max_workers": 8},
            "lock": {"type": self.service.kind,
                     "hosts": [f"{ENGINE.format(i)}:{self.service.port}"],
                     "session": f"{SESSION}s", "reply": "1s"}}

    def start_host(self, i, host, folder, config, env):
        folder.mkdir()
        one = App(folder, under=self.net.under(host), config=config,
                  **({"env": env} if env else {}))
        one.uploads = self.store
        self.append(one)
        one.start_app()
        rig.wait_for(lambda: "session of" in one.log(), "a session")

    def close(self):
        for one in self:
            for pid in [one.app.pid, *children(one.app.pid)]:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
            one.stop()
        if hasattr(self, "service"):
            self.service.kill()
        self.net.close()


def agent_of(one):
    """The one of the children that writes to the board.  While the master
    replaces it there is none."""
    def found():
        for pid in children(one.app.pid):
            with contextlib.suppress(OSError):
                if BOARD.search(Path(f"/proc/{pid}/maps").read_text()):
                    return pid
        return None

    return rig.wait_for(found, "a lock agent")


def half(one, size=100, acknowledged=10):
    """An upload with so many acknowledged bytes, and a body that has only half
    come: (path, the open request)."""
    path = one.client.create(size)
    assert one.client.patch(path, 0, b"x" * acknowledged).status == 204
    patch = one.client.open_patch(path, acknowledged, size - acknowledged)
    patch.send(b"x" * (size // 2 - acknowledged))
    rig.wait_for(lambda: one.data_size(path) == size // 2, "the bytes")
    return path, patch


def offset_within(one, path, seconds):
    """What HEAD says at last, and after how long."""
    began = time.monotonic()
    while True:
        answer = one.client.head(path)
        took = time.monotonic() - began
        if answer.status == 200 or took > seconds:
            return answer, took
        assert answer.status == 423, answer
        time.sleep(0.05)


def take_turns(a, b):
    """Each host appends to the upload that it finds as the other left it."""
    path = a.client.create(1000)
    for i in range(20):
        one, other = (a, b) if i % 2 else (b, a)
        assert other.client.offset(path) == 50 * i
        assert one.client.patch(path, 50 * i, b"%d" % (i % 10) * 50).status \
            == 204
        assert other.client.offset(path) == 50 * (i + 1)
    for one in (a, b):
        answer = one.client.request("GET", path, resumable=None)
        assert answer.body == b"".join(
            b"%d" % (i % 10) * 50 for i in range(20))
