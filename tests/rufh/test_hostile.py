"""Requests of clients that mean harm: each is refused or without effect, and the
upload stays as it was."""

import re

import pytest

from lib import proc
from lib.rufh import PARTIAL, problem

ids = pytest.mark.ids
only = pytest.mark.only

ENDLESS = (1 << 63) - 1
MARK = {"Upload-Draft-Interop-Version": 8}
KIB = 1024


@pytest.fixture
def endless(serve):
    """Where a length need not fit into what is free."""
    return serve({"store": {"overcommit": "always"}})


def announced(rufh, method, url, headers, length):
    """The reply to a body that is announced, and of which nothing comes."""
    return rufh.open(method, url, headers, length).reply()


# --- Lengths -----------------------------------------------------------------

@ids("RUFH-56", "RUFH-57", "RUFH-65")
@only("fastcgi")
@pytest.mark.parametrize("mark", ["?0", "?1"])
def test_a_body_whose_end_no_number_has(endless, mark):
    """It would end beyond 2^63, and a sum of that is below zero."""
    headers = {"Content-Type": PARTIAL, "Upload-Offset": 3,
               "Upload-Complete": mark}
    url = endless.create(None, b"abc")
    with endless.unchanged(url):
        reply = announced(endless, "PATCH", url, headers, ENDLESS)
        assert reply.status == 413
    url = endless.create(10, b"abc")
    reply = announced(endless, "PATCH", url, headers, ENDLESS)
    assert (reply.status, problem(reply)["type"].partition("#")[2]) == (
        400, "inconsistent-upload-length")
    assert endless.head(url, MARK).status == 404
    whole = endless.finished(b"abc")
    with endless.unchanged(whole):
        assert announced(endless, "PATCH", whole, headers,
                         ENDLESS).status == 400


@ids("RUFH-25", "RUFH-26", "RUFH-29", "RUFH-34")
@pytest.mark.parametrize("complete, body, headers, status", [
    ("?1", b"abc", {"Upload-Length": 4}, 400),
    ("?1", b"abc", {"Upload-Length": 2}, 400),
    ("?1", b"", {"Upload-Length": 1}, 400),
    ("?0", b"abc", {"Upload-Length": 2}, 400),
    ("?0", b"abc", {"Upload-Length": 0}, 400),
    ("?0", b"", {"Upload-Offset": 1}, 400),
    ("?0", b"", {"Upload-Offset": 999999999999999}, 400),
    ("?0", b"", {"Upload-Length": 999999999999999}, 413),
    # Too many digits, or no number: then it is not there.
    ("?0", b"", {"Upload-Length": 10 ** 15}, 201),
    ("?0", b"", {"Upload-Length": -1, "Upload-Offset": "-1"}, 201),
    ("?0", b"", {"Upload-Length": "9" * 4000}, 201)])
def test_a_creation_that_contradicts_itself(serve, complete, body, headers,
                                            status):
    rufh = serve({"max_size": "1G"})
    before = set(rufh.tus.files())
    reply = rufh.post(complete, body, headers)
    assert reply.status == status, reply
    assert status == 201 or set(rufh.tus.files()) == before


@ids("RUFH-52", "RUFH-55", "RUFH-56", "RUFH-61")
@pytest.mark.parametrize("complete, body, headers, status", [
    ("?0", b"", {}, 204),
    ("?1", b"", {}, 400),
    ("?1", b"d", {}, 400),
    ("?0", b"d", {"Upload-Length": 9}, 400),
    ("?0", b"d", {"Upload-Length": 2}, 400),
    ("?1", b"d", {"Upload-Length": 4}, 400),
    ("?0", b"", {"Upload-Offset": 4, "Upload-Length": 2}, 409),
    ("?1", b"x" * 99, {"Upload-Offset": 2}, 409),
    ("?0", b"d", {"Upload-Offset": "3, 3"}, 400),
    ("?0", b"d", {"Upload-Offset": 10 ** 15}, 400),
    ("?0, ?0", b"d", {}, 400),
    ("?0;", b"d", {}, 400)])
def test_an_append_that_contradicts_itself(rufh, complete, body, headers,
                                           status):
    url = rufh.create(10, b"abc")
    with rufh.unchanged(url):
        reply = rufh.patch(url, 3, body, complete, headers)
        assert reply.status == status, reply


@ids("RUFH-13", "RUFH-82")
@only("fastcgi")
def test_a_field_on_several_lines(rufh):
    url = rufh.create(10, b"abc")
    with rufh.unchanged(url):
        for name, values in (("Upload-Complete", ["?0", "?1"]),
                             ("Upload-Complete", ["?0", "?0"]),
                             ("Upload-Offset", [3, 3])):
            assert rufh.patch(url, 3, b"d", False,
                              {name: values}).status == 400
        # These are one Dictionary, of which one algorithm is enough.
        wrong = "sha-512=:" + "A" * 86 + "==:"
        assert rufh.patch(url, 3, b"d", False, {
            "Content-Digest": ["md5=:AAAA:", wrong]}).status == 400


# --- Fields as long as a web server lets them be -----------------------------

def peak(rufh):
    """KiB that the hungriest of the workers ever had."""
    return max(int(re.search(
        r"^VmHWM:\s+(\d+) kB$", open(f"/proc/{pid}/status").read(), re.M)[1])
        for pid in proc.workers(rufh.server.app.pid))




@ids("RUFH-12", "RUFH-31")
@only("fastcgi")
@pytest.mark.parametrize("field, value, part", [
    ("Upload-Complete", "?1", ';a=""'), ("Upload-Complete", "?1", ';a=%""'),
    ("Upload-Length", "1", ';a=""'), ("Content-Digest", "a", ';a=""'),
    ("Content-Digest", 'a=("" "")', ';a=""'),
    ("Content-Disposition", "attachment", ';a=""'),
    ("Content-Disposition", "attachment", ";filename*=UTF-8''%00")])
def test_memory_grows_with_a_field_and_not_with_its_square(
        serve, field, value, part):
    rufh = serve(own=True)
    assert rufh.post(True, b"abc").status == 201
    before = peak(rufh)
    text = value + part * (60 * KIB // len(part))
    for _ in range(20):
        reply = rufh.post(True, b"a", {field: text})
        assert reply.status == 201, reply
    assert peak(rufh) - before < 32 * KIB


@ids("RUFH-84", "RUFH-62")
def test_a_file_is_read_for_its_digest_once(rufh):
    """Or whoever asks again and again makes the server do nothing else."""
    want = {"Want-Repr-Digest": "sha-256=1"}
    url = rufh.create(3)
    assert "Repr-Digest" in rufh.patch(url, 0, b"abc", True, want)
    for _ in range(2):
        reply = rufh.patch(url, 3, b"", True, want)
        assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
        assert "Repr-Digest" not in reply
