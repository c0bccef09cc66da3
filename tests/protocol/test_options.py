"""OPT: what the server says it can do."""

import re

import pytest

from lib import client, proc

ids = pytest.mark.ids

ALL = ("creation,creation-with-upload,creation-defer-length,checksum,"
       "termination,concatenation")


@ids("OPT-01", "OPT-08")
def test_options_needs_no_version(tus):
    for url in ("/files/", "/files"):
        reply = tus.options(url, {"Tus-Resumable": None})
        assert reply.status == 200
        assert reply["Tus-Version"] == "1.0.0"
        assert reply["Content-Length"] == "0"


@ids("OPT-02")
def test_options_ignores_the_version(tus):
    for version in ("9.9.9", "", "foo"):
        reply = tus.options(headers={"Tus-Resumable": version})
        assert (reply.status, reply["Tus-Version"]) == (200, "1.0.0")


EXTENSIONS = [
    ({}, ALL),
    ({"expiration": {"after": "1h"}}, ALL.replace(
        "checksum", "expiration,checksum")),
    ({"extensions": {"termination": False}},
     ALL.replace(",termination", "")),
    ({"extensions": {"concatenation": False}},
     ALL.replace(",concatenation", "")),
    ({"extensions": {"checksum": False}}, ALL.replace(",checksum", "")),
    ({"extensions": {"defer_length": False}},
     ALL.replace(",creation-defer-length", "")),
]


@ids("OPT-03", "OPT-07")
@pytest.mark.parametrize("config, names", EXTENSIONS)
def test_exactly_the_enabled_extensions_are_listed(serve, config, names):
    assert serve(config).options()["Tus-Extension"] == names


@ids("OPT-04")
def test_the_maximum_is_told_if_there_is_one(serve):
    assert "Tus-Max-Size" not in serve().options()
    reply = serve({"max_size": "1M"}).options()
    assert reply["Tus-Max-Size"] == "1048576"


@ids("OPT-05")
def test_the_checksum_algorithms_are_told_if_there_are_any(serve):
    value = serve().options()["Tus-Checksum-Algorithm"]
    assert re.fullmatch(r"[a-z0-9-]+(,[a-z0-9-]+)*", value)
    assert "sha1" in value.split(",")
    off = serve({"extensions": {"checksum": False}})
    assert "Tus-Checksum-Algorithm" not in off.options()
    some = serve({"checksum": {"algorithms": ["sha1", "crc32"]}})
    assert some.options()["Tus-Checksum-Algorithm"] == "sha1,crc32"


@ids("OPT-06")
def test_options_does_not_depend_on_existence(tus):
    url = tus.create(1)
    same = [[(n, v) for n, v in tus.options(target).headers if n != "Date"]
            for target in (url, "/files/" + "0" * 32)]
    assert same[0] == same[1]
    # What is attached to the collection is another matter.
    for target in ("/files/", "/files/a.b"):
        reply = tus.options(target)
        assert reply.status == 200
        assert [h for h in reply.headers if h[0] not in ("Date", "Allow")] == \
            [h for h in same[0] if h[0] != "Allow"]
    assert not tus.path(url, ".lock").exists()


@ids("OPT-06", "LOCK-10")
def test_options_takes_no_lock(tus, streaming):
    url = tus.create(10)
    upload = tus.open_patch(url, 0, 5)
    upload.send(b"abc")
    tus.wait_offset(url, 3)
    assert proc.holder(tus.path(url, ".lock"))
    assert tus.options(url).status == 200
    assert tus.get(url).status == 404
    upload.send(b"de")
    upload.end()
    assert upload.reply()["Upload-Offset"] == "5"


@ids("OPT-07")
def test_a_disabled_extension_is_inert(serve):
    tus = serve({"extensions": {
        "checksum": False, "defer_length": False, "termination": False}})
    url = tus.create(10)
    assert tus.patch(url, 0, b"x", {
        "Upload-Checksum": "sha1 YQ=="}).status == 204
    assert tus.delete(url).status == 405
    assert tus.post({"Upload-Defer-Length": "1"}).status == 400
    assert "checksum-trailer" not in serve().options().tokens("Tus-Extension")


@ids("OPT-09")
def test_options_says_which_methods_there_are(serve):
    """As 405 would, and in which format a PATCH must be."""
    for config in ({}, {"extensions": {"termination": False}},
                   {"extensions": {"download": False}}):
        tus = serve(config)
        for target in ("/files/", tus.create(1), "/files/" + "0" * 32):
            reply = tus.options(target)
            assert reply["Allow"] == tus.request("PUT", target)["Allow"]
            assert reply["Accept-Patch"] == client.BODY
    assert "Accept-Patch" not in tus.request("PUT", "/files/")
