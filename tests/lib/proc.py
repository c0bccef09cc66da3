"""What the kernel knows about the program under test (Linux)."""

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


def holder(path):
    """The pid that holds the flock of a file; None if nobody does."""
    try:
        inode = os.stat(path).st_ino
    except FileNotFoundError:
        return None
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "->" not in fields and fields[1] == "FLOCK" and \
                fields[5].rsplit(":", 1)[1] == str(inode):
            return int(fields[4])
    return None


def opened(pid):
    """The paths of what is open; a process that is gone has none."""
    out = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                out.add(Path(os.readlink(f"/proc/{pid}/fd/{fd}")))
            except FileNotFoundError:
                pass
    except FileNotFoundError:
        pass
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


def is_parking(pid):
    """Is it the process that waits for clients?"""
    try:
        name = Path(f"/proc/{pid}/comm").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return name.strip() == "tusfcgi-park"
