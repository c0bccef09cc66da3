"""Events that wait: each has its turn, and none is lost."""

import json
import os
import re
import subprocess
import time

import pytest

from lib import client, rig, uploads

# Takes what is about a good upload, at once; "slow" ones never end.
PICKY = """#!/bin/sh
echo "$TUS_EVENT_ID" >>"$HOME/tried"
echo "$TUS_ID" >>"$HOME/ids"
case $TUS_ID in
good*) echo "$TUS_ID" >>"$HOME/told" ;;
slow*) sleep 60 ;;
*) echo "I will not" >&2; exit 1 ;;
esac
"""


class Place:
    """A store, a configuration, and a spool with events that we made."""

    def __init__(self, home):
        self.home = home
        self.hooks = home / "hooks"
        self.hooks.mkdir()
        self.store = home / "store"
        self.store.mkdir()
        self.spool = self.store / ".hooks"
        self.config = {"store": {"path": str(self.store), "min_free": "1M"},
                       "hooks": {"dir": str(self.hooks), "timeout": "10s"},
                       "expiration": {"sweep": 0}}
        self.write("post-create", PICKY)

    def write(self, name, text):
        path = self.hooks / name
        path.write_text(text)
        path.chmod(0o755)

    def event(self, upload, n, age=3600, tried=None, spool=None, **changes):
        """One that was written age seconds ago, and last tried then."""
        spool = spool or self.spool
        spool.mkdir(exist_ok=True, mode=0o770)
        made = int(time.time()) - age
        path = spool / f"{made:010d}{n:09d}-{upload}.json"
        path.write_text(json.dumps({
            "Type": "post-create", "Event": {
                "Upload": {"ID": upload, "Size": 5, "Offset": 0},
                "HTTPRequest": {"Header": {}}}, **changes}))
        when = time.time() - (age if tried is None else tried)
        os.utime(path, (when, when))
        return path

    def tusctl(self, *words):
        conf = self.home / "tusfcgi.conf"
        conf.write_text(rig.libconfig(self.config))
        run = subprocess.run(
            [rig.program("tusctl"), "-c", conf, *words],
            env={**os.environ, "HOME": str(self.home)}, capture_output=True,
            text=True, timeout=120, check=False)
        assert not rig.SANITIZER.search(run.stderr), run.stderr
        return run

    def lines(self, name):
        path = self.home / name
        return path.read_text().split() if path.exists() else []

    def waiting(self):
        return sorted(p.name for p in self.spool.iterdir())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_events_that_fail_keep_no_others_waiting(place):
    for n in range(30):
        place.event("bad", n)
    place.event("good", 99)
    run = place.tusctl("sweep")
    assert place.lines("told") == ["good"]
    assert run.returncode == 1
    assert "30 events were not taken, 0 not tried" in run.stderr
    assert "exit status 1: I will not" in run.stderr
    assert len(place.waiting()) == 30


def test_an_event_of_an_older_release_gets_its_id(place):
    path = place.event("good", 1)
    place.write("post-create", '#!/bin/sh\ncat >"$HOME/event"\n')
    place.tusctl("sweep")
    event = json.loads((place.home / "event").read_text())
    assert event["EventID"] == path.stem


def spoil(how):
    def apply(path):
        if how == "empty":
            path.write_text("")
        elif how == "cut":
            path.write_text(path.read_text()[:-20])
        elif how == "no event":
            path.write_text("{}")
        elif how == "unknown":
            path.write_text(path.read_text().replace("-create", "-party"))
        elif how == "a path":
            path.write_text(path.read_text().replace(
                "post-create", "../hooks/post-create"))
        elif how == "huge":
            os.truncate(path, 64 << 20)
        elif how == "long name":
            path.rename(path.with_name("1" * 200 + ".json"))
    return apply


@pytest.mark.parametrize("how", ["empty", "cut", "no event", "unknown",
                                 "a path", "huge", "long name"])
def test_what_can_never_be_told_is_moved_aside_and_named(place, how):
    for n in range(12):
        spoil(how)(place.event("broken", n, age=7200 + n))
        if how == "long name":
            break
    place.event("good", 99)
    count = len(place.waiting()) - 1
    run = place.tusctl("check")
    assert run.returncode == 1
    assert run.stdout.count("can never be told: ") == count
    assert "1 events wait for hooks, the oldest for " in run.stdout
    run = place.tusctl("sweep")
    assert run.returncode == 1
    assert f"{count} events cannot be told: see tusctl check" in run.stderr
    assert place.lines("told") == ["good"]
    # Not lost, and not in the way any more.
    assert [p.rpartition(".")[2] for p in place.waiting()] == ["bad"] * count
    assert place.tusctl("sweep").returncode == 0
    run = place.tusctl("check")
    assert run.returncode == 1
    for name in place.waiting():
        assert f"{place.spool / name}  can never be told: " in run.stdout
        (place.spool / name).unlink()
    assert place.tusctl("check").returncode == 0


def test_what_is_no_file_is_left_and_keeps_no_others_waiting(place):
    for n in range(12):
        path = place.event("broken", n)
        path.unlink()
        path.mkdir() if n % 2 else path.symlink_to("/dev/zero")
    place.event("good", 99)
    place.tusctl("sweep")
    assert place.lines("told") == ["good"]
    assert place.tusctl("check").stdout.count("can never be told: ") == 12


def test_events_that_hang_have_their_turn_one_after_another(place):
    """A sweep gives up on them after ten times hooks.timeout."""
    place.config["hooks"]["timeout"] = "300ms"
    for n in range(25):
        place.event("slow", n)
    place.tusctl("sweep")
    first = place.lines("tried")
    assert 1 <= len(first) <= 10 and len(set(first)) == len(first)
    # Not tried yet, so it comes before those that were.
    place.event("good", 99, age=0)
    sweeps = 1
    while len(set(place.lines("tried"))) < 26:
        sweeps += 1
        assert sweeps <= 40, set(place.lines("tried"))
        place.tusctl("sweep")
    assert place.lines("told") == ["good"]
    # And again, beginning with what was tried longest ago.
    tried = [t for t in place.lines("tried") if t.endswith("slow")]
    place.tusctl("sweep")
    latest = {event: n for n, event in enumerate(tried)}
    assert place.lines("tried")[len(tried) + 1] == min(latest, key=latest.get)


def test_the_server_tries_again_later_and_later(place, app):
    old, recent = 50 * 86400, 3600
    place.event("bad", 1, age=recent, tried=600)
    place.event("bad", 2, age=recent, tried=1900)
    place.event("bad", 3, age=old, tried=3600 * 23)
    place.event("bad", 4, age=old, tried=3600 * 25)
    place.event("bad", 5, age=10)
    place.event("bad", 6, age=recent, tried=-3600)
    one = app(config=rig.merge(place.config, {"expiration": {"sweep": "1s"}}),
              env={"HOME": str(place.home)})
    rig.wait_for(lambda: "events were not taken" in one.log(), "a sweep")
    time.sleep(2.5)
    one.stop_app()
    tried = sorted(int(t[10:19]) for t in place.lines("tried"))
    # 5 is tried when it is written, and then as old as it was: once or twice.
    assert set(tried) == {2, 4, 5, 6}
    assert all(tried.count(n) == 1 for n in (2, 4, 6))
    # By hand there is no waiting.
    place.tusctl("sweep")
    assert {int(t[10:19]) for t in place.lines("tried")} == set(range(1, 7))


def test_the_largest_event_is_taken(place, app):
    """Its headers are escaped, so it is longer than what the server read."""
    place.write("post-create", "#!/bin/sh\nexit 1\n")
    one = app(config=place.config, env={"HOME": str(place.home)})
    tus = client.Tus(one, "fastcgi")
    url = tus.create(5, {"X-Big": "\x01" * 500000})
    rig.wait_for(lambda: "exit status 1" in one.log(), "the failure")
    assert max(p.stat().st_size for p in place.spool.iterdir()) > 3000000
    place.write("post-create",
                '#!/bin/sh\nwc -c >"$HOME/told"; echo $TUS_ID >>"$HOME/told"\n')
    assert place.tusctl("sweep").returncode == 0
    told = place.lines("told")
    assert int(told[0]) > 3000000 and told[1] == tus.id(url)
    assert not place.waiting()


def test_a_spool_that_was_removed_is_made_anew(place, app):
    place.write("post-create", "#!/bin/sh\nexit 1\n")
    one = app(config=place.config)
    tus = client.Tus(one, "fastcgi")
    tus.create(5)
    rig.wait_for(lambda: "exit status 1" in one.log(), "the failure")
    for path in place.spool.iterdir():
        path.unlink()
    place.spool.rmdir()
    tus.create(5)
    assert "is lost if" not in one.log()
    assert len(place.waiting()) == 1


# --- post-expire. ---

EXPIRED = """#!/bin/sh
cat >>"$HOME/events"; echo >>"$HOME/events"
[ ! -e "$HOME/fails" ]
"""


def expired(place):
    return uploads.Store(place.store).make(
        b"hello", size=11, owner="alice", expires=int(time.time()) - 60)


def events(place):
    return [json.loads(line) for line in place.lines("events")]


def test_what_expired_is_told_where_the_configuration_says_so(place):
    place.write("post-expire", EXPIRED)
    expired(place)
    assert place.tusctl("sweep").returncode == 0
    assert not events(place), "not among the default ones"
    place.config["hooks"]["events"] = ["post-expire"]
    id = expired(place)
    (place.home / "fails").touch()
    place.tusctl("sweep", "--dry-run")
    assert not events(place)
    place.tusctl("sweep")
    assert not list(place.store.glob(id + "*"))
    (place.home / "fails").unlink()
    place.tusctl("sweep")
    place.tusctl("sweep")
    told = events(place)
    # By the removal, by the same sweep once more, by the next.
    assert len(told) == 3
    for event in told:
        assert event == told[0]
        assert event["Type"] == "post-expire"
        upload = event["Event"]["Upload"]
        assert (upload["ID"], upload["Owner"], upload["Offset"],
                upload["Size"]) == (id, "alice", 5, 11)
    assert not place.waiting()


def test_uploads_that_expire_wait_for_no_hooks_that_hang(place):
    """All uploads are gone; the events that were not told in time wait."""
    place.write("post-expire", "#!/bin/sh\nexec sleep 60\n")
    place.config["hooks"].update(events=["post-expire"], timeout="100ms")
    for _ in range(30):
        expired(place)
    began = time.monotonic()
    place.tusctl("sweep")
    assert time.monotonic() - began < 10
    assert not list(place.store.glob("*.info"))
    assert len(place.waiting()) == 30


@pytest.mark.skipif(os.geteuid() != 0, reason="needs chattr")
def test_what_could_not_be_removed_is_not_told(place):
    place.write("post-expire", EXPIRED)
    place.config["hooks"]["events"] = ["post-expire"]
    files = [place.store / (expired(place) + end) for end in ("", ".info")]
    if subprocess.run(["chattr", "+i", *files], check=False,
                      capture_output=True).returncode != 0:
        pytest.skip("no chattr here")
    try:
        assert place.tusctl("sweep").returncode == 1
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)
    assert all(path.exists() for path in files)
    assert not events(place) and not place.waiting()


# --- Finished uploads, of which the mark is a lock file. ---

@pytest.mark.parametrize("name", ["post-finish", "pre-finish"])
def test_finished_uploads_have_their_turn_one_after_another(place, name):
    """Ten that fail, and the eleventh was never told."""
    place.write(name, PICKY)
    place.config["hooks"].update(events=[name], timeout="300ms")
    store = uploads.Store(place.store)
    for kind, count in ("bad", 15), ("slow", 25), ("good", 1):
        for n in range(count):
            id = f"{kind}{n}"
            store.make(b"hello", size=5, id=id, age=7200,
                       finished=None if name == "post-finish" else 0)
            if name == "post-finish":
                (place.store / f"{id}.lock").touch()
    sweeps = 0
    while len(set(place.lines("ids"))) < 41:
        sweeps += 1
        assert sweeps <= 60, set(place.lines("ids"))
        run = place.tusctl("sweep")
        if sweeps == 1:
            assert "not tried, because hooks fail" in \
                run.stderr
    assert place.lines("told") == ["good0"]


# --- hooks.spool. ---

def make_spool(place):
    spool = place.home / "spool"
    spool.mkdir(mode=0o770)
    place.config["hooks"]["spool"] = str(spool)
    return spool


def test_events_wait_where_the_configuration_says(place, app):
    spool = make_spool(place)
    place.config["lock"] = {"path": str(place.home / "locks")}
    (place.home / "locks").mkdir()
    one = app(config=place.config, env={"HOME": str(place.home)})
    client.Tus(one, "fastcgi").create(5)
    rig.wait_for(lambda: "exit status 1" in one.log(), "the failure")
    assert len(list(spool.glob("*.json"))) == 1
    assert not place.spool.exists()
    assert not (place.home / "locks/.hooks").exists()
    place.write("post-create", "#!/bin/sh\n")
    assert place.tusctl("sweep").returncode == 0
    assert not list(spool.iterdir())


@pytest.mark.parametrize("moved", [False, True])
def test_what_waits_in_an_old_place_is_told_and_the_place_goes(place, moved):
    """Releases before kept it beside the lock files."""
    locks = place.home / "locks"
    locks.mkdir()
    place.config["lock"] = {"path": str(locks)}
    old = [locks / ".hooks"]
    if moved:
        make_spool(place)
        old.append(place.spool)
    for n, spool in enumerate(old):
        place.event(f"good{n}", n, spool=spool)
        place.event("bad", 10 + n, spool=spool)
    run = place.tusctl("check")
    assert f"{2 * len(old)} events wait for hooks" in run.stdout
    place.tusctl("sweep")
    assert sorted(place.lines("told")) == [f"good{n}" for n in range(len(old))]
    place.write("post-create", "#!/bin/sh\n")
    place.tusctl("sweep")
    for spool in old:
        # Somebody of the old release may be at work.
        assert not list(spool.iterdir())
        os.utime(spool, (1, 1))
    place.tusctl("sweep", "--dry-run")
    assert all(spool.exists() for spool in old)
    assert place.tusctl("sweep").returncode == 0
    assert not any(spool.exists() for spool in old)


def check(place):
    place.tusctl("list")
    return subprocess.run(
        [rig.program(), "-t", "-c", place.home / "tusfcgi.conf"],
        capture_output=True, text=True, check=False)


def test_a_bad_spool_is_found_by_t(place):
    spool = make_spool(place)
    run = check(place)
    assert run.returncode == 0 and f"events wait   {spool}\n" in run.stdout
    spool.chmod(0o777)
    run = check(place)
    assert run.returncode == 1 and "hooks.spool: " in run.stderr
    spool.rmdir()
    run = check(place)
    assert run.returncode == 1
    assert re.search(r"hooks.spool: .*No such file", run.stderr)
    place.config["hooks"]["spool"] = str(place.store)
    run = check(place)
    assert run.returncode == 1
    assert "it must be another directory than store.path" in run.stderr
    del place.config["hooks"]["spool"]
    run = check(place)
    assert run.returncode == 0
    assert f"events wait   {place.spool}\n" in run.stdout


def test_the_sandbox_lets_the_spool_be_written(place, app):
    """With hooks.url files are confined, where the kernel can do it."""
    spool = make_spool(place)
    place.config["hooks"].update({
        "dir": "", "url": f"http://127.0.0.1:{rig.free_port()}/",
        "retries": 0, "events": ["post-create"]})
    one = app(config=place.config)
    client.Tus(one, "fastcgi").create(5)
    rig.wait_for(lambda: "hook post-create: " in one.log(), "the failure")
    assert "is lost if" not in one.log()
    assert len(list(spool.glob("*.json"))) == 1
