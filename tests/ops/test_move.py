"""Finished uploads go where people want them: finish.move_to.

Everything here is done twice, to a place on the file system of the store and
to one on another, where there is one.
"""

import json
import os
import shutil
import subprocess
import time

import pytest

from lib import folders, rig, uploads

ELSEWHERE = "/dev/shm"

# Writes down what it is told, where HOME is.
RECORD = """#!/usr/bin/python3
import json, os, sys
event = json.load(sys.stdin)
with open(os.environ["HOME"] + "/events", "a") as log:
    log.write(json.dumps(event) + "\\n")
"""

CHOOSE = """#!/usr/bin/python3
import json, sys
json.dump({"ChangeFileInfo": {"Storage": {"Path": %r}}}, sys.stdout)
"""


def is_elsewhere(folder):
    return os.access(ELSEWHERE, os.W_OK) and \
        os.stat(ELSEWHERE).st_dev != os.stat(folder).st_dev


@pytest.fixture(params=["same", "other"])
def root(request, tmp_path):
    """The directory that finish.move_to leads to."""
    if request.param == "same":
        folder = tmp_path / "in"
        folder.mkdir(mode=0o770)
        yield folder
        return
    if not is_elsewhere(tmp_path):
        pytest.skip(f"{ELSEWHERE} is no other file system")
    with folders.temporary(ELSEWHERE, 0o700) as folder:
        yield folder


class Mover:
    """A tusfcgi that moves what is finished."""

    def __init__(self, app, root, home, template, config, args):
        self.root = root
        self.home = home
        given = {"finish": {"move_to": f"{root}/{template}"}}
        if template is None:
            given = {}
        self.app = app(config=rig.merge(given, config or {}), args=args,
                       env={"HOME": str(home)})
        self.client = self.app.client
        self.uploads = self.app.uploads
        self.names = self.app.names

    def upload(self, name=None, body=b"hello", **headers):
        """A whole upload; its path."""
        metadata = {"filename": name} if name is not None else None
        path = self.client.create(len(body), metadata, headers)
        assert self.client.patch(path, 0, body).status == 204
        return path

    def wait(self, path):
        """Until nothing is to be done with it any more."""
        rig.wait_for(lambda: not uploads.pending(self.uploads, id_of(path)),
                     "all to be done")
        return self

    def files(self):
        return {str(p.relative_to(self.root)): p.read_bytes()
                for p in self.root.rglob("*") if p.is_file()}

    def ctl(self, *arguments, status=0):
        run = subprocess.run(
            [rig.program("tusctl"), "-c", self.app.config_path, *arguments],
            env={**os.environ, "HOME": str(self.home)}, capture_output=True,
            text=True, timeout=60, check=False)
        assert not rig.SANITIZER.search(run.stderr), run.stderr
        assert run.returncode == status, (run.stdout, run.stderr)
        return run.stdout + run.stderr

    def events(self):
        path = self.home / "events"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def start(app, root, tmp_path):
    def start(template="{filename}", config=None, args=()):
        return Mover(app, root, tmp_path, template, config, args)
    return start


def id_of(path):
    return path.rpartition("/")[2]


def hook(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return {"hooks": {"dir": str(folder)}}


@pytest.mark.parametrize("args", [(), ("-w", "1")], ids=["pool", "alone"])
def test_a_finished_upload_goes_where_the_template_says(start, args):
    one = start("{owner}/{id}-{filename}",
                {"owner": {"param": "TUS_OWNER"}}, args)
    path = one.client.create(5, {"filename": "a.txt"})
    assert one.client.patch(path, 0, b"hello").status == 204
    one.wait(path)
    assert one.files() == {f"_/{id_of(path)}-a.txt": b"hello"}
    # The lock goes a moment later.
    rig.wait_for(lambda: one.names() == {".store", id_of(path) + ".info",
                                         id_of(path) + ".moved"},
                 "nothing else to be left")


@pytest.mark.parametrize("key, value, when", [
    ("lastModified", "1600000000123", 1600000000.123),
    ("mtime", "1600000000", 1600000000),
    ("mtime", "1600000000.25", 1600000000.25),
    ("mtime", "2020-09-13T12:26:40Z", 1600000000),
    ("mtime", "2020-09-13T14:26:40.5+02:00", 1600000000.5)])
def test_a_file_keeps_the_time_that_its_client_says(start, key, value, when):
    one = start()
    path = one.client.create(5, {"filename": "a.txt", key: value})
    assert one.client.patch(path, 0, b"hello").status == 204
    one.wait(path)
    assert one.files() == {"a.txt": b"hello"}
    seen = (one.root / "a.txt").stat().st_mtime
    assert abs(seen - when) < 0.002
    # By this the upload is known to be the one that was moved.
    assert one.client.request("GET", path).body == b"hello"


@pytest.mark.parametrize("value", [
    "", "0", "-5", "soon", "1e9", "2020-13-01T00:00:00Z", "9" * 30,
    "2020-09-13", "2020-09-13T12:26:40", "1600000000x", "300000000000000"])
def test_what_is_no_time_of_a_file_is_left_out(start, value):
    one = start()
    path = one.client.create(5, {"filename": "a.txt", "mtime": value})
    assert one.client.patch(path, 0, b"hello").status == 204
    one.wait(path)
    assert abs((one.root / "a.txt").stat().st_mtime - time.time()) < 60


def test_every_way_to_finish_moves(start):
    one = start("{id}")
    # With the creation, empty, and as a final upload.
    answer = one.client.request(
        "POST", "/files", one.client.patch_headers(
            0, {"Upload-Length": "3"}), b"abc")
    whole = answer.headers["location"]
    empty = one.client.create(0)
    part = one.upload(body=b"12", **{"Upload-Concat": "partial"})
    answer = one.client.request(
        "POST", "/files", {"Upload-Concat": f"final;{part} {part}"})
    final = answer.headers["location"]
    for path in (whole, empty, final):
        one.wait(path)
    assert one.files() == {id_of(whole): b"abc", id_of(empty): b"",
                           id_of(final): b"1212"}
    assert (one.uploads / id_of(part)).read_bytes() == b"12"
    # The part can be used again.
    answer = one.client.request(
        "POST", "/files", {"Upload-Concat": f"final;{part}"})
    assert answer.status == 201


def test_a_client_that_lost_its_204_sees_that_it_is_finished(start):
    one = start()
    path = one.upload("a.txt")
    head = one.wait(path).client.head(path)
    assert head.status == 200
    assert head.headers["upload-offset"] == "5"
    assert head.headers["upload-length"] == "5"
    assert head.headers["upload-metadata"] == "filename YS50eHQ="
    # What it sends again is known already; more is refused.
    assert one.client.patch(path, 5, b"").status == 204
    assert one.client.patch(path, 0, b"hello").status == 409


def test_names_that_are_taken_are_numbered(start):
    one = start()
    (one.root / "a.txt").write_bytes(b"somebody's")
    for n in range(3):
        one.wait(one.upload("a.txt", b"%d" % n))
    assert one.files() == {"a.txt": b"somebody's", "a-1.txt": b"0",
                           "a-2.txt": b"1", "a-3.txt": b"2"}


@pytest.mark.parametrize("name, want", [
    ("../../etc/cron.d/x", "_._.._etc_cron.d_x"),
    ("/etc/passwd", "_etc_passwd"), ("..", "_."), (".ssh", "_ssh"),
    ("a\nb\0c\x1b[2J", "a_b_c_[2J"), ("", "_"), (None, "_"),
    ("%2e%2e%2f", "%2e%2e%2f"), ("é ü.txt", "é ü.txt"),
    ("x" * 300 + ".tar", "x" * 251 + ".tar")])
def test_hostile_names_stay_below_the_root(start, name, want):
    one = start("{filename}")
    one.wait(one.upload(name))
    assert one.files() == {want: b"hello"}


@pytest.mark.parametrize("path, want", [
    ("photos/2024/a.jpg", "photos/2024/a.jpg"),
    # What Uppy says of a file in a folder, and of one that came alone.
    ("/photos/a.jpg", "photos/a.jpg"), ("null", "a.jpg"), (None, "a.jpg"),
    ("../../etc/a.jpg", "_./_./etc/a.jpg"), ("a/.ssh/b", "a/_ssh/b")])
def test_a_folder_keeps_its_structure(start, path, want):
    one = start("{meta:relativePath}")
    metadata = {"filename": "a.jpg"}
    if path is not None:
        metadata["relativePath"] = path
    url = one.client.create(5, metadata)
    assert one.client.patch(url, 0, b"hello").status == 204
    one.wait(url)
    assert one.files() == {want: b"hello"}
    assert one.client.request("GET", url).body == b"hello"


def test_a_symbolic_link_in_a_folder_is_not_followed(start, tmp_path):
    one = start("{meta:relativePath}")
    (tmp_path / "target").mkdir()
    (one.root / "photos").mkdir()
    (one.root / "photos" / "2024").symlink_to(tmp_path / "target")
    path = one.client.create(5, {"relativePath": "photos/2024/a.jpg"})
    assert one.client.patch(path, 0, b"hello").status == 204
    rig.wait_for(lambda: "is not moved" in one.app.log(), "the log to tell")
    assert not list((tmp_path / "target").iterdir())
    assert one.client.offset(path) == 5


def test_a_symbolic_link_in_the_way_is_not_followed(start, tmp_path):
    one = start("{meta:project}/{filename}")
    (tmp_path / "target").mkdir()
    (one.root / "web").symlink_to(tmp_path / "target")
    path = one.client.create(5, {"filename": "a", "project": "web"})
    assert one.client.patch(path, 0, b"hello").status == 204
    rig.wait_for(lambda: "is not moved" in one.app.log(), "the log to tell")
    assert not list((tmp_path / "target").iterdir())
    assert one.client.offset(path) == 5


def test_get_serves_what_was_moved_while_it_is_there(start):
    one = start()
    path = one.upload("a.txt")
    one.wait(path)
    answer = one.client.request("GET", path)
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["content-length"] == "5"
    answer = one.client.request("GET", path, {"Range": "bytes=1-3"})
    assert (answer.status, answer.body) == (206, b"ell")
    os.link(one.root / "a.txt", one.root / "b.txt")
    assert one.client.request("GET", path).body == b"hello"
    (one.root / "a.txt").write_bytes(b"hello again")
    assert one.client.request("GET", path).status == 404
    (one.root / "a.txt").unlink()
    assert one.client.request("GET", path).status == 404
    (one.root / "a.txt").symlink_to("/etc/hostname")
    assert one.client.request("GET", path).status == 404
    assert one.client.offset(path) == 5
    assert '"error"' not in one.app.log()


def test_another_upload_in_its_place_is_not_handed_out(start):
    """GET-12: the file is taken away, and one of its name and size comes."""
    one = start()
    first = one.upload("a.txt", b"alice")
    one.wait(first)
    (one.root / "a.txt").rename(one.root / "taken")
    second = one.upload("a.txt", b"carol")
    one.wait(second)
    assert one.client.request("GET", second).body == b"carol"
    assert one.client.request("GET", first).status == 404
    assert one.client.offset(first) == 5
    (one.root / "a.txt").unlink()
    (one.root / "taken").rename(one.root / "a.txt")
    assert one.client.request("GET", first).body == b"alice"


def test_delete_forgets_the_upload_and_leaves_the_file(start):
    one = start()
    path = one.upload("a.txt")
    one.wait(path)
    assert one.client.request("DELETE", path).status == 204
    assert one.client.head(path).status == 404
    assert one.files() == {"a.txt": b"hello"}
    assert one.names() == {".store"}


def test_post_finish_is_told_of_the_new_place(start, tmp_path):
    config = hook(tmp_path / "hooks", "post-finish", RECORD)
    one = start("{filename}", config)
    path = one.upload("a.txt")
    one.wait(path)
    (event,) = one.events()
    upload = event["Event"]["Upload"]
    assert upload["Storage"]["Path"] == str(one.root / "a.txt")
    assert upload["Storage"]["InfoPath"].endswith(id_of(path) + ".info")
    assert event["Event"]["HTTPRequest"]["Method"] == "PATCH"


def test_what_cannot_be_moved_waits_for_the_sweep(start, tmp_path):
    config = hook(tmp_path / "hooks", "post-finish", RECORD)
    one = start("{filename}/{id}", config)
    blocker = one.root / "joe"
    blocker.write_bytes(b"no directory")
    path = one.upload("joe")
    rig.wait_for(lambda: "is not moved" in one.app.log(), "the log to tell")
    # It stays finished, in the store, and nobody is told yet.
    assert one.client.offset(path) == 5
    assert one.client.request("GET", path).body == b"hello"
    assert one.events() == []
    assert "next sweep" not in one.ctl("sweep", status=1)
    assert one.files() == {"joe": b"no directory"}
    assert one.events() == []
    blocker.unlink()
    assert "1 locks removed" in one.ctl("sweep")
    assert one.files() == {f"joe/{id_of(path)}": b"hello"}
    (event,) = one.events()
    assert event["Event"]["Upload"]["Storage"]["Path"] == \
        str(one.root / "joe" / id_of(path))
    assert one.client.offset(path) == 5
    assert one.client.request("GET", path).body == b"hello"


def test_a_sweep_finishes_and_moves_what_was_only_complete(start):
    one = start("{id}")
    path = one.client.create(5)
    assert one.client.patch(path, 0, b"hell").status == 204
    one.app.stop_app()
    data = one.uploads / id_of(path)
    data.write_bytes(b"hello")
    then = time.time() - 7200
    os.utime(data, (then, then))
    one.ctl("settle")
    assert one.files() == {}
    os.utime(data, (then, then))
    assert "1 uploads finished" in one.ctl("sweep")
    assert one.files() == {id_of(path): b"hello"}


def test_what_the_sweep_finished_and_cannot_move_is_tried_again(start):
    one = start("{filename}/{id}")
    path = one.client.create(5, {"filename": "joe"})
    assert one.client.patch(path, 0, b"hell").status == 204
    (one.root / "joe").write_bytes(b"no directory")
    data = one.uploads / id_of(path)
    data.write_bytes(b"hello")
    then = time.time() - 7200
    os.utime(data, (then, then))
    (one.uploads / (id_of(path) + ".lock")).unlink()
    one.ctl("sweep", status=1)
    assert one.client.offset(path) == 5
    (one.root / "joe").unlink()
    one.ctl("sweep")
    assert one.files() == {f"joe/{id_of(path)}": b"hello"}


def test_where_nothing_moves_any_more_a_finish_is_told_once(start, tmp_path):
    config = hook(tmp_path / "hooks", "post-finish", RECORD)
    one = start("{filename}", config)
    path = one.client.create(5, {"filename": "a.txt"})
    assert one.client.patch(path, 0, b"hello").status == 204
    one.wait(path).app.stop_app()
    # Killed when it had said where it goes, and not gone yet.
    shutil.move(one.root / "a.txt", one.uploads / id_of(path))
    uploads.set_pending(one.uploads, id_of(path), "mt")
    before = len(one.events())
    one.app.configure({k: v for k, v in one.app.config.items()
                       if k != "finish"})
    assert "1 locks removed" in one.ctl("sweep")
    assert "0 locks removed" in one.ctl("sweep")
    (event,) = one.events()[before:]
    assert event["Event"]["Upload"]["Storage"]["Path"] == \
        str(one.uploads / id_of(path))
    assert not (one.uploads / (id_of(path) + ".moved")).exists()


def test_the_record_goes_after_keep_record(start):
    one = start("{filename}", {"finish": {"keep_record": "100ms"}})
    path = one.upload("a.txt")
    one.wait(path)

    def is_forgotten():
        one.ctl("sweep")
        return one.names() == {".store", ".sweep"}

    rig.wait_for(is_forgotten, "the record to go")
    assert one.client.head(path).status == 404
    assert one.files() == {"a.txt": b"hello"}


def test_a_record_stays_until_then(start):
    one = start()
    path = one.upload("a.txt")
    one.wait(path)
    assert "records of moved" not in one.ctl("sweep")
    assert one.client.offset(path) == 5


def test_what_was_moved_does_not_count_for_a_quota(start):
    one = start("{filename}", {"owner": {"param": "TUS_OWNER"},
                               "quota": {"uploads": 1}})
    joe = {"TUS_OWNER": "joe"}
    for n in range(2):
        answer = one.client.request(
            "POST", "/files", one.client.patch_headers(
                0, {"Upload-Length": "3"}), b"abc", joe)
        assert answer.status == 201
        one.wait(answer.headers["location"])
        assert not list((one.uploads / ".quota").rglob("*.*"))
    assert one.files() == {"_": b"abc", "_-1": b"abc"}


def test_what_nobody_can_count_is_moved_nevertheless(start):
    one = start("{filename}/{id}", {"owner": {"param": "TUS_OWNER"},
                                    "quota": {"uploads": 1}})
    joe = {"TUS_OWNER": "joe"}
    blocker = one.root / "_"
    blocker.write_bytes(b"no directory")
    path = one.client.request(
        "POST", "/files", one.client.patch_headers(
            0, {"Upload-Length": "3"}), b"abc", joe).headers["location"]
    rig.wait_for(lambda: "is not moved" in one.app.log(), "the log to tell")
    blocker.unlink()
    shutil.rmtree(one.uploads / ".quota")
    (one.uploads / ".quota").write_bytes(b"no directory")
    assert "1 locks removed" in one.ctl("sweep", status=1)
    assert one.files() == {f"_/{id_of(path)}": b"abc"}


def test_tusctl_says_where_it_went(start):
    one = start()
    path = one.upload("a.txt")
    one.wait(path)
    place = str(one.root / "a.txt")
    assert f"-> {place}" in one.ctl("list")
    show = one.ctl("show", id_of(path))
    assert place in show and "moved " in show
    shown = json.loads(one.ctl("show", "--json", id_of(path)))
    assert shown["storage"]["Path"] == place
    assert shown["state"] == "finished"
    assert 0 < shown["moved"] < shown["forget"]
    assert "1 uploads, 0 damaged" in one.ctl("check")
    assert "0 leftovers" in one.ctl("sweep")


def test_pre_create_chooses_the_place(start, tmp_path):
    config = hook(tmp_path / "hooks", "pre-create",
                  CHOOSE % "project-1/x.bin")
    one = start("{filename}", config)
    path = one.upload("a.txt")
    one.wait(path)
    assert one.files() == {"project-1/x.bin": b"hello"}
    hook(tmp_path / "hooks", "pre-create", CHOOSE % str(one.root / "y.bin"))
    one.wait(one.upload("a.txt"))
    assert one.files()["y.bin"] == b"hello"


def test_pre_create_without_move_to_chooses_below_the_store(start, tmp_path):
    config = hook(tmp_path / "hooks", "pre-create", CHOOSE % "project/x.bin")
    one = start(None, config)
    path = one.upload("a.txt")
    one.wait(path)
    assert (one.uploads / "project/x.bin").read_bytes() == b"hello"
    assert one.client.request("GET", path).body == b"hello"
    for place in ("x.bin", f"{'0' * 32}.lock/x", "a.info/x", "a.info.new/x",
                  "a.moved/b/x"):
        hook(tmp_path / "hooks", "pre-create", CHOOSE % place)
        answer = one.client.request("POST", "/files", {"Upload-Length": "5"})
        assert answer.status == 500, place
    hook(tmp_path / "hooks", "pre-create", CHOOSE % "joe.smith/a.info/x")
    path = one.upload("a.txt")
    one.wait(path)
    assert (one.uploads / "joe.smith/a.info/x").read_bytes() == b"hello"


@pytest.mark.parametrize("place", [
    "../x", "a/../../x", "/etc/cron.d/x", "link/x", ".hidden", "a//b", "a/",
    "a\nb"])
def test_a_place_elsewhere_fails_the_creation(start, tmp_path, place):
    config = hook(tmp_path / "hooks", "pre-create", CHOOSE % place)
    one = start("{filename}", config)
    (one.root / "link").symlink_to("/")
    answer = one.client.request("POST", "/files", {"Upload-Length": "5"})
    assert answer.status == 500
    assert "Storage.Path" in one.app.log()
    assert not list(one.uploads.glob("*.info"))


def test_the_web_server_sends_only_what_it_may(start):
    one = start("{filename}", {"download": {"sendfile": "x-sendfile"}})
    path = one.upload("a b.txt")
    answer = one.wait(path).client.request("GET", path)
    assert answer.body == b"hello" and "x-sendfile" not in answer.headers
    answer = one.client.request("GET", path, {"Range": "bytes=1-3"})
    assert (answer.status, answer.body) == (206, b"ell")
    one.app.stop_app()
    one.app.configure(rig.merge(one.app.config, {
        "download": {"sendfile_root": str(one.root)}}))
    one.app.start_app()
    answer = one.client.request("GET", path)
    assert answer.body == b""
    assert answer.headers["x-sendfile"] == f"{one.root}/a b.txt"


def test_a_move_that_takes_long_keeps_nobody_waiting(start, tmp_path):
    """Killed in the middle of it, which HEAD does not notice."""
    one = start("{filename}", {"pool": {"max_workers": 4}})
    is_rename = os.stat(one.root).st_dev == os.stat(one.uploads).st_dev
    size = (2 if is_rename else 192) << 20
    path = one.client.create(size, {"filename": "big"})
    with one.client.open_patch(path, 0, size) as stream:
        piece = bytes(range(256)) * 4096
        for _ in range(size // len(piece)):
            stream.send(piece)
        assert stream.finish().status == 204
    copy = one.root / f".{id_of(path)}.tusfcgi"
    rig.wait_for(lambda: copy.exists() or (one.root / "big").exists(),
                 "the copy to begin")
    assert one.client.offset(path) == size
    one.app.app.kill()
    one.app.app.wait()
    one.ctl("sweep")
    assert [p.name for p in one.root.iterdir()] == ["big"]
    assert (one.root / "big").read_bytes() == piece * (size // len(piece))
    assert not (one.uploads / id_of(path)).exists()


@pytest.mark.parametrize("template, why", [
    ("/srv/{nobody}", "an absolute path with {id}"),
    ("/srv/{id", "an absolute path with {id}"),
    ("/missing-root/{id}", "finish.move_to: "),
    ("/tmp/{id}", "writable by everybody")])
def test_a_bad_template_is_refused_at_the_start(tmp_path, template, why):
    conf = tmp_path / "t.conf"
    conf.write_text(rig.libconfig({
        "store": {"path": str(tmp_path / "up")},
        "finish": {"move_to": template}}))
    run = subprocess.run([rig.program(), "-c", conf, "-t"], timeout=20,
                         capture_output=True, text=True, check=False)
    assert run.returncode != 0 and why in run.stderr


def test_a_store_that_cannot_move_is_refused_at_the_start(tmp_path):
    conf = tmp_path / "t.conf"
    conf.write_text(rig.libconfig({
        "store": {"type": "memory"}, "lock": {"path": str(tmp_path)},
        "finish": {"move_to": str(tmp_path / "{id}")}}))
    run = subprocess.run([rig.program(), "-c", conf, "-t"], timeout=20,
                         capture_output=True, text=True, check=False)
    assert run.returncode != 0 and "cannot move" in run.stderr
