"""Locks in Redis, etcd and ZooKeeper with what they are protected by."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from lib import rig
from lib import zookeeper as memory
from lib.app import App
from lib.hosts import JAR
from ops.test_manual import examples, kind_of, of_kind

PASSWORD = "a secret: with spaces"
BUILT = subprocess.run([rig.program(), "-V"], capture_output=True, text=True,
                       check=True).stdout
NEEDS = {"redis": "redis-server", "etcd": "etcd", "zookeeper": "java"}


def must_have(kind):
    if kind not in BUILT:
        pytest.skip(f"built without {kind}")
    if not shutil.which(NEEDS[kind]) or (
            kind == "zookeeper" and not os.path.exists(JAR)):
        pytest.skip(f"{kind} is not installed")


def is_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def services(tmp_path):
    """Starts processes that take connections at a port."""
    running = []

    def start(port, *words):
        log = open(tmp_path / f"service{len(running)}.log", "wb")
        one = subprocess.Popen([str(w) for w in words], stdout=log,
                               stderr=subprocess.STDOUT)
        running.append(one)
        rig.wait_for(lambda: is_open(port), words[0])
        return one

    yield start
    for one in running:
        one.kill()
        one.wait()


@pytest.fixture
def pool(tmp_path):
    """Any number of pools with those keys of lock."""
    started = []

    def make(**lock):
        folder = tmp_path / f"pool{len(started)}"
        folder.mkdir()
        one = App(folder, config={
            "store": {"path": str(tmp_path / "store"), "shared": True,
                      "durability": "full"},
            "lock": {"session": "5s", "reply": "3s", **lock}})
        one.uploads = tmp_path / "store"
        started.append(one)
        return one

    yield make
    for one in started:
        if hasattr(one, "app"):
            one.stop()


@pytest.fixture
def password(tmp_path):
    def write(text):
        file = tmp_path / f"password{len(text)}"
        file.write_text(text + "\n")
        file.chmod(0o600)
        return str(file)
    return write


def works(one):
    """An upload that is locked and written."""
    one.start_app()
    rig.wait_for(lambda: "session of" in one.log(), "a session")
    write(one)


def write(one):
    path = one.client.create(5)
    rig.wait_for(lambda: one.client.patch(path, 0, b"hello").status == 204,
                 "a lock")


def refused(one, *words):
    """-t and the start say why, with status 2."""
    def try_it(*arguments):
        return subprocess.run(
            [rig.program(), *arguments, "-c", str(one.config_path)],
            capture_output=True, text=True, timeout=60, check=False)

    # A service that has just begun, or is slow, is a warning.
    rig.wait_for(lambda: "answers yet" not in try_it("-t").stderr,
                 "an answer", 30)
    for arguments in (["-t"], []):
        run = try_it(*arguments)
        assert run.returncode == 2, run
        for word in words:
            assert word in run.stderr, run.stderr


def redis(services, port, *words):
    return services(port, "redis-server", "--port", port, "--save", "",
                    "--bind", "127.0.0.1", *words)


def etcd(services, folder, port, scheme="http", *words):
    peer = f"http://127.0.0.1:{rig.free_port()}"
    url = f"{scheme}://127.0.0.1:{port}"
    return services(
        port, "etcd", "--data-dir", folder / "etcd", "--listen-client-urls",
        url, "--advertise-client-urls", url, "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", peer, "--initial-cluster",
        f"default={peer}", *words)


def zookeeper(services, folder, port):
    settings = folder / "zoo.cfg"
    settings.write_text(f"tickTime=500\ndataDir={folder}/zookeeper\n"
                        f"clientPort={port}\n")
    return services(
        port, "java", "-Xmx128m", "-Dzookeeper.admin.enableServer=false",
        "-cp", JAR, "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        settings)


def post(port, path, body):
    rig.wait_for(lambda: subprocess.run(
        ["curl", "-sf", f"http://127.0.0.1:{port}/v3/{path}", "-d", body],
        capture_output=True, check=False).returncode == 0, path)


# --- Redis -------------------------------------------------------------------

def test_redis_wants_the_password(services, pool, password):
    must_have("redis")
    port = rig.free_port()
    redis(services, port, "--requirepass", PASSWORD)
    here = {"type": "redis", "hosts": [f"127.0.0.1:{port}"]}
    refused(pool(**here), "lock.type: redis", "refuses", "NOAUTH")
    refused(pool(**here, password_file=password("wrong")), "WRONGPASS")
    works(pool(**here, password_file=password(PASSWORD)))


def test_redis_that_wants_no_other_machine(pool):
    """Without a password and with its protected-mode it says this to all that
    is not local, whatever they ask."""
    must_have("redis")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def deny():
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as one:
                        one.sendall(b"-DENIED Redis is running in protected "
                                    b"mode because no password is set.\r\n")
        threading.Thread(target=deny, daemon=True).start()
        refused(pool(type="redis", hosts=[
            f"127.0.0.1:{listener.getsockname()[1]}"]),
            "refuses: DENIED", "set requirepass there")
        listener.shutdown(socket.SHUT_RDWR)


def test_redis_of_the_manual(tmp_path, services, password):
    """Its lines, and ours beside them."""
    must_have("redis")
    text, = of_kind("redis")
    (text,), port = text.values, rig.free_port()
    here = tmp_path / "redis.conf"
    here.write_text(re.sub("bind .*", f"bind 127.0.0.1\nport {port}", text)
                    + f"dir {tmp_path}\n")
    services(port, "redis-server", here)
    ours = next(x for _, x in examples() if 'type = "redis"' in x and
                "password_file" in x and kind_of(x) == "conf")
    (tmp_path / "up").mkdir()
    for old, new in (("10.0.0.5:6379", f"127.0.0.1:{port}"),
                     ("/etc/tusfcgi/lock.password",
                      password(re.search("requirepass (.*)", text)[1])),
                     ("/srv/uploads", str(tmp_path / "up"))):
        assert old in ours
        ours = ours.replace(old, new)
    conf = tmp_path / "t.conf"
    conf.write_text(ours)
    run = subprocess.run([rig.program(), "-t", "-c", conf], timeout=60,
                         capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "warning: lock" not in run.stdout, run


def test_redis_knows_us_by_a_user(services, pool, password):
    must_have("redis")
    port = rig.free_port()
    redis(services, port, "--user", "tus", "on", ">secret", "~/tus:*",
          "&/tus:*", "+@all", "--user", "default", "off")
    works(pool(type="redis", hosts=[f"127.0.0.1:{port}"], user="tus",
               password_file=password("secret")))


def test_redis_through_a_unix_socket(short_folder, services, pool):
    must_have("redis")
    port = rig.free_port()
    place = short_folder / "r.sock"
    redis(services, port, "--unixsocket", place, "--unixsocketperm", "777")
    rig.wait_for(place.exists, "the socket")
    works(pool(type="redis", hosts=[str(place)]))


def test_redis_may_forget_our_scripts(services, pool):
    must_have("redis")
    port = rig.free_port()
    redis(services, port)
    one = pool(type="redis", hosts=[f"127.0.0.1:{port}"])
    works(one)

    def ask(*words):
        return subprocess.run(["redis-cli", "-p", str(port), *words],
                              check=True, capture_output=True,
                              text=True).stdout
    assert "cmdstat_evalsha" in ask("info", "commandstats")
    for _ in range(3):
        ask("script", "flush")
        path = one.client.create(5)
        assert one.client.patch(path, 0, b"hello").status == 204


def test_a_new_master_is_found_through_sentinel(services, pool, tmp_path):
    must_have("redis")
    master, replica, sentinel = rig.free_port(), rig.free_port(), rig.free_port()
    first = redis(services, master)
    redis(services, replica, "--replicaof", "127.0.0.1", master)
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {sentinel}\ndir {tmp_path}\n"
        f"sentinel monitor locks 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds locks 1000\n"
        "sentinel failover-timeout locks 3000\n")
    services(sentinel, "redis-server", settings, "--sentinel")

    def replicas():
        return subprocess.run(
            ["redis-cli", "-p", str(sentinel), "sentinel", "replicas",
             "locks"], check=True, capture_output=True, text=True).stdout
    rig.wait_for(lambda: str(replica) in replicas(), "the replica", 30)
    here = [f"127.0.0.1:{sentinel}"]
    refused(pool(type="redis", hosts=here, sentinel="others"),
            "knows lock.sentinel")
    one = pool(type="redis", hosts=here, sentinel="locks")
    works(one)
    first.kill()
    path = one.client.create(5)
    rig.wait_for(lambda: one.client.patch(path, 0, b"hello").status == 204,
                 "the new master", 30)


def test_redis_over_tls(services, pool, certificates):
    must_have("redis")
    port = rig.free_port()
    here = {"type": "redis", "hosts": [f"127.0.0.1:{port}"], "tls": True,
            "ca_file": certificates("ca.pem")}
    files = {"cert_file": certificates("us.pem"),
             "key_file": certificates("us.key")}
    run = subprocess.run(
        [rig.program(), "-t", "-c", str(pool(**here).config_path)],
        capture_output=True, text=True, check=False)
    if "hiredis 1.0" in run.stderr:
        assert run.returncode == 2
        pytest.skip("hiredis has no TLS here: refused")
    services(port, "redis-server", "--port", "0", "--tls-port", port,
             "--save", "", "--tls-cert-file", certificates("service.pem"),
             "--tls-key-file", certificates("service.key"),
             "--tls-ca-cert-file", certificates("ca.pem"))
    works(pool(**here, **files))


# --- etcd --------------------------------------------------------------------

@pytest.fixture
def certificates(tmp_path):
    """An authority, and what it has signed for the service and for us."""
    folder = tmp_path / "tls"
    folder.mkdir()

    def run(*words):
        subprocess.run(["openssl", *words], check=True, cwd=folder,
                       capture_output=True)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out",
        "ca.pem", "-subj", "/CN=locks", "-days", "2")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("service", "us"):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", "2",
            "-extfile", "names")
    return lambda name: str(folder / name)


def test_etcd_wants_the_password_and_forgets_tokens(services, pool, tmp_path,
                                                    password):
    must_have("etcd")
    port = rig.free_port()
    server = etcd(services, tmp_path, port)
    for path, body in (
            ("auth/user/add", '{"name":"root","password":"root"}'),
            ("auth/user/grant", '{"user":"root","role":"root"}'),
            ("auth/user/add", f'{{"name":"tus","password":"{PASSWORD}"}}'),
            ("auth/role/add", '{"name":"locks"}'),
            # "/tus/" to "/tus0"
            ("auth/role/grant", '{"name":"locks","perm":{"permType":'
             '"READWRITE","key":"L3R1cy8=","range_end":"L3R1czA="}}'),
            ("auth/user/grant", '{"user":"tus","role":"locks"}'),
            ("auth/enable", "{}")):
        post(port, path, body)
    here = {"type": "etcd", "hosts": [f"127.0.0.1:{port}"]}
    refused(pool(**here), "lock.type: etcd", "refuses", "user name is empty")
    refused(pool(**here, user="tus", password_file=password("wrong")),
            "invalid user ID or password")
    refused(pool(**here, user="tus", prefix="/others",
                 password_file=password(PASSWORD)), "permission denied")
    one = pool(**here, user="tus", password_file=password(PASSWORD))
    works(one)
    # Its tokens are in memory.
    server.kill()
    server.wait()
    services(port, *server.args)
    write(one)


def test_etcd_over_tls_with_a_certificate_of_ours(services, pool, tmp_path,
                                                  certificates):
    must_have("etcd")
    port = rig.free_port()
    etcd(services, tmp_path, port, "https",
         "--cert-file", certificates("service.pem"),
         "--key-file", certificates("service.key"),
         "--client-cert-auth", "--trusted-ca-file", certificates("ca.pem"))
    here = {"type": "etcd", "hosts": [f"127.0.0.1:{port}"]}
    ours = {"cert_file": certificates("us.pem"),
            "key_file": certificates("us.key")}
    refused(pool(**here, **ours, tls=True), "lock.type: etcd", "refuses",
            "certificate")
    works(pool(**here, **ours, tls=True, ca_file=certificates("ca.pem")))


# --- ZooKeeper ---------------------------------------------------------------

def test_zookeeper_keeps_the_nodes_of_a_user_from_others(
        services, pool, tmp_path, password):
    must_have("zookeeper")
    port = rig.free_port()
    zookeeper(services, tmp_path, port)
    here = {"type": "zookeeper", "hosts": [f"127.0.0.1:{port}"]}
    one = pool(**here, user="tus", password_file=password(PASSWORD))
    works(one)
    refused(pool(**here), "lock.type: zookeeper", "refuses")
    refused(pool(**here, user="tus", password_file=password("wrong")),
            "check lock.user")
    write(one)


def test_a_lock_that_is_removed_from_zookeeper_is_lost(pool):
    """By an administrator, say: its holder stops before another may begin."""
    must_have("zookeeper")
    service = memory.ZooKeeper()
    one = pool(type="zookeeper", hosts=[f"127.0.0.1:{service.port}"])
    try:
        works(one)
        path = one.client.create(100)
        with one.client.open_patch(path, 0, 100) as patch:
            patch.send(b"x" * 50)
            rig.wait_for(lambda: one.data_size(path) == 50, "the bytes")
            time.sleep(2)
            name = path.rsplit("/", 1)[1]
            assert f"{name} was lost" not in one.log()
            service.remove(f"/tus/l/{name}".encode())
            assert patch.read().status == 423
        assert f"{name} was lost" in one.log()
        at = one.client.offset(path)
        assert one.client.patch(path, at, b"x" * (100 - at)).status == 204
        one.stop_app()
    finally:
        service.stop()


# --- All ---------------------------------------------------------------------

@pytest.mark.parametrize("lock, words", [
    ({"type": "etcd", "ca_file": "/ca.pem"}, "lock.tls = true"),
    ({"type": "etcd", "sentinel": "x"}, "lock.sentinel"),
    ({"type": "etcd", "hosts": ["/run/etcd"]}, "HOST:PORT"),
    ({"type": "etcd", "hosts": ["localhost"]}, "HOST:PORT"),
    ({"type": "etcd", "hosts": []}, "needs lock.hosts"),
    ({"type": "etcd", "prefix": "x" * 129}, "128 characters"),
    ({"type": "zookeeper", "hosts": ["/run/zookeeper"]}, "HOST:PORT"),
    ({"type": "zookeeper", "prefix": "tus"}, "like a path"),
    ({"type": "zookeeper", "prefix": "/tus/"}, "like a path"),
    ({"type": "zookeeper", "tls": True}, "stunnel"),
    ({"type": "redis", "tls": True}, "lock."),
])
def test_what_cannot_be_is_refused(pool, lock, words):
    if lock["type"] not in BUILT:
        pytest.skip(f"built without {lock['type']}")
    refused(pool(**{"hosts": ["127.0.0.1:1"], **lock}), words)


@pytest.mark.parametrize("kind", NEEDS)
def test_what_was_not_built_names_the_package(pool, kind):
    if kind in BUILT:
        pytest.skip(f"built with {kind}")
    refused(pool(type=kind, hosts=["127.0.0.1:1"]), "-dev and build anew")


@pytest.mark.parametrize("kind", NEEDS)
def test_a_service_may_come_later(pool, services, tmp_path, kind):
    must_have(kind)
    port = rig.free_port()
    one = pool(type=kind, hosts=[f"127.0.0.1:{port}"])
    one.start_app()
    rig.wait_for(lambda: "none of lock.hosts answers yet" in one.log(),
                 "the warning")
    assert one.client.patch(one.client.create(5), 0, b"hello").status == 503
    if kind == "redis":
        redis(services, port)
    elif kind == "etcd":
        etcd(services, tmp_path, port)
    else:
        zookeeper(services, tmp_path, port)
    rig.wait_for(lambda: "session of" in one.log(), "a session", 30)
    write(one)
