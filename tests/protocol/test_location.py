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


@ids("LOC-05", "LOC-06")
@pytest.mark.parametrize("headers, start", [
    ({"X-Forwarded-Host": "a.example", "X-Forwarded-Proto": "https"},
     "https://a.example/"),
    ({"X-Forwarded-Host": "a.example:443, b.example",
      "X-Forwarded-Proto": "https, http"}, "https://a.example/"),
    ({"X-Forwarded-Host": "a.example:80"}, "http://a.example/"),
    ({"X-Forwarded-Proto": "javascript"}, "http://own.example/"),
    ({"Forwarded": 'for=1.2.3.4;host="a.example:8443";proto=https, host=b'},
     "https://a.example:8443/"),
    ({"Forwarded": "host=b.example", "X-Forwarded-Host": "a.example",
      "X-Forwarded-Proto": "https"}, "https://b.example/"),
    ({}, "http://own.example/"),
    # What is no host reaches no header.
    ({"X-Forwarded-Host": "evil.example/path"}, "/files/"),
    ({"Forwarded": 'host="a b"'}, "/files/"),
    ({"Forwarded": 'host="a\\\t<x>"'}, "/files/")])
def test_a_trusted_proxy_says_where_we_are(serve, headers, start):
    tus = serve({"location": "absolute", "trust_forwarded": True})
    url = location(tus, {"Host": "own.example", **headers})
    assert url.startswith(start)
    assert url.count("/files/") == 1


@ids("LOC-05", "CORS-05")
def test_a_page_of_the_host_that_a_trusted_proxy_names_is_ours(serve):
    tus = serve({"trust_forwarded": True,
                 "cors": {"origins": ["https://good.example"]}})
    for host, status in (("up.example", 201), ("other.example", 403)):
        reply = tus.post({"Upload-Length": 1, "X-Forwarded-Host": host,
                          "Origin": "https://up.example"})
        assert reply.status == status


@only("fastcgi")
@ids("LOC-08")
def test_the_servers_own_name_is_not_used(serve):
    tus = serve({"location": "absolute"})
    url = location(tus, params={"HTTP_HOST": None, "SERVER_NAME": "wrong",
                                "SERVER_PORT": "99"})
    assert url.startswith("/files/")


@ids("LOC-07")
@pytest.mark.parametrize("prefix, start", [
    ("/up", "/up/files/"), ("/up/", "/up/files/"), ("/a, /b", "/a/files/"),
    ("/", "/files/"), ("", "/files/"), ("up", "/files/"),
    ("//evil.example", "/files/"), ("/\\evil.example", "/files/"),
    ("/a/../b", "/files/"), ("/a?b", "/files/"), ("/a#b", "/files/"),
    ("https://evil.example", "/files/")])
def test_a_trusted_proxy_says_what_it_strips(serve, prefix, start):
    headers = {"X-Forwarded-Prefix": prefix}
    tus = serve({"trust_forwarded": True})
    assert location(tus, headers).startswith(start)
    assert location(serve(), headers).startswith("/files/")
    tus = serve({"trust_forwarded": True, "location": "absolute"})
    assert location(tus, {**headers, "Host": "a.example"}).startswith(
        "http://a.example" + start)
    tus = serve({"trust_forwarded": True, "location": "https://b.example/u"})
    assert location(tus, headers).startswith("https://b.example/u/files/")
