"""E: every system call fails once, and some of them from then on for ever."""

import os
import re

import check
import harness
import move
from harness import Place, Point

ERRORS = {
    "openat": ("EMFILE", "ENFILE", "ENOSPC", "EACCES", "EROFS"),
    "flock": ("ENOLCK", "EINTR"),
    "newfstatat": ("EIO",),
    "fstat": ("EIO",),
    "pwrite64": ("ENOSPC", "EDQUOT", "EIO", "EFBIG"),
    "fdatasync": ("EIO", "ENOSPC"),
    "fsync": ("EIO", "ENOSPC"),
    "sync_file_range": ("EIO", "ENOSPC"),
    "renameat": ("ENOSPC", "EIO"),
    "renameat2": ("EXDEV", "EINVAL", "EIO", "ENOSPC"),
    "linkat": ("EIO", "EPERM"),
    "mkdirat": ("ENOSPC", "EACCES"),
    "unlinkat": ("EIO", "EROFS"),
    "ftruncate": ("EIO",),
    "close": ("EIO",),
    "pread64": ("EIO",),
    "copy_file_range": ("EXDEV", "EINVAL", "EIO"),
}

# Nothing is wrong when these fail: there is nothing left to lose, or another
# way.  What may not be written to is opened for reading; that other errors of
# openat are noticed, the same points tell.
HARMLESS = (("close", "EIO"), ("copy_file_range", "EXDEV"),
            ("copy_file_range", "EINVAL"), ("renameat2", "EXDEV"),
            ("renameat2", "EINVAL"), ("openat", "EACCES"),
            ("openat", "EROFS"))

# Who waits for an owner's lock does so again after a signal, and for ever if
# this process itself did not let go of it.
NOT_IN_LEDGER = (("flock", "EINTR"), ("close", "EIO"))

# The sum of an owner's page is in its lock, which a call names by a descriptor or
# in the directory of the page.  When that was changed says whether the sum is old
# (fstat(), which older C libraries make newfstatat() of).
PAGE_SUM = re.compile(r'/\.quota/[0-9a-f]{64}(/lock>|>, "lock"|>, ""|>, \{)')

# One of so many failures is for good.
FOR_GOOD = 6


def points_of(driver, template, scratch, mode, what):
    with Place(scratch, template) as place:
        calls = driver.points_with_paths(
            what, place.store, mode, tuple(ERRORS))
    yield from failures_of(calls, mode, what)


def failures_of(calls, mode, what):
    for n, (call, when, *line) in enumerate(calls):
        error = ERRORS[call][when % len(ERRORS[call])]
        if what == "owned" and (call, error) in NOT_IN_LEDGER:
            continue
        point = Point(mode, call, str(when), "error=" + error)
        point.line = "".join(line)
        yield point
        if n % FOR_GOOD == 0:
            yield Point(mode, call, f"{when}+", "error=" + error)


def level_of(point):
    """After a failed flush even what was acknowledged may have to go, unless
    it was flushed before."""
    if point.call not in ("fdatasync", "fsync", "sync_file_range"):
        return check.KILL
    return check.FINISHED if point.mode in ("none", "data") else check.FAILED


def is_harmless(point):
    """A process that looks without the lock looks again when a look fails, so
    one failed read may go unnoticed; a read that fails for good may not.
    Likewise the sum of a page is counted anew where it cannot be read, written
    or locked: check_ledger() holds that it is not trusted then."""
    error = point.inject.removeprefix("error=")
    is_seen_again = point.call == "pread64" or PAGE_SUM.search(point.line)
    return ((point.call, error) in HARMLESS or
            bool(is_seen_again) and not point.when.endswith("+"))


def dead_entries(folder):
    """Entries of uploads that are not there: they count for too long, which does
    no harm."""
    names = set(os.listdir(folder))
    return [name for name in check.read_ledger(folder)
            if name.split(".")[0] not in names]


def check_noticed(point, log, folder):
    if ("\nERR " not in log and not is_harmless(point) and
            not dead_entries(folder)):
        yield "nobody noticed"
    for line in log.splitlines():
        if (line.startswith("OPEN ") and line != "OPEN 0" and
                point.call != "close"):
            yield f"descriptors are left open: {line}"
    if not log.rstrip().endswith("END"):
        yield "store-drive did not come to its end"


def check_tidy(point, log, folder):
    """An operation that failed once has removed what it had made."""
    if point.call in ("unlinkat", "close") or point.when.endswith("+"):
        return
    if "\nERR " in log and point.call != "fsync":
        yield from (f"{name}: not struck out" for name in dead_entries(folder))
    names = set(os.listdir(folder)) - {".quota"}
    for name in names:
        base = name.split(".")[0]
        if name.endswith(".info.new") or not {base, base + ".info"} <= names:
            yield f"{name}: left behind"


def judge(driver, before, template, scratch, point, what):
    with Place(scratch, template) as place:
        log = before + driver.inject(what, place.store, point)
        found = list(check_noticed(point, log, place.store))
        found += check_tidy(point, log, place.store)
        found += check.check_ledger(place.store)
        return found + harness.verify(
            driver, place.store, point.mode, log, level_of(point))


def run(driver, scratch, options):
    for name, what in (("E", "run"), ("E-quota", "owned")):
        if options.wants(name):
            yield harness.run_modes(driver, scratch, options, name, what,
                                    points_of, judge)
    yield from move.failures(driver, scratch, options)
