"""File systems that are mounted for one test and gone when it ends.

    with mounts.read_only(folder): ...
    with mounts.image(folder, "vfat", 64 << 20) as place: ...
    with mounts.covered(folder): ...

They need root, and skip the test by name where the kernel refuses.  Whatever
the test does, the mount and its loop device are gone afterwards.
"""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib import left, rig


def run(*argv):
    subprocess.run(argv, check=True, capture_output=True, text=True)


def may_mount():
    if os.geteuid() != 0:
        pytest.skip("to mount something needs root")
    try:
        left.make_mounts_private()
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"no mount namespace of our own: {e}")


def mount(what, place, ways):
    """In the first of these ways, each a list of options, that there is."""
    for options in ways:
        try:
            run("mount", *options, str(what), str(place))
            return
        except subprocess.CalledProcessError as e:
            why = f"mount {' '.join(options)}: {e.stderr.splitlines()[0]}"
    pytest.skip(why)


@contextlib.contextmanager
def mounted(what, place, *ways):
    """A mount, which a test that fails leaves as little as any other."""
    mount(what, place, ways)
    try:
        yield place
    finally:
        # Lazily: a program that was killed may not be gone yet.
        run("umount", "-l", str(place))


@contextlib.contextmanager
def read_only(folder):
    """The folder, and nothing below it can be written."""
    may_mount()
    with mounted(folder, folder, ["--bind"]):
        try:
            run("mount", "-o", "remount,bind,ro", str(folder))
        except subprocess.CalledProcessError as e:
            pytest.skip(f"no read-only bind mounts: {e.stderr[-200:]}")
        yield folder


@contextlib.contextmanager
def covered(folder, size="16m", mode="2770"):
    """An empty file system in memory is over the folder."""
    may_mount()
    options = f"size={size},mode={mode}"
    with mounted("tmpfs", folder, ["-t", "tmpfs", "-o", options]):
        yield folder


@contextlib.contextmanager
def image(kind, size, options="loop", mkfs=()):
    """A file system of its own in a file; yields where it is mounted, by the
    kernel or by a program."""
    may_mount()
    if not rig.have(f"mkfs.{kind}"):
        pytest.skip(f"mkfs.{kind} is not installed")
    with tempfile.TemporaryDirectory(prefix="tusfcgi-", dir="/tmp") as home:
        os.chmod(home, 0o755)
        file, place = Path(home) / "image", Path(home) / "mnt"
        place.mkdir()
        with open(file, "wb") as f:
            f.truncate(size)
        run(rig.have(f"mkfs.{kind}"), *mkfs, str(file))
        # "loop" gives the device up by itself at the last umount.
        with mounted(file, place, *(["-t", name, "-o", options]
                                    for name in (kind, f"{kind}-fuse"))):
            yield place
