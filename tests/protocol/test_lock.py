"""LOCK: one writer per upload, and nobody waits long."""

import os
import signal
import threading
import time

import pytest

from lib import proc, rig

ids = pytest.mark.ids

UNKNOWN = "/files/" + "0" * 32


def hanging(tus, url, offset, data, length=None):
    """A PATCH that has sent some bytes and then says nothing more."""
    upload = tus.open_patch(url, offset, length or len(data) + 100)
    upload.send(data)
    tus.wait_offset(url, offset + len(data))
    return upload


def stop_holder(tus, url, freeze):
    """Stops the process that has the lock, for the rest of the test."""
    while True:
        pid = proc.holder(tus.path(url, ".lock"))
        assert pid
        freeze(pid)
        if proc.holder(tus.path(url, ".lock")) == pid:
            return pid
        # The upload was parked meanwhile.
        os.kill(pid, signal.SIGCONT)


def interrupted(upload):
    """A client may start over after 400 or 500, not after these."""
    try:
        reply = upload.reply()
        assert (reply.status, reply.code) == (423, "ERR_UPLOAD_INTERRUPTED")
    except (EOFError, ConnectionResetError):
        pass


@ids("LOCK-01", "LOCK-03")
def test_head_takes_over_a_running_patch(tus, streaming):
    url = tus.create(200)
    upload = hanging(tus, url, 0, b"0123456789")
    start = time.monotonic()
    assert tus.offset(url) == 10
    assert time.monotonic() - start < 2
    reply = upload.reply()
    assert (reply.status, reply.code) == (423, "ERR_UPLOAD_INTERRUPTED")
    assert tus.patch(url, 10, b"x" * 190).status == 204
    assert tus.data(url) == b"0123456789" + b"x" * 190


@ids("LOCK-02", "LOCK-03")
def test_a_reconnect_takes_over_a_dead_link(tus, streaming):
    url = tus.create(200)
    upload = hanging(tus, url, 0, b"0123456789")
    start = time.monotonic()
    assert tus.patch(url, 10, b"x" * 190).status == 204
    assert time.monotonic() - start < 2
    interrupted(upload)
    assert tus.data(url) == b"0123456789" + b"x" * 190


@ids("LOCK-03")
def test_two_tabs_lose_nothing(tus, streaming):
    """Both send all the time, each the same bytes at the same place."""
    data = bytes(range(256)) * 2000
    url = tus.create(len(data))
    statuses = []

    def tab():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            reply = tus.head(url)
            if reply.status == 423:
                continue
            offset = int(reply["Upload-Offset"])
            if offset == len(data):
                return
            upload = tus.open_patch(url, offset, len(data) - offset)
            for i in range(offset, len(data), 40000):
                upload.send(data[i:i + 40000])
                time.sleep(0.02)
            try:
                statuses.append(upload.reply().status)
            except (EOFError, ConnectionResetError):
                pass

    tabs = [threading.Thread(target=tab) for _ in range(2)]
    for t in tabs:
        t.start()
    for t in tabs:
        t.join()
    assert tus.data(url) == data
    assert tus.get(url).status == 200
    assert set(statuses) <= {204, 409, 423}
    assert statuses.count(204) >= 1


@ids("LOCK-04")
def test_a_stopped_holder_is_423_and_never_robbed(tus, streaming, freeze):
    url = tus.create(200)
    upload = hanging(tus, url, 0, b"0123456789")
    pid = stop_holder(tus, url, freeze)
    for ask in (lambda: tus.head(url), lambda: tus.patch(url, 10, b"x"),
                lambda: tus.delete(url)):
        start = time.monotonic()
        reply = ask()
        assert reply.status == 423
        assert reply["Retry-After"] == "1"
        assert "Upload-Offset" not in reply
        # lock.timeout is 2 s here.
        assert 1.5 < time.monotonic() - start < 5
    os.kill(pid, signal.SIGCONT)
    assert tus.offset(url) == 10
    interrupted(upload)
    assert tus.patch(url, 10, b"x" * 190).status == 204
    assert tus.data(url) == b"0123456789" + b"x" * 190


@ids("LOCK-05", "PATCH-17")
def test_a_dead_holder_delays_nobody(serve, streaming):
    tus = serve(own=True)
    url = tus.create(200)
    upload = hanging(tus, url, 0, b"0123456789")
    os.kill(proc.holder(tus.path(url, ".lock")), signal.SIGKILL)
    start = time.monotonic()
    assert tus.patch(url, 10, b"x" * 190).status == 204
    assert time.monotonic() - start < 1


@pytest.fixture
def two_pools(serve):
    """Clients of two programs that share one store."""
    one = serve(own=True)
    two = serve({"store": {"path": str(one.server.uploads)}}, own=True)
    two.server.uploads = one.server.uploads
    return one, two


@ids("LOCK-06")
def test_one_of_two_patches_at_one_offset_wins(two_pools):
    one, two = two_pools
    for i in range(200):
        url = one.create(8)
        replies = {}
        barrier = threading.Barrier(2)

        def patch(tus, data):
            barrier.wait()
            replies[data] = tus.patch(url, 0, data).status

        threads = [threading.Thread(target=patch, args=a) for a in (
            (one, b"1111"), (two, b"2222"))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        winners = [d for d, status in replies.items() if status == 204]
        assert len(winners) == 1, replies
        assert set(replies.values()) <= {204, 409, 423}
        assert one.data(url) == winners[0]
        one.delete(url)


@ids("LOCK-06", "LOCK-01")
def test_the_lock_is_handed_over_between_pools(two_pools, streaming):
    one, two = two_pools
    url = one.create(200)
    upload = hanging(one, url, 0, b"0123456789")
    assert two.offset(url) == 10
    interrupted(upload)
    assert two.patch(url, 10, b"x" * 190).status == 204
    assert one.offset(url) == 200


@ids("LOCK-07")
def test_a_hanging_upload_delays_no_other(serve, streaming, freeze):
    # Parked, it would hang in the process that all parked uploads need.
    tus = serve({"lock": {"timeout": "30s"}, "pool": {"max_parked": 0}})
    url = tus.create(200)
    upload = hanging(tus, url, 0, b"0123456789")
    stop_holder(tus, url, freeze)
    start = time.monotonic()
    other = tus.create(3)
    assert tus.patch(other, 0, b"abc").status == 204
    assert tus.offset(other) == 3
    assert tus.delete(other).status == 204
    assert time.monotonic() - start < 15


@ids("LOCK-09")
def test_an_unknown_id_leaves_no_lock_file(tus):
    with tus.nothing_created():
        assert tus.head(UNKNOWN).status == 404
        assert tus.patch(UNKNOWN, 0, b"x").status == 404
        assert tus.delete(UNKNOWN).status == 404
        assert tus.get(UNKNOWN).status == 404


@ids("LOCK-10")
def test_get_and_options_interrupt_nobody(tus, streaming):
    url = tus.create(20)
    upload = hanging(tus, url, 0, b"0123456789", 20)
    for _ in range(3):
        assert tus.get(url).status == 404
        assert tus.options(url).status == 200
        time.sleep(0.2)
    upload.send(b"0123456789")
    upload.end()
    assert upload.reply().status == 204


@ids("LOCK-11")
def test_a_request_to_let_go_hits_one_holder_only(tus, streaming):
    url = tus.create(200)
    upload = hanging(tus, url, 0, b"0123456789")
    assert tus.offset(url) == 10
    interrupted(upload)
    upload = hanging(tus, url, 10, b"0123456789", 190)
    time.sleep(0.6)
    upload.send(b"x" * 180)
    upload.end()
    assert upload.reply().status == 204


@ids("LOCK-11")
def test_a_waiter_that_died_asks_no_more(serve, streaming, freeze):
    tus = serve({"lock": {"timeout": "30s"}}, own=True)
    url = tus.create(200)
    upload = hanging(tus, url, 0, b"0123456789", 200)
    holder = stop_holder(tus, url, freeze)
    before = {p for p in proc.children(tus.server.app.pid)
              if tus.path(url, ".lock") in proc.opened(p)}
    waiter = tus.open("HEAD", url)
    waiter.end()

    def waiting():
        return [p for p in proc.children(tus.server.app.pid)
                if tus.path(url, ".lock") in proc.opened(p) and p not in before]

    for pid in rig.wait_for(waiting, "a worker to wait for the lock"):
        os.kill(pid, signal.SIGKILL)
        rig.wait_for(lambda pid=pid: not proc.is_alive(pid), "its end")
    os.kill(holder, signal.SIGCONT)
    time.sleep(0.6)
    upload.send(b"x" * 190)
    upload.end()
    assert upload.reply().status == 204
    waiter.close()


@ids("LOCK-12")
def test_the_fifth_waiter_is_423_at_once(serve, streaming, freeze):
    tus = serve({"lock": {"timeout": "6s"}, "pool": {
        "min_spare": 8, "max_workers": 16}}, own=True)
    url = tus.create(200)
    upload = hanging(tus, url, 0, b"0123456789")
    stop_holder(tus, url, freeze)
    seconds = []

    def ask():
        start = time.monotonic()
        assert tus.head(url).status == 423
        seconds.append(time.monotonic() - start)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seconds.sort()
    assert len(seconds) == 8
    assert all(s < 3 for s in seconds[:4]), seconds
    assert all(s > 5 for s in seconds[4:]), seconds


@ids("LOCK-12")
def test_waiters_leave_workers_for_others(serve, streaming, freeze):
    tus = serve({"lock": {"timeout": "4s"}, "pool": {
        "min_spare": 2, "max_workers": 8, "reserve": 1}}, own=True)
    url = tus.create(200)
    other = tus.create(3)
    upload = hanging(tus, url, 0, b"0123456789")
    stop_holder(tus, url, freeze)
    waiters = [tus.open("HEAD", url) for _ in range(12)]
    for waiter in waiters:
        waiter.end()
    start = time.monotonic()
    assert tus.offset(other) == 0
    assert time.monotonic() - start < 3
    for waiter in waiters:
        assert waiter.reply().status == 423

