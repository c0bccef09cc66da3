#!/usr/bin/python3
"""Does what etc/container/Containerfile says, where no container engine is.

usage: container.py ROOT WORK

ROOT is a fresh system of the release that the Containerfile begins FROM, made by
debootstrap; WORK a folder for the images.  Each step runs in a copy of it.  Then
both images run as compose.yaml says: with shared volumes, tusfcgi as its user, in
a read-only system and without a capability; a file is uploaded through nginx.

Prints "ok NAME" or "FAIL NAME: WHY" for each check; status 1 if one failed.
Needs root, apt's mirror and the network.
"""

import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
PLACE = TREE / "etc/container"
CLONE_NEWNET = 0x40000000
BASE = "debian:trixie-slim"
ENV = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
       "DEBIAN_FRONTEND=noninteractive"]
# What an engine gives to a container: its own /proc, /dev and /sys.
ENTER = r"""
root=$1 && shift && mount --bind "$root" "$root" &&
{ [ ! "$READ_ONLY" ] || mount -o remount,bind,ro "$root"; } &&
mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" || exit
for volume in $VOLUMES; do
	mount --bind "${volume%%:*}" "$root/${volume#*:}" || exit
done
cd "$root" && exec chroot . "$@"
"""


def instructions(text):
    """(name, arguments) of each, comments and line breaks gone."""
    text = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


class Image:
    """A stage: a folder, and what is said about what runs in it."""

    def __init__(self, root):
        self.root, self.dir, self.user, self.command = root, "/", None, None

    def inside(self, argv, volumes=(), read_only=False, **options):
        """Runs it in name spaces of its own, which end with it."""
        script = ["unshare", "--mount", "--propagation", "private", "--pid",
                  "--fork", "--kill-child", "bash", "-c", ENTER, "-", str(self.root)]
        env = {**os.environ, "VOLUMES": " ".join(volumes),
               "READ_ONLY": "yes" if read_only else ""}
        return subprocess.Popen([*script, *argv], env=env,
                                stdin=subprocess.DEVNULL, **options)

    def run(self, command):
        argv = [*ENV, "/bin/sh", "-c", f"cd {shlex.quote(self.dir)} && {command}"]
        with self.inside(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True) as process:
            said = process.stdout.read()
        if process.returncode:
            raise RuntimeError(f"RUN {command}: {said[-2000:]}")


class Build:
    def __init__(self, base, work):
        self.base, self.work = base, work
        self.images, self.now = {}, None

    def step(self, name, rest):
        getattr(self, "do_" + name.lower())(rest)

    def do_from(self, rest):
        source, _, name = rest.partition(" AS ")
        if source != BASE:
            raise RuntimeError(f"FROM {source}: this root is {BASE}")
        root = self.work / name
        subprocess.run(["cp", "-a", "--reflink=auto", self.base, root], check=True)
        for file in ("/etc/resolv.conf", "/etc/hosts"):
            shutil.copy(file, f"{root}{file}")
        (root / "etc/apt/apt.conf.d/90systems").write_text(
            'Acquire::Check-Valid-Until "false";\n'
            'DPkg::Options:: "--force-unsafe-io";\n')
        # No service is started in the image of a container.
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        self.now = self.images[name] = Image(root)

    def do_run(self, rest):
        self.now.run(rest)

    def do_workdir(self, rest):
        self.now.dir = rest
        Path(f"{self.now.root}{rest}").mkdir(parents=True, exist_ok=True)

    def target(self, to, name):
        """Where COPY and ADD put a file of that name."""
        path = Path(f"{self.now.root}{os.path.join(self.now.dir, to)}")
        if to.endswith("/"):
            path /= name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def do_copy(self, rest):
        *options, source, to = rest.split()
        root = TREE
        for option in options:
            root = self.images[option.removeprefix("--from=")].root
        source = Path(f"{root}/{source}")
        if root == TREE and source.resolve() == TREE:
            self.copy_tree(Path(f"{self.now.root}{self.now.dir}"))
        elif source.is_dir():
            shutil.copytree(source, self.target(to, source.name))
        else:
            shutil.copy(source, self.target(to, source.name))

    def copy_tree(self, to):
        """COPY of everything: what etc/prepare.sh calls the tree."""
        subprocess.run(
            ["bash", "-c", 'top=$1; . "$1/etc/prepare.sh"; copy_tree "$2"', "-",
             str(TREE), str(to)], check=True)

    def do_add(self, rest):
        url, to = rest.split()
        with urllib.request.urlopen(url, timeout=60) as answer:
            self.target(to, url.rpartition("/")[2]).write_bytes(answer.read())

    def do_user(self, rest):
        self.now.user = rest

    def do_cmd(self, rest):
        self.now.command = json.loads(rest)

    def do_volume(self, rest):
        for path in json.loads(rest):
            assert Path(f"{self.now.root}{path}").is_dir(), path

    def nothing(self, rest):
        """Only an engine has a use for it."""

    do_expose = do_stopsignal = nothing


def unshare_network():
    """From here on nothing is reached but what runs here."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == -1:
        raise OSError(ctypes.get_errno(), "unshare")


failed = []


def check(name, works, why=""):
    print(f"ok {name}" if works else f"FAIL {name}: {why}".replace("\n", " "),
          flush=True)
    if not works:
        failed.append(name)


def curl(*argv):
    return subprocess.run(["curl", "-s", "-m", "20", *argv], capture_output=True,
                          text=True, check=False).stdout


def upload(url):
    head = curl("-i", "-X", "POST", "-H", "Tus-Resumable: 1.0.0", "-H",
                "Upload-Length: 5", "-H",
                "Content-Type: application/offset+octet-stream", "-d", "hello", url)
    found = re.search(r"(?i)^location: (\S+)", head, re.M)
    return (found[1], head) if found else (None, head)


def volumes_of(images, work):
    """A volume begins with what the image has there, as engines do it."""
    places = {}
    for name in ("uploads", "socket"):
        inside = {"uploads": "/var/lib/tusfcgi", "socket": "/run/tusfcgi"}[name]
        subprocess.run(["cp", "-a", f"{images['tusfcgi'].root}{inside}",
                        work / name], check=True)
        places[name] = f"{work / name}:{inside}"
    return places


def serve(images, work):
    volumes = volumes_of(images, work)
    tus, web = images["tusfcgi"], images["web"]
    Path(f"{web.root}/run/tusfcgi").mkdir()
    bare = ["setpriv", "--reuid", tus.user, "--regid", tus.user, "--init-groups",
            "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    log = open(work / "log", "wb")
    return [
        tus.inside([*ENV, *bare, *tus.command], volumes.values(), True,
                   stdout=log, stderr=log),
        web.inside([*ENV, *web.command], [volumes["socket"]],
                   stdout=log, stderr=log)]


def ask_to_stop(process):
    """As the first process of its name space it has the signals that it takes."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    os.kill(int(children.read_text()), signal.SIGTERM)
    try:
        check("container: it stops when asked", process.wait(20) == 0,
              process.returncode)
    except subprocess.TimeoutExpired:
        check("container: it stops when asked", False, "not within 20 s")


def try_it(images, work):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    running = serve(images, work)
    try:
        for _ in range(60):
            path, said = upload("http://127.0.0.1/files/")
            if path:
                break
            time.sleep(0.5)
        check("container: an upload", path is not None,
              said + (work / "log").read_text(errors="replace")[-1000:])
        check("container: a download", curl(f"http://127.0.0.1{path}") == "hello")
        check("container: the page",
              "<title>Uploads</title>" in curl("http://127.0.0.1/")
              and "tus" in curl("http://127.0.0.1/tus.min.js")[:3000])
        stored = [p for p in (work / "uploads").iterdir() if str(path).endswith(p.name)]
        check("container: it is in the volume, and belongs to 950",
              [p.stat().st_uid for p in stored] == [950], stored)
        doctor = images["tusfcgi"].inside(
            [*ENV, "tusctl", "doctor", "http://127.0.0.1/files/"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check("container: the doctor is content", doctor.wait(120) == 0,
              doctor.stdout.read())
        ask_to_stop(running[0])
    finally:
        for process in running:
            process.kill()
            process.wait()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    base, work = Path(sys.argv[1]), Path(sys.argv[2])
    build = Build(base, work)
    work.mkdir()
    for name, rest in instructions((PLACE / "Containerfile").read_text()):
        try:
            build.step(name, rest)
        except (RuntimeError, OSError, AssertionError) as error:
            check(f"container: {name} {rest[:40]}", False, error)
            sys.exit(1)
    check("container: all steps", True)
    unshare_network()
    try_it(build.images, work)
    sys.exit(bool(failed))


main()
