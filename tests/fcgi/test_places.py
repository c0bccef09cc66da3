"""Requests that can take long have a limit, and the others never wait for them.

A place is one of pool.max_workers - pool.reserve.
"""

import fcntl
import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import rig, uploads
from lib.fastcgi import STDIN, record

# Each body keeps its worker, and its place, until it is over.
POOL = {"min_spare": 2, "max_workers": 4, "reserve": 2, "max_parked": 0}
NEEDS_STRACE = pytest.mark.skipif(not shutil.which("strace"),
                                  reason="no strace")


def occupy(one, n):
    """n uploads that take all places, and stall."""
    streams = []
    for _ in range(n):
        path = one.client.create(100)
        streams.append(one.client.open_patch(path, 0, 100))
        streams[-1].send(b"x" * 10)
        one.wait_for_bytes(path, 10)
    return streams


def took(work):
    began = time.monotonic()
    result = work()
    return time.monotonic() - began, result


def is_turned_away(answer):
    return answer.status == 503 and answer.headers["retry-after"] == "1" \
        and answer.body.startswith(b"ERR_TOO_BUSY")


def partial(one, body=b"abc"):
    return one.client.request("POST", "/files", {
        "Upload-Concat": "partial", "Upload-Length": str(len(body)),
        "Content-Type": "application/offset+octet-stream"},
        body).headers["location"]


def final(parts, number):
    """The headers of a final upload; the same again would be no other one."""
    return {"Upload-Concat": "final;" + " ".join(parts),
            "Upload-Metadata": f"number{number}"}


def concat(one, parts, number):
    return one.client.request("POST", "/files", final(parts, number))


@NEEDS_STRACE
def test_a_concatenation_takes_a_place(app):
    """Copying takes five seconds a part here, and a place is waited for one."""
    one = app(config={"pool": POOL, "lock": {"timeout": "1s"}}, env={
        "ASAN_OPTIONS": "detect_leaks=0"}, under=[
        "strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e",
        "trace=copy_file_range", "-e", "inject=copy_file_range:delay_enter=5s"])
    parts = [partial(one) for _ in range(2)]
    lonely = one.client.create(5)
    streams = [one.client.open("POST", "/files", final(parts, n), length=0)
               for n in range(4)]
    for stream in streams:
        stream.send_raw(record(STDIN))
    answers = []
    threads = [threading.Thread(target=lambda s=s: answers.append(s.read()))
               for s in streams]
    for thread in threads:
        thread.start()
    rig.wait_for(lambda: len(answers) == 2, "two to be turned away")
    assert all(map(is_turned_away, answers)), answers
    for _ in range(5):
        seconds, answer = took(lambda: one.client.head(lonely))
        assert answer.status == 200 and seconds < 1
    assert is_turned_away(concat(one, parts, 4))
    for thread in threads:
        thread.join()
    assert [a.status for a in answers[2:]] == [201, 201]
    assert concat(one, parts, 5).status == 201


def test_without_a_concatenation_a_creation_needs_no_place(app):
    one = app(config={"pool": POOL})
    streams = occupy(one, 2)
    assert partial(one, b"") and one.client.create(5)
    parts = [partial(one), partial(one)]
    assert is_turned_away(concat(one, parts, 4))
    for stream in streams:
        stream.close()
    rig.wait_for(lambda: concat(one, parts, 5).status == 201, "a place")


def test_a_last_byte_that_would_be_followed_by_a_move_needs_a_place(
        app, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    one = app(config={"pool": POOL,
                      "finish": {"move_to": f"{there}/{{id}}"}})
    path = one.client.create(5)
    assert one.client.patch(path, 0, b"abc").status == 204
    streams = occupy(one, 2)
    assert is_turned_away(one.client.patch(path, 3, b"de"))
    assert one.client.offset(path) == 3
    for stream in streams:
        stream.close()
    rig.wait_for(lambda: one.client.patch(path, 3, b"de").status == 204,
                 "a place")
    rig.wait_for(lambda: list(there.iterdir()), "the file to be moved")


def test_a_look_at_what_a_crash_left_moves_nothing_without_a_place(
        app, tmp_path):
    """It is left to the sweep."""
    there = tmp_path / "there"
    there.mkdir()
    config = {"pool": POOL, "finish": {"move_to": f"{there}/{{id}}"}}
    one = app(config=config)
    store = uploads.Store(one.uploads)
    ids = [store.make(b"hello", size=5, finished=0) for _ in range(2)]
    assert one.client.head(f"/files/{ids[0]}").status == 200
    rig.wait_for(lambda: (there / ids[0]).exists(), "the file to be moved")
    streams = occupy(one, 2)
    assert one.client.head(f"/files/{ids[1]}").status == 200
    time.sleep(0.5)
    assert not (there / ids[1]).exists()
    subprocess.run([rig.program("tusctl"), "-c", one.config_path, "sweep"],
                   check=True)
    assert (there / ids[1]).read_bytes() == b"hello"
    for stream in streams:
        stream.close()


# --- One place. ---

@pytest.fixture
def hooked(app, tmp_path):
    """One place, and a post-finish hook that takes a moment."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    hook = hooks / "post-finish"
    hook.write_text(f"#!/bin/sh\nsleep 0.1\necho >>{tmp_path}/told\n")
    hook.chmod(0o755)
    one = app(args=["-w", "4"], config={
        "hooks": {"dir": str(hooks)}, "pool": {"reserve": 3},
        "lock": {"timeout": "20s"}})
    one.told = tmp_path / "told"
    return one


def test_one_place_is_free_when_the_answer_is_out(hooked):
    """A post-finish hook that exists is no reason to keep it."""
    for i in range(100):
        path = hooked.client.create(5)
        assert hooked.client.patch(path, 0, b"hel").status == 204, i
        assert hooked.client.offset(path) == 3
    assert not hooked.told.exists()


def test_who_comes_while_a_hook_is_told_waits_for_its_end(hooked):
    for i in range(20):
        path = hooked.client.create(5)
        assert hooked.client.patch(path, 0, b"hello").status == 204, i
    rig.wait_for(lambda: hooked.told.exists() and
                 len(hooked.told.read_text()) == 20, "all hooks")


def test_no_more_wait_for_a_place_than_leave_one_ready(app, tmp_path):
    """Of ten creations while a hook takes its time, a HEAD takes no notice."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-create").write_text("#!/bin/sh\nsleep 3\n")
    (hooks / "pre-create").chmod(0o755)
    one = app(args=["-w", "4"], config={
        "hooks": {"dir": str(hooks)},
        "pool": {"reserve": 3}, "lock": {"timeout": "10s"}})
    id = uploads.Store(one.uploads).make(b"hel", size=5)
    with ThreadPoolExecutor(10) as many:
        answers = [many.submit(one.client.request, "POST", "/files",
                               {"Upload-Length": "1"}) for _ in range(10)]
        time.sleep(0.5)
        for _ in range(10):
            seconds, answer = took(lambda: one.client.head(f"/files/{id}"))
            assert answer.status == 200 and seconds < 0.5
        statuses = [a.result().status for a in answers]
    assert 201 in statuses and set(statuses) <= {201, 503}


# --- Waiting. ---

def test_a_stopped_holder_of_a_quota_is_waited_for_a_moment(app):
    owner = {"TUS_OWNER": "alice"}
    one = app(args=["-w", "2"], config={
        "owner": {"param": "TUS_OWNER"}, "quota": {"uploads": 5}})
    create = {"method": "POST", "uri": "/files",
              "headers": {"Upload-Length": "5"}, "extra": owner}
    path = one.client.request(**create).headers["location"]
    lock, = one.uploads.glob(".quota/*/lock")
    fd = os.open(lock, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    seconds, answer = took(lambda: one.client.request(**create))
    assert is_turned_away(answer) and seconds < 3
    with ThreadPoolExecutor(4) as many:
        waiting = [many.submit(one.client.request, **create)
                   for _ in range(4)]
        seconds, answer = took(
            lambda: one.client.request("HEAD", path, extra=owner))
        assert answer.status == 200 and seconds < 3
        assert all(is_turned_away(w.result()) for w in waiting)
    fcntl.flock(fd, fcntl.LOCK_UN)
    assert one.client.request(**create).status == 201
    fcntl.flock(fd, fcntl.LOCK_EX)
    with ThreadPoolExecutor(2) as many:
        waiting = [many.submit(one.client.request, **create)
                   for _ in range(2)]
        seconds, status = took(one.stop_app)
        assert status == 0 and seconds < 5
    os.close(fd)


def test_who_waits_for_a_lock_keeps_nobody_else_waiting(app):
    """The last ready worker is not for those who wait."""
    one = app(args=["-w", "4"], config={"lock": {"timeout": "10s"}})
    store = uploads.Store(one.uploads)
    ids = [store.make(b"hel", size=5) for _ in range(9)]
    fds = []
    for id in ids[1:]:
        fds.append(os.open(one.uploads / f"{id}.lock",
                           os.O_RDWR | os.O_CREAT))
        fcntl.flock(fds[-1], fcntl.LOCK_EX)
    with ThreadPoolExecutor(8) as many:
        waiting = [many.submit(one.client.patch, f"/files/{id}", 3, b"l")
                   for id in ids[1:]]
        time.sleep(1)
        for _ in range(10):
            seconds, answer = took(
                lambda: one.client.head(f"/files/{ids[0]}"))
            assert answer.status == 200 and seconds < 1
        assert {w.result().status for w in waiting} == {423}
    for fd in fds:
        os.close(fd)


def test_a_lock_is_handed_over_in_a_full_pool(app):
    """There is time for that, although no worker is ready."""
    one = app(args=["-w", "2"])
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x" * 10)
        one.wait_for_bytes(path, 10)
        assert one.client.patch(path, 10, b"y").status == 204
        assert stream.read().status == 423


def test_what_is_refused_is_not_read_where_others_wait(app):
    """Eight bodies that nobody wants, which go on and on."""
    one = app(args=["-w", "3"], config={"timeouts": {"drain": "10s"}})
    path = one.client.create(100)
    stop = threading.Event()

    def push():
        with one.client.open_patch(path, 7, 1 << 30) as stream:
            try:
                while not stop.is_set():
                    stream.send(b"x")
                    time.sleep(0.1)
            except (BrokenPipeError, ConnectionResetError):
                pass

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    times = [took(lambda: one.client.head(path))[0] for _ in range(10)]
    stop.set()
    for thread in threads:
        thread.join()
    assert max(times) < 1, times
