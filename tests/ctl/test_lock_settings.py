"""tusctl check --locks and doctor: the settings of a lock service, and what it
refuses."""

import json
import re
import socket
import subprocess
import urllib.request

import pytest

from lib import rig
from lib.hosts import Service, must_be_installed
from lib.tusctl import Tool

BUILT = subprocess.run([rig.program(), "-V"], capture_output=True, text=True,
                       check=True).stdout


class Site:
    """A store with locks in a service of its own."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.folder = folder
        self.port = rig.free_port()
        self.tool = Tool(folder)
        self.settings = {}
        self.use()

    def use(self, **lock):
        self.settings = rig.merge(self.settings, lock)
        self.tool.conf.write_text(rig.libconfig({
            "store": {"path": str(self.tool.store.path), "shared": True,
                      "durability": "full"},
            "lock": {"type": self.kind, "hosts": [f"127.0.0.1:{self.port}"],
                     "reply": "5s", **self.settings}}))

    def start(self, *more):
        self.service = Service(self.kind, self.folder / "service",
                               port=self.port, more=more)
        rig.wait_for(self.is_open, self.kind, 60)

    def is_open(self):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
            # It takes connections before it serves.
            if self.kind == "zookeeper":
                s.sendall(b"srvr")
                return b"Mode:" in s.recv(4096)
            return True

    def redis(self, *words):
        return subprocess.run(
            ["redis-cli", "-p", str(self.port), *words], check=True,
            capture_output=True, text=True).stdout

    def etcd(self, path, **body):
        with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/v3/{path}",
                json.dumps(body).encode()) as answer:
            return json.load(answer)

    def password(self, text):
        file = self.folder / "password"
        file.write_text(text + "\n")
        file.chmod(0o600)
        self.use(password_file=str(file))

    def check(self, status=0):
        return self.tool.run("check", "--locks", status=status)


@pytest.fixture
def site(tmp_path):
    made = []

    def make(kind, *more, starts=True):
        must_be_installed(kind)
        if kind not in BUILT:
            pytest.skip(f"built without {kind}")
        one = Site(kind, tmp_path)
        made.append(one)
        if starts:
            one.start(*more)
        return one

    yield make
    for one in made:
        if hasattr(one, "service"):
            one.service.kill()


# --- Redis -------------------------------------------------------------------

def test_a_redis_that_evicts_locks_is_refused(site):
    one = site("redis", "--maxmemory", "64mb", "--maxmemory-policy",
               "allkeys-lru", "--appendonly", "yes")
    said = one.check(status=1)
    assert "BAD   lock.type: redis" in said
    assert "set maxmemory-policy noeviction" in said
    # So does the start, before a request can lose its lock.
    start = subprocess.run([rig.program(), "-t", "-c", one.tool.conf],
                           capture_output=True, text=True, check=False)
    assert start.returncode == 2 and "noeviction" in start.stderr, start
    one.redis("config", "set", "maxmemory-policy", "noeviction")
    assert "note" not in one.check()


def test_a_redis_that_may_forget_is_noted(site):
    one = site("redis", "--maxmemory-policy", "volatile-ttl")
    said = one.check()
    assert re.search("note .*volatile-ttl evicts locks as soon as", said)
    assert re.search("note .*a restart may forget locks", said)
    assert "replica" not in said
    with subprocess.Popen(
            ["redis-server", "--port", str(rig.free_port()), "--replicaof",
             "127.0.0.1", str(one.port), "--dir", str(one.folder)],
            stdout=subprocess.DEVNULL) as replica:
        rig.wait_for(lambda: "connected_slaves:1" in one.redis("info"),
                     "the replica")
        said = one.check()
        replica.kill()
    assert re.search("note .*a failover to one of 1 replicas may", said)


def test_a_redis_that_does_not_tell_is_noted(site):
    one = site("redis", "--rename-command", "INFO", "")
    assert re.search("note .*its settings are not known: ERR unknown",
                     one.check())


@pytest.mark.parametrize("password, words", [
    (None, "NOAUTH Authentication required: set lock.password_file"),
    ("wrong", "pair or user is disabled: correct lock.user, lock.password")])
def test_a_redis_that_refuses_says_what_to_do(site, password, words):
    one = site("redis", "--requirepass", "right")
    if password:
        one.password(password)
    said = one.check(status=1)
    assert f"BAD   lock.type: redis at 127.0.0.1:{one.port} refuses: " in said
    assert words in said
    one.password("right")
    assert "good  127.0.0.1" in one.check()


# --- etcd --------------------------------------------------------------------

def test_the_alarm_of_etcd_is_bad(site):
    one = site("etcd")
    member = one.etcd("maintenance/status")["header"]["member_id"]
    assert "BAD" not in one.check()
    one.etcd("maintenance/alarm", action="ACTIVATE", memberID=member,
             alarm="NOSPACE")
    said = one.check(status=1)
    assert re.search("BAD .*no answer: etcdserver: mvcc: database space", said)
    assert re.search("BAD .*alarm NOSPACE is on.*etcdctl alarm disarm", said)
    one.etcd("maintenance/alarm", action="DEACTIVATE", memberID=member,
             alarm="NOSPACE")
    assert "BAD" not in one.check()


def test_an_etcd_that_is_nearly_full_is_bad(site):
    one = site("etcd", "--quota-backend-bytes", "16777216")
    assert "BAD" not in one.check()
    while int(one.etcd("maintenance/status")["dbSize"]) < 13_600_000:
        one.etcd("kv/put", key="eA==", value="x" * 65536)
    said = one.check(status=1)
    assert re.search(r"BAD .*its database has \d+ of 16 MiB.*compact", said)


def test_an_etcd_with_tls_is_named(site):
    one = site("etcd")
    one.use(tls=True)
    said = one.check(status=1)
    assert re.search("BAD .* refuses: .*is it TLS.  correct lock.tls", said)


def test_what_is_no_etcd_is_said_to_be_none(site):
    one = site("etcd", starts=False)
    server = subprocess.Popen(
        ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1",
         str(one.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        rig.wait_for(one.is_open, "a web server")
        assert "is it etcd 3.4 or later?" in one.check(status=1)
    finally:
        server.kill()
        server.wait()


# --- ZooKeeper ---------------------------------------------------------------

def test_the_limits_of_zookeeper_are_looked_at(site):
    one = site("zookeeper", "4lw.commands.whitelist=conf,srvr", "maxClientCnxns=1")
    said = one.check(status=1)
    assert re.search("BAD .*maxClientCnxns=1 admits one connection", said)
    assert "ticks" not in said


def test_a_session_of_few_ticks_is_bad(site):
    one = site("zookeeper", "4lw.commands.whitelist=conf,srvr", "tickTime=2000")
    one.use(session="5s")
    said = one.check(status=1)
    assert re.search("BAD .*shorter than 3 of its ticks of 2000 ms: set 6 s",
                     said)
    one.use(session="10s")
    assert "BAD" not in one.check()


def test_a_zookeeper_that_does_not_tell_is_noted(site):
    assert re.search("note .*have 4lw.commands.whitelist=conf",
                     site("zookeeper").check())


# --- All ---------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["redis", "etcd", "zookeeper"])
def test_why_there_is_no_answer_is_said(site, kind):
    one = site(kind, starts=False)
    said = one.check(status=1)
    assert re.search(f"BAD   127.0.0.1:{one.port}: no answer: .", said)
    assert "BAD   no session: nobody gets a lock" in said


def test_a_prefix_of_another_store_is_bad(site, tmp_path):
    one = site("redis")
    one.redis("set", "/tus:l:{.store}", "store/another:0")
    pool = subprocess.Popen(
        [rig.program(), "-c", one.tool.conf, "-s", str(tmp_path / "s.sock")],
        stderr=subprocess.PIPE, text=True)
    assert pool.wait(60) == 2
    assert "belongs to another store, another" in pool.stderr.read()
    pool.stderr.close()
    said = one.check(status=1)
    assert re.search('BAD .*lock.prefix = "/tus" belongs to another store',
                     said)
    # What tusctl takes for a moment it does not give up under the pools.
    one.redis("del", "/tus:l:{.store}")
    assert "a session under lock.prefix" in one.check()
    assert "store/" in one.redis("get", "/tus:l:{.store}")


def doctor(one):
    return subprocess.run(
        [rig.program("tusctl"), "-c", one.tool.conf, "doctor",
         "http://127.0.0.1:9/files/"], text=True, capture_output=True,
        timeout=120, check=False).stdout


def test_the_doctor_tries_the_lock_service(site):
    one = site("redis")
    said = doctor(one)
    assert re.search(r"(ok|note +slow:) +127.0.0.1:\d+: a lock in [\d.]+ ms",
                     said), said
    assert re.search("ok +a session under lock.prefix", said), said
    assert re.search("note .*a restart may forget locks", said), said
    note = one.tool.store.path / ".sweep"
    one.tool.run("sweep")
    text = note.read_text()
    note.write_text(re.sub(r"\d{9,}", "999999999999", text, count=1))
    assert re.search("PROBLEM +the clock of this host jumped", doctor(one)), \
        text
    one.service.kill()
    said = doctor(one)
    assert re.search("PROBLEM 127.0.0.1:.*no answer: Connection refused",
                     said), said
    one.use(agent=str(one.folder / "no.sock"))
    assert re.search("PROBLEM the lock agent at .* does not answer",
                     doctor(one))
