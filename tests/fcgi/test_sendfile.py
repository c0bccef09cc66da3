"""GET that the web server answers from the file itself."""

import os
import urllib.request

from lib import fastcgi


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


def test_nginx_sends_the_file_and_parts_of_it(server, tmp_path):
    store = tmp_path / "store"
    one = server(config={"store": {"path": str(store)},
                         "download": {"sendfile": "x-accel",
                                      "sendfile_root": "/tus-store"}},
                 extra=f"location /tus-store/ {{ internal; alias {store}/; }}")
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
