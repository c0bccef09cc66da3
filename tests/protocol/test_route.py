"""ROUTE: which methods are attached where."""

import pytest

ids = pytest.mark.ids


@ids("ROUTE-01")
def test_the_slash_and_the_query_do_not_matter(tus):
    for target in ("/files", "/files/", "/files?a=b", "/files/?a=/x"):
        reply = tus.request("POST", target, {"Upload-Length": 3})
        assert reply.status == 201
        url = reply["Location"]
        assert tus.head(url + "?x=y/z").status == 200
        assert tus.patch(url + "?", 0, b"abc").status == 204


@ids("ROUTE-02", "SEC-08")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
def test_upload_methods_on_the_collection_are_405(tus, method):
    for target in ("/files", "/files/"):
        reply = tus.request(method, target)
        assert reply.status == 405
        assert sorted(reply.tokens("Allow")) == ["OPTIONS", "POST"]


@ids("ROUTE-03")
def test_post_to_an_upload_is_405(serve):
    tus = serve()
    with tus.nothing_created():
        reply = tus.request("POST", "/files/" + "0" * 32,
                            {"Upload-Length": 1})
    assert reply.status == 405
    assert reply["Allow"] == "HEAD, PATCH, DELETE, GET, OPTIONS"
    less = serve({"extensions": {"termination": False, "download": False}})
    reply = less.request("POST", less.create(1), {"Upload-Length": 1})
    assert (reply.status, reply["Allow"]) == (405, "HEAD, PATCH, OPTIONS")


@ids("ROUTE-04")
@pytest.mark.parametrize("method", ["PUT", "FOO", "PROPFIND"])
def test_other_methods_are_405(tus, method):
    for target in ("/files/", tus.create(1)):
        assert tus.request(method, target).status == 405


@ids("ROUTE-04")
def test_trace_is_405_by_whoever_answers(tus):
    """nginx refuses TRACE by itself."""
    ours = tus.name == "fastcgi"
    assert tus.request("TRACE", tus.create(1), is_ours=ours).status == 405


@ids("ROUTE-06")
@pytest.mark.parametrize("target", [
    "/", "/other", "/filesystem", "/file", "/files0/x", "/Files/"])
def test_outside_the_base_path_is_404(serve, target):
    tus = serve({"base_path": "/files"})
    ours = tus.name == "fastcgi"
    for method in ("POST", "HEAD", "PATCH", "DELETE"):
        reply = tus.request(method, target, {"Upload-Length": 1},
                            is_ours=ours)
        assert reply.status in ((404,) if ours else (404, 405))


@ids("ROUTE-06")
def test_another_base_path(serve):
    """The configured one counts, whatever the web server calls it."""
    tus = serve({"base_path": "/files/deep"})
    reply = tus.request("POST", "/files/deep/", {"Upload-Length": 3})
    assert reply.status == 201
    assert reply["Location"].startswith("/files/deep/")
    assert tus.patch(reply["Location"], 0, b"abc").status == 204
    assert tus.request("POST", "/files/", {"Upload-Length": 3}).status == 404


@ids("ROUTE-07")
def test_a_slash_behind_an_upload_does_not_matter(tus):
    url = tus.create(6)
    assert tus.head(url + "/").status == 200
    assert tus.patch(url + "/", 0, b"abc").status == 204
    assert tus.patch(url + "/?x", 3, b"def").status == 204
    assert tus.data(url) == b"abcdef"
    if tus.name == "fastcgi":
        # nginx makes one of them.
        assert tus.head(url + "//").status == 404
    assert tus.delete(url + "/").status == 204
    assert tus.head(url).status == 404


@ids("ROUTE-08")
def test_unreserved_characters_may_be_escaped(tus):
    url = tus.create(3)
    base, name = url.rsplit("/", 1)
    escaped = "".join(f"%{ord(ch):02X}" for ch in name)
    assert tus.head(f"/%66ile%73/{escaped}").status == 200
    assert tus.patch(f"{base}/%{ord(name[0]):02x}{name[1:]}", 0,
                     b"abc").status == 204
    assert tus.data(url) == b"abc"


@ids("ROUTE-08")
def test_nothing_is_decoded_twice_and_dots_lead_nowhere(tus):
    """A web server may read such a path in another way than we do."""
    url = tus.finished(b"abc")
    base, name = url.rsplit("/", 1)
    twice = "".join(f"%25{ord(ch):02x}" for ch in name)
    for target in (f"{base}/{twice}", f"{base}/./{name}", f"{base}%2f{name}",
                   f"{base}/x/../{name}", f"{base}/x/%2e%2e/{name}",
                   f"{base}/{name}/.", f"{base}/{name}%00",
                   f"{base}/{name}%2F", f"{base}/{name}%20"):
        for method in ("HEAD", "GET", "DELETE"):
            status = tus.request(method, target, is_ours=False).status
            assert status in (400, 404), (target, status)
        assert tus.request("POST", target, {"Upload-Length": 1},
                           is_ours=False).status in (400, 404), target
    assert tus.data(url) == b"abc"
