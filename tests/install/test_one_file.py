"""make tus.fcgi: one file that needs no library of the host."""

import os
import shutil
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from lib import clients, fronts, rig
from lib.app import App
from lib.once import once

LARGE = os.urandom(1 << 20)


def make(folder):
    """As README says, without sanitizers, which cannot be in one file."""
    if not (rig.TREE / "configure").exists():
        pytest.skip("no configure in the tree")
    for argv in ([str(rig.TREE / "configure"), "-q"],
                 ["make", "-s", "-j2", "tus.fcgi"]):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        run = subprocess.run(argv, cwd=folder, env=env, capture_output=True,
                             text=True, timeout=600, check=False)
        if run.returncode and "already configured" in run.stderr:
            pytest.skip("the tree itself is configured")
        assert run.returncode == 0, run.stdout + run.stderr
        assert "warning" not in run.stderr
    return str(folder / "tus.fcgi")


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    return Path(once(tmp_path_factory, "one-file", make))


def test_it_needs_no_library(one_file):
    text = subprocess.run(["readelf", "-ld", one_file], check=True,
                          capture_output=True, text=True).stdout
    assert "INTERP" not in text and "NEEDED" not in text
    assert one_file.stat().st_size < 8 << 20


def talk(app):
    """The requests of an upload, and its bytes back."""
    path = app.client.create(2 * len(LARGE))
    for n in (0, 1):
        assert app.client.patch(path, n * len(LARGE), LARGE).status == 204
    answer = app.client.request("GET", path)
    assert (answer.status, answer.body) == (200, LARGE + LARGE)
    assert app.client.request("DELETE", path).status == 204


def test_it_reads_a_lot_at_a_time(one_file, tmp_path):
    """A static libfcgi reads 8 KiB at a time, unless OS_Read is ours."""
    said = subprocess.run([one_file, "-V"], check=True, capture_output=True,
                          text=True).stdout
    assert "large reads" in said
    if not rig.have("strace"):
        pytest.skip("no strace")
    app = App(tmp_path, args=["-w", "1"], under=[
        "strace", "-D", "-f", "-qq", "-e", "trace=read,readv,recvfrom,recvmsg", "-o",
        str(tmp_path / "trace")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUSFCGI", str(one_file))
        app.start_app()
    try:
        talk(app)
    finally:
        app.stop()
    sizes = [int(line.rsplit("= ", 1)[1])
             for line in (tmp_path / "trace").read_text().splitlines()
             if line.rsplit("= ", 1)[-1].isdigit()]
    assert max(sizes) > 64 << 10, sorted(sizes)[-5:]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its root")
@pytest.mark.parametrize("workers", ["1", "3"])
def test_it_runs_in_an_empty_root(one_file, short_folder, workers):
    """Nothing is there but the program, /proc and /dev/null."""
    root = short_folder / "root"
    for name in ("proc", "dev", "up", "etc"):
        (root / name).mkdir(parents=True)
    (root / "dev/null").write_text("")
    shutil.copy(one_file, root / "tus.fcgi")
    (root / "t.conf").write_text(rig.libconfig({
        "store": {"path": "/up", "min_free": "1M"},
        "hooks": {"dir": "/etc"}}))
    inside = subprocess.run(
        ["unshare", "--mount", "true"], capture_output=True, check=False)
    if inside.returncode:
        pytest.skip("no name space for mounts")
    app = App(short_folder)
    script = ('mount --bind /proc "$1/proc" && '
              'mount --bind /dev/null "$1/dev/null" && root=$1 && shift && '
              'exec chroot "$root" "$@"')
    app.app = rig.spawn(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script,
         "-", str(root), "/tus.fcgi", "-c", "/t.conf", "-s", "/sock",
         "-w", workers], app.log_path)
    app.client.address = str(root / "sock")
    try:
        rig.wait_for(lambda: "listening on" in app.log(), "tus.fcgi")
        talk(app)
        assert app.app.poll() is None
    finally:
        app.stop()
    assert "error" not in app.log()


@pytest.mark.parametrize("front", ["htaccess", "apache-fcgid", "nginx"])
def test_it_serves_behind_a_web_server(one_file, server, monkeypatch, front):
    if fronts.missing(front):
        pytest.skip(fronts.missing(front))
    monkeypatch.setenv("TUSFCGI", str(one_file))
    one = server(front)
    status, headers, _ = clients.request(
        "POST", one.url, {"Upload-Length": "5", "Content-Length": "0"})
    assert status == 201
    url = urllib.parse.urljoin(one.url, headers["Location"])
    status, _, _ = clients.request("PATCH", url, {
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream"}, b"hello")
    assert status == 204
    assert clients.request("GET", url)[2] == b"hello"


def test_it_says_that_it_has_no_hooks_url(one_file, tmp_path):
    (tmp_path / "up").mkdir()
    (tmp_path / "t.conf").write_text(rig.libconfig({
        "store": {"path": str(tmp_path / "up")},
        "hooks": {"url": "http://127.0.0.1:9/"}}))
    run = subprocess.run([one_file, "-t", "-c", tmp_path / "t.conf"],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "hooks.dir" in run.stderr


def test_it_says_that_it_has_no_store_for_buckets(one_file, tmp_path):
    (tmp_path / "t.conf").write_text(rig.libconfig({
        "store": {"type": "s3"}, "s3": {"bucket": "b"}}))
    run = subprocess.run([one_file, "-t", "-c", tmp_path / "t.conf"],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 2 and "store.type" in run.stderr
