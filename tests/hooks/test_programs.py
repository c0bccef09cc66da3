"""Hooks that are programs, written for tusd v2, behind nginx."""

import os
import re
import signal
import time

from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import client, clients, rig
from lib.programs import (
    BODY, PYTHON, create, delete, id_of, is_running, patch, pending, post,
    processes, spool, sweep)


def test_each_event_is_told_once_in_tusds_words(start, hooks):
    hooks.record()
    one = start()
    url = create(one, 11, Upload_Metadata="filename d29ybGQudHh0,empty",
                 Cookie="a=b")
    assert patch(url, 0, b"hello ")[0] == 204
    assert patch(url, 6, b"world")[0] == 204
    hooks.wait_for("post-finish")
    assert delete(url) == 204
    hooks.wait_for("post-terminate")
    hooks.wait_for("post-create")
    told = hooks.told()
    # post-create is told while the client goes on.
    assert told.index("pre-create") < told.index("post-create")
    told.remove("post-create")
    assert told == ["pre-create", "post-receive", "post-receive",
                    "pre-finish", "post-finish", "pre-terminate",
                    "post-terminate"]
    upload = {"ID": id_of(url), "Size": 11, "SizeIsDeferred": False,
              "Offset": 0, "MetaData": {"filename": "world.txt", "empty": ""},
              "IsPartial": False, "IsFinal": False, "PartialUploads": None,
              "Storage": {"Type": "filestore",
                          "Path": str(one.uploads / id_of(url)),
                          "InfoPath": str(one.uploads / id_of(url)) +
                          ".info"}}
    first = hooks.told("pre-create")[0]["Event"]
    assert first["Upload"] == {**upload, "ID": "", "Storage": None}
    assert hooks.told("post-create")[0]["Event"]["Upload"] == upload
    assert [e["Event"]["Upload"]["Offset"]
            for e in hooks.told("post-receive")] == [6, 11]
    for name in ("pre-finish", "post-finish", "post-terminate"):
        assert hooks.told(name)[0]["Event"]["Upload"] == {**upload,
                                                          "Offset": 11}
    assert list(first["HTTPRequest"]) == ["Method", "URI", "RemoteAddr",
                                          "Header"]
    assert first["HTTPRequest"]["Method"] == "POST"
    assert first["HTTPRequest"]["URI"] == "/files/"
    assert re.fullmatch(r"127\.0\.0\.1:\d+",
                        first["HTTPRequest"]["RemoteAddr"])
    header = first["HTTPRequest"]["Header"]
    assert header["Cookie"] == ["a=b"]
    assert header["Upload-Length"] == ["11"]
    assert header["Host"] == [f"127.0.0.1:{one.port}"]
    rig.wait_for(lambda: not spool(one), "an empty spool")
    assert not pending(one, url)


def test_the_environment_is_small_and_says_what_it_is_about(start, hooks):
    hooks.record("post-finish")
    one = start()
    url = create(one, 5, b"hello")
    hooks.wait_for("post-finish")
    event = hooks.events[0]
    env = event["env"]
    assert (env["TUS_ID"], env["TUS_SIZE"], env["TUS_OFFSET"]) == (
        id_of(url), "5", "5")
    assert env["TUS_EVENT_ID"].startswith(id_of(url))
    assert "SECRET" not in env
    assert env["PATH"] == os.environ["PATH"]
    assert env["TUS_REQUEST_ID"] in one.log()
    assert event["cwd"] == str(hooks.dir)


def test_the_owner_is_told_and_told_again(hooks, app):
    """In each event and in the environment, also by the sweep."""
    hooks.record(then="sys.exit(event['Type'].startswith('post-'))\n")
    one = app(config={"hooks": {"dir": str(hooks.dir)}},
              env={"HOME": str(hooks.home)})
    tus = client.Tus(one, "fastcgi")
    tus.params = {"TUS_OWNER": 'älice "a"'}
    tus.create(5, body=b"hello")
    assert tus.delete(tus.create(5)).status == 204
    for name, count in ("post-create", 2), ("post-finish", 1), \
            ("post-terminate", 1):
        hooks.wait_for(name, count)
    again = ("post-create", "post-finish", "post-terminate")
    hooks.record(*again)
    rig.wait_for(lambda: sweep(one, hooks) and not spool(one) and
                 len(hooks.told("post-finish")) > 1, "the sweep to tell")
    for name in hooks.names:
        told = [e for e in hooks.events if e["json"]["Type"] == name]
        assert len(told) >= 1 + (name in again), name
        for event in told:
            assert event["json"]["Event"]["Upload"]["Owner"] == 'älice "a"'
            assert event["env"]["TUS_OWNER"] == 'älice "a"'
    tus.params = {}
    tus.create(5)
    event = hooks.told("pre-create")[2]
    assert "Owner" not in event["Event"]["Upload"]
    last = [e for e in hooks.events if e["json"]["Type"] == "pre-create"][2]
    assert "TUS_OWNER" not in last["env"]


@pytest.mark.skipif(not rig.have("jq"), reason="no jq")
def test_a_shell_script_with_jq_moves_the_file(start, hooks):
    hooks.write("post-finish", """#!/bin/sh -eu
        event=$(cat)
        path=$(echo "$event" | jq -r .Event.Upload.Storage.Path)
        name=$(echo "$event" | jq -r .Event.Upload.MetaData.filename)
        mv "$path" "$HOME/$name"
        echo this is no JSON
        """)
    one = start()
    create(one, 5, b"hello", Upload_Metadata="filename d29ybGQudHh0")
    moved = hooks.home / "world.txt"
    rig.wait_for(moved.exists, "the file")
    assert moved.read_bytes() == b"hello"


def test_no_program_is_no_error(start, hooks):
    one = start()
    url = create(one, 5, b"hello")
    assert delete(url) == 204
    assert "warn" not in one.log()


def test_programs_may_come_and_go_while_it_runs(start, hooks):
    one = start()
    create(one, 5)
    hooks.record("pre-create")
    create(one, 5)
    hooks.remove("pre-create")
    create(one, 5)
    assert hooks.told() == ["pre-create"]


def test_only_the_events_of_the_configuration_are_told(start, hooks):
    hooks.record()
    one = start({"hooks": {"events": ["post-create"]}})
    create(one, 5, b"hello")
    hooks.wait_for("post-create")
    assert hooks.told() == ["post-create"]


def test_pre_create_may_reject(start, hooks):
    hooks.answer("pre-create", {
        "RejectUpload": True,
        "HTTPResponse": {"StatusCode": 403, "Body": '{"why": "no"}',
                         "Header": {"Content-Type": "application/json"}}})
    one = start()
    status, headers, body = post(one, 11, b"hello")
    assert (status, body) == (403, b'{"why": "no"}')
    assert headers["Content-Type"] == "application/json"
    assert not list(one.uploads.glob("*.info"))
    hooks.answer("pre-create", {"RejectUpload": True})
    status, _, body = post(one, 11)
    assert (status, body.split(b":")[0]) == (400, b"ERR_UPLOAD_REJECTED")


@pytest.mark.parametrize("name", ["X-Accel-Redirect", "x-sendfile",
                                  "X-LIGHTTPD-send-file"])
def test_no_hook_makes_the_web_server_send_a_file(start, hooks, name):
    one = start()
    secret = one.dir / "secret"
    secret.write_text("secret")
    hooks.answer("pre-create", {"HTTPResponse": {
        "StatusCode": 200, "Header": {name: str(secret)}}})
    status, headers, body = post(one, 11)
    assert (status, headers[name]) == (500, None)
    assert b"secret" not in body
    assert "without those for the web server" in one.log()
    assert not list(one.uploads.glob("*.info"))


def test_pre_create_may_choose_id_and_metadata(start, hooks):
    hooks.answer("pre-create", {"ChangeFileInfo": {
        "ID": "invoice-7", "MetaData": {"filename": "é.pdf"}}})
    one = start()
    url = create(one, 5, Upload_Metadata="filename d29ybGQudHh0")
    assert id_of(url) == "invoice-7"
    said = clients.request("HEAD", url)[1]["Upload-Metadata"]
    assert said == "filename w6kucGRm"
    assert post(one, 5)[0] == 500
    assert "invoice-7" in one.log()
    assert clients.offset(url) == 0


def test_a_final_upload_is_nobodys_before_pre_finish_agreed(start, hooks):
    """CONCAT-27, CONCAT-29: seen, downloaded, told or left, killed or not."""
    one = start()
    part = create(one, 5, b"hello", Upload_Concat="partial")
    final = {"Upload_Concat": "final;" + part}
    before = set(one.uploads.glob("*"))
    hooks.write("pre-finish", "#!/bin/sh\n"
                f"echo $PPID >{hooks.home}/asked\nexec sleep 60\n")
    hooks.record("post-finish")
    asked = hooks.home / "asked"
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(post, one, **final)
        rig.wait_for(lambda: asked.exists() and asked.read_text(),
                     "pre-finish")
        made = {p.name for p in set(one.uploads.glob("*")) - before}
        [id] = {name for name in made if "." not in name}
        assert id + ".info" not in made
        url = one.url.rstrip("/") + "/" + id
        for method in "HEAD", "GET":
            assert clients.request(method, url)[0] == 404
        assert post(one, **final)[0] == 423
        one.stop_app(signal.SIGKILL)
        assert answer.result()[0] >= 500
    hooks.remove("pre-finish")
    one.start_app()
    assert clients.request("HEAD", url)[0] == 404
    old = time.time() - 7200
    os.utime(one.uploads / id, (old, old))
    sweep(one, hooks)
    assert not list(one.uploads.glob(id + "*")) and not hooks.told()
    assert create(one, **final) == url
    hooks.wait_for("post-finish")
    assert create(one, **final) == url
    assert hooks.told() == ["post-finish"]


@pytest.mark.parametrize("locks", ["flock", "memory"])
@pytest.mark.parametrize("halves", [("",), (".info",), ("", ".info.new")])
def test_an_id_whose_creation_died_can_be_used_again(
        start, hooks, halves, locks):
    """Or be removed by whoever wants to, also where locks leave no trace."""
    hooks.answer("pre-create", {"ChangeFileInfo": {"ID": "invoice-7"}})
    one = start({"lock": {"type": locks}})
    url = one.url.rstrip("/") + "/invoice-7"

    def die():
        for suffix in (*halves, *([".lock"] if locks == "flock" else [])):
            (one.uploads / ("invoice-7" + suffix)).write_bytes(b"")

    die()
    assert clients.request("HEAD", url)[0] == 404
    if locks == "flock":
        assert delete(url) == 204
        assert not list(one.uploads.glob("invoice-7*"))
        assert delete(url) == 404
        die()
    else:
        # For all that anybody knows it is a stranger's file.
        assert delete(url) == 404
        assert list(one.uploads.glob("invoice-7*"))
    assert create(one, 5) == url
    assert patch(url, 0, b"hello")[0] == 204
    assert (one.uploads / "invoice-7").read_bytes() == b"hello"


def test_pre_create_may_limit_the_size(hooks, app):
    hooks.answer("pre-create", {"ChangeFileInfo": {"MaxSize": 10}})
    one = app(config={"hooks": {"dir": str(hooks.dir)}, "max_size": "20"},
              env={"HOME": str(hooks.home)})
    tus = client.Tus(one, "fastcgi")

    def refused(reply):
        assert reply.status == 413, reply
        assert reply.body.startswith(b"ERR_MAX_SIZE_EXCEEDED"), reply
        assert reply["Tus-Max-Size"] == "10"

    with tus.nothing_created():
        refused(tus.post({"Upload-Length": 11}))
        refused(tus.post({"Upload-Length": 11,
                          "Content-Type": client.BODY}, b"hello"))
        refused(tus.post({"Upload-Defer-Length": 1,
                          "Content-Type": client.BODY}, b"x" * 11))
    parts = [tus.partial(b"x" * 6), tus.partial(b"x" * 5)]
    refused(tus.post({"Upload-Concat": "final;" + " ".join(parts)}))
    assert tus.offset(tus.finished(b"x" * 10)) == 10
    # It is kept, for whoever knows no hook any more.
    url = tus.create(None, {"Upload-Defer-Length": 1})
    hooks.remove("pre-create")
    refused(tus.patch(url, 0, b"hello", {"Upload-Length": 11}))
    refused(tus.patch(url, 0, b"x" * 11))
    assert tus.patch(url, 0, b"x" * 9).status == 204
    chunked = tus.open_patch(url, 9, client.CHUNKED)
    chunked.send(b"xy")
    chunked.end()
    refused(chunked.reply())
    assert tus.patch(url, tus.offset(url), b"",
                     {"Upload-Length": 10}).status == 204
    # More than the server allows is as much as it allows.
    hooks.answer("pre-create", {"ChangeFileInfo": {"MaxSize": 30}})
    reply = tus.post({"Upload-Defer-Length": 1, "Content-Type": client.BODY},
                     b"x" * 21)
    assert (reply.status, reply["Tus-Max-Size"]) == (413, "20")
    hooks.answer("pre-create", {"ChangeFileInfo": {"MaxSize": -1}})
    assert tus.post({"Upload-Length": 5}).status == 500


@pytest.mark.parametrize("changes", [
    {"ID": "../x"}, {"ID": "a/b"}, {"ID": "a.info"}, {"ID": "x" * 65},
    {"MetaData": {"a b": "c"}}, {"Storage": {"Path": "/tmp/elsewhere"}}])
def test_impossible_changes_are_refused(start, hooks, changes):
    hooks.answer("pre-create", {"ChangeFileInfo": changes})
    one = start()
    assert post(one, 5)[0] == 500
    assert "ChangeFileInfo" in one.log()
    assert not list(one.uploads.glob("*.info"))


@pytest.mark.parametrize("script,said", [
    ("#!/bin/sh\nexit 3\n", "exit status 3"),
    ("#!/bin/sh\nkill -9 $$\n", "killed by signal 9"),
    ("#!/bin/sh\necho no JSON\n", "not JSON"),
    ("#!/bin/sh\necho '[]'\n", "not an object"),
    ("#!/bin/sh\necho '{\"RejectUpload\": 1}'\n", "RejectUpload"),
    ("#!/bin/sh\nhead -c 100000 /dev/zero\n", "longer than"),
    ("#!/no/such/shell\n", "cannot be run"),
])
def test_a_pre_hook_that_fails_is_answered_500(start, hooks, script, said):
    hooks.write("pre-create", script)
    one = start()
    status, _, body = post(one, 5)
    assert status == 500
    assert body.split(b":")[0] == b"ERR_INTERNAL_SERVER_ERROR"
    assert said in one.log()
    assert not list(one.uploads.glob("*.info"))


def test_a_program_that_is_not_executable_is_a_failure(start, hooks):
    hooks.write("pre-create", "#!/bin/sh\n")
    (hooks.dir / "pre-create").chmod(0o644)
    one = start()
    assert post(one, 5)[0] == 500
    assert "cannot be run" in one.log()


def test_time_is_up_for_the_whole_group(start, hooks):
    hooks.write("pre-create", "#!/bin/sh\n"
                "sleep 60 & echo $! > $HOME/pid\nwait\n")
    one = start({"hooks": {"timeout": "300ms"}})
    assert post(one, 5)[0] == 500
    assert "killed" in one.log()
    pid = (hooks.home / "pid").read_text().strip()
    rig.wait_for(lambda: not is_running(pid), "the sleep to be killed")


# So long sleeps no other test.
NAP = f"471.{os.getpid()}"
ESCAPE = f"""#!/bin/sh
# In a session of its own; of a parent that is gone; one that goes on forking.
setsid sleep {NAP} &
echo $! >$HOME/pid1
(setsid sh -c 'echo $$ >$HOME/pid2; exec sleep {NAP}' &)
setsid setsid --fork sh -c 'echo $$ >$HOME/pid3
    for i in $(seq 200); do (setsid sleep {NAP} &); sleep 0.05; done'
while [ ! -s $HOME/pid2 ] || [ ! -s $HOME/pid3 ]; do sleep 0.01; done
touch $HOME/ready
"""


def escaped(hooks):
    rig.wait_for((hooks.home / "ready").exists, "the hook")
    return [(hooks.home / f"pid{n}").read_text().strip() for n in (1, 2, 3)]


def test_time_is_up_for_those_who_left_the_group(start, hooks):
    hooks.write("pre-create", ESCAPE + f"sleep {NAP}\n")
    one = start({"hooks": {"timeout": "2s"}})
    assert post(one, 5)[0] == 500
    pids = escaped(hooks)
    rig.wait_for(lambda: not any(map(is_running, pids)), "all to be killed")
    assert processes(f"sleep\0{NAP}") == 0


def test_a_crash_takes_all_that_came_of_a_hook_with_it(start, hooks):
    hooks.write("post-create", ESCAPE + f"sleep {NAP}\n")
    one = start()
    create(one, 5)
    pids = escaped(hooks)
    one.stop_app(signal.SIGKILL)
    rig.wait_for(lambda: not any(map(is_running, pids)), "all to be killed")


def test_a_hook_whose_guard_is_killed_has_failed(start, hooks):
    hooks.write("pre-create", "#!/bin/sh\n"
                "kill -9 $(ps -o ppid= $$)\nsleep 60\n")
    one = start()
    assert post(one, 5)[0] == 500
    assert "its exit status was lost" in one.log()


def test_an_id_that_is_given_again_has_another_tag(start, hooks):
    """Or a download would go on with the bytes of another upload."""
    hooks.answer("pre-create", {"ChangeFileInfo": {"ID": "invoice-7"}})
    one = start()
    url = create(one, 6, b"secret")
    tag = clients.request("GET", url)[1]["ETag"]
    assert clients.request("GET", url)[1]["ETag"] == tag
    assert delete(url) == 204
    began = int(time.time())
    rig.wait_for(lambda: int(time.time()) > began, "the next second")
    assert create(one, 6, b"public") == url
    assert clients.request("GET", url, {"If-None-Match": tag})[0] == 200
    status, _, body = clients.request(
        "GET", url, {"Range": "bytes=3-", "If-Range": tag})
    assert (status, body) == (200, b"public")


def test_what_it_leaves_in_the_background_delays_nobody(start, hooks):
    hooks.write("pre-create", "#!/bin/sh\n"
                "sleep 30 & echo $! > $HOME/pid\n")
    one = start()
    assert post(one, 5)[0] == 201
    pid = (hooks.home / "pid").read_text().strip()
    assert is_running(pid)
    os.kill(int(pid), signal.SIGKILL)


def test_an_answer_that_comes_through_others_is_not_missed(start, hooks):
    """As bash's process substitution does it; tusd waits as well."""
    hooks.write("pre-create", "#!/bin/bash\n"
                "exec > >(sleep 0.2; tee -a $HOME/log)\n"
                "echo '{\"RejectUpload\": true}'\n")
    one = start()
    assert post(one, 5)[0] == 400


def test_nothing_of_ours_is_open_in_it(start, hooks):
    hooks.write("pre-create", PYTHON + """
import os
fds = [f for f in os.listdir("/proc/self/fd")
       if int(f) > 2 and os.path.exists("/proc/self/fd/" + f)]
open(os.environ["HOME"] + "/fds", "w").write(repr(fds))
""")
    one = start()
    create(one, 5)
    assert (hooks.home / "fds").read_text() == "[]"


def test_no_signal_is_blocked_or_ignored_in_it(start, hooks):
    # Not a shell: that would set them right itself.
    hooks.write("pre-create", """#!/usr/bin/awk -f
BEGIN {
    while ((getline line < "/proc/self/status") > 0)
        if (line ~ /^Sig(Blk|Ign)/)
            print line > (ENVIRON["HOME"] "/sig")
}
""")
    one = start()
    create(one, 5)
    values = re.findall(r"Sig\w+:\s+(\w+)", (hooks.home / "sig").read_text())
    assert [int(v, 16) for v in values] == [0, 0]


def test_a_program_that_reads_nothing_of_much(start, hooks):
    """Its pipe is full or broken before all is written."""
    hooks.write("pre-create", "#!/bin/sh\necho '{}'\n")
    one = start({"max_metadata": 7000})
    big = "filename " + "QUFB" * 1500
    for _ in range(3):
        create(one, 5, Upload_Metadata=big)


def test_what_it_says_is_in_the_log(start, hooks):
    hooks.write("pre-create", "#!/bin/sh\necho one >&2; echo two >&2\n")
    one = start()
    create(one, 5)
    assert "says: one" in one.log() and "says: two" in one.log()


def test_post_receive_may_stop_an_upload(start, hooks):
    hooks.record("post-terminate")
    hooks.answer("post-receive", {"StopUpload": True})
    one = start()
    url = create(one, 11)
    status, _, body = patch(url, 0, b"hello")
    assert (status, body.split(b":")[0]) == (400, b"ERR_UPLOAD_STOPPED")
    assert clients.request("HEAD", url)[0] == 404
    hooks.wait_for("post-terminate")
    assert not pending(one, url)


def test_post_receive_that_fails_stops_nothing(start, hooks):
    hooks.write("post-receive", "#!/bin/sh\nexit 1\n")
    one = start()
    url = create(one, 5)
    assert patch(url, 0, b"hello")[0] == 204
    assert "hook post-receive: exit status 1" in one.log()


def test_progress_is_told_while_bytes_come(start, hooks):
    hooks.record("post-receive")
    one = start({"hooks": {"progress": "200ms"}})
    url = create(one, 8)

    def slowly():
        for _ in range(8):
            time.sleep(0.25)
            yield b"x"

    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
    connection.request("PATCH", "/files/" + id_of(url), body=slowly(),
                       headers={**clients.TUS, **BODY, "Upload-Offset": "0",
                                "Content-Length": "8"})
    assert connection.getresponse().status == 204
    offsets = [e["Event"]["Upload"]["Offset"]
               for e in hooks.wait_for("post-receive")]
    assert len(offsets) >= 3
    assert offsets == sorted(set(offsets)) and offsets[-1] == 8


def test_a_finish_that_is_refused_can_be_repeated(start, hooks):
    hooks.record("pre-finish", then="sys.exit(1)\n")
    hooks.record("post-finish")
    one = start()
    url = create(one, 11)
    assert patch(url, 0, b"hello world")[0] == 500
    assert clients.offset(url) == 10
    assert clients.request("GET", url)[0] == 404
    assert not hooks.told("post-finish")
    hooks.answer("pre-finish", {"HTTPResponse": {
        "StatusCode": 200, "Body": "{}",
        "Header": {"Content-Type": "application/json"}}})
    status, headers, body = patch(url, 10, b"d")
    assert (status, body) == (200, b"{}")
    assert headers["Content-Type"] == "application/json"
    assert clients.request("GET", url)[2] == b"hello world"
    hooks.wait_for("post-finish")


def test_a_finish_that_is_answered_with_an_error(start, hooks):
    hooks.answer("pre-finish", {"HTTPResponse": {
        "StatusCode": 422, "Body": "a virus"}})
    one = start()
    url = create(one, 5)
    status, _, body = patch(url, 0, b"hello")
    assert (status, body) == (422, b"a virus")
    assert clients.offset(url) == 4
    assert post(one, 0)[0] == 422
    assert post(one, 5, b"hello")[0] == 422
    assert len(list(one.uploads.glob("*.info"))) == 1


def test_a_final_upload_tells_what_it_is_made_of(start, hooks):
    one = start()
    parts = [create(one, 5, b"hello", Upload_Concat="partial"),
             create(one, 5, b"world", Upload_Concat="partial")]
    hooks.record()
    status, headers, _ = clients.request("POST", one.url, {
        "Upload-Concat": "final;" + " ".join(parts)}, b"")
    assert status == 201
    hooks.wait_for("post-finish")
    assert hooks.told() == ["pre-create", "pre-finish", "post-create",
                            "post-finish"]
    upload = hooks.told("post-finish")[0]["Event"]["Upload"]
    assert upload["IsFinal"] and upload["Size"] == upload["Offset"] == 10
    assert upload["PartialUploads"] == [id_of(p) for p in parts]
    rig.wait_for(lambda: not pending(one, headers["Location"]),
                 "the mark to go")


def test_a_final_upload_that_is_refused_is_not_there(start, hooks):
    one = start()
    part = create(one, 5, b"hello", Upload_Concat="partial")
    hooks.record("pre-finish", then="sys.exit(1)\n")
    assert clients.request("POST", one.url, {
        "Upload-Concat": "final;" + part}, b"")[0] == 500
    made = hooks.told("pre-finish")[0]["Event"]["Upload"]["ID"]
    assert clients.request("HEAD", one.url + made)[0] == 404
    assert not list(one.uploads.glob(made + "*"))


def test_pre_terminate_may_reject(start, hooks):
    hooks.answer("pre-terminate", {"RejectTermination": True})
    one = start()
    url = create(one, 5)
    status, _, body = clients.request("DELETE", url)
    assert status == 400
    assert body.split(b":")[0] == b"ERR_UPLOAD_TERMINATION_REJECTED"
    assert clients.offset(url) == 0
    hooks.remove("pre-terminate")
    assert delete(url) == 204
