"""CORS: what a page of another origin may do."""

import pytest


ids = pytest.mark.ids

GOOD = "https://good.example"
EVIL = "https://evil.example"

REQUEST_HEADERS = {
    "Authorization", "Origin", "X-Requested-With", "X-Request-ID",
    "X-HTTP-Method-Override", "Content-Type", "Upload-Length",
    "Upload-Offset", "Tus-Resumable", "Upload-Metadata",
    "Upload-Defer-Length", "Upload-Concat", "Upload-Checksum",
    "Upload-Incomplete", "Upload-Complete", "Upload-Draft-Interop-Version",
    "Content-Disposition", "Content-Digest", "Repr-Digest"}
RESPONSE_HEADERS = {
    "Upload-Offset", "Location", "Upload-Length", "Tus-Version",
    "Tus-Resumable", "Tus-Max-Size", "Tus-Extension",
    "Tus-Checksum-Algorithm", "Upload-Metadata", "Upload-Defer-Length",
    "Upload-Concat", "Upload-Expires", "Retry-After", "Upload-Complete",
    "Upload-Limit", "Upload-Draft-Interop-Version"}


def access_control(reply):
    return [n for n, _ in reply.headers
            if n.lower().startswith("access-control-")]


@pytest.fixture
def tus(serve):
    return serve({"cors": {"origins": [GOOD, "http://localhost:8080"]}})


@ids("CORS-01")
def test_without_an_origin_there_is_nothing(tus):
    for reply in (tus.options(), tus.post({"Upload-Length": 1})):
        assert reply.status in (200, 201)
        assert access_control(reply) == []


@ids("CORS-02")
def test_the_preflight(tus):
    for origin in (GOOD, "http://localhost:8080"):
        reply = tus.options(headers={
            "Origin": origin, "Tus-Resumable": None,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "tus-resumable,upload-length"})
        assert reply.status == 200
        assert reply["Access-Control-Allow-Origin"] == origin
        assert "Origin" in reply.tokens("Vary")
        assert reply["Access-Control-Allow-Methods"] == \
            "POST, HEAD, PATCH, OPTIONS, GET, DELETE" + ", PUT" * tus.has_rufh
        assert reply["Access-Control-Max-Age"] == "86400"
        assert REQUEST_HEADERS <= set(
            reply.tokens("Access-Control-Allow-Headers"))
        assert "Access-Control-Allow-Credentials" not in reply


@ids("CORS-03")
def test_the_actual_request(tus):
    origin = {"Origin": GOOD}
    created = tus.post({"Upload-Length": 3, **origin})
    url = created["Location"]
    replies = [created, tus.head(url, origin),
               tus.patch(url, 0, b"abc", origin), tus.get(url, origin),
               tus.delete(url, origin)]
    for reply in replies:
        assert reply.status < 300
        assert reply["Access-Control-Allow-Origin"] == GOOD
        assert "Origin" in reply.tokens("Vary")
        assert RESPONSE_HEADERS <= set(
            reply.tokens("Access-Control-Expose-Headers"))
        assert "Access-Control-Allow-Methods" not in reply


@ids("CORS-04")
def test_refusals_can_be_read_by_the_page(tus):
    origin = {"Origin": GOOD}
    url = tus.create(10)
    replies = {
        404: tus.head("/files/" + "0" * 32, origin),
        409: tus.patch(url, 5, b"x", origin),
        412: tus.head(url, {"Tus-Resumable": None, **origin}),
        415: tus.patch(url, 0, b"x", {"Content-Type": "a/b", **origin}),
        405: tus.request("PUT", url, origin),
        460: tus.patch(url, 0, b"x", {
            "Upload-Checksum": "sha1 YQ==", **origin}),
    }
    for status, reply in replies.items():
        assert reply.status == status
        assert reply["Access-Control-Allow-Origin"] == GOOD
        assert "Access-Control-Expose-Headers" in reply


@ids("CORS-05", "CORS-08")
@pytest.mark.parametrize("origin", [
    EVIL, "null", GOOD + ".evil", "http://good.example", GOOD + ":8443",
    "https://agood.example", GOOD + "/", GOOD.upper(), "*", "x" + GOOD])
def test_other_origins_are_403(tus, origin):
    url = tus.create(10)
    headers = {"Origin": origin}
    with tus.unchanged(url), tus.nothing_created():
        for reply in (
                tus.post({"Upload-Length": 1, **headers}),
                tus.patch(url, 0, b"abc", headers),
                tus.head(url, headers), tus.delete(url, headers),
                tus.options(url, headers), tus.get(url, headers)):
            assert reply.status == 403
            if reply.body:
                assert reply.code == "ERR_ORIGIN_NOT_ALLOWED"
            assert access_control(reply) == []


@ids("CORS-06")
def test_credentials_only_where_configured(serve):
    tus = serve({"cors": {"origins": [GOOD], "credentials": True}})
    for reply in (tus.options(headers={"Origin": GOOD}),
                  tus.post({"Upload-Length": 1, "Origin": GOOD})):
        assert reply["Access-Control-Allow-Credentials"] == "true"
        assert reply["Access-Control-Allow-Origin"] == GOOD


@ids("CORS-06")
def test_any_origin_never_with_credentials(serve):
    tus = serve({"cors": {"origins": ["*"]}})
    for reply in (tus.options(headers={"Origin": EVIL}),
                  tus.post({"Upload-Length": 1, "Origin": EVIL})):
        assert reply["Access-Control-Allow-Origin"] in ("*", EVIL)
        assert "Access-Control-Allow-Credentials" not in reply


@ids("CORS-07")
def test_disabled_there_is_nothing(serve):
    tus = serve()
    for reply in (tus.options(headers={"Origin": GOOD}),
                  tus.post({"Upload-Length": 1, "Origin": GOOD})):
        assert reply.status in (200, 201)
        assert access_control(reply) == []
        assert "Vary" not in reply


@ids("CORS-02")
def test_what_the_configuration_adds(serve):
    tus = serve({"cors": {"origins": [GOOD], "max_age": 60,
                          "extra_headers": ["X-Mine", "X-Yours"]}})
    reply = tus.options(headers={"Origin": GOOD})
    assert {"X-Mine", "X-Yours"} <= set(
        reply.tokens("Access-Control-Allow-Headers"))
    assert reply["Access-Control-Max-Age"] == "60"
