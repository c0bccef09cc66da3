"""Moves, for the harnesses K, E, F and P: uploads that go elsewhere when they are
finished, on the file system of the store ("near") and to another one ("far").

At any moment the bytes of a finished upload are in the store, or in one file
in the other place, and what has a name there is whole.  Afterwards they are in
that place, once, under a name that nobody had.
"""

import os
import queue
import shutil
import tempfile

import check
import fail
import flush
import harness
import power
from harness import Place, Point, Result

SIGNAL = "signal=KILL"

# What somebody else has there under the name that all uploads want.
STRANGER, THEIRS = "world.txt", b"somebody else's"

# Not moved, because it is a part.
PART = "%032x" % 5
GONE = "%032x" % 18

# Kills within the repair of so many kills.
SAMPLE = 8


def far_base(scratch):
    """A folder on another file system than scratch; None if there is none."""
    for folder in ("/dev/shm", os.environ.get("TMPDIR", "/tmp"), "/var/tmp",
                   harness.__file__.rpartition("/")[0]):
        if os.access(folder, os.W_OK) and \
                os.stat(folder).st_dev != os.stat(scratch).st_dev:
            return folder
    return None


class MovePlace(Place):
    """A store and, beside it, the place where uploads go."""

    def __init__(self, base, far=None, copy_of=None):
        super().__init__(base, copy_of and copy_of.store)
        self.root = os.path.join(self.folder, "in")
        self.far = tempfile.mkdtemp(
            prefix="tus-crash-", dir=far) if far else None
        if far:
            os.symlink(self.far, self.root)
        else:
            os.mkdir(self.root)
        if copy_of:
            shutil.copytree(copy_of.root, self.root, dirs_exist_ok=True)
            self.translate(copy_of)
        else:
            with open(os.path.join(self.root, STRANGER), "wb") as f:
                f.write(THEIRS)

    def translate(self, origin):
        """The copy's inodes and paths in what is written down."""
        for name in os.listdir(self.store):
            if not name.endswith(".moved"):
                continue
            path = os.path.join(self.store, name)
            with open(path, encoding="utf-8") as f:
                lines = f.read().split("\n")
            if len(lines) < 4:
                continue
            inode, *times = lines[3].split()
            old = os.path.realpath(origin.root)
            for there, (_, number) in contents(old).items():
                if str(number) == inode:
                    inode = str(os.stat(os.path.join(
                        self.root, there)).st_ino)
            lines[1] = os.path.realpath(self.root)
            lines[3] = " ".join([inode, *times])
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(lines))

    def __exit__(self, *_):
        super().__exit__()
        if self.far:
            shutil.rmtree(self.far, ignore_errors=True)


def contents(root):
    """path -> (bytes, inode)"""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, root)] = (
                    f.read(), os.stat(path).st_ino)
    return found


def visible(root):
    return {path: content for path, (content, _) in contents(root).items()
            if not os.path.basename(path).startswith(".")}


def check_any_time(place, wants):
    """Before anybody repairs."""
    files = visible(os.path.realpath(place.root))
    if files.pop(STRANGER, None) != THEIRS:
        yield "the file of somebody else is gone"
    right = {}
    for want in wants.values():
        right[check.right_content(want, want.total)] = want.id
    count = {}
    for path, content in files.items():
        upload = right.get(content)
        if upload is None:
            yield f"{path}: is of no upload, or half of one"
        count[upload] = count.get(upload, 0) + 1
    for upload, n in count.items():
        if n > 1:
            yield f"{upload}: is there {n} times"
    for want in wants.values():
        data = os.path.join(place.store, want.id)
        if not want.finished or want.delete_tried or want.id in count:
            continue
        if not os.path.exists(data) or \
                os.path.getsize(data) != want.total:
            yield f"{want.id}: its bytes are nowhere"


def check_at_rest(place, wants, text):
    """After recover: moved, once, and nothing is left over."""
    root = os.path.realpath(place.root)
    places = check.read_places(text)
    states, _ = check.read_states(text)
    for upload, (_, _, _, finished) in states.items():
        if (upload in places) != (finished and upload != PART):
            yield f"{upload}: moved: {upload in places}"
    named = {os.path.relpath(path, root) for path in places.values()}
    if len(named) != len(places):
        yield "two uploads are in one place"
    # Who was deleted may have left its file.
    free = set(contents(root)) - named - {STRANGER}
    for path in free:
        with open(os.path.join(root, path), "rb") as f:
            if GONE not in wants or not wants[GONE].delete_tried or \
                    f.read() != check.right_bytes(18, wants[GONE].total):
                yield f"{path}: left over"
    for want in wants.values():
        if want.place and want.id in states and \
                places.get(want.id) != want.place:
            yield f"{want.id}: is not in {want.place}"


def verify(driver, place, mode, log, level, boot=harness.BOOT):
    wants = check.read_log(log)
    found = list(check.check_raw(place.store, level))
    found += check_any_time(place, wants)
    text = driver.run("recover", place.store, mode, boot)
    found += check_any_time(place, wants)
    found += check.check_states(place.store, wants, text, level)
    found += check_at_rest(place, wants, text)
    return found


def kinds(letter, scratch, options):
    """(name, folder for far moves or None)"""
    if options.wants(letter + "-near"):
        yield letter + "-near", None
    if not options.wants(letter + "-far"):
        return
    far = far_base(scratch)
    if far is None:
        print(f"{letter}-far: skipped: there is no other file system")
        return
    yield letter + "-far", far


def calls_of(driver, scratch, far, mode, calls, what="move", copy_of=None):
    with MovePlace(scratch, far, copy_of) as place:
        return driver.points(what, place.store, mode, calls)


def judge_kill(driver, scratch, far, point):
    with MovePlace(scratch, far) as place:
        log = driver.inject("move", place.store, point)
        return verify(driver, place, point.mode, log, check.KILL)


def judge_second_kill(driver, scratch, far, states, point):
    state, log = states[point.state]
    with MovePlace(scratch, far, state) as place:
        driver.inject("recover", place.store, point)
        wants = check.read_log(log)
        # The log names places in another copy.
        for want in wants.values():
            want.place = None
        found = list(check_any_time(place, wants))
        text = driver.run("recover", place.store, point.mode)
        return found + list(check_any_time(place, wants)) + list(
            check_at_rest(place, wants, text))


def second_kills(driver, scratch, far, options, mode):
    """A kill within the repair of a kill."""
    calls = calls_of(driver, scratch, far, mode, harness.CHANGING)
    states, points = [], []
    for call, when in options.sample(calls, SAMPLE):
        state = MovePlace(scratch, far)
        log = driver.inject(
            "move", state.store, Point(mode, call, when, SIGNAL))
        for call2, when2 in calls_of(driver, scratch, far, mode,
                                     harness.CHANGING, "recover", state):
            point = Point(mode, call2, when2, SIGNAL)
            point.state = len(states)
            points.append(point)
        states.append((state, log))
    return states, points


def kills(driver, scratch, options):
    for name, far in kinds("K", scratch, options):
        result = Result(name, options)
        for mode in options.modes or harness.MODES:
            points = [Point(mode, call, when, SIGNAL) for call, when in
                      calls_of(driver, scratch, far, mode, harness.CHANGING)]
            result.judge_all(
                options.pick(harness.shuffled(points)),
                lambda p, far=far: judge_kill(driver, scratch, far, p))
        yield result
        if options.kind is None:
            yield kill_again(driver, scratch, far, options, name + "-again")


def kill_again(driver, scratch, far, options, name):
    result = Result(name, options)
    for mode in options.modes or ("data",):
        states, points = second_kills(driver, scratch, far, options, mode)
        result.judge_all(
            options.pick(harness.shuffled(points)),
            lambda p, states=states: judge_second_kill(
                driver, scratch, far, states, p))
        for state, _ in states:
            state.__exit__()
    return result


def judge_failure(driver, scratch, far, point):
    with MovePlace(scratch, far) as place:
        log = driver.inject("move", place.store, point)
        found = list(fail.check_noticed(point, log, place.store))
        level = fail.level_of(point)
        wants = check.read_log(log)
        if not point.when.endswith("+") and point.call != "unlinkat":
            found += [f"{name}: left behind"
                      for name in os.listdir(place.store)
                      if name.endswith(".new")]
            found += [f"{path}: left behind"
                      for path in contents(os.path.realpath(place.root))
                      if os.path.basename(path).startswith(".")]
        if level == check.FINISHED:
            for want in wants.values():
                want.place = None
        return found + verify(driver, place, point.mode, log, level)


def failures(driver, scratch, options):
    for name, far in kinds("E", scratch, options):
        result = Result(name, options)
        for mode in options.modes or harness.MODES:
            calls = calls_of(
                driver, scratch, far, mode, tuple(fail.ERRORS))
            result.judge_all(
                options.pick(harness.shuffled(
                    fail.failures_of(calls, mode, "move"))),
                lambda p, far=far: judge_failure(driver, scratch, far, p))
        yield result


def judge_flushes(driver, scratch, name, far, mode):
    with MovePlace(scratch, far) as place:
        _, lines = driver.trace("move", place.store, mode, raw=["-s", "80"])
    for title, steps in flush.operations(lines):
        if title.startswith("move "):
            want = dict(flush.expected(mode, flush.MOVES))[
                f"{name} {title.split()[1]}"]
            if steps != want:
                yield f"{title}: {steps!r}, not {want!r}"


def flushes(driver, scratch, options):
    for name, far in kinds("F", scratch, options):
        result = Result(name, options)
        result.judge_all(
            options.modes or harness.MODES,
            lambda mode, name=name, far=far: list(judge_flushes(
                driver, scratch, name[2:], far, mode)))
        yield result


class PowerPlace:
    """A store on one image, and its root there, too, or on another one."""

    def __init__(self, images):
        self.images = images
        self.store = os.path.join(images[0].mnt, "store")
        self.root = os.path.join(images[0].mnt, "in")
        target = os.path.join(images[-1].mnt, "target")
        for folder in (self.store, target):
            shutil.rmtree(folder, ignore_errors=True)
            os.mkdir(folder)
        if os.path.islink(self.root):
            os.unlink(self.root)
        os.symlink(target, self.root)
        with open(os.path.join(target, STRANGER), "wb") as f:
            f.write(THEIRS)
        for image in images:
            image.sync()

    def lose_power(self):
        for image in self.images:
            image.lose_power()


def judge_power(driver, pairs, point):
    images = pairs.get()
    try:
        place = PowerPlace(images)
        log = driver.inject("move", place.store, point)
        place.lose_power()
        return verify(driver, place, point.mode, log,
                      power.LEVELS[point.mode], harness.NEXT_BOOT)
    finally:
        pairs.put(images)


def power_losses(driver, scratch, options, system):
    for name, count in (("P-near", 1), ("P-far", 2)):
        if not options.wants(name):
            continue
        result = Result(f"{name}-{system[0]}", options)
        pairs = queue.Queue()
        for _ in range(harness.WORKERS):
            pairs.put([power.Image(system, scratch) for _ in range(count)])
        far = far_base(scratch) if count == 2 else None
        for mode in options.modes or power.LEVELS:
            if mode not in power.LEVELS or (count == 2 and not far):
                continue
            calls = calls_of(driver, scratch, far, mode, harness.CHANGING)
            if not options.only:
                calls = calls[::max(1, system[3] // options.depth)]
            result.judge_all(
                options.pick(harness.shuffled(
                    Point(mode, call, when, SIGNAL) for call, when in calls)),
                lambda p, pairs=pairs: judge_power(driver, pairs, p))
        for _ in range(harness.WORKERS):
            for image in pairs.get():
                image.close()
        yield result
