"""F: what each operation flushes, and in which order, in every mode.

One run is traced, and what it does to the disk is compared with flushes.txt.
The words there: data and record are flushes of the two files of an upload, dir
of the directory; head is a write of the record's head, name what makes a record
appear, its creation or a rename; cut, unlink; ack is an answer.

Of moves, in moves.txt: note is a flush of what says where, name makes it
appear; mkdir; copy is a flush of the copy, root one of a directory where
uploads go, go a rename to there.
"""

import os
import re

import harness
import move
from harness import Place, Result

CALL = re.compile(r'(\w+)\((.*?)\)\s+= (-?\d+)')
TRY = re.compile(r'"TRY (\w+) ([0-9a-f]{32})')
HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = os.path.join(HERE, "flushes.txt")
MOVES = os.path.join(HERE, "moves.txt")


def step_of(call, arguments, descriptors):
    if call in ("fdatasync", "fsync"):
        return descriptors[arguments]
    if call == "pwrite64" and arguments.endswith(
            ("219, 0", "236, 0")):
        return "head"
    return {"renameat": "name", "ftruncate": "cut", "renameat2": "go",
            "mkdirat": "mkdir", "unlinkat": "unlink"}.get(call)


def open_as(arguments):
    if arguments.startswith("AT_FDCWD"):
        return "dir"
    if "O_DIRECTORY" in arguments:
        return "root"
    for end, kind in ((".moved.new", "note"), (".tusfcgi", "copy")):
        if end + '"' in arguments:
            return kind
    return "record" if ".info" in arguments.split('"')[1] else "data"


def operations(lines):
    """[operation and upload, steps] in the order of the log."""
    found, descriptors = [], {}
    for line in lines:
        match = CALL.match(line)
        if not match:
            continue
        call, arguments, result = match.groups()
        if call == "openat":
            descriptors[result] = open_as(arguments)
            if '.info", O_RDWR|O_CREAT' in arguments:
                found[-1][1].append("name")
        elif call == "write" and '"TRY ' in arguments:
            word = TRY.search(arguments)
            found.append([f"{word[1]} {int(word[2], 16)}", []])
        elif call == "write" and '"ACK ' in arguments:
            found[-1][1].append("ack")
        elif found:
            step = step_of(call, arguments, descriptors)
            found[-1][1] += [step] if step else []
    return [[title, " ".join(steps)] for title, steps in found]


def expected(mode, file=EXPECTED):
    column = 1 + harness.MODES.index(mode)
    with open(file, encoding="utf-8") as f:
        for line in f:
            words = [word.strip() for word in line.split("|")]
            if not line.startswith("#"):
                yield words[0], words[column]


def judge(driver, template, scratch, mode):
    with Place(scratch, template) as place:
        _, lines = driver.trace("run", place.store, mode, raw=["-s", "80"])
    got, want = operations(lines), list(expected(mode))
    for (title, steps), (want_title, want_steps) in zip(got, want):
        if (title, steps) != (want_title, want_steps):
            yield f"{title}: {steps!r}, not {want_title}: {want_steps!r}"
    if len(got) != len(want):
        yield f"{len(got)} operations, not {len(want)}"


def run(driver, scratch, options):
    if options.wants("F"):
        yield flush_run(driver, scratch, options)
    yield from move.flushes(driver, scratch, options)


def flush_run(driver, scratch, options):
    result = Result("F", options)
    place, _ = harness.template(driver, scratch)
    with place:
        result.judge_all(
            options.modes or harness.MODES,
            lambda mode: list(judge(driver, place.store, scratch, mode)))
    return result
