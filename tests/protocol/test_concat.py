"""CONCAT: concatenation."""

import fcntl
import os
import threading

import pytest

from lib import client, rig
from lib.record import forge

ids = pytest.mark.ids

UNKNOWN = "/files/" + "0" * 32


def concat(tus, *parts, headers=None):
    return tus.post({"Upload-Concat": "final;" + " ".join(parts),
                     **(headers or {})})


@ids("CONCAT-01")
def test_a_partial_upload(tus):
    url = tus.create(10, {"Upload-Concat": "partial"})
    tus.patch(url, 0, b"abc")
    reply = tus.head(url)
    assert reply["Upload-Concat"] == "partial"
    assert reply["Upload-Offset"] == "3"


@ids("CONCAT-02")
def test_a_partial_upload_without_a_length_is_400(tus):
    with tus.nothing_created():
        assert tus.post({"Upload-Concat": "partial"}).status == 400


@ids("CONCAT-03", "CONCAT-26")
def test_a_final_upload_is_its_parts(serve):
    tus = serve({"expiration": {"after": "1h"}})
    a, b = tus.partial(b"abc"), tus.partial(b"defg")
    reply = concat(tus, a, b)
    assert (reply.status, reply.body) == (201, b"")
    assert "Upload-Expires" not in reply
    url = reply["Location"]
    reply = tus.head(url)
    assert reply["Upload-Length"] == reply["Upload-Offset"] == "7"
    assert reply["Upload-Concat"] == f"final;{a} {b}"
    assert "Upload-Expires" not in reply
    assert tus.get(url).body == b"abcdefg"


@ids("CONCAT-18")
def test_parts_go_where_the_configuration_says_so(serve):
    tus = serve({"concatenation": {"keep_parts": False}})
    a, b = tus.partial(b"abc"), tus.partial(b"de")
    url = concat(tus, a, b)["Location"]
    assert tus.get(url).body == b"abcde"

    def wait_until_gone(*parts):
        """They go after the answer."""
        rig.wait_for(lambda: all(
            tus.head(part).status == 404 for part in parts), "parts to go")

    wait_until_gone(a, b)
    part = tus.partial(b"abc")
    url = concat(tus, part, part)["Location"]
    assert tus.get(url).body == b"abcabc"
    wait_until_gone(part)
    # A refused one takes nothing away.
    part = tus.partial(b"abc")
    assert concat(tus, part, UNKNOWN).status == 404
    assert tus.offset(part) == 3


@ids("CONCAT-27", "CONCAT-30")
@pytest.mark.parametrize("keep", [True, False])
def test_a_final_upload_that_is_asked_for_again_is_the_same(serve, keep):
    """Its client may have lost the answer; the parts may be gone by now."""
    tus = serve({"concatenation": {"keep_parts": keep}})
    a, b = tus.partial(b"abc"), tus.partial(b"de")
    metadata = {"Upload-Metadata": "filename d29ybGQudHh0"}
    url = concat(tus, a, b, headers=metadata)["Location"]
    if not keep:
        # A HEAD does not see a part whose files are still being removed.
        ids_of_parts = tuple(client.target_of(p).rsplit("/", 1)[1]
                             for p in (a, b))
        rig.wait_for(lambda: not any(
            name.startswith(ids_of_parts) for name in tus.files()),
            "the files of the parts to go")
    with tus.nothing_created():
        again = concat(tus, client.target_of(a) + "/", b, headers=metadata)
    assert (again.status, again["Location"]) == (201, url)
    assert tus.get(url).body == b"abcde"
    assert concat(tus, a, b, headers={
        **metadata, "Upload-Length": "5"}).status == 400
    # If it was removed, it has never been.
    assert tus.delete(url).status == 204
    again = concat(tus, a, b, headers=metadata)
    assert again.status == (201 if keep else 404)
    if keep:
        assert tus.get(again["Location"]).body == b"abcde"


@ids("CONCAT-27")
def test_another_list_or_metadata_is_another_final_upload(tus):
    a, b = tus.partial(b"abc"), tus.partial(b"de")
    urls = [concat(tus, *parts, headers=headers)["Location"]
            for parts in ((a, b), (b, a), (a, b, b), (a,))
            for headers in ({}, {"Upload-Metadata": "x"},
                            {"Upload-Metadata": "x eQ=="})]
    assert None not in urls and len(set(urls)) == len(urls)


@ids("CONCAT-27")
def test_a_final_upload_of_another_owner_is_another(serve):
    """Nor does anybody learn what the other one has made."""
    tus = serve({"owner": {"param": "TUS_OWNER"}})
    if tus.name != "fastcgi":
        pytest.skip("owners are parameters here")
    a = tus.partial(b"abc")
    urls = []
    for owner in "joe", "sue":
        tus.params = {"TUS_OWNER": owner}
        urls.append(concat(tus, a)["Location"])
    assert len(set(urls)) == 2 and tus.head(urls[0]).status == 404


@ids("CONCAT-27")
def test_a_final_upload_that_died_in_the_making_can_be_made(tus):
    """Its bytes are there, under the very id."""
    a = tus.partial(b"abc")
    url = concat(tus, a)["Location"]
    tus.path(url, ".info").unlink()
    assert tus.head(url).status == 404
    assert concat(tus, a)["Location"] == url
    assert tus.get(url).body == b"abc"


@ids("CONCAT-04", "CONCAT-05", "CONCAT-06")
def test_order_and_repetition(tus):
    a, b = tus.partial(b"abc"), tus.partial(b"defg")
    for parts, data in (((b, a), b"defgabc"), ((a, a), b"abcabc"),
                        ((a, b), b"abcdefg"), ((b, a, b), b"defgabcdefg")):
        url = concat(tus, *parts)["Location"]
        assert tus.get(url).body == data


@ids("CONCAT-07")
@pytest.mark.parametrize("form", [
    "{path}", "{path}/", "http://example.org{path}", "{id}",
    "https://example.org:8443{path}/", "files/{id}", " {path}", "  {path}  ",
    "//example.org{path}", "{path}?x=1", "http://example.org{path}/?/a#b",
    "{path}#x", "/%66iles/{escaped}", "//[::1]/%66%69les/{escaped}?", "{escaped}",
    'x-\u00e4"\\://[::1]{path}'], ids=lambda f: ascii(f))
def test_every_form_of_reference(tus, form):
    a, b = tus.partial(b"abc"), tus.partial(b"de")
    refs = [form.format(
        path=p, id=tus.id(p), escaped="".join(
            f"%{ord(ch):02x}" for ch in tus.id(p))) for p in (a, b)]
    value = "final;" + " ".join(refs)
    url = tus.create(headers={"Upload-Concat": value})
    assert tus.get(url).body == b"abcde"
    echo = tus.head(url)["Upload-Concat"].encode("latin-1").decode()
    assert echo == value.strip()


@ids("CONCAT-07", "CONCAT-12", "SEC-01")
@pytest.mark.parametrize("form", [
    "/files/%25{id}", "/files%2F{id}", "/files/{id}%2f", "/files/./{id}",
    "/files/%2e%2e/files/{id}", "/other/{id}", "//files/{id}x",
    "http://h/x/files/{id}", "http://h?/files/{id}", "/files/{id}//",
    "/u/files/{id}", "http:/files/{id}/x"])
def test_another_path_is_404(tus, form):
    part = tus.partial(b"abc")
    with tus.nothing_created():
        reply = tus.post({"Upload-Concat":
                          "final;" + form.format(id=tus.id(part))})
    assert reply.status == 404


@ids("CONCAT-28")
@pytest.mark.parametrize("config, headers, start", [
    ({"location": "https://up.example/u"}, {}, "https://up.example/u/files/"),
    ({"location": "https://up.example/u/"}, {}, "https://up.example/u/files/"),
    ({"location": "https://up.example"}, {}, "https://up.example/files/"),
    ({"location": "absolute"}, {"Host": "up.example"},
     "http://up.example/files/"),
    ({"trust_forwarded": True}, {"X-Forwarded-Prefix": "/u"}, "/u/files/"),
    ({"trust_forwarded": True, "location": "absolute"},
     {"Host": "up.example", "X-Forwarded-Prefix": "/u/v"},
     "http://up.example/u/v/files/")])
def test_every_form_of_our_own_location(serve, config, headers, start):
    """As parallel clients do it: with what they were told."""
    tus = serve(config)
    parts = []
    for data in (b"abc", b"de"):
        reply = tus.post({**headers, "Upload-Length": len(data),
                          "Upload-Concat": "partial"})
        where = reply["Location"]
        assert where.startswith(start)
        parts.append(where)
        assert tus.patch("/files/" + where.rsplit("/", 1)[1], 0,
                         data).status == 204
    path = [p[p.index("/", p.find("://") + 3):] for p in parts]
    for refs in (parts, path, [p + "/" for p in path],
                 ["//elsewhere" + p + "?x" for p in path],
                 [p[p.index("/files/"):] for p in path]):
        reply = tus.post({**headers, "Upload-Concat":
                          "final;" + " ".join(refs)})
        assert reply.status == 201, refs
        assert reply["Location"].startswith(start)
        name = reply["Location"].rsplit("/", 1)[1]
        assert tus.get("/files/" + name).body == b"abcde"


@ids("CONCAT-08")
def test_a_final_upload_takes_no_patch(tus):
    part = tus.partial(b"abc")
    final = concat(tus, part)["Location"]
    with tus.unchanged(final), tus.unchanged(part):
        for offset, body in ((3, b""), (3, b"x"), (0, b""), (9, b"x")):
            reply = tus.patch(final, offset, body)
            assert (reply.status, reply.code) == (403, "ERR_MODIFY_FINAL")


@ids("CONCAT-09")
@pytest.mark.parametrize("headers", [
    {"Upload-Length": 3}, {"Upload-Length": 0}, {"Upload-Defer-Length": "1"}])
def test_a_final_upload_with_a_length_is_400(tus, headers):
    part = tus.partial(b"abc")
    with tus.nothing_created():
        assert concat(tus, part, headers=headers).status == 400


@ids("CONCAT-11")
def test_an_unfinished_part_is_400(tus):
    done = tus.partial(b"abc")
    unfinished = tus.create(10, {"Upload-Concat": "partial"})
    undeclared = tus.create(headers={
        "Upload-Concat": "partial", "Upload-Defer-Length": "1"})
    tus.patch(undeclared, 0, b"abc")
    with tus.nothing_created():
        for part in (unfinished, undeclared):
            reply = concat(tus, done, part)
            assert (reply.status, reply.code) == (
                400, "ERR_UPLOAD_NOT_FINISHED")


@ids("CONCAT-12")
@pytest.mark.parametrize("ref", [
    UNKNOWN, "/other/{id}", "http://example.org/other/{id}", "{path}.info",
    "/files/../../etc/passwd", "/files/%2e%2e/x", "/files/", "/",
    "{path}//", "/files/%30{id}", "http://example.org",
    "file:///etc/passwd"])
def test_an_unknown_part_is_404(tus, ref):
    part = tus.partial(b"abc")
    ref = ref.format(path=part, id=tus.id(part))
    with tus.nothing_created():
        assert concat(tus, part, ref).status == 404


@ids("CONCAT-13")
def test_a_part_that_is_none_is_400(tus):
    part = tus.partial(b"abc")
    final = concat(tus, part)["Location"]
    plain = tus.finished(b"abc")
    with tus.nothing_created():
        for other in (final, plain):
            assert concat(tus, part, other).status == 400


@ids("CONCAT-14")
@pytest.mark.parametrize("value", [
    "test", "final", "final;", "final; ", "partial;x", "Final;{path}",
    "PARTIAL", "", "final {path}", "partial, partial", ";{path}",
    # What HEAD could not say.
    "final;http://a\x01{path}", "final;http://a\x7f{path}"],
    ids=lambda v: ascii(v))
def test_a_malformed_header_is_400(tus, value):
    part = tus.partial(b"abc")
    value = value.format(path=part)
    with tus.nothing_created():
        for headers in ({}, {"Upload-Length": 5}):
            reply = tus.post({"Upload-Concat": value, **headers})
            assert (reply.status, reply.code) == (400, "ERR_INVALID_CONCAT")


@ids("CONCAT-15")
def test_metadata_is_the_final_uploads_own(tus):
    part = tus.finished(b"abc", {"Upload-Concat": "partial",
                                 "Upload-Metadata": "filename YQ=="})
    reply = tus.head(concat(tus, part)["Location"])
    assert "Upload-Metadata" not in reply
    url = concat(tus, part, headers={"Upload-Metadata": "x eA=="})["Location"]
    assert tus.head(url)["Upload-Metadata"] == "x eA=="


@ids("CONCAT-16")
def test_the_sum_is_limited(serve):
    tus = serve({"max_size": 1000})
    part = tus.partial(b"x" * 400)
    assert concat(tus, part, part).status == 201
    with tus.nothing_created():
        reply = concat(tus, part, part, part)
        assert (reply.status, reply.code) == (413, "ERR_MAX_SIZE_EXCEEDED")


@ids("CONCAT-16")
def test_a_sum_beyond_63_bits_is_413(tus):
    """Finished uploads of 2^62 bytes do not fit a disk: forge the sizes."""
    part = tus.partial(b"abc")
    size = 2 ** 43
    try:
        os.truncate(tus.path(part), size)
    except OSError:
        pytest.skip("this file system has no files of 8 TiB")
    for key in ("Offset", "Size"):
        forge(tus.path(part, ".info"), key, size)
    assert tus.offset(part) == size
    # 2^43 * 800 is 2^52.6; the header holds no more, so the limit of free
    # space comes first: nothing may be created in either case.
    with tus.nothing_created():
        reply = concat(tus, *[tus.id(part)] * 100)
        assert reply.status in (413, 507)
    tus.delete(part)


@ids("CONCAT-17")
def test_parts_without_bytes(tus):
    empty, part = tus.partial(b""), tus.partial(b"abc")
    assert tus.get(concat(tus, empty, part, empty)["Location"]).body == b"abc"
    reply = tus.head(concat(tus, empty, empty)["Location"])
    assert reply["Upload-Length"] == reply["Upload-Offset"] == "0"


@ids("CONCAT-18")
def test_parts_are_kept(tus):
    part = tus.partial(b"abc")
    concat(tus, part)
    assert tus.offset(part) == 3


@ids("CONCAT-19")
def test_an_ordinary_upload_has_no_such_header(tus):
    assert "Upload-Concat" not in tus.head(tus.create(3))
    assert "Upload-Concat" not in tus.head(tus.finished(b"abc"))


@ids("CONCAT-22")
def test_no_part_is_locked(tus):
    part = tus.partial(b"abc")
    with open(tus.path(part, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert concat(tus, part).status == 201
    tus.path(part, ".lock").unlink()


@ids("CONCAT-22")
def test_a_part_deleted_meanwhile(tus):
    """Whole, or 404 and nothing there."""
    data = b"0123456789" * 50000
    for _ in range(10):
        parts = [tus.partial(data) for _ in range(3)]
        thread = threading.Thread(target=tus.delete, args=(parts[2],))
        thread.start()
        reply = concat(tus, *parts)
        thread.join()
        assert reply.status in (201, 404), reply
        if reply.status == 201:
            assert tus.data(reply["Location"]) == data * 3
            tus.delete(reply["Location"])
        for part in parts:
            tus.delete(part)


@ids("CONCAT-23")
def test_two_orders_at_once(tus):
    a, b = tus.partial(b"a" * 100000), tus.partial(b"b" * 100000)
    results = []

    def make(parts, data):
        for _ in range(10):
            url = concat(tus, *parts)["Location"]
            results.append(tus.data(url) == data)

    threads = [
        threading.Thread(target=make, args=((a, b), b"a" * 10 ** 5 +
                                            b"b" * 10 ** 5)),
        threading.Thread(target=make, args=((b, a), b"b" * 10 ** 5 +
                                            b"a" * 10 ** 5))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert results == [True] * 20


@ids("CONCAT-24")
def test_a_hundred_parts(tus):
    parts = [tus.create(3, {"Upload-Concat": "partial"}, b"%03d" % i)
             for i in range(100)]
    refs = [f"https://example.org{p}" for p in parts]
    assert len(" ".join(refs)) > 5800
    url = concat(tus, *refs)["Location"]
    assert tus.data(url) == b"".join(b"%03d" % i for i in range(100))
    assert tus.head(url)["Upload-Concat"] == "final;" + " ".join(refs)


@ids("CONCAT-24")
def test_no_space_for_the_final_upload_is_507(serve):
    roomy = serve(own=True)
    part = roomy.partial(b"abc" * 1000)
    roomy.server.stop_app()
    roomy.server.configure({"store": {"min_free": 2 ** 60},
                            "pool": {"mode": "0660"}})
    roomy.server.start_app()
    with roomy.nothing_created():
        reply = concat(roomy, part, part)
        assert (reply.status, reply.code) == (507, "ERR_NO_SPACE")


@ids("CONCAT-26")
def test_where_it_is_disabled_the_header_is_400(serve):
    tus = serve({"extensions": {"concatenation": False}})
    assert "concatenation" not in tus.options().tokens("Tus-Extension")
    with tus.nothing_created():
        for value in ("partial", "final;/files/x"):
            reply = tus.post({"Upload-Concat": value, "Upload-Length": 5})
            assert (reply.status, reply.code) == (
                400, "ERR_CONCATENATION_UNSUPPORTED")


@ids("CONCAT-09")
def test_a_final_upload_has_no_offset_in_its_201(tus):
    reply = concat(tus, tus.partial(b"abc"),
                   headers={"Content-Type": client.BODY})
    assert reply.status == 201
    assert "Upload-Offset" not in reply
