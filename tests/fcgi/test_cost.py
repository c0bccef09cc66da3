"""What a request costs, in numbers that no busy machine changes.

Instructions are counted by valgrind, in a program of its own without
sanitizers; system calls by strace.  A ceiling is somewhat above what was
counted: whoever runs into one has made each request slower, or has a reason to
raise it.  In tests/, "PYTHONPATH=. /usr/bin/python3 fcgi/test_cost.py" prints
the counts: request; instructions; system calls; which.
"""

import platform
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from lib import fastcgi, proc, rig
from lib.app import App
from lib.plain import build, plain  # noqa: F401

pytestmark = pytest.mark.alone

BODY = b"x" * 1024
LARGE = b"x" * (1 << 20)
N = 40

# Per request: instructions, system calls.
CEILINGS = {
    "OPTIONS": (48_000, 11),
    "HEAD, finished": (36_000, 16),
    "HEAD, locked before": (39_000, 27),
    # 8,500 of the instructions are libuuid's, for one id: it seeds random() each
    # time, and draws from it 0 to 31 times more, as the clock has it.  Five of
    # the system calls are its own, too.
    "POST": (51_000, 24),
    "POST with 1 KiB": (53_000, 25),
    "POST with 1 KiB in two": (54_000, 25),
    # Two of them compare record and lock with their names: a file may have
    # several, so that its number of links says nothing.
    "PATCH of 1 KiB": (42_000, 29),
    # The mean of two requests.  The PATCH needs no lock file, since it ends
    # the upload with what is here.
    "POST and PATCH of 1 KiB": (47_000, 25),
    # How much of the body is here at a time is up to chance.
    "PATCH of 1 MiB": (600_000, 80),
}

# KiB of a worker that it does not share with the others.
OWN_MEMORY = {"idle": 75, "receiving": 116}

# All of this was counted with the libraries of Debian 12; another libc has
# other pages and calls.  Memory comes in pages of 4 KiB: 108 to 112 were seen.
SLACK = 1 if platform.libc_ver() == ("glibc", "2.36") else 1.25


class Measured(App):
    """Serves so many requests below a tool that counts, then leaves."""

    def __init__(self, folder, program, tool=(), requests=0, workers=1,
                 more=None):
        super().__init__(folder, config={
            "pool": {"max_requests": requests}, "log": {"level": "info"},
            "store": {"durability": "none"}, **(more or {})})
        self.client.patience = 120
        self.app = rig.spawn(
            [*map(str, tool), str(program), "-c", str(self.config_path),
             "-w", str(workers)], self.log_path, cwd=self.dir)
        rig.wait_for(lambda: "listening on" in self.log(), "tusfcgi")

    def finish(self):
        assert self.app.wait(120) == 0, self.log()


# --- Requests: so many of a kind, and what they need. ---

def options(one, n):
    for _ in range(n):
        assert one.client.request("OPTIONS", "/files").status == 200


def head(one, path, n):
    for _ in range(n):
        assert one.client.head(path).status == 200


def head_finished(one, n):
    path = one.client.create(len(BODY))
    assert one.client.patch(path, 0, BODY).status == 204
    head(one, path, n)


def head_locked(one, n):
    path = one.client.create(1 << 20)
    assert one.client.patch(path, 0, BODY).status == 204
    head(one, path, n)


def post(one, n):
    for _ in range(n):
        one.client.create(1 << 20)


def post_with(one, n):
    headers = {"Upload-Length": str(len(BODY)),
               "Content-Type": "application/offset+octet-stream"}
    for _ in range(n):
        assert one.client.request(
            "POST", "/files", headers, BODY).status == 201


def post_in_two(one, n):
    """As nginx sends what came together with the header, and then the rest."""
    headers = {"Upload-Length": str(len(BODY)),
               "Content-Type": "application/offset+octet-stream"}
    for _ in range(n):
        assert one.client.raw(
            fastcgi.begin() + fastcgi.params(fastcgi.variables(
                "POST", "/files", headers, len(BODY))) +
            fastcgi.stdin(BODY, 800) + fastcgi.record(fastcgi.STDIN),
            end=False).status == 201


def patch(one, n, body):
    path = one.client.create(1 << 30)
    assert one.client.patch(path, 0, BODY).status == 204
    for i in range(n):
        assert one.client.patch(
            path, len(BODY) + i * len(body), body).status == 204


def whole(one, n):
    """So many uploads, each in two requests."""
    for _ in range(n // 2):
        path = one.client.create(len(BODY))
        assert one.client.patch(path, 0, BODY).status == 204


# With the number of requests that are made to begin with.
REQUESTS = {
    "OPTIONS": (options, 0),
    "HEAD, finished": (head_finished, 2),
    "HEAD, locked before": (head_locked, 2),
    "POST": (post, 0),
    "POST with 1 KiB": (post_with, 0),
    "POST with 1 KiB in two": (post_in_two, 0),
    "PATCH of 1 KiB": (lambda one, n: patch(one, n, BODY), 2),
    "POST and PATCH of 1 KiB": (whole, 0),
    "PATCH of 1 MiB": (lambda one, n: patch(one, n, LARGE), 2),
}


def run(folder, program, tool, kind, n, more=None):
    work, before = REQUESTS[kind]
    one = Measured(folder, program, tool, n + before, more=more)
    try:
        work(one, n)
        one.finish()
        return one.log()
    finally:
        one.stop()


def instructions(folder, program, kind, more=None):
    """What N more requests of a kind cost, each; more: of the configuration."""
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    count = [int(re.search(r"Collected : (\d+)", run(
        folder, program, tool, kind, n, more))[1]) for n in (N, 2 * N)]
    return (count[1] - count[0]) / N


def calls(folder, program, kind):
    """The system calls of N more requests of a kind, each: a Counter."""
    count = []
    for n in (N, 2 * N):
        trace = folder / "trace"
        run(folder, program, ["strace", "-o", trace], kind, n)
        count.append(Counter(
            re.findall(r"^(\w+)\(", trace.read_text(), re.MULTILINE)))
    return {name: (count[1][name] - count[0][name]) / N
            for name in count[1] if count[1][name] != count[0][name]}


@pytest.fixture(scope="module")
def program(plain):  # noqa: F811
    if b"large reads" not in subprocess.run(
            [rig.program(), "-V"], capture_output=True).stdout:
        pytest.skip("libfcgi's OS_Read is not replaced in this build")
    return plain


@pytest.mark.parametrize("kind", CEILINGS)
def test_a_request_needs_no_more_instructions(program, tmp_path, kind):
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind")
    assert instructions(tmp_path, program, kind) <= \
        SLACK * CEILINGS[kind][0]


@pytest.mark.parametrize("kind", CEILINGS)
def test_a_request_makes_no_more_system_calls(program, tmp_path, kind):
    if not shutil.which("strace"):
        pytest.skip("no strace")
    found = calls(tmp_path, program, kind)
    # Some look at the time is due once a second.
    assert round(sum(found.values())) <= SLACK * CEILINGS[kind][1], found


@pytest.mark.parametrize("kind", ["HEAD, finished", "POST with 1 KiB",
                                  "PATCH of 1 KiB"])
def test_another_protocol_costs_a_client_of_tus_a_word_in_the_log(
        program, tmp_path, kind):
    """1,150 to 1,500 were counted, and no system call."""
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind")
    alone, beside = (
        instructions(tmp_path, program, kind, {"rufh": {"enable": is_on}})
        for is_on in (False, True))
    assert beside <= alone + SLACK * 1_800


def pool_instructions(folder, program, kind, n, max_parked):
    """What n requests cost all processes of a pool."""
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    one = Measured(folder, program, tool, workers=2, more={
        "pool": {"max_parked": max_parked},
        "store": {"durability": "none"}})
    try:
        rig.wait_for(lambda: len(one.workers()) == 2, "both workers")
        REQUESTS[kind][0](one, n)
        one.stop_app(signal.SIGTERM)
        return sum(map(int, re.findall(r"Collected : (\d+)", one.log())))
    finally:
        one.stop()


@pytest.mark.parametrize("kind", ["PATCH of 1 KiB", "PATCH of 1 MiB"])
def test_parking_costs_a_body_that_flows_nothing(program, tmp_path, kind):
    """How much of 1 MiB is here at a time is up to chance, so that the best
    of some rounds counts."""
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind")
    off, on = (
        min(pool_instructions(tmp_path, program, kind, 2 * N, most) -
            pool_instructions(tmp_path, program, kind, N, most)
            for _ in range(3)) for most in (0, 1000))
    assert on <= 1.02 * off


@pytest.mark.parametrize("limits", [
    {"owner": {"param": "REQUEST_METHOD"},
     "quota": {"uploads": 1000, "bytes": "1T"}},
    {"store": {"durability": "none", "overcommit": "never"}}],
    ids=["a quota", "no overcommitment"])
def test_a_creation_under_a_limit_reads_no_list(program, tmp_path, limits):
    """However many uploads there are: nor does a PATCH, or a DELETE."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    trace = tmp_path / "trace"
    one = Measured(tmp_path, program, ["strace", "-o", trace], 8 * N,
                   more=limits)
    found = []
    try:
        for _ in range(2):
            before = trace.read_text().count("getdents64(")
            for _ in range(N):
                path = one.client.create(len(BODY))
                assert one.client.request("POST", path, {
                    "X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0",
                    "Content-Type": "application/offset+octet-stream"},
                    BODY).status == 204
                gone = one.client.create(len(BODY))
                assert one.client.request("POST", gone, {
                    "X-HTTP-Method-Override": "DELETE"}).status == 204
            found.append(trace.read_text().count("getdents64(") - before)
        one.finish()
    finally:
        one.stop()
    # The first of all counts what is there.
    assert found[1] == 0, found


def own_memory(folder, program):
    """KiB of a worker before it has done anything, and of the one of six that
    has an upload which comes slowly."""
    one = Measured(folder, program, workers=6)
    try:
        rig.wait_for(lambda: len(one.workers()) == 6, "all workers")
        one.client.request("OPTIONS", "/files")
        workers = one.workers()
        idle = statistics.median(map(proc.own_memory, workers))
        path = one.client.create(1 << 20)
        with one.client.open_patch(path, 0, 1 << 20) as stream:
            for n in range(1, 6):
                stream.send(BODY)
                one.wait_for_bytes(path, n * len(BODY))
            receiving = max(map(proc.own_memory, workers))
    finally:
        one.stop()
    return {"idle": idle / 1024, "receiving": receiving / 1024}


def test_a_worker_has_little_memory_of_its_own(program, tmp_path):
    found = own_memory(tmp_path, program)
    assert all(found[what] <= SLACK * most
               for what, most in OWN_MEMORY.items()), found


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        program = build(folder)
        for kind in CEILINGS:
            found = calls(folder, program, kind)
            print(f"{kind};{instructions(folder, program, kind):,.0f};"
                  f"{sum(found.values()):.0f};" +
                  ", ".join(f"{n:.3g} {name}" if n != 1 else name
                            for name, n in sorted(found.items())), flush=True)


if __name__ == "__main__":
    main()
