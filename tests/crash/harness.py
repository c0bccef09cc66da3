"""What the harnesses share: a scratch place, the driver, the points."""

import concurrent.futures
import itertools
import os
import random
import shutil
import subprocess
import tempfile
import time

import check

# At most two: others work here, too.
WORKERS = min(2, os.cpu_count() or 1)

MODES = ("none", "data", "full")
# What K and E try: several hosts, one store.
ALL_MODES = (*MODES, "shared")
BOOT = "b0000000-0000-4000-8000-000000000001"
NEXT_BOOT = "b0000000-0000-4000-8000-000000000002"

# The calls that change something outside the process, the log included: being
# killed before any other call is being killed before the next of these.
CHANGING = ("openat", "pwrite64", "copy_file_range", "ftruncate", "fdatasync",
            "fsync", "renameat", "renameat2", "linkat", "mkdirat", "unlinkat",
            "write")
ALL_CALLS = CHANGING + ("sync_file_range", "flock", "fcntl", "newfstatat",
                        "fstat", "pread64", "close", "read", "getdents64")


class Point:
    """One place at which a run goes wrong."""

    def __init__(self, mode, call, when, inject):
        self.mode, self.call, self.when, self.inject = (
            mode, call, when, inject)
        # The call as it is where nothing goes wrong, if that matters.
        self.line = ""

    def __str__(self):
        return f"{self.mode}:{self.call}:{self.when}:{self.inject}"

    @staticmethod
    def parse(text):
        return Point(*text.split(":", 3))


class Place:
    """A folder for one point, gone when it was good."""

    def __init__(self, base, template=None):
        self.folder = tempfile.mkdtemp(dir=base)
        self.store = os.path.join(self.folder, "store")
        if template:
            shutil.copytree(template, self.store)
        else:
            os.mkdir(self.store)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)


class Driver:
    """Run store-drive, with strace where something is to go wrong."""

    def __init__(self, program):
        self.program = program

    def command(self, what, folder, mode):
        return [self.program, what, folder, mode]

    def run(self, what, folder, mode, boot=BOOT, strace=()):
        """The log, whatever became of the process."""
        done = subprocess.run(
            [*strace, *self.command(what, folder, mode)],
            env={**os.environ, "STORE_BOOT": boot}, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return done.stdout.decode("utf-8", "replace")

    def inject(self, what, folder, point, boot=BOOT):
        strace = ["strace", "-qq", "-o", "/dev/null", "-e",
                  "trace=" + point.call, "-e",
                  f"inject={point.call}:{point.inject}:when={point.when}"]
        return self.run(what, folder, point.mode, boot, strace)

    def trace(self, what, folder, mode, boot=BOOT, calls=ALL_CALLS, raw=()):
        """The log, and the calls from the first on the store, as text."""
        path = folder.rstrip("/") + ".trace"
        known = ",".join("?" + call for call in calls)
        log = self.run(what, folder, mode, boot, [
            "strace", "-qq", *raw, "-o", path, "-e", "trace=" + known])
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
        os.unlink(path)
        return log, lines

    def points(self, what, folder, mode, calls, boot=BOOT):
        """(call, n): the n-th of these calls that is the store's own."""
        return [point[:2] for point in self.points_with_paths(
            what, folder, mode, calls, boot, raw=())]

    def points_with_paths(self, what, folder, mode, calls, boot=BOOT,
                          raw=("-y",)):
        """(call, n, line): line is the call with the paths of its files."""
        _, lines = self.trace(what, folder, mode, boot, raw=raw)
        count, begun, points = {}, False, []
        for line in lines:
            call = line.split("(", 1)[0]
            count[call] = count.get(call, 0) + 1
            if begun and call in calls:
                points.append((call, count[call], line))
            begun = begun or '"BEGIN' in line
        return points


def have_strace():
    try:
        done = subprocess.run(
            ["strace", "-qq", "-o", "/dev/null", "true"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False)
    except FileNotFoundError:
        return "strace is not installed"
    return None if done.returncode == 0 else "no right to trace a process"


def template(driver, base, mode="data"):
    """A directory as it is before the workload, and the log of that."""
    place = Place(base)
    log = driver.run("prepare", place.store, mode)
    return place, log


def each_mode(driver, base, options):
    """(mode, template, log): what is shared begins so."""
    for mode in options.modes or ALL_MODES:
        place, log = template(
            driver, base, mode if mode == "shared" else "data")
        with place:
            yield mode, place, log


def run_modes(driver, base, options, name, what, points_of, judge):
    """A workload goes wrong at all of its points, in each mode."""
    result = Result(name, options)
    for mode, place, before in each_mode(driver, base, options):
        points = points_of(driver, place.store, base, mode, what)
        result.judge_all(
            options.pick(shuffled(points)),
            lambda p, place=place, before=before: judge(
                driver, before, place.store, base, p, what))
    return result


def verify(driver, folder, mode, log, level, boot=BOOT):
    """Repair for real, complete for real, check after each."""
    wants = check.read_log(log)
    found = list(check.check_raw(folder, level))
    text = driver.run("recover", folder, mode, boot)
    found += check.check_states(folder, wants, text, level)
    text = driver.run("resume", folder, mode, boot)
    found += check.check_resumed(folder, wants, text)
    return found


class Result:
    """Points judged, and what was found."""

    def __init__(self, name, options):
        self.name = name
        self.options = options
        self.points = 0
        self.violations = []
        self.out_of_time = False

    def is_over(self):
        return self.options.first_only and self.violations

    def __str__(self):
        return (f"{self.name}: {self.points} points, "
                f"{len(self.violations)} violations" +
                (", stopped when its time was over" if self.out_of_time
                 else ""))

    def judge_all(self, points, judge):
        """judge(point) gives a list of violations; two at a time.  Points may
        be made while others are judged, and no more than are needed."""
        points = iter(points)
        end = time.monotonic() + self.options.seconds
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            while not self.is_over():
                some = list(itertools.islice(points, 4 * WORKERS))
                if not some:
                    return
                if time.monotonic() > end:
                    self.out_of_time = True
                    return
                for point, found in pool.map(
                        lambda point: guarded(judge, point), some):
                    self.points += 1
                    if found:
                        self.violations.append((str(point), found))


def guarded(judge, point):
    try:
        return point, judge(point)
    except subprocess.TimeoutExpired:
        return point, ["it hangs"]


def shuffled(points):
    """Always in the same disorder: if time is short, the rest is a sample."""
    points = list(points)
    random.Random(0).shuffle(points)
    return points
