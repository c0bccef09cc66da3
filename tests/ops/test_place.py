"""The store's directory is covered, or replaced: nobody loses an upload."""

import os
import signal
import subprocess
import time

import pytest

from lib import mounts, rig

BODY = b"hello world"


def fill(one):
    done, half = one.client.create(len(BODY)), one.client.create(len(BODY))
    assert one.client.patch(done, 0, BODY).status == 204
    assert one.client.patch(half, 0, BODY[:3]).status == 204
    return done, half


def wait_until_away(one, path):
    rig.wait_for(lambda: one.client.head(path).status == 423, "the refusal")


def check_away(one, done, half):
    wait_until_away(one, half)
    for path in (done, half):
        answer = one.client.head(path)
        assert answer.status == 423
        assert int(answer.headers["retry-after"]) > 0
    said = [line for line in one.log().splitlines() if "status=423" in line]
    assert all("code=ERR_STORE_UNAVAILABLE" in line for line in said[-2:])
    for answer in (
            one.client.request("GET", done),
            one.client.patch(half, 3, BODY[3:]),
            one.client.request("POST", "/files", {"Upload-Length": "5"}),
            one.client.request("DELETE", half)):
        assert answer.status == 503
        assert b"ERR_STORE_UNAVAILABLE" in answer.body
        assert int(answer.headers["retry-after"]) > 0
    assert one.client.request("OPTIONS", "/files").status == 200


def check_back(one, done, half):
    rig.wait_for(lambda: one.client.head(half).status == 200, "the store")
    assert one.client.offset(half) == 3
    assert one.client.request("GET", done).body == BODY
    assert one.client.patch(half, 3, BODY[3:]).status == 204
    assert one.log().count("leads to another directory") == 1
    assert one.log().count("is in place again") == 1


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_a_store_below_a_mount_is_out_of_reach(app, args):
    one = app(args=args)
    done, half = fill(one)
    with mounts.covered(one.uploads):
        check_away(one, done, half)
        assert not list(one.uploads.iterdir())
    check_back(one, done, half)


def test_workers_that_start_below_a_mount_work_where_the_others_do(app):
    one = app({"pool": {"min_spare": 2, "max_workers": 8, "reserve": 1}})
    done, half = fill(one)
    with mounts.covered(one.uploads):
        wait_until_away(one, half)
        before = one.workers()
        one.app.send_signal(signal.SIGHUP)
        rig.wait_for(lambda: len(one.workers()) >= 2 and
                     not set(before) & set(one.workers()), "new workers")
        check_away(one, done, half)
    check_back(one, done, half)


def test_a_store_that_was_replaced_is_out_of_reach(app):
    one = app()
    done, half = fill(one)
    aside = one.uploads.with_name("aside")
    one.uploads.rename(aside)
    one.uploads.mkdir(0o2770)
    check_away(one, done, half)
    assert not list(one.uploads.iterdir())
    one.uploads.rmdir()
    time.sleep(1.1)
    assert one.client.head(half).status == 423
    assert not one.uploads.exists()
    aside.rename(one.uploads)
    check_back(one, done, half)


def test_locks_that_were_replaced_let_nobody_in(app, tmp_path):
    locks = tmp_path / "locks"
    locks.mkdir()
    one = app({"lock": {"path": str(locks)}})
    done, half = fill(one)
    aside = tmp_path / "aside"
    locks.rename(aside)
    locks.mkdir()
    check_away(one, done, half)
    assert not list(locks.iterdir())
    locks.rmdir()
    aside.rename(locks)
    check_back(one, done, half)


def test_a_body_stops_where_min_free_begins(app):
    one = app({"store": {"min_free": "30M", "overcommit": "always"}})
    one.stop_app()
    with mounts.covered(one.uploads, "80m"):
        one.start_app()
        path = one.client.create(200 << 20)
        assert one.client.patch(path, 0, b"x" * (70 << 20)).status == 507
        room = os.statvfs(one.uploads)
        assert 30 << 20 <= room.f_bavail * room.f_frsize < 32 << 20
        offset = one.client.offset(path)
        assert offset == one.data_size(path) > 45 << 20
        assert one.client.patch(path, offset, b"x" * (2 << 20)).status == 507
        one.stop_app()


def test_what_is_finished_waits_for_the_place_where_it_goes(app, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    one = app({"finish": {"move_to": f"{target}/{{id}}"}})
    done, half = fill(one)
    rig.wait_for(lambda: len(list(target.iterdir())) == 1, "the first move")
    assert one.client.request("GET", done).body == BODY
    with mounts.covered(target):
        rig.wait_for(lambda: one.client.request("GET", done).status == 503,
                     "the refusal")
        assert one.client.head(done).status == 200
        time.sleep(1.1)
        assert one.client.patch(half, 3, BODY[3:]).status == 204
        rig.wait_for(lambda: "finish.move_to: " in one.log(), "a line")
        assert one.client.request("GET", half).body == BODY
        assert not list(target.iterdir())
    assert len(list(target.iterdir())) == 1
    subprocess.run([rig.program("tusctl"), "-c", str(one.config_path),
                    "sweep"], check=True, timeout=60, capture_output=True)
    assert len(list(target.iterdir())) == 2
    rig.wait_for(lambda: one.client.request("GET", done).body == BODY,
                 "the file")
    assert one.client.request("GET", half).body == BODY
