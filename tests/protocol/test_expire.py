"""EXPIRE: unfinished uploads have a limited time."""

import email.utils
import os
import re
import subprocess
import threading
import time

import pytest

from lib import proc, rig
from lib.record import forge, read_head

ids = pytest.mark.ids

DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|"
    r"Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT")


def when(reply):
    assert DATE.fullmatch(reply["Upload-Expires"]), reply
    return email.utils.parsedate_to_datetime(
        reply["Upload-Expires"]).timestamp()


@pytest.fixture
def tus(serve):
    return serve({"expiration": {"after": "1h"}})


def expire(tus, url):
    """Its time is over since a minute."""
    assert read_head(tus.path(url, ".info"))["Expires"] > time.time()
    forge(tus.path(url, ".info"), "Expires", int(time.time()) - 60)


@ids("EXPIRE-01", "EXPIRE-02", "EXPIRE-03", "EXPIRE-04")
def test_unfinished_uploads_tell_their_end(tus):
    created = tus.post({"Upload-Length": 10})
    url = created["Location"]
    replies = [created, tus.patch(url, 0, b"abc"), tus.head(url),
               tus.patch(url, 3)]
    for reply in replies:
        assert abs(when(reply) - time.time() - 3600) < 60


@ids("EXPIRE-04")
def test_the_date_knows_neither_locale_nor_time_zone(serve):
    tus = serve({"expiration": {"after": "1h"}}, own=True, env={
        "TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE"})
    assert abs(when(tus.post({"Upload-Length": 10})) - time.time() - 3600) < 60


@ids("EXPIRE-05")
def test_finished_uploads_have_no_end(tus):
    url = tus.create(3)
    replies = [tus.patch(url, 0, b"abc"), tus.head(url),
               tus.post({"Upload-Length": 0}),
               tus.post({"Upload-Concat": f"final;{tus.partial(b'x')}"})]
    replies += [tus.head(r["Location"]) for r in replies[2:]]
    for reply in replies:
        assert reply.status < 300
        assert "Upload-Expires" not in reply
    assert read_head(tus.path(url, ".info"))["Expires"] == 0


@ids("EXPIRE-05")
def test_a_date_in_a_finished_record_means_nothing(tus):
    url = tus.finished(b"abc")
    forge(tus.path(url, ".info"), "Expires", 1)
    assert tus.offset(url) == 3
    assert tus.get(url).body == b"abc"


@ids("EXPIRE-06")
def test_partial_uploads_have_one(tus):
    url = tus.create(10, {"Upload-Concat": "partial"})
    assert "Upload-Expires" in tus.head(url)
    expire(tus, url)
    assert tus.head(url).status == 410


@ids("EXPIRE-07", "HEAD-07", "PATCH-08")
def test_an_expired_upload_is_410(tus):
    url = tus.create(10)
    tus.patch(url, 0, b"abc")
    expire(tus, url)
    for reply in (tus.head(url), tus.patch(url, 3, b"defg"),
                  tus.patch(url, 3), tus.patch(url, 9, b"x")):
        assert reply.status == 410
        assert "Upload-Offset" not in reply
        assert "Upload-Expires" not in reply
    assert tus.get(url).status in (404, 410)
    assert tus.data(url) == b"abc"
    assert tus.delete(url).status in (204, 410)


@ids("EXPIRE-07", "EXPIRE-01")
def test_time_really_runs_out(serve):
    tus = serve({"expiration": {"after": "1s"}})
    url = tus.create(10)
    assert tus.head(url).status == 200
    rig.wait_for(lambda: tus.head(url).status == 410, "the end", 8)
    assert tus.patch(url, 0, b"abc").status == 410


@ids("EXPIRE-08")
def test_sliding_an_accepted_patch_renews(tus):
    url = tus.create(10)

    def age():
        forge(tus.path(url, ".info"), "Expires", int(time.time()) + 1000)

    for body in (b"abc", b""):
        age()
        reply = tus.patch(url, tus.size(url), body)
        assert when(reply) - time.time() > 3000
        assert when(tus.head(url)) == when(reply)
    age()
    before = when(tus.head(url))
    assert tus.patch(url, 9, b"x").status == 409
    assert tus.patch(url, 3, b"x", {"Content-Type": "a/b"}).status == 415
    assert tus.patch(url, 3, b"12345678").status == 413
    assert tus.patch(url, 3, b"x", {
        "Upload-Checksum": "sha1 YQ=="}).status == 460
    assert tus.head(url).status == 200
    assert when(tus.head(url)) == before


@ids("EXPIRE-08")
def test_sliding_what_came_before_a_disconnect_renews(tus, streaming):
    url = tus.create(10)
    forge(tus.path(url, ".info"), "Expires", int(time.time()) + 1000)
    upload = tus.open_patch(url, 0, 10)
    upload.send(b"abc")
    tus.wait_offset(url, 3)
    upload.reset()
    assert tus.offset(url) == 3
    assert when(tus.head(url)) - time.time() > 3000


@ids("EXPIRE-08")
def test_fixed_nothing_renews(serve):
    tus = serve({"expiration": {"after": "1h", "mode": "fixed"}})
    url = tus.create(10)
    forge(tus.path(url, ".info"), "Expires", int(time.time()) + 1000)
    before = when(tus.head(url))
    assert when(tus.patch(url, 0, b"abc")) == before
    assert when(tus.head(url)) == before


@ids("EXPIRE-09")
def test_a_patch_in_flight_finishes(tus, streaming):
    url = tus.create(10)
    upload = tus.open_patch(url, 0, 10)
    upload.send(b"abc")
    tus.wait_offset(url, 3)
    forge(tus.path(url, ".info"), "Expires", int(time.time()) - 60)
    upload.send(b"defghij")
    upload.end()
    assert upload.reply().status == 204
    assert tus.get(url).body == b"abcdefghij"


@ids("EXPIRE-08", "EXPIRE-09", "COMMON-08")
@pytest.mark.parametrize("ask", ["HEAD", "PATCH"])
def test_sliding_who_resumes_a_long_patch_finds_it(tus, streaming, ask):
    """It took longer than the upload had time, then the link died; what came
    renews the time, so the upload is not gone."""
    url = tus.create(10)
    forge(tus.path(url, ".info"), "Expires", int(time.time()) + 1000)
    upload = tus.open_patch(url, 0, 10)
    upload.send(b"abc")
    tus.wait_offset(url, 3)
    forge(tus.path(url, ".info"), "Expires", int(time.time()) - 60)
    if ask == "HEAD":
        reply = tus.head(url)
        assert (reply.status, reply["Upload-Offset"]) == (200, "3")
    reply = tus.patch(url, 3, b"d")
    assert (reply.status, reply["Upload-Offset"]) == (204, "4")
    assert when(reply) - time.time() > 3000
    assert upload.reply().status == 423


@ids("EXPIRE-08", "EXPIRE-09")
def test_fixed_who_asks_does_not_disturb_a_long_patch(serve, streaming):
    """Nothing renews it, but it may still be finished."""
    tus = serve({"expiration": {"after": "1h", "mode": "fixed"}})
    url = tus.create(10)
    upload = tus.open_patch(url, 0, 10)
    upload.send(b"abc")
    tus.wait_offset(url, 3)
    forge(tus.path(url, ".info"), "Expires", int(time.time()) - 60)
    assert tus.head(url).status == 410
    assert tus.patch(url, 3, b"d").status == 410
    upload.send(b"defghij")
    upload.end()
    assert upload.reply().status == 204
    assert tus.get(url).body == b"abcdefghij"


def sweep(tus, *args):
    return subprocess.run(
        [rig.program("tusctl"), "-c", str(tus.server.config_path), "sweep",
         *args], capture_output=True, text=True, timeout=30)


@pytest.fixture
def tusctl():
    if not os.path.exists(rig.program("tusctl")):
        pytest.skip("no tusctl here")


@ids("EXPIRE-09", "EXPIRE-10")
def test_the_sweep_takes_expired_uploads_and_no_others(
        serve, tusctl, streaming):
    tus = serve({"expiration": {"after": "1h"}}, own=True)
    over, fresh, busy = tus.create(10), tus.create(10), tus.create(10)
    done = tus.finished(b"abc")
    upload = tus.open_patch(busy, 0, 10)
    upload.send(b"abc")
    tus.wait_offset(busy, 3)
    assert proc.holder(tus.path(busy, ".lock"))
    for url in (over, busy):
        forge(tus.path(url, ".info"), "Expires", int(time.time()) - 60)
    forge(tus.path(done, ".info"), "Expires", 1)
    result = sweep(tus)
    assert result.returncode == 0, result
    assert tus.head(over).status == 404
    assert not [f for f in tus.files() if f.startswith(tus.id(over))]
    upload.send(b"defghij")
    upload.end()
    assert upload.reply().status == 204
    for url in (fresh, busy, done):
        assert tus.head(url).status == 200


@ids("EXPIRE-10")
def test_no_acknowledged_byte_falls_to_a_sweep(serve, tusctl):
    """PATCHes renew while the sweep looks; 204 or 410, never a lost byte."""
    tus = serve({"expiration": {"after": "1h"}}, own=True)
    urls = [tus.create(100) for _ in range(20)]
    acknowledged = {}

    def patch():
        for url in urls:
            reply = tus.patch(url, 0, b"abc")
            assert reply.status in (204, 404, 410), reply
            acknowledged[url] = reply.status == 204

    for url in urls:
        forge(tus.path(url, ".info"), "Expires", int(time.time()))
    thread = threading.Thread(target=patch)
    thread.start()
    while thread.is_alive():
        assert sweep(tus).returncode == 0
    thread.join()
    assert len(acknowledged) == len(urls)
    for url, kept in acknowledged.items():
        if kept:
            assert tus.offset(url) == 3


@ids("EXPIRE-11")
def test_without_a_lifetime_there_is_no_end(serve):
    tus = serve()
    assert "expiration" not in tus.options().tokens("Tus-Extension")
    reply = tus.post({"Upload-Length": 10})
    url = reply["Location"]
    for reply in (reply, tus.patch(url, 0, b"abc"), tus.head(url)):
        assert "Upload-Expires" not in reply


@ids("EXPIRE-12")
def test_what_was_swept_does_not_come_back(tus, tusctl):
    """Whatever the clock says: the files are gone."""
    url = tus.create(10)
    expire(tus, url)
    assert sweep(tus).returncode == 0
    assert tus.head(url).status == 404
    assert not tus.path(url, ".info").exists()


@ids("EXPIRE-13")
def test_an_expired_part_makes_no_final_upload(tus):
    good = tus.partial(b"abc")
    part = tus.create(10, {"Upload-Concat": "partial"})
    expire(tus, part)
    with tus.nothing_created():
        for parts in (f"{good} {part}", part):
            reply = tus.post({"Upload-Concat": f"final;{parts}"})
            assert reply.status in (404, 410)
            assert "Location" not in reply

