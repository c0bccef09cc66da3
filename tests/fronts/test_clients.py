"""Clients by front ends: each upload arrives byte for byte."""

import http.client

import pytest

from lib import clients, rig

tusclient = pytest.importorskip("tusclient.client",
                                reason="no python3-tuspy")

MIB = 1 << 20
SIZE = 2 * MIB + 4711
PATCH = "application/offset+octet-stream"


def need_tus_js():
    if not rig.have("node"):
        pytest.skip("no node")
    if not (clients.WEB / "node_modules" / "tus-js-client").is_dir():
        pytest.skip("no tus-js-client: npm ci in tests/web")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return clients.make_file(
        tmp_path_factory.mktemp("file") / "wörld.bin", SIZE)


def arrived(url, file):
    assert clients.offset(url) == file.stat().st_size
    assert clients.download_digest(url) == clients.digest(file)


def create(front, size):
    status, headers, body = clients.request(
        "POST", front.url, {"Upload-Length": str(size)}, b"")
    assert status == 201, (status, body)
    return front.origin + headers["Location"]


def test_tus_js_client(front, file):
    need_tus_js()
    options = {"chunkSize": front.front_end.longest or 2 * MIB}
    seen = clients.tus_js(front.url, file, options=options)
    arrived(seen["url"], file)
    assert {status for _, status in seen["requests"]} == {201, 204}


def test_tus_js_client_that_hides_patch_in_post(front, file):
    need_tus_js()
    options = {"overridePatchMethod": True,
               "chunkSize": front.front_end.longest or 2 * MIB}
    seen = clients.tus_js(front.url, file, options=options)
    arrived(seen["url"], file)


def test_tus_js_client_with_parts_in_parallel(front, file):
    need_tus_js()
    options = {"parallelUploads": 2,
               "chunkSize": front.front_end.longest or 2 * MIB}
    seen = clients.tus_js(front.url, file, options=options)
    arrived(seen["url"], file)


def test_tuspy(front, file):
    uploader = tusclient.TusClient(front.url).uploader(
        str(file), chunk_size=front.front_end.longest or MIB,
        metadata={"filename": file.name}, upload_checksum=True)
    uploader.upload()
    arrived(uploader.url, file)


def java(front, url, offset, piece):
    """A request as tus-java-client makes it: POST for PATCH, no length."""
    conn = http.client.HTTPConnection("127.0.0.1", front.port, timeout=30)
    conn.request(
        "POST", url[len(front.origin):],
        iter([piece[i:i + 16384] for i in range(0, len(piece), 16384)]),
        {"Tus-Resumable": "1.0.0", "X-HTTP-Method-Override": "PATCH",
         "Upload-Offset": str(offset), "Content-Type": PATCH,
         "Expect": "100-continue", "Transfer-Encoding": "chunked"},
        encode_chunked=True)
    answer = conn.getresponse()
    answer.read()
    conn.close()
    return answer.status


@pytest.mark.having("chunked")
def test_bodies_of_unknown_length_as_tus_java_client_sends(front, file):
    data = file.read_bytes()
    size = front.front_end.longest or MIB
    url = create(front, SIZE)
    for at in range(0, SIZE, size):
        assert java(front, url, at, data[at:at + size]) == 204
    arrived(url, file)


@pytest.mark.lacking("chunked")
def test_a_body_of_unknown_length_is_refused_and_not_cut(front, file):
    url = create(front, SIZE)
    assert java(front, url, 0, file.read_bytes()[:MIB]) == 411
    assert clients.offset(url) == 0


def test_old_clients_that_know_only_get_and_post(front):
    url = create(front, 5)

    def post(method, headers=None, body=b""):
        return clients.request("POST", url, {
            "X-HTTP-Method-Override": method, **(headers or {})}, body)

    status, headers, _ = post("PATCH", {
        "Upload-Offset": "0", "Content-Type": PATCH}, b"hello")
    assert (status, headers["Upload-Offset"]) == (204, "5")
    status, headers, _ = post("HEAD")
    assert (status, headers["Upload-Offset"]) == (200, "5")
    assert post("DELETE")[0] == 204
    assert clients.request("HEAD", url)[0] == 404
