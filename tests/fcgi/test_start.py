"""The command line, the socket, and what is said when it does not work."""

import grp
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile

import pytest

from lib import fastcgi, rig
from lib.proc import is_alive


def run(*args, env=None, cwd=None, program=None, **options):
    """One that is to leave on its own."""
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("TUSFCGI_CONF", "LISTEN_FDS")}
    environment.update(env or {})
    return subprocess.run(
        [program or rig.program(), *map(str, args)], env=environment, cwd=cwd,
        stdin=options.pop("stdin", subprocess.DEVNULL),
        capture_output=True, text=True, timeout=20, **options)


@pytest.fixture
def place(short_folder):
    """A folder with a configuration that works."""
    (short_folder / "up").mkdir()
    write(short_folder)
    return short_folder


def write(place, **config):
    base = {"store": {"path": str(place / "up"), "min_free": "1M"}}
    (place / "t.conf").write_text(rig.libconfig(rig.merge(base, config)))
    return place / "t.conf"


def test_help_and_version_go_to_standard_output():
    result = run("-h")
    assert result.returncode == 0 and result.stdout.startswith("usage: ")
    result = run("-V")
    assert result.returncode == 0
    for word in ("tusfcgi ", "stores:", "file", "locks:", "flock", "sha1",
                 "body:"):
        assert word in result.stdout


@pytest.mark.parametrize("key, name, package", [
    ("store", "s3", "libexpat1-dev"), ("lock", "redis", "libhiredis-dev"),
    ("lock", "zookeeper", "libzookeeper-st-dev")])
def test_what_was_not_built_in_names_its_package(place, key, name, package):
    """configure goes on without; -V has one line for each key."""
    line = next(l for l in run("-V").stdout.splitlines()
                if l.startswith(key + "s:"))
    result = run("-c", write(place, **{key: {"type": name}}), "-t")
    assert result.returncode == 2
    assert (package in result.stderr) == (name not in line.split()), \
        result.stderr


@pytest.mark.parametrize("args", [
    ["-x"], ["-w"], ["-w", "0"], ["-w", "many"], ["-w", "-3"], ["extra"],
    ["-w", "99999999999"],
])
def test_wrong_usage_is_2(args):
    result = run(*args)
    assert result.returncode == 2 and result.stderr


def test_without_an_address_it_names_the_ways(place):
    result = run("-c", place / "t.conf")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    for word in ("-s", "pool.listen", "systemd"):
        assert word in result.stderr


def test_t_explains_and_leaves_nothing_running(place):
    write(place, pool={"listen": str(place / "sock")}, max_size="1M",
          extensions={"termination": False},
          expiration={"after": "7d", "sweep": "90s"},
          metrics={"enabled": True}, hooks={"dir": str(place)})
    result = run("-c", place / "t.conf", "-t")
    assert result.returncode == 0, result.stderr
    for word in (str(place / "sock"), str(place / "up"), "data", "creation",
                 "1048576", "7d after the last byte", "every 90s",
                 "/metrics", f"hooks         {place}"):
        assert word in result.stdout
    assert "termination" not in result.stdout
    assert not (place / "sock").exists()


@pytest.mark.parametrize("text, expected", [
    ("stor: { };", ":1: "),
    ("\nmax_size = ;", ":2: "),
    ("pool: { max_workers = \"many\"; };", "max_workers"),
    ("pool: { max_workers = 0; };", "max_workers"),
    ("pool: { reserve = 9; max_workers = 9; };", "pool.reserve"),
    ("location = \"nowhere\";", "location"),
    ("checksum: { algorithms = ( \"sha0\" ); };", "sha0"),
    ("download: { sendfile = \"x-accel\"; };", "sendfile_root"),
    ("base_path = \"files\";", "base_path"),
])
def test_a_bad_configuration_is_2_and_says_where(place, text, expected):
    (place / "t.conf").write_text(text)
    for args in (["-t"], ["-s", place / "sock"]):
        result = run("-c", place / "t.conf", *args)
        assert result.returncode == 2, result.stderr
        assert "t.conf" in result.stderr and expected in result.stderr


def test_a_missing_configuration_is_named(place):
    result = run("-c", place / "none.conf", "-t")
    assert result.returncode in (1, 2) and "none.conf" in result.stderr


def test_a_store_that_cannot_be_opened_is_1(place):
    (place / "up").rmdir()
    (place / "up").write_text("no directory")
    for args in (["-t"], ["-s", place / "sock"]):
        result = run("-c", place / "t.conf", *args)
        assert result.returncode == 1 and "up" in result.stderr
        assert not (place / "sock").exists()


def test_the_environment_names_the_configuration(place):
    result = run("-t", env={"TUSFCGI_CONF": str(place / "t.conf")})
    assert result.returncode == 0 and str(place / "up") in result.stdout


def test_warnings_name_what_is_risky(place):
    write(place, pool={"listen": "0.0.0.0:9000"},
          store={"durability": "none"}, owner={"param": "REMOTE_USER"})
    result = run("-c", place / "t.conf", "-t")
    assert result.returncode == 0
    for word in ("loopback", "power", "REMOTE_USER"):
        assert word in result.stdout


@pytest.mark.parametrize("address", ["nonsense", "/nowhere/at/all/sock",
                                     "127.0.0.1:99999999", "/" + "x" * 200])
def test_an_address_that_does_not_work_is_told(place, address):
    result = run("-c", place / "t.conf", "-s", address)
    assert result.returncode in (1, 2) and result.stderr


# --- The socket. ---

def test_the_socket_has_the_mode_that_was_asked_for(app):
    one = app(config={"pool": {"mode": "0640"}})
    assert stat.S_IMODE(os.stat(one.socket).st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
def test_root_becomes_another_and_gives_the_socket_away(app):
    user, group = pwd.getpwnam("nobody"), grp.getgrnam("daemon")
    with tempfile.TemporaryDirectory(prefix="tusfcgi-") as folder:
        os.chmod(folder, 0o755)
        os.mkdir(f"{folder}/up")
        os.chown(f"{folder}/up", user.pw_uid, group.gr_gid)
        one = app(config={"store": {"path": f"{folder}/up"},
                          "pool": {"user": "nobody", "group": "daemon"}})
        st = os.stat(one.socket)
        assert (st.st_uid, st.st_gid) == (user.pw_uid, group.gr_gid)
        one.client.create(10)
        rig.wait_for(one.workers, "workers")
        for pid in [one.app.pid] + one.workers():
            st = os.stat(f"/proc/{pid}/task")
            assert (st.st_uid, st.st_gid) == (user.pw_uid, group.gr_gid)
        one.stop_app()


def test_an_unknown_owner_of_the_socket_is_refused(place):
    write(place, pool={"group": "no-such-group-here"})
    result = run("-c", place / "t.conf", "-s", place / "sock")
    assert result.returncode == 2 and "no-such-group-here" in result.stderr
    assert not (place / "sock").exists()


def test_a_socket_left_behind_is_replaced(app):
    one = app()
    workers = one.workers()
    one.stop_app(signal.SIGKILL)
    assert one.socket.exists()
    rig.wait_for(lambda: not any(map(is_alive, workers)), "workers to die")
    one.start_app()
    assert one.client.request("OPTIONS", "/files").status == 200


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_a_second_one_leaves_a_socket_in_use_alone(app, args):
    one = app(args=args)
    before = os.stat(one.socket)
    result = run("-c", one.config_path, *args)
    assert result.returncode == 1
    assert str(one.socket) in result.stderr and \
        "another program listens" in result.stderr
    assert os.stat(one.socket).st_ino == before.st_ino
    assert one.client.request("OPTIONS", "/files").status == 200


def test_what_is_no_socket_is_never_removed(place):
    (place / "sock").write_text("precious")
    result = run("-c", place / "t.conf", "-s", place / "sock")
    assert result.returncode == 1 and "not a socket" in result.stderr
    assert (place / "sock").read_text() == "precious"


def test_the_socket_is_gone_after_a_stop(app):
    one = app()
    assert one.stop_app() == 0
    assert not one.socket.exists()


def test_a_socket_of_somebody_else_survives_our_stop(app):
    one = app()
    one.socket.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(one.socket))
        assert one.stop_app() == 0
        assert one.socket.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_it_listens_on_a_port(app, host):
    port = rig.free_port()
    one = app(args=["-s", f"{host}:{port}"], port=port)
    assert one.client.request("OPTIONS", "/files").status == 200


# --- Sockets that others made. ---

START_WITH = """
import os, socket, sys
path, fd = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen(5)
os.dup2(s.fileno(), fd)
os.set_inheritable(fd, True)
if fd == 3:
    os.environ["LISTEN_FDS"] = "1"
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.fixture
def given(place):
    """given(fd, program, args): the program, with a socket it was given."""
    started = []

    def start(fd, program=None, args=()):
        log = open(place / "log", "wb")
        process = subprocess.Popen(
            [sys.executable, "-c", START_WITH, str(place / "sock"), str(fd),
             str(program or rig.program()), *map(str, args)], stderr=log)
        started.append(process)
        rig.wait_for(lambda: rig.accepts(socket.AF_UNIX, str(place / "sock")),
                     "it to listen")
        client = fastcgi.Client(place / "sock")
        answer = client.request("OPTIONS", "/files")
        assert answer.status == 200, (place / "log").read_text()
        return process, client

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


@pytest.mark.parametrize("fd", [0, 3])
def test_it_serves_on_a_socket_that_it_was_given(given, place, fd):
    """spawn-fcgi and lighttpd; systemd"""
    process, _ = given(fd, args=["-c", place / "t.conf"])
    process.terminate()
    assert process.wait(20) == 0
    assert (place / "sock").exists(), "not ours to remove"


def test_a_check_by_hand_says_that_the_socket_comes_from_elsewhere(place):
    """As on a system where systemd has it: that is no mistake."""
    done = run("-t", "-c", place / "t.conf")
    assert done.returncode == 0, done.stderr
    line, = [x for x in done.stdout.splitlines() if x.startswith("listens on")]
    assert "what systemd or a web server passes" in line and "-s" in line


@pytest.mark.skipif(not rig.have("spawn-fcgi"), reason="no spawn-fcgi")
def test_it_serves_below_spawn_fcgi(place):
    """With the command line that the snippet for lighttpd names, but as who we
    are."""
    line = re.search(r"^#     (spawn-fcgi .*)\\\n#         (.*)$", (
        rig.TREE / "etc/lighttpd/tusfcgi.conf").read_text(), re.M)
    command = "".join(line.groups()).replace("-u tusfcgi -g www-data ", "")
    argv = command.replace("/usr/sbin/tusfcgi", rig.program()).replace(
        "/run/tusfcgi/tusfcgi.sock", str(place / "sock")).split()
    process = rig.spawn(
        argv, place / "log",
        env={**os.environ, "TUSFCGI_CONF": str(place / "t.conf")})
    try:
        rig.wait_for(lambda: rig.accepts(socket.AF_UNIX, str(place / "sock")),
                     "it to listen")
        assert stat.S_IMODE((place / "sock").stat().st_mode) == 0o660
        client = fastcgi.Client(place / "sock")
        path = client.create(5)
        assert client.patch(path, 0, b"hello").status == 204
        assert client.request("GET", path).body == b"hello"
    finally:
        assert rig.end(process, signal.SIGTERM) == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGUSR1])
def test_as_a_fcgi_program_it_is_one_process_with_its_own_files(
        given, place, sig):
    """mod_fcgid: NAME.conf and ./uploads beside NAME.fcgi, no pool"""
    web = place / "web"
    web.mkdir()
    (web / "uploads").mkdir()
    (web / "tus.conf").write_text('max_size = "5M"; '
                                  'store: { min_free = "1M"; };')
    program = web / "tus.fcgi"
    os.symlink(rig.program(), program)
    process, client = given(0, program)
    answer = client.request("OPTIONS", "/files")
    assert answer.headers["tus-max-size"] == str(5 << 20)
    path = client.create(10)
    assert any((web / "uploads").rglob(path.rsplit("/", 1)[1]))
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(children) as f:
        assert f.read() == ""
    process.send_signal(sig)
    assert process.wait(20) == 0


# --- The service manager. ---

def test_the_service_manager_is_told(app, short_folder):
    path = short_folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        s.settimeout(20)

        def wait_for_line(wanted):
            while True:
                for line in s.recv(4096).decode().splitlines():
                    if line.startswith(wanted):
                        return line

        one = app(env={"NOTIFY_SOCKET": str(path)})
        wait_for_line("READY=1")
        assert "workers" in wait_for_line("STATUS=")
        one.app.send_signal(signal.SIGHUP)
        wait_for_line("RELOADING=1")
        wait_for_line("READY=1")
        one.stop_app()
        wait_for_line("STOPPING=1")
