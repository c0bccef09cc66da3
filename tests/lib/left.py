"""Nothing that a test has started outlives it, however it ends.

Orphans become our children (Linux: PR_SET_CHILD_SUBREAPER), and what is mounted
is mounted in a namespace of our own, so that it goes with us even if we are
killed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

from lib import proc

PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x20000
PATIENCE = 5.0

libc = ctypes.CDLL(None, use_errno=True)
kept = set()
state = {"private": False}


def adopt_orphans():
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def make_mounts_private():
    """For root.  What is mounted from here on, nobody else sees; the kernel
    takes it away with the last process that does."""
    if state["private"]:
        return
    if libc.unshare(CLONE_NEWNS) == -1:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    state["private"] = True


def keep():
    """What runs now is for several tests."""
    kept.update(proc.children(os.getpid()))


def processes():
    return {pid for pid in proc.children(os.getpid()) if proc.is_alive(pid)}


def mounts():
    return [line.split()[4] for line in
            Path("/proc/self/mountinfo").read_text().splitlines()]


def end_processes(before):
    """A child that is killed may leave children, which then are ours."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        left = processes() - before - kept
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    raise TimeoutError(f"{left} cannot be killed")


@contextlib.contextmanager
def nothing():
    """Around a test, and all that is set up for it alone."""
    before, mounted = processes(), mounts()
    try:
        yield
    finally:
        end_processes(before)
        for place in reversed(mounts()):
            if place not in mounted:
                subprocess.run(["umount", "-l", place], check=False)
