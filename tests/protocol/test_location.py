"""LOC: what stands in Location."""

import pytest

ids = pytest.mark.ids
only = pytest.mark.only

FORWARDED = {
    "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https",
    "Forwarded": "host=evil.example;proto=https"}


def location(tus, headers=None, **options):
    reply = tus.post({"Upload-Length": 1, **(headers or {})}, **options)
    assert reply.status == 201, reply
    return reply["Location"]


@ids("LOC-01", "LOC-04")
def test_a_path_by_default(tus):
    for headers in ({}, FORWARDED, {"Host": "example.org"}):
        assert location(tus, headers).startswith("/files/")


@ids("LOC-01", "CREATE-02")
def test_absolute_from_the_host(serve):
    tus = serve({"location": "absolute"})
    for host in ("example.org", "example.org:8443", "[::1]:80"):
        url = location(tus, {"Host": host})
        assert url.startswith(f"http://{host}/files/")
        assert tus.head(url).status == 200


@only("fastcgi")
@ids("LOC-01")
@pytest.mark.parametrize("params, scheme", [
    ({"HTTPS": "on"}, "https"), ({"REQUEST_SCHEME": "https"}, "https"),
    ({"HTTPS": "off", "REQUEST_SCHEME": "http"}, "http"),
    ({"HTTPS": "", "REQUEST_SCHEME": None}, "http"),
    ({"REQUEST_SCHEME": "javascript"}, "http")])
def test_the_scheme_is_what_the_web_server_says(serve, params, scheme):
    tus = serve({"location": "absolute"})
    url = location(tus, {"Host": "example.org"}, params=params)
    assert url.startswith(f"{scheme}://example.org/files/")


@only("fastcgi")
@ids("LOC-02", "LOC-06")
@pytest.mark.parametrize("host", [
    None, "", "a b", "a\r\nX: y", "evil.example/path", "a@b", "a,b", "<x>"])
def test_no_sane_host_no_absolute_location(serve, host):
    tus = serve({"location": "absolute"})
    assert location(tus, params={"HTTP_HOST": host}).startswith("/files/")


@ids("LOC-03")
def test_a_configured_base_url_wins(serve):
    tus = serve({"location": "https://up.example.org"})
    for headers in ({}, FORWARDED, {"Host": "other.example"}):
        assert location(tus, headers).startswith(
            "https://up.example.org/files/")


@ids("LOC-04", "LOC-06")
def test_forwarded_headers_are_ignored(serve):
    tus = serve({"location": "absolute"})
    url = location(tus, {**FORWARDED, "Host": "example.org"})
    assert url.startswith("http://example.org/files/")


@only("fastcgi")
@ids("LOC-08")
def test_the_servers_own_name_is_not_used(serve):
    tus = serve({"location": "absolute"})
    url = location(tus, params={"HTTP_HOST": None, "SERVER_NAME": "wrong",
                                "SERVER_PORT": "99"})
    assert url.startswith("/files/")
