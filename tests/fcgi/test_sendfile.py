"""GET that the web server answers from the file itself."""

import json
import os
import re
import urllib.error
import urllib.request

import pytest

from lib import fastcgi, rig


def whole_upload(client, body, metadata=None):
    path = client.create(len(body), metadata)
    assert client.patch(path, 0, body).status == 204
    return path


def test_x_accel_names_the_file_below_the_internal_location(app):
    one = app(config={"download": {"sendfile": "x-accel",
                                   "sendfile_root": "/tus-store/"}})
    path = whole_upload(one.client, b"content")
    answer = one.client.request("GET", path)
    assert answer.status == 200 and answer.body == b""
    assert answer.headers["x-accel-redirect"] == \
        "/tus-store/" + path.rsplit("/", 1)[1]
    assert "content-length" not in answer.headers


def test_x_sendfile_names_the_file(app):
    one = app(config={"download": {"sendfile": "x-sendfile"}})
    path = whole_upload(one.client, b"content")
    answer = one.client.request("GET", path)
    assert answer.status == 200 and answer.body == b""
    with open(answer.headers["x-sendfile"], "rb") as f:
        assert f.read() == b"content"


def test_a_store_behind_a_symbolic_link_is_found(app, tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    one = app(config={"store": {"path": str(tmp_path / "link")},
                      "download": {"sendfile": "x-accel",
                                   "sendfile_root": "/tus-store"}})
    path = whole_upload(one.client, b"content")
    answer = one.client.request("GET", path)
    assert answer.headers["x-accel-redirect"] == \
        "/tus-store/" + path.rsplit("/", 1)[1]


def test_what_is_not_a_finished_upload_is_not_offered(app):
    one = app(config={"download": {"sendfile": "x-sendfile"}})
    path = one.client.create(10)
    answer = one.client.request("GET", path)
    assert answer.status == 404 and "x-sendfile" not in answer.headers
    head = one.client.head(path)
    assert "x-sendfile" not in head.headers


def shipped_location(store):
    """The one in the comments of the snippet for nginx."""
    text = (rig.TREE / "etc/nginx/tusfcgi.conf").read_text()
    block = re.search(r"#     location /tusfcgi-store/ \{.*?\n#     \}", text,
                      re.DOTALL).group()
    return block.replace("#     ", "").replace(
        "/var/lib/tusfcgi/", f"{store}/")


@pytest.fixture
def nginx(server, tmp_path):
    store = tmp_path / "store"
    return server(config={"store": {"path": str(store)},
                          "cors": {"origins": ["https://a.example"],
                                   "credentials": True},
                          "download": {"sendfile": "x-accel",
                                       "sendfile_root": "/tusfcgi-store/"}},
                  extra=shipped_location(store))


def get(one, path, **headers):
    request = urllib.request.Request(one.origin + path, headers={
        k.replace("_", "-"): v for k, v in headers.items()})
    try:
        return urllib.request.urlopen(request)
    except urllib.error.HTTPError as answer:
        return answer


def test_what_nginx_sends_is_as_harmless_as_what_we_do(nginx):
    """It forgets most headers of the answer that names the file."""
    client = fastcgi.Client(nginx.socket)
    path = whole_upload(client, b"<script>", {"filetype": "text/html"})
    for part, status in (("bytes=0-", 206), ("bytes=9-", 416), ("", 200)):
        answer = get(nginx, path, Origin="https://a.example", Range=part)
        assert answer.status == status
        for name, value in (
                ("X-Content-Type-Options", "nosniff"),
                ("Content-Security-Policy", "sandbox; default-src 'none'"),
                ("Referrer-Policy", "no-referrer"),
                ("Access-Control-Allow-Origin", "https://a.example"),
                ("Access-Control-Allow-Credentials", "true"),
                ("Vary", "Origin"), ("Tus-Resumable", "1.0.0"),
                ("Cache-Control", "private, no-cache"),
                ("Content-Disposition", "attachment")):
            assert answer.headers.get_all(name) == [value], name
        assert "Upload-Offset" in answer.headers[
            "Access-Control-Expose-Headers"]
    again = get(nginx, path, If_None_Match=answer.headers["ETag"])
    assert (again.status, again.read()) == (304, b"")
    assert get(nginx, "/tusfcgi-store/" + path.rsplit("/")[-1]).status == 404


def test_nginx_sends_the_file_and_parts_of_it(nginx):
    one = nginx
    client = fastcgi.Client(one.socket)
    body = os.urandom(100000)
    path = whole_upload(client, body, {"filename": "a.bin"})
    with urllib.request.urlopen(one.origin + path) as answer:
        assert answer.read() == body
        assert "a.bin" in answer.headers["Content-Disposition"]
        assert answer.headers["X-Accel-Redirect"] is None
    part = urllib.request.Request(one.origin + path,
                                  headers={"Range": "bytes=10-19"})
    with urllib.request.urlopen(part) as answer:
        assert answer.status == 206 and answer.read() == body[10:20]


def test_nginx_finds_what_was_moved_by_any_name(server, tmp_path):
    """The header has its path as in a URL."""
    store, hooks = tmp_path / "store", tmp_path / "hooks"
    hooks.mkdir()
    name = "a b?c#100%41+\u00e9"
    (hooks / "pre-create").write_text("#!/bin/sh\necho '" + json.dumps(
        {"ChangeFileInfo": {"Storage": {"Path": "done/" + name}}}) + "'\n")
    (hooks / "pre-create").chmod(0o755)
    one = server(config={"store": {"path": str(store)},
                         "hooks": {"dir": str(hooks)},
                         "download": {"sendfile": "x-accel",
                                      "sendfile_root": "/tus-store"}},
                 extra=f"location /tus-store/ {{ internal; alias {store}/; }}")
    path = whole_upload(fastcgi.Client(one.socket), b"content")
    rig.wait_for((store / "done" / name).exists, "the upload to be moved")
    with urllib.request.urlopen(one.origin + path) as answer:
        assert answer.read() == b"content"
        assert answer.headers["ETag"] is not None
    (store / "done" / name).unlink()
    answer = fastcgi.Client(one.socket).request("GET", path)
    assert answer.status == 404
