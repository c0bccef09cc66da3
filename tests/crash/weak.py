"""A: power loss on a file system weaker than any real one.

One run is traced and its changes are replayed in memory.  At every point of
the run, whatever was not flushed may be on disk or not: every page of a file
is at any of its versions since the last flush, its size at any of its own,
and directory operations persist in any subset.  The only thing that is never
torn is a page.  States are built, repaired, completed and checked.

Then again from some of these states (a second crash), and with one failing
flush, after which the kernel believes that the pages are clean; with two in a
row; and with one, and the next write or cut failing, too.
"""

import itertools
import os
import random
import re

import check
import harness
from harness import Place, Result

PAGE = 4096
ZERO = bytes(PAGE)
LEVELS = {"data": check.FINISHED, "full": check.FULL}
THIRD_BOOT = "b0000000-0000-4000-8000-000000000003"

# At more choices than this a state is no longer one of all, but a sample.
ALL_BELOW = 24
SAMPLES = 4

ROUNDS = 5

# How many calls after a failure are looked at.
AFTER_FAILURE = 40

# What fails beside one flush.
FAILING = {"A-eio": None, "A-eio-twice": "fdatasync",
           "A-eio-unmarked": "pwrite64", "A-eio-uncut": "ftruncate"}

# The upload that somebody else shortens.
CUT = "%032x" % 10

CHANGES = ("openat", "pwrite64", "copy_file_range", "ftruncate", "fdatasync",
           "fsync", "renameat", "renameat2", "unlinkat")

CALL = re.compile(r'(\w+)\((.*)\)\s+= (-?\d+)')
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def unhex(text):
    return bytes.fromhex(text.replace("\\x", ""))


class Inode:
    """A file: what it is, and what may be on disk of it."""

    def __init__(self, content=b""):
        self.now = bytearray(content)
        self.sizes = [len(content)]
        self.pages = {n: [self.page(n)]
                      for n in range((len(content) + PAGE - 1) // PAGE)}
        self.stuck = {}

    def page(self, n):
        page = bytes(self.now[n * PAGE:(n + 1) * PAGE])
        return page + ZERO[len(page):]

    def touch(self, first, last):
        for n in range(first // PAGE, (last + PAGE - 1) // PAGE):
            versions = self.pages.setdefault(n, [ZERO])
            page = self.page(n)
            # A page that is written anew with what it held is dirty, too.
            versions.append(page)
        if self.sizes[-1] != len(self.now):
            self.sizes.append(len(self.now))

    def write(self, at, data):
        if len(self.now) < at:
            self.now.extend(bytes(at - len(self.now)))
        self.now[at:at + len(data)] = data
        self.touch(at, at + len(data))

    def truncate(self, size):
        old = len(self.now)
        del self.now[size:]
        self.now.extend(bytes(size - len(self.now)))
        self.touch(min(size, old), max(size, old))

    def flush(self):
        for n, versions in self.pages.items():
            if len(versions) > self.stuck.get(n, 0):
                del versions[:-1]
                self.stuck.pop(n, None)
        del self.sizes[:-1]

    def fail_to_flush(self):
        """The kernel tried once and will not try again by itself."""
        for n, versions in self.pages.items():
            if len(versions) > 1:
                self.stuck[n] = len(versions)

    def doubt(self):
        """It turns out that no page was ever flushed."""
        for versions in self.pages.values():
            versions.insert(0, ZERO)

    def choices(self):
        """The alternatives of each thing that may be on disk or not."""
        if len(self.sizes) > 1:
            yield "size", len(self.sizes)
        for n, versions in self.pages.items():
            if len(versions) > 1:
                yield n, len(versions)

    def content(self, chosen):
        size = self.sizes[chosen.get("size", -1 if len(
            self.sizes) == 1 else 0)]
        parts = []
        for n in range((size + PAGE - 1) // PAGE):
            versions = self.pages.get(n, [ZERO])
            parts.append(versions[chosen.get(n, 0)])
        return b"".join(parts)[:size]


def read_folder(folder):
    content = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as f:
            content[name] = f.read()
    return content


class Disk:
    """A directory of files, fed with the calls of a traced run."""

    def __init__(self, folder, base=None):
        self.inodes = []
        self.names = {}
        self.pending = []
        self.descriptors = {}
        self.folder = folder
        for name, content in (base or read_folder(folder)).items():
            self.names[name] = self.add(content)
        self.now = dict(self.names)
        # Nobody has flushed these: whoever adopts such an upload has to.
        self.never_flushed = {
            self.names[name] for name in (check.FOREIGN, check.UNSAFE)
            if name in self.names}

    def add(self, content=b""):
        self.inodes.append(Inode(content))
        return len(self.inodes) - 1

    def file(self, argument):
        where = self.descriptors.get(int(argument.split(",")[0]))
        return self.inodes[where] if isinstance(where, int) else None

    def feed(self, call, arguments, result):
        """Replay one call; True if it changed what may be on disk."""
        method = getattr(self, "do_" + call, None)
        if method is None:
            return False
        return bool(method(arguments, int(result)))

    def do_openat(self, arguments, result):
        if result < 0:
            return False
        strings = STRING.findall(arguments)
        name = unhex(strings[0]).decode() if strings else ""
        self.descriptors.pop(result, None)
        if arguments.startswith("AT_FDCWD"):
            if name == self.folder:
                self.descriptors[result] = "dir"
            return False
        if name == ".":
            return False
        made = name not in self.now
        if made:
            self.now[name] = self.add()
            self.pending.append(("link", name, self.now[name]))
        self.descriptors[result] = self.now[name]
        return made

    def do_close(self, arguments, _):
        self.descriptors.pop(int(arguments), None)

    def do_pwrite64(self, arguments, result):
        inode = self.file(arguments)
        if inode is None or result < 0:
            return False
        data = unhex(STRING.findall(arguments)[0])[:result]
        if len(data) in check.HEAD_SIZES and not data[181:182] == b"-":
            self.doubt_adopted(self.descriptors[int(arguments.split(",")[0])])
        inode.write(int(arguments.rsplit(",", 1)[1]), data)
        return True

    def do_copy_file_range(self, arguments, result):
        words = [word.strip() for word in arguments.split(",")]
        source, target = self.file(words[0]), self.file(words[2])
        if result <= 0:
            return False
        at = int(words[1].strip("[]").split()[0])
        data = bytes(source.now[at:at + result])
        target.write(int(words[3].strip("[]").split()[0]), data)
        return True

    def do_ftruncate(self, arguments, result):
        if result < 0:
            return False
        self.file(arguments).truncate(int(arguments.split(",")[1]))
        return True

    def doubt_adopted(self, record):
        """A record vouches for bytes from now on: were they flushed?"""
        for name in (check.FOREIGN, check.UNSAFE):
            if self.now.get(name + ".info") == record:
                self.doubt(self.now[name])

    def doubt(self, where):
        if where in self.never_flushed:
            self.never_flushed.remove(where)
            self.inodes[where].doubt()

    def do_fdatasync(self, arguments, result):
        inode = self.file(arguments)
        if result < 0:
            self.doubt(self.descriptors[int(arguments)])
            inode.fail_to_flush()
            return True
        inode.flush()
        self.never_flushed.discard(self.descriptors[int(arguments)])
        return True

    def do_fsync(self, arguments, result):
        if self.descriptors.get(int(arguments)) == "dir" and result == 0:
            for operation in self.pending:
                apply(self.names, operation)
            self.pending = []
        return True

    def do_renameat(self, arguments, result):
        if result < 0:
            return False
        old, new = [unhex(s).decode() for s in STRING.findall(arguments)]
        inode = self.now.pop(old)
        self.now[new] = inode
        if new == check.FOREIGN + ".info":
            self.doubt_adopted(inode)
        self.pending.append(("rename", old, new, inode))
        return True

    do_renameat2 = do_renameat

    def do_unlinkat(self, arguments, result):
        if result < 0:
            return False
        name = unhex(STRING.findall(arguments)[0]).decode()
        del self.now[name]
        self.pending.append(("unlink", name))
        return True

    def choices(self):
        """(what, number of alternatives), 0 is what was flushed.  What a
        failed flush left undecided comes last, for select() to see."""
        units = [(("dir", i), 2) for i in range(len(self.pending))]
        reachable = set(self.names.values()) | {
            operation[-1] for operation in self.pending
            if operation[0] != "unlink"}
        for i in sorted(reachable, key=lambda i: (bool(
                self.inodes[i].stuck), i)):
            units += [((i, what), n) for what, n in self.inodes[i].choices()]
        return units

    def state(self, chosen):
        """name -> content, for one set of choices."""
        names = dict(self.names)
        for i, operation in enumerate(self.pending):
            if chosen.get(("dir", i), 0):
                apply(names, operation)
        per_inode = {}
        for (where, what), version in chosen.items():
            if where != "dir":
                per_inode.setdefault(where, {})[what] = version
        files = {name: self.inodes[i].content(per_inode.get(i, {}))
                 for name, i in names.items()}
        for name in (check.FOREIGN, check.UNSAFE):
            if name in names and not vouches(files.get(name + ".info", b"")):
                files[name] = bytes(self.inodes[names[name]].now)
        return files


def vouches(record):
    """Does it say how much was flushed?  Else there is nothing to judge."""
    match = check.HEAD.match(record)
    return match is not None and not check.Head(match).boot.startswith("--")


def apply(names, operation):
    if operation[0] == "link":
        names[operation[1]] = operation[2]
    elif operation[0] == "rename":
        names.pop(operation[1], None)
        names[operation[2]] = operation[3]
    else:
        names.pop(operation[1], None)


def select(units, seed, samples):
    """Sets of choices: all of them if they are few."""
    count = 1
    for _, n in units:
        count *= n
    newest = {unit: n - 1 for unit, n in units}
    if count <= ALL_BELOW:
        for number in range(count):
            chosen = {}
            for unit, n in units:
                chosen[unit] = number % n
                number //= n
            yield chosen
        return
    dice = random.Random(seed)
    yield {}
    yield newest
    # What happened last is what somebody may have relied upon.
    recent = units[-samples:] + dice.sample(units, min(samples, len(units)))
    for unit, n in recent:
        yield {unit: n - 1}
        for version in range(n - 1)[-4:]:
            yield {**newest, unit: version}
    for _ in range(samples):
        yield {unit: dice.randrange(n) for unit, n in units}


class State:
    """A directory that a power loss may leave, and what was promised."""

    def __init__(self, name, mode, files, log):
        self.name, self.mode, self.files, self.log = name, mode, files, log

    def __str__(self):
        return f"{self.mode}:{self.name}"

    def write(self, folder):
        for name, content in self.files.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(content)


def said_next(lines, number):
    """The lines of the log up to the next change of the disk: a crash in between
    must keep what they acknowledge."""
    text = ""
    for line in lines[number + 1:]:
        match = CALL.match(line)
        if match and match.group(1) == "write":
            if match.group(2).startswith("1,"):
                text += unhex(STRING.findall(line)[0]).decode()
        elif match and match.group(1) in CHANGES:
            break
    return text


def states_of(name, mode, folder, before, lines, samples, window=None):
    """Replay a trace; every state that may be left at every point of it, or
    of a window.  In several rounds, so that what is left when time is over is
    a sample."""
    base = read_folder(folder)
    for part in range(ROUNDS):
        wanted = [number for number in window or range(len(lines))
                  if number % ROUNDS == part]
        yield from round_of(
            wanted, name, mode, base, folder, before, lines, samples)


def round_of(wanted, name, mode, base, folder, before, lines, samples):
    disk, log, begun, seen = Disk(folder, base), before, False, set()
    if name.startswith(("again", "cut")):
        # A crash is over: the files that are there are on disk.
        disk.never_flushed.clear()
    wanted = set(wanted)
    for number, line in enumerate(lines):
        match = CALL.match(line)
        if not match:
            continue
        call, arguments, result = match.groups()
        if call == "write":
            if arguments.startswith("1,"):
                text = unhex(STRING.findall(arguments)[0]).decode()
                log += text
                begun = begun or text.startswith("BEGIN")
            continue
        if (not disk.feed(call, arguments, result) or not begun or
                number not in wanted):
            continue
        said = log + said_next(lines, number)
        for i, chosen in enumerate(select(
                disk.choices(), f"{mode}{name}{number}", samples)):
            files = disk.state(chosen)
            key = hash((said, frozenset(files.items())))
            if key not in seen:
                seen.add(key)
                yield State(f"{name}:{number}:{i}", mode, files, said)


def trace(driver, what, folder, mode, boot, inject=()):
    return driver.trace(what, folder, mode, boot, harness.ALL_CALLS,
                        ["-xx", "-s", "65536", *inject])[1]


def level_of(state):
    """A watermark above the size is what a cut file is about."""
    if state.name.startswith("cut"):
        return check.CUT
    if state.name.startswith("eio") and state.mode == "full":
        return check.FAILED
    return LEVELS[state.mode]


def judge(driver, scratch, state, boot):
    with Place(scratch) as place:
        state.write(place.store)
        return harness.verify(driver, place.store, state.mode, state.log,
                              level_of(state), boot)


def first_crash(driver, scratch, options, template, before, mode):
    with Place(scratch, template) as place:
        lines = trace(driver, "run", place.store, mode, harness.BOOT)
        folder = place.store
    return states_of(
        "run", mode, template, before, relocate(lines, folder, template),
        options.samples(SAMPLES))


def relocate(lines, traced, folder):
    """The run was traced in a copy of the folder."""
    old = "".join("\\x%02x" % c for c in traced.encode())
    new = "".join("\\x%02x" % c for c in folder.encode())
    return [line.replace(old, new) for line in lines]


def second_crash(driver, scratch, options, states, mode):
    """Repair and complete after a first crash, and crash once more."""
    for state in options.sample(list(states), options.samples(5)):
        with Place(scratch) as place, Place(scratch) as copy:
            state.write(place.store)
            state.write(copy.store)
            lines = trace(driver, "resume", copy.store, mode,
                          harness.NEXT_BOOT)
            yield from states_of(
                "again-" + state.name.replace(":", "-"), mode, place.store,
                state.log, relocate(lines, copy.store, place.store),
                options.samples(2))


def failing_flush(driver, scratch, options, template, before, mode, then=None):
    """One flush fails, and the next one says that all is well, unless then is
    fdatasync; the first call of that name after it fails as well.  What
    follows it at once is of interest."""
    with Place(scratch, template) as place:
        calls = driver.points("run", place.store, mode, ("fdatasync", then))
    return in_turns([
        after_failure(driver, scratch, options, template, before, mode, inject)
        for inject in harness.shuffled(failures(calls, then))])


def failures(calls, then):
    """What strace is to inject, once for each flush."""
    for n, (call, when) in enumerate(calls):
        if call != "fdatasync":
            continue
        if then == call:
            yield [f"inject=fdatasync:error=EIO:when={when}..{when + 1}"]
            continue
        inject = [f"inject=fdatasync:error=EIO:when={when}"]
        after = next((w for c, w in calls[n:] if c == then), None)
        if after is not None:
            inject.append(f"inject={then}:error=EIO:when={after}")
        if then is None or after is not None:
            yield inject


def after_failure(driver, scratch, options, template, before, mode, inject):
    with Place(scratch, template) as place:
        lines = trace(driver, "run", place.store, mode, harness.BOOT, [
            word for one in inject for word in ("-e", one)])
        folder = place.store
    at = next((n for n, line in enumerate(lines) if "INJECTED" in line), 0)
    name = "eio-" + "-".join(one.rpartition("=")[2] for one in inject)
    yield from states_of(
        name, mode, template, before,
        relocate(lines, folder, template), options.samples(1),
        range(at, min(at + AFTER_FAILURE * options.depth, len(lines))))


def in_turns(sources, at_once=8):
    """Some from each, then more: no source waits until time is over."""
    while sources:
        for source in list(sources):
            some = list(itertools.islice(source, at_once))
            if not some:
                sources.remove(source)
            yield from some


def cut_from_outside(driver, scratch, options, template, before, mode):
    """Somebody shortened a file below its watermark; then it is repaired,
    completed, and power fails."""
    with Place(scratch, template) as place, Place(scratch) as copy:
        log = before + driver.run("run", place.store, mode)
        path = os.path.join(place.store, CUT)
        os.truncate(path, os.path.getsize(path) // 6)
        State("", mode, read_folder(place.store), "").write(copy.store)
        lines = trace(driver, "resume", copy.store, mode, harness.NEXT_BOOT)
        tried = [line for line in log.splitlines()
                 if line.startswith(("TRY create", "TRY hide", "TRY concat",
                                     "TRY patch"))]
        yield from states_of(
            "cut", mode, place.store, "\n".join([*tried, ""]),
            relocate(lines, copy.store, place.store), options.samples(SAMPLES))


def states_to_check(kind, driver, scratch, options, template, before, mode):
    if kind in FAILING:
        return failing_flush(driver, scratch, options, template, before, mode,
                             FAILING[kind])
    if kind == "A-cut":
        return cut_from_outside(
            driver, scratch, options, template, before, mode)
    first = first_crash(driver, scratch, options, template, before, mode)
    if kind == "A":
        return first
    return second_crash(driver, scratch, options, first, mode)


def run(driver, scratch, options):
    place, before = harness.template(driver, scratch)
    boots = {"A": harness.NEXT_BOOT, "A-second": THIRD_BOOT,
             "A-cut": THIRD_BOOT, **dict.fromkeys(FAILING, harness.NEXT_BOOT)}
    with place:
        for kind, boot in boots.items():
            if not options.wants(kind):
                continue
            result = Result(kind, options)
            for mode in options.modes or LEVELS:
                if mode not in LEVELS:
                    continue
                states = states_to_check(kind, driver, scratch, options,
                                         place.store, before, mode)
                result.judge_all(
                    options.pick(states, 24),
                    lambda s, boot=boot: judge(driver, scratch, s, boot))
            yield result
