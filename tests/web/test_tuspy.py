"""tuspy, the Python client, against nginx and tusfcgi."""

import pytest

from lib import clients

tusclient = pytest.importorskip("tusclient.client",
                                reason="no python3-tuspy")
storage = pytest.importorskip("tusclient.storage.filestorage")

SIZE = 3 * (1 << 20) + 777


@pytest.fixture
def file(tmp_path):
    return clients.make_file(tmp_path / "file.bin", SIZE)


def arrived(uploader, file):
    assert clients.offset(uploader.url) == SIZE
    assert clients.download_digest(uploader.url) == clients.digest(file)


def test_plain(server, file):
    client = tusclient.TusClient(server().url)
    uploader = client.uploader(str(file), metadata={"filename": "ä.bin"})
    uploader.upload()
    arrived(uploader, file)


def test_no_metadata_is_an_empty_header(server, file):
    uploader = tusclient.TusClient(server().url).uploader(str(file))
    uploader.upload()
    arrived(uploader, file)
    _, headers, _ = clients.request("HEAD", uploader.url)
    assert headers["Upload-Metadata"] is None


def test_in_chunks(server, file):
    client = tusclient.TusClient(server().url)
    uploader = client.uploader(str(file), chunk_size=100001)
    uploader.upload()
    arrived(uploader, file)


def test_resume_by_what_it_stored(server, file, tmp_path):
    client = tusclient.TusClient(server().url)
    store = storage.FileStorage(str(tmp_path / "store.json"))

    def uploader():
        return client.uploader(str(file), chunk_size=1 << 20, store_url=True,
                               url_storage=store)

    first = uploader()
    first.upload(stop_at=1 << 20)
    again = uploader()
    assert again.url == first.url
    assert again.offset == 1 << 20
    again.upload()
    arrived(again, file)


def test_resume_by_url(server, file):
    client = tusclient.TusClient(server().url)
    first = client.uploader(str(file), chunk_size=1 << 20)
    first.upload_chunk()
    again = client.uploader(str(file), url=first.url)
    assert again.offset == 1 << 20
    again.upload()
    arrived(again, file)


def test_every_chunk_with_its_checksum(server, file):
    client = tusclient.TusClient(server().url)
    uploader = client.uploader(str(file), chunk_size=1 << 20,
                               upload_checksum=True)
    uploader.upload()
    arrived(uploader, file)


def test_a_wrong_checksum_is_noticed_and_taken_back(server, file):
    client = tusclient.TusClient(server().url)
    uploader = client.uploader(str(file), chunk_size=1 << 20)
    uploader.upload_chunk()
    status, _, _ = clients.request("PATCH", uploader.url, {
        "Upload-Offset": str(1 << 20),
        "Content-Type": "application/offset+octet-stream",
        "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}, b"x" * 100)
    assert status == 460
    assert clients.offset(uploader.url) == 1 << 20
    uploader.upload()
    arrived(uploader, file)
