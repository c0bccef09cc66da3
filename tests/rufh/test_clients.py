"""Real clients by front ends; conftest.py prints what was seen as a table."""

import re
import subprocess

import pytest

from lib import browser, client, clients, rig
from lib.rufh import limits

SIZE = 2 * (1 << 20) + 4711
PIECE = 100000
only = pytest.mark.only
WEB = ("nginx", "lighttpd", "lighttpd-spawn", "apache-proxy", "apache-fcgid")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return clients.make_file(
        tmp_path_factory.mktemp("file") / "wörld.bin", SIZE)


def arrived(rufh, url, data):
    url = client.target_of(url)
    assert rufh.data(url) == data
    reply = rufh.head(url, {"Upload-Draft-Interop-Version": 6})
    assert (reply["Upload-Complete"], reply["Upload-Length"]) == (
        "?1", str(len(data)))


def tus_js(rufh, file, protocol, status=0, **job):
    if not rig.have("node") or not (
            clients.WEB / "node_modules" / "tus-js-client").is_dir():
        pytest.skip("no tus-js-client: npm ci in tests/web")
    options = {"protocol": protocol, "chunkSize": PIECE,
               **job.pop("options", {})}
    return clients.tus_js(rufh.server.url, file, status=status,
                          options=options, **job)


@only(*WEB)
@pytest.mark.parametrize("protocol", ["ietf-draft-03", "ietf-draft-05"])
@pytest.mark.parametrize("with_data", [False, True])
def test_tus_js_client(rufh, file, protocol, with_data):
    seen = tus_js(rufh, file, protocol,
                  options={"uploadDataDuringCreation": with_data})
    arrived(rufh, seen["url"], file.read_bytes())
    assert {status for _, status in seen["requests"]} <= {201, 204}
    assert seen["requests"][-1] == ["PATCH", 201]


@only(*WEB)
@pytest.mark.parametrize("protocol", ["ietf-draft-03", "ietf-draft-05"])
def test_tus_js_client_killed_and_resumed(rufh, file, protocol, tmp_path):
    store = str(tmp_path / "urls.json")
    tus_js(rufh, file, protocol, status=-9, store=store,
           dieAt=SIZE * 2 // 3)
    seen = tus_js(rufh, file, protocol, store=store)
    arrived(rufh, seen["url"], file.read_bytes())
    assert seen["requests"][0] == ["HEAD", 204]
    assert ["POST", 201] not in seen["requests"]
    assert seen["first"] >= PIECE


@only(*WEB)
def test_tus_js_client_with_an_empty_file(rufh, tmp_path):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    seen = tus_js(rufh, empty, "ietf-draft-05")
    arrived(rufh, seen["url"], b"")


@only(*WEB)
def test_curl_word_by_word_as_in_the_readme(rufh):
    if not rig.have("curl"):
        pytest.skip("no curl")
    text = re.search(r"^## Resumable Uploads for HTTP\n.*?^```sh\n(.*?)^```",
                     (rig.TREE / "README.md").read_text(), re.M | re.S)[1]
    for old, new in (("http://127.0.0.1:8080", rufh.server.origin),
                     ("/files/", rufh.base + "/")):
        assert old in text
        text = text.replace(old, new)
    run = subprocess.run(["sh", "-e", "-c", text], capture_output=True,
                         text=True, timeout=60, check=True)
    assert re.search(r"^HTTP/1.1 204 .*^Upload-Offset: 6\b.*"
                     r"^Upload-Complete: \?1\b.*\nhello\n$",
                     run.stdout, re.M | re.S | re.I), run.stdout


@only(*WEB)
def test_fetch_in_chromium(serve, tmp_path):
    if browser.missing():
        pytest.skip(browser.missing())
    page = tmp_path / "page"
    page.mkdir(mode=0o755)
    (page / "index.html").write_text("<!doctype html><title>x</title>")
    rufh = serve(own=True, page=page)
    seen = browser.play(
        "fetch", rufh.server.origin + "/", tmp_path, script="rufh.mjs",
        upload={"collection": rufh.server.url, "size": 250000,
                "piece": PIECE})
    arrived(rufh, seen["url"],
            bytes((i * 7 + (i >> 8)) & 255 for i in range(250000)))
    assert seen["statuses"] == [201, 204, 204, 204, 204, 204, 201, 204]
    assert seen["limit"] == "min-size=0"


def cut(rufh, upload, url, n):
    """Sends no more, once n bytes are kept."""
    rufh.tus.wait_offset(url, n)
    upload.reset()


@only("lighttpd")
def test_as_url_session_does_cut_off_and_resumed(rufh, file):
    data = file.read_bytes()
    headers = {"Upload-Draft-Interop-Version": 6, "Upload-Complete": "?1"}
    upload = rufh.open("POST", None, headers, len(data))
    early = upload.read_head()
    assert early.status == 104 and "min-size" in limits(early)
    url = client.target_of(early["Location"])
    upload.send(data[:PIECE])
    cut(rufh, upload, url, PIECE)
    del headers["Upload-Complete"]
    offset = int(rufh.head(url, headers)["Upload-Offset"])
    reply = rufh.request("PATCH", url, {
        **headers, "Content-Type": "application/partial-upload",
        "Upload-Offset": offset}, data[offset:])
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    arrived(rufh, url, data)


@only(*WEB)
def test_as_url_session_does_undisturbed(rufh, file):
    data = file.read_bytes()
    reply = rufh.request("POST", None, {
        "Upload-Draft-Interop-Version": 6, "Upload-Complete": "?1"}, data)
    assert (reply.status, reply["Upload-Complete"]) == (201, "?1")
    arrived(rufh, reply["Location"], data)
