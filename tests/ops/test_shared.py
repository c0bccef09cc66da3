"""Several hosts, one directory (store.shared).

Another host is a pool that sees another boot id.  What a file system does to a
host whose locks it gave away, strace does to a worker: a call that fails.
"""

import fcntl
import json
import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from lib import mounts, rig
from hostile.conftest import preload
from lib.app import App, is_alive

BOOT_ID = "/proc/sys/kernel/random/boot_id"
SHARED = {"store": {"shared": True, "durability": "full"},
          "lock": {"method": "ofd"}, "metrics": {"enabled": True}}
FENCE = (1 << 40) + 8


@pytest.fixture
def app(tmp_path):
    """Any number of pools over one store; elsewhere: on another host."""
    started = []

    def start(config=SHARED, elsewhere=False, **options):
        folder = tmp_path / f"app{len(started)}"
        folder.mkdir()
        store = {"store": {"path": str(tmp_path / "store")}}
        if elsewhere:
            options["under"] = other_host(tmp_path, len(started))
        one = App(folder, config=rig.merge(store, config), **options)
        one.store = one.uploads = tmp_path / "store"
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()
        one.check_logs()


def other_host(folder, n):
    mounts.may_mount()
    file = folder / f"boot{n}"
    file.write_text(f"3f0c6a52-8a1e-4d0b-9c57-2f6b1c0d7e{n:02}\n")
    return ["unshare", "-m", "sh", "-c",
            f'mount --bind {file} {BOOT_ID} && exec "$@"', "sh"]


def up(one):
    one.start_app()
    assert one.client.request("OPTIONS", "/files").status == 200
    return one


def refused(one):
    with pytest.raises((RuntimeError, OSError, AssertionError)):
        up(one)
    assert one.app.wait(20) == 1
    return one.log()


def file_of(one, path, suffix=""):
    return one.store / (path.rsplit("/", 1)[1] + suffix)


def kill(one):
    workers = one.workers()
    one.app.send_signal(signal.SIGKILL)
    one.app.wait()
    for pid in workers:
        rig.wait_for(lambda pid=pid: not is_alive(pid), "the workers' end")


def test_what_one_host_acknowledges_the_other_one_has(app):
    a, b = up(app()), up(app(elsewhere=True))
    path = a.client.create(100000)
    assert a.client.patch(path, 0, b"a" * 60000).status == 204
    assert b.client.offset(path) == 60000
    assert b.client.patch(path, 60000, b"b" * 20000).status == 204
    assert a.client.offset(path) == 80000
    assert a.client.patch(path, 80000, b"c" * 20000).status == 204
    for one in (a, b):
        answer = one.client.request("GET", path, resumable=None)
        assert answer.body == b"a" * 60000 + b"b" * 20000 + b"c" * 20000
    note = json.loads((a.store / ".store").read_text())
    assert note["Shared"] is True and note["Boot"] == "s" * 36
    assert '"Boot":"' + "s" * 36 in file_of(a, path, ".info").read_text()


def test_what_another_host_finished_can_be_downloaded_at_once(app, tmp_path):
    """NFS keeps the size that it knew, and a download waits for no lock."""
    a = up(app())
    b = up(app(rig.merge(SHARED, {"pool": {"max_workers": 1}}),
               elsewhere=True, env=preload(
                   Path(__file__).parent / "stale.c", tmp_path)))
    path = a.client.create(10)
    for data, at in ((b"hello", 0), (b"world", 5)):
        assert b.client.request("GET", path, resumable=None).status == 404
        assert a.client.patch(path, at, data).status == 204
    for one in (a, b):
        answer = one.client.request("GET", path, resumable=None)
        assert (answer.status, answer.body) == (200, b"helloworld")


def test_a_lock_file_that_another_host_made_anew_is_taken(app, tmp_path):
    """NFS believes in the name of the old one."""
    a = up(app())
    b = up(app(rig.merge(SHARED, {"pool": {"max_workers": 1}}),
               elsewhere=True, env=preload(
                   Path(__file__).parent / "stale.c", tmp_path)))
    path = a.client.create(10)
    assert b.client.offset(path) == 0
    # Its end removes the lock file; another file gets the inode's number.
    assert a.client.patch(path, 0, b"helloworld").status == 204
    assert not file_of(a, path, ".lock").exists()
    for _ in range(3):
        a.client.create(10)
    assert b.client.request("DELETE", path).status == 204


def test_an_upload_changes_hosts_while_it_is_sent(app):
    """And whatever a killed pool had not acknowledged is sent again."""
    a, b = up(app()), up(app(elsewhere=True))
    path = a.client.create(1000)
    with a.client.open_patch(path, 0, 1000) as stream:
        stream.send(b"x" * 400)
        a.wait_for_bytes(path, 400)
        assert b.client.offset(path) == 400
        assert stream.read().status == 423
    with b.client.open_patch(path, 400, 600) as stream:
        stream.send(b"y" * 100)
        b.wait_for_bytes(path, 500)
        kill(b)
    assert a.client.offset(path) == 400
    assert file_of(a, path).stat().st_size == 400


def test_a_host_that_sees_no_boot_id_shares_as_well(app, tmp_path):
    """No boot has a meaning there, and the note knows of its beginning."""
    mounts.may_mount()
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    blind = ["unshare", "-m", "sh", "-c",
             f"mount --bind {nothing} /proc/sys/kernel/random && exec \"$@\"",
             "sh"]
    a, b = up(app()), up(app(under=blind))
    path = a.client.create(100)
    assert a.client.patch(path, 0, b"a" * 30).status == 204
    assert b.client.patch(path, 30, b"b" * 30).status == 204
    note = json.loads((a.store / ".store").read_text())
    assert note["Boot"] == "s" * 36 and note["Began"] > 0
    with b.client.open_patch(path, 60, 40) as stream:
        stream.send(b"lost")
        b.wait_for_bytes(path, 64)
        kill(a)
        kill(b)
    # After a reboot, whoever begins, sees it or not.
    for one in (app(under=blind), app(elsewhere=True)):
        assert up(one).client.offset(path) == 60
        assert json.loads((one.store / ".store").read_text())[
            "Boot"] == "s" * 36
    assert file_of(a, path).stat().st_size == 60


def test_the_files_themselves_are_locked(app):
    """The lock file alone would not stop a host that lost it."""
    one = up(app())
    path = one.client.create(10)
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, FENCE, 1, 0)
    for suffix in ("", ".info"):
        with open(file_of(one, path, suffix), "r+b") as file:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
            answer = one.client.patch(path, 0, b"hello")
            assert answer.status == 423, suffix
            assert one.client.head(path).status == 423
    assert one.client.patch(path, 0, b"hello").status == 204


def inject(one, call, error="EIO"):
    """From now on this system call fails in all workers."""
    pids = one.workers()
    run = subprocess.Popen(
        [rig.have("strace"), "-f", "-qq", "-o", "/dev/null", "-e",
         f"trace={call}", "-e", f"inject={call}:error={error}",
         *(arg for pid in pids for arg in ("-p", str(pid)))])
    for pid in pids:
        rig.wait_for(lambda pid=pid: "TracerPid:\t0" not in open(
            f"/proc/{pid}/status", encoding="ascii").read(), "strace")
    return run


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_host_that_is_stopped_by_the_file_system_takes_nothing_back(
        app, call):
    a, b = up(app()), up(app(elsewhere=True))
    path = a.client.create(100)
    assert a.client.patch(path, 0, b"abc").status == 204
    tracer = inject(a, call)
    try:
        answer = a.client.patch(path, 3, b"defgh")
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    assert answer.status == 423, answer
    assert "upload-offset" not in answer.headers
    line = [x for x in a.log().splitlines() if "method=PATCH" in x][-1]
    assert "fenced=1" in line and "code=ERR_UPLOAD_LOCKED" in line, line
    assert not [x for x in a.log().splitlines() if " error " in x]
    metrics = a.client.request("GET", "/metrics", resumable=None).body
    assert b"tusd_store_fenced_total 1" in metrics
    record = file_of(a, path, ".info").read_text()
    assert '"Offset":                   3,' in record
    assert b.client.offset(path) == 3
    assert b.client.patch(path, 3, b"D" * 97).status == 204
    answer = a.client.request("GET", path, resumable=None)
    assert answer.body == b"abc" + b"D" * 97


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
def test_a_host_that_is_cut_off_meanwhile_says_so(app):
    """Not 500, which makes a client that asks for the offset begin anew."""
    one = up(app(rig.merge(SHARED, {"pool": {"max_workers": 1}})))
    path = one.client.create(10)
    tracer = inject(one, "openat,openat2", "ESHUTDOWN")
    try:
        assert one.client.request("HEAD", path).status == 423
        assert one.client.request("GET", path, resumable=None).status == 503
        answer = one.client.request("POST", "/files", {"Upload-Length": "1"})
        assert answer.status == 503
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    assert one.client.offset(path) == 0


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("call", [
    "openat,openat2", "fcntl", "pread64", "unlinkat,renameat"])
def test_whichever_call_fails_first_where_a_host_is_cut_off(app, call, method):
    """Of the store or of the lock: it is no internal error."""
    one = up(app(rig.merge(SHARED, {"pool": {"max_workers": 1}})))
    answers = []
    for nth in range(1, 5):
        path = one.client.create(10)
        tracer = inject(one, call, f"ESHUTDOWN:when={nth}")
        try:
            answers.append(
                one.client.patch(path, 0, b"x") if method == "PATCH" else
                one.client.request("DELETE", path))
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(20)
    assert {a.status for a in answers} <= {204, 423, 503}, (
        answers, one.log()[-2000:])


def test_what_changed_while_its_body_waited_is_another_hosts(app):
    """The locks of a parked upload can be lost like any others."""
    one = up(app(rig.merge(SHARED, {"pool": {"max_parked": 10}})))
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x" * 50)
        one.wait_for_bytes(path, 50)
        rig.wait_for(lambda: b"tusd_uploads_parked 1\n" in one.client.request(
            "GET", "/metrics", resumable=None).body, "it to be parked")
        with file_of(one, path).open("ab") as file:
            file.write(b"other")
        stream.send(b"z" * 50)
        answer = stream.finish()
    assert answer.status == 423, answer
    line = [x for x in one.log().splitlines() if "method=PATCH" in x][-1]
    assert "fenced=1" in line and "parks=1" in line, line


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
def test_a_removal_is_written_down_first(app):
    """A host that cannot unlink the file has marked the upload as removed by
    then, so that it is gone on all hosts."""
    a, b = up(app()), up(app(elsewhere=True))
    path = a.client.create(10)
    tracer = inject(a, "unlinkat", "EPERM")
    try:
        assert a.client.request("DELETE", path).status == 500
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
    assert file_of(a, path).exists()
    for one in (a, b):
        assert one.client.head(path).status == 404
        assert one.client.patch(path, 0, b"x").status == 404
    assert b.client.request("DELETE", path).status == 204
    assert not file_of(a, path).exists()
    assert not file_of(a, path, ".info").exists()


def ctl(one, *arguments, status=0):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", str(one.config_path), *arguments],
        timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode == status, (run.stdout, run.stderr)
    return run.stdout + run.stderr


def test_a_removal_that_died_is_carried_out_by_the_sweep(app):
    one = up(app())
    path = one.client.create(10)
    record = file_of(one, path, ".info")
    record.write_text(record.read_text().replace("s" * 36, "x" * 36))
    old = record.stat().st_mtime - 7 * 86400
    for suffix in ("", ".info"):
        os.utime(file_of(one, path, suffix), (old, old))
    assert one.client.head(path).status == 404
    said = ctl(one, "sweep", "--force")
    assert not record.exists() and not file_of(one, path).exists(), said


PLAIN = {"lock": {"method": "ofd"}, "store": {"durability": "data"}}


def test_all_hosts_say_the_same(app):
    a = up(app())
    assert "store.shared = true" in refused(app(PLAIN))
    a.stop_app()
    b = up(app(PLAIN))
    assert "store.shared = false" in refused(app())
    assert "store.shared = false" in ctl(a, "sweep", status=1)
    b.stop_app()


def test_a_store_is_settled_before_it_is_shared(app):
    plain = up(app(PLAIN))
    path = plain.client.create(10)
    assert plain.client.patch(path, 0, b"hello").status == 204
    plain.stop_app()
    shared = app()
    assert "tusctl settle" in refused(shared)
    ctl(plain, "settle")
    up(shared)
    assert shared.client.offset(path) == 5
    shared.stop_app()
    up(plain)
    assert plain.client.offset(path) == 5


@pytest.mark.parametrize("change,said", [
    ({"store": {"durability": "data"}}, 'store.durability = "full"'),
    ({"lock": {"method": "flock"}}, 'lock.method = "ofd"'),
    ({"lock": {"path": "/tmp"}}, "remove lock.path"),
    ({"lock": {"type": "memory"}}, '"memory" is for one pool'),
    ({"store": {"shared": False}, "lock": {
        "type": "redis", "hosts": ["127.0.0.1:1"]}}, "set store.shared"),
    ({"hooks": {"dir": "/usr/bin"}}, "set hooks.spool"),
], ids=["durability", "method", "lock-path", "memory", "far", "spool"])
def test_what_is_not_safe_is_refused(app, change, said):
    one = app(rig.merge(SHARED, change))
    run = subprocess.run(
        [rig.program(), "-t", "-c", str(one.config_path)],
        timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode != 0 and said in run.stderr, run


def test_tusctl_refuses_what_the_server_refuses(app):
    """It would work with locks that keep nobody out."""
    one = app(rig.merge(SHARED, {"store": {"shared": False}, "lock": {
        "type": "redis", "hosts": ["127.0.0.1:1"]}}))
    run = subprocess.run(
        [rig.program("tusctl"), "-c", str(one.config_path), "list"],
        timeout=60, capture_output=True, text=True, check=False)
    assert run.returncode == 2 and "set store.shared" in run.stderr, run


# --- What is it mounted on? ---

def check(one, as_what=None, is_nfs=False, tmp=None):
    """tusfcgi -t, on what looks like another file system."""
    env = dict(os.environ)
    if as_what:
        list_ = tmp / "mountinfo"
        list_.write_text("21 1 254:1 / / rw - ext4 /dev/vda rw\n"
                         f"99 21 0:52 / {one.store.parent} rw - {as_what}\n")
        env |= preload(Path(__file__).parent / "mounted.c", tmp)
        env["MOUNTED_AS"] = str(list_)
        if is_nfs:
            env["MOUNTED_NFS"] = "1"
    return subprocess.run(
        [rig.program(), "-t", "-c", str(one.config_path)], env=env,
        timeout=60, capture_output=True, text=True, check=False)


def nfs(options):
    return f"nfs4 server:/x rw,{options}"


GOOD = "vers=4.1,rsize=1048576,hard,proto=tcp,local_lock=none"


@pytest.mark.parametrize("bad,instead", [
    ("vers=3", "vers=4.1"), ("vers=4.0", "vers=4.1"), ("nolock", "lock"),
    ("local_lock=all", "local_lock=none"),
    ("local_lock=flock", "local_lock=none"),
    ("local_lock=posix", "local_lock=none"), ("soft", "hard")])
def test_a_mount_that_is_not_safe_is_refused(app, tmp_path, bad, instead):
    one = app()
    one.store.mkdir()
    run = check(one, nfs(f"{GOOD},{bad}"), True, tmp_path)
    assert run.returncode == 2, run
    assert f"store.path is mounted with {bad}, which is not safe; mount it " \
        f"with {instead}" in run.stderr


def test_a_mount_that_is_safe_is_taken(app, tmp_path):
    one = app()
    one.store.mkdir()
    run = check(one, nfs(GOOD), True, tmp_path)
    assert run.returncode == 0 and "warning" not in run.stdout, run
    run = check(one, "fuse.glusterfs gluster:/x rw", False, tmp_path)
    assert run.returncode == 0, run
    assert "GlusterFS does not promise to stop a host" in run.stderr


@pytest.mark.parametrize("what,name", [
    ("nfs s:/x rw,vers=3", "NFS"), (nfs(GOOD), "NFS"),
    ("fuse.glusterfs gluster:/x rw", "GlusterFS")])
def test_flock_is_warned_of_where_nobody_is_heard(app, tmp_path, what, name):
    """It is made a lock of the whole file there."""
    one = app({"lock": {"method": "flock"}})
    one.store.mkdir()
    run = check(one, what, name == "NFS", tmp_path)
    assert run.returncode == 0, run
    assert f'warning: lock.method = "flock": on {name} a request that waits ' \
        'for an upload is never heard' in run.stdout
    assert 'set lock.method = "ofd"' in run.stdout
    ofd = app({"lock": {"method": "ofd"}})
    run = check(ofd, what, name == "NFS", tmp_path)
    assert run.returncode == 0 and "lock.method" not in run.stdout.replace(
        "lock.path lock.method", "")
    assert "lock.method" not in check(one).stdout.replace(
        "lock.path lock.method", "")


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
def test_a_file_system_that_gives_one_lock_to_two_is_refused(app, tmp_path):
    one = up(app())
    one.stop_app()
    run = subprocess.run(
        ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e",
         "trace=fcntl", "-e", "inject=fcntl:retval=0", rig.program(), "-c",
         str(one.config_path)], timeout=60, capture_output=True,
        text=True, check=False, env={**os.environ,
                                     "ASAN_OPTIONS": "detect_leaks=0"})
    assert run.returncode == 1, run
    assert "gives one lock to two at a time" in run.stderr
    assert not [x for x in one.store.iterdir() if x.name.startswith(".store-")]
