"""The servers that the benchmark compares, and what they cost.

Every server is a set of processes of its own, in two groups, the front end
and the application, whose CPU time is measured apart: by a cpuacct or cpu
control group where one can be made, else by /proc of every process.
"""

import contextlib
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
sys.path.insert(0, str(TREE / "tests"))
from lib import fronts, rig  # noqa: E402


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

    @contextlib.contextmanager
    def inside(self):
        """What is started meanwhile belongs to the group."""
        if not self.folder:
            yield
            return
        self.enter()
        try:
            yield
        finally:
            (self.folder.parent / "cgroup.procs").write_text("0")

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
        return sum(map(cpu_of, self.all_pids()))

    def pss(self):
        """Bytes of memory, what is shared counted once."""
        return sum(map(pss_of, self.all_pids()))

    def spawn(self, argv, log):
        with self.inside():
            self.pids.append(rig.spawn(list(map(str, argv)), log))

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


def cpu_of(pid):
    """CPU seconds of a process: its own by the ns, its dead children by the
    tick; 0 if it is gone."""
    try:
        own = Path(f"/proc/{pid}/schedstat").read_text().split()[0]
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    ticks = sum(map(int, stat.rsplit(")", 1)[1].split()[13:15]))
    return int(own) / 1e9 + ticks / os.sysconf("SC_CLK_TCK")


def pss_of(pid):
    """Bytes of a process, its share of what is shared; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines()
               if line.startswith("Pss:"))


class Peer:
    """A server to be measured: start() it, ask for port and path."""

    name = ""
    kind = "tus"
    path = "/files"
    # The processes of nginx: each has two descriptors for each request that
    # it passes on, and some limit of these.
    nginxes = 2

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
            daemon off; {user} worker_processes {self.nginxes};
            pid {home}/nginx.pid; error_log {home}/error.log error;
            worker_rlimit_nofile 65536;
            events {{ worker_connections 24000; }}
            http {{ {temp}
                    access_log off;
                    server {{ listen 127.0.0.1:{self.port} backlog=4096;
                              {location} }} }}""")
        self.front.spawn(rig.nginx_command(home), self.dir / "front.log")
        self.wait()


class Tusfcgi(Peer):
    """Ours, behind nginx with the shipped snippet."""

    name = "tusfcgi"

    def __init__(self, folder, name=None, args=(), program=None, **config):
        if name:
            self.name = name
        super().__init__(folder)
        sock = Path(f"/tmp/tusfcgi-bench-{os.getpid()}-{self.name}.sock")
        self.sock = sock
        conf = self.dir / "tusfcgi.conf"
        conf.write_text(rig.libconfig(rig.merge({
            **self.settings(), "pool": {"listen": str(sock)}}, config)))
        self.start(program or rig.program(), conf, *args)
        rig.wait_for(lambda: rig.accepts(socket.AF_UNIX, str(sock)),
                     "tusfcgi")
        self.nginx(rig.snippet("etc/nginx/tusfcgi.conf", {
            "unix:/run/tusfcgi/tusfcgi.sock": f"unix:{sock}"}))

    def settings(self):
        return {"store": {"path": str(self.uploads), "durability": "none"}}

    def start(self, program, conf, *args):
        self.app.spawn([program, "-c", conf, *args], self.dir / "app.log")

    def close(self):
        super().close()
        self.sock.unlink(missing_ok=True)


class Crowded(Tusfcgi):
    """For thousands of requests at a time."""

    nginxes = 6


class Floor(Tusfcgi):
    """The least that libfcgi, files and nginx cost in such a place."""

    name = "floor"
    PROCESSES = 8

    def start(self, program, conf, *args):
        self.app.spawn([Path(program).parent / "bench-floor", self.sock,
                        self.PROCESSES, self.uploads], self.dir / "app.log")


def before(program):
    """The same with another program, to compare with."""
    return lambda folder: Tusfcgi(folder, "before", program=program)


class Fronted(Peer):
    """Ours behind any web server, with the shipped files."""

    def __init__(self, folder, name):
        self.name = name
        super().__init__(folder)
        self.server = rig.Server(self.dir, name, config={
            "store": {"durability": "none"}, "log": {"level": "info"}})
        with self.app.inside():
            self.server.start_app()
        with self.front.inside():
            self.server.start_front()
        for process, group in ((self.server.app, self.app),
                               (self.server.front, self.front)):
            if process:
                group.pids.append(process)
        self.port, self.path = self.server.port, self.server.base
        self.uploads = self.server.uploads

    def cpu(self):
        """Where the web server starts the program, both are one group."""
        front, app = super().cpu()
        if self.server.front_end.runs_app:
            app = sum(cpu_of(p) for p in self.front.all_pids()
                      if name_of(p) == "tusfcgi")
            front -= app
        return front, app

    def close(self):
        self.server.stop()
        self.front.pids, self.app.pids = [], []
        super().close()


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def fronted(name):
    def make(folder):
        return Fronted(folder, name)
    make.front_end = name
    return make


class Core:
    """The protocol, the store and the locks without a web server."""

    def __init__(self, folder):
        self.program = Path(rig.program()).parent / "bench-core"
        self.uploads = folder / "core"
        self.uploads.mkdir()

    def run(self, *argv):
        """CPU time of each, in us."""
        done = subprocess.run(
            [self.program, self.uploads, *map(str, argv)],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return float(done.stdout)


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
    if not (home / "node_modules" / "@tus" / "s3-store").is_dir():
        home.mkdir(exist_ok=True)
        for name in ("package.json", "peer.mjs", "peer-s3.mjs"):
            shutil.copy(HERE / name, home)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund",
                        "--loglevel=error"], cwd=home, check=True,
                       stdout=subprocess.DEVNULL)
    return home


def missing(peer):
    """Why it cannot be measured here; None if it can."""
    if peer is Node and not (rig.have("node") and rig.have("npm")):
        return "@tus/server left out: node and npm are not installed"
    name = getattr(peer, "front_end", "nginx")
    why = fronts.missing(name)
    return f"{name} left out: {why}" if peer is not Node and why else None
