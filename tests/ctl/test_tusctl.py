"""tusctl on directories that were prepared, broken, or are in use."""

import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from lib import rig, uploads
from lib.tusctl import DAY, NO_LEAKS, Tool, past


# --- list and show ---------------------------------------------------------

def four_states(store):
    return {
        "unfinished": store.make(b"hello", size=11),
        "finished": store.make(b"hello", size=5),
        "expired": store.make(b"hel", size=11, expires=past(DAY)),
        "damaged": store.file(uploads.new_id() + ".info", b"{nonsense").stem,
    }


def test_list_shows_every_upload_and_its_state(tool, store):
    made = four_states(store)
    store.file(made["damaged"], b"x")
    lines = tool.run("list").splitlines()
    assert lines[0].split() == ["ID", "STATE", "RECEIVED", "SIZE", "AGE",
                                "OWNER", "NAME"]
    seen = {line.split()[1]: line.split()[0] for line in lines[1:]}
    assert seen == made


@pytest.mark.parametrize("options, states", [
    (["--finished"], {"finished"}),
    (["--expired"], {"expired"}),
    (["--unfinished"], {"unfinished", "expired"}),
    (["--finished", "--expired"], {"finished", "expired"}),
])
def test_list_filters_by_state(tool, store, options, states):
    made = four_states(store)
    seen = {one["id"] for one in tool.json("list", *options)}
    assert seen == {made[state] for state in states}


def test_list_json_has_what_scripts_need(tool, store):
    id = store.make(b"hello", size=11, metadata={"filename": "wörld.txt"},
                    created=1700000000, expires=4000000000)
    deferred = store.make(b"hello")
    by_id = {one["id"]: one for one in tool.json("list")}
    one = by_id[id]
    assert one["offset"] == 5 and one["size"] == 11
    assert one["state"] == "unfinished" and one["finished"] == 0
    assert one["created"] == 1700000000 and one["expires"] == 4000000000
    assert one["metadata"] == {"filename": "wörld.txt"}
    assert one["storage"]["Path"] == str(store.path / id)
    assert by_id[deferred]["size"] is None


ORDERS = {
    "size": ["a", "b", "c"], "received": ["b", "a", "c"],
    "age": ["c", "b", "a"], "owner": ["b", "c", "a"],
    "name": ["c", "a", "b"], "state": ["b", "a", "c"]}


@pytest.mark.parametrize("key", ORDERS)
def test_list_is_sorted_as_it_is_told(tool, store, key):
    ids = {
        "a": store.make(b"xx", size=2, created=past(3 * DAY), owner="zoe",
                        finished=past(60), metadata={"filename": "m"}),
        "b": store.make(b"x", size=5, created=past(2 * DAY), owner="anna",
                        metadata={"filename": "z"}),
        "c": store.make(b"xxx", size=8, created=past(DAY), owner="ben",
                        expires=past(60), metadata={"filename": "a"})}
    wanted = [ids[k] for k in ORDERS[key]]

    def listed(order):
        return [line.split()[0] for line in
                tool.run("list", "--sort", order).splitlines()[1:]]

    assert listed(key) == wanted
    assert listed("-" + key) == wanted[::-1]
    assert [one["id"] for one in tool.json("list", "--sort", key)] == wanted
    assert listed("id") == sorted(ids.values())


def test_list_sorts_more_than_a_few_and_damaged_ones_too(tool, store):
    made = [store.make(b"x" * (n % 7), size=n) for n in range(1, 600)]
    bad = store.file(uploads.new_id() + ".info", b"{nonsense").stem
    store.file(bad, b"x")
    seen = [line.split()[0] for line in
            tool.run("list", "--sort", "size").splitlines()[1:]]
    assert seen == [bad] + made


def test_list_names_the_owner(tool, store):
    id = store.make(b"x", size=2, owner="anna\x1b[2J")
    other = store.make(b"x", size=2)
    owner = {line.split()[0]: line.split()[5]
             for line in tool.run("list").splitlines()[1:]}
    assert owner == {id: "anna?[2J", other: "-"}


def test_an_order_that_is_none_is_status_2(tool):
    tool.run("list", "--sort", "colour", status=2)
    assert "list cannot --sort colour" in tool.stderr


def test_a_file_name_cannot_command_the_terminal(tool, store):
    store.make(b"x", size=2, metadata={"filename": "a\x1b[2Jb\r\nc\x9bd"})
    out = tool.run("list")
    assert out.count("\n") == 2
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


TRICKS = "\u202e\u2066\u200f\u061c\u0085\u009b\x7f\u2028"


def test_a_file_name_does_not_show_itself_as_another(tool, store):
    """invoice, right to left, gpj.exe; and what scripts get is the same."""
    name = f"invoice{TRICKS}gpj.exe é"
    id = store.make(b"x", size=1, metadata={"filename": name})
    for command in (["list"], ["show", id], ["list", "--json"],
                    ["show", id, "--json"]):
        out = tool.run(*command, env={**NO_LEAKS, "LC_ALL": "C.UTF-8"},
                       encoding="utf-8")
        assert not set(TRICKS) & set(out), command
        assert "é" in out
    assert "\\u202e\\u2066" in out
    assert tool.json("show", id)[0]["metadata"]["filename"] == name


def test_sizes_are_readable(tool, store):
    id = store.make(size=3 << 30)
    (line,) = [line for line in tool.run("list").splitlines() if id in line]
    assert line.split()[2:4] == ["0", "3.0G"]


def test_an_empty_store_is_no_error(tool):
    assert len(tool.run("list").splitlines()) == 1
    assert tool.json("list") == []


def test_show_tells_everything(tool, store):
    id = store.make(b"hello", size=11, metadata={"filename": "a.txt"},
                    expires=4000000000)
    out = tool.run("show", id)
    for line in [r"state +unfinished", r"received +5 ", r"size +11 ",
                 r"metadata +filename = a.txt", r"expires +2096-",
                 r"locked +no"]:
        assert re.search("^" + line, out, re.M), (line, out)


def test_show_tells_who_holds_the_lock(tool, store):
    id = store.make(b"hello", size=11)
    assert tool.json("show", id)[0]["locked"] is False
    with store.locked(id):
        (one,) = tool.json("show", id)
        assert one["locked"] is True and one["lock_pid"] == os.getpid()
        assert "locked     by process %d" % os.getpid() in tool.run("show", id)


def test_show_tells_in_which_protocol_it_was_made(tool, store):
    theirs = store.make(b"hello", size=11, keys={"Protocol": "rufh"})
    for id, name in (theirs, "rufh"), (store.make(b"x", size=2), "tus"):
        assert re.search(f"^protocol +{name}$", tool.run("show", id), re.M)
        assert tool.json("show", id)[0]["protocol"] == name
    assert {one["id"]: one["protocol"] for one in tool.json("list")}[
        theirs] == "rufh"


def test_show_explains_damage(tool, store):
    id = store.make(b"hello", size=11)
    store.file(id + ".info", b"{nonsense")
    out = tool.run("show", id)
    assert re.search(r"^state +damaged", out, re.M)
    assert re.search(r"^damage +\S", out, re.M)


def test_show_of_nothing_fails(tool):
    tool.run("show", uploads.new_id(), status=1)
    assert "no such upload" in tool.stderr


# --- rm --------------------------------------------------------------------

def test_rm_removes_uploads_in_any_state(tool, store):
    made = four_states(store)
    store.file(made["damaged"], b"x")
    kept = store.make(b"stay", size=10)
    tool.run("rm", *made.values())
    assert store.names() == sorted([kept, kept + ".info"])


def test_rm_removes_the_lock_file_too(tool, store):
    id = store.make(b"hello", size=11)
    store.file(id + ".lock")
    tool.run("rm", id)
    assert store.names() == []


@pytest.mark.parametrize("suffixes", [("",), (".info",), ("", ".info.new")])
def test_rm_removes_half_an_upload(tool, store, suffixes):
    """Of an id that a hook chose, there is nobody else who would."""
    for suffix in suffixes:
        store.file("of-a-hook" + suffix, b"")
    tool.run("rm", "of-a-hook")
    assert store.names() == []


def test_rm_of_nothing_fails_and_leaves_nothing(tool, store):
    tool.run("rm", uploads.new_id(), status=1)
    assert "no such upload" in tool.stderr
    assert store.names() == []


def test_rm_never_robs_a_holder(tool, store):
    id = store.make(b"hello", size=11)
    tool.configure('lock: { timeout = 0.3; };')
    with store.locked(id):
        tool.run("rm", id, status=1)
    assert "in use" in tool.stderr
    assert store.data(id) == b"hello"


def test_rm_asks_the_holder_to_let_go(tool, store):
    id = store.make(b"hello", size=11)
    asked = threading.Event()

    def hold():
        with store.locked(id) as fd:
            held.set()
            rig.wait_for(lambda: uploads.is_wanted(fd), "the question")
            asked.set()

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    tool.run("rm", id)
    holder.join()
    assert asked.is_set() and store.names() == []


# --- check -----------------------------------------------------------------

def test_check_finds_nothing_wrong_with_what_is_right(tool, store):
    store.make(b"hello", size=11)
    store.make(b"hello", size=5)
    store.make(b"hello")
    store.make(b"", size=0)
    store.make(b"hello", size=11, boot=uploads.NO_BOOT)
    store.make_tusd(b"hello", 11)
    store.make_tusd(b"hello", 5)
    assert "7 uploads, 0 damaged" in tool.run("check")


# What a crash or a reboot leaves in the ordinary course of things.
INTERRUPTED = {
    "bytes above the watermark": dict(offset=2),
    "a reboot": dict(boot=uploads.OTHER_BOOT),
    "a reboot with bytes above the watermark":
        dict(offset=2, boot=uploads.OTHER_BOOT),
    "a chunk that was never verified": dict(offset=2, hold=2),
}


@pytest.mark.parametrize("what", INTERRUPTED)
def test_an_interruption_is_no_damage(tool, store, what):
    store.make(b"hello", size=11, **INTERRUPTED[what])
    assert "0 damaged" in tool.run("check")


def damage(store):
    """Damaged uploads, and which of them can be repaired."""
    nonsense = store.make(b"hello", size=11)
    store.file(nonsense + ".info", b"{nonsense")
    other_id = store.make(b"hello", size=11)
    record = (store.path / (other_id + ".info"))
    record.write_bytes(record.read_bytes().replace(
        b'"ID":"' + other_id[:1].encode(), b'"ID":"x'))
    link = store.make(b"hello", size=11)
    (store.path / link).unlink()
    (store.path / link).symlink_to("/etc/hostname")
    too_long = store.make(b"hello world!", size=11, offset=5)
    cut_short = store.make(b"hel", size=11, offset=5)
    finished_short = store.make(b"hel", size=5, offset=5, finished=past(60))
    return {nonsense: False, other_id: False, link: False, too_long: False,
            cut_short: True, finished_short: True}


def test_check_reports_damage(tool, store):
    made = damage(store)
    store.make(b"fine", size=11)
    out = tool.run("check", status=1)
    assert {line.split()[0] for line in out.splitlines()[:-1]
            if not line.startswith(" ")} == set(made)
    assert "7 uploads, 6 damaged, 0 repaired" in out
    assert tool.run("check", status=1) == out


def test_check_says_what_to_do_about_each(tool, store):
    made = damage(store)
    lines = tool.run("check", status=1).splitlines()
    for id, can_be_repaired in made.items():
        (at,) = [i for i, line in enumerate(lines) if line.startswith(id)]
        advice = lines[at + 1]
        assert advice.startswith("    ")
        assert ("tusctl check --repair" in advice) == can_be_repaired
        assert (f'run "tusctl rm {id}"' in advice) != can_be_repaired
    # What it says helps.
    tool.run("check", "--repair", status=1)
    for id, can_be_repaired in made.items():
        if not can_be_repaired:
            shown = tool.run("show", id)
            assert ("damaged" in shown) == (f'"tusctl rm {id}"' in shown)
            tool.run("rm", id)
    assert "0 damaged" in tool.run("check")


def test_check_repair_does_what_can_be_done(tool, store):
    made = damage(store)
    out = tool.run("check", "--repair", status=1)
    for id, can_be_repaired in made.items():
        word = "repaired" if can_be_repaired else "damaged"
        assert re.search("^%s  %s: ." % (id, word), out, re.M), (id, out)
    for id, can_be_repaired in made.items():
        if not can_be_repaired:
            tool.run("rm", id)
    assert "2 uploads, 0 damaged" in tool.run("check")
    for id in [id for id, can_be_repaired in made.items() if can_be_repaired]:
        assert store.head(id)["Offset"] == 3
        assert store.head(id)["Finished"] == 0


def test_check_does_not_judge_what_is_in_use(tool, store):
    id = store.make(b"hel", size=11, offset=5)
    with store.locked(id):
        assert "0 damaged, 0 repaired, 1 in use" in tool.run("check")


def test_check_leaves_no_lock_behind(tool, store):
    damage(store)
    before = store.names()
    tool.run("check", status=1)
    assert store.names() == before


# --- settle and adopt ------------------------------------------------------

def survives_a_reboot(tool, store, id):
    """How many bytes are left once somebody opens it in another boot."""
    store.set_boot(id)
    tool.run("settle")
    return len(store.data(id))


def test_settled_uploads_lose_nothing_in_a_reboot(tool, store):
    id = store.make(b"hello", size=11, offset=0)
    deferred = store.make(b"hello", offset=2)
    tool.run("settle")
    assert store.head(id)["Offset"] == 5
    assert survives_a_reboot(tool, store, id) == 5
    assert survives_a_reboot(tool, store, deferred) == 5


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
def test_settle_flushes_the_directory_once_at_the_end(tool, store, tmp_path):
    for _ in range(3):
        store.make(b"hello", size=11, offset=0)
    trace = tmp_path / "trace"
    subprocess.run([rig.have("strace"), "-qq", "-y", "-o", trace, "-e",
                    "trace=fsync,fdatasync", rig.program("tusctl"), "-c",
                    tool.conf, "settle"], check=True, env=NO_LEAKS)
    calls = [line.split("(")[0] for line in trace.read_text().splitlines()]
    assert calls == ["fdatasync"] * 6 + ["fsync"]


def test_unsettled_uploads_go_back_to_the_watermark(tool, store):
    id = store.make(b"hello", size=11, offset=2)
    assert survives_a_reboot(tool, store, id) == 2


def test_settle_finishes_what_is_whole_and_leaves_the_finished(tool, store):
    whole = store.make(b"hello", size=5, finished=0)
    done = store.make(b"hello", size=5, finished=past(DAY))
    tool.run("settle")
    assert store.head(whole)["Finished"] >= past(60)
    assert store.head(done)["Finished"] <= past(DAY - 60)


def test_settle_cuts_what_was_never_verified(tool, store):
    id = store.make(b"hello", size=11, offset=2, hold=2)
    tool.run("settle")
    assert store.data(id) == b"he" and store.head(id)["Hold"] == -1


def test_settle_tells_of_what_it_could_not_settle(tool, store):
    id = store.make(b"hello", size=11, offset=0)
    store.make(b"hello", size=11, offset=0)
    with store.locked(id):
        out = tool.run("settle", status=1)
    assert "1 unfinished uploads settled, 1 in use" in out
    assert id in tool.stderr


def test_settle_goes_on_after_a_damaged_record(tool, store):
    broken = store.make(b"hello", size=11)
    store.file(broken + ".info", b"{nonsense")
    id = store.make(b"hello", size=11, offset=0)
    assert "1 damaged" in tool.run("settle")
    assert broken in tool.stderr and store.head(id)["Offset"] == 5


def test_adopt_keeps_what_tusd_acknowledged(tool, store):
    """tusd appends and does not move our watermark; then comes a reboot."""
    ours = store.make(b"hello", size=11, offset=2, boot=uploads.OTHER_BOOT)
    out = tool.run("adopt")
    assert "1 unfinished uploads adopted" in out
    assert store.head(ours)["Offset"] == 5
    assert survives_a_reboot(tool, store, ours) == 5


def test_adopt_gives_a_record_of_tusd_a_head(tool, store):
    id = store.make_tusd(b"hello", 11, metadata={"filename": "a.txt"})
    done = store.make_tusd(b"hello", 5)
    tool.run("adopt")
    assert store.head(id)["Offset"] == 5 and store.head(id)["Size"] == 11
    (one,) = tool.json("show", id)
    assert one["metadata"] == {"filename": "a.txt"}
    assert one["metadata_raw"] == "filename YS50eHQ="
    assert survives_a_reboot(tool, store, id) == 5
    assert store.data(done) == b"hello"
    assert sorted(n for n in store.names() if "." in n) == sorted(
        [id + ".info", done + ".info"])


def test_adopt_skips_what_is_in_use(tool, store):
    id = store.make(b"hello", size=11, offset=2)
    with store.locked(id):
        tool.run("adopt", status=1)
    assert store.head(id)["Offset"] == 2


# --- the program -----------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    [], ["frobnicate"], ["list", "--wat"], ["list", "x"], ["show"],
    ["show", "a", "b"], ["show", "../x"], ["rm"], ["rm", "a/b"],
    ["sweep", "--older-than", "soon"], ["sweep", "x"], ["settle", "x"],
    ["adopt", "x"], ["check", "x"],
])
def test_a_wrong_command_line_is_status_2(tool, arguments):
    tool.run(*arguments, status=2)
    assert tool.stderr


def test_a_wrong_configuration_is_status_2(tool):
    tool.configure("nonsense = 1;")
    tool.run("list", status=2)
    assert "test.conf:2" in tool.stderr


def test_help_names_every_command(tool):
    out = tool.run("-h")
    for command in ["list", "show", "rm", "sweep", "check", "settle", "adopt"]:
        assert re.search("^  %s" % command, out, re.M)


def test_a_result_that_cannot_be_written_is_an_error(tool, store):
    store.make(b"hello", size=11)
    with open("/dev/full", "w") as full:
        tool.run("list", stdout=full, status=1)
    assert "No space" in tool.stderr


def test_the_environment_names_the_configuration(tool, store):
    id = store.make(b"hello", size=11)
    out = subprocess.run([rig.program("tusctl"), "list"], text=True,
                         env=dict(os.environ, TUSFCGI_CONF=str(tool.conf)),
                         capture_output=True, check=True).stdout
    assert id in out


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be another user")
def test_root_leaves_no_file_that_the_pool_cannot_open():
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        tool = Tool(Path(path))
        store = tool.store
        id = store.make(b"hello", size=11, offset=0)
        store.make(b"hello", size=11, expires=past(60))
        for name in store.names():
            os.chown(store.path / name, 1001, 1002)
        os.chown(store.path, 1001, 1002)
        tool.run("settle")
        tool.run("sweep")
        assert store.head(id)["Offset"] == 5
        names = os.listdir(store.path)
        assert sorted(names) == sorted([".sweep", id, id + ".info"])
        for name in names:
            made = os.stat(store.path / name)
            assert (made.st_uid, made.st_gid) == (1001, 1002), name


def test_a_store_that_is_not_there_is_not_made(tool, store):
    store.path.rmdir()
    tool.run("list", status=1)
    assert str(store.path) in tool.stderr and not store.path.exists()


def test_ten_thousand_uploads_take_seconds(tool, store, capsys):
    """On a machine that does nothing else; the limit is a minute each."""
    for i in range(10000):
        store.make(b"x", size=1 if i % 2 else 2,
                   expires=0 if i % 10 else past(60))
    times = {}
    for command in ["list", "check", "settle", "sweep"]:
        start = time.monotonic()
        out = tool.run(command)
        times[command] = time.monotonic() - start
        assert tool.stderr == "", "progress is for terminals"
    assert "1000 expired" in out
    with capsys.disabled():
        print("\n10,000 uploads: " + ", ".join(
            "%s %.2f s" % pair for pair in times.items()))


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
def test_a_terminal_shows_how_far_it_got(tool, store):
    """Here a slow one: each open takes a moment, and each look for names."""
    for _ in range(1200):
        store.make(b"hello", size=5)
    ours, theirs = os.openpty()
    sweep = subprocess.Popen(
        [rig.have("strace"), "-qq", "-o", "/dev/null",
         "-e", "trace=openat,getdents64",
         "-e", "inject=openat:delay_enter=300",
         "-e", "inject=getdents64:delay_enter=310000",
         rig.program("tusctl"), "-c", tool.conf, "sweep"], stdout=subprocess.PIPE, stderr=theirs,
        text=True, env=NO_LEAKS)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:
        pass
    os.close(ours)
    out, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 0 and out.count("\n") == 1
    for what in (b"uploads", b"files"):
        counts = [int(n) for n in re.findall(what + rb": (\d+)", shown)]
        assert counts and counts == sorted(counts), shown
    assert shown.endswith(b"\r\x1b[K"), "wiped at the end"
