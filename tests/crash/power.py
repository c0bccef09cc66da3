"""P: power loss on real file systems.

The workload runs on a loop mount and is killed; then the file system is shut
down, which throws away all that was not committed, and mounted again.  Needs
root, loop devices and a mount namespace of its own.
"""

import ctypes
import fcntl
import os
import queue
import shutil
import struct
import subprocess
import tempfile
import time

import check
import harness
import kill
import move
from harness import Result

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
CLONE_NEWNS = 0x00020000

LEVELS = {"data": check.FINISHED, "full": check.FULL}

# name, size, how to make one, every how many points
SYSTEMS = (
    ("ext4", "32M", ("mkfs.ext4", "-q", "-F"), 4),
    ("xfs", "320M", ("mkfs.xfs", "-q", "-f"), 24),
)


def quiet(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Image:
    """A file system in a file, that can lose power."""

    def __init__(self, system, base):
        name, size, make, _ = system
        self.folder = tempfile.mkdtemp(prefix=name, dir=base)
        self.image = os.path.join(self.folder, "image")
        self.mnt = os.path.join(self.folder, "mnt")
        os.mkdir(self.mnt)
        quiet("truncate", "-s", size, self.image)
        quiet(*make, self.image)
        self.mount()

    def mount(self):
        quiet("mount", "-o", "loop", self.image, self.mnt)

    def lose_power(self):
        fd = os.open(self.mnt, os.O_RDONLY)
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(fd)
        self.unmount()
        self.mount()

    def unmount(self):
        """It is busy for a moment while another process looks at all mounts."""
        for _ in range(50):
            if subprocess.run(("umount", self.mnt), check=False,
                              capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        quiet("umount", self.mnt)

    def sync(self):
        quiet("sync", "-f", self.mnt)

    def fresh(self, template):
        store = os.path.join(self.mnt, "store")
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(template, store)
        self.sync()
        return store

    def close(self):
        subprocess.run(["umount", self.mnt], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def why_not(scratch):
    """Why this machine cannot lose power; None if it can."""
    if os.geteuid() != 0:
        return "needs root, for loop mounts"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return "needs a mount namespace"
    try:
        quiet("mount", "--make-rprivate", "/")
        image = Image(SYSTEMS[0], scratch)
        image.lose_power()
        image.close()
    except (subprocess.CalledProcessError, OSError) as e:
        return f"needs loop mounts of ext4: {e}"
    return None


def judge(driver, before, template, images, point):
    image = images.get()
    try:
        store = image.fresh(template)
        log = before + driver.inject("run", store, point)
        image.lose_power()
        return harness.verify(driver, store, point.mode, log,
                              LEVELS[point.mode], harness.NEXT_BOOT)
    finally:
        images.put(image)


def run(driver, scratch, options):
    for system in SYSTEMS:
        if shutil.which(system[2][0]) is None:
            print(f"P: no {system[2][0]}, hence nothing about {system[0]}")
            continue
        if options.wants("P"):
            yield from lose_runs(driver, scratch, options, system)
        yield from move.power_losses(driver, scratch, options, system)


def lose_runs(driver, scratch, options, system):
    place, before = harness.template(driver, scratch)
    with place:
        result = Result("P-" + system[0], options)
        images = queue.Queue()
        for _ in range(harness.WORKERS):
            images.put(Image(system, scratch))
        for mode in options.modes or LEVELS:
            if mode not in LEVELS:
                continue
            points = kill.points_of(driver, place.store, scratch, mode)
            if not options.only:
                points = points[::max(1, system[3] // options.depth)]
            result.judge_all(
                options.pick(harness.shuffled(points)),
                lambda p, images=images: judge(
                    driver, before, place.store, images, p))
        for _ in range(harness.WORKERS):
            images.get().close()
        yield result
