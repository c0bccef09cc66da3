"""What the kernel knows about the program under test (Linux)."""

import contextlib
import os
import re
from pathlib import Path


def children(pid):
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(p) for p in text.split()]


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def stopped(pid):
    """Has each thread of a process noticed SIGSTOP?"""
    try:
        states = [path.read_text().rpartition(")")[2].split()[0]
                  for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(states) and set(states) <= {"T", "t"}


def holder(path):
    """The pid that holds the flock of a file; None if nobody does.  The
    kernel names the process that took it, which may have passed it on."""
    try:
        inode = os.stat(path).st_ino
    except FileNotFoundError:
        return None
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "->" not in fields and fields[1] == "FLOCK" and \
                fields[5].rsplit(":", 1)[1] == str(inode):
            taker = int(fields[4])
            return next((pid for pid in [taker, *everybody()]
                         if Path(path) in opened(pid)), None)
    return None


def everybody():
    """The pids of all processes there are."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def opened(pid):
    """The paths of what is open; a process that is gone has none, nor has one
    that we may not look at."""
    out = set()
    with contextlib.suppress(FileNotFoundError, PermissionError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                out.add(Path(os.readlink(f"/proc/{pid}/fd/{fd}")))
    return out


def descriptors(pid):
    """How many are open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid):
    """Resident bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) * 1024


def own_memory(pid):
    """Bytes that no other process shares; 0 if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * sum(map(int, re.findall(
        r"Private_(?:Clean|Dirty):\s+(\d+)", text)))


def workers(pid):
    """The children of a master that answer requests."""
    return [p for p in children(pid) if not is_parking(p)]


def is_parking(pid):
    """Is it the process that waits for clients?"""
    try:
        name = Path(f"/proc/{pid}/comm").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return name.strip() == "tusfcgi-park"
