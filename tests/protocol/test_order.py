"""COMMON-08: of several faults of one request, which one is answered.

Every two faults that fit into one request are tried together; the lists are
in the order of the checklist, so the first of the two must be the answer.
"""

import time
from itertools import combinations

import pytest

from lib import client, proc
from lib.record import forge

ids = pytest.mark.ids

UNKNOWN = "/files/" + "0" * 32
MAX = 1000


class Fault:
    """What is changed about a good request, and the answer to it alone.

    method, target, body: instead of the good ones; else header names, with
    "-" for "_".
    """

    def __init__(self, status, code, **change):
        self.status = status
        self.code = code
        self.change = {k.replace("_", "-"): v for k, v in change.items()}

    def __repr__(self):
        return f"{self.status} {self.change}"


def apply(good, *faults):
    request = dict(good)
    for fault in faults:
        request.update(fault.change)
    return request


def ask(tus, request):
    headers = {k: v for k, v in request.items()
               if k not in ("method", "target", "body", "length")}
    return tus.request(
        request["method"], request["target"], headers, request["body"],
        length=request.get("length"))


def check_order(tus, good, faults):
    """Each alone, or the pairs would prove nothing; then all pairs."""
    for fault in faults:
        reply = ask(tus, apply(good, fault))
        assert (reply.status, reply.code) == (fault.status, fault.code), fault
    tried = 0
    for first, second in combinations(faults, 2):
        if set(first.change) & set(second.change):
            continue
        reply = ask(tus, apply(good, second, first))
        assert (reply.status, reply.code) == (first.status, first.code), (
            first, second)
        tried += 1
    return tried


BEFORE_ALL = [
    Fault(405, "ERR_METHOD_NOT_ALLOWED", X_HTTP_Method_Override="FOO"),
    Fault(412, "ERR_UNSUPPORTED_VERSION", Tus_Resumable="0.1"),
]


@ids("COMMON-08")
def test_every_two_faults_of_a_patch(serve, streaming, freeze):
    # A stopped parking process would be ended after a while, with its lock.
    tus = serve({"max_size": MAX, "expiration": {"after": "1h"},
                 "lock": {"timeout": "1s"}, "pool": {"max_parked": 0}})
    url = tus.create(5)
    final = tus.create(headers={
        "Upload-Concat": f"final;{tus.partial(b'ab')}"})
    expired, locked = tus.create(5), tus.create(5)
    forge(tus.path(expired, ".info"), "Expires", int(time.time()) - 60)
    upload = tus.open_patch(locked, 0, 5)
    upload.send(b"ab")
    tus.wait_offset(locked, 2)
    freeze(proc.holder(tus.path(locked, ".lock")))
    good = {"method": "PATCH", "target": url, "body": b"12345",
            "Content-Type": client.BODY, "Upload-Offset": "0"}
    tried = check_order(tus, good, BEFORE_ALL + [
        Fault(404, "ERR_UPLOAD_NOT_FOUND", target="/files/a/b"),
        Fault(405, "ERR_METHOD_NOT_ALLOWED", target="/files/"),
        Fault(405, "ERR_METHOD_NOT_ALLOWED", method="PUT"),
        Fault(415, "ERR_INVALID_CONTENT_TYPE", Content_Type="text/plain"),
        Fault(400, "ERR_INVALID_OFFSET", Upload_Offset="x"),
        Fault(400, "ERR_INVALID_UPLOAD_LENGTH", Upload_Length="x"),
        Fault(423, "ERR_UPLOAD_LOCKED", target=locked),
        Fault(404, "ERR_UPLOAD_NOT_FOUND", target=UNKNOWN),
        Fault(410, "ERR_UPLOAD_GONE", target=expired),
        Fault(403, "ERR_MODIFY_FINAL", target=final),
        Fault(409, "ERR_MISMATCHED_OFFSET", Upload_Offset="3"),
        Fault(400, "ERR_INVALID_UPLOAD_LENGTH", Upload_Length="9"),
        Fault(413, "ERR_UPLOAD_SIZE_EXCEEDED", body=b"123456"),
        Fault(400, "ERR_INVALID_CHECKSUM", Upload_Checksum="x"),
        Fault(460, "ERR_CHECKSUM_MISMATCH", Upload_Checksum="sha1 YQ=="),
    ])
    assert tried > 60
    assert tus.size(url) == tus.size(expired) == 0
    assert ask(tus, good).status == 204
    upload.reset()


@ids("COMMON-08", "DEFER-09")
def test_every_two_faults_of_a_declaration(serve):
    tus = serve({"max_size": MAX})
    url = tus.create(headers={"Upload-Defer-Length": "1"})
    tus.patch(url, 0, b"12345")
    good = {"method": "PATCH", "target": url, "body": b"67",
            "Content-Type": client.BODY, "Upload-Offset": "5",
            "Upload-Length": "9"}
    with tus.unchanged(url):
        tried = check_order(tus, good, [
            Fault(409, "ERR_MISMATCHED_OFFSET", Upload_Offset="3"),
            Fault(400, "ERR_INVALID_UPLOAD_LENGTH", Upload_Length="4"),
            Fault(413, "ERR_MAX_SIZE_EXCEEDED", Upload_Length=MAX + 1),
            Fault(413, "ERR_UPLOAD_SIZE_EXCEEDED", body=b"67890"),
            Fault(400, "ERR_INVALID_CHECKSUM", Upload_Checksum="x"),
        ])
        assert tried == 9


@ids("COMMON-08")
def test_every_two_faults_of_a_creation(serve):
    tus = serve({"max_size": MAX})
    good = {"method": "POST", "target": "/files/", "body": b"12345",
            "Content-Type": client.BODY, "Upload-Length": "9"}
    with tus.nothing_created():
        tried = check_order(tus, good, BEFORE_ALL + [
            Fault(405, "ERR_METHOD_NOT_ALLOWED", target=UNKNOWN),
            Fault(415, "ERR_INVALID_CONTENT_TYPE", Content_Type="text/plain"),
            Fault(400, "ERR_INVALID_CONCAT", Upload_Concat="x"),
            Fault(400, "ERR_AMBIGUOUS_UPLOAD_LENGTH", Upload_Defer_Length="1"),
            Fault(400, "ERR_INVALID_UPLOAD_LENGTH", Upload_Length="x"),
            Fault(400, "ERR_INVALID_METADATA", Upload_Metadata="a !"),
            Fault(413, "ERR_MAX_SIZE_EXCEEDED", Upload_Length=MAX + 1),
            Fault(413, "ERR_UPLOAD_SIZE_EXCEEDED", body=b"1234567890"),
            Fault(400, "ERR_INVALID_CHECKSUM", Upload_Checksum="x"),
            Fault(460, "ERR_CHECKSUM_MISMATCH", Upload_Checksum="sha1 YQ=="),
        ])
    assert tried > 50
    assert ask(tus, good).status == 201


@ids("COMMON-08", "CKSUM-11", "CONCAT-10")
def test_every_two_faults_of_a_final_upload(serve):
    tus = serve({"max_size": MAX})
    part, plain = tus.partial(b"x" * 600), tus.finished(b"abc")
    good = {"method": "POST", "target": "/files/", "body": b"",
            "Content-Type": client.BODY, "Upload-Concat": f"final;{part}"}
    with tus.nothing_created():
        tried = check_order(tus, good, BEFORE_ALL + [
            Fault(405, "ERR_METHOD_NOT_ALLOWED", target=UNKNOWN),
            Fault(400, "ERR_INVALID_CONCAT", Upload_Concat="final;"),
            Fault(400, "ERR_INVALID_UPLOAD_LENGTH", Upload_Length="600"),
            Fault(400, "ERR_INVALID_METADATA", Upload_Metadata="a !"),
            Fault(403, "ERR_MODIFY_FINAL", body=b"x"),
            Fault(404, "ERR_UPLOAD_NOT_FOUND",
                  Upload_Concat=f"final;{part} {UNKNOWN}"),
            Fault(400, "ERR_INVALID_CONCAT",
                  Upload_Concat=f"final;{part} {plain}"),
            Fault(413, "ERR_MAX_SIZE_EXCEEDED",
                  Upload_Concat=f"final;{part} {part}"),
            # There is no body, and that is what a checksum is about.
            Fault(400, "ERR_INVALID_CHECKSUM", Upload_Checksum="x"),
            Fault(400, "ERR_CHECKSUM_ALGORITHM", Upload_Checksum="md9 YQ=="),
            Fault(460, "ERR_CHECKSUM_MISMATCH", Upload_Checksum="sha1 YQ=="),
        ])
    assert tried > 40
    good["Upload-Checksum"] = "sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="
    assert ask(tus, good).status == 201
