"""Real clients through nginx onto a bucket: tus-js-client, tuspy, Uppy and our
page in Chromium."""

import pytest

from lib import browser, clients
from s3 import bucket, client

bucket.need_store()

MIB = 1 << 20
SIZE = 12 * MIB + 12345
KINDS = ["", *client.real_too()]


@pytest.fixture(params=KINDS, ids=bucket.name_of)
def engine(request):
    one = bucket.start_engine(request.param)
    yield one
    one.stop()


@pytest.fixture
def start(engine, start):
    """Parts of 5 MiB, as AWS wants them."""
    return lambda **options: start(s3={"part_size": "5M"}, **options)


@pytest.fixture
def file(tmp_path):
    return clients.make_file(tmp_path / "Lake at dawn.mov", SIZE)


def arrived(server, url, file):
    """Whole, byte for byte, for the client and in the bucket."""
    assert clients.offset(url) == file.stat().st_size
    assert clients.download_digest(url) == clients.digest(file)
    name = url.rpartition("/")[2]
    got = server.engine.ask("GET", f"/{server.bucket}/{name}").body
    assert got == file.read_bytes()


def no_parts(server):
    assert not server.parts()
    assert not [k for k in server.keys() if ".part" in k]


@pytest.mark.parametrize("options", [
    {}, {"chunkSize": MIB}, {"uploadDataDuringCreation": True},
    {"parallelUploads": 3}], ids=str)
def test_tus_js_client(start, file, options):
    clients.need_tus_js()
    server = start()
    seen = clients.tus_js(server.url, file, options=options)
    arrived(server, seen["url"], file)
    no_parts(server)


def test_tus_js_client_of_unknown_length(start, file):
    clients.need_tus_js()
    server = start()
    seen = clients.tus_js(server.url, file, stream=True, options={
        "uploadLengthDeferred": True, "chunkSize": 2 * MIB})
    arrived(server, seen["url"], file)
    no_parts(server)


def test_tus_js_client_killed_and_resumed(start, file, tmp_path):
    clients.need_tus_js()
    server = start()
    job = {"store": str(tmp_path / "urls"), "options": {"chunkSize": MIB}}
    dead = clients.tus_js(server.url, file, dieAt=7 * MIB, status=-9, **job)
    seen = clients.tus_js(server.url, file, **job)
    assert seen["first"] >= 6 * MIB and dead["sent"] >= 7 * MIB
    assert ["POST", 201] not in seen["requests"]
    arrived(server, seen["url"], file)
    no_parts(server)


def test_tuspy(start, file):
    tus = pytest.importorskip("tusclient.client", reason="no python3-tuspy")
    server = start()
    uploader = tus.TusClient(server.url).uploader(
        str(file), chunk_size=MIB, upload_checksum=True)
    uploader.upload(stop_at=6 * MIB)
    uploader = tus.TusClient(server.url).uploader(
        str(file), chunk_size=3 * MIB, url=uploader.url)
    assert uploader.offset == 6 * MIB
    uploader.upload()
    arrived(server, uploader.url, file)
    no_parts(server)


def need_browser():
    if browser.missing():
        pytest.skip(browser.missing())


def test_uppy_paused_reloaded_and_resumed(start, tmp_path):
    need_browser()
    assert browser.install_uppy(tmp_path / "uppy") is None
    server = start(page=tmp_path / "uppy")
    files = [clients.make_file(tmp_path / f"{n}.bin", 7 * MIB, seed=n.encode())
             for n in ("one", "two")]
    seen = browser.play(
        "resume", f"{server.origin}/?endpoint={server.base}/&chunkSize=", tmp_path,
        *files, script="uppy.mjs")
    for url, one in zip(seen["links"], files):
        arrived(server, url, one)
    assert seen["methods"].count("POST") == len(files)
    no_parts(server)


def test_our_page_paused_reloaded_and_resumed(start, tmp_path):
    need_browser()
    page = tmp_path / "page"
    assert browser.install_page(page) is None
    server = start(page=page)
    file = clients.make_file(tmp_path / "Lake at dawn.mov", 20 * MIB)
    seen = browser.play("resume", server.origin + "/", tmp_path, file, slack=10)
    arrived(server, seen["links"][0], file)
    no_parts(server)
