"""tusfcgi -t looks at what the start looks at, as the same user, and changes
nothing."""

import grp
import os
import pwd
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib import mounts, rig
from lib.app import App

AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user")
USER = "nobody"


def check(conf, status=0, **options):
    run = subprocess.run([rig.program(), "-t", "-c", str(conf)], timeout=60,
                         capture_output=True, text=True, check=False,
                         **options)
    assert run.returncode == status, (run.stdout, run.stderr)
    return run.stdout + run.stderr


def start(conf):
    """Says why, if it does not start."""
    run = subprocess.run(
        [rig.program(), "-s", str(conf.parent / "sock"), "-c", str(conf)],
        timeout=60, capture_output=True, text=True, check=False)
    return run.returncode, run.stderr


@pytest.fixture
def home():
    """Where any user may go, which tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="tusfcgi-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def write(home, **config):
    base = {"store": {"path": str(home / "up")}}
    (home / "t.conf").write_text(rig.libconfig(rig.merge(base, config)))
    return home / "t.conf"


def make_store(home, user=USER, mode=0o770):
    store = home / "up"
    store.mkdir()
    store.chmod(mode)
    entry = pwd.getpwnam(user)
    os.chown(store, entry.pw_uid, entry.pw_gid)
    return store


def tree(folder):
    return sorted((str(p), p.lstat().st_uid, p.lstat().st_mode,
                   p.lstat().st_mtime_ns) for p in folder.rglob("*"))


@AS_ROOT
def test_root_looks_as_the_owner_of_the_store(home):
    """So it is for the package, where systemd says who it is."""
    make_store(home)
    conf = write(home)
    assert "Permission" not in check(conf)
    (home / "log").mkdir(mode=0o755)
    text = check(write(home, log={"target": str(home / "log/t.log")}), 1)
    assert "t.log" in text and "Permission denied" in text


@AS_ROOT
def test_a_configuration_that_only_root_may_read(home):
    make_store(home)
    conf = write(home)
    assert "may not read" not in check(conf)
    conf.chmod(0o600)
    assert f"warning: user {USER} may not read {conf}, which a reload does; " \
        f"run: chgrp {grp.getgrgid(pwd.getpwnam(USER).pw_gid).gr_name} {conf}; " \
        "chmod g+r" in check(conf)


@AS_ROOT
@pytest.mark.parametrize("pool", [{}, {"user": USER}])
def test_nothing_is_made_and_nothing_is_changed(home, pool):
    make_store(home)
    log = home / "up/../made.log"
    home.chmod(0o777)
    conf = write(home, pool={**pool, "listen": str(home / "sock")},
                 log={"target": str(log)},
                 hooks={"dir": "/usr/bin", "events": ["post-create"]})
    before = tree(home)
    check(conf)
    assert tree(home) == before


def test_a_missing_store_is_not_made(home):
    text = check(write(home))
    assert f"{home}/up does not exist; the start creates it" in text
    assert not (home / "up").exists()


@AS_ROOT
def test_a_missing_store_that_its_user_could_not_make_is_an_error(home):
    conf = write(home, pool={"user": USER})
    assert "make" in check(conf, 1) and not (home / "up").exists()
    assert start(conf)[0] == 1


def test_a_store_two_levels_down_is_an_error(home):
    conf = write(home, store={"path": str(home / "no/up")})
    assert f"{home}/no/up" in check(conf, 1)


@AS_ROOT
@pytest.mark.parametrize("key", ["store.path", "lock.path", "finish.move_to"])
def test_what_must_be_writable_is_looked_at(home, key):
    """Root's folder: it could be opened, and each creation failed."""
    make_store(home, "root" if key == "store.path" else USER, 0o755)
    (home / "other").mkdir(mode=0o755)
    conf = write(
        home, pool={"user": USER},
        lock={"path": str(home / "other")} if key == "lock.path" else {},
        finish={"move_to": f"{home}/other/{{id}}"}
        if key == "finish.move_to" else {})
    text = check(conf, 1)
    assert f"{key}: {home}/" in text
    assert f"belongs to user root, and user {USER} may not write" in text
    assert (f"chown -R {USER}: {home}" in text) == (key != "finish.move_to")


@AS_ROOT
def test_a_store_that_was_closed_to_its_owner_is_named(home):
    make_store(home, mode=0o550)
    text = check(write(home, pool={"user": USER}), 1)
    assert f"user {USER} may not write to {home}/up: Permission denied" in text


@AS_ROOT
def test_the_start_serves_what_it_may_read_and_says_the_rest(home):
    make_store(home, "root", 0o755)
    home.chmod(0o777)
    app = App(home, config={"pool": {"user": USER},
                            "store": {"path": str(home / "up")}})
    app.start_app()
    try:
        rig.wait_for(lambda: f"user {USER} may not write to it" in app.log(),
                     "the reason")
        assert app.client.request("OPTIONS", "/files").status in (200, 204)
    finally:
        app.stop()


@AS_ROOT
def test_a_log_that_cannot_be_written_is_looked_at(home):
    make_store(home)
    for target in (home / "none/t.log", home / "t.log"):
        conf = write(home, pool={"user": USER}, log={"target": str(target)})
        assert str(target) in check(conf, 1)
        assert start(conf)[0] == 1
        assert not target.exists()
    (home / "t.log").write_text("")
    assert "Permission denied" in check(conf, 1)
    os.chown(home / "t.log", pwd.getpwnam(USER).pw_uid, -1)
    check(conf)


def test_where_it_is_to_listen_is_looked_at(home):
    """As root for root's folders, before it is the pool's user."""
    (home / "up").mkdir()
    conf = write(home, pool={"listen": str(home / "none/sock")})
    assert str(home / "none/sock") in check(conf, 1)
    (home / "file").write_text("")
    conf = write(home, pool={"listen": str(home / "file")})
    assert "is not a socket" in check(conf, 1)


@AS_ROOT
def test_a_read_only_file_system_is_a_warning(home):
    make_store(home)
    conf = write(home, pool={"user": USER})
    with mounts.read_only(home / "up"):
        assert "store.path is on a file system that is mounted" in check(conf)


@AS_ROOT
def test_uploads_of_a_former_user_are_named_with_the_remedy(home):
    """The folder was given to another user, and what is in it was not."""
    store = make_store(home)
    conf = write(home, pool={"user": USER})
    assert "chown" not in check(conf)
    (store / "abc.info").write_text("{}")
    (store / "abc.info").chmod(0o660)
    text = check(conf)
    assert f"{store}/abc.info belongs to user root" in text
    assert f"chown -R {USER}: {store}" in text
    os.chown(store / "abc.info", pwd.getpwnam(USER).pw_uid, -1)
    assert "chown" not in check(conf)


@AS_ROOT
def test_a_folder_of_another_user_is_named_with_the_remedy(home):
    """mod_fcgid's user, before the package's uploads are given to it."""
    make_store(home, "games")
    text = check(write(home, pool={"user": USER}), 1)
    assert f"chown -R {USER}: {home}/up" in text


def test_a_pool_that_runs_is_not_disturbed(tmp_path):
    app = App(tmp_path)
    app.start_app()
    try:
        check(app.config_path)
        path = app.client.create(5)
        assert app.client.patch(path, 0, b"hello").status == 204
    finally:
        app.stop()


def test_a_store_that_no_sweep_sees_promises_no_expiry(home):
    make_store(home, user="root")
    for type, promised in (("file", True), ("memory", False)):
        text = check(write(home, store={"path": str(home / "up"),
                                        "type": type},
                           expiration={"after": "1h"}))
        line = next(l for l in text.splitlines() if "extensions" in l)
        assert ("expiration" in line) == promised, line
        assert ("none expires" in text) == (not promised)
