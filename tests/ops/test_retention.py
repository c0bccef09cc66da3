"""Finished uploads are kept as long as retention.after says, and no longer."""

import json
import re
import subprocess
import time

from lib import fastcgi, rig, uploads

DAY = 86400


def ctl(one, *arguments, status=0):
    run = subprocess.run(
        [rig.program("tusctl"), "-c", one.config_path, *arguments],
        capture_output=True, text=True, timeout=60)
    assert run.returncode == status, run
    return run.stdout


def finished(one, ago, **more):
    """An upload that was finished so long ago."""
    return uploads.Store(one.uploads).make(
        b"hello", size=5, finished=int(time.time()) - ago, **more)


def ids(one):
    return {p.stem for p in one.uploads.glob("*.info")}


def upload(one, **params):
    """Created and finished by somebody for whom the web server says that."""
    answer = one.client.request("POST", "/files", {
        "Upload-Length": "5", "Content-Type":
        "application/offset+octet-stream"}, b"hello", extra=params)
    assert answer.status == 201
    return answer.headers["location"].rsplit("/", 1)[1]


def age(one, id, seconds):
    """As if it had been finished so much sooner."""
    path = one.uploads / (id + ".info")
    text = path.read_bytes()
    match = re.search(rb'"Finished": *(\d+)', text)
    assert len(match[1]) == 10
    sooner = b"%d" % (int(match[1]) - seconds)
    assert len(sooner) == 10
    path.write_bytes(text[:match.start(1)] + sooner + text[match.end(1):])


def test_finished_uploads_stay_for_ever_by_default(app):
    one = app()
    id = finished(one, 1500 * DAY)
    ctl(one, "sweep")
    assert ids(one) == {id}


def test_what_was_kept_long_enough_goes(app):
    one = app(config={"retention": {"after": "30d"}})
    old, young = finished(one, 31 * DAY), finished(one, 29 * DAY)
    unfinished = uploads.Store(one.uploads).make(b"he", size=5, age=90 * DAY)
    out = ctl(one, "sweep")
    assert f"{old}  removed: kept long enough" in out
    assert "1 finished uploads removed: kept long enough" in out
    assert ids(one) == {young, unfinished}
    assert not (one.uploads / old).exists()
    assert one.client.head("/files/" + old).status == 404


def test_a_dry_run_only_says_so(app):
    one = app(config={"retention": {"after": "30d"}})
    old = finished(one, 31 * DAY)
    assert f"{old}  would be removed: kept long enough" in \
        ctl(one, "sweep", "--dry-run")
    assert ids(one) == {old}


def test_the_server_does_it_by_itself(app):
    one = app(config={"retention": {"after": "30d"},
                      "expiration": {"sweep": "1s"}})
    old = finished(one, 31 * DAY)
    rig.wait_for(lambda: old not in ids(one), "it to go")
    rig.wait_for(lambda: " retired=1 " in one.log(), "a line about it")


def test_one_upload_is_kept_as_the_web_server_says(app):
    """The sweep has no request: the record says it."""
    one = app(config={"retention": {"after": "30d"}})
    short = upload(one, TUS_RETENTION="1d")
    ever = upload(one, TUS_RETENTION="0")
    usual = upload(one)
    for id in (short, ever, usual):
        age(one, id, 2 * DAY)
    assert "kept       until " in ctl(one, "show", short)
    assert "kept       for ever" in ctl(one, "show", ever)
    ctl(one, "sweep")
    assert ids(one) == {ever, usual}
    age(one, ever, 40 * DAY)
    age(one, usual, 40 * DAY)
    ctl(one, "sweep")
    assert ids(one) == {ever}


def test_it_counts_also_where_all_others_stay(app):
    one = app()
    short, usual = upload(one, TUS_RETENTION="12h"), upload(one)
    for id in (short, usual):
        age(one, id, DAY)
    ctl(one, "sweep")
    assert ids(one) == {usual}


def test_what_is_no_duration_removes_nothing(app):
    one = app(config={"retention": {"after": "1d"}})
    id = upload(one, TUS_RETENTION="soon")
    rig.wait_for(lambda: "TUS_RETENTION is no duration: soon" in one.log(),
                 "a line about it")
    age(one, id, 40 * DAY)
    ctl(one, "sweep")
    assert ids(one) == {id}


def test_a_client_cannot_say_it(app):
    one = app()
    id = upload(one, HTTP_TUS_RETENTION="1")
    age(one, id, DAY)
    ctl(one, "sweep")
    assert ids(one) == {id}


def test_two_values_are_refused(app):
    one = app()
    answer = one.client.raw(b"".join([
        fastcgi.begin(), fastcgi.params([
            ("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/files"),
            ("SCRIPT_NAME", "/files"), ("HTTP_TUS_RESUMABLE", "1.0.0"),
            ("HTTP_UPLOAD_LENGTH", "5"), ("TUS_RETENTION", "1d"),
            ("TUS_RETENTION", "0")]), fastcgi.record(fastcgi.STDIN)]))
    assert answer.status == 400
    assert answer.body.startswith(b"ERR_AMBIGUOUS_PARAMETER")


def hook(tmp_path, name):
    folder = tmp_path / "hooks"
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\ncat >>{tmp_path}/told\n")
    (folder / name).chmod(0o755)
    return str(folder), tmp_path / "told"


def test_hooks_are_told_if_they_want_to(app, tmp_path):
    folder, told = hook(tmp_path, "post-expire")
    one = app(config={"retention": {"after": "30d"}, "hooks": {
        "dir": folder, "events": ["post-expire"]}})
    old = finished(one, 31 * DAY, owner="anna")
    ctl(one, "sweep")
    event = json.loads(told.read_text())
    assert event["Type"] == "post-expire"
    assert event["Event"]["Upload"]["ID"] == old
    assert event["Event"]["Upload"]["Owner"] == "anna"
    assert event["Event"]["Upload"]["Size"] == 5


def test_hooks_are_not_told_by_default(app, tmp_path):
    folder, told = hook(tmp_path, "post-expire")
    one = app(config={"retention": {"after": "30d"}, "hooks": {"dir": folder}})
    old = finished(one, 31 * DAY)
    ctl(one, "sweep")
    assert old not in ids(one) and not told.exists()


def test_what_was_moved_away_stays_where_it_is(app, tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    one = app(config={"retention": {"after": "1d"}, "finish": {
        "move_to": f"{place}/{{id}}", "keep_record": "3650d"}})
    id = upload(one)
    rig.wait_for(lambda: not uploads.pending(one.uploads, id), "the move")
    age(one, id, 40 * DAY)
    assert "kept long enough" not in ctl(one, "sweep")
    assert (place / id).read_bytes() == b"hello"
    # Its record is for finish.keep_record to judge.
    assert ids(one) == {id}


def test_nothing_goes_by_a_date_from_before_the_clock_was_set(app):
    one = app(config={"retention": {"after": "1d"}})
    id = uploads.Store(one.uploads).make(b"hello", size=5, finished=1000)
    ctl(one, "sweep")
    assert ids(one) == {id}
    ctl(one, "sweep", "--force")
    assert ids(one) == set()


def test_the_owner_may_have_others_instead(app):
    one = app(config={"retention": {"after": "1d"}, "quota": {"uploads": 1},
                      "owner": {"param": "REMOTE_USER"}})
    anna = {"REMOTE_USER": "anna"}
    id = upload(one, **anna)
    answer = one.client.request("POST", "/files", {"Upload-Length": "5"},
                                extra=anna)
    assert answer.status == 413
    age(one, id, 2 * DAY)
    ctl(one, "sweep")
    upload(one, **anna)


def test_the_check_of_the_configuration_says_it(app):
    one = app(config={"retention": {"after": "30d"}})
    run = subprocess.run(
        [rig.program(), "-t", "-c", one.config_path, "-s",
         str(one.dir / "other")], capture_output=True, text=True)
    assert "keep          30d" in run.stdout
