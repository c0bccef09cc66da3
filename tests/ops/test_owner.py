"""Two users of one web server, each with the uploads of their own."""

import os

import pytest

from lib import fronts, rig
from lib.logins import (JOE, NOBODY, PATCH, SUE, ask, create, login,
                        whole)


@pytest.fixture
def site(asking):
    """A web server that asks for passwords, as our snippets show how."""
    return asking({})


def test_nobody_sees_what_belongs_to_somebody_else(site):
    begun = create(site, JOE, 5)
    done = whole(site, JOE, b"hello")
    for url in (begun, done):
        assert ask("HEAD", url, JOE)[0] == 200
        for who, status in ((SUE, 404), (NOBODY, 401)):
            assert ask("HEAD", url, who)[0] == status
            assert ask("GET", url, who)[0] == status
            assert ask("DELETE", url, who)[0] == status
            assert ask("PATCH", url, who, {**PATCH, "Upload-Offset": "0"},
                       b"HELLO")[0] == status
    assert ask("HEAD", begun, JOE)[1]["Upload-Offset"] == "0"
    assert ask("GET", done, JOE)[2] == b"hello"
    assert ask("DELETE", done, JOE)[0] == 204


def test_the_override_of_a_method_opens_no_door(site):
    begun, done = create(site, JOE, 5), whole(site, JOE, b"hello")
    for method in ("HEAD", "DELETE", "PATCH", "GET"):
        for url in (begun, done):
            headers = {"X-HTTP-Method-Override": method, **PATCH,
                       "Upload-Offset": "0"}
            assert ask("POST", url, SUE, headers, b"HELLO")[0] == 404
            assert ask("POST", url, NOBODY, headers, b"HELLO")[0] == 401
    assert ask("HEAD", begun, JOE)[1]["Upload-Offset"] == "0"
    assert ask("GET", done, JOE)[2] == b"hello"


# What tries to be more than it is: everything but what writes.
DOORS = [(came, name) for came in ("OPTIONS", "GET", "HEAD", "TRACE")
         for name in ("POST", "PATCH", "DELETE", "GET", "HEAD")]


def test_what_is_let_in_without_a_password_reads_and_writes_nothing(site):
    """Our snippets ask for none where OPTIONS comes; and a name that was not
    checked is nobody's name."""
    begun, done = create(site, JOE, 5), whole(site, JOE, b"hello")
    before = sorted(p.name for p in site.uploads.iterdir())
    for came, name in DOORS:
        headers = {"X-HTTP-Method-Override": name, **PATCH,
                   "Upload-Offset": "0", "Upload-Length": "5"}
        for who in (NOBODY, SUE, login("joe", "wrong")):
            url = site.url if name == "POST" else done
            status, answer, body = ask(came, url, who, headers)
            # Apache shows what a TRACE was, without asking anybody.
            assert status in (401, 403, 404, 405) or (
                came == "TRACE" and "Tus-Resumable" not in answer)
            assert b"hello" not in body
            assert "Location" not in answer
            assert "Upload-Offset" not in answer
    assert sorted(p.name for p in site.uploads.iterdir()) == before
    assert ask("HEAD", begun, JOE)[1]["Upload-Offset"] == "0"
    assert ask("GET", done, JOE)[2] == b"hello"
    status, answer, _ = ask("OPTIONS", done, NOBODY)
    assert (status, answer["Tus-Version"]) == (200, "1.0.0")


def test_no_header_of_a_client_is_a_parameter_of_the_web_server(site):
    """In whatever spelling: they all begin with HTTP_ when we see them."""
    theirs = whole(site, JOE, b"hello")
    names = ["TUS_OWNER", "REMOTE_USER", "REDIRECT_TUS_OWNER",
             "REDIRECT_REMOTE_USER", "HTTP_TUS_OWNER", "HTTP_REMOTE_USER",
             "HTTP_HTTP_TUS_OWNER"]
    names += [n.replace("_", "-") for n in names]
    for headers in ({name: "joe" for name in names},
                    *({name: "joe"} for name in names[:2])):
        for who in (SUE, NOBODY):
            for method in ("HEAD", "GET", "DELETE"):
                status, answer, body = ask(method, theirs, who, headers)
                assert status in (400, 401, 403, 404), (method, status)
                assert b"hello" not in body
    assert ask("GET", theirs, JOE)[2] == b"hello"
    base = {"TUS-Base-Path": "/other", "TUS-Max-Size": "3",
            "TUS_BASE_PATH": "/other", "TUS_MAX_SIZE": "3"}
    status, answer, _ = ask("POST", site.url, JOE, {
        **base, "Upload-Length": "5"}, b"")
    assert status == 201 and answer["Location"].startswith(site.base + "/")


@pytest.mark.parametrize("name", ["nginx", "lighttpd", "apache-proxy"])
def test_a_header_that_a_proxy_sets_is_not_taken_in_another_spelling(
        server, name):
    """X_User becomes HTTP_X_USER as well, where the web server lets it in."""
    if not rig.have("nginx") if name == "nginx" else fronts.missing(name):
        pytest.skip(f"{name} is not installed")
    one = server(name, config={"owner": {"param": "HTTP_X_USER"}})
    sues = create(one, {"X-User": "sue"}, 5)
    for method in ("HEAD", "DELETE"):
        assert ask(method, sues, {"X-User": "joe", "X_User": "sue"})[0] == 404
        assert ask(method, sues, {"X_User": "sue", "X-User": "joe"})[0] == 404
    assert ask("HEAD", sues, {"X-User": "sue"})[0] == 200


def test_nobody_declares_the_length_of_another_ones_upload(site):
    status, headers, _ = ask(
        "POST", site.url, JOE, {"Upload-Defer-Length": "1"}, b"")
    assert status == 201
    url = site.origin + headers["Location"]
    declare = {**PATCH, "Upload-Offset": "0", "Upload-Length": "0"}
    assert ask("PATCH", url, SUE, declare, b"")[0] == 404
    assert ask("HEAD", url, JOE)[1]["Upload-Defer-Length"] == "1"
    assert ask("PATCH", url, JOE, declare, b"")[0] == 204


def test_a_404_tells_nothing(site):
    """Whether there is an upload that is not yours, or none."""
    theirs = create(site, JOE, 5)
    none = theirs.rsplit("/", 1)[0] + "/" + "0" * 32
    for method in ("HEAD", "GET", "DELETE"):
        (a, first, text), (b, second, other) = (
            ask(method, url, SUE) for url in (theirs, none))
        assert (a, text) == (b, other) == (404, text)
        assert {k for k, _ in first.items()} == {k for k, _ in second.items()}


def test_nobody_makes_a_whole_of_another_ones_parts(site):
    def concat(who, *parts):
        paths = " ".join(p.removeprefix(site.origin) for p in parts)
        return ask("POST", site.url, who, {"Upload-Concat": f"final;{paths}"},
                   b"")

    partial = {"Upload-Concat": "partial"}
    joes, sues = (whole(site, who, b"abc", **partial) for who in (JOE, SUE))
    assert concat(SUE, joes)[0] == 404
    assert concat(SUE, sues, joes)[0] == 404
    status, headers, _ = concat(JOE, joes)
    assert status == 201
    final = site.origin + headers["Location"]
    assert ask("GET", final, JOE)[2] == b"abc"
    for method in ("HEAD", "GET", "DELETE"):
        assert ask(method, final, SUE)[0] == 404
    assert concat(SUE, final)[0] == 404
    assert ask("GET", final, JOE)[2] == b"abc"
    for part, who in ((joes, JOE), (sues, SUE)):
        assert ask("HEAD", part, who)[1]["Upload-Offset"] == "3"


def test_where_no_owner_is_required_nobodys_uploads_are_everybodys(server):
    """Here by a parameter of the tests: who may say so is not the question."""
    if not rig.have("nginx"):
        pytest.skip("no nginx")
    one = server(config={"owner": {"param": "HTTP_X_USER"}})
    joe, sue = {"X-User": "joe"}, {"X-User": "sue"}
    joes, nobodys = create(one, joe, 5), create(one, {}, 5)
    for who, status in ((joe, 200), (sue, 404), ({}, 404),
                        ({"X-User": ""}, 404)):
        assert ask("HEAD", joes, who)[0] == status
        assert ask("HEAD", nobodys, who)[0] == 200


def test_two_spellings_are_two_owners(server):
    """And each has a quota, as the manual says."""
    if not rig.have("nginx"):
        pytest.skip("no nginx")
    one = server(config={"owner": {"param": "HTTP_X_USER"},
                         "quota": {"uploads": 1}})
    for name in ("Alice", "alice"):
        url = create(one, {"X-User": name}, 5)
        for who in ("Alice", "alice"):
            assert ask("HEAD", url, {"X-User": who})[0] == (
                200 if who == name else 404)
        assert ask("POST", one.url, {"X-User": name, "Upload-Length": "5"},
                   body=b"")[0] == 413


@pytest.mark.parametrize("owner, status", [
    ({}, 204), ({"param": "HTTP_X_USER"}, 500),
    ({"param": "HTTP_X_USER", "require": True}, 403)])
def test_what_does_not_say_whose_it_is_is_removed_only_without_owners(
        server, owner, status):
    one = server(config={"owner": owner}) if owner else server()
    url = create(one, {"X-User": "joe"}, 5)
    record = one.uploads / (url.rsplit("/", 1)[1] + ".info")
    assert record.exists()
    with open(record, "r+b") as file:
        file.truncate(os.path.getsize(record) // 2)
    assert ask("DELETE", url, {})[0] == status
