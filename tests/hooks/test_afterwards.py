"""Hooks that are called after the answer: no request waits for them, and neither a
stop nor a crash loses an event.
"""

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import client, clients, rig
from lib import app as apps
from lib.programs import (
    BODY, SLOW, create, delete, id_of, patch, pending, post, processes, spool,
    sweep)


def test_nobody_waits_for_a_post_hook(start, hooks):
    hooks.write("post-finish", SLOW + "touch $HOME/done\n")
    hooks.write("post-create", SLOW)
    one = start()
    url = create(one, 5)
    assert patch(url, 0, b"hello")[0] == 204
    assert clients.offset(url) == 5
    assert clients.request("GET", url)[2] == b"hello"
    assert not (hooks.home / "done").exists()
    assert pending(one, url)
    hooks.go()
    rig.wait_for((hooks.home / "done").exists, "the hook")
    rig.wait_for(lambda: not pending(one, url), "the mark to go")


@pytest.mark.parametrize("name", ["pre-create", "post-create", "pre-finish",
                                  "pre-terminate"])
def test_hooks_that_hang_leave_the_reserve_alone(start, hooks, name):
    """They take a place each; who finds none is told so, and HEAD is served."""
    one = start({"pool": {"min_spare": 4, "max_workers": 4, "reserve": 2}})
    quiet = create(one, 5)
    urls = [create(one, 5) for _ in range(6)]
    hooks.write(name, """#!/bin/sh
echo >>$HOME/began
while [ ! -e $HOME/over ]; do sleep 0.1; done
""")

    def ask(url):
        if name == "pre-terminate":
            return clients.request("DELETE", url)
        return patch(url, 0, b"hello") if name == "pre-finish" else post(one, 5)

    began = hooks.home / "began"
    answers = []
    with ThreadPoolExecutor(6) as crowd:
        try:
            for url in urls[:2]:
                answers.append(crowd.submit(ask, url))
                rig.wait_for(lambda: began.exists() and
                             len(began.read_text()) == len(answers),
                             "the hook to hang")
            answers += [crowd.submit(ask, url) for url in urls[2:]]
            rig.wait_for(lambda: all(a.done() for a in answers[2:]),
                         "the others to be answered")
            assert clients.offset(quiet) == 0
        finally:
            (hooks.home / "over").touch()
        told = [a.result() for a in answers]
    refused = [headers for status, headers, _ in told if status == 503]
    assert len(refused) == 4
    assert all(headers["Retry-After"] == "1" for headers in refused)
    assert len(began.read_text()) == 2


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_a_stop_lets_hooks_come_to_their_end(start, hooks, args):
    hooks.record("post-finish", then="""
import time
time.sleep(2)
open(os.environ["HOME"] + "/done", "w").close()
""")
    one = start(args=args)
    url = create(one, 5, b"hello")
    hooks.wait_for("post-finish")
    assert one.stop_app() == 0
    rig.wait_for((hooks.home / "done").exists, "the hook")
    rig.wait_for(lambda: not pending(one, url), "the mark to go")
    sweep(one, hooks)
    assert hooks.told() == ["post-finish"]


def test_the_sweep_and_the_check_know_the_spool(start, hooks):
    hooks.write("post-create", "#!/bin/sh\nexit 1\n")
    one = start()
    create(one, 5)
    rig.wait_for(lambda: "exit status 1" in one.log(), "failure")
    hooks.record("post-create")
    said = sweep(one, hooks)
    assert "left alone" not in said and "1 events told to hooks" in said
    run = subprocess.run([rig.program("tusctl"), "-c", one.config_path,
                          "check"], capture_output=True, text=True,
                         check=False)
    assert run.returncode == 0 and ".hooks" not in run.stdout + run.stderr


def test_nobody_waits_for_a_post_hook_where_one_process_is_all(start, hooks):
    hooks.write("post-finish", SLOW + "touch $HOME/done\n")
    hooks.record("post-create")
    one = start(args=["-w", "1"])
    url = create(one, 5, b"hello")
    assert clients.offset(url) == 5
    other = create(one, 5)
    assert patch(other, 0, b"hell")[0] == 204
    assert pending(one, url) and not (hooks.home / "done").exists()
    assert "1 in use" in sweep(one, hooks)
    hooks.go()
    rig.wait_for((hooks.home / "done").exists, "the hook")
    rig.wait_for(lambda: not pending(one, url), "the mark to go")
    assert len(hooks.told("post-create")) == 2
    assert not spool(one)


def test_one_process_has_only_so_many_children(start, hooks):
    """300 POSTs made 601 processes; now most of them are asked to wait."""
    hooks.write("post-create", SLOW + "echo $TUS_ID >>$HOME/told\n")
    one = start({"hooks": {"events": ["post-create"], "timeout": "60s"}},
                args=["-w", "1"])
    created = []

    def is_refused():
        status, headers, _ = post(one, 5)
        if status == 201:
            created.append(id_of(headers["Location"]))
        else:
            assert status == 503 and headers["Retry-After"] == "1"
        return status != 201

    while not is_refused():
        assert len(created) < 300
    # tusfcgi, and for each event a child, its guard, the hook and its sleep.
    assert 16 <= processes(str(one.config_path), str(hooks.dir)) <= 1 + 4 * 16
    assert clients.offset(one.url + created[0]) == 0
    hooks.go()
    while len(created) < 30:
        is_refused()
    rig.wait_for(lambda: len(hooks_told(hooks)) == len(created), "all events")
    assert sorted(hooks_told(hooks)) == sorted(created)
    rig.wait_for(lambda: not spool(one), "an empty spool")


def hooks_told(hooks):
    path = hooks.home / "told"
    return path.read_text().split() if path.exists() else []


def test_a_connection_that_is_kept_is_given_back_first(hooks, tmp_path):
    """Else the next request on it waits for the hook."""
    hooks.write("post-finish", SLOW + "touch $HOME/done\n")
    one = apps.App(tmp_path, config={"hooks": {"dir": str(hooks.dir)}},
                   env={"HOME": str(hooks.home)})
    one.start_app()
    try:
        path = one.client.create(5)
        with one.client.open("PATCH", path, one.client.patch_headers(0), 5,
                             flags=1) as stream:
            stream.send(b"hello")
            assert stream.finish().status == 204
            assert stream.socket.recv(1) == b""
        assert not (hooks.home / "done").exists()
    finally:
        hooks.go()
        one.stop()


def test_a_finish_that_was_not_told_is_told_by_the_sweep(start, hooks):
    hooks.write("post-finish", "#!/bin/sh\nexit 1\n")
    one = start()
    url = create(one, 5, b"hello")
    rig.wait_for(lambda: "post-finish: exit status 1" in one.log(), "failure")
    assert pending(one, url)
    sweep(one, hooks)
    assert pending(one, url), "it failed once more"
    hooks.record("post-finish")
    sweep(one, hooks, "--dry-run")
    assert not hooks.told() and pending(one, url)
    sweep(one, hooks)
    sweep(one, hooks)
    told = hooks.told("post-finish")
    assert [e["Event"]["Upload"]["ID"] for e in told] == [id_of(url)]
    assert not pending(one, url)


def test_a_finish_that_a_crash_interrupted_is_told_by_the_sweep(start, hooks):
    """Killed while the hook runs: the hook dies, too, and runs again."""
    hooks.record("post-finish", then="""
import time
open(os.environ["HOME"] + "/started", "w").close()
time.sleep(30)
open(os.environ["HOME"] + "/survived", "w").close()
""")
    one = start()
    url = create(one, 5)
    assert patch(url, 0, b"hello")[0] == 204
    rig.wait_for((hooks.home / "started").exists, "the hook to start")
    one.stop_app(signal.SIGKILL)
    first = hooks.events[0]["env"]["TUS_EVENT_ID"]
    assert pending(one, url)
    hooks.record("post-finish")
    rig.wait_for(lambda: sweep(one, hooks) and len(hooks.told()) == 2,
                 "the sweep to tell it")
    sweep(one, hooks)
    assert len(hooks.told()) == 2
    assert hooks.events[1]["env"]["TUS_EVENT_ID"] == first
    assert not pending(one, url)
    assert not (hooks.home / "survived").exists()


@pytest.mark.parametrize("name", ["post-create", "post-terminate"])
def test_what_was_not_taken_waits_for_the_sweep(start, hooks, name):
    hooks.write(name, "#!/bin/sh\nexit 1\n")
    one = start()
    url = create(one, 5)
    assert delete(url) == 204
    rig.wait_for(lambda: f"{name}: exit status 1" in one.log(), "failure")
    waiting = [p for p in spool(one)]
    assert [p.suffix for p in waiting] == [".json"]
    assert waiting[0].stat().st_mode & 0o077 == 0
    hooks.record(name)
    sweep(one, hooks, "--dry-run")
    assert not hooks.told()
    sweep(one, hooks)
    sweep(one, hooks)
    assert hooks.told() == [name]
    assert hooks.events[0]["env"]["TUS_EVENT_ID"] == waiting[0].stem
    assert hooks.events[0]["env"]["TUS_ID"] == id_of(url)
    assert not spool(one)


def test_the_sweep_leaves_alone_what_is_being_told(start, hooks):
    hooks.record("post-create", then="""
import time
while not os.path.exists(os.environ["HOME"] + "/go"):
    time.sleep(0.02)
""")
    one = start()
    create(one, 5)
    hooks.wait_for("post-create")
    sweep(one, hooks)
    assert len(hooks.told()) == 1
    (hooks.home / "go").touch()
    rig.wait_for(lambda: not spool(one), "an empty spool")
    assert hooks.told() == ["post-create"]


def test_a_crash_before_the_finish_is_made_good(start, hooks):
    """All bytes are there, nobody finished: pre-finish is asked again."""
    hooks.record("pre-finish", then="""
import time
time.sleep(0.1 if os.path.exists(os.environ["HOME"] + "/killed") else 30)
""")
    hooks.record("post-finish")
    one = start({"hooks": {"events": ["pre-finish", "post-finish"]}})
    url = create(one, 5)
    client = subprocess.Popen(
        ["curl", "-s", "-X", "PATCH", "-H", "Tus-Resumable: 1.0.0", "-H",
         "Upload-Offset: 0", "-H", "Content-Type: " + BODY["Content-Type"],
         "--data-binary", "hello", url], stdout=subprocess.DEVNULL)
    hooks.wait_for("pre-finish")
    one.stop_app(signal.SIGKILL)
    client.wait()
    (hooks.home / "killed").touch()
    one.start_app()
    assert clients.offset(url) == 4
    assert patch(url, 4, b"o")[0] == 204
    hooks.wait_for("post-finish")
    assert hooks.told() == ["pre-finish", "pre-finish", "post-finish"]


def test_a_directory_that_is_not_there_is_refused_at_start(tmp_path):
    conf = tmp_path / "tusfcgi.conf"
    (tmp_path / "uploads").mkdir()
    conf.write_text(rig.libconfig({
        "store": {"path": str(tmp_path / "uploads")},
        "hooks": {"dir": str(tmp_path / "nowhere")}}))
    run = subprocess.run([rig.program(), "-t", "-c", conf],
                         capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "hooks.dir" in run.stderr
