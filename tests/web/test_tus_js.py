"""tus-js-client in Node against nginx and tusfcgi."""

import json

import pytest

from lib import clients

clients.need_tus_js()

MIB = 1 << 20
SIZE = 5 * MIB + 12345


@pytest.fixture
def file(tmp_path):
    return clients.make_file(tmp_path / "wörld dömination.bin", SIZE)


def arrived(url, file):
    """Whole, and byte for byte."""
    assert clients.offset(url) == file.stat().st_size
    assert clients.download_digest(url) == clients.digest(file)


def test_plain(server, file):
    seen = clients.tus_js(server().url, file)
    arrived(seen["url"], file)
    assert seen["requests"] == [["POST", 201], ["PATCH", 204]]


def test_name_and_type_come_back(server, file):
    seen = clients.tus_js(server().url, file)
    _, headers, _ = clients.request("GET", seen["url"])
    assert "w%C3%B6rld%20d%C3%B6mination.bin" in headers["Content-Disposition"]


def test_in_chunks(server, file):
    seen = clients.tus_js(server().url, file, options={"chunkSize": MIB})
    arrived(seen["url"], file)
    assert seen["requests"] == [["POST", 201]] + [["PATCH", 204]] * 6


def test_an_empty_file(server, tmp_path):
    empty = clients.make_file(tmp_path / "empty", 0)
    seen = clients.tus_js(server().url, empty)
    arrived(seen["url"], empty)


def test_data_during_creation(server, file):
    seen = clients.tus_js(server().url, file,
                          options={"uploadDataDuringCreation": True})
    arrived(seen["url"], file)
    assert seen["requests"] == [["POST", 201]]


def test_data_during_creation_in_chunks(server, file):
    seen = clients.tus_js(
        server().url, file,
        options={"uploadDataDuringCreation": True, "chunkSize": 2 * MIB})
    arrived(seen["url"], file)
    assert seen["requests"] == [["POST", 201]] + [["PATCH", 204]] * 2


def test_a_stream_of_unknown_length(server, file):
    seen = clients.tus_js(
        server().url, file, stream=True,
        options={"uploadLengthDeferred": True, "chunkSize": MIB})
    arrived(seen["url"], file)


def test_four_parts_in_parallel(server, file):
    seen = clients.tus_js(server().url, file, options={"parallelUploads": 4})
    arrived(seen["url"], file)
    posts = [r for r in seen["requests"] if r == ["POST", 201]]
    assert len(posts) == 5


def test_parts_that_were_interrupted_go_on(server, tmp_path):
    file = clients.make_file(tmp_path / "big", 48 * MIB)
    seen = clients.tus_js(server().url, file, pauseAt=8 * MIB,
                          options={"parallelUploads": 4})
    arrived(seen["url"], file)
    assert ["HEAD", 200] in seen["requests"]
    assert seen["requests"].count(["POST", 201]) == 5


def test_patch_hidden_in_post(server, file):
    seen = clients.tus_js(server().url, file,
                          options={"overridePatchMethod": True})
    arrived(seen["url"], file)
    assert seen["requests"] == [["POST", 201], ["POST>PATCH", 204]]


def test_abort_and_go_on(server, tmp_path):
    """The lock of the aborted request must not hold the next one up."""
    file = clients.make_file(tmp_path / "big", 48 * MIB)
    seen = clients.tus_js(server().url, file, pauseAt=8 * MIB)
    arrived(seen["url"], file)
    assert ["HEAD", 200] in seen["requests"]


def test_terminate(server, file):
    one = server()
    seen = clients.tus_js(one.url, file, terminate=True)
    assert clients.request("HEAD", seen["url"])[0] == 404


def test_a_crash_of_the_server_between_chunks(server, file, tmp_path):
    """A client that comes back with its URL finds what it had sent."""
    one = server()
    store = str(tmp_path / "urls.json")
    clients.tus_js(one.url, file, status=-9, store=store, dieAt=2 * MIB,
                   options={"chunkSize": MIB})
    one.stop_app(9)
    one.start_app()
    seen = clients.tus_js(one.url, file, store=store)
    arrived(seen["url"], file)
    assert seen["requests"] == [["HEAD", 200], ["PATCH", 204]]
    assert seen["first"] >= MIB


def test_a_client_killed_three_times_repeats_at_most_one_mib(server, tmp_path):
    url, file, again = clients.killed(server().url, tmp_path, 64 * MIB)
    arrived(url, file)
    assert len(again) == 3
    assert max(again) <= MIB, json.dumps(again)
