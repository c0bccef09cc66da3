"""Two users of one web server, each with the uploads of their own."""

import base64
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from lib import clients, fronts, rig

PATCH = {"Content-Type": "application/offset+octet-stream"}
OWNER = {"param": "REMOTE_USER"}


def login(user):
    return {"Authorization": "Basic " + base64.b64encode(
        f"{user}:secret".encode()).decode()}


JOE, SUE, NOBODY = login("joe"), login("sue"), {}


@pytest.fixture
def passwords():
    """Apache becomes another user and must be able to read it."""
    folder = Path(tempfile.mkdtemp(prefix="tusfcgi-", dir="/tmp"))
    folder.chmod(0o755)
    file = folder / "htpasswd"
    # sha1 of "secret"
    file.write_text("".join(
        f"{u}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n" for u in ("joe", "sue")))
    file.chmod(0o644)
    yield file
    shutil.rmtree(folder)


def example(path, pattern):
    """Lines of a snippet, and the same without their #."""
    block = re.search(pattern, rig.snippet(path, {}), re.S).group()
    return block, re.sub(r"(?m)^(\s*)#", r"\1", block)


def nginx(passwords):
    block, live = example("etc/nginx/tusfcgi.conf",
                          r"\t#     limit_except.*?if_not_empty;\n")
    live = live.replace("/etc/nginx/tusfcgi.htpasswd", str(passwords))
    return {block: live, 'fastcgi_param REMOTE_USER       "";': ""}


def apache(passwords):
    _, live = example("etc/apache/tusfcgi-proxy.conf",
                      r"[^\n]*AuthType Basic.*?</RequireAny>\n")
    live = live.replace("/etc/apache2/tusfcgi.htpasswd", str(passwords))
    return {"\tRequire all granted\n": live}


LINES = {"nginx": nginx, "apache-proxy": apache, "apache-fcgid": apache}


@pytest.fixture(params=LINES)
def site(request, server, passwords):
    """A web server that asks for passwords, as our snippets show how."""
    name = request.param
    if not rig.have("nginx") if name == "nginx" else fronts.missing(name):
        pytest.skip(f"{name} is not installed")
    return server(name, config={"owner": {**OWNER, "require": True}},
                  replace=LINES[name](passwords))


def create(one, who, size, **headers):
    status, answer, body = clients.request(
        "POST", one.url, {"Upload-Length": str(size), **who, **headers}, b"")
    assert status == 201, (status, body)
    return one.origin + answer["Location"]


def ask(method, url, who, headers=None, body=None):
    return clients.request(method, url, {**who, **(headers or {})}, body)


def whole(one, who, data, **headers):
    url = create(one, who, len(data), **headers)
    assert ask("PATCH", url, who, {**PATCH, "Upload-Offset": "0"},
               data)[0] == 204
    return url


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
    assert ask("HEAD", final, SUE)[0] == 404


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
