"""What is left to somebody who runs his own code in a worker."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from lib import plain, rig
from lib.app import children
from .conftest import preload

HERE = Path(__file__).parent


def landlock():
    """Which version of it this kernel has; 0: none."""
    number = 444
    version = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(number), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, version)


def attempts(log):
    return dict(re.findall(r"^escape: ([^:]*): (.*)$", log, re.M))


@pytest.fixture
def escape(app, tmp_path):
    """Makes an upload in a server where every new id is an escape."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")

    def start(args=(), config=None):
        folder = tmp_path / "inside"
        folder.mkdir()
        server = app(args=list(args), env={
            **preload(HERE / "escape.c", tmp_path),
            "ESCAPE_TO": str(outside), "ESCAPE_FROM": str(folder)},
            config={"store": {"path": str(folder)}, **(config or {})})
        path = server.client.create(5)
        assert server.client.patch(path, 0, b"works").status == 204
        assert server.client.request("GET", path).body == b"works"
        return server

    return start, outside


def test_a_worker_reaches_nothing_but_uploads(escape):
    """An escape from inside finds all doors shut."""
    if not landlock():
        pytest.skip("no Landlock in this kernel")
    start, outside = escape
    tried = attempts(start().log())
    assert tried.pop("make an upload") == "worked"
    assert len(tried) == 9
    assert set(tried.values()) == {"Permission denied"}, tried
    assert (outside / "secret").read_text() == "secret"
    assert [p.name for p in outside.iterdir()] == ["secret"]


@pytest.mark.parametrize("args", [[], ["-w", "1"], ["-w", "2"]])
def test_no_core_file_and_no_new_privileges(escape, args):
    start, _ = escape
    server = start(args)
    assert "escape: core 0, no new privileges 1" in server.log()
    for worker in server.workers():
        status = Path(f"/proc/{worker}/status").read_text()
        assert re.search(r"NoNewPrivs:\s*1", status)


def test_v_says_what_the_kernel_has(escape):
    start, _ = escape
    log = start().log()
    assert ("files are confined, Landlock" if landlock() else
            "files are not confined") in log


def test_the_sandbox_can_be_left_out(escape):
    start, outside = escape
    log = start(config={"pool": {"sandbox": False}}).log()
    assert attempts(log)["read a secret"] == "worked"
    assert not (outside / "secret").exists()


def test_a_store_and_locks_apart_work_in_it(app, tmp_path):
    locks = tmp_path / "locks"
    locks.mkdir()
    server = app(config={"lock": {"path": str(locks)}})
    path = server.client.create(10)
    assert server.client.patch(path, 0, b"01234").status == 204
    assert [p.name for p in locks.iterdir()] == [path.split("/")[-1] + ".lock"]
    digest = {"Upload-Checksum": "md5 " + "rQDMYJZRpzxqaGPrJR34bg=="}
    assert server.client.patch(path, 5, b"56789", digest).status == 460
    assert server.client.patch(path, 5, b"56789").status == 204


def test_hooks_run_in_it(app, tmp_path):
    """And may do what they like, but gain no privileges."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    told = tmp_path / "told"
    hook = hooks / "post-finish"
    hook.write_text(f"#!/bin/sh\ngrep NoNewPrivs /proc/self/status >{told}\n")
    hook.chmod(0o755)
    server = app(config={"hooks": {"dir": str(hooks)}})
    path = server.client.create(3)
    assert server.client.patch(path, 0, b"abc").status == 204
    rig.wait_for(lambda: told.exists() and told.read_text(), "the hook")
    assert told.read_text().split()[-1] == "1"


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_a_kernel_without_landlock_is_no_reason_to_refuse(app, tmp_path):
    server = app(args=["-w", "2"])
    server.stop_app()
    trace = tmp_path / "trace"
    argv = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=landlock_create_ruleset",
            "-e", "inject=landlock_create_ruleset:error=ENOSYS",
            rig.program(), "-c", str(server.config_path), "-w", "2"]
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    server.app = subprocess.Popen(
        argv, env=env, stderr=open(server.log_path, "ab"))
    rig.wait_for(lambda: rig.accepts(1, str(server.socket)), "tusfcgi")
    path = server.client.create(3)
    assert server.client.patch(path, 0, b"abc").status == 204
    os.kill(children(server.app.pid)[0], signal.SIGTERM)
    assert server.app.wait(20) == 0
    server.app = None
    assert "files are not confined: Function not implemented" in server.log()


# The memory store, but it keeps a file for each upload, too.
TOY = {
    "store_memory": "store_toy", '"memory"': '"toy"',
    "	.is_private = true,\n": "	.needs = needs,\n",
    "const struct store_class ": """static void
needs(const struct conf *conf, need_ear *ear, void *arg)
{
	ear(arg, NEED_KEEP, "store.path", conf->store.path);
}

const struct store_class """,
    "	(void)conf;\n	(void)e;\n": "	(void)e;\n	directory = conf->store.path;\n",
    "	it = must_alloc(sizeof(*it));\n": """	it = must_alloc(sizeof(*it));
	int fd = creat(arena_printf(a, "%s/%s", directory, info->id), 0600);
	if (fd == -1)
		return err_sys(e, "make %s", info->id);
	(void)close(fd);
""",
    '#include "store/store.h"\n': """#include "store/store.h"
#include <fcntl.h>
#include <unistd.h>
static const char *directory;
""",
}


def test_a_store_added_by_the_recipe_of_hacking_works_in_it(
        app, tmp_path, monkeypatch):
    """What its class declares is all that the sandbox knows of it."""
    if not landlock():
        pytest.skip("no Landlock in this kernel")
    tree = tmp_path / "tree"
    for folder in plain.FOLDERS["tusfcgi"]:
        shutil.copytree(rig.TREE / folder, tree / folder, dirs_exist_ok=True)
    toy = (tree / "store/memory.c").read_text()
    for old, new in TOY.items():
        assert old in toy, old
        toy = toy.replace(old, new)
    (tree / "store/toy.c").write_text(toy)
    with open(tree / "store/list.h", "a") as f:
        f.write("STORE(toy)\n")
    folder, locks = tmp_path / "inside", tmp_path / "locks"
    folder.mkdir()
    locks.mkdir()
    monkeypatch.setenv("TUSFCGI", str(plain.build(tmp_path, tree=tree)))
    server = app(config={
        "store": {"type": "toy", "path": str(folder)},
        "lock": {"path": str(locks)}, "log": {"level": "debug"}})
    for _ in range(3):
        server.client.create(5)
    assert len([p for p in folder.iterdir() if "." not in p.name]) == 3
    assert "files are confined" in server.log()
