"""GET of an upload in a bucket: streamed, by a redirect, and through nginx."""

import base64
import subprocess
from urllib.parse import urlsplit

import pytest

from lib import clients, rig
from s3 import bucket, client
from s3.bucket import PART, content, create, patch

bucket.need_store()

DATA = content(5 * PART + 7)
ORIGIN = "https://app.example.org"


@pytest.fixture
def start(start):
    return lambda download, **kw: start(args=["-w", "2"], config={
        "download": download, "cors": {"origins": [ORIGIN]}}, **kw)


def upload(server, name="a b+c.txt", kind="text/plain", data=DATA):
    pairs = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in
                     (("filename", name), ("filetype", kind)))
    url = create(server, len(data), **{"Upload-Metadata": pairs})
    assert patch(url, 0, data)[0] == 204
    return url


def snippet(engine):
    """As it is shipped, for an engine without TLS."""
    text = (rig.TREE / "etc/nginx/tusfcgi-s3.conf").read_text()
    assert "https://s3.example.org/" in text
    return text.replace("https://s3.example.org/",
                        f"http://127.0.0.1:{engine.port}/")


def test_streamed_with_a_range(engine, start):
    url = upload(start({}))
    engine.rules()
    status, headers, body = clients.request(
        "GET", url, {"Range": f"bytes={PART}-{2 * PART}"})
    assert (status, body) == (206, DATA[PART:2 * PART + 1])
    assert headers["Content-Disposition"] == \
        'inline;filename="a b+c.txt"'
    # What was not asked for is not fetched; the pool has requests of its own.
    name = url.rpartition("/")[2]
    assert [x[0] for x in engine.log() if name in x[1]] == ["GET", "GET"]


def test_a_long_one_is_streamed_in_pieces(engine, start):
    server = start({}, s3={"part_size": "1M"})
    data = content(3 * 1024 * 1024 + 5)
    url = upload(server, data=data)
    assert clients.request("GET", url)[2] == data


def fetch(url, **headers):
    """The answer itself, whatever it leads to."""
    where = urlsplit(url)
    return client.Engine(where.port).raw(
        "GET", where._replace(scheme="", netloc="").geturl(),
        headers=headers)


def test_a_redirect_to_a_link_that_ends(engine, start):
    server = start({"sendfile": "redirect"}, s3={"presign": "7s"})
    url = upload(server)
    engine.rules()
    got = fetch(url)
    assert (got.status, got.body) == (307, b"")
    assert got.headers["cache-control"] == "no-store"
    link = got.headers["location"]
    assert "X-Amz-Expires=7&" in link
    got = fetch(link)
    assert (got.status, got.body) == (200, DATA)
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["content-disposition"] == \
        'inline;filename="a b+c.txt"'
    got = fetch(link, Range="bytes=10-19")
    assert (got.status, got.body) == (206, DATA[10:20])
    # It is for this and nothing else, and no secret is in it.
    assert fetch(link.replace("text%2Fplain", "text%2Fhtml")).status == 403
    assert engine.secret not in link
    # A worker asks for the record alone.
    assert not [x for x in engine.log() if "X-Amz" not in x[1] and
                ".info" not in x[1]]
    assert clients.request("GET", url)[2] == DATA


def test_what_is_no_picture_is_saved(start):
    server = start({"sendfile": "redirect"})
    url = upload(server, "ä.html", "text/html")
    got = fetch(fetch(url).headers["location"])
    assert got.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize("key", ["{id}", "in/{filename}"])
def test_through_nginx(engine, start, key):
    server = start({"sendfile": "x-accel", "sendfile_root": "/tusfcgi-s3"},
                   extra=snippet(engine), s3={"key": key})
    url = upload(server)
    status, headers, body = clients.request(
        "GET", url, {"Origin": ORIGIN, "Cookie": "a=b",
                     "Authorization": "Basic YTpi"})
    assert (status, body) == (200, DATA)
    want = {"Content-Type": "text/plain",
            "Content-Disposition": 'inline;filename="a b+c.txt"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Access-Control-Allow-Origin": ORIGIN}
    assert want.items() <= dict(headers).items(), dict(headers)
    # The client's own metadata; see s3.metadata.
    assert {x.lower() for x in headers if x.lower().startswith("x-amz")} <= {
        "x-amz-meta-filename", "x-amz-meta-filetype"}
    status, headers, body = clients.request(
        "GET", url, {"Range": "bytes=100-"})
    assert (status, body) == (206, DATA[100:])
    # The location is nginx's own.
    assert clients.request("GET", server.origin + "/tusfcgi-s3/" +
                           server.bucket)[0] == 404


def test_what_does_not_fit_the_store(tmp_path, engine):
    one = bucket.Server(tmp_path, engine)
    listen = {"listen": str(one.socket)}
    for store, how, words in (("s3", "x-sendfile", "has no files"),
                              ("file", "redirect", "has no URLs")):
        config = {"download": {"sendfile": how}}
        if store == "s3":
            one.configure(config)
            path = one.config_path
        else:
            (tmp_path / "up").mkdir()
            path = tmp_path / "t.conf"
            path.write_text(rig.libconfig({
                "store": {"path": str(tmp_path / "up")}, "pool": listen,
                **config}))
        done = subprocess.run([rig.program(), "-c", path, "-t"], env=one.env,
                              capture_output=True, text=True, check=False)
        assert done.returncode and words in done.stderr, done.stderr
