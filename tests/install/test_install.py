"""make install puts everything where it belongs; make uninstall takes all."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from lib import rig
from lib.app import children

BUILD = Path(rig.program()).parent

EXPECTED = [
    "sbin/tusctl", "sbin/tusfcgi",
    "share/man/man5/tusfcgi.conf.5", "share/man/man8/tusctl.8",
    "share/bash-completion/completions/tusctl",
    "share/zsh/site-functions/_tusctl",
    "share/fish/vendor_completions.d/tusctl.fish"]
EXAMPLES = [
    "tusfcgi.conf", "nginx/tusfcgi.conf", "nginx/tusfcgi-s3.conf",
    "lighttpd/tusfcgi.conf", "lighttpd/tusfcgi-spawn.conf", "apache/tusfcgi-proxy.conf",
    "apache/tusfcgi-fcgid.conf", "apache/htaccess/.htaccess",
    "apache/htaccess/tus.conf", "apache/htaccess/uploads/.htaccess",
    "page/install", "page/index.html"]


def make(*argv):
    if not (BUILD / "Makefile").exists():
        pytest.skip(f"no Makefile in {BUILD}")
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    run = subprocess.run(["make", "-s", "-C", str(BUILD), *argv], env=env,
                         capture_output=True, text=True, timeout=300,
                         check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*")
                  if not p.is_dir())


def prefix():
    text = (BUILD / "Makefile").read_text()
    line = next(l for l in text.splitlines() if l.startswith("prefix = "))
    return line.partition("= ")[2].lstrip("/")


def test_everything_is_installed_and_nothing_stays(tmp_path):
    make("install", f"DESTDIR={tmp_path}")
    root = tmp_path / prefix()
    wanted = EXPECTED + ["share/doc/tusfcgi/FORMAT"] + [f"share/doc/tusfcgi/examples/{n}" for n in EXAMPLES]
    there = files(root)
    assert [n for n in wanted if n not in there] == []
    assert os.access(root / "sbin/tusfcgi", os.X_OK)
    assert os.access(root / "share/doc/tusfcgi/examples/page/install", os.X_OK)
    make("uninstall", f"DESTDIR={tmp_path}")
    assert files(tmp_path) == []
    assert not (root / "share/doc/tusfcgi").exists()


UNITS = ["tusfcgi.service", "tusfcgi.socket", "tusctl-sweep.service",
         "tusctl-sweep.timer", "tusfcgi-lock-agent.service"]


def systemd_analyze(*argv):
    if not rig.have("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    return subprocess.run([rig.have("systemd-analyze"), *argv], text=True,
                          capture_output=True, timeout=60, check=False)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    make(*(f"etc/systemd/{n}" for n in UNITS))
    for name in UNITS:
        text = (BUILD / "etc/systemd" / name).read_text()
        (tmp_path / name).write_text(
            text.replace(f"/{prefix()}/sbin/", f"{BUILD}/"))
    run = systemd_analyze("verify", "--man=no",
                          *(str(tmp_path / n) for n in UNITS))
    said = [l for l in run.stderr.splitlines() if any(n in l for n in UNITS)]
    assert (run.returncode, said) == (0, []), run.stderr


def system_calls(name):
    """The names of a group of system calls, of the groups in it too."""
    run = systemd_analyze("syscall-filter", name)
    assert run.returncode == 0, run.stderr
    found = set()
    for line in run.stdout.splitlines()[1:]:
        word = line.split("#")[0].strip()
        found |= system_calls(word) if word.startswith("@") else {word}
    return found


def test_the_service_may_call_whatever_the_program_calls(app, tmp_path):
    """With systemd 252 the workers were killed for confining themselves."""
    if not rig.have("strace"):
        pytest.skip("no strace")
    make("etc/systemd/tusfcgi.service")
    text = (BUILD / "etc/systemd/tusfcgi.service").read_text()
    allowed = set()
    for value in re.findall(r"^SystemCallFilter=(.*)", text, re.M):
        for word in value.split():
            allowed |= system_calls(word) if word.startswith("@") else {word}
    trace = tmp_path / "trace"
    one = app(under=["strace", "-f", "-qq", "-e", "signal=none", "-o", trace],
              env={"ASAN_OPTIONS": "detect_leaks=0"})
    url = one.client.create(5)
    assert one.client.patch(url, 0, b"hello").status == 204
    assert one.client.request("GET", url).body == b"hello"
    assert one.client.request("DELETE", url).status == 204
    # strace does not pass it on.
    os.kill(children(one.app.pid)[0], signal.SIGTERM)
    assert one.app.wait(20) == 0
    seen = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
    assert {"accept", "accept4"} & seen
    assert seen - allowed == set()


def test_the_units_name_programs_that_are_installed():
    units = [*UNITS, "tusfcgi.sysusers", "tusfcgi.tmpfiles"]
    names = [f"etc/systemd/{n}" for n in units]
    make(*names)
    text = {n: (BUILD / n).read_text() for n in names}
    assert not [n for n, t in text.items() if "@sbindir@" in t or
                "@rundir@" in t or "@WEB_GROUP@" in t]
    assert f"/{prefix()}/sbin/tusfcgi\n" in text["etc/systemd/tusfcgi.service"]
    assert f"/{prefix()}/sbin/tusctl sweep" in \
        text["etc/systemd/tusctl-sweep.service"]
    listen = "/run/tusfcgi/tusfcgi.sock"
    assert f"ListenStream={listen}" in text["etc/systemd/tusfcgi.socket"]
    for snippet in ("nginx/tusfcgi.conf", "lighttpd/tusfcgi.conf",
                    "apache/tusfcgi-proxy.conf"):
        assert listen in (rig.TREE / "etc" / snippet).read_text(), snippet


def test_only_the_service_that_serves_claims_the_store():
    """The timer took it from mod_fcgid every hour, tmpfiles at each boot."""
    names = ["tusctl-sweep.service", "tusctl-sweep.timer", "tusfcgi.socket",
             "tusfcgi.tmpfiles", "tusfcgi.service"]
    make(*(f"etc/systemd/{n}" for n in names))
    text = {n: (BUILD / "etc/systemd" / n).read_text() for n in names}
    assert [n for n in names if re.search(
        r"^(StateDirectory=|User=|d /var/lib)", text[n], re.M)] == \
        ["tusfcgi.service"]


def test_no_sweep_is_at_work_when_the_service_starts_after_a_reboot():
    make("etc/systemd/tusctl-sweep.service")
    text = (BUILD / "etc/systemd/tusctl-sweep.service").read_text()
    assert "\nAfter=tusfcgi.service\n" in text


def test_a_mistake_does_not_end_the_service_for_good():
    make("etc/systemd/tusfcgi.service")
    text = (BUILD / "etc/systemd/tusfcgi.service").read_text()
    assert "\nStartLimitIntervalSec=0\n" in text
    assert "RestartPreventExitStatus" not in text
    reload = re.findall(r"^ExecReload=(.*)", text, re.M)
    assert reload[0].endswith("/tusfcgi -t") and "HUP" in reload[1]


def configure(folder, **environment):
    """./configure in a folder: what it says, without the lines of its checks."""
    if not (rig.TREE / "configure").exists():
        pytest.skip("no configure in the tree")
    run = subprocess.run([rig.TREE / "configure"], cwd=folder, text=True,
                         capture_output=True, timeout=300, check=False,
                         env={**os.environ, **environment})
    if "already configured" in run.stderr:
        pytest.skip("the tree itself is configured")
    return run


def test_configure_names_all_that_is_missing(tmp_path):
    """... at once; and its checks leave the folder core/ alone."""
    (tmp_path / "core").mkdir()
    run = configure(tmp_path, PKG_CONFIG="/bin/false")
    assert run.returncode == 1
    assert "cannot remove" not in run.stderr
    said = run.stderr.rpartition("configure: error: ")[2]
    for package in ("libconfig-dev", "libjansson-dev", "libssl-dev",
                    "libcurl4-openssl-dev", "zlib1g-dev"):
        assert package in said.partition("apt-get install")[2]
