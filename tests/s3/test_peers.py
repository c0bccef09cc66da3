"""What other servers get wrong in a bucket, each as a test.

fault of others                                   test
------------------------------------------------  ---------------------------------
the tail is deleted before its bytes are a part   ..._tail_outlives_the_part_...
the offset is the sum of all parts                ..._hole_is_not_counted
the tail is one key, a late PUT makes it shorter  ..._late_tail_takes_nothing_back
a multipart upload that is gone means finished    ..._gone_is_not_finished
                                                  ..._half_a_removal_is_no_finish
a list of parts is believed to be complete        ..._list_that_lags_...
parts are unequal                                 ..._parts_are_equal_...
part 10,001                                       ..._never_more_than_10000_parts
                                                  ..._parts_grow_...
a length without bytes loses the tail             ..._length_without_bytes_...
a finished upload cannot be removed               ..._removed_in_every_state
several hosts need a lock                         ..._two_hosts_without_a_lock_...
temporary files stay                              ..._nothing_is_left_in_the_spool
every byte is hashed, twice                       ..._no_byte_is_hashed_...
"""

import os
import re
import signal
import threading
import time

import pytest

from lib import clients, proc, rig
from s3 import bucket
from s3.bucket import PART, content, create, patch

bucket.need_store()


@pytest.fixture
def engines():
    """Makes one with this flaw; "" for none."""
    made = []

    def make(flaw):
        made.append(bucket.start_engine(flaw))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def start(tmp_path, engines, servers):
    """A server with an engine of its own, or one that shares the bucket of
    another server."""
    def begin(flaw="", shared=None, **s3):
        engine = engines(flaw) if shared is None else shared.engine
        return servers(
            bucket.Server(tmp_path, engine, shared=shared, s3=s3))

    return begin


def rest(url, data):
    """A client that asks, sends what is missing, and looks at all of it."""
    for _ in range(40):
        at = clients.offset(url)
        if at == len(data):
            break
        status, _, _ = patch(url, at, data[at:])
        assert status in (204, 409, 423, 503), status
    status, _, body = clients.request("GET", url)
    assert (status, body == data) == (200, True)


def object_of(server, url):
    name = url.rpartition("/")[2]
    return server.engine.ask("GET", f"/{server.bucket}/{name}")


def sent_parts(server):
    """{number: bytes} of the parts that were sent."""
    return {int(re.search(r"partNumber=(\d+)", target)[1]): size
            for method, target, size, _ in server.engine.log()
            if method == "PUT" and "partNumber" in target}


def test_a_tail_outlives_the_part_that_takes_it_in(start):
    server = start(retries=0)
    data = content(3 * PART)
    url = create(server, len(data))
    assert patch(url, 0, data[:100])[0] == 204
    server.engine.rules({"m": "^PUT .*partNumber", "do": "drop", "times": 99})
    # What cannot be a part may be kept as it is.
    status, _, _ = patch(url, 100, data[100:PART + 20])
    assert status in (204, 503)
    server.stop_app(signal.SIGKILL)
    server.engine.rules()
    server.start_app()
    assert clients.offset(url) >= (PART + 20 if status == 204 else 100)
    rest(url, data)


def test_a_hole_is_not_counted(start):
    server = start()
    data = content(4 * PART)
    url = create(server, len(data))
    mpu, = server.parts()
    name = url.rpartition("/")[2]
    for number in (2, 3):
        server.engine.ask(
            "PUT", f"/{server.bucket}/{name}",
            f"partNumber={number}&uploadId={mpu}", b"?" * PART)
    assert clients.offset(url) == 0
    rest(url, data)
    # Of those that are sent, one is lost.
    url = create(server, len(data))
    server.engine.rules({"m": "^PUT .*partNumber=1&|^PUT .*partNumber=1$",
                         "do": "drop", "times": 99})
    assert patch(url, 0, data[:3 * PART + 5])[0] == 503
    server.engine.rules()
    rest(url, data)


def test_a_late_tail_takes_nothing_back(start):
    server = start()
    data = content(3 * PART)
    url = create(server, len(data))
    server.engine.rules({"m": "^PUT .*[.]part[.]", "do": "late", "arg": 0.4})
    assert patch(url, 0, data[:100])[0] == 204
    assert patch(url, 100, data[100:900])[0] == 204
    time.sleep(0.5)
    assert clients.offset(url) == 900
    rest(url, data)


def test_a_multipart_upload_that_is_gone_is_not_finished(start):
    server = start()
    data = content(3 * PART)
    url = create(server, len(data))
    assert patch(url, 0, data[:PART + 5])[0] == 204
    mpu, = server.parts()
    name = url.rpartition("/")[2]
    server.engine.ask("DELETE", f"/{server.bucket}/{name}", f"uploadId={mpu}")
    assert clients.request("HEAD", url)[0] == 404
    assert clients.request("GET", url)[0] == 404
    # An object of that size with another's name on it is none either.
    server.engine.ask("PUT", f"/{server.bucket}/{name}", body=data)
    assert clients.request("HEAD", url)[0] == 404


def test_half_a_removal_is_no_finish(start):
    server = start(retries=0)
    url = create(server, 3 * PART)
    assert patch(url, 0, content(PART + 5))[0] == 204
    server.engine.rules({"m": "^DELETE (?!.*uploadId)", "do": "drop",
                         "times": 99})
    assert clients.request("DELETE", url)[0] == 503
    assert not server.parts()
    server.engine.rules()
    assert clients.request("HEAD", url)[0] == 404
    assert clients.request("GET", url)[0] == 404
    # Of a finished upload, the object goes first.
    url = create(server, 3)
    assert patch(url, 0, b"abc")[0] == 204
    server.engine.rules({"m": "^DELETE .*[.]info", "do": "drop", "times": 99})
    assert clients.request("DELETE", url)[0] == 503
    server.engine.rules()
    assert clients.request("HEAD", url)[0] == 404
    assert clients.request("GET", url)[0] == 404


def test_a_list_that_lags_makes_no_short_object(start):
    server = start("old-lists")
    data = content(5 * PART + 9)
    url = create(server, len(data))
    for end in (100, 2 * PART, 2 * PART + 50, len(data)):
        for _ in range(40):
            at = clients.offset(url)
            if at >= end:
                break
            assert patch(url, at, data[at:end])[0] in (204, 409, 423, 503)
    rest(url, data)
    assert object_of(server, url).body == data


def test_parts_are_equal_however_small_the_chunks(start):
    server = start("equal-parts")
    data = content(6 * PART + 7)
    url = create(server, len(data))
    at = 0
    for size in (100, 3 * PART, 1, 2 * PART, PART, len(data)):
        assert patch(url, at, data[at:at + size])[0] == 204
        at = clients.offset(url)
        if at == len(data):
            break
    sizes = sent_parts(server)
    assert {sizes[n] for n in range(1, 7)} == {PART} and sizes[7] == 7
    rest(url, data)


def test_there_are_never_more_than_10000_parts(start):
    server = start()
    data = content(10001 * PART)
    url = create(server, len(data))
    rest(url, data)
    sizes = sent_parts(server)
    assert set(sizes) == set(range(1, 41))
    assert {sizes[n] for n in range(1, 40)} == {1 << 20}
    # What no parts can hold is refused before a byte is sent.
    too_much = str((5 << 40) + 1)
    status, headers, body = clients.request(
        "POST", server.url, {"Upload-Length": too_much})
    assert (status, headers["Tus-Max-Size"]) == (413, str(5 << 40)), body


def test_parts_grow_where_no_length_is_known(start):
    server = start()
    data = content(1010 * PART)
    url = create(server, None)
    assert patch(url, 0, data, **{"Upload-Length": str(len(data))})[0] == 204
    sizes = sent_parts(server)
    assert {sizes[n] for n in range(1, 1001)} == {PART}
    assert {sizes[n] for n in range(1001, 1005)} == {2 * PART}
    rest(url, data)


def test_a_length_without_bytes_keeps_the_tail(start):
    server = start()
    data = content(PART + 77)
    url = create(server, None)
    assert patch(url, 0, data)[0] == 204
    # The tail is all there is to come.
    status, headers, _ = patch(url, len(data), b"",
                               **{"Upload-Length": str(len(data))})
    assert (status, headers["Upload-Offset"]) == (204, str(len(data)))
    assert object_of(server, url).body == data


def test_an_upload_is_removed_in_every_state(start):
    server = start()
    data = content(2 * PART + 5)
    for size, sent in ((len(data), 0), (len(data), 9), (len(data), PART + 9),
                       (len(data), len(data)), (5, 3), (5, 5), (0, 0),
                       (None, 0), (None, PART + 1)):
        url = create(server, size)
        if sent:
            assert patch(url, 0, data[:sent])[0] == 204
        assert clients.request("DELETE", url)[0] == 204, (size, sent)
        assert clients.request("HEAD", url)[0] == 404
        assert not server.keys() and not server.parts()


def test_two_hosts_without_a_lock_in_common_damage_nothing(start):
    one = start()
    two = start(shared=one)
    data = content(6 * PART + 5)
    for _ in range(4):
        url = create(one, len(data))
        urls = [url, two.url + url.rpartition("/")[2]]
        at = 0
        while at < len(data):
            end = min(len(data), at + PART + 700)
            seen = []
            threads = [threading.Thread(target=lambda u=u: seen.append(
                patch(u, at, data[at:end])[0])) for u in urls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert set(seen) <= {204, 404, 409, 410, 423, 503}, seen
            now = clients.offset(url)
            assert now >= end or 204 not in seen, (at, end, now, seen)
            at = now
        for u in urls:
            rest(u, data)


def test_a_reader_sees_every_byte_while_segments_become_a_part(start):
    """It has no lock, as a host to which another one's lock means nothing."""
    one = start()
    two = start(shared=one)
    data = content(3 * PART)
    url = create(one, len(data))
    assert patch(url, 0, data[:100])[0] == 204
    seen = []
    other = two.url + url.rpartition("/")[2]
    # The first list is the reader's.
    one.engine.rules({"m": "^GET .*list-type", "do": "gate"})
    reader = threading.Thread(
        target=lambda: seen.append(clients.offset(other)))
    reader.start()
    rig.wait_for(lambda: any(x[3] for x in one.engine.log()), "the reader")
    assert patch(url, 100, data[100:PART])[0] == 204
    one.engine.rules()
    reader.join()
    assert seen[0] >= 100
    rest(url, data)


def test_nothing_is_left_in_the_spool(start):
    server = start()
    data = content(3 * PART)
    url = create(server, len(data))
    spool = server.dir / "spool"
    assert patch(url, 0, data[:PART + 9])[0] == 204
    assert not list(spool.iterdir())
    server.stop_app(signal.SIGKILL)
    assert not list(spool.iterdir())
    server.start_app()
    rest(url, data)
    assert not list(spool.iterdir())


def test_a_worker_that_does_nothing_keeps_no_space(start):
    """At once, and not when it closes what it has not used for long."""
    server = start()
    data = content(20 * PART)

    def spooled():
        return [os.stat(f"/proc/{pid}/fd/{fd}").st_blocks
                for pid in proc.children(server.app.pid)
                for fd in os.listdir(f"/proc/{pid}/fd")
                if f"{server.dir}/spool/" in
                os.readlink(f"/proc/{pid}/fd/{fd}")]

    url = create(server, len(data))
    assert patch(url, 0, data[:9 * PART], **{
        "Upload-Checksum": "sha1 " + "A" * 27 + "="})[0] == 460
    rig.wait_for(lambda: not any(spooled()), "no space to be taken", 5)
    assert patch(url, 0, data[:9 * PART + 7])[0] == 204
    rig.wait_for(lambda: not any(spooled()), "no space to be taken", 5)
    rest(url, data)


@pytest.mark.parametrize("asked", [False, True])
def test_no_byte_is_hashed_unless_that_is_asked_for(start, asked):
    """Neither a part, nor the rest of a request, nor a small object."""
    large = 100_000
    server = start(part_size=large, sign_payload=asked)
    data = content(3 * large)
    url = create(server, len(data))
    server.engine.rules()
    assert patch(url, 0, data[:large + 70_000])[0] == 204
    rest(url, data)
    url = create(server, large)
    assert patch(url, 0, data[:large])[0] == 204
    said = server.engine.payloads()
    assert len(said) == 5
    assert {tuple(x) for x in said} == {("x-amz-content-sha256",)}
    digests = {x["x-amz-content-sha256"] for x in said}
    if asked:
        assert all(re.fullmatch("[0-9a-f]{64}", x) for x in digests)
    else:
        assert digests == {"UNSIGNED-PAYLOAD"}
