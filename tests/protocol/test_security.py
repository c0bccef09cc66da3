"""SEC: what a hostile client or neighbour may not do."""

import os
import random
import socket
import stat
import threading

import pytest

from lib import client, proc, rig

ids = pytest.mark.ids
only = pytest.mark.only

BAD_IDS = [
    "..", "../x", ".", ".hidden", "%2e%2e%2fx", "a%2Fb", "..%5cx", "%00",
    "a/b", "{id}%00", "{id}.info", "{id}.lock", "{id}.info.new", "{id}/x",
    "/{id}", "{id}//", "\u00e4", "\udcff", "a" * 65, "a" * 300,
    "a" * 5000, "{id};x", "{id}%20", "a:b", "a+b", "%", "~", "{id}.stop",
    "%30" * 5, "-%2e", "CON", "a\\b",
]


@ids("SEC-01", "SEC-02")
@pytest.mark.parametrize("bad", BAD_IDS, ids=lambda b: ascii(b)[1:25])
def test_no_strange_id_is_anything(serve, bad):
    """nginx may answer 400 on its own, or resolve dots; never us."""
    tus = serve({"base_path": "/files"})
    url = tus.finished(b"abc")
    bad = bad.format(id=tus.id(url))
    target = "/files/" + bad
    if tus.name != "fastcgi":
        target = target.encode("utf-8", "surrogateescape").decode("latin-1")
    with tus.unchanged(url), tus.nothing_created():
        for reply in (
                tus.head(target, is_ours=False),
                tus.get(target, is_ours=False),
                tus.patch(target, 0, b"", is_ours=False),
                tus.delete(target, is_ours=False)):
            if tus.name == "fastcgi":
                client.check(reply, "HEAD" if not reply.body else "GET")
                # No web server hands on a NUL byte; PATH_INFO has one here.
                assert reply.status == (400 if "%00" in bad else 404)
            else:
                # "/files/.." is "/", "/files/." the collection.
                assert reply.status in (400, 404, 405, 414)


@ids("SEC-03")
@pytest.mark.parametrize("suffix", ["", ".info"])
def test_symbolic_links_are_not_followed(tus, suffix):
    url, other = tus.finished(b"abc"), tus.finished(b"secret")
    tus.path(url, suffix).unlink()
    tus.path(url, suffix).symlink_to(tus.path(other, suffix))
    with tus.unchanged(other):
        for reply in (tus.head(url), tus.get(url),
                      tus.patch(url, 3, b"")):
            assert reply.status in (404, 500)
        assert tus.delete(url).status == 204
    assert tus.data(other) == b"secret"


@ids("SEC-03")
@pytest.mark.parametrize("kind", ["fifo", "directory", "link", "socket"])
def test_nothing_but_plain_files_is_opened(tus, kind):
    url = tus.create(10)
    path = tus.path(url)
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "link":
        if os.geteuid() != 0:
            pytest.skip("giving a file away needs root")
        (tus.server.dir / "outside").write_bytes(b"abc")
        os.chown(tus.server.dir / "outside", 65534, 65534)
        os.link(tus.server.dir / "outside", path)
    else:
        here = os.getcwd()
        os.chdir(path.parent)
        try:
            socket.socket(socket.AF_UNIX).bind(path.name)
        finally:
            os.chdir(here)
    for reply in (tus.head(url, timeout=3), tus.patch(url, 0, b"x", timeout=3),
                  tus.patch(url, 3, b"x", timeout=3)):
        assert reply.status in (404, 500)
    if kind == "link":
        assert (tus.server.dir / "outside").read_bytes() == b"abc"
        (tus.server.dir / "outside").unlink()
    if kind == "directory":
        path.rmdir()
    tus.delete(url)


@ids("SEC-04")
def test_the_modes_of_files(serve):
    tus = serve({"store": {"file_mode": "0640"}})
    url = tus.create(10)
    tus.patch(url, 0, b"abc")
    for suffix in ("", ".info"):
        mode = stat.S_IMODE(os.stat(tus.path(url, suffix)).st_mode)
        assert mode == 0o640
    default = serve()
    url = default.create(10)
    mode = stat.S_IMODE(os.stat(default.path(url)).st_mode)
    assert mode & 0o007 == 0


# lighttpd and Apache have ways of their own.
@only("nginx")
@ids("SEC-06")
def test_underscores_are_no_hyphens(tus):
    url = tus.create(10)
    tus.patch(url, 0, b"abc")
    with tus.unchanged(url):
        assert tus.patch(url, 0, b"x", {"Upload_Offset": "3"}).status == 409
    assert tus.patch(url, 3, b"x", {"Upload_Offset": "0"}).status == 204


HEADERS = ["Tus-Resumable", "Upload-Length", "Upload-Offset",
           "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat",
           "Upload-Checksum", "X-HTTP-Method-Override", "Content-Type",
           "Range", "If-Range", "If-None-Match", "Origin", "Host", "Trailer",
           "Expect", "Forwarded", "Content-Length"]
VALUES = ["", " ", "0", "1", "3", "-1", "+1", "9223372036854775807", "1e9",
          "18446744073709551616", "1.0.0", "0.2.2", client.BODY, "text/plain",
          "partial", "final;", "final;/files/x", "final;{id}", "{id}",
          "final;/files/{id} /files/{id}", "sha1 YQ==", "sha1", "crc32 AAAAAA==",
          "md5 1B2M2Y8AsgTpgAmY7PhCfg==", "a YQ==", "a", "a !", "a YQ==,a YQ==",
          "bytes=0-1", "bytes=-1", "bytes=1-", "*", "https://x.example", "null",
          "PATCH", "HEAD", "DELETE", "GET", "OPTIONS", "POST", "patch", "FOO",
          "Upload-Checksum", "x" * 300, "\u00e4\u00f6", ",,,", ";;;", "%00"]
METHODS = ["POST", "PATCH", "HEAD", "GET", "DELETE", "OPTIONS", "PUT", "FOO"]
STATUSES = {200, 201, 204, 206, 304, 400, 403, 404, 405, 409, 410, 412, 413,
            415, 416, 423, 431, 460, 507}


def mutated(random, url, target_id):
    """A request that is almost right, or not at all."""
    headers = {"Content-Type": client.BODY, "Upload-Offset": "0"}
    if random.random() < 0.3:
        headers = {"Upload-Length": "3"}
    for _ in range(random.choice([0, 1, 1, 2, 5])):
        value = random.choice(VALUES).replace("{id}", target_id)
        if random.random() < 0.2:
            at = random.randrange(len(value) + 1)
            value = value[:at] + chr(random.randrange(33, 255)) + value[at:]
        headers[random.choice(HEADERS)] = value
    target = random.choice([url, url, url, "/files/", "/files", url + "x",
                            "/files/" + "0" * 32])
    return random.choice(METHODS), target, headers, \
        b"x" * random.choice([0, 0, 1, 3, 4, 1000])


def mutate(tus, count, seed):
    rng = random.Random(seed)
    url = tus.create(3)
    for i in range(count):
        if i % 50 == 49 or tus.size(url) != 0:
            tus.delete(url)
            url = tus.create(3)
        method, target, headers, body = mutated(rng, url, tus.id(url))
        length = headers.pop("Content-Length", None)
        if tus.name != "fastcgi":
            headers.pop("Host", None)
            length = None
        elif length == "":
            length = None
        try:
            reply = tus.request(method, target, headers, body, length=length)
        except AssertionError as error:
            raise AssertionError(
                f"seed {seed}, request {i}: {method} {target} {headers} "
                f"{body[:10]!r} {length!r}") from error
        assert reply.status in STATUSES, (
            f"seed {seed}, request {i}: {method} {target} {headers} "
            f"{length!r}: {reply}")
        assert tus.size(url) <= 3


@ids("SEC-07", "FCGI-06")
def test_ten_thousand_mutations_crash_nothing(serve, workers):
    """And leave neither descriptors nor memory behind in any worker."""
    tus = serve({"pool": {"min_spare": 2}, "log": {"level": "warn"}},
                own=True)
    seed = int(os.environ.get("SEED", random.randrange(10 ** 6)))
    count = 5000 if tus.name == "fastcgi" else 500
    mutate(tus, 200, seed + 9)
    before = {p: (proc.descriptors(p), proc.memory(p))
              for p in workers(tus)}
    errors = []

    def run(seed):
        try:
            mutate(tus, count, seed)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(seed + i,))
               for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    after = proc.children(tus.server.app.pid)
    for pid, (fds, memory) in before.items():
        assert pid in after, f"worker {pid} has left"
        rig.wait_for(lambda: proc.descriptors(pid) <= fds + 1,
                     "the descriptors to be closed")
        # The sanitizer keeps freed memory for a while: 256 MiB at most.
        assert proc.memory(pid) - memory < 300 * 2 ** 20


@ids("SEC-08")
def test_nothing_lists_uploads(tus):
    tus.create(1)
    for method in ("GET", "HEAD"):
        reply = tus.request(method, "/files/")
        assert (reply.status, b"/files/" in reply.body) == (405, False)


@ids("SEC-01")
def test_an_id_of_every_allowed_letter_is_only_unknown(tus):
    for good in ("a", "A-Z_09", "a" * 64, "-", "_"):
        assert tus.head("/files/" + good).status == 404
