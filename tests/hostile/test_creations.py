"""A creation that is still receiving its bytes belongs to nobody else.

Its record is there before the last byte, so that whoever walks the store, or
was told the id by a hook, finds an upload that looks abandoned, expired, or
full of bytes that were never verified.
"""

import base64
import hashlib
import re
import time

import pytest

from lib import rig
from .conftest import tusctl

BODY = bytes(range(251)) * 12000
HALF = 2 << 20
OWNER = {"TUS_OWNER": "joe"}


class Creation:
    """A POST whose body has come half way."""

    def __init__(self, one, headers, extra=None):
        before = set(one.uploads.glob("*.info"))
        self.one = one
        self.stream = one.client.open("POST", "/files", {
            "Content-Type": "application/offset+octet-stream", **headers},
            length=len(BODY), extra=extra)
        self.stream.send(BODY[:HALF])
        rig.wait_for(lambda: set(one.uploads.glob("*.info")) - before,
                     "the record")
        [record] = set(one.uploads.glob("*.info")) - before
        self.path = "/files/" + record.stem
        one.wait_for_bytes(self.path, HALF)

    def finish(self):
        self.stream.send(BODY[HALF:])
        answer = self.stream.finish()
        self.stream.close()
        return answer

    def data(self):
        return (self.one.uploads / self.path[len("/files/"):]).read_bytes()


def checked():
    digest = base64.b64encode(hashlib.sha1(BODY).digest()).decode()
    return {"Upload-Length": str(len(BODY)),
            "Upload-Checksum": "sha1 " + digest}


def settle(one, path):
    assert "1 in use" in tusctl(one, "settle").stdout


def sweep(one, path):
    assert "in use" in tusctl(one, "sweep", "--older-than", "0").stdout


def remove(one, path):
    assert "in use" in tusctl(one, "rm", path[len("/files/"):]).stderr


def head(one, path):
    assert one.client.head(path).status == 423


def patch(one, path):
    assert one.client.patch(path, HALF, b"").status == 423


def delete(one, path):
    assert one.client.request("DELETE", path).status == 423


@pytest.mark.parametrize("visit", [
    settle, sweep, remove, head, patch, delete])
def test_nobody_gets_at_what_a_creation_writes(app, visit):
    one = app(config={"lock": {"timeout": "300ms"}})
    creation = Creation(one, checked())
    # A second old, for those who look at what nobody wrote to lately.
    time.sleep(1.1 if visit is sweep else 0)
    visit(one, creation.path)
    answer = creation.finish()
    assert answer.status == 201, answer
    assert answer.headers["upload-offset"] == str(len(BODY))
    assert one.client.offset(creation.path) == len(BODY)
    assert creation.data() == BODY


def test_a_creation_that_takes_longer_than_an_upload_has_is_kept(app):
    one = app(config={"expiration": {"after": "1s"}})
    creation = Creation(one, checked())
    time.sleep(2.1)
    assert "in use" in tusctl(one, "sweep").stdout
    assert creation.finish().status == 201
    assert one.client.offset(creation.path) == len(BODY)


def test_what_a_creation_has_reserved_stays_reserved(app):
    """A sweep enters what an upload of unknown length has, not what it is
    about to get."""
    one = app(config={"quota": {"bytes": "4M"},
                      "owner": {"param": "TUS_OWNER"}})
    creation = Creation(one, {"Upload-Defer-Length": "1"}, OWNER)
    tusctl(one, "sweep")
    other = one.client.request(
        "POST", "/files", {"Upload-Length": "2000000"},
        extra=OWNER)
    assert other.status == 413, other
    assert creation.finish().status == 201
    names = [p.name for p in one.uploads.glob(".quota/*/*.*")]
    assert [int(re.sub(r".*\.", "", n)) for n in names] == [len(BODY)]
