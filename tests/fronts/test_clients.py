"""Clients by front ends: each upload arrives byte for byte."""

import http.client
import re
import subprocess

import pytest

from lib import browser, clients, rig

tusclient = pytest.importorskip("tusclient.client",
                                reason="no python3-tuspy")
storage = pytest.importorskip("tusclient.storage.filestorage")

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


def piece(front, usual):
    """How much a client may send in one request here."""
    return min(usual, front.front_end.longest or usual)


# --- tus-js-client in Node ---------------------------------------------------

WAYS = {
    "plain": {},
    "in pieces": {"chunkSize": 512 * 1024},
    "with data during creation": {"uploadDataDuringCreation": True},
    "with PATCH hidden in POST": {"overridePatchMethod": True},
    "with parts in parallel": {"parallelUploads": 2},
    "of unknown length": {"uploadLengthDeferred": True,
                          "chunkSize": 512 * 1024},
}


@pytest.mark.parametrize("way", WAYS)
def test_tus_js_client(front, file, way):
    need_tus_js()
    options = dict(WAYS[way])
    options["chunkSize"] = piece(front, options.get("chunkSize", 2 * SIZE))
    seen = clients.tus_js(front.url, file, options=options,
                          stream="uploadLengthDeferred" in options)
    arrived(seen["url"], file)
    assert {status for _, status in seen["requests"]} <= {200, 201, 204}


def test_tus_js_client_killed_and_resumed(front, file, tmp_path):
    need_tus_js()
    store = str(tmp_path / "urls.json")
    options = {"chunkSize": piece(front, front.front_end.piece or MIB)}
    clients.tus_js(front.url, file, status=-9, store=store, dieAt=SIZE * 2 // 3,
                   options=options)
    seen = clients.tus_js(front.url, file, store=store, options=options)
    arrived(seen["url"], file)
    assert seen["requests"][0] == ["HEAD", 200]
    assert ["POST", 201] not in seen["requests"]
    assert seen["first"] >= options["chunkSize"]


def test_tus_js_client_terminates(front, file):
    need_tus_js()
    seen = clients.tus_js(front.url, file, terminate=True, options={
        "chunkSize": piece(front, 2 * SIZE)})
    assert clients.request("HEAD", seen["url"])[0] == 404


# --- Browsers ----------------------------------------------------------------

def need_page(front, name):
    if browser.missing():
        pytest.skip(browser.missing())
    if not (front.page / name).exists():
        pytest.skip(f"no {name}: could npm fetch what it needs?")


def test_our_page_in_chromium_paused_reloaded_resumed(front, tmp_path):
    need_page(front, "tus.min.js")
    # So large that the browser does not keep it and it is chosen again.
    file = clients.make_file(tmp_path / "Lake at dawn.mov", 20 * MIB)
    # One piece, or one buffer of the web server; and a browser counts ahead.
    seen = browser.play("resume", front.origin + "/", tmp_path, file, slack=10)
    arrived(seen["links"][0], file)


def test_uppy_in_chromium_paused_reloaded_resumed(front, tmp_path):
    need_page(front, "uppy/app.js")
    files = [clients.make_file(tmp_path / f"{n}.bin", 2000000, seed=n.encode())
             for n in ("one", "two", "three")]
    seen = browser.play(
        "resume", f"{front.origin}/uppy/?endpoint={front.base}/&chunkSize="
        f"{front.front_end.piece or ''}", tmp_path, *files, script="uppy.mjs")
    for url, one in zip(seen["links"], files):
        arrived(url, one)
    # The reload did not begin anew.
    assert seen["methods"].count("POST") == len(files)


# --- tuspy -------------------------------------------------------------------

def test_tuspy(front, file):
    uploader = tusclient.TusClient(front.url).uploader(
        str(file), chunk_size=piece(front, MIB),
        metadata={"filename": file.name}, upload_checksum=True)
    uploader.upload()
    arrived(uploader.url, file)


def test_tuspy_stopped_and_resumed(front, file, tmp_path):
    size = piece(front, MIB)
    store = storage.FileStorage(str(tmp_path / "store.json"))

    def uploader():
        return tusclient.TusClient(front.url).uploader(
            str(file), chunk_size=size, store_url=True, url_storage=store)

    first = uploader()
    first.upload_chunk()
    again = uploader()
    assert (again.url, again.offset) == (first.url, size)
    again.upload()
    arrived(again.url, file)


# --- By hand, and what is rare -----------------------------------------------

def test_curl_word_by_word_as_in_the_readme(front):
    if not rig.have("curl"):
        pytest.skip("no curl")
    text = re.search(r"^## By hand\n.*?^```sh\n(.*?)^```",
                     (rig.TREE / "README.md").read_text(), re.M | re.S)[1]
    for old, new in (("http://127.0.0.1:8080", front.origin),
                     ("/files/", front.base + "/")):
        assert old in text
        text = text.replace(old, new)
    run = subprocess.run(["sh", "-e", "-c", text], capture_output=True,
                         text=True, timeout=60, check=True)
    assert re.search(r"^HTTP/1.1 204 .*^Upload-Offset: 6\b.*"
                     r"^HTTP/1.1 200 .*^Upload-Offset: 6\b.*\nhello\n$",
                     run.stdout, re.M | re.S), run.stdout


def java(front, url, offset, data):
    """A request as tus-java-client makes it: POST for PATCH, no length."""
    conn = http.client.HTTPConnection("127.0.0.1", front.port, timeout=30)
    conn.request(
        "POST", url[len(front.origin):],
        iter([data[i:i + 16384] for i in range(0, len(data), 16384)]),
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
    size = piece(front, MIB)
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
