"""Reading needs no right to write: a read-only mount, restored files."""

import os
import shutil
import subprocess

import pytest

from lib import mounts, rig
from lib.app import App

BODY = b"hello world"


def ctl(app, *arguments, status=0):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", str(app.config_path), *arguments],
        timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode == status, (run.stdout, run.stderr)
    return run.stdout


@pytest.fixture
def app(short_folder, servers):
    """Like the one for all tests, where any user can get at it."""
    return lambda **options: servers(App(short_folder, **options))


def fill(one):
    """A finished upload, and one of which three bytes are there."""
    done = one.client.create(len(BODY), {"filename": "a.txt"})
    assert one.client.patch(done, 0, BODY).status == 204
    half = one.client.create(len(BODY))
    assert one.client.patch(half, 0, BODY[:3]).status == 204
    return done, half


def check_reading(one, done, half):
    answer = one.client.head(done)
    assert (answer.status, answer.headers["upload-offset"]) == (200, "11")
    assert answer.headers["upload-metadata"] == "filename YS50eHQ="
    answer = one.client.request("GET", done)
    assert (answer.status, answer.body) == (200, BODY)
    answer = one.client.request("GET", done, {"Range": "bytes=6-"})
    assert (answer.status, answer.body) == (206, b"world")
    done, half = (path.rsplit("/", 1)[1] for path in (done, half))
    listed = ctl(one, "list")
    assert done in listed and half in listed
    assert "finished" in ctl(one, "show", done)
    assert "unfinished" in ctl(one, "show", half)
    assert "2 uploads, 0 damaged" in ctl(one, "check")


def check_unfinished(one, half, why):
    """HEAD-17: a 5xx would have the client begin anew."""
    answer = one.client.head(half)
    assert answer.status == 423
    assert int(answer.headers["retry-after"]) > 0
    assert "upload-offset" not in answer.headers
    line = [line for line in one.log().splitlines() if "status=423" in line][-1]
    assert "code=ERR_INTERNAL_SERVER_ERROR" in line and why in line, line
    assert one.client.patch(half, 3, BODY[3:]).status == 500


def test_a_read_only_mount_is_served(app):
    one = app()
    done, half = fill(one)
    one.stop_app()
    with mounts.read_only(one.uploads):
        one.start_app()
        check_reading(one, done, half)
        check_unfinished(one, half, "Read-only file system")
        one.stop_app()
    # And whatever could not be done there goes on.
    one.start_app()
    assert one.client.offset(half) == 3
    assert one.client.patch(half, 3, BODY[3:]).status == 204


def test_damage_is_found_on_a_read_only_mount(app):
    one = app()
    done, _ = fill(one)
    one.stop_app()
    name = done.rsplit("/", 1)[1]
    (one.uploads / (name + ".info")).write_bytes(b"{nonsense")
    with mounts.read_only(one.uploads):
        assert f"{name}  damaged: " in ctl(one, "check", status=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="two users need root")
def test_files_that_another_user_restored_are_served(app):
    one = app(config={"pool": {"user": "nobody"}})
    one.stop_app()
    shutil.chown(one.uploads, "nobody")
    one.start_app()
    done, half = fill(one)
    for path in one.uploads.glob("?*"):
        if path.is_file():
            shutil.chown(path, "root", "root")
            path.chmod(0o644)
    check_reading(one, done, half)
    check_unfinished(one, half, "Permission denied")
    assert one.client.request("DELETE", done).status == 204
    assert not (one.uploads / done.rsplit("/", 1)[1]).exists()
    for path in one.uploads.glob("?*"):
        if path.is_file():
            shutil.chown(path, "nobody")
    assert one.client.offset(half) == 3
    assert one.client.patch(half, 3, BODY[3:]).status == 204
