"""E: every system call fails once, and some of them from then on for ever."""

import os

import check
import harness
from harness import Place, Point, Result

ERRORS = {
    "openat": ("EMFILE", "ENFILE", "ENOSPC", "EACCES", "EROFS"),
    "flock": ("ENOLCK", "EINTR"),
    "newfstatat": ("EIO",),
    "fstat": ("EIO",),
    "pwrite64": ("ENOSPC", "EDQUOT", "EIO", "EFBIG"),
    "fdatasync": ("EIO", "ENOSPC"),
    "fsync": ("EIO", "ENOSPC"),
    "renameat": ("ENOSPC", "EIO"),
    "unlinkat": ("EIO", "EROFS"),
    "ftruncate": ("EIO",),
    "close": ("EIO",),
    "pread64": ("EIO",),
    "copy_file_range": ("EXDEV", "EINVAL", "EIO"),
}

# Nothing is wrong when these fail: there is nothing left to lose, or another
# way.
HARMLESS = (("close", "EIO"), ("copy_file_range", "EXDEV"),
            ("copy_file_range", "EINVAL"))

# One of so many failures is for good.
FOR_GOOD = 6


def points_of(driver, template, scratch, mode):
    with Place(scratch, template) as place:
        calls = driver.points("run", place.store, mode, tuple(ERRORS))
    for n, (call, when) in enumerate(calls):
        error = ERRORS[call][when % len(ERRORS[call])]
        yield Point(mode, call, str(when), "error=" + error)
        if n % FOR_GOOD == 0:
            yield Point(mode, call, f"{when}+", "error=" + error)


def level_of(point):
    """After a failed flush even what was acknowledged may have to go, unless
    it was flushed before."""
    if point.call not in ("fdatasync", "fsync"):
        return check.KILL
    return check.FULL if point.mode == "full" else check.FINISHED


def is_harmless(point):
    """Who looks without the lock looks again when a look fails, so that one
    failed read may go unseen; one that fails for good may not."""
    error = point.inject.removeprefix("error=")
    return ((point.call, error) in HARMLESS or
            point.call == "pread64" and not point.when.endswith("+"))


def check_noticed(point, log):
    if "\nERR " not in log and not is_harmless(point):
        yield "nobody noticed"
    for line in log.splitlines():
        if (line.startswith("OPEN ") and line != "OPEN 0" and
                point.call != "close"):
            yield f"descriptors are left open: {line}"
    if not log.rstrip().endswith("END"):
        yield "store-drive did not come to its end"


def check_tidy(point, folder):
    """What failed once has cleaned up after itself."""
    if point.call in ("unlinkat", "close") or point.when.endswith("+"):
        return
    names = set(os.listdir(folder))
    for name in names:
        base = name.split(".")[0]
        if name.endswith(".info.new") or not {base, base + ".info"} <= names:
            yield f"{name}: left behind"


def judge(driver, before, template, scratch, point):
    with Place(scratch, template) as place:
        log = before + driver.inject("run", place.store, point)
        found = list(check_noticed(point, log))
        found += check_tidy(point, place.store)
        return found + harness.verify(
            driver, place.store, point.mode, log, level_of(point))


def run(driver, scratch, options):
    result = Result("E", options)
    place, before = harness.template(driver, scratch)
    with place:
        for mode in options.modes or harness.MODES:
            points = points_of(driver, place.store, scratch, mode)
            result.judge_all(
                options.pick(harness.shuffled(points)),
                lambda p: judge(driver, before, place.store, scratch, p))
    yield result
