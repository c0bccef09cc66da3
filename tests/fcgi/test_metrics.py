"""Prometheus text under metrics.path, counted over all workers."""

import os
import re
import signal

import pytest

from lib import rig
from lib.fastcgi import KEEP_CONN

ENABLED = {"metrics": {"enabled": True}}


def metrics(one, path="/metrics"):
    answer = one.client.request("GET", path, resumable=None)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(
        "text/plain; version=0.0.4")
    assert int(answer.headers["content-length"]) == len(answer.body)
    result = {}
    for line in answer.body.decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in result, line
            result[name] = float(value)
    return result


def test_requests_and_uploads_are_counted_over_all_workers(app):
    one = app(config=ENABLED)
    for _ in range(20):
        path = one.client.create(10)
        assert one.client.patch(path, 0, b"12345").status == 204
        assert one.client.patch(path, 5, b"12345").status == 204
    assert one.client.patch(path, 3, b"1").status == 409
    assert one.client.head("/files/" + "0" * 32).status == 404
    assert one.client.request("DELETE", path).status == 204
    assert one.client.request("FOO", path).status == 405
    m = metrics(one)
    assert m['tusd_requests_total{method="POST"}'] == 20
    assert m['tusd_requests_total{method="PATCH"}'] == 41
    assert m['tusd_requests_total{method="HEAD"}'] == 1
    assert m['tusd_requests_total{method="DELETE"}'] == 1
    assert m['tusd_requests_total{method="other"}'] == 1
    assert m["tusd_uploads_created"] == 20
    assert m["tusd_uploads_finished"] == 20
    assert m["tusd_uploads_terminated"] == 1
    assert m["tusd_bytes_received"] == 200
    assert m['tusd_errors_total{status="409",code='
             '"ERR_MISMATCHED_OFFSET"}'] == 1
    assert m['tusd_errors_total{status="404",code='
             '"ERR_UPLOAD_NOT_FOUND"}'] == 1


def test_gauges_tell_who_is_at_work(app):
    one = app(config={**ENABLED, "pool": {"max_parked": 0}})
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x" * 10)
        one.wait_for_bytes(path, 10)
        m = metrics(one)
        assert m['tusd_workers{state="receiving"}'] == 1
        assert m['tusd_workers{state="busy"}'] == 1
        assert m["tusd_connections_open"] == 2
        assert one.client.head(path).status == 200
        assert stream.read().status == 423
    m = metrics(one)
    assert m['tusd_workers{state="receiving"}'] == 0
    assert m["tusd_lock_waits_total"] == 1
    assert m["tusd_lock_takeovers_total"] == 1


def test_counters_survive_workers_and_reloads(app):
    one = app(config=ENABLED)
    for _ in range(5):
        one.client.create(10)
    for pid in one.workers():
        os.kill(pid, signal.SIGKILL)
    rig.wait_for(lambda: len(one.workers()) >= 4, "other workers")
    before = set(one.workers())
    one.app.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: not before & set(one.workers()), "yet others")
    assert metrics(one)["tusd_uploads_created"] == 5


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_path_and_prefix_are_the_administrators_choice(app, args):
    one = app(args=args, config={"base_path": "/files", "metrics": {
        "enabled": True, "path": "/private/numbers", "prefix": "up"}})
    m = metrics(one, "/private/numbers?x=y")
    assert all(name.startswith("up_") for name in m)
    assert one.client.request("GET", "/metrics").status == 404


def test_they_are_off_unless_asked_for(app):
    one = app(config={"base_path": "/files"})
    assert one.client.request("GET", "/metrics").status == 404


def test_whoever_only_looks_gets_the_headers(app):
    one = app(config=ENABLED)
    answer = one.client.request("HEAD", "/metrics", resumable=None)
    assert (answer.status, answer.body) == (200, b"")
    assert not answer.duplicates


def test_they_can_only_be_read(app):
    """A refusal like any other, and what was sent is read to its end; but the
    connection is not kept, since nobody knows where the next request begins."""
    one = app(config=ENABLED)
    for flags in (0, KEEP_CONN):
        with one.client.open("POST", "/metrics", length=3000000,
                             flags=flags) as stream:
            stream.send(b"x" * 3000000)
            answer = stream.finish()
            assert answer.status == 405
            assert answer.headers["allow"] == "GET, HEAD"
            assert answer.headers["tus-resumable"] == "1.0.0"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.body.startswith(b"ERR_METHOD_NOT_ALLOWED: ")
            assert stream.socket.recv(1) == b""
    assert one.client.request("HEAD", "/metrics").status == 200


def test_the_text_is_what_prometheus_reads(app):
    one = app(config=ENABLED)
    body = one.client.request("GET", "/metrics").body.decode()
    assert body.endswith("\n")
    typed = set()
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
            continue
        if line.startswith("# HELP "):
            continue
        match = re.fullmatch(
            r'([a-z_]+)(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? '
            r'[0-9]+(\.[0-9]+)?', line)
        assert match and match.group(1) in typed, line


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_hooks_are_counted(app, tmp_path, args):
    hooks = tmp_path / "hooks"
    hooks.mkdir(mode=0o755)
    for name, status in (("pre-create", 0), ("post-finish", 0),
                         ("pre-terminate", 1)):
        (hooks / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (hooks / name).chmod(0o755)
    one = app(args=args, config={"hooks": {"dir": str(hooks), "retries": 0},
                                 **ENABLED})
    for _ in range(3):
        path = one.client.create(5)
        assert one.client.patch(path, 0, b"12345").status == 204
    assert one.client.request("DELETE", path).status == 500

    def is_told():
        m = metrics(one)
        return m['tusd_hook_invocations_total{hooktype="post-finish"}'] == 3

    rig.wait_for(is_told, "all post-finish hooks")
    m = metrics(one)
    assert m['tusd_hook_invocations_total{hooktype="pre-create"}'] == 3
    assert m['tusd_hook_errors_total{hooktype="pre-create"}'] == 0
    assert m['tusd_hook_errors_total{hooktype="post-finish"}'] == 0
    assert m['tusd_hook_invocations_total{hooktype="pre-terminate"}'] == 1
    assert m['tusd_hook_errors_total{hooktype="pre-terminate"}'] == 1
    assert m['tusd_hook_invocations_total{hooktype="post-create"}'] == 0
