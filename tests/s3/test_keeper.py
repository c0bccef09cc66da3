"""tusctl on a bucket: list, show, rm, check, sweep; adopt and settle."""

import json

import pytest

from lib import clients
from s3 import bucket, client, tusd
from s3.bucket import PART, content, create, patch, tusctl

bucket.need_store()

ENGINES = ["", "no-if-match lists-parts", "bare-if-match",
           *client.real_too()]


@pytest.fixture(params=ENGINES, ids=bucket.name_of)
def engine(request):
    one = bucket.start_engine(request.param)
    yield one
    one.stop()


@pytest.fixture
def server(start):
    return start(s3={"prefix": "up/"})


def id_of(url):
    return url.rpartition("/")[2]


# --- What everybody has -------------------------------------------------------

def test_an_upload_is_listed_shown_and_removed(server):
    data = content(2 * PART + 5)
    url = create(server, len(data), **{"Upload-Metadata": "filename YQ=="})
    assert patch(url, 0, data[:PART + 3])[0] == 204
    rows = [json.loads(x) for x in
            tusctl(server, "list", "--json").splitlines()]
    assert [(r["id"], r["offset"], r["size"]) for r in rows] == [
        (id_of(url), PART + 3, len(data))]
    assert rows[0]["storage"] == {"Type": "s3store", "Bucket": server.bucket,
                                  "Key": "up/" + id_of(url)}
    shown = tusctl(server, "show", id_of(url))
    assert f"received   {PART + 3}" in shown and "filename = a" in shown
    tusctl(server, "rm", id_of(url))
    assert not server.keys() and not server.parts()
    assert "no such upload" in tusctl(server, "rm", id_of(url), status=1)


def test_check_reports_an_object_that_is_gone_or_another(server):
    urls = [create(server, 5) for _ in range(3)]
    for url in urls:
        assert patch(url, 0, b"hello")[0] == 204
    assert "3 uploads, 0 damaged" in tusctl(server, "check")
    where = f"/{server.bucket}/up/"
    server.engine.ask("PUT", where + id_of(urls[0]), body=b"bye")
    server.engine.ask("PUT", where + id_of(urls[1]), body=b"12345")
    said = tusctl(server, "check", status=1)
    assert "has 3 bytes, not 5" in said and "another's" in said
    assert "2 damaged" in said
    server.engine.ask("DELETE", where + id_of(urls[2]))
    assert "object is not there" in tusctl(server, "check", status=1)
    assert "in the store;" in said and "/" not in said.partition("backup")[2]


# --- Leftovers ----------------------------------------------------------------

def test_a_sweep_finds_what_crashes_leave(server):
    data = content(2 * PART)
    kept = create(server, len(data))
    assert patch(kept, 0, data[:PART + 1])[0] == 204
    before = sorted(server.keys()), server.parts()
    lost = "0123456789abcdef" * 2
    where = f"/{server.bucket}/up/"
    server.engine.ask("POST", where + lost, "uploads=")
    server.engine.ask("POST", where + "backup", "uploads=")
    server.engine.ask(
        "PUT", where + lost + ".part.0000000000000000-01234567", body=b"x")
    server.engine.ask("PUT", where + ".probe-0123456789abcdef", body=b"?")
    done = create(server, 5)
    assert patch(done, 0, b"hello")[0] == 204
    server.engine.ask("PUT", where + id_of(done) +
                      ".part.0000000000000000-01234567", body=b"hello")
    # The record says that it was to go, or there is nothing of it any more.
    gone, empty = (create(server, 2 * PART) for _ in range(2))
    record = server.engine.ask("GET", where + id_of(gone) + ".info").body
    server.engine.ask("PUT", where + id_of(gone) + ".info", body=record.replace(
        b'"PartSize"', b'"Terminated":"1","PartSize"'))
    mpu = json.loads(server.engine.ask(
        "GET", where + id_of(empty) + ".info").body)["Storage"]
    server.engine.ask("DELETE", where + id_of(empty),
                      "uploadId=" + mpu["MultipartUpload"])
    server.engine.ask("PUT", where + id_of(empty), body=b"kept")
    said = tusctl(server, "sweep")
    assert "0 leftovers" in said and "backup?uploadId" in said
    if server.engine.process is None:
        # Nothing can be made older there.
        return
    server.engine.age(2 * 86400)
    assert "would be: 0 expired uploads, 6 leftovers" in tusctl(
        server, "sweep", "--dry-run")
    said = tusctl(server, "sweep")
    assert "6 leftovers" in said, said
    for what in ("multipart upload without a record",
                 "segment without a record", "of a finished", "probe of", "that was to go",
                 "record without an upload"):
        assert what in said
    left = [m for m in server.parts() if m not in before[1]]
    assert len(left) == 1 and "backup?uploadId" in said
    done, empty = id_of(done), id_of(empty)
    assert [k for k in server.keys() if k not in (
        "up/.sweep", f"up/{empty}", f"up/{done}", f"up/{done}.info")
    ] == before[0]
    # What is beside a record is not known to be its upload's.
    assert server.engine.ask("GET", where + empty).body == b"kept"
    assert clients.offset(kept) == PART + 1


def test_a_sweep_reads_the_record_of_no_young_upload(server):
    if server.engine.process is None:
        # Nothing can be counted or made older there.
        return
    name = id_of(create(server, 5))

    def reads():
        server.engine.rules()
        tusctl(server, "sweep")
        return [target for method, target, _, _ in server.engine.log()
                if method == "GET" and f"{name}.info" in target]

    assert reads() == []
    server.engine.age(2 * 86400)
    assert len(reads()) > 0


# --- From tusd ----------------------------------------------------------------

def tusd_of(server):
    return tusd.Tusd(server.engine, server.bucket, "up/", PART)


def resume(server, name, data):
    """Goes on as a client does: asks, sends the rest, and reads it all."""
    url = server.url + name
    at = clients.offset(url)
    assert patch(url, at, data[at:])[0] == 204
    assert clients.request("GET", url)[2] == data
    return at


SHAPES = {  # chunks, and the size of tusd's parts
    "nothing": ((), None),
    "a tail": ((100,), None),
    "a part and a tail": ((PART + 10, 50), None),
    "parts of any size": ((3 * PART, PART, 2 * PART + 60, 9), 2 * PART),
    "all but the last byte": ((6 * PART + 76,), 2 * PART + 1)}


@pytest.mark.parametrize("name", SHAPES)
def test_an_unfinished_upload_of_tusd_is_adopted(server, name):
    chunks, part = SHAPES[name]
    data = content(6 * PART + 77)
    t = tusd_of(server)
    whole = t.create(len(data), {"filename": "a.txt"})
    own, _, mpu = whole.partition("+")
    sent = 0
    for n in chunks:
        t.write(whole, data[sent:sent + n], part)
        sent += n
    assert t.info(whole)["Offset"] == sent
    row = json.loads(tusctl(server, "list", "--json"))
    assert (row["offset"], row["size"], row["settled"]) == (
        sent, len(data), False)
    # Not before it is adopted: tusd may still be there.
    assert clients.request("HEAD", server.url + own)[0] in (423, 503)
    assert "1 unfinished uploads adopted" in tusctl(server, "adopt")
    assert f"up/{own}.part" not in server.keys()
    assert clients.offset(server.url + own) == sent
    assert "1 unfinished uploads adopted" in tusctl(server, "adopt")
    assert resume(server, own, data) == sent
    assert sorted(server.keys()) == [f"up/{own}", f"up/{own}.info"]
    assert mpu not in server.parts()
    assert "0 damaged" in tusctl(server, "check")


def test_a_deferred_upload_of_tusd_is_adopted(server):
    data = content(3 * PART + 5)
    t = tusd_of(server)
    whole = t.create(None)
    own = whole.partition("+")[0]
    t.write(whole, data[:PART + 3])
    tusctl(server, "adopt")
    url = server.url + own
    assert clients.offset(url) == PART + 3
    assert patch(url, PART + 3, data[PART + 3:],
                 **{"Upload-Length": str(len(data))})[0] == 204
    assert clients.request("GET", url)[2] == data


def test_a_finished_upload_of_tusd_is_served_as_it_is(server):
    t = tusd_of(server)
    for data in (content(2 * PART + 1), b"hello"):
        whole = t.create(len(data), {"filename": "a.txt"})
        own = whole.partition("+")[0]
        t.write(whole, data)
        t.finish(whole)
        record = server.engine.ask(
            "GET", f"/{server.bucket}/up/{own}.info").body
        url = server.url + own
        assert clients.offset(url) == len(data)
        assert clients.request("GET", url)[2] == data
        assert "0 unfinished uploads adopted" in tusctl(server, "adopt")
        assert record == server.engine.ask(
            "GET", f"/{server.bucket}/up/{own}.info").body
        assert "0 damaged" in tusctl(server, "check")
        assert clients.request("DELETE", url)[0] == 204
        assert clients.request("HEAD", url)[0] == 404
        assert not server.keys()


def test_a_gap_in_the_parts_of_tusd_is_damage(server):
    """tusd counts the sum, so that its offset was a lie."""
    data = content(6 * PART)
    t = tusd_of(server)
    whole = t.create(len(data))
    own, _, mpu = whole.partition("+")
    for n in (1, 3):
        t.ask("PUT", own, f"partNumber={n}&uploadId={mpu}", data[:PART])
    assert t.info(whole)["Offset"] == 2 * PART
    said = tusctl(server, "adopt", status=1)
    assert "part 2 is missing" in said and "1 damaged" in said
    assert t.info(whole)["Offset"] == 2 * PART


def test_what_cannot_be_adopted_is_named(server):
    t = tusd_of(server)
    for name in ("a.b", "dir/x", "z" * 65):
        t.write_info(name, {"ID": name + "+1", "Size": 1})
    t.ask("PUT", "nobody.part", body=b"x")
    said = tusctl(server, "adopt", status=1)
    for name in ("up/a.b.info", "up/dir/x.info", "up/nobody.part"):
        assert name + ": left alone" in said
    assert "4 files left alone" in said


# --- And back -----------------------------------------------------------------

@pytest.mark.parametrize("size, sent", [
    (10, 4), (PART, 0), (3 * PART, 5), (5 * PART, 2 * PART + 9),
    (5 * PART, 2 * PART), (None, PART + 1)])
def test_a_settled_upload_is_one_of_tusd(server, size, sent):
    data = content(size or 5 * PART)
    url = create(server, size, **{"Upload-Metadata": "filename YQ=="})
    for piece in (slice(0, sent // 2), slice(sent // 2, sent)):
        assert patch(url, piece.start, data[piece])[0] == 204
    assert "nothing to settle" in tusctl(server, "settle")
    for _ in range(2):
        assert "1 unfinished uploads settled" in tusctl(
            server, "settle", "--tusd")
    t = tusd_of(server)
    record = json.loads(server.engine.ask(
        "GET", f"/{server.bucket}/up/{id_of(url)}.info").body)
    whole = record["ID"]
    assert whole == f"{id_of(url)}+{record['Storage']['MultipartUpload']}"
    assert record["MetaData"] == {"filename": "a"}
    assert record["Storage"]["Key"] == f"up/{id_of(url)}"
    info = t.info(whole)
    assert info["Offset"] == sent
    assert info["SizeIsDeferred"] == (size is None)
    if size is None:
        t.write_info(id_of(url), {**info, "Offset": 0, "Size": len(data),
                                  "SizeIsDeferred": False})
    # Part there, part here again, and to its end.
    t.write(whole, data[sent:sent + 2])
    assert t.info(whole)["Offset"] == sent + 2
    assert "1 unfinished uploads adopted" in tusctl(server, "adopt")
    assert resume(server, id_of(url), data) == sent + 2


def test_tusd_finishes_what_was_settled(server):
    data = content(5 * PART)
    url = create(server, len(data))
    assert patch(url, 0, data[:PART + 5])[0] == 204
    tusctl(server, "settle", "--tusd")
    t = tusd_of(server)
    whole = json.loads(server.engine.ask(
        "GET", f"/{server.bucket}/up/{id_of(url)}.info").body)["ID"]
    t.write(whole, data[PART + 5:])
    t.finish(whole)
    assert t.content(whole) == data
    # And it is finished here, too, when it comes back.
    assert clients.offset(url) == len(data)
    assert clients.request("GET", url)[2] == data


def test_what_was_settled_and_stayed_goes_on(server):
    data = content(5 * PART)
    url = create(server, len(data))
    assert patch(url, 0, data[:PART + 5])[0] == 204
    tusctl(server, "settle", "--tusd")
    assert f"up/{id_of(url)}.part" in server.keys()
    assert clients.offset(url) == PART + 5
    at = PART + 5
    for _ in range(2):
        assert patch(url, at, data[at:at + PART])[0] == 204
        at += PART
    # The tail that was for tusd counts for nobody now.
    assert f"up/{id_of(url)}.part" not in server.keys()
    tusctl(server, "adopt")
    assert resume(server, id_of(url), data) == at
    assert sorted(server.keys()) == [
        f"up/{id_of(url)}", f"up/{id_of(url)}.info"]


def test_urls_of_tusd_are_good_where_they_are_allowed(server):
    data = content(3 * PART + 5)
    t = tusd_of(server)
    whole = t.create(len(data))
    t.write(whole, data[:PART + 3])
    tusctl(server, "adopt")
    assert clients.request("HEAD", server.url + whole)[0] == 404
    server.stop_app()
    server.s3["tusd_urls"] = True
    server.configure({})
    server.start_app()
    assert resume(server, whole, data) == PART + 3
    part = create(server, 2, **{"Upload-Concat": "partial"})
    assert patch(part, 0, b"ab")[0] == 204
    path = part[len(server.origin):]
    assert clients.request("POST", server.url, {
        "Upload-Concat": f"final;{path}+x {path}"})[0] == 201
