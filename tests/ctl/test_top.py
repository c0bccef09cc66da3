"""tusctl top, beside a pool that is at work."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest

from lib import rig
from lib.tusctl import NO_LEAKS

OPEN = {"status": {"path": "/status"}, "owner": {"param": "REMOTE_USER"}}


def top(one, *options, status=0):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", one.config_path, "top", *options],
        capture_output=True, text=True, timeout=60)
    assert run.returncode == status, run
    return run.stdout, run.stderr


def upload(one, owner="anna"):
    """One under way."""
    who = {"REMOTE_USER": owner}
    path = one.client.request(
        "POST", "/files", {"Upload-Length": "1000", "Upload-Metadata":
                           "filename aG9saWRheS5tcDQ="},
        extra=who).headers["location"]
    stream = one.client.open("PATCH", path, one.client.patch_headers(0), 1000,
                             extra=who)
    stream.send(b"x" * 250)
    one.wait_for_bytes(path, 250)
    return path.rsplit("/", 1)[1], stream


def socket_of(one):
    return ["--socket", str(one.socket)]


def test_it_shows_what_the_server_is_at(app):
    one = app(config=OPEN)
    id, stream = upload(one)
    with stream:
        def shown():
            out, _ = top(one, *socket_of(one))
            return "25%" in out and out
        out = rig.wait_for(shown, "the upload")
    line = next(x for x in out.splitlines() if x.startswith(id))
    assert line.split()[1:3] == ["25%", "1000"]
    assert "client" in line and "anna" in line and "holiday.mp4" in line
    assert re.search(r"workers +(1 receiving|.*; 1 parked)", out)
    assert re.search(r"uploads +1 created, 0 finished", out)
    assert "\x1b" not in out


def test_pool_listen_says_where(app):
    one = app(config=OPEN)
    one.config_path.write_text(rig.libconfig(
        {"store": {"path": str(one.uploads)}, **OPEN,
         "pool": {"listen": str(one.socket)}}))
    assert "tusfcgi" in top(one)[0]


def test_what_clients_say_does_not_command_the_terminal(app):
    one = app(config=OPEN)
    _, stream = upload(one, owner="a\x1b[2Jb")
    with stream:
        out, _ = top(one, *socket_of(one))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", out)


@pytest.mark.parametrize("config, words", [
    ({}, "status.path is not set"),
    ({"status": {"path": "/elsewhere"}}, "is status.path of the running"),
])
def test_it_says_why_there_is_nothing_to_see(app, config, words):
    one = app(config=OPEN)
    one.config_path.write_text(rig.libconfig(
        {"store": {"path": str(one.uploads)}, **config}))
    _, said = top(one, *socket_of(one), status=2 if not config else 1)
    assert words in said


def test_nobody_there_is_said_with_the_place(app, tmp_path):
    one = app(config=OPEN)
    for place in (str(tmp_path / "none"), "127.0.0.1:1"):
        _, said = top(one, "--socket", place, status=1)
        assert place in said


def watch(one, rows, columns, seconds, key=b"q"):
    """What a terminal of that size gets until a key is pressed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(rig.program("tusctl"), [
            "tusctl", "-c", str(one.config_path), "top", *socket_of(one)],
            {**NO_LEAKS, "LC_ALL": "C.UTF-8"})
    fcntl.ioctl(fd, termios.TIOCSWINSZ,
                struct.pack("HHHH", rows, columns, 0, 0))
    seen, end, is_asked = b"", time.monotonic() + seconds, False
    while True:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                piece = os.read(fd, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        if time.monotonic() > end and not is_asked:
            os.write(fd, key)
            is_asked = True
        assert time.monotonic() < end + 30
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_on_a_terminal_it_is_shown_anew_until_a_key_ends_it(app, key):
    one = app(config=OPEN)
    id, stream = upload(one)
    with stream:
        status, seen = watch(one, 24, 80, 5, key)
    assert status == 0
    frames = seen.split("\x1b[H")[1:]
    assert len(frames) >= 2
    assert id in frames[-1]
    assert seen.endswith("\x1b[?25h\x1b[?1049l")


def test_nothing_is_wider_or_longer_than_the_terminal(app):
    one = app(config=OPEN)
    streams = [upload(one)[1] for _ in range(12)]
    _, seen = watch(one, 20, 60, 5)
    for stream in streams:
        stream.close()
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.split("\x1b[H")[-1])
    lines = last.replace("\r", "").split("\n")
    assert max(map(len, lines)) <= 60 and len(lines) <= 20
    assert "and" in last and "more" in last
