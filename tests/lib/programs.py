"""Hooks that are programs, and a client whose uploads they are told of."""

import json
import os
import subprocess
from pathlib import Path

from lib import clients, proc, rig, uploads

BODY = {"Content-Type": "application/offset+octet-stream"}
PYTHON = "#!/usr/bin/python3\n"

# What any hook written for tusd does: read the object, look, answer.
RECORD = PYTHON + """
import json, os, sys
event = json.load(sys.stdin)
with open(os.environ["HOME"] + "/events", "a") as log:
    log.write(json.dumps({"json": event, "env": dict(os.environ),
                          "cwd": os.getcwd()}) + "\\n")
"""

# Takes until the test says go.
SLOW = """#!/bin/sh
read event
while [ ! -e $HOME/go ]; do sleep 0.1; done
"""


class Hooks:
    """A directory of programs, and what they were told."""

    names = ("pre-create", "post-create", "post-receive", "pre-finish",
             "post-finish", "pre-terminate", "post-terminate")

    def __init__(self, home):
        self.home = home
        self.dir = home / "hooks"
        self.dir.mkdir(mode=0o755)

    def write(self, name, text):
        path = self.dir / name
        new = self.home / (name + ".new")
        new.write_text(text)
        new.chmod(0o755)
        new.rename(path)

    def record(self, *names, then=""):
        for name in names or self.names:
            self.write(name, RECORD + then)

    def answer(self, name, answer):
        self.write(name, RECORD + f"json.dump({answer!r}, sys.stdout)\n")

    def remove(self, name):
        (self.dir / name).unlink()

    def go(self):
        """Lets the slow ones come to their end."""
        (self.home / "go").touch()

    @property
    def events(self):
        path = self.home / "events"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def told(self, name=None):
        """The objects of one event, or the names of all."""
        if name is None:
            return [e["json"]["Type"] for e in self.events]
        return [e["json"] for e in self.events if e["json"]["Type"] == name]

    def wait_for(self, name, count=1):
        rig.wait_for(lambda: len(self.told(name)) >= count, name)
        return self.told(name)


def post(one, size=None, body=b"", **headers):
    if size is not None:
        headers["Upload-Length"] = str(size)
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    headers = {**headers, **(BODY if body else {})}
    return clients.request("POST", one.url, headers, body)


def create(one, size=None, body=b"", **headers):
    status, answer, text = post(one, size, body, **headers)
    assert status == 201, (status, text)
    return one.origin + answer["Location"]


def patch(url, offset, body):
    return clients.request("PATCH", url, {**BODY, "Upload-Offset":
                                          str(offset)}, body)


def delete(url):
    return clients.request("DELETE", url)[0]


def id_of(url):
    return url.rpartition("/")[2]


def pending(one, url):
    return uploads.pending(one.uploads, id_of(url))


def spool(one):
    return list((one.uploads / ".hooks").glob("*"))


def sweep(one, hooks, *options):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", one.config_path, "sweep", *options],
        env={**os.environ, "HOME": str(hooks.home)}, capture_output=True,
        text=True, timeout=60, check=False)
    assert not rig.SANITIZER.search(run.stderr), run.stderr
    assert run.returncode in (0, 1), run.stderr
    return run.stdout + run.stderr


def is_running(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.split()[2] != "Z"


def processes(*words):
    """Those whose command line has one of them."""
    count = 0
    for pid in proc.everybody():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        count += any(word.encode() in line for word in words)
    return count
