"""The store's note: all who use a store agree on its locks and its boot."""

import fcntl
import json
import os
import signal
import subprocess

import pytest

from lib import mounts, rig, uploads
from lib.app import App, is_alive

BOOT_ID = "/proc/sys/kernel/random/boot_id"
OTHER_BOOT = "3f0c6a52-8a1e-4d0b-9c57-2f6b1c0d7e94"


@pytest.fixture
def app(tmp_path):
    """Any number of servers, of one store unless they say otherwise."""
    started = []

    def start(config=None, wait=True, **options):
        folder = tmp_path / f"app{len(started)}"
        folder.mkdir()
        store = {"store": {"path": str(tmp_path / "store")}}
        one = App(folder, config=rig.merge(store, config or {}), **options)
        one.store = tmp_path / "store"
        started.append(one)
        if wait:
            up(one)
        return one

    yield start
    for one in started:
        one.stop()
        one.check_logs()


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "locks"
    folder.mkdir()
    return str(folder)


def up(one):
    """It answers, so it has a store."""
    one.start_app()
    if one.client.request("OPTIONS", "/files").status != 200:
        raise RuntimeError(one.log())


def note(one):
    return json.loads((one.store / ".store").read_text())


def ctl(one, *arguments, status=0, under=()):
    run = subprocess.run(
        [*under, rig.program("tusctl"), "-c", str(one.config_path),
         *arguments], timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode == status, (run.stdout, run.stderr)
    return run.stdout + run.stderr


def refused(one):
    """The log of a server that leaves again, a moment after it has listened."""
    with pytest.raises((RuntimeError, OSError)):
        up(one)
    assert one.app.wait(20) == 1
    return one.log()


def kill(one):
    """The whole pool, with nothing to say."""
    workers = one.workers()
    one.app.send_signal(signal.SIGKILL)
    one.app.wait()
    for pid in workers:
        rig.wait_for(lambda pid=pid: not is_alive(pid),
                     "the workers to be gone")


def test_the_first_start_makes_a_note_that_stays(app, elsewhere):
    one = app()
    first = note(one)
    there = one.store.stat()
    assert first["Lock"] == {
        "Type": "flock", "Method": "flock+", "Path": str(one.store),
        "Device": there.st_dev, "Inode": there.st_ino}
    assert first["Kernel"] == first["Boot"] == uploads.boot_id()
    one.stop_app()
    assert note(one) == first
    ctl(one, "sweep", "--force")
    one.configure(rig.merge(one.config, {"lock": {"path": elsewhere}}))
    up(one)
    second = note(one)
    assert second["ID"] == first["ID"]
    assert second["Lock"]["Path"] == elsewhere
    assert ".store" not in ctl(one, "sweep", "--dry-run", "--force")


def test_tusctl_with_other_locks_touches_nothing(app, elsewhere):
    one = app()
    path = one.client.create(100)
    assert one.client.patch(path, 0, b"x" * 10).status == 204
    same = one.config
    for other in ({"path": elsewhere}, {"method": "ofd"}):
        one.configure(rig.merge(same, {"lock": other}))
        for command in ("settle", "list", "sweep", "adopt"):
            said = ctl(one, command, status=1)
            assert "in use with locks in " in said
            assert f"{str(one.store)[-30:]} (flock), not in " in said
            assert "configuration of its users" in said
    one.configure(same)
    ctl(one, "settle")
    one.stop_app()
    one.configure(rig.merge(same, {"lock": {"path": elsewhere}}))
    ctl(one, "settle")


def test_a_pool_with_other_locks_does_not_start(app, elsewhere):
    one = app()
    other = app({"lock": {"path": elsewhere}}, wait=False)
    said = refused(other)
    assert f"{str(one.store)[-30:]} (flock), not in " in said
    assert f"{elsewhere[-30:]} (flock): " in said
    check = subprocess.run(
        [rig.program(), "-t", "-c", str(other.config_path)],
        capture_output=True, text=True, timeout=60)
    assert check.returncode == 0, check
    assert "warning: the store is in use with locks in" in check.stdout
    assert "fixed         store.type store.path store.shared lock.type lock.path " \
        "lock.method lock.hosts lock.prefix lock.session lock.reply " \
        "lock.user lock.password_file lock.agent" in check.stdout
    one.stop_app()
    up(other)
    assert note(other)["Lock"]["Path"] == elsewhere


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_a_pool_with_locks_in_memory_has_the_store_alone(app, args):
    memory = {"lock": {"type": "memory"}}
    one = app(memory, args=args)
    same = one.config
    path = one.client.create(10)
    assert one.client.patch(path, 0, b"x" * 5).status == 204
    assert one.client.head(path).headers["upload-offset"] == "5"
    assert not list(one.store.glob("*.lock"))
    assert note(one)["Lock"]["Type"] == "memory"
    for config in memory, {"lock": {"type": "flock"}}:
        other = app(config, wait=False)
        assert 'in use with lock.type = "memory", and "memory" admits no' \
            in refused(other)
        one.configure(rig.merge(same, config))
        assert "stop its users first" in ctl(one, "list", status=1)
    check = subprocess.run(
        [rig.program(), "-t", "-c", str(one.config_path)],
        capture_output=True, text=True, timeout=60)
    assert check.returncode == 0 and "in use with lock.type" in check.stdout
    assert "locks         flock" in check.stdout
    one.configure(same)
    one.stop_app()
    check = subprocess.run(
        [rig.program(), "-t", "-c", str(one.config_path)],
        capture_output=True, text=True, timeout=60)
    assert "locks         memory of this pool alone" in check.stdout
    assert path.rpartition("/")[2] in ctl(one, "list")
    up(one)
    assert one.client.patch(path, 5, b"x" * 5).status == 204


def test_locks_in_memory_are_refused_where_others_are_at_work(app):
    one = app()
    other = app({"lock": {"type": "memory"}}, wait=False)
    assert 'in use with lock.type = "flock", and "memory" admits no' \
        in refused(other)
    one.stop_app()
    up(other)
    assert note(other)["Lock"]["Type"] == "memory"


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_pools_that_agree_share_a_store(app, args):
    first, second = app(args=args), app(args=args)
    path = first.client.create(100)
    assert second.client.patch(path, 0, b"x" * 100).status == 204
    assert first.client.offset(path) == 100
    first.stop_app()
    third = app(args=args)
    assert third.client.offset(path) == 100


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_the_note_is_held_as_long_as_one_of_us_lives(app, args):
    one = app(args=args)
    with open(one.store / ".store", "rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        one.stop_app()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_store_that_cannot_be_written_to_gets_no_note(app):
    one = app()
    one.stop_app()
    (one.store / ".store").unlink()
    with mounts.read_only(one.store):
        up(one)
        ctl(one, "list")
        one.stop_app()
    assert not (one.store / ".store").exists()


def test_a_note_that_makes_no_sense_is_written_anew(app):
    one = app()
    one.stop_app()
    (one.store / ".store").write_text("{" * 100)
    up(one)
    assert note(one)["Lock"]["Path"] == str(one.store)


# --- Boots. ---

def three_bytes(one):
    path = one.client.create(100)
    assert one.client.patch(path, 0, b"abc").status == 204
    return path


@pytest.fixture
def container(tmp_path):
    """Runs a program that sees another boot id."""
    mounts.may_mount()
    file = tmp_path / "boot_id"
    file.write_text(OTHER_BOOT + "\n")
    under = ["unshare", "-m", "sh", "-c",
             f'mount --bind {file} {BOOT_ID} && exec "$@"', "sh"]
    seen = subprocess.run([*under, "cat", BOOT_ID], capture_output=True,
                          text=True)
    if OTHER_BOOT not in seen.stdout:
        pytest.skip("no mount namespaces")
    return under


def test_a_stranger_to_the_boot_of_the_pool_cuts_nothing(app, container):
    one = app()
    path = three_bytes(one)
    said = ctl(one, "settle", status=1, under=container)
    assert "left alone" in said and "boot id" in said
    ctl(one, "sweep", "--older-than", "1", "--force", under=container)
    ctl(one, "check", "--repair", under=container)
    assert one.client.offset(path) == 3
    one.stop_app()
    assert "left alone" in ctl(one, "settle", status=1, under=container)
    up(one)
    assert one.client.offset(path) == 3
    other = app(wait=False, under=container)
    assert "another boot id" in refused(other)
    assert one.client.offset(path) == 3


def test_a_sweep_that_began_before_the_first_start_is_named(app):
    """And with its end the start succeeds."""
    one = app()
    one.stop_app()
    path = one.store / ".store"
    path.write_text(path.read_text().replace(uploads.boot_id(), OTHER_BOOT))
    with open(path, encoding="utf-8") as sweep:
        fcntl.flock(sweep, fcntl.LOCK_SH)
        assert "or by a tusctl since before" in refused(app(wait=False))
    up(one)
    assert note(one)["Kernel"] == uploads.boot_id()


def test_after_a_reboot_the_first_pool_says_which_boot_it_is(app, container):
    one = app()
    path = three_bytes(one)
    kill(one)
    two = app(under=container)
    assert note(two)["Boot"] == OTHER_BOOT
    # Nobody flushed them.
    assert two.client.offset(path) == 0
    assert two.client.patch(path, 0, b"abc").status == 204
    ctl(two, "settle", under=container)


WHO_MAY_BE_OPENED = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        try:
            os.close(os.open(os.path.join(folder, name), os.O_RDONLY))
            print(name)
        except PermissionError:
            pass
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_who_may_only_read_the_store_locks_nobody_out(app):
    """As the web server may, for download.sendfile: whoever can open a file
    can lock it."""
    one = app({"store": {"dir_mode": "0755", "file_mode": "0644"},
               "quota": {"uploads": 5}, "owner": {"param": "REMOTE_USER"}})
    one.store.chmod(0o755)
    ctl(one, "sweep")
    ann = {"REMOTE_USER": "ann"}
    path = one.client.request("POST", "/files", {"Upload-Length": "6"},
                              extra=ann).headers["location"]
    upload = path.rsplit("/", 1)[1]
    body = {"Upload-Offset": "0",
            "Content-Type": "application/offset+octet-stream"}
    with one.client.open("PATCH", path, body, length=6, extra=ann) as stream:
        stream.send(b"abc")
        lock = one.store / (upload + ".lock")
        rig.wait_for(lock.exists, "the lock of the upload")
        fd = os.open(one.store, os.O_RDONLY)
        found = subprocess.run(
            ["setpriv", "--reuid=daemon", "--regid=daemon", "--clear-groups",
             "/usr/bin/python3", "-c", WHO_MAY_BE_OPENED,
             f"/proc/self/fd/{fd}/"], pass_fds=[fd], timeout=60,
            capture_output=True, text=True, check=True).stdout.split()
        os.close(fd)
    assert set(found) == {upload, upload + ".info"}
    assert {".store", ".sweep", "lock"} <= \
        {p.name for p in one.store.rglob("*")}


def test_a_pool_that_was_killed_takes_back_nothing(app):
    one = app()
    path = three_bytes(one)
    kill(one)
    up(one)
    assert one.client.offset(path) == 3


def test_a_boot_that_runs_shorter_is_another_whatever_its_id(app):
    one = app()
    path = three_bytes(one)
    kill(one)
    file = one.store / ".store"
    text = file.read_text()
    later = '{"Running":%20d,' % (json.loads(text)["Running"] + 1000)
    file.write_text(later + text[len(later):])
    up(one)
    assert note(one)["Kernel"] == uploads.boot_id()
    assert note(one)["Boot"] != uploads.boot_id()
    assert one.client.offset(path) == 0
    path = three_bytes(one)
    ctl(one, "settle")
    kill(one)
    up(one)
    assert one.client.offset(path) == 3


def test_the_note_knows_how_long_the_boot_has_run(app):
    one = app()
    begin = note(one)["Running"]

    def is_later():
        one.client.request("HEAD", "/files/none")
        return note(one)["Running"] > begin + 5

    rig.wait_for(is_later, "the note to be written", 30)


# Debian 14 starts Apache with ProcSubset=pid, so that nothing below it sees
# /proc/sys; mod_fcgid starts tusfcgi.
NO_BOOT_ID = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
              'mount -t proc -o subset=pid proc /proc && exec "$@"', "-"]


@pytest.fixture
def blind():
    seen = subprocess.run([*NO_BOOT_ID, "cat", BOOT_ID], capture_output=True,
                          text=True, check=False)
    if "No such file" not in seen.stderr:
        pytest.skip("no /proc without /proc/sys here")
    return NO_BOOT_ID


def test_a_pool_that_sees_no_boot_id_serves(app, blind):
    """And knows its boot again, as one does that sees the id."""
    one = app(under=blind)
    first = note(one)
    assert first["Kernel"] == ""
    path = three_bytes(one)
    kill(one)
    for under in (blind, (), blind):
        two = app(under=under)
        assert note(two)["Boot"] == first["Boot"]
        assert two.client.offset(path) == 3
        # So does one beside it, and tusctl.
        three = app(under=() if under else blind)
        assert three.client.offset(path) == 3
        assert "left alone" not in ctl(two, "sweep")
        three.stop_app()
        kill(two)


def test_a_pool_that_sees_no_boot_id_knows_another_boot(app, blind):
    one = app(under=blind)
    path = three_bytes(one)
    kill(one)
    file = one.store / ".store"
    text, began = file.read_text(), note(one)["Began"]
    file.write_text(text.replace(f"{began}", f"{began - 100}"))
    two = app(under=blind)
    assert note(two)["Boot"] != json.loads(text)["Boot"]
    assert two.client.offset(path) == 0


def test_a_note_of_the_release_before_stays_whole(app):
    """It has no Began, and no room for it."""
    one = app()
    file = one.store / ".store"
    old = note(one)
    del old["Began"]
    running = old.pop("Running")
    one.stop_app()
    text = '{"Running":%20d,' % running + json.dumps(old)[1:] + "\n"
    file.write_text(text)
    with open(file, encoding="utf-8") as another:
        fcntl.flock(another, fcntl.LOCK_SH)
        up(one)
        rig.wait_for(lambda: one.client.request("HEAD", "/files/none") and
                     file.read_text() != text, "another look", 30)
        assert note(one) == {**old, "Running": note(one)["Running"]}
