"""Every request of an upload's life is broken, in every way.

What was acknowledged is there, the finished object has the bytes that were
sent, and what was removed stays removed.  TUSFCGI_FAULTS=1 takes every point;
else it is every third.
"""

import os
import time

import pytest

from lib import clients
from s3 import bucket
from s3.bucket import PART, content, patch, tusctl

bucket.need_store()

STEP = 1 if os.environ.get("TUSFCGI_FAULTS") else 3
SIZE = 3 * PART + 100
CHUNKS = (700, 800, 2 * PART, SIZE)
RETRIES = 1
# A part that cannot be sent is tried again, and kept as a segment then.
GOOD = 3 * (RETRIES + 1)
UNBROKEN = "response-content-type=a"

# What happens, how often in a row, and how long.
FAULTS = {
    "failed once": ("500", 1, 0), "failed for good": ("503", GOOD, 0),
    "lost on the way": ("drop", 1, 0), "lost for good": ("drop", GOOD, 0),
    "answer lost": ("lose", 1, 0), "answer lost for good": ("lose", GOOD, 0),
    "late": ("late", 1, 0.05), "very late": ("late", 1, 0.4),
    "done twice": ("dup", 1, 0), "half an answer": ("cut", 1, 0)}


class Life:
    """An upload from its creation to its removal, by a stubborn client."""

    def __init__(self, server):
        self.server, self.data = server, content(SIZE)
        self.acked, self.tries, self.url = 0, 0, None

    def again(self):
        """Slower and slower, and not for ever."""
        self.tries += 1
        assert self.tries < 90, self.server.log()[-3000:]
        time.sleep(max(0, self.tries - 12) * 0.005)

    def ask(self, *args):
        """An answer, or 599 if there is none."""
        try:
            return clients.request(*args)
        except OSError:
            return 599, {}, b""

    def create(self):
        while self.url is None:
            self.again()
            status, headers, _ = self.ask("POST", self.server.url, {
                "Upload-Length": str(SIZE)})
            if status == 201:
                self.url = self.server.origin + headers["Location"]
            else:
                assert status >= 500, status

    def offset(self):
        while True:
            self.again()
            status, headers, _ = self.ask("HEAD", self.url)
            if status == 200:
                at = int(headers["Upload-Offset"])
                assert at >= self.acked, (at, self.acked)
                self.acked = at
                return at
            # nginx says 502 while there is no worker.
            assert status in (423, 502, 599), status

    def send(self):
        at = 0
        for size in CHUNKS:
            while at < SIZE:
                status, headers, _ = self.try_patch(at, size)
                if status == 204:
                    at = self.acked = int(headers["Upload-Offset"])
                    break
                assert status in (409, 423, 500, 502, 503, 599), status
                at = self.offset()

    def try_patch(self, at, size):
        self.again()
        try:
            return patch(self.url, at, self.data[at:at + size])
        except OSError:
            return 599, {}, b""

    def check(self):
        name = self.url.rpartition("/")[2]
        got = self.server.engine.ask(
            "GET", f"/{self.server.bucket}/{name}", UNBROKEN).body
        assert got == self.data, (len(got), SIZE)
        assert self.offset() == SIZE

    def remove(self):
        while True:
            self.again()
            status, _, _ = self.ask("DELETE", self.url)
            if status in (204, 404):
                return
            assert status in (423, 500, 502, 503, 599), status

    def live(self):
        self.create()
        self.send()
        self.check()
        self.remove()


@pytest.fixture
def server(start):
    return start(s3={"retries": RETRIES}, args=["-w", "2"])


def ours(server):
    """A part of the rule: the requests of the store, not of the test."""
    return f" /{server.bucket}(?!.*{UNBROKEN})"


def count(server):
    """Two lives: the first learns what the engine can do."""
    Life(server).live()
    server.engine.rules()
    Life(server).live()
    return len(server.engine.log())


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_request_loses_nothing(server, name):
    do, times, arg = FAULTS[name]
    points = range(1, count(server) + 1, STEP)
    for k in points:
        server.engine.rules({"m": ours(server), "nth": k, "times": times,
                             "do": do, "arg": arg})
        life = Life(server)
        life.live()
        if arg:
            time.sleep(arg + 0.05)
        # This life may have made fewer requests than the one that was counted:
        # then the fault is still to come.
        heads = [life.ask("HEAD", life.url)[0] for _ in range(GOOD)]
        assert set(heads) <= {404, 423}, (name, k, heads)
        server.engine.rules()
        assert life.ask("HEAD", life.url)[0] == 404, (name, k, heads)


def finish_without_a_record(server, **headers):
    """The URL of an upload whose object is there, and its record late."""
    url = bucket.create(server, 3, **headers)
    server.engine.rules({"m": r"PUT [^?]*\.info", "times": GOOD, "do": "503"})
    assert patch(url, 0, b"abc")[0] == 503
    server.engine.rules()
    return url


def test_what_its_record_does_not_call_finished_is_read(server):
    url = finish_without_a_record(server)
    status, _, body = clients.request("GET", url)
    assert (status, body) == (200, b"abc")


def test_what_its_record_does_not_call_finished_is_a_part(server):
    part = finish_without_a_record(server, **{"Upload-Concat": "partial"})
    path = part[len(server.origin):]
    status, headers, body = clients.request("POST", server.url, {
        "Upload-Concat": f"final;{path} {path}"})
    assert status == 201, body
    assert clients.request(
        "GET", server.origin + headers["Location"])[2] == b"abcabc"


@pytest.mark.parametrize("when", ["before", "after", "flight"])
def test_a_worker_that_is_killed_while_it_asks_loses_nothing(server, when):
    """Before S3 does what it is asked, after it, or after the death."""
    points = range(1, count(server) + 1, STEP)
    for k in points:
        life = Life(server)
        bucket.kill_at(server, ours(server), k, when, life.live)
        assert life.acked == SIZE, k
    print(f"{len(points)} points, {when}")


class Haunted(Life):
    """A request that was answered comes once more after each further step: it
    takes nothing back, adds nothing wrong and brings nothing back."""

    def haunt(self):
        self.server.engine.again()
        if self.url is None:
            return
        status, headers, _ = self.ask("HEAD", self.url)
        while status == 423:
            status, headers, _ = self.ask("HEAD", self.url)
        if self.is_removed:
            # Without If-Match a late PUT of the record undoes the removal, as
            # the manual says; it can be removed again.
            if status == 200 and self.can_come_back:
                super().remove()
                status = self.ask("HEAD", self.url)[0]
            assert status == 404, status
            return
        assert (status, int(headers["Upload-Offset"])) == (200, self.acked)

    is_removed = False
    can_come_back = False

    def try_patch(self, at, size):
        answer = super().try_patch(at, size)
        if answer[0] == 204:
            self.acked = int(answer[1]["Upload-Offset"])
            self.haunt()
        return answer

    def check(self):
        super().check()
        self.haunt()
        super().check()

    def remove(self):
        super().remove()
        self.is_removed = True
        self.haunt()
        assert self.ask("GET", self.url)[0] == 404


@pytest.mark.parametrize("engine", ["", "no-if-match lists-parts"],
                         indirect=True, ids=bucket.name_of)
def test_a_request_that_comes_again_harms_nothing(server, request):
    points = range(1, count(server) + 1, STEP)
    for k in points:
        server.engine.rules({"m": ours(server), "nth": k, "do": "again"})
        life = Haunted(server)
        life.can_come_back = "no-if-match" in request.node.name
        life.create()
        life.haunt()
        life.live()
    # All that came after a removal is a leftover, and goes with a sweep.
    server.engine.rules()
    server.engine.age(2 * 86400)
    tusctl(server, "sweep", "--older-than", "1")
    assert not server.parts()
    # An object without a record is never removed.
    assert not [x for x in server.keys() if "." in x and x != ".sweep"]
    print(f"{len(points)} points")


@pytest.mark.parametrize("engine", ["no-if-match"], indirect=True,
                         ids=bucket.name_of)
def test_a_record_that_came_back_goes_with_a_sweep(server):
    """Of an upload that was finished and removed: it has no object."""
    server.engine.rules({"m": r"PUT [^?]*\.info", "nth": 2, "do": "again"})
    life = Haunted(server)
    life.live()
    name = life.url.rpartition("/")[2] + ".info"
    assert server.keys() == [name]
    server.engine.rules()
    server.engine.age(2 * 86400)
    assert "1 leftovers" in tusctl(server, "sweep", "--older-than", "1")
    assert server.keys() == [".sweep"]
