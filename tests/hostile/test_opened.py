"""Which files a request opens, as the kernel sees it.

The program runs under strace.  What it does after its first accept() is done
for requests, and may concern only files of uploads in the store, each named
relative to the store's directory.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lib import rig, uploads

TESTS = Path(__file__).parents[1]
CALLS = "%file,%desc,accept,accept4"
LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)")
# The name of an upload's file, as any call of ours gives it.
OURS = re.compile(r"[A-Za-z0-9_-]{1,64}(\.info|\.lock|\.moved|\.info\.new)?")
# dirfd<directory>, "name", twice for a rename.
PLACE = re.compile(r'\d+<([^>]*)>(?:\(deleted\))?, "((?:[^"\\]|\\.)*)"')
WRITES = {"pwrite64", "ftruncate", "fallocate", "renameat", "renameat2",
          "unlinkat", "mkdirat", "copy_file_range", "fchmod"}
# What the C library and OpenSSL read when they are first used.
LIBRARIES = ("/etc/localtime", "/etc/ssl/openssl.cnf", "/usr/lib/ssl/",
             "/dev/urandom", "/proc/self/", "/proc/sys/")


def strace_works():
    return rig.have("strace") and subprocess.run(
        ["strace", "-qq", "-D", "-o", "/dev/null", "true"],
        capture_output=True, check=False).returncode == 0


if not strace_works():
    pytest.skip("strace may not trace here", allow_module_level=True)


@pytest.fixture
def traced(tmp_path):
    """A program that is tusfcgi, and the folder where its traces appear.
    strace is not its parent: signals and the end of it are as ever."""
    traces = tmp_path / "traces"
    traces.mkdir()
    program = tmp_path / "tusfcgi"
    program.write_text(
        "#!/bin/sh\nexport ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0\n"
        f"exec strace -D -f -qq -y -s 300 -o {shlex.quote(str(traces))}/$$ "
        f"-e trace={CALLS} -e signal=none "
        f"{shlex.quote(rig.program())} \"$@\"\n")
    program.chmod(0o755)
    return program, traces


def read_calls(traces):
    """{process: [(call, arguments, result)]} from its first accept on."""
    found = {}
    for trace in traces.iterdir():
        for line in trace.read_text(errors="replace").splitlines():
            match = LINE.match(line)
            if not match:
                continue
            pid, call, arguments, result = match.groups()
            key = trace.name, pid
            if call.startswith("accept"):
                found.setdefault(key, [])
            if key in found:
                found[key].append((call, arguments, result))
    return found


def is_about_files(call, arguments):
    """Does it take a name?  What only has a descriptor opened it before."""
    return '"' in arguments and ', "", ' not in arguments and call not in (
        "read", "write", "pread64", "pwrite64", "recvfrom", "sendto", "writev",
        "getdents64", "accept", "accept4", "readv")


def what_is_wrong(call, arguments, stores):
    if any(f'"{place}' in arguments for place in LIBRARIES) and (
            "O_RDONLY" in arguments or call in (
                "newfstatat", "stat", "access", "readlink")):
        return None
    # Once a second the pool looks whether its path still leads to the store.
    if call == "newfstatat" and any(
            store.fullmatch(path) for store in stores
            for path in re.findall(r'^AT_FDCWD<[^>]*>, "([^"]*)", ',
                                   arguments)):
        return None
    places = PLACE.findall(arguments)
    if not places:
        return "no directory"
    for folder, name in places:
        if name == "":
            continue
        if not any(store.fullmatch(folder) for store in stores):
            return f"in {folder}"
        if not OURS.fullmatch(name):
            return f"name {name}"
    if call == "openat" and "O_NOFOLLOW" not in arguments:
        return "would follow"
    if call == "newfstatat" and places[0][1] and \
            "AT_SYMLINK_NOFOLLOW" not in arguments:
        return "would follow"
    return None


def strays(calls, stores):
    """What was done that may not be; how many calls were looked at."""
    wrong, n = [], 0
    for one in calls.values():
        for call, arguments, _ in one:
            if is_about_files(call, arguments):
                n += 1
                why = what_is_wrong(call, arguments, stores)
                if why:
                    wrong.append(f"{why}: {call}({arguments})")
    return wrong, n


def test_no_bad_input_opens_anything_but_uploads(traced, tmp_path):
    """INV-21: all of the bad inputs and all strange ids"""
    program, traces = traced
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "--basetemp", str(tmp_path / "suite"), "protocol/test_bad_input.py",
         "protocol/test_security.py", "protocol/test_concat.py", "-k",
         "not thousand"], cwd=TESTS, capture_output=True, text=True,
        env={**os.environ, "TUSFCGI": str(program),
             "TUS_TRANSPORTS": "fastcgi"}, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:]
    stores = [re.compile(re.escape(str(tmp_path / "suite")) +
                         r"/.*/uploads")]
    wrong, n = strays(read_calls(traces), stores)
    rows = re.search(r"bad inputs: (\d+)", done.stdout)
    assert not wrong, f"{len(wrong)} of {n}: " + "\n".join(wrong[:10])
    assert n > 2000
    print(f"opened: {n} calls with a name for {rows.group(1)} bad inputs, "
          "none outside the store")


@pytest.fixture
def alone(traced, app, monkeypatch):
    """One process; calls_of(request...) -> its calls for this request."""
    program, traces = traced
    monkeypatch.setenv("TUSFCGI", str(program))
    one = app(args=["-w", "1"])

    def requests():
        """The calls of each connection so far."""
        found = [[]]
        for calls in read_calls(traces).values():
            for call in calls:
                if call[0].startswith("accept") and call[2] != "-1":
                    found.append([])
                found[-1].append(call)
        return found

    def calls_of(*args, **options):
        mark = len(requests())
        answer = one.client.request(*args, **options)
        # The next connection is the end of this one's calls.
        one.client.request("OPTIONS", "/files")
        found = rig.wait_for(
            lambda: len(requests()) >= mark + 2 and requests(), "the trace")
        return answer, found[mark]

    yield one, calls_of


def changes(calls):
    return [f"{call}({arguments})" for call, arguments, _ in calls
            if call in WRITES or
            call == "openat" and re.search("O_CREAT|O_TRUNC", arguments)]


def locks(calls):
    return [f"{call}({arguments})" for call, arguments, _ in calls
            if call == "flock" or ".lock" in arguments and "O_CREAT" in
            arguments or call == "fcntl" and "OFD" in arguments]


@pytest.mark.parametrize("state", ["new", "half", "finished", "unknown"])
def test_reading_changes_nothing(alone, state):
    """INV-30, INV-37"""
    one, calls_of = alone
    path = one.client.create(10)
    if state != "new":
        size = 10 if state == "finished" else 4
        assert one.client.patch(path, 0, b"0123456789"[:size]).status == 204
    if state == "unknown":
        path = "/files/" + "0" * 32
    name = path.rsplit("/", 1)[1]
    lock = one.uploads / (name + ".lock")
    had_lock = lock.exists()
    for method in ("GET", "OPTIONS", "HEAD"):
        answer, calls = calls_of(method, path)
        assert answer.status in (200, 204, 404)
        assert any(call.startswith("accept") for call, _, _ in calls)
        assert changes(calls) == []
        # An unfinished upload may be at work: HEAD asks for it.
        if method != "HEAD" or not had_lock:
            assert locks(calls) == []
        if method == "OPTIONS":
            assert not [c for c in calls if is_about_files(*c[:2])]
        elif state != "unknown":
            assert [c for c in calls if name in c[1]]
    assert lock.exists() == had_lock
    assert not (state == "finished" and had_lock)


def test_what_does_change_is_seen(alone):
    """Or the test above could not fail.  A PATCH that goes on leaves a lock
    file, and the last one removes it."""
    one, calls_of = alone
    path = one.client.create(20)
    for offset, call in ((0, "O_CREAT"), (10, "unlinkat(")):
        answer, calls = calls_of(
            "PATCH", path, one.client.patch_headers(offset), b"0123456789")
        assert answer.status == 204
        seen = "\n".join(changes(calls))
        assert "pwrite64(" in seen and call in seen
        assert locks(calls)


@pytest.mark.parametrize("at_work", [False, True])
def test_what_a_finisher_may_still_be_flushing_is_flushed_first(
        alone, at_work):
    """INV-01: HEAD believes a finish that is not confirmed when the record is
    on the disk, and asks for no lock."""
    one, calls_of = alone
    path = one.client.create(10)
    assert one.client.patch(path, 0, b"0123456789").status == 204
    name = path.rsplit("/", 1)[1]
    assert uploads.pending(one.uploads, name) == ""
    if at_work:
        uploads.set_pending(one.uploads, name, "c")
    answer, calls = calls_of("HEAD", path)
    assert answer.headers["upload-offset"] == "10"
    steps = []
    for call, arguments, _ in calls:
        if f"{name}.lock" in arguments:
            steps.append("lock")
        elif call == "openat" and f"{name}.info" in arguments:
            steps.append("record")
        elif call == "fdatasync" and f"{name}.info" in arguments:
            steps.append("flush")
        elif call in ("write", "sendto") and "socket" in arguments:
            steps.append("answer")
    steps = [step for i, step in enumerate(steps) if steps[:i][-1:] != [step]]
    assert steps == ["record", *(["flush"] if at_work else []), "answer"]
