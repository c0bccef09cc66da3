"""A directory that tusd has written to: what its hooks chose is honoured."""

import json
import os
import subprocess
import time

import pytest

from lib import rig, uploads
from lib.uploads import Store

BODY = b"hello world"


def ctl(app, *arguments, status=0):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", str(app.config_path), *arguments],
        timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode == status, (run.stdout, run.stderr)
    return run.stdout + run.stderr


def make(store, data, place, size=len(BODY), id=None, base=None, info=None):
    """As tusd makes it whose pre-create hook named a place.

    base: the directory as it was called then."""
    id = id or uploads.new_id()
    base = str(base or store.path)
    path = store.path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    record = store.path / f"{id}.info"
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps({
        "ID": id, "Size": size, "SizeIsDeferred": False, "Offset": 0,
        "MetaData": {"filename": "a.bin"}, "IsPartial": False,
        "IsFinal": False, "PartialUploads": None,
        "Storage": {"Type": "filestore", "Path": f"{base}/{place}",
                    "InfoPath": info or f"{base}/{id}.info"}}))
    return id


def path_in(app, id):
    (shown,) = ctl(app, "show", id, "--json").splitlines()
    return json.loads(shown)["storage"]["Path"]


@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize("base", [None, "/elsewhere/data", "./data"])
@pytest.mark.parametrize("place", ["project/a.bin", "a/b/c/d", "a.bin"])
def test_a_place_in_the_store_is_served(app, place, base, adopt):
    one = app(args=["-w", "2"])
    store = Store(one.uploads)
    base = base and base.removeprefix("./")
    done = make(store, BODY, place + ".done", base=base)
    half = make(store, BODY[:5], place, base=base)
    old = time.time() - 100 * 86400
    for path in store.path.rglob("*"):
        os.utime(path, (old, old))
    if adopt:
        assert "1 unfinished uploads adopted" in ctl(one, "adopt")
    ctl(one, "sweep")
    assert one.client.offset(f"/files/{done}") == 11
    assert one.client.offset(f"/files/{half}") == 5
    assert one.client.request("GET", f"/files/{done}").body == BODY
    assert one.client.patch(f"/files/{half}", 5, BODY[5:]).status == 204
    assert one.client.request("GET", f"/files/{half}").body == BODY
    assert (store.path / place).read_bytes() == BODY
    for id, name in ((done, place + ".done"), (half, place)):
        assert path_in(one, id) == str(store.path / name)
        assert not (store.path / id).exists()
    assert "2 uploads, 0 damaged" in ctl(one, "check")
    assert "2 finished" not in ctl(one, "list")
    ctl(one, "settle")
    ctl(one, "adopt")
    for id in (done, half):
        assert one.client.request("DELETE", f"/files/{id}").status == 204
        assert one.client.head(f"/files/{id}").status == 404
    assert not [p for p in store.path.rglob("*") if p.is_file() and
                p.name not in (".sweep", ".store")]


def test_a_part_and_a_move_find_the_bytes(app, tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    one = app(args=["-w", "2"],
              config={"finish": {"move_to": f"{root}/{{filename}}"}})
    store = Store(one.uploads)
    part = make(store, BODY, "project/part")
    record = json.loads((store.path / f"{part}.info").read_text())
    (store.path / f"{part}.info").write_text(
        json.dumps({**record, "IsPartial": True}))
    answer = one.client.request(
        "POST", "/files", {"Upload-Concat": f"final;/files/{part}"})
    assert answer.status == 201
    rig.wait_for(lambda: (root / "_").exists(), "the final to be moved")
    assert (root / "_").read_bytes() == BODY
    half = make(store, BODY[:5], "project/half")
    assert one.client.patch(f"/files/{half}", 5, BODY[5:]).status == 204
    rig.wait_for(lambda: (root / "a.bin").exists(), "the upload to be moved")
    assert (root / "a.bin").read_bytes() == BODY
    assert not (store.path / "project/half").exists()
    assert one.client.request("GET", f"/files/{half}").body == BODY


@pytest.mark.parametrize("place", [
    "/etc/hostname", "../outside", "project/../../outside", "link/outside",
    "project/link", ".quota/x", ".sweep", "a//b", "x.lock", "x.info", ""])
def test_no_other_path_is_followed(app, tmp_path, place):
    one = app(args=["-w", "1"])
    store = Store(one.uploads)
    outside = tmp_path / "outside"
    outside.write_bytes(BODY)
    (store.path / "link").symlink_to(outside.parent)
    (store.path / "project").mkdir()
    (store.path / "project/link").symlink_to(outside)
    for name in (".sweep", "x.lock", "x.info"):
        (store.path / name).write_bytes(BODY)
    id = make(store, BODY, "project/real")
    record = json.loads((store.path / f"{id}.info").read_text())
    record["Storage"]["Path"] = place if place.startswith("/") else \
        f"{store.path}/{place}"
    (store.path / f"{id}.info").write_text(json.dumps(record))
    for method in ("HEAD", "GET", "DELETE"):
        answer = one.client.request(method, f"/files/{id}")
        assert answer.status == 404 and BODY not in answer.raw, method
    assert f"{id}.info: left alone: its bytes are" in ctl(
        one, "adopt", status=1)
    assert outside.read_bytes() == BODY
    if "link" in place:
        return
    # Bytes that are in the usual place count, whatever the record says.
    (store.path / id).write_bytes(b"other bytes")
    assert one.client.request("GET", f"/files/{id}").body == b"other bytes"


def test_adopt_names_every_file_that_it_leaves(app):
    one = app(args=["-w", "1"])
    one.stop_app()
    store = Store(one.uploads)
    fine = [make(store, BODY[:3], "project/a.bin"),
            store.make_tusd(b"hello", 11), store.make(b"hello", size=5)]
    away = make(store, BODY, "gone/b.bin", base="/srv/tusd",
                info="/srv/other.info")
    missing = make(store, BODY, "gone/c.bin")
    (store.path / "gone/c.bin").unlink()
    make(store, BODY, "x", id="project-123/abc")
    make(store, BODY, "y.data", id="my.file~1")
    borrowed = uploads.new_id()
    borrower = make(store, BODY, borrowed)
    empty = uploads.new_id()
    lonely = uploads.new_id()
    store.file(empty + ".info", b"")
    store.file(lonely, BODY)
    store.file("README", b"mine")
    (store.path / "lost+found").mkdir()
    said = ctl(one, "adopt", status=1)
    left = {line.split(": ")[1]: line.split(": left alone: ")[1]
            for line in said.splitlines() if ": left alone: " in line}
    assert left == {
        f"{away}.info": "its bytes are said to be in /srv/tusd/gone/b.bin, "
                        "where they are not looked for",
        "gone/b.bin": "no record names it",
        f"{missing}.info": f"its bytes are not in {store.path}/gone/c.bin",
        "project-123/abc.info": "no upload can have an id with a slash here",
        "x": "there is no record of these bytes",
        "my.file~1.info": "no upload can have this id here",
        "y.data": "no record names it",
        f"{borrower}.info": "its bytes are said to be in "
                            f"{store.path}/{borrowed}, "
                            "where they are not looked for",
        borrowed: "there is no record of these bytes",
        f"{empty}.info": "the record is empty",
        lonely: "there is no record of these bytes",
        "README": "there is no record of these bytes"}
    assert f"2 unfinished uploads adopted, 0 in use, 0 damaged, " \
        f"{len(left)} files left alone" in said
    before = sorted(p for p in store.path.rglob("*") if p.name != ".sweep")
    for path in before:
        os.utime(path, (1, 1))
    ctl(one, "sweep", "--force")
    after = sorted(p for p in store.path.rglob("*") if p.name != ".sweep")
    # An empty record is one of ours that a power loss cut off.
    assert set(before) - set(after) == {store.path / f"{empty}.info"}
    one.start_app()
    assert [one.client.offset(f"/files/{id}") for id in fine] == [3, 5, 5]


def test_adopt_fails_if_it_leaves_what_is_damaged(app):
    one = app(args=["-w", "1"])
    store = Store(one.uploads)
    id = store.make_tusd(b"hello", 3)
    assert f"{id}: damaged, left alone" in ctl(one, "adopt", status=1)
    one.client.request("DELETE", f"/files/{id}")
    assert "0 damaged\n" in ctl(one, "adopt")
