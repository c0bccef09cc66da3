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
