"""A concatenation, which S3 copies itself: several parts at a time."""

import base64
import time

import pytest

from lib import clients
from s3 import bucket
from s3.bucket import PART, content, create, patch
from s3.test_faults import FAULTS, RETRIES, STEP, UNBROKEN, ours

bucket.need_store()

COPY = "^PUT .*partNumber="
# Parts of the object within one source, over two and over many.
SIZES = (2 * PART + 9, 5, PART + 700, 5 * PART, 1, 90, 3 * PART)


def sources(server, *sizes):
    """Finished uploads: (path, what is in it) of each."""
    made = []
    for i, size in enumerate(sizes):
        data = content(size, b"%d" % i)
        url = create(server, size, **{"Upload-Concat": "partial"})
        assert patch(url, 0, data)[0] == 204
        made.append((url[len(server.origin):], data))
    return made


def join(server, some, name="one"):
    """(status, URL) of the request that makes one of them."""
    name = base64.b64encode(name.encode()).decode()
    status, headers, _ = clients.request("POST", server.url, {
        "Upload-Concat": "final;" + " ".join(path for path, _ in some),
        "Upload-Metadata": "name " + name})
    return status, server.origin + headers.get("Location", "")


def check(server, url, some):
    """It is there, whole, and nothing of its making is left."""
    name = url.rpartition("/")[2]
    data = b"".join(data for _, data in some)
    got = server.engine.ask(
        "GET", f"/{server.bucket}/{name}", UNBROKEN).body
    assert got == data, (len(got), len(data))
    assert clients.offset(url) == len(data)


@pytest.mark.parametrize("parallel", [1, 2, 8])
def test_four_parts_are_copied_at_a_time(start, parallel):
    server = start(s3={"parallel": parallel})
    some = sources(server, 11 * PART + 5)
    server.engine.rules({"m": COPY, "do": "meet", "arg": 4, "times": 99})
    status, url = join(server, some)
    assert status == 201
    assert server.engine.most_parts() == 4
    asked = [x[1] for x in server.engine.log() if "partNumber=" in x[1]]
    assert len(asked) == len(set(asked)) == 12
    check(server, url, some)
    assert not server.parts()


@pytest.mark.parametrize("nth", range(1, 8))
def test_any_sources_make_the_same_object(start, nth):
    """Whichever part comes late, or has to be sent again: its bytes are where
    they were."""
    server = start()
    some = sources(server, *SIZES, 20, *[PART * 2 // 3] * 12)
    for do in ("drop", "delay", "lose"):
        server.engine.rules({"m": COPY, "nth": nth, "do": do, "arg": 0.3})
        status, url = join(server, some)
        assert status == 201
        check(server, url, some)
        assert clients.request("DELETE", url)[0] == 204
    assert not server.parts()


@pytest.mark.parametrize("nth", range(1, 13))
def test_a_part_that_is_not_made_ends_it(start, nth):
    """No bytes are taken for it that came through the spool before."""
    server = start(s3={"retries": 0}, args=["-w", "1"])
    some = sources(server, *[PART * 2 // 3] * 8, 6 * PART)
    server.engine.rules({"m": f"{COPY}{nth}(&|$)", "do": "503"})
    status, _ = join(server, some)
    assert status == 503
    assert not server.parts()
    status, url = join(server, some)
    assert status == 201
    check(server, url, some)


def test_a_source_that_is_gone_by_now_is_none(start):
    server = start()
    some = sources(server, 5 * PART)
    name = some[0][0].rpartition("/")[2]
    server.engine.ask("DELETE", f"/{server.bucket}/{name}")
    assert join(server, some)[0] in (404, 409)
    assert not server.parts()


def test_a_record_that_comes_late_is_none_of_the_next_try(start):
    """The first was given up and its object removed when its record appeared;
    the next one has the same id, and is no repetition."""
    server = start()
    some = sources(server, *SIZES)
    before = set(server.keys())
    server.engine.rules({"m": r"PUT [^?]*\.info", "do": "later"})
    assert join(server, some)[0] == 503
    assert not set(server.keys()) - before
    assert server.engine.again() == [200]
    server.engine.rules()
    status, url = join(server, some)
    assert status == 201
    check(server, url, some)


@pytest.fixture
def busy(start):
    """A server, its sources, and how many requests join them."""
    server = start(s3={"retries": RETRIES}, args=["-w", "2"])
    some = sources(server, *SIZES)
    # The first learns what the engine can do.
    for name in ("first", "second"):
        server.engine.rules()
        assert join(server, some, name)[0] == 201
    return server, some, len(server.engine.log())


def insist(server, some, name):
    """By a stubborn client."""
    for i in range(90):
        time.sleep(max(0, i - 12) * 0.005)
        try:
            status, url = join(server, some, name)
        except OSError:
            continue
        if status == 201:
            return url
        assert status in (409, 423, 500, 502, 503), status
    raise AssertionError(server.log()[-3000:])


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_request_loses_nothing(busy, name):
    server, some, calls = busy
    do, times, arg = FAULTS[name]
    for k in range(1, calls + 1, STEP):
        server.engine.rules({"m": ours(server), "nth": k, "times": times,
                             "do": do, "arg": arg})
        url = insist(server, some, "%03d" % k)
        if arg:
            time.sleep(arg + 0.05)
        server.engine.rules()
        check(server, url, some)


@pytest.mark.parametrize("when", ["before", "after", "flight"])
def test_a_worker_that_is_killed_loses_nothing(busy, when):
    server, some, calls = busy
    for k in range(1, calls + 1, STEP):
        found = []
        bucket.kill_at(server, ours(server), k, when, lambda k=k: found.append(
            insist(server, some, "%03d" % k)))
        assert found, k
        server.engine.rules()
        check(server, found[0], some)
