"""Two hosts on one store while workers, agents, hosts, links and the lock
service die, sleep or are cut off: no acknowledged byte is lost.

The file system is a local one that behaves as NFS and CephFS do towards a host
that slept: evict.c cuts it off, and its locks are taken away.

TUSFCGI_TWO_HOSTS says for how many seconds for each service (40), with
TUSFCGI_CLIENTS clients (12).  In a short time no request may happen to be cut
off by the file system, so one that surely is comes at the end.
"""

import contextlib
import ctypes
import fcntl
import os
import random
import re
import select
import signal
import struct
import threading
import time
from pathlib import Path

import pytest

from lib import rig
from lib.hosts import ENGINES, SESSION, Hosts, agent_of, must_have
from lib.proc import children

from .conftest import number, preload
from .crowd import Tally
from .test_torture import Uploader

SECONDS = number("TWO_HOSTS", 40)
CLIENTS = number("CLIENTS", 12)
# The bytes of a file that its host has locked.
FENCE = (1 << 40) + 8
PIDFD_OPEN, PIDFD_GETFD = 434, 438
HERE = Path(__file__).parent

libc = ctypes.CDLL(None, use_errno=True)


def signal_all(pids, sig):
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass


class Chaos:
    """Each method is something that happens; it ends mended."""

    def __init__(self, hosts, lots, tally):
        self.hosts = hosts
        self.lots = lots
        self.tally = tally

    def worker_killed(self):
        one = self.lots.choice(self.hosts)
        agent = agent_of(one)
        pids = rig.wait_for(lambda: [
            p for p in children(one.app.pid) if p != agent], "a worker")
        signal_all([self.lots.choice(pids)], signal.SIGKILL)

    def agent_killed(self):
        signal_all([agent_of(self.lots.choice(self.hosts))], signal.SIGKILL)
        time.sleep(1)

    def agent_stopped(self):
        agent = agent_of(self.lots.choice(self.hosts))
        signal_all([agent], signal.SIGSTOP)
        time.sleep(1.5 * SESSION)
        signal_all([agent], signal.SIGCONT)

    def host_asleep(self):
        """It loses all its locks meanwhile, and does not know."""
        self.sleep(SESSION, SESSION / 2)

    def host_dozes(self):
        """It loses those on its files only: whoever lets go of them for it
        was quicker than the lock service."""
        self.sleep(0.5, 0.5)

    def sleep(self, before, after):
        i = self.lots.randrange(2)
        app = self.hosts[i].app.pid
        signal_all([app], signal.SIGSTOP)
        pids = children(app)
        signal_all(pids, signal.SIGSTOP)
        time.sleep(before)
        self.evict(i, pids)
        time.sleep(after)
        signal_all([*pids, app], signal.SIGCONT)

    def evict(self, i, pids):
        old, = struct.unpack("I", self.hosts.files[i].read_bytes())
        with self.hosts.files[i].open("r+b") as f:
            f.write(struct.pack("I", old + 1))
        for pid in pids:
            self.take_locks(pid)

    def take_locks(self, pid):
        free = struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, FENCE, 1, 0)
        try:
            fds = [int(f.name) for f in os.scandir(f"/proc/{pid}/fd")
                   if str(self.hosts.store) in os.readlink(f.path)]
            process = libc.syscall(PIDFD_OPEN, pid, 0)
        except OSError:
            return
        for fd in fds:
            ours = libc.syscall(PIDFD_GETFD, process, fd, 0)
            if ours == -1:
                continue
            try:
                fcntl.fcntl(ours, fcntl.F_OFD_SETLK, free)
                self.tally.add("files taken away")
            except OSError:
                pass
            os.close(ours)
        os.close(process)

    def host_cut_off(self):
        i = self.lots.randrange(2)
        self.hosts.net.cut(i)
        time.sleep(SESSION + 1)
        self.hosts.net.mend(i)

    def engine_killed(self):
        self.hosts.service.kill()
        time.sleep(1)
        self.hosts.service.start()
        time.sleep(1)

    def engine_stopped(self):
        self.hosts.service.send_signal(signal.SIGSTOP)
        time.sleep(2)
        self.hosts.service.send_signal(signal.SIGCONT)

    EVENTS = (worker_killed, agent_killed, agent_stopped, host_asleep, host_dozes,
              host_cut_off, engine_killed, engine_stopped)

    def run(self, until):
        """Each of them before any comes again."""
        left = []
        try:
            while time.monotonic() < until - 8:
                left = left or self.lots.sample(self.EVENTS, len(self.EVENTS))
                event = left.pop()
                event(self)
                self.tally.add(event.__name__.replace("_", " "))
                time.sleep(1)
        except Exception as problem:  # noqa: BLE001 (a thread must not hide)
            self.tally.violation(f"chaos: {type(problem).__name__}: {problem}")


def fenced(hosts):
    n = 0
    for one in hosts:
        text = one.client.request("GET", "/metrics",
                                  resumable=None).body.decode()
        n += int(re.search(r"store_fenced_total (\d+)", text)[1])
    return n


def cut_off_in_a_request(chaos):
    """False if the host refuses, for its agent may just be on its way back to
    the service."""
    one = chaos.hosts[0]
    answer = one.client.request("POST", "/files",
                                {"Upload-Length": str(2 << 20)})
    if answer.status != 201:
        return False
    path = answer.headers["location"]
    with one.client.open_patch(path, 0, 2 << 20) as stream, \
            contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.send(b"x" * (1 << 20))
        rig.wait_for(lambda: one.data_size(path) > 0 or
                     select.select([stream.socket], [], [], 0)[0],
                     "bytes on the disk, or an answer")
        if one.data_size(path) == 0:
            return False
        chaos.evict(0, children(one.app.pid))
        stream.send(b"x" * (1 << 20))
        answer = stream.finish()
        # A parked upload has no file open that could be taken away.
        line = [x for x in one.log().splitlines()
                if path.rsplit("/", 1)[1] in x and "method=PATCH" in x][-1]
        assert answer.status == 423 or " parks=" in line, (answer, line)
        return answer.status == 423
    return True


def fence_one(chaos):
    """One host is cut off by the file system in the middle of a request."""
    before = fenced(chaos.hosts)
    rig.wait_for(lambda: cut_off_in_a_request(chaos) and
                 fenced(chaos.hosts) > before, "a request that is cut off", 60)


@pytest.fixture(params=ENGINES)
def hosts(request, tmp_path):
    must_have(request.param)
    files, env = [], {}
    for i in range(2):
        files.append(tmp_path / f"evict{i}")
        files[i].write_bytes(struct.pack("I", 1))
        env[i] = {**preload(HERE / "evict.c", tmp_path),
                  "EVICT": str(files[i])}
    pools = Hosts(request.param, tmp_path, env=env, config={
        "metrics": {"enabled": True}, "lock": {"timeout": "1s"},
        "pool": {"max_workers": 32}})
    pools.files = files
    yield pools
    pools.close()
    for one in pools:
        assert not rig.SANITIZER.search(one.log()), one.log()


def torture(hosts, chaos, lots, seconds, clients):
    """Returns the chaos: an object of this class, which has no more to do."""
    tally, seed = Tally(), lots.random()
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=Uploader(
        hosts, f"client {i}", seed, tally, until).run, daemon=True)
        for i in range(clients)]
    for thread in threads:
        thread.start()
    done = chaos(hosts, random.Random(seed), tally)
    done.run(until)
    for thread in threads:
        thread.join(until + 90 - time.monotonic())
    assert not any(t.is_alive() for t in threads), "a client hangs"
    print(f"{hosts.service.kind}: {seconds} s, {tally.line()}, "
          f"store_fenced_total {fenced(hosts)}")
    assert tally.violations == []
    assert tally["files byte-exact"] > 0
    return done


def test_no_acknowledged_byte_is_lost_whatever_dies(hosts, lots):
    chaos = torture(hosts, Chaos, lots, SECONDS, CLIENTS)
    # Or the files that were taken away have proved nothing.
    fence_one(chaos)
