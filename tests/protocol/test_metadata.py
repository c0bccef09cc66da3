"""META: Upload-Metadata."""

import base64
import os
from pathlib import Path

import pytest

from lib import proc

LETTERS = "abcdefghijklmnopqrstuvwxyz0"
ids = pytest.mark.ids
only = pytest.mark.only


def b64(data):
    return base64.b64encode(data).decode()


ACCEPTED = [
    ("META-01", "filename d29ybGQ=,is_confidential", None),
    ("META-02", "a", None),
    ("META-02", "a,b,c", None),
    ("META-03", "a ,b Yg==", None),
    ("META-08", "a YQ==, b Yg==", None),
    ("META-08", "a YQ== ,\tb Yg==", None),
    ("META-09", "a YQ==,", None),
    ("META-09", ",a YQ==,,b", None),
    ("META-13", "filename " + b64(b"x\r\nSet-Cookie: a=b"), None),
    ("META-13", "filename " + b64(b"a\0b"), None),
    ("META-13", "filename " + b64(b"\xff\xfe"), None),
    ("META-13", "filename " + b64(b'"; x="'), None),
    ("META-13", "filename " + b64(b"../../../etc/passwd"), None),
    ("META-14", "z eg==,a YQ==,m bQ==", None),
    ("META-15", "nonlatin c8WCb8WEY2U=", None),
    ("META-16", "a YQ==,A Yg==", None),
    ("META-01", "  a YQ==  ", "a YQ=="),
]


def cpu(pid):
    """Seconds of processor time of a pool, so far."""
    total = 0
    for one in [pid, *proc.children(pid)]:
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1]
        total += sum(map(int, fields.split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


@ids(*sorted({row[0] for row in ACCEPTED}))
@pytest.mark.parametrize("row", ACCEPTED, ids=lambda r: f"{r[0]}-{r[1][:20]}")
def test_metadata_that_is_accepted_is_echoed(tus, row):
    _, sent, echoed = row
    with_body = tus.create(3, {"Upload-Metadata": sent}, b"abc")
    for url in (tus.create(3, {"Upload-Metadata": sent}), with_body):
        assert tus.head(url)["Upload-Metadata"] == (echoed or sent)
    assert tus.get(with_body).status == 200


REFUSED = [
    ("META-04", "a YQ==,a Yg=="),
    ("META-04", "a,b,a"),
    ("META-06", "a YQ== aa"),
    ("META-06", "a b c"),
    ("META-07", "a !!!"),
    ("META-07", "a !!!!"),
    ("META-07", "a YQ"),
    ("META-07", "a Y-_="),
    ("META-07", "a Y=Q="),
    ("META-07", "a YQ==="),
    ("META-07", "a YQ==YQ=="),
    ("META-07", "a ="),
    ("META-07", "a ===="),
    ("META-11", "\u00e4 YQ=="),
    ("META-11", b"a\x7f YQ=="),
    ("META-11", b"\xff YQ=="),
]


@ids(*sorted({row[0] for row in REFUSED}))
@pytest.mark.parametrize("row", REFUSED, ids=lambda r: f"{r[0]}-{r[1]!r}")
def test_malformed_metadata_is_400(tus, row):
    # nginx itself refuses control characters.
    ours = tus.name == "fastcgi" or b"\x7f" not in (
        row[1] if isinstance(row[1], bytes) else b"")
    with tus.nothing_created():
        reply = tus.post({"Upload-Length": 1, "Upload-Metadata": row[1]},
                         is_ours=ours)
        assert reply.status == 400
        if ours:
            assert reply.code == "ERR_INVALID_METADATA"


@only("fastcgi")
@ids("META-11")
@pytest.mark.parametrize("key", [b"a\x01", b"\x1f", b"a\nb", b"\x7f"])
def test_a_control_character_in_a_key_is_400(tus, key):
    with tus.nothing_created():
        assert tus.post({"Upload-Length": 1,
                         "Upload-Metadata": key + b" YQ=="}).status == 400


@ids("META-05", "META-10")
@pytest.mark.parametrize("value", ["", " ", "\t ", ",", " , ,"])
def test_nothing_but_emptiness_is_no_metadata(tus, value):
    url = tus.create(3, {"Upload-Metadata": value})
    assert "Upload-Metadata" not in tus.head(url)


@ids("META-12")
def test_metadata_beyond_the_limit_is_431(serve):
    tus = serve()
    fits = "a " + "YWFh" * 1023
    assert tus.head(tus.create(1, {"Upload-Metadata": fits}))[
        "Upload-Metadata"] == fits
    with tus.nothing_created():
        reply = tus.post({"Upload-Length": 1,
                          "Upload-Metadata": fits + "YWFh"})
        assert (reply.status, reply.code) == (431, "ERR_METADATA_TOO_LARGE")
    more = serve({"max_metadata": 7000})
    long = "a " + "YWFh" * 1700
    assert more.head(more.create(1, {"Upload-Metadata": long}))[
        "Upload-Metadata"] == long


@only("fastcgi")
@ids("META-12")
def test_what_no_record_holds_is_431(serve):
    """Web servers stop at 8 KiB; a record has a bound nevertheless."""
    tus = serve({"max_metadata": 0})
    fits = "a " + "YWFh" * 5000
    assert tus.head(tus.create(1, {"Upload-Metadata": fits}))[
        "Upload-Metadata"] == fits
    part = tus.partial(b"abc")
    with tus.nothing_created():
        for headers in (
                {"Upload-Length": 1, "Upload-Metadata": "a " + "YWFh" * 50000},
                {"Upload-Concat": "final;" + " ".join(
                    ["http://" + "x" * 100 + part] * 1000)}):
            reply = tus.post(headers)
            assert (reply.status, reply.code) == (
                431, "ERR_METADATA_TOO_LARGE")


@ids("META-18")
def test_more_than_256_keys_are_431(tus):
    """A duplicate among them is found, as among few."""
    keys = [f"k{i}" for i in range(257)]
    fits = ",".join(keys[:256])
    assert tus.head(tus.create(1, {"Upload-Metadata": fits}))[
        "Upload-Metadata"] == fits
    for wrong, status in ((keys, 431), (keys[:255] + ["k7"], 400)):
        with tus.nothing_created():
            reply = tus.post({"Upload-Length": 1,
                              "Upload-Metadata": ",".join(wrong)})
            assert reply.status == status
            assert reply.code == ("ERR_METADATA_TOO_LARGE" if status == 431
                                  else "ERR_INVALID_METADATA")


@only("fastcgi")
@ids("META-18")
def test_many_keys_cost_no_time(serve):
    """Each was compared with every other: 1.6 s of processor time."""
    tus = serve({"max_metadata": 0}, own=True)
    short = [a + b + c for a in LETTERS for b in LETTERS for c in LETTERS]
    text = ",".join(short[:18592])
    pool = tus.server.app.pid
    before = cpu(pool)
    for _ in range(5):
        assert tus.post({"Upload-Length": 1,
                         "Upload-Metadata": text}).status == 431
    assert cpu(pool) - before < 1


@ids("META-13", "SEC-05")
def test_metadata_is_never_a_path(tus):
    name = b64(b"../../escaped")
    before = set(tus.server.dir.iterdir())
    url = tus.finished(b"abc", {
        "Upload-Metadata": f"filename {name},path {name},id {name}"})
    assert tus.data(url) == b"abc"
    assert set(tus.server.dir.iterdir()) == before


@ids("META-17")
def test_metadata_survives_a_restart(serve):
    tus = serve({"pool": {"min_spare": 4}}, own=True)
    value = "filename c8WCb8WEY2U=,empty ,bare"
    url = tus.create(3, {"Upload-Metadata": value})
    tus.server.stop_app()
    tus.server.start_app()
    for _ in range(12):
        assert tus.head(url)["Upload-Metadata"] == value
