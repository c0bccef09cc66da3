"""Runs tusfcgi behind a real web server, both as plain subprocesses.

    server = rig.Server(tmp_path, "nginx", config={"max_size": "1M"})
    server.start()
    server.url        http://127.0.0.1:PORT/files/
    server.uploads    the directory of the store
    server.log()      what tusfcgi wrote to stderr
    server.stop_app(signal.SIGKILL); server.start_app()     a crash and a restart

The program is $TUSFCGI, else build/tusfcgi in the tree.  The web server reads
the snippet that we ship, with the paths replaced, never a copy of it.  It all
works as root and as anybody, on ports that are free at the moment.

A front end is one class with start(), registered in FRONT_ENDS.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path

from lib import proc

TREE = Path(__file__).resolve().parents[2]
SANITIZER = re.compile(
    r"ERROR: \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer")
PATIENCE = 20.0
PORTS = 200

ports = deque(maxlen=PORTS)
lots = random.SystemRandom()


def program(name="tusfcgi"):
    """The path of a program of ours."""
    path = os.environ.get(name.upper(), str(TREE / "build" / name))
    return os.path.abspath(path)


def have(command):
    """Is there such a command, in /usr/sbin too?"""
    return shutil.which(command, path=os.environ.get("PATH", "") +
                        ":/usr/local/sbin:/usr/sbin:/sbin")


def free_port():
    """A port that nobody else is given: no other process of the tests, which
    finds its name taken as long as we live or ask for no other PORTS, and not by
    the kernel, which counts from 32768; 10080 is refused by browsers."""
    while True:
        port = lots.randrange(11000, 26000)
        name = socket.socket(socket.AF_UNIX)
        with socket.socket() as s, contextlib.suppress(OSError):
            name.bind(f"\0tusfcgi-port-{port}")
            s.bind(("127.0.0.1", port))
            ports.append(name)
            return port


def wait_for(condition, what, patience=PATIENCE):
    """Ask until the condition holds; fails with what was waited for."""
    end = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise TimeoutError(f"waited {patience} s in vain for {what}")
        time.sleep(0.02)


def accepts(family, address):
    with socket.socket(family) as s:
        s.settimeout(1)
        return s.connect_ex(address) == 0


def answers(port):
    """Is there an answer to HTTP, whatever it says?"""
    with socket.socket() as s:
        s.settimeout(5)
        try:
            s.connect(("127.0.0.1", port))
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return bool(s.recv(1))
        except OSError:
            return False


def libconfig(value, depth=0):
    """A Python value as libconfig writes it; dict, list, str, int, bool."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        rows = "".join(f"{key} = {libconfig(v, depth + 1)};\n"
                       for key, v in value.items())
        return rows if depth == 0 else "{\n" + rows + "}"
    if isinstance(value, (list, tuple)):
        return "( " + ", ".join(libconfig(v, 1) for v in value) + " )"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def merge(base, extra):
    """extra over base, group by group."""
    result = dict(base)
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            value = merge(result[key], value)
        result[key] = value
    return result


def spawn(argv, log, cwd=None, env=None):
    """Starts a program that dies with us, its output in a log."""
    if have("setpriv"):
        argv = [have("setpriv"), "--pdeathsig", "TERM"] + list(argv)
    with open(log, "ab") as out:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
            env=env)


def snippet(path, replacements):
    """The shipped file with what depends on the place replaced."""
    text = (TREE / path).read_text()
    for old, new in replacements.items():
        assert old in text, f"{path} does not say {old}"
        text = text.replace(old, new)
    return text


def certificate(folder):
    """A key, a self-signed certificate for 127.0.0.1, and both in one."""
    key, cert, both = (folder / f"tls.{x}" for x in ("key", "crt", "pem"))
    if not both.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
             "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
             "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
            check=True, capture_output=True)
        both.write_bytes(key.read_bytes() + cert.read_bytes())
        for path in (key, cert, both):
            path.chmod(0o644)
    return key, cert, both


def nginx_command(home):
    """What runs nginx with the nginx.conf of a folder.  Where to complain
    before that is read cannot be said to Debian 11's."""
    usage = subprocess.run([have("nginx"), "-h"], capture_output=True,
                           text=True, check=False)
    early = (["-e", str(home / "error.log")]
             if "-e filename" in usage.stdout + usage.stderr else [])
    return [have("nginx"), "-p", str(home), *early,
            "-c", str(home / "nginx.conf")]


class Nginx:
    """nginx as packaged, in the foreground, everything below one folder."""

    program = "nginx"
    # Where uploads are created; whether the web server starts the program;
    # whether others than who starts it must be able to get at its folder.
    base = "/files"
    runs_app = False
    public = False
    # A body reaches the program while it arrives; also one of unknown
    # length; the longest that gets through, if there is such a thing; in
    # which pieces a client had better send a file.
    streams = True
    chunked = True
    longest = None
    piece = None

    def start(self, server):
        home = server.dir / "nginx"
        home.mkdir(exist_ok=True)
        (home / "tmp").mkdir(exist_ok=True)
        tusfcgi = snippet("etc/nginx/tusfcgi.conf", {
            "unix:/run/tusfcgi/tusfcgi.sock": f"unix:{server.socket}",
            **server.replace})
        (home / "tusfcgi.conf").write_text(tusfcgi)
        (home / "nginx.conf").write_text(self.main(server, home))
        return spawn(nginx_command(home), server.front_log_path)

    def main(self, server, home):
        temp = "\n".join(
            f"{kind}_temp_path {home}/tmp/{kind};" for kind in
            ("client_body", "fastcgi", "proxy", "scgi", "uwsgi"))
        root = f"root {server.page};" if server.page else ""
        user = "user root;" if os.geteuid() == 0 else ""
        tls = ""
        if server.tls_port:
            key, cert, _ = certificate(server.dir)
            tls = f"""
                    listen 127.0.0.1:{server.tls_port} ssl http2;
                    ssl_certificate {cert};
                    ssl_certificate_key {key};"""
        return f"""
            daemon off; {user} worker_processes 1;
            pid {home}/nginx.pid; error_log {home}/error.log info;
            events {{ worker_connections 1024; }}
            http {{
                {temp}
                access_log off;
                types {{ text/html html; text/css css;
                         text/javascript js; image/svg+xml svg; }}
                {server.http_extra}
                server {{
                    listen 127.0.0.1:{server.port};{tls}
                    {root}
                    include {home}/tusfcgi.conf;
                    {server.extra}
                }}
            }}
            """


FRONT_ENDS = {
    "nginx": Nginx,
}


class Server:
    """tusfcgi and a web server in front of it."""

    def __init__(self, folder, front_end="nginx", config=None, args=(),
                 page=None, replace=None, extra="", http_extra="", env=None,
                 tls=False):
        """config: nested dict of tusfcgi.conf; args: more of tusfcgi's own;
        page: a folder of static files for /; replace: more replacements in
        the snippet; extra: more of the web server's configuration, inside
        its server block; env: more of the program's environment; tls: also
        listen for HTTPS, on tls_port."""
        self.front_end = FRONT_ENDS[front_end]()
        self.is_public = self.front_end.public and os.geteuid() == 0
        self.dir = Path(tempfile.mkdtemp(
            prefix="tusfcgi-" if self.is_public else "server-",
            dir="/tmp" if self.is_public else folder))
        self.dir.chmod(0o755)
        self.texts = {}
        self.page = page
        self.replace = replace or {}
        self.extra = extra
        self.http_extra = http_extra
        self.args = list(args)
        self.env = {**os.environ, **(env or {})}
        self.uploads = self.dir / "uploads"
        self.uploads.mkdir()
        self.own(self.uploads)
        self.log_path = self.dir / "tusfcgi.log"
        self.front_log_path = self.dir / "front.log"
        self.socket = self.dir / "tusfcgi.sock"
        self.short_dir = None
        if len(str(self.socket)) > 100:
            self.short_dir = tempfile.mkdtemp(prefix="tusfcgi-", dir="/tmp")
            self.socket = Path(self.short_dir) / "tusfcgi.sock"
        self.config_path = self.dir / "tusfcgi.conf"
        self.configure(config or {})
        self.app = None
        self.front = None
        self.is_over = False
        self.port = None
        self.wants_tls = tls
        self.tls_port = None

    def configure(self, config):
        """Writes tusfcgi.conf; running programs are not told."""
        base = {"store": {"path": str(self.uploads), "min_free": "1M"},
                "expiration": {"sweep": 0}, "log": {"level": "debug"}}
        if not self.front_end.runs_app:
            base["pool"] = {"listen": str(self.socket)}
        self.config = config
        whole = merge(base, config)
        if self.is_public:
            # The web server is somebody else, and not in our group.
            whole = merge(whole, {"pool": {"mode": "0666"}})
        self.config_path.write_text(libconfig(whole))

    def own(self, path):
        """Gives what was made to the user that will write there."""
        if self.is_public and self.front_end.runs_app:
            shutil.chown(path, self.front_end.user())

    def names(self):
        """What is in the store, the note of it included."""
        return {path.name for path in self.uploads.iterdir()}

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{self.origin}{self.base}/"

    @property
    def base(self):
        return self.front_end.base

    def log(self):
        """What the program says; the web server's log if it runs it."""
        if self.front_end.runs_app:
            return self.front_log()
        return self.texts.get("log") or self.log_path.read_text(
            errors="replace")

    def front_log(self):
        if "front" in self.texts:
            return self.texts["front"]
        logs = [self.front_log_path] + sorted(self.dir.glob("*/error.log"))
        return "".join(p.read_text(errors="replace")
                       for p in logs if p.exists())

    def start(self):
        assert not self.is_over, "stop() is for good: use stop_app()"
        self.start_app()
        self.start_front()

    def start_app(self):
        if self.front_end.runs_app:
            return
        argv = [program(), "-c", str(self.config_path)] + self.args
        self.app = spawn(argv, self.log_path, cwd=self.dir, env=self.env)

        def ready():
            if self.app.poll() is not None:
                raise RuntimeError(f"tusfcgi left: {self.log()}")
            return accepts(socket.AF_UNIX, str(self.socket))

        wait_for(ready, "tusfcgi to listen")

    def start_front(self):
        """Somebody may take the port before we do: then try another."""
        again = self.port is not None
        for _ in range(5):
            if not again:
                self.port = free_port()
                self.tls_port = free_port() if self.wants_tls else None
            self.front = self.front_end.start(self)
            try:
                wait_for(self.front_is_ready, self.front_end.program)
                return
            except ChildProcessError:
                continue
        raise RuntimeError(f"no web server: {self.front_log()}")

    def front_is_ready(self):
        if self.front.poll() is not None:
            raise ChildProcessError
        # Apache that is ended before its children run leaves one of them
        # behind, which keeps the port and never answers there.
        if self.front_end.program == "apache2":
            return answers(self.port)
        return accepts(socket.AF_INET, ("127.0.0.1", self.port))

    def stop_app(self, how=signal.SIGTERM):
        """Returns the exit status, once the workers are gone, too: the
        kernel kills them after a master that was killed."""
        if self.app is None:
            return None
        workers = proc.children(self.app.pid)
        status = end(self.app, how)
        wait_for(lambda: not any(map(proc.is_alive, workers)),
                 "the workers to be gone")
        self.app = None
        return status

    def stop_front(self):
        if self.front is not None:
            end(self.front, signal.SIGTERM)
            self.front = None

    def stop(self):
        """For good: the folder of the socket may be gone afterwards."""
        self.is_over = True
        try:
            self.stop_front()
        finally:
            try:
                self.stop_app()
            finally:
                self.clear()

    def clear(self):
        """What it left outside of the folder of the test."""
        if self.short_dir:
            shutil.rmtree(self.short_dir, ignore_errors=True)
        if self.is_public:
            self.texts = {"front": self.front_log()}
            if self.log_path.exists():
                self.texts["log"] = self.log_path.read_text(errors="replace")
            shutil.rmtree(self.dir, ignore_errors=True)

    def check_logs(self):
        """No sanitizer may have complained."""
        text = self.front_log() + self.texts.get("log", "")
        if self.log_path.exists():
            text += self.log_path.read_text(errors="replace")
        assert not SANITIZER.search(text), text[-20000:]


def end(process, how):
    process.send_signal(how)
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
