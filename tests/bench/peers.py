"""The servers that the benchmark compares, and what they cost.

Every server is a set of processes of its own, in two groups, the front end
and the application, whose CPU time is measured apart: by a cpuacct or cpu
control group where one can be made, else by /proc of every process.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(TREE / "tests" / "lib"))
import rig  # noqa: E402


class Group:
    """Processes whose CPU seconds and memory are added up."""

    HOMES = ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup")

    def __init__(self, name):
        self.pids = []
        self.folder = None
        for home in map(Path, self.HOMES):
            usage = {"cpuacct.usage": home.name == "cpuacct",
                     "cpu.stat": home.name != "cpuacct"}
            folder = home / f"tusfcgi-bench-{os.getpid()}-{name}"
            try:
                folder.mkdir()
            except OSError:
                continue
            files = [f for f, right in usage.items()
                     if right and (folder / f).exists()]
            if files:
                self.folder, self.file = folder, folder / files[0]
                return
            folder.rmdir()

    def enter(self):
        """Called in the child that is about to become a server."""
        if self.folder:
            (self.folder / "cgroup.procs").write_text("0")

    def all_pids(self):
        """The processes and all that came of them."""
        if self.folder:
            return [int(p) for p in
                    (self.folder / "cgroup.procs").read_text().split()]
        children = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(
                int(stat.parent.name))
        found, todo = [], [p.pid for p in self.pids]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def cpu(self):
        """CPU seconds so far."""
        if self.folder and self.file.name == "cpuacct.usage":
            return int(self.file.read_text()) / 1e9
        if self.folder:
            return int(self.file.read_text().split()[1]) / 1e6
        ticks = 0
        for pid in self.all_pids():
            try:
                text = Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                continue
            ticks += sum(map(int, text.rsplit(")", 1)[1].split()[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def pss(self):
        """Bytes of memory, what is shared counted once."""
        total = 0
        for pid in self.all_pids():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024
                         for line in text.splitlines()
                         if line.startswith("Pss:"))
        return total

    def spawn(self, argv, log, **more):
        with open(log, "ab") as out:
            process = subprocess.Popen(
                list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, preexec_fn=self.enter, **more)
        self.pids.append(process)
        return process

    def close(self):
        for process in self.pids:
            process.send_signal(signal.SIGTERM)
        for process in self.pids:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.folder:
            for _ in range(50):
                try:
                    self.folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)


class Peer:
    """A server to be measured: start() it, ask for port and path."""

    name = ""
    kind = "tus"
    path = "/files"

    def __init__(self, folder):
        self.dir = folder / self.name
        self.uploads = self.dir / "uploads"
        self.uploads.mkdir(parents=True)
        self.front, self.app = (Group(f"{self.name}-{part}")
                                for part in ("front", "app"))
        self.port = rig.free_port()

    def cpu(self):
        return self.front.cpu(), self.app.cpu()

    def wait(self):
        rig.wait_for(lambda: rig.accepts(
            socket.AF_INET, ("127.0.0.1", self.port)), self.name)

    def clear(self):
        """Between two rounds, before the dirty limit is reached."""
        for path in self.uploads.iterdir():
            if path.is_file() and path.stat().st_size > 1 << 20:
                path.unlink()

    def close(self):
        self.front.close()
        self.app.close()

    def nginx(self, location):
        home = self.dir / "nginx"
        (home / "tmp").mkdir(parents=True)
        temp = "\n".join(
            f"{kind}_temp_path {home}/tmp/{kind};" for kind in
            ("client_body", "fastcgi", "proxy", "scgi", "uwsgi"))
        user = "user root;" if os.geteuid() == 0 else ""
        (home / "nginx.conf").write_text(f"""
            daemon off; {user} worker_processes 2;
            pid {home}/nginx.pid; error_log {home}/error.log error;
            worker_rlimit_nofile 65536;
            events {{ worker_connections 8192; }}
            http {{ {temp}
                    access_log off;
                    server {{ listen 127.0.0.1:{self.port} backlog=4096;
                              {location} }} }}""")
        self.front.spawn([rig.have("nginx"), "-p", home, "-e",
                          home / "error.log", "-c", home / "nginx.conf"],
                         self.dir / "front.log")
        self.wait()


class Tusfcgi(Peer):
    """Ours, behind nginx with the shipped snippet."""

    name = "tusfcgi"

    def __init__(self, folder, name=None, **config):
        if name:
            self.name = name
        super().__init__(folder)
        sock = Path(f"/tmp/tusfcgi-bench-{os.getpid()}-{self.name}.sock")
        self.sock = sock
        conf = self.dir / "tusfcgi.conf"
        conf.write_text(rig.libconfig(rig.merge({
            "store": {"path": str(self.uploads), "durability": "none"},
            "pool": {"listen": str(sock)}}, config)))
        self.app.spawn([rig.program(), "-c", conf], self.dir / "app.log")
        rig.wait_for(lambda: rig.accepts(socket.AF_UNIX, str(sock)),
                     "tusfcgi")
        self.nginx(rig.snippet("etc/nginx/tusfcgi.conf", {
            "unix:/run/tusfcgi/tusfcgi.sock": f"unix:{sock}"}))

    def close(self):
        super().close()
        self.sock.unlink(missing_ok=True)


class Dav(Peer):
    """nginx alone, writing files: the floor for anything behind nginx."""

    kind = "put"
    path = "/dav/f"
    buffer = "1m"
    name = "dav-1m"

    def __init__(self, folder):
        super().__init__(folder)
        buffer = (f"client_body_buffer_size {self.buffer};"
                  if self.buffer else "")
        self.nginx(f"""location /dav/ {{
            alias {self.uploads}/; dav_methods PUT DELETE; {buffer}
            client_max_body_size 0; }}""")


class DavDefault(Dav):
    name = "dav-default"
    buffer = None


class Node(Peer):
    """@tus/server with its file store, no front end."""

    name = "node"

    def __init__(self, folder):
        super().__init__(folder)
        modules = install_node(folder.parent.parent)
        self.app.spawn(
            ["node", modules / "peer.mjs", self.port, self.uploads],
            self.dir / "app.log")
        self.wait()


def install_node(folder):
    """npm install into the build tree, once."""
    home = folder / "npm"
    if not (home / "node_modules" / "@tus" / "server").is_dir():
        home.mkdir(exist_ok=True)
        for name in ("package.json", "peer.mjs"):
            shutil.copy(HERE / name, home)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund",
                        "--loglevel=error"], cwd=home, check=True,
                       stdout=subprocess.DEVNULL)
    return home


def missing(peer):
    """Why it cannot be measured here; None if it can."""
    if peer is Node and not (rig.have("node") and rig.have("npm")):
        return "node and npm are not installed"
    if peer is not Node and not rig.have("nginx"):
        return "nginx is not installed"
    return None
