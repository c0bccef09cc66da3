"""What tusctl does for each of very many uploads, in numbers that no busy
machine changes.

A million of them is what an administrator fears, and every microsecond here is
a second there.  As in fcgi/test_cost.py, a ceiling is somewhat above what was
counted; "PYTHONPATH=. /usr/bin/python3 ctl/test_growth.py" prints the counts.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from lib.once import once
from lib.plain import build
from lib.tusctl import Tool
from lib.uploads import HEAD

pytestmark = pytest.mark.alone

N = 100

# For each upload: instructions, system calls; of an unfinished upload, which
# has a lock file, and of a finished one.
CEILINGS = {
    ("list", "unfinished"): (16_500, 6),
    ("list", "finished"): (16_500, 5),
    ("list --json", "finished"): (132_000, 5),
    ("check", "unfinished"): (9_400, 6),
    ("check", "finished"): (9_100, 5),
    # One more looks whether the lock file is one of ours.
    ("sweep", "unfinished"): (14_500, 7),
    ("sweep", "finished"): (12_200, 5),
    # And one looks for the entry of the ledger.
    ("sweep, quota", "finished"): (19_800, 6),
}
QUOTA = 'owner: { param = "REMOTE_USER"; }; quota: { uploads = 1000000; };'


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return once(tmp_path_factory, "plain-tusctl",
                lambda folder: str(build(folder, program="tusctl")))


def make(tool, kind, n):
    """Uploads as a server of now makes them."""
    for _ in range(n):
        whole = kind == "finished"
        id = tool.store.make(b"hello", size=5 if whole else 11, owner="anna",
                             metadata={"filename": "a picture.jpg"},
                             finished=int(time.time()) if whole else 0)
        info = tool.store.path / f"{id}.info"
        text = info.read_bytes()
        info.write_bytes(text[:HEAD] + b'"Pending":"    ",' + text[HEAD:])
        if not whole:
            tool.store.file(f"{id}.lock")


def run(tool, program, under, command):
    """On one processor: on more of them, each reads all names."""
    done = subprocess.run(
        [*under, program, "-c", tool.conf, *command.split(",")[0].split()],
        capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: os.sched_setaffinity(
            0, [min(os.sched_getaffinity(0))]))
    assert done.returncode == 0, done.stderr
    return done.stderr


def each(folder, program, command, kind, count):
    """The difference that one more upload makes: 10 before, N after."""
    tool = Tool(folder)
    if "quota" in command:
        tool.configure(QUOTA)
    make(tool, kind, 10)
    # The first sweep makes what all later ones find.
    run(tool, program, [], "sweep")
    before = count(tool, program, command)
    make(tool, kind, N)
    if "sweep" in command:
        run(tool, program, [], command)
    after = count(tool, program, command)
    return {what: (after[what] - before[what]) / N for what in after
            if after[what] != before[what]}


def instructions(tool, program, command):
    said = run(tool, program, [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"],
        command)
    return {"all": int(re.search(r"Collected : (\d+)", said)[1])}


def calls(tool, program, command):
    trace = tool.conf.with_name("trace")
    run(tool, program, ["strace", "-qq", "-o", trace], command)
    found = Counter(re.findall(r"^(\w+)\(", trace.read_text(), re.MULTILINE))
    # How many names one call returns is up to the file system, and what is
    # written and allocated at once to the libraries.
    for name in ("getdents64", "write", "brk", "mmap", "munmap"):
        del found[name]
    return found


@pytest.mark.parametrize("command, kind", CEILINGS)
def test_another_upload_costs_few_instructions(
        program, tmp_path, command, kind):
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind")
    found = each(tmp_path, program, command, kind, instructions)
    assert found["all"] <= CEILINGS[command, kind][0]


@pytest.mark.parametrize("command, kind", CEILINGS)
def test_another_upload_costs_few_system_calls(
        program, tmp_path, command, kind):
    """Its record is opened once, whatever is to be known of it."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    found = each(tmp_path, program, command, kind, calls)
    assert round(sum(found.values())) <= CEILINGS[command, kind][1], found


def main():
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder), program="tusctl")
        for n, (command, kind) in enumerate(CEILINGS):
            places = [Path(folder) / f"{n}{what}" for what in "ab"]
            for place in places:
                place.mkdir()
            found = each(places[0], program, command, kind, calls)
            count = each(places[1], program, command, kind, instructions)
            print(f"{command}, {kind}; {count['all']:,.0f}; " +
                  ", ".join(f"{n:.3g} {name}"
                            for name, n in sorted(found.items())), flush=True)


if __name__ == "__main__":
    main()
