"""SIGHUP while people upload through a web server: nobody notices."""

import hashlib
import http.client
import os
import random
import re
import signal
import threading
import time

import pytest

from lib import clients, proc, rig

PIECE = 40000
BODY = {"Content-Type": "application/offset+octet-stream",
        "Tus-Resumable": "1.0.0"}


def trickle(data, seed):
    """A body that takes its time."""
    pause = random.Random(seed)
    for at in range(0, len(data), PIECE):
        time.sleep(pause.uniform(0, 0.04))
        yield data[at:at + PIECE]


def patch(one, path, offset, data, seed):
    link = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
    link.request("PATCH", path, body=trickle(data, seed), headers={
        **BODY, "Upload-Offset": str(offset),
        "Content-Length": str(len(data))})
    answer = link.getresponse()
    answer.read()
    link.close()
    return answer.status


class Uploader(threading.Thread):
    """Uploads one file after the other, each in three requests."""

    def __init__(self, one, seed, is_over):
        super().__init__()
        self.one, self.seed, self.is_over = one, seed, is_over
        self.statuses, self.done = [], {}

    def upload(self, data):
        status, headers, _ = clients.request(
            "POST", self.one.url, {"Upload-Length": str(len(data))}, b"")
        self.statuses.append(status)
        path, third = headers["Location"], len(data) // 3
        for start, end in ((0, third), (third, 2 * third),
                           (2 * third, len(data))):
            self.statuses.append(
                patch(self.one, path, start, data[start:end], self.seed))
        self.done[path] = hashlib.sha256(data).digest()

    def run(self):
        while not self.is_over.is_set():
            self.upload(os.urandom(36 * PIECE))


@pytest.mark.parametrize("max_workers", [64, 8])
def test_uploads_do_not_notice_reloads(server, max_workers):
    """With room, and where the pool is nearly full of them."""
    config = {"pool": {"max_workers": max_workers, "min_spare": 2,
                       "reserve": 2}, "log": {"level": "info"}}
    one = server(config=config)
    first = set(proc.workers(one.app.pid))
    is_over = threading.Event()
    people = [Uploader(one, n, is_over) for n in range(6)]
    for person in people:
        person.start()
    for n in range(1, 9):
        time.sleep(0.25)
        one.configure(rig.merge(config, {"max_size": f"{n}G"}))
        one.app.send_signal(signal.SIGHUP)
        rig.wait_for(lambda n=n: one.log().count("replacing the workers") == n,
                     "the reload")
    is_over.set()
    for person in people:
        person.join()
    assert sum(len(p.done) for p in people) >= 12
    assert {s for p in people for s in p.statuses} == {201, 204}
    for path, digest in (x for p in people for x in p.done.items()):
        status, _, data = clients.request("GET", one.origin + path)
        assert status == 200 and hashlib.sha256(data).digest() == digest
    assert not first & set(proc.workers(one.app.pid))
    assert not re.search(r"status=[45]|killed| (warn|error) ", one.log())
    assert clients.request("OPTIONS", one.url)[1]["Tus-Max-Size"] == \
        str(8 << 30)


@pytest.mark.parametrize("args", [["-w", "2"], ["-w", "1"]],
                         ids=["pool", "alone"])
@pytest.mark.parametrize("sandbox", [True, False])
def test_who_is_busy_while_the_log_is_rotated_writes_to_the_new_one(
        app, args, sandbox, tmp_path):
    """Else the line is where nobody looks any more, or in a file that was
    compressed meanwhile."""
    log = tmp_path / "log" / "tusfcgi.log"
    log.parent.mkdir()
    one = app(args=args, config={
        "log": {"target": str(log), "level": "info"},
        "pool": {"sandbox": sandbox}})
    path = one.client.create(10)
    with one.client.open_patch(path, 0, 10) as stream:
        stream.send(b"hello")
        one.wait_for_bytes(path, 5)
        log.rename(log.with_suffix(".log.1"))
        one.app.send_signal(signal.SIGHUP)
        if "2" in args:
            rig.wait_for(lambda: log.exists() and "replacing the workers" in
                         log.read_text(), "the reload")
        else:
            time.sleep(0.2)
        stream.send(b"world")
        assert stream.finish().status == 204
    rig.wait_for(lambda: log.exists() and "method=PATCH" in log.read_text(),
                 "the line")
    assert "method=PATCH" not in log.with_suffix(".log.1").read_text()
