"""What one user may have, and how large one upload may be."""

import collections
import http.client
import os
import re
import subprocess
import threading
import urllib.parse

import pytest

from lib import clients, logins, rig
from lib.logins import JOE, PATCH, SUE, ask, create
from lib.tusctl import NO_LEAKS

MIB = 1 << 20


def try_to_create(one, who, size):
    """The status and the code."""
    status, _, body = clients.request(
        "POST", one.url, {"Upload-Length": str(size), **who}, b"")
    return status, body.split(b":")[0]


def entries(one):
    """The names in the ledger: ID.BYTES"""
    return sorted(p.name for p in one.uploads.glob(".quota/*/*.*"))


def at_once(n, job):
    """What n threads return that start together."""
    start, results = threading.Barrier(n), [None] * n

    def run(i):
        start.wait()
        results[i] = job(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


OVER = (413, b"ERR_QUOTA_EXCEEDED")


def test_each_user_has_a_quota_of_uploads(asking):
    one = asking({"quota": {"uploads": 2}})
    first, second = create(one, JOE, 5), create(one, JOE, 5)
    assert try_to_create(one, JOE, 5) == OVER
    assert try_to_create(one, SUE, 5)[0] == 201
    assert ask("PATCH", first, JOE, {**PATCH, "Upload-Offset": "0"},
               b"hello")[0] == 204
    assert try_to_create(one, JOE, 5) == OVER
    for url in (first, second):
        assert ask("DELETE", url, JOE)[0] == 204
        assert try_to_create(one, JOE, 5)[0] == 201
        assert try_to_create(one, JOE, 5) == OVER


def test_each_user_has_a_quota_of_bytes(asking):
    one = asking({"quota": {"bytes": "1M"}})
    url = create(one, JOE, MIB - 5)
    status, headers, body = clients.request(
        "POST", one.url, {"Upload-Length": "6", **JOE}, b"")
    assert status == 413 and body.startswith(b"ERR_QUOTA_EXCEEDED: ")
    assert b"remove some of your uploads" in body
    assert try_to_create(one, JOE, 5)[0] == 201
    assert try_to_create(one, JOE, 1) == OVER
    assert try_to_create(one, SUE, MIB)[0] == 201
    assert ask("DELETE", url, JOE)[0] == 204
    assert try_to_create(one, JOE, MIB - 5)[0] == 201


@pytest.fixture
def site(server, passwords):
    """nginx that asks for passwords; a factory."""
    def start(config, **options):
        return server("nginx", config={"owner": logins.OWNER, **config},
                      replace=logins.nginx(passwords), **options)

    return start


def test_many_creations_at_once_make_no_more_than_the_quota(site):
    """Again and again for the last place, where many names are to be read."""
    one = site({"quota": {"uploads": 300}, "pool": {"min_spare": 16}})
    got = at_once(32, lambda i: [try_to_create(one, JOE, 5)
                                 for _ in range(11)])
    assert collections.Counter(sum(got, [])) == {(201, b""): 300, OVER: 52}
    for _ in range(30):
        assert len(entries(one)) == 300
        last = one.origin + "/files/" + entries(one)[0].split(".")[0]
        assert ask("DELETE", last, JOE)[0] == 204
        got = at_once(32, lambda i: try_to_create(one, JOE, 5))
        assert collections.Counter(got) == {(201, b""): 1, OVER: 31}
    assert try_to_create(one, SUE, 5)[0] == 201


def patch_chunked(one, url, who, at, size):
    """A body that does not say how long it is; the status."""
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
    pieces = (b"x" * min(10000, size - i) for i in range(0, size, 10000))
    try:
        connection.request(
            "PATCH", urllib.parse.urlparse(url).path, body=pieces,
            encode_chunked=True, headers={
                **clients.TUS, **PATCH, **who, "Upload-Offset": str(at),
                "Transfer-Encoding": "chunked"})
        return connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        # Refused while we were still sending.
        return None
    finally:
        connection.close()


def defer(one, who):
    status, headers, _ = clients.request(
        "POST", one.url, {"Upload-Defer-Length": "1", **who}, b"")
    assert status == 201
    return one.origin + headers["Location"]


def offset(url, who):
    return int(ask("HEAD", url, who)[1]["Upload-Offset"])


def test_bodies_of_unknown_length_bring_no_more_than_the_quota(site):
    one = site({"quota": {"bytes": "1M"}})
    urls = [defer(one, JOE) for _ in range(8)]
    size = 300000
    got = at_once(8, lambda i: patch_chunked(one, urls[i], JOE, 0, size))
    assert set(got) <= {204, 413, None}
    offsets = [offset(url, JOE) for url in urls]
    for status, at in zip(got, offsets):
        assert at == (size if status == 204 else 0)
    assert 1 <= offsets.count(size) <= 3
    rest = MIB - sum(offsets)
    assert try_to_create(one, JOE, rest + 1) == OVER
    assert try_to_create(one, JOE, rest)[0] == 201
    assert entries(one) == sorted(
        [f"{url.rsplit('/', 1)[1]}.{at}" for url, at in zip(urls, offsets)] +
        [e for e in entries(one) if e.endswith(f".{rest}")])


def test_what_a_client_breaks_off_counts_as_far_as_it_came(site):
    one = site({"quota": {"bytes": "1M"}})
    url = defer(one, JOE)
    with one_body(one, url, 900000) as send:
        send(b"x" * 50000)
        rig.wait_for(lambda: (one.uploads / url.rsplit("/", 1)[1]).stat()
                     .st_size == 50000, "the bytes")
        assert try_to_create(one, JOE, MIB - 900000 + 1) == OVER
    rig.wait_for(lambda: entries(one)[0].endswith(".50000"), "the rest back")
    assert try_to_create(one, JOE, MIB - 50000)[0] == 201


class one_body:
    """A PATCH that is broken off."""

    def __init__(self, one, url, length):
        self.connection = http.client.HTTPConnection(
            "127.0.0.1", one.port, timeout=60)
        self.connection.putrequest("PATCH", urllib.parse.urlparse(url).path)
        for key, value in {**clients.TUS, **PATCH, **JOE, "Upload-Offset": "0",
                           "Content-Length": str(length)}.items():
            self.connection.putheader(key, value)
        self.connection.endheaders()

    def __enter__(self):
        return self.connection.send

    def __exit__(self, *_):
        self.connection.close()


def as_user(name):
    return {"extra": {"TUS_OWNER": name}}


def post(one, name, size=5):
    return one.client.request(
        "POST", "/files", {"Upload-Length": str(size)}, **as_user(name))


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
def test_a_kill_between_the_reservation_and_the_creation_costs_nothing(app):
    """The record gets its name by a rename, in this mode."""
    one = app(config={"quota": {"uploads": 1},
                      "store": {"durability": "full"}})
    one.stop_app()
    one.app = rig.spawn(
        [rig.have("strace"), "-D", "-f", "-qq", "-o", "/dev/null", "-e",
         "trace=renameat", "-e", "inject=renameat:signal=KILL",
         rig.program(), "-c", str(one.config_path), "-w", "2"],
        one.log_path, cwd=one.dir, env={**one.env, **NO_LEAKS})
    rig.wait_for(lambda: rig.accepts(1, str(one.socket)), "tusfcgi")
    with pytest.raises(Exception):
        assert post(one, "joe").status == 201
    one.stop_app()
    (entry,) = entries(one)
    assert not (one.uploads / (entry.split(".")[0] + ".info")).exists()
    one.start_app()
    assert post(one, "joe").status == 201
    assert entry not in entries(one) and len(entries(one)) == 1
    assert post(one, "joe").status == 413


def sweep(one, *arguments):
    done = subprocess.run(
        [rig.program("tusctl"), "-c", one.config_path, "sweep", *arguments],
        capture_output=True, text=True, timeout=60, check=True)
    assert not rig.SANITIZER.search(done.stderr), done.stderr
    return done.stdout


def test_the_sweep_enters_what_was_there_before_the_quota(app):
    one = app()
    paths = [post(one, "joe").headers["location"] for _ in range(2)]
    post(one, None)
    one.stop_app()
    one.configure({"quota": {"uploads": 2}})
    one.start_app()
    assert "would be: quotas: 2 uploads entered, 0 struck out" in \
        sweep(one, "--dry-run")
    assert entries(one) == []
    assert "\nquotas: 2 uploads entered, 0 struck out" in sweep(one)
    assert entries(one) == sorted(p.rsplit("/", 1)[1] + ".5" for p in paths)
    assert "quotas" not in sweep(one)
    assert post(one, "joe").status == 413
    assert one.client.request("DELETE", paths[0],
                              **as_user("joe")).status == 204
    assert post(one, "joe").status == 201


def test_the_sweep_sets_right_what_a_crash_left(app):
    """Entries without an upload; and one that reserved more than came."""
    one = app(config={"quota": {"bytes": "1M"}})
    kept = post(one, "joe").headers["location"].rsplit("/", 1)[1]
    gone = post(one, "sue").headers["location"].rsplit("/", 1)[1]
    path = one.client.request("POST", "/files", {"Upload-Defer-Length": "1"},
                              **as_user("joe")).headers["location"]
    deferred = path.rsplit("/", 1)[1]
    for name in (gone, gone + ".info"):
        (one.uploads / name).unlink()
    (page,) = {p.parent for p in one.uploads.glob(f".quota/*/{deferred}.0")}
    os.rename(page / f"{deferred}.0", page / f"{deferred}.1048000")
    assert post(one, "joe", 1000).status == 413
    assert "would be: quotas: 1 uploads entered, 1 struck out" in \
        sweep(one, "--dry-run")
    assert "quotas: 1 uploads entered, 1 struck out" in sweep(one)
    assert entries(one) == sorted([f"{kept}.5", f"{deferred}.0"])
    assert len(list(one.uploads.glob(".quota/*"))) == 1
    assert post(one, "joe", 1000).status == 201


def test_whatever_ends_an_upload_gives_its_room_back(app):
    one = app(config={"quota": {"uploads": 1},
                      "expiration": {"after": "1s"}})
    rm = post(one, "joe").headers["location"].rsplit("/", 1)[1]
    subprocess.run([rig.program("tusctl"), "-c", one.config_path, "rm", rm],
                   check=True, timeout=60)
    assert entries(one) == []
    assert post(one, "joe").status == 201
    rig.wait_for(lambda: "1 expired uploads" in sweep(one), "the expiry")
    assert entries(one) == []
    assert post(one, "joe").status == 201
    assert post(one, "joe").status == 413


FILE_CALL = re.compile(
    r"\b(openat|unlinkat|renameat|flock|fcntl|p?write\w*|p?read\w*|mkdirat"
    r"|\w*stat\w*|getdents\w*|ftruncate|fdatasync|fsync|close)\(")


@pytest.mark.skipif(not rig.have("strace"), reason="needs strace")
def test_a_body_of_known_length_costs_no_call_more(app, tmp_path):
    """A worker makes the same calls for a PATCH with a quota and without."""
    def calls(config):
        trace = tmp_path / "trace"
        one = app(config=config)
        one.stop_app()
        one.app = rig.spawn(
            [rig.have("strace"), "-D", "-f", "-o", str(trace),
             rig.program(), "-c", str(one.config_path), "-w", "1"],
            one.log_path, cwd=one.dir, env={**one.env, **NO_LEAKS})
        rig.wait_for(lambda: rig.accepts(1, str(one.socket)), "tusfcgi")
        path = post(one, "joe").headers["location"]
        answer = one.client.request(
            "PATCH", path, one.client.patch_headers(0), b"hello",
            **as_user("joe"))
        assert answer.status == 204
        assert one.stop_app() == 0
        rig.wait_for(lambda: "+++ exited" in trace.read_text(), "the trace")
        request = re.split(r"accept4?\(.*= \d+\n", trace.read_text())[-1]
        return FILE_CALL.findall(request)

    plain = calls({})
    limited = calls({"quota": {"uploads": 9, "bytes": "1M"}})
    assert plain == limited and "pwrite64" in plain


def test_the_web_server_may_limit_an_upload_by_who_asks(server, passwords):
    """TUS_MAX_SIZE, here one for each user"""
    if not rig.have("nginx"):
        pytest.skip("no nginx")
    lines = logins.nginx(passwords)
    (block,) = (key for key in lines if "limit_except" in key)
    lines[block] += "\tfastcgi_param TUS_MAX_SIZE $limit;\n"
    one = server("nginx", replace=lines, config={
        "owner": logins.OWNER, "max_size": "1000"},
        http_extra="map $remote_user $limit { joe 10; sue 2000; }")
    for who, limit in ((JOE, 10), (SUE, 2000)):
        assert try_to_create(one, who, limit)[0] == 201
        status, headers, body = clients.request(
            "POST", one.url, {"Upload-Length": str(limit + 1), **who}, b"")
        assert (status, headers["Tus-Max-Size"]) == (413, str(limit))
        assert body.startswith(b"ERR_MAX_SIZE_EXCEEDED")
        # Nor by what a client claims.
        assert try_to_create(one, {**who, "Tus-Max-Size": "9999",
                                   "TUS_MAX_SIZE": "9999"},
                             limit + 1)[0] == 413
        url = defer(one, who)
        assert patch_chunked(one, url, who, 0, limit + 1) == 413
        assert offset(url, who) == 0
        assert ask("PATCH", url, who, {
            **PATCH, "Upload-Offset": "0", "Upload-Length": str(limit + 1)},
            b"x")[0] == 413
        assert patch_chunked(one, url, who, 0, limit) == 204
        assert ask("OPTIONS", one.url, who)[1]["Tus-Max-Size"] == str(limit)
