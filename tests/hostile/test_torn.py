"""A record that is read while somebody writes it.

Readers without the lock see halves of two heads now and then.  That is no
damage, and no reason to send a client back to the beginning.
"""

import contextlib
import fcntl
import multiprocessing
import os
import time

import pytest

from .conftest import number
from .crowd import ask

SECONDS = number("TORN", 5)
SIZE = 2_000_000

HEAD = ('{{"Offset":{:20d},"Size":{:20d},"SizeIsDeferred":{:>5s},'
        '"Finished":{:20d},"Hold":{:20d},"Expires":{:20d},"Boot":"{}",')


def rewrite(path, heads, until):
    """As a worker would, but without a pause, and mostly without the lock; and
    as the page cache shows it to one in 100,000 readers, now and then for as
    long as a call takes."""
    fd = os.open(path, os.O_RDWR)
    while time.monotonic() < until:
        for _ in range(100):
            for head in heads:
                os.pwrite(fd, head, 0)
        with locked(path):
            os.pwrite(fd, torn(heads), 0)
            os.pwrite(fd, heads[1], 0)
        time.sleep(0.0002)
    os.close(fd)


def torn(heads):
    return heads[1][:160] + heads[0][160:]


@contextlib.contextmanager
def locked(info):
    """As by a worker that writes this record."""
    with open(info.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def half(app):
    """(client, path, record, two heads) of an upload of SIZE, half of it here;
    what the records say else is nonsense."""
    server = app(args=["-w", "2"])
    path = server.client.create(SIZE)
    server.client.patch(path, 0, b"t" * (SIZE // 2))
    info = server.uploads / (path.rsplit("/", 1)[1] + ".info")
    boot = info.read_bytes()[181:217].decode()
    heads = [HEAD.format(0, 0, "true", 0, -1, 0, boot).encode(),
             HEAD.format(SIZE // 2, SIZE, "false", 0, -1, 4_000_000_000_123,
                         boot).encode()]
    assert all(len(h) == 219 for h in heads)
    return server.client, path, info, heads


def test_no_reader_acts_on_a_torn_head(half):
    """INV-06.  Where the writer is kept from its work for long, as on a busy
    machine, a reader is told to come again."""
    client, path, info, heads = half
    until = time.monotonic() + SECONDS
    writer = multiprocessing.get_context("fork").Process(
        target=rewrite, args=(info, heads, until))
    writer.start()
    seen = look(client, path, until)
    writer.join()
    print(f"torn: {seen}")
    assert set(seen) - {("HEAD", 423), ("GET", 423)} == {
        ("HEAD", 200), ("GET", 404)}


def look(client, path, until):
    """{(method, status): how often}"""
    seen = {}
    while time.monotonic() < until:
        for method in ("HEAD", "GET"):
            answer = ask(client, method, path)
            key = (method, answer.status)
            seen[key] = seen.get(key, 0) + 1
            if answer.status == 200:
                # What counts is the data.
                assert method == "HEAD", answer
                assert answer.headers["upload-offset"] == str(SIZE // 2)
    return seen


def test_a_head_that_stays_torn_is_damage_once_nobody_writes_it(half):
    """HEAD-17, HEAD-15: the writer was stopped, then killed."""
    client, path, info, heads = half
    with open(info, "r+b") as file, locked(info):
        file.write(torn(heads))
        file.flush()
        for method in ("HEAD", "GET"):
            answer = ask(client, method, path)
            assert (answer.status, answer.headers["retry-after"]) == (423, "1")
    assert [ask(client, method, path).status for method in ("HEAD", "GET")] == [
        500, 500]
