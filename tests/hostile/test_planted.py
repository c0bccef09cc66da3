"""Somebody else may write to our directory and leaves things there.

Nothing is followed, nothing blocks, nobody waits longer than a second, and
what is damaged can be deleted.
"""

import json
import os
import shutil
import socket
import stat
import subprocess
import time

import pytest

from lib import rig

from .conftest import tusctl

SECRET = b"not for uploaders\n" * 30
KINDS = ["symlink", "dangling", "hardlink", "fifo", "directory", "socket",
         "device"]
PLACES = ["", ".info", ".lock", ".info.new"]


def plant(path, kind, outside):
    if path.is_symlink() or path.exists():
        path.unlink()
    if kind == "symlink":
        path.symlink_to(outside)
    elif kind == "dangling":
        path.symlink_to(outside.parent / "new")
    elif kind == "hardlink":
        # A file of ours may have as many names as it likes.
        os.chown(outside, 65534, 65534)
        os.link(outside, path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(path.name)
        finally:
            os.chdir(here)
    else:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        try:
            path.open("rb").close()
        except PermissionError:
            pytest.skip("a device can be made here, but not be opened")


def in_time(server, *args, **options):
    began = time.monotonic()
    answer = server.client.request(*args, **options)
    took = time.monotonic() - began
    assert took < 1, f"{args} took {took:.1f} s: {answer}"
    assert answer.ended and answer.status is not None, answer
    assert SECRET[:10] not in answer.raw, answer
    return answer


@pytest.fixture
def planted(app, tmp_path):
    """A factory: planted(place, kind, finished) -> server, upload's path."""
    server = app(args=["-w", "3"], config={"lock": {"timeout": "500ms"}})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)

    def make(place, kind, finished):
        path = server.client.create(
            100, headers={"Upload-Concat": "partial"} if finished else None)
        size = 100 if finished else 50
        server.client.patch(path, 0, b"x" * size)
        try:
            plant(server.uploads / (path.rsplit("/", 1)[1] + place), kind,
                  outside / "secret")
        except PermissionError:
            pytest.skip(f"may not make a {kind}")
        return server, path

    yield make
    assert (outside / "secret").read_bytes() == SECRET
    assert [p.name for p in outside.iterdir()] == ["secret"]


@pytest.mark.parametrize("finished", [False, True],
                         ids=["unfinished", "finished"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_planted_is_followed_or_waited_for(
        planted, place, kind, finished):
    """INV-22, INV-31"""
    server, path = planted(place, kind, finished)
    name = server.uploads / (path.rsplit("/", 1)[1] + place)
    bad = (404, 423, 500)
    if place == ".info.new":
        # Nobody looks at it until the record is made anew.
        bad = (200, 204, 404)
    if place == ".lock":
        bad = (200, 404, 413, 500)
    assert in_time(server, "HEAD", path).status in bad
    assert in_time(server, "GET", path).status in bad
    headers = server.client.patch_headers(50)
    assert in_time(server, "PATCH", path, headers, b"y" * 50).status in \
        bad + (409,)
    answer = in_time(server, "POST", "/files",
                     {"Upload-Concat": f"final;{path}"})
    assert answer.status in (201, 400, 404, 500)
    for command in ("list", "check", "settle", "sweep", "adopt"):
        began = time.monotonic()
        done = tusctl(server, command)
        assert done.returncode in (0, 1), (command, done)
        assert time.monotonic() - began < 2, command
        assert "not for uploaders" not in done.stdout + done.stderr
    answer = in_time(server, "DELETE", path)
    if kind == "directory" and place in ("", ".info", ".lock"):
        # Only an operator can remove that.
        assert answer.status in (404, 500)
        name.rmdir()
    elif place == ".lock":
        assert answer.status == 204 or (
            answer.status == 500 and "not a regular file" in server.log() or
            "belongs to user" in server.log()), answer
    else:
        assert answer.status in (204, 404), answer
        assert in_time(server, "HEAD", path).status == 404
    assert server.client.request("OPTIONS", "/files").status == 200


@pytest.mark.parametrize("place", ["", ".info", ".lock"])
def test_a_second_name_of_our_own_file_is_no_harm(app, tmp_path, place):
    """As a hook's ln makes it, or hardlink, or "cp -al" of the store."""
    server = app(args=["-w", "2"])
    path = server.client.create(6)
    name = server.uploads / (path.rsplit("/", 1)[1] + place)
    server.client.patch(path, 0, b"abc")
    os.link(name, tmp_path / "first")
    assert server.client.offset(path) == 3
    assert server.client.patch(path, 3, b"def").status == 204
    if place != ".lock":
        os.link(name, tmp_path / "second")
    assert server.client.offset(path) == 6
    assert in_time(server, "GET", path).body == b"abcdef"
    for command in ("list", "check", "settle", "sweep", "adopt"):
        assert tusctl(server, command).returncode == 0, command
    assert in_time(server, "DELETE", path).status == 204
    assert in_time(server, "HEAD", path).status == 404
    if place == "":
        assert (tmp_path / "second").read_bytes() == b"abcdef"


def head_of(text):
    return text[:219]


def damaged_records(good, other):
    """Records that tell nonsense, each by name."""
    decoded = json.loads(good)
    head = head_of(good)

    def foreign(**keys):
        base = {"ID": decoded["ID"], "Size": 100, "MetaData": {},
                "IsPartial": False, "IsFinal": False, "PartialUploads": None,
                "Storage": decoded["Storage"]}
        return json.dumps({**base, **keys}).encode()

    return {
        "long": b" " * (1 << 20),
        "null": b"null", "list": b"[]", "text": b"hello",
        "deep": b"[" * 10_000,
        "deep objects": b'{"a":' * 10_000,
        "huge number": foreign().replace(b"100", b"1e400"),
        "float": foreign(Size=1.5),
        "NUL in a string": foreign(ID=decoded["ID"] + "\0"),
        "lone surrogate": foreign().replace(b'"MetaData": {}',
                                            b'"MetaData": {"a": "\\ud800"}'),
        "negative size": foreign(Size=-1),
        "size beyond int64": foreign(Size=1 << 64),
        "other id": foreign(ID=other),
        "id as a path": foreign(ID="../" + decoded["ID"]),
        "no id": foreign(ID=None),
        "metadata a list": foreign(MetaData=[1]),
        "parts as paths": foreign(PartialUploads=[1, 2]),
        "duplicate key": b'{"ID":"a",' + foreign()[1:],
        "head only": head,
        "head cut": good[:100],
        "offset above size": good.replace(b'{"Offset":                   0',
                                          b'{"Offset":                 999'),
        "negative offset": good.replace(b'{"Offset":                   0',
                                        b'{"Offset":                  -9'),
        "hold below -1": good.replace(b'"Hold":                  -1',
                                      b'"Hold":                  -7'),
        "not UTF-8": good[:-2] + b'\xff"}',
    }


NAMES = list(damaged_records(
    b'{"ID":"a","Storage":{}}'.ljust(300), "b"))


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_record_is_500_and_can_be_deleted(app, name):
    """INV-31, INV-06"""
    server = app(args=["-w", "2"])
    other = server.client.create(3).rsplit("/", 1)[1]
    path = server.client.create(100)
    server.client.patch(path, 0, b"z" * 40)
    data = server.uploads / path.rsplit("/", 1)[1]
    info = data.with_name(data.name + ".info")
    info.write_bytes(damaged_records(info.read_bytes(), other)[name])
    for method, body in (("HEAD", b""), ("PATCH", b"q"), ("GET", b"")):
        answer = in_time(server, method, path,
                         server.client.patch_headers(40), body)
        assert answer.status == 500 or (
            method == "GET" and answer.status == 404), (method, answer)
    assert data.read_bytes() == b"z" * 40
    for command in ("list", "check", "settle", "sweep", "adopt"):
        assert tusctl(server, command).returncode in (0, 1), command
    assert data.exists()
    assert in_time(server, "DELETE", path).status == 204
    assert not data.exists() and not info.exists()
    assert server.client.head("/files/" + other).status == 200


@pytest.mark.parametrize("content", [b"", b"\0" * 219, b"\0" * 600])
def test_an_empty_record_is_no_upload(app, content):
    server = app(args=["-w", "2"])
    path = server.client.create(100)
    info = server.uploads / (path.rsplit("/", 1)[1] + ".info")
    info.write_bytes(content)
    assert in_time(server, "HEAD", path).status == 404
    assert in_time(server, "PATCH", path, server.client.patch_headers(0),
                   b"x").status == 404
    assert in_time(server, "DELETE", path).status in (204, 404)


def test_a_path_in_a_record_is_never_followed(app, tmp_path):
    server = app(args=["-w", "2"])
    path = server.client.create(5)
    server.client.patch(path, 0, b"mine!")
    secret = tmp_path / "secret"
    secret.write_bytes(b"other")
    info = server.uploads / (path.rsplit("/", 1)[1] + ".info")
    record = json.loads(info.read_bytes())
    for storage in ({"Type": "filestore", "Path": str(secret),
                     "InfoPath": str(secret)}, {"Path": "/etc/passwd"}, None):
        info.write_text(json.dumps({**record, "Storage": storage}))
        assert in_time(server, "GET", path).body == b"mine!"
    assert in_time(server, "DELETE", path).status == 204
    assert secret.read_bytes() == b"other"


def test_what_lies_around_is_ignored(app):
    """Left behind by tusd, or by nobody knows whom."""
    server = app(args=["-w", "2"])
    path = server.client.create(10)
    name = path.rsplit("/", 1)[1]
    (server.uploads / (name + ".lock")).write_text("99999\n")
    (server.uploads / (name + ".stop")).write_text("")
    (server.uploads / (name + ".info.new")).write_text("{")
    (server.uploads / "README").write_text("keep me")
    shutil.copytree(server.uploads, server.uploads / "copy")
    assert server.client.patch(path, 0, b"0123456789").status == 204
    assert in_time(server, "GET", path).body == b"0123456789"
    assert tusctl(server, "sweep").returncode == 0
    assert (server.uploads / "README").read_text() == "keep me"
    assert (server.uploads / "copy").is_dir()
    assert in_time(server, "DELETE", path).status == 204


def start_status(server):
    done = subprocess.run(
        [rig.program(), "-t", "-c",
         str(server.config_path)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_directory_that_everybody_may_write_to_is_refused(app):
    server = app(args=["-w", "1"])
    server.uploads.chmod(0o777)
    status, said = start_status(server)
    assert status != 0 and "chmod o-w" in said
    server.uploads.chmod(0o1777)
    assert start_status(server)[0] != 0
    server.uploads.chmod(0o770)
    locks = server.dir / "locks"
    locks.mkdir()
    locks.chmod(0o777)
    server.configure({"lock": {"path": str(locks)}})
    status, said = start_status(server)
    assert status != 0 and "chmod o-w" in said
    locks.chmod(0o770)
    assert start_status(server)[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="giving away needs root")
def test_a_directory_of_a_stranger_is_refused(app):
    """But one that he shares with a group of ours is as good as ours."""
    server = app(args=["-w", "1"])
    server.configure({"pool": {"user": "root"}})
    shutil.chown(server.uploads, "nobody", "games")
    server.uploads.chmod(0o2770)
    status, said = start_status(server)
    assert status != 0 and "belongs to user" in said
    shutil.chown(server.uploads, "nobody", "root")
    assert start_status(server)[0] == 0
    server.uploads.chmod(0o750)
    assert start_status(server)[0] != 0
    server.configure({"pool": {"user": "nobody"}})
    server.dir.chmod(0o755)
    status, said = start_status(server)
    assert status == 0 or "Permission denied" in said


EVIL = 'x"\r\nSet-Cookie: a=b\0'


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("keys", [
    {"MetadataRaw": f"a YQ=={EVIL}"},
    {"MetaData": {"filename": EVIL, "filetype": f"image/png{EVIL}"}},
    {"ConcatRaw": f"final;{EVIL}", "IsFinal": True},
    {"IsFinal": True, "PartialUploads": [EVIL, "b"]}],
    ids=lambda keys: ",".join(keys))
def test_what_a_record_says_stays_in_its_header(app, keys, foreign):
    """INV-23"""
    server = app(args=["-w", "1"])
    path = server.client.create(3)
    server.client.patch(path, 0, b"abc")
    info = server.uploads / (path.rsplit("/", 1)[1] + ".info")
    text = info.read_text()
    record = {**json.loads(text), **keys}
    head = "{" if foreign else head_of(text)
    if not foreign:
        record = {k: v for k, v in record.items() if k not in text[:219]}
    info.write_text(head + json.dumps(record)[1:])
    for method in ("HEAD", "GET", "POST"):
        answer = in_time(server, method, path if method != "POST" else
                         "/files", {"Upload-Concat": f"final;{path}"})
        head = answer.raw.partition(b"\r\n\r\n")[0]
        assert b"\nSet-Cookie" not in head and b"\0" not in head
        assert "set-cookie" not in answer.headers
