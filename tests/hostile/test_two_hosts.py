"""Two pools in network namespaces of their own, one store, one lock service."""

import os
import signal
import socket
import time

import pytest

from lib import rig
from lib.app import children, is_alive
from lib.hosts import (ENGINES, SESSION, Hosts, agent_of, half, must_have,
                       offset_within)

# Bytes that were acknowledged before the PATCH that is broken; no host counts
# on more than these when the writer could not say what it had.
ACKNOWLEDGED = 10
SAFE = str(ACKNOWLEDGED)
REST = b"y" * (100 - ACKNOWLEDGED)


@pytest.fixture(params=ENGINES)
def hosts(request, tmp_path):
    must_have(request.param)
    pools = Hosts(request.param, tmp_path)
    yield pools
    pools.close()
    for one in pools:
        one.check_logs()


def test_an_upload_goes_from_host_to_host(hosts):
    a, b = hosts
    path, patch = half(a)
    time.sleep(0.3)
    answer, took = offset_within(b, path, 5)
    assert (answer.status, answer.headers["upload-offset"]) == (200, "50")
    assert took < 2
    answer = patch.read()
    assert answer.status == 423
    assert answer.body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    line = [x for x in b.log().splitlines() if "method=HEAD" in x][-1]
    assert f"lock_host={socket.gethostname()} " in line, line
    assert b.client.patch(path, 50, b"y" * 50).status == 204
    assert a.client.head(path).headers["upload-offset"] == "100"


def test_what_a_killed_worker_held_is_free_everywhere(hosts):
    a, b = hosts
    path, patch = half(a)
    for pid in children(a.app.pid):
        if pid != agent_of(a):
            os.kill(pid, signal.SIGKILL)
    answer, took = offset_within(b, path, 5)
    patch.close()
    assert (answer.status, answer.headers["upload-offset"]) == (200, SAFE)
    assert took < 1.5


def test_what_a_killed_agent_held_is_free_soon(hosts):
    a, b = hosts
    path, patch = half(a)
    os.kill(agent_of(a), signal.SIGKILL)
    answer = patch.read()
    assert answer.body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    answer, took = offset_within(b, path, 2 * SESSION)
    assert (answer.status, answer.headers["upload-offset"]) == (200, SAFE)
    assert took < SESSION
    rig.wait_for(lambda: a.client.head(path).status == 200, "another agent")
    assert "the lock agent died" in a.log()


def test_a_host_that_is_cut_off_stops_before_another_begins(hosts):
    a, b = hosts
    path, patch = half(a)
    hosts.net.cut(0)
    began = time.monotonic()
    answer = patch.read()
    stopped = time.monotonic() - began
    assert answer.body.startswith(b"ERR_UPLOAD_INTERRUPTED")
    answer, _ = offset_within(b, path, 2 * SESSION)
    took = time.monotonic() - began
    assert (answer.status, answer.headers["upload-offset"]) == (200, SAFE)
    assert stopped < SESSION and stopped < took < SESSION + 2
    assert a.client.patch(path, ACKNOWLEDGED, REST).status == 503
    assert a.client.head(path).status == 423
    hosts.net.mend(0)
    rig.wait_for(lambda: a.client.head(path).status == 200, "the link")
    assert a.client.patch(path, ACKNOWLEDGED, REST).status == 204


def test_without_the_service_nobody_writes_and_the_rest_goes_on(hosts):
    a, b = hosts
    path = a.client.create(10)
    done = a.client.create(3)
    assert a.client.patch(done, 0, b"abc").status == 204
    hosts.service.send_signal(signal.SIGSTOP)
    answer = a.client.patch(path, 0, b"x" * 5)
    assert answer.status == 503 and answer.headers["retry-after"] == "5"
    assert answer.body.startswith(b"ERR_LOCK_UNAVAILABLE")
    assert b.client.head(path).status == 423
    assert b.client.head(done).headers["upload-offset"] == "3"
    hosts.service.send_signal(signal.SIGCONT)
    began = time.monotonic()
    rig.wait_for(lambda: a.client.patch(path, 0, b"x" * 5).status == 204,
                 "the service")
    assert time.monotonic() - began < 5
    assert is_alive(agent_of(a)) and is_alive(agent_of(b))
