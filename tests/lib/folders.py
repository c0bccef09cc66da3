"""Folders outside of the one that pytest gives to a test.

Their paths are short enough for a socket, and other users may go there.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from lib import rig


def is_removed(folder):
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def remove(folder):
    """Also while a program makes and removes files in it."""
    rig.wait_for(lambda: is_removed(folder), f"{folder} to be removed")


@contextlib.contextmanager
def temporary(where="/tmp", mode=0o755):
    folder = Path(tempfile.mkdtemp(prefix="tusfcgi-", dir=where))
    folder.chmod(mode)
    try:
        yield folder
    finally:
        remove(folder)


def sizes(folder):
    """{path: bytes} of all files below it, but for those that vanish while
    they are counted."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.lstat().st_size
    return found


def taken(folder):
    """Bytes of the disk, which are more than sizes() where space was set aside
    and fewer where there are holes."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += os.lstat(os.path.join(place, name)).st_blocks * 512
    return found
