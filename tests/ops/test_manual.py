"""Every example in the manual, as it stands there: configuration is read,
nginx serves uploads with its blocks, commands run.

Only paths, ids and addresses are replaced by those of the test.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lib import clients, logins, rig

PAGES = ("tusfcgi.8", "tusfcgi.conf.5", "tusctl.8")
# What the manual calls the things of which every site has its own.
NEEDS_A_SITE = ("systemctl", "tusfcgi -s", "https://example.org/",
                "-o tusfcgi")


def plain(text):
    """What roff makes of it."""
    for escape, means in (("\\(dq", '"'), ("\\e", "\\"), ("\\-", "-"),
                          ("\\&", ""), ("\\(aq", "'")):
        text = text.replace(escape, means)
    assert "\\(" not in text, text
    return text


def examples():
    """(page:line, text) of everything that is displayed."""
    found = []
    for page in PAGES:
        text = (rig.TREE / "man" / page).read_text()
        for m in re.finditer(r"^\.Bd -literal.*\n((?s:.*?))^\.Ed$|^\.Dl (.*)$",
                             text, re.M):
            line = text.count("\n", 0, m.start()) + 1
            found.append((f"{page}:{line}", plain(m[1] or m[2])))
    return found


def kind_of(text):
    for kind, begins in (
            # test_lock_services.py has this.
            ("redis", r"bind "),
            # tests/s3/test_manual.py has these.
            ("bucket", r'store: \{ type = "s3"'), ("policy", r"\{\n"),
            ("nginx", r"location "), ("command", r"[$#] "),
            ("cron", r"\d+ \d+ \* \* \* \w+ "), ("json", r"\{ "),
            ("log", r"\d{4}-\d\d-\d\dT"),
            ("message", r"/etc/tusfcgi.conf:\d+: "),
            ("conf", r"[a-z_]+ = |[a-z_]+: \{"),
            # Nothing to try out: it shows what stands where.
            ("drawing", r" +balancer\n"), ("balancer", r"upstream ")):
        if re.match(begins, text):
            return kind
    return "unknown"


def of_kind(kind):
    return [pytest.param(text, id=where) for where, text in examples()
            if kind_of(text) == kind]


def test_there_is_a_test_for_every_example():
    kinds = [kind_of(text) for _, text in examples()]
    assert "unknown" not in kinds, examples()[kinds.index("unknown")]
    assert len(kinds) > 25 and set(kinds) == {
        "nginx", "command", "cron", "json", "log", "message", "conf",
        "drawing", "balancer", "bucket", "policy", "redis"}


def check(path):
    return subprocess.run([rig.program(), "-c", str(path), "-t"], text=True,
                          capture_output=True, timeout=20, check=False)


@pytest.mark.parametrize("text", of_kind("conf"))
def test_configuration_is_good(tmp_path, text):
    for there in ("/srv/uploads", "/run/tusfcgi", "/etc/tusfcgi/"):
        here = tmp_path / there.strip("/").replace("/", "-")
        here.mkdir()
        text = text.replace(there, f"{here}/" if there[-1] == "/" else
                            str(here))
    # Nobody answers there.
    text = re.sub(r'"10\.0\.0\.\d+:\d+"', '"127.0.0.1:1"', text)
    for path in re.findall(r'password_file = "(.*)"', text):
        with open(path, "w", encoding="ascii",
                  opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
            file.write("secret\n")
    for path in re.findall(r'@include "(.*)"', text):
        with open(path, "w", encoding="ascii") as file:
            file.write('hooks: { secret = "x"; };\n')
    conf = tmp_path / "tusfcgi.conf"
    conf.write_text(text)
    run = check(conf)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("text", of_kind("balancer"))
def test_nginx_takes_the_balancer(tmp_path, text):
    if not rig.have("nginx"):
        pytest.skip("no nginx")
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{ }}\n"
                    f"http {{ access_log off;\n{text}\n}}")
    run = subprocess.run(["nginx", "-t", "-c", conf], text=True,
                         capture_output=True, check=False,
                         env={**os.environ, "PATH":
                              os.environ["PATH"] + ":/usr/sbin"})
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("text", of_kind("message"))
def test_messages_are_what_is_said(tmp_path, text):
    line, wrong = re.match(r'.*?:(\d+): unknown key "store\.(\w+)"',
                           text).groups()
    conf = tmp_path / "tusfcgi.conf"
    conf.write_text("store: {" + "\n" * (int(line) - 1) + f'{wrong} = "/x"; }};')
    run = check(conf)
    assert run.returncode == 2
    assert text.replace("/etc/tusfcgi.conf", str(conf)).strip() in run.stderr


@pytest.mark.parametrize("text", of_kind("json"))
def test_a_hook_sees_what_is_shown(server, tmp_path, text):
    hook = tmp_path / "hooks" / "post-finish"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ncat >{tmp_path}/seen.new\n"
                    f"mv {tmp_path}/seen.new {tmp_path}/seen\n")
    hook.chmod(0o755)
    one = server(config={"hooks": {"dir": str(hook.parent)}})
    logins.whole(one, {}, b"hello world")
    rig.wait_for((tmp_path / "seen").exists, "the hook")

    def shape(value):
        """The names in it; headers are the client's affair."""
        if not isinstance(value, dict):
            return None
        return {k: None if k in ("Header", "MetaData") else shape(v)
                for k, v in value.items()}

    shown = shape(json.loads(text))
    seen = shape(json.loads((tmp_path / "seen").read_text()))

    def is_in(some, all_of_them):
        return some is None or all(
            k in all_of_them and is_in(v, all_of_them[k])
            for k, v in some.items())

    assert is_in(shown, seen), (shown, seen)


@pytest.mark.parametrize("text", of_kind("log"))
def test_a_line_of_the_log_is_as_shown(server, text):
    one = server()
    logins.whole(one, {}, b"hello")
    shape = re.compile(r"(?<==)[0-9a-f]+\b|\d")
    lines = [shape.sub("0", line) for line in one.log().splitlines()]
    wanted = shape.sub("0", " ".join(text.split()))
    wanted = re.sub(r"\[0+\]", "[0]", wanted)
    assert any(re.sub(r"\[0+\]", "[0]", re.sub(r" request_id=\S+", "", line))
               == wanted for line in lines), (wanted, lines)


class Alone(rig.Nginx):
    """nginx with a block of the manual and nothing else of ours."""

    block = ""

    def main(self, server, home):
        stock = Path("/etc/nginx/fastcgi_params")
        if stock.exists():
            shutil.copy(stock, home)
        (home / "tusfcgi.conf").write_text(self.block.replace(
            "/run/tusfcgi/tusfcgi.sock", str(server.socket)))
        return super().main(server, home)


@pytest.mark.parametrize("text", of_kind("nginx"))
def test_nginx_serves_with_its_blocks(server, text, monkeypatch):
    if not rig.have("nginx"):
        pytest.skip("no nginx")
    monkeypatch.setitem(rig.FRONT_ENDS, "alone", Alone)
    monkeypatch.setattr(Alone, "block", text)
    one = server("alone", config={"metrics": {"enabled": True},
                                  "owner": logins.OWNER})
    if "/metrics" in text:
        status, _, body = clients.request("GET", one.origin + "/metrics")
        assert status == 200 and b"tusd_uploads_created" in body
        return
    url = logins.create(one, {}, 3000000)
    assert clients.request("PATCH", url, {
        **logins.PATCH, "Upload-Offset": "0"}, bytes(3000000))[0] == 204
    assert clients.offset(url) == 3000000
    assert clients.request("POST", one.origin + "/filesystem",
                           {"Upload-Length": "1"}, b"")[0] == 404


def test_nobody_is_who_he_says_he_is_behind_stock_parameters(server,
                                                             monkeypatch):
    """A line beside fastcgi_params does not replace one in it: nginx sends both."""
    if not rig.have("nginx"):
        pytest.skip("no nginx")
    text = next(t for _, t in examples() if t.startswith("location /files"))
    monkeypatch.setitem(rig.FRONT_ENDS, "alone", Alone)
    for more in ('', 'fastcgi_param REMOTE_USER $remote_user if_not_empty;'
                     'fastcgi_param REMOTE_USER "";',
                 'fastcgi_param REMOTE_USER "";'
                 'fastcgi_param REMOTE_USER $remote_user;'):
        monkeypatch.setattr(Alone, "block", text.replace("}", more + "}"))
        one = server("alone", config={
            "owner": {**logins.OWNER, "require": True}})
        for who in (logins.JOE, logins.NOBODY):
            status, _, _ = clients.request(
                "POST", one.url, {**who, "Upload-Length": "1"}, b"")
            assert status == 403


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server with something in each state that the commands ask for."""
    if not rig.have("nginx"):
        pytest.skip("no nginx")
    one = rig.Server(tmp_path_factory.mktemp("site"), "nginx", config={
        "metrics": {"enabled": True},
        "expiration": {"after": "7d", "sweep": "1h"},
        "log": {"level": "debug"}})
    one.extra = f"""location = /metrics {{
        fastcgi_param REQUEST_METHOD $request_method;
        fastcgi_param REQUEST_URI $request_uri;
        fastcgi_pass unix:{one.socket}; }}"""
    one.start()
    logins.whole(one, {}, b"hello")
    # Written by the first sweep, some seconds after the start.
    rig.wait_for((one.uploads / ".sweep").exists, "the first sweep")
    yield one
    one.stop()
    one.check_logs()


def commands():
    out = []
    for where, text in examples():
        if kind_of(text) == "command":
            out.append(pytest.param(text[2:].strip(), id=where))
        elif kind_of(text) == "cron":
            out.append(pytest.param(text.split(None, 6)[6].strip(), id=where))
    return out


@pytest.mark.parametrize("text", commands())
def test_commands_run(site, tmp_path, text):
    """grep may find nothing; what is not installed is at least looked at by
    the shell."""
    assert subprocess.run(["bash", "-n", "-c", text], check=False).returncode \
        == 0
    used = re.findall(r"(?:^|[|;] )(\w+)", re.sub(r"'[^']*'", "''", text))
    if any(n in text for n in NEEDS_A_SITE) or \
            not all(rig.have(n) or n in ("tusctl", "tusfcgi") for n in used):
        return
    begun = logins.create(site, {}, 5).rsplit("/", 1)[1]
    for there, here in (
            ("/etc/tusfcgi.conf", site.config_path), ("LOG", site.log_path),
            ("/usr/sbin/tusctl", "tusctl"), ("STORE", site.uploads), ("PID", site.app.pid), ("ID", begun),
            ("http://127.0.0.1", site.origin),
            ("/run/tusfcgi/tusfcgi.sock", site.socket)):
        text = re.sub(rf"(?<![A-Z]){there}(?![A-Z])", str(here), text)
    for name in ("tusctl", "tusfcgi"):
        link = tmp_path / name
        link.symlink_to(rig.program(name))
    run = subprocess.run(
        ["bash", "-c", text], text=True, capture_output=True, timeout=60,
        check=False, env={**os.environ, "TUSFCGI_CONF": str(site.config_path),
                          "PATH": f"{tmp_path}:{os.environ['PATH']}:/usr/sbin"})
    assert run.returncode in ((0, 1) if "grep" in text else (0,)), (
        text, run.stdout, run.stderr)
    assert "usage" not in run.stderr and "error" not in run.stderr.lower()


def test_hacking_names_what_tests_read_from_the_environment():
    """But what one test sets for another program."""
    own = {"CONF", "ONLY", "TRACE", "S3_BUCKET", "S3_ENDPOINT", "S3_FAILS"}
    read = re.compile(r'(?:environ\S*?|getenv)[\[(]"TUSFCGI_(\w+)"'
                      r'|"TUSFCGI_(\w+)" not in os\.environ'
                      r'|\$\{?TUSFCGI_(\w+)|\bnumber\("(\w+)"')
    names = set()
    for path in (rig.TREE / "tests").rglob("*"):
        if (path.suffix in (".py", ".c") or path.name == "run") and \
                "node_modules" not in path.parts:
            names |= {"".join(found) for found in
                      read.findall(path.read_text(errors="replace"))}
    text = (rig.TREE / "HACKING.md").read_text()
    assert len(names - own) > 15
    assert not [n for n in sorted(names - own) if f"`TUSFCGI_{n}`" not in text]
