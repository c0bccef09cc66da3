"""Two hosts, one store.shared directory, and a balancer in front of them.

Each host is a network namespace with a boot id, nginx and a pool of its own;
another nginx hands each request to the next host.  tus-js-client uploads a
file through it while both pools are killed, twice each.

TUSFCGI_SHOW_SIZE is the size of the file in bytes; 1073741824 is what the
promise was made for.  TUSFCGI_SHOW_STORES, two folders with a colon between
them, are one store as either host sees it: two mounts of a shared file system.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lib import clients, mounts, rig
from lib.app import App, is_alive
from lib.hosts import have_namespaces

clients.need_tus_js()

SIZE = int(os.environ.get("TUSFCGI_SHOW_SIZE", str(48 << 20)))
CHUNK = max(1 << 20, SIZE // 64)
STORES = [Path(x) for x in
          os.environ.get("TUSFCGI_SHOW_STORES", "").split(":") if x]
BOOT_ID = "/proc/sys/kernel/random/boot_id"
KILLS = 2


pytestmark = [
    pytest.mark.skipif(not have_namespaces(),
                       reason="needs root and network namespaces"),
    pytest.mark.skipif(not rig.have("nginx"), reason="no nginx"),
]


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Net:
    """A namespace for the balancer and its clients, one for each host."""

    def __init__(self):
        name = f"bal{os.getpid()}"
        self.front = name + "f"
        self.hosts = [name + "a", name + "b"]
        for one in [self.front, *self.hosts]:
            ip("netns", "add", one)
            ip("-n", one, "link", "set", "lo", "up")
        for i, host in enumerate(self.hosts):
            ip("link", "add", "up0", "netns", host, "type", "veth", "peer",
               "name", f"down{i}", "netns", self.front)
            ip("-n", host, "addr", "add", f"10.98.{i}.2/24", "dev", "up0")
            ip("-n", self.front, "addr", "add", f"10.98.{i}.1/24", "dev",
               f"down{i}")
            ip("-n", host, "link", "set", "up0", "up")
            ip("-n", self.front, "link", "set", f"down{i}", "up")

    def inside(self, name, *argv):
        return ["ip", "netns", "exec", name, *argv]

    def close(self):
        for name in [self.front, *self.hosts]:
            subprocess.run(["ip", "netns", "del", name], check=False,
                           capture_output=True)


def start_nginx(net, where, home, server, http=""):
    (home / "tmp").mkdir(parents=True)
    temp = "\n".join(
        f"{kind}_temp_path {home}/tmp/{kind};" for kind in
        ("client_body", "fastcgi", "proxy", "scgi", "uwsgi"))
    (home / "nginx.conf").write_text(f"""
        daemon off; user root; worker_processes 1;
        pid {home}/nginx.pid; error_log {home}/error.log info;
        events {{ worker_connections 256; }}
        http {{
            {temp}
            access_log off;
            {http}
            server {{ {server} }}
        }}
        """)
    return rig.spawn(net.inside(where, *rig.nginx_command(home)),
                     home / "out.log")


def host_server(one, i, home):
    snippet = home / "tusfcgi.conf"
    home.mkdir()
    snippet.write_text(rig.snippet("etc/nginx/tusfcgi.conf", {
        "unix:/run/tusfcgi/tusfcgi.sock": f"unix:{one.socket}"}))
    return f"listen 10.98.{i}.2:80; include {snippet};"


# As the manual has it.  A HEAD that fails makes clients begin anew, so the other
# host is asked; nginx does not do that with a PATCH that it has sent.
BALANCER = """
    listen 127.0.0.1:80;
    location / {
        proxy_pass http://hosts;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_request_buffering off;
        proxy_next_upstream error timeout http_502 http_504;
        client_max_body_size 0;
    }
    """
HOSTS = """
    log_format hop '$request_method $upstream_addr $upstream_status';
    upstream hosts {
        server 10.98.0.2:80 max_fails=0;
        server 10.98.1.2:80 max_fails=0;
    }
    """


@pytest.fixture
def farm(tmp_path):
    """[A, B], with net and a log of which request went where."""
    net = Net()
    started, pools = [], []
    stores = STORES or [tmp_path / "store"] * 2
    mounts.may_mount()
    try:
        for i, host in enumerate(net.hosts):
            folder = tmp_path / f"host{i}"
            folder.mkdir()
            boot = folder / "boot"
            boot.write_text(f"5d1f0c11-8a1e-4d0b-9c57-2f6b1c0d7e{i:02}\n")
            one = App(folder, under=net.inside(
                host, "unshare", "-m", "sh", "-c",
                f'mount --bind {boot} {BOOT_ID} && exec "$@"', "sh"),
                config={"store": {"path": str(stores[i]),
                                  "shared": True, "durability": "full"},
                        "location": "absolute", "trust_forwarded": True,
                        "lock": {"method": "ofd"},
                        "pool": {"min_spare": 2, "max_workers": 16}})
            one.uploads = stores[i]
            pools.append(one)
            one.start_app()
            home = tmp_path / f"nginx{i}"
            started.append(start_nginx(
                net, host, home, host_server(one, i, home)))
        log = tmp_path / "hops.log"
        home = tmp_path / "balancer"
        started.append(start_nginx(
            net, net.front, home, f"access_log {log} hop; {BALANCER}", HOSTS))
        rig.wait_for(lambda: subprocess.run(
            net.inside(net.front, "curl", "-s", "-o", "/dev/null",
                       "http://127.0.0.1/files/"),
            check=False).returncode == 0, "the balancer")
        yield pools, net, log
    finally:
        for one in reversed(started):
            rig.end(one, signal.SIGTERM)
        for one in pools:
            one.stop()
        net.close()
    for one in pools:
        one.check_logs()


class Killer(threading.Thread):
    """Kills the pools by turns, when so much is there."""

    def __init__(self, pools):
        super().__init__()
        self.pools = pools
        self.is_over = threading.Event()
        self.done = []

    def size(self):
        names = [p for p in self.pools[0].uploads.iterdir()
                 if re.fullmatch("[0-9a-f]{32}", p.name)]
        return names[0].stat().st_size if names else 0

    def kill(self, one):
        workers = one.workers()
        one.app.send_signal(signal.SIGKILL)
        one.app.wait()
        for pid in workers:
            rig.wait_for(lambda pid=pid: not is_alive(pid), "its end")
        one.start_app()

    def run(self):
        steps = 2 * KILLS
        for turn in range(steps):
            while self.size() < SIZE * (turn + 1) // (steps + 1):
                if self.is_over.is_set():
                    return
                time.sleep(0.005)
            self.kill(self.pools[turn % 2])
            self.done.append(self.size())
        # What this thread has started dies with it.
        self.is_over.wait()


def check_arrival(pools, net, file, name):
    """On the disk, and as either host delivers it."""
    assert clients.digest(pools[0].uploads / name) == clients.digest(file)
    for i in range(2):
        got = subprocess.run(
            net.inside(net.front, "sh", "-c", f"curl -s http://10.98.{i}.2"
                       f"/files/{name} | sha256sum"),
            capture_output=True, text=True, check=True).stdout.split()[0]
        assert got == clients.digest(file)


def test_an_upload_that_alternates_between_two_hosts_survives_their_deaths(
        farm, tmp_path, monkeypatch):
    pools, net, log = farm
    file = clients.make_file(tmp_path / "file", SIZE)
    wrapper = tmp_path / "bin"
    wrapper.mkdir()
    node = wrapper / "node"
    node.write_text("#!/bin/sh\nexec ip netns exec "
                    f"{net.front} {shutil.which('node')} \"$@\"\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper}:{os.environ['PATH']}")
    killer = Killer(pools)
    killer.start()
    began = time.monotonic()
    try:
        seen = clients.tus_js(
            "http://127.0.0.1/files/", file, patience=1200,
            options={"chunkSize": CHUNK, "retryDelays": [100] * 50})
        took = time.monotonic() - began
        check_arrival(pools, net, file, seen["url"].rsplit("/", 1)[1])
    finally:
        killer.is_over.set()
        killer.join()
    assert len(killer.done) == 2 * KILLS, killer.done
    hops = [x.split() for x in log.read_text().splitlines()]
    sent = [x[1:] for x in hops if x[0] == "PATCH"]
    kept = [x[0] for x in sent if x[1] == "204"]
    assert {"10.98.0.2:80", "10.98.1.2:80"} == set(kept)
    changes = sum(a != b for a, b in zip(kept, kept[1:]))
    assert changes >= len(kept) // 2, kept
    failed = len(sent) - len(kept)
    assert failed > 0, "no request was broken by a kill"
    print(f"\n{SIZE} bytes in {took:.1f} s, {len(sent)} PATCH, {failed} of "
          f"them broken, {changes} changes of host, killed at {killer.done}")
