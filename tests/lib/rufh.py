"""A client of the IETF's Resumable Uploads for HTTP, as exact as lib/client.

    r = rufh.Rufh(server, "nginx")
    url = r.create(length=9)
    assert r.patch(url, 0, b"123456789", True).status == 201
    r.tus is a client that speaks tus to the same server

Every reply that tusfcgi made is held against what rufh.md wants of each.
"""

import json
import re

from lib import client

PARTIAL = "application/partial-upload"
PROBLEM = "application/problem+json"
TYPES = "https://iana.org/assignments/http-problem-types#"
ALIEN = ("Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size",
         "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat",
         "Upload-Expires")


def problem(reply):
    """The problem document of a refusal."""
    assert reply["Content-Type"] == PROBLEM, reply
    assert reply.body.endswith(b"}\n") and reply.body.count(b"\n") == 1, reply
    return json.loads(reply.body)


def limits(reply):
    """Upload-Limit as a dictionary."""
    value = reply["Upload-Limit"]
    if value is None:
        return None
    assert re.fullmatch(r"[a-z-]+=\d{1,15}(, [a-z-]+=\d{1,15})*", value), value
    return {k: int(v) for k, _, v in
            (member.partition("=") for member in value.split(", "))}


def check(reply, method):
    """What holds for every response to a request of this protocol."""
    for name in ALIEN:
        assert name not in reply, f"{name}: {reply}"
    assert reply.all("X-Content-Type-Options") == ["nosniff"], reply
    names = [name.lower() for name, _ in reply.headers]
    assert len(names) == len(set(names)), f"a header twice: {reply}"
    if method == "HEAD" or reply.status in (204, 304):
        assert reply.body == b"", reply
        assert reply["Content-Length"] in (None, "0") or "ETag" in reply, reply
        assert reply.status != 204 or "Content-Type" not in reply, reply
    else:
        assert reply["Content-Length"] == str(len(reply.body)), reply
    if reply.status >= 400 and method != "HEAD":
        document = problem(reply)
        assert document["status"] == reply.status, reply
        assert re.fullmatch("ERR_[A-Z_]+", document["code"]), reply
        assert document["title"] and set(document) >= {"type", "title"}, reply
        assert not re.search(rb"[0-9a-f]{32}|/(var|tmp|home|srv)/",
                             reply.body), reply
    if reply.status >= 400 and method in ("POST", "PUT", "PATCH"):
        assert reply["Upload-Complete"] == "?0", reply
    if method != "OPTIONS" and "ETag" not in reply:
        assert reply["Cache-Control"] == "no-store", reply
    if reply.status == 405:
        assert "Allow" in reply, reply
    if reply.status == 423:
        assert reply["Retry-After"] == "1", reply
    if reply["Upload-Limit"] is not None:
        assert list(limits(reply).items())[0] == ("min-size", 0), reply


class Exchange(client.Exchange):
    """Skips 104 and keeps it in interim."""

    def reply(self):
        try:
            reply = self.inner.reply()
        finally:
            self.inner.close()
        if self.is_ours:
            check(reply, self.method)
        return reply


def complete(value):
    return {None: None, True: "?1", False: "?0"}.get(value, value)


class Rufh:
    """One server, spoken to by one transport."""

    def __init__(self, server, transport):
        self.server = server
        self.tus = client.Tus(server, transport)
        self.transport = self.tus.transport
        self.base = self.tus.base
        self.headers = {}
        self.params = {}

    def open(self, method, url=None, headers=None, length=None, params=None,
             is_ours=True, timeout=60.0):
        """As client.Tus.open()."""
        merged = {**self.headers, **(headers or {})}
        target = client.target_of(url if url is not None else self.base + "/")
        override = str(merged.get("X-HTTP-Method-Override") or "")
        return Exchange(
            self.transport.exchange(
                self.server, method, target, client.expand(merged), length,
                timeout, {**self.params, **(params or {})}),
            client.override_of(method, override.strip(" \t")), is_ours)

    def request(self, method, url=None, headers=None, body=None, length=None,
                **options):
        """A whole request.  length: what to announce instead of the truth."""
        if length is None and (body is not None or method in (
                "POST", "PATCH", "PUT")):
            length = len(body or b"")
        exchange = self.open(method, url, headers, length, **options)
        exchange.send(body or b"")
        exchange.end()
        return exchange.reply()

    def post(self, is_complete, body=b"", headers=None, **options):
        return self.request("POST", None, {
            "Upload-Complete": complete(is_complete), **(headers or {})},
            body, **options)

    def patch(self, url, offset, body=b"", is_complete=False, headers=None,
              **options):
        return self.request("PATCH", url, self.patch_headers(
            offset, is_complete, headers), body, **options)

    def open_patch(self, url, offset, length, is_complete=False, headers=None,
                   **options):
        return self.open("PATCH", url, self.patch_headers(
            offset, is_complete, headers), length, **options)

    @staticmethod
    def patch_headers(offset, is_complete, headers=None):
        return {"Content-Type": PARTIAL, "Upload-Offset": offset,
                "Upload-Complete": complete(is_complete), **(headers or {})}

    def head(self, url, headers=None, **options):
        return self.request("HEAD", url, headers, **options)

    def get(self, url, headers=None, **options):
        return self.request("GET", url, headers, **options)

    def delete(self, url, headers=None, **options):
        return self.request("DELETE", url, headers, **options)

    def create(self, length=None, body=b"", headers=None):
        """The path of a new upload that is not complete."""
        wanted = {} if length is None else {"Upload-Length": length}
        reply = self.post(False, body, {**wanted, **(headers or {})})
        assert reply.status == 201, reply
        return client.target_of(reply["Location"])

    def finished(self, data, headers=None):
        reply = self.post(True, data, headers)
        assert (reply.status, reply["Upload-Complete"]) == (201, "?1"), reply
        return client.target_of(reply["Location"])

    # What is on the disk.

    def path(self, url, suffix=""):
        return self.tus.path(url, suffix)

    def data(self, url):
        return self.tus.data(url)

    def state(self, url):
        """All that HEAD and the disk show of an upload."""
        reply = self.head(url, {"Upload-Draft-Interop-Version": 8})
        return (reply.status, reply["Upload-Offset"], reply["Upload-Length"],
                reply["Upload-Complete"],
                self.data(url) if self.path(url).exists() else None)

    def unchanged(self, url):
        return Unchanged(self, url)

    def nothing_created(self):
        return self.tus.nothing_created()


class Unchanged:
    """Whatever happens inside must leave the upload as it was."""

    def __init__(self, who, url):
        self.who, self.url = who, url

    def __enter__(self):
        self.before = self.who.state(self.url)

    def __exit__(self, kind, *_):
        if kind is None:
            assert self.who.state(self.url) == self.before
