"""Owners, hooks, CORS, the log, the oldest version and plain uploads."""

import json
import re
import subprocess

import pytest

from lib import rig
from lib.rufh import limits, problem

ids = pytest.mark.ids

UNKNOWN = "/files/" + "0" * 32
GOOD, EVIL = "https://good.example", "https://evil.example"


@pytest.fixture
def straight(transport):
    """Skips where the web server decides what parameters there are."""
    if transport != "fastcgi":
        pytest.skip("the parameter is the web server's")


@ids("RUFH-99")
def test_other_peoples_uploads_do_not_exist(serve, straight):
    rufh = serve({"owner": {"param": "WHO", "require": True}})
    rufh.params = {"WHO": "joe"}
    url = rufh.create(5, b"abc")
    rufh.params = {"WHO": "ann"}
    for method in ("HEAD", "GET", "DELETE"):
        assert rufh.request(method, url, {
            "Upload-Draft-Interop-Version": 8}).status == 404
    assert rufh.patch(url, 3, b"de").status == 404
    rufh.params = {}
    assert rufh.post(True, b"abc").status == 403
    assert rufh.patch(url, 3, b"de").status == 403
    rufh.params = {"WHO": "joe"}
    assert rufh.patch(url, 3, b"de").status == 201


@ids("RUFH-99", "RUFH-36", "RUFH-92")
def test_a_quota_holds_for_both_protocols(serve, straight):
    rufh = serve({"owner": {"param": "WHO"}, "quota": {"bytes": "10"}})
    rufh.params = rufh.tus.params = {"WHO": "joe"}
    url = rufh.create(6, b"abc")
    with rufh.nothing_created():
        reply = rufh.post(True, b"12345")
        assert (reply.status, problem(reply)["code"]) == (
            413, "ERR_QUOTA_EXCEEDED")
        assert "Upload-Limit" not in reply
    assert rufh.tus.post({"Upload-Length": 5}).status == 413
    deferred = rufh.create(None, b"1234")
    with rufh.unchanged(deferred):
        assert rufh.patch(deferred, 4, b"5").status == 413
    assert rufh.patch(url, 3, b"def").status == 201
    assert rufh.delete(url).status == 204
    assert rufh.patch(deferred, 4, b"567890", True).status == 201


HOOK = """#!/bin/sh
name=${0##*/}
body=$(cat)
printf '%s\\n' "$body" >>"$(dirname "$0")/../told"
[ -f "$(dirname "$0")/../answer-$name" ] &&
	cat "$(dirname "$0")/../answer-$name"
exit 0
"""
EVENTS = ("pre-create", "post-create", "pre-finish", "post-finish",
          "pre-terminate", "post-terminate")


class Hooks:
    def __init__(self, folder):
        self.folder = folder
        (folder / "hooks").mkdir()
        for name in EVENTS:
            path = folder / "hooks" / name
            path.write_text(HOOK)
            path.chmod(0o755)

    def answer(self, name, what):
        path = self.folder / f"answer-{name}"
        if what is None:
            path.unlink()
        else:
            path.write_text(json.dumps(what))

    def told(self, n):
        path = self.folder / "told"

        def read():
            text = path.read_text() if path.exists() else ""
            lines = [line for line in text.splitlines() if line]
            return lines if len(lines) >= n else None

        return [json.loads(line) for line in
                rig.wait_for(read, f"{n} events")]


@pytest.fixture
def hooks(transport, tmp_path):
    if transport == "apache-fcgid":
        pytest.skip("Apache's user may not see our folder")
    return Hooks(tmp_path)


def with_hooks(serve, hooks, **config):
    return serve({"hooks": {"dir": str(hooks.folder / "hooks")}, **config},
                 own=True)


@ids("RUFH-100", "RUFH-22")
def test_hooks_are_told_in_the_order_of_tus(serve, hooks):
    rufh = with_hooks(serve, hooks)
    url = rufh.create(None, b"abc", {
        "Content-Disposition": "attachment; filename=a.txt",
        "X-Strange": "yes"})
    assert rufh.patch(url, 3, b"def", True).status == 201
    events = hooks.told(4)
    assert sorted(e["Type"] for e in events) == sorted(EVENTS[:4])
    events.sort(key=lambda e: EVENTS.index(e["Type"]))
    upload = events[0]["Event"]["Upload"]
    assert upload["SizeIsDeferred"] is True
    assert upload["MetaData"] == {"filename": "a.txt"}
    assert events[0]["Event"]["HTTPRequest"]["Header"]["X-Strange"] == ["yes"]
    assert events[3]["Event"]["Upload"]["Size"] == 6


@ids("RUFH-100", "RUFH-54")
def test_the_words_of_hooks_take_the_place_of_ours(serve, hooks):
    rufh = with_hooks(serve, hooks)
    hooks.answer("pre-finish", {"HTTPResponse": {
        "StatusCode": 202, "Header": {"X-From": "hook"}}})
    reply = rufh.post(True, b"abc")
    assert (reply.status, reply["X-From"], reply["Upload-Complete"]) == (
        202, "hook", "?1")
    hooks.answer("pre-create", {"RejectUpload": True, "HTTPResponse": {
        "StatusCode": 402, "Body": "pay first\n"}})
    upload = rufh.open("POST", None, {"Upload-Complete": "?1"}, 3,
                       is_ours=False)
    upload.send(b"abc")
    reply = upload.reply()
    assert (reply.status, reply.body, reply["Upload-Complete"],
            reply["Content-Type"]) == (402, b"pay first\n", "?0",
                                       "text/plain; charset=utf-8")


@ids("RUFH-100")
def test_what_a_hook_refuses_to_finish_is_not_complete(serve, hooks):
    rufh = with_hooks(serve, hooks)
    url = rufh.create(6, b"abc")
    hooks.answer("pre-finish", {"HTTPResponse": {"StatusCode": 422}})
    reply = rufh.patch(url, 3, b"def", True)
    assert (reply.status, reply["Upload-Complete"]) == (422, "?0")
    reply = rufh.head(url)
    assert (reply["Upload-Offset"], reply["Upload-Complete"]) == ("5", "?0")
    hooks.answer("pre-finish", None)
    assert rufh.patch(url, 5, b"f", True).status == 201
    hooks.answer("pre-finish", {"HTTPResponse": {"StatusCode": 422}})
    before = set(rufh.tus.files())
    assert rufh.post(True).status == 422
    assert set(rufh.tus.files()) <= before


@ids("RUFH-57", "RUFH-100")
def test_an_upload_that_ends_with_a_byte_too_many_is_told_of(serve, hooks):
    rufh = with_hooks(serve, hooks)
    url = rufh.create(6, b"abc")
    assert rufh.patch(url, 3, b"defg").status == 400
    # Two workers tell of what two requests did.
    assert sorted(e["Type"] for e in hooks.told(3)) == [
        "post-create", "post-terminate", "pre-create"]


@ids("RUFH-101", "RUFH-90")
def test_pages_of_other_origins(serve):
    rufh = serve({"cors": {"origins": [GOOD]}})
    reply = rufh.tus.request("OPTIONS", None, {
        "Tus-Resumable": None, "Origin": GOOD,
        "Access-Control-Request-Method": "PUT"})
    assert "PUT" in reply.tokens("Access-Control-Allow-Methods")
    assert {"Content-Encoding", "Want-Repr-Digest", "Upload-Complete",
            "Content-Disposition", "Content-Digest", "Repr-Digest",
            "Upload-Draft-Interop-Version"} <= set(
                reply.tokens("Access-Control-Allow-Headers"))
    url = rufh.create(5)
    for reply in (rufh.head(url, {"Origin": GOOD}),
                  rufh.patch(url, 3, b"x", False, {"Origin": GOOD}),
                  rufh.post(True, b"x", {"Origin": GOOD})):
        assert reply["Access-Control-Allow-Origin"] == GOOD
        assert {"Upload-Complete", "Upload-Limit", "Repr-Digest", "Location",
                "Content-Disposition"} <= set(
                    reply.tokens("Access-Control-Expose-Headers"))
    with rufh.nothing_created():
        reply = rufh.post(True, b"x", {"Origin": EVIL})
        assert (reply.status, reply["Upload-Complete"]) == (403, "?0")


@ids("RUFH-103")
def test_the_log_says_which_protocol_it_was(serve):
    rufh = serve(own=True)
    rufh.head(UNKNOWN, {"Upload-Draft-Interop-Version": 6})
    rufh.post(True, b"abc")
    rufh.tus.head(UNKNOWN)

    def lines():
        found = [line for line in rufh.server.log().splitlines()
                 if " method=" in line]
        return found if len(found) == 3 else None

    first, second, third = rig.wait_for(lines, "three lines")
    assert " proto=rufh n=6" in first
    assert " proto=rufh " in second and " n=" not in second
    assert " proto=tus " in third


@ids("RUFH-103")
def test_the_metrics_count_by_protocol(serve, straight):
    rufh = serve({"metrics": {"enabled": True}}, own=True)
    rufh.post(True, b"abc")
    rufh.post(True, b"abc")
    rufh.tus.options()
    text = rufh.tus.request("GET", "/metrics", is_ours=False).body.decode()
    counts = dict(re.findall(
        r'_requests_by_protocol_total\{protocol="(\w+)"\} (\d+)', text))
    assert counts == {"rufh": "2", "tus": "1"}


@ids("RUFH-103")
def test_t_says_which_protocols_are_spoken(serve):
    for is_on, said in ((True, "tus, rufh"), (False, "tus")):
        rufh = serve({"rufh": {"enable": is_on}})
        out = subprocess.run(
            [rig.program(), "-t", "-c", str(rufh.server.config_path)],
            capture_output=True, text=True, check=True).stdout
        assert re.search(f"^protocols +{said}$", out, re.M), out


@ids("RUFH-98")
def test_the_oldest_version_says_incomplete(rufh):
    rufh.headers = {"Upload-Draft-Interop-Version": 3}
    reply = rufh.request("POST", None, {"Upload-Incomplete": "?1"}, b"abc",
                         is_ours=False)
    assert (reply.status, reply["Upload-Incomplete"]) == (201, "?1")
    assert "Upload-Complete" not in reply
    url = reply["Location"]
    reply = rufh.request("PATCH", url, {
        "Upload-Offset": 3, "Upload-Incomplete": "?1"}, b"d")
    assert (reply.status, reply["Upload-Incomplete"]) == (204, "?1")
    reply = rufh.head(url)
    assert (reply["Upload-Incomplete"], reply["Upload-Offset"]) == ("?1", "4")
    reply = rufh.request("PATCH", url, {"Upload-Offset": 4}, b"e")
    assert (reply.status, reply["Upload-Incomplete"]) == (201, "?0")
    assert reply["Upload-Draft-Interop-Version"] == "3"
    reply = rufh.request("POST", None, {"Upload-Incomplete": "?0"}, b"abc")
    assert (reply.status, reply["Upload-Incomplete"]) == (201, "?0")


@ids("RUFH-102")
def test_a_plain_upload(serve):
    rufh = serve({"rufh": {"plain": True}})
    for method in ("POST", "PUT"):
        reply = rufh.request(method, None, {"Content-Type": "text/plain"},
                             b"abc")
        assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
        assert rufh.data(reply["Location"]) == b"abc"
    with rufh.nothing_created():
        for kind in (None, "multipart/form-data; boundary=x",
                     "application/x-www-form-urlencoded"):
            reply = rufh.request("POST", None, {"Content-Type": kind}, b"abc")
            assert reply.status == 415
        for name in (UNKNOWN, "/files/a.txt"):
            reply = rufh.request("PUT", name, {"Content-Type": "text/plain"},
                                 b"abc")
            assert reply.status == 404
        rufh.tus.headers = {}
        assert rufh.tus.post({"Upload-Length": 3}, b"abc").status == 412


@ids("RUFH-102")
def test_a_plain_upload_of_a_page(serve):
    own = "http://127.0.0.1:%d"
    for origins, may in (([], ()), ([GOOD], (GOOD,)), (["*"], (GOOD, EVIL))):
        config = {"cors": {"origins": origins}} if origins else {}
        rufh = serve({"rufh": {"plain": True}, **config})
        for origin in (GOOD, EVIL, own % rufh.server.port):
            reply = rufh.request("POST", None, {
                "Content-Type": "text/plain", "Origin": origin}, b"abc")
            wanted = 201 if origin in may or "*" in origins else 403
            assert reply.status == wanted, (origins, origin)


@ids("RUFH-102", "RUFH-01")
def test_a_plain_upload_is_412_unless_it_is_wanted(rufh):
    rufh.tus.headers = {}
    with rufh.nothing_created():
        assert rufh.tus.post({"Content-Type": "text/plain"},
                             b"abc").status == 412


@ids("RUFH-36")
def test_ids_are_those_of_the_server(rufh):
    seen = {rufh.create(5) for _ in range(20)}
    assert len(seen) == 20


@ids("RUFH-45", "RUFH-70")
def test_limits_are_those_of_the_upload(serve, hooks):
    rufh = with_hooks(serve, hooks, max_size=100)
    hooks.answer("pre-create", {"ChangeFileInfo": {"MaxSize": 10}})
    reply = rufh.post(False, b"abc")
    assert limits(reply)["max-size"] == 10
    reply = rufh.patch(reply["Location"], 3, b"x" * 8)
    assert (reply.status, limits(reply)["max-size"]) == (413, 10)
