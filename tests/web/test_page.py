"""The upload page in a real browser, see page.mjs."""

import pytest

from lib import browser, clients, fronts

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)

MB = 1000 * 1000


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page as an administrator installs it."""
    folder = tmp_path_factory.mktemp("page")
    wrong = browser.install_page(folder)
    if wrong:
        pytest.skip(f"etc/page/install: {wrong}")
    return folder


@pytest.fixture
def small(tmp_path):
    return clients.make_file(tmp_path / "small.pdf", 300000)


@pytest.fixture
def big(tmp_path):
    return clients.make_file(tmp_path / "Lake at dawn.mov", 12 * MB)


def play(scene, one, tmp_path, *files, **more):
    return browser.play(scene, one.origin + "/", tmp_path, *files, **more)


def same(url, file):
    return clients.download_digest(url) == clients.digest(file)


def test_where_a_request_must_be_short_it_sends_small_pieces(
        server, page, tmp_path, small, big):
    reason = fronts.missing("apache-fcgid")
    if reason:
        pytest.skip(reason)
    one = server("apache-fcgid", page=page, replace={
        "FcgidMaxRequestLen 1099511627776": "FcgidMaxRequestLen 131072"})
    seen = play("upload", one, tmp_path, small, big)
    url = seen["links"][1]
    assert same(url, small) or same(url, big)
    assert "exceeds MaxRequestLen" in one.front_log()


def test_a_request_that_is_still_too_long_is_explained_not_tried_for_ever(
        server, page, tmp_path, big):
    reason = fronts.missing("apache-fcgid")
    if reason:
        pytest.skip(reason)
    one = server("apache-fcgid", page=page, replace={
        "FcgidMaxRequestLen 1099511627776": "FcgidMaxRequestLen 65536"})
    seen = play("refused", one, tmp_path, big)
    assert seen["text"] == \
        "The web server does not take so much in one request."
    assert one.front_log().count("exceeds MaxRequestLen") == 2


def test_upload_download_delete(server, page, tmp_path, small, big):
    one = server(page=page)
    seen = play("upload", one, tmp_path, small, big)
    by_size = {clients.offset(url): url for url in seen["links"][1:]}
    assert len(seen["links"]) == 2 and len(by_size) == 1
    assert seen["name"] in (small.name, big.name)
    # The newest is the one that was deleted.
    assert clients.request("HEAD", seen["links"][0])[0] == 404
    kept = small if small.stat().st_size in by_size else big
    assert same(seen["links"][1], kept)


def test_drop(server, page, tmp_path):
    seen = play("drop", server(page=page), tmp_path)
    assert clients.request("GET", seen["links"][0])[2] == b"dropped"


def test_pause_reload_resume(server, page, tmp_path, big):
    seen = play("resume", server(page=page), tmp_path, big)
    assert same(seen["links"][0], big)
    # One buffer of nginx may be lost, and the browser counts ahead.
    assert seen["kept"] >= seen["before"] - 10


def test_another_file_does_not_continue_the_first(server, page, tmp_path, big,
                                                  small):
    one = server(page=page)
    play("otherFile", one, tmp_path, big, small)
    left = [p for p in one.uploads.rglob("*") if p.stat().st_size > 100000]
    assert left == []


def test_a_file_above_the_limit_is_refused_by_name(server, page, tmp_path, big,
                                                   small):
    one = server(page=page, config={"max_size": "1M"})
    seen = play("tooLarge", one, tmp_path, big, small)
    assert len(seen["links"]) == 1 and same(seen["links"][0], small)


@pytest.mark.parametrize("size, said", [
    ("200M", "200 MB"), ("4G", "4 GB"), ("1000000", "976.5 KB")])
def test_a_limit_is_shown_as_it_was_configured(server, page, tmp_path, size,
                                               said):
    one = server(page=page, config={"max_size": size})
    seen = play("limit", one, tmp_path)
    assert f"Up to {said} a file" in seen["hint"]


def stop_and_start(one, how=15):
    """For scenes that say when the server is to go, and to come back."""
    def act(line):
        if line == "stop":
            one.stop_app(how)
        elif line == "start":
            one.start_app()
    return act


def test_a_page_loaded_while_the_server_is_down_learns_when_it_is_back(
        server, page, tmp_path, big):
    one = server(page=page)
    play("downAtStart", one, tmp_path, big, while_it_runs=stop_and_start(one))


@pytest.mark.parametrize("reload", [False, True])
def test_a_network_error_at_the_end_does_not_hide_the_download(
        server, page, tmp_path, small, reload):
    play("lostLink", server(page=page), tmp_path, small, lost=2,
         reload=reload)


def test_a_notice_goes_when_it_was_read(server, page, tmp_path, big):
    one = server(page=page, config={"max_size": "1M"})
    play("dismiss", one, tmp_path, big)


def test_leaving_in_the_middle_of_an_upload_is_asked_about(
        server, page, tmp_path, big):
    others = [clients.make_file(tmp_path / f"{n}.bin", 100000)
              for n in range(3)]
    play("leave", server(page=page), tmp_path, big, *others)


def test_a_long_name_pushes_nothing_off_the_screen(server, page, tmp_path):
    one = server(page=page, config={"max_size": "4M"})
    play("longName", one, tmp_path)


def test_an_outage_of_the_server_is_survived(server, page, tmp_path, big):
    one = server(page=page)
    seen = play("outage", one, tmp_path, big,
                while_it_runs=stop_and_start(one, 9))
    assert same(seen["links"][0], big)
    # It went on with what it had begun.
    assert len(list(one.uploads.glob("*.info"))) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503])
def test_what_may_pass_is_tried_again_and_not_begun_anew(
        server, page, tmp_path, small, status):
    seen = play("again", server(page=page), tmp_path, small, status=status)
    assert seen["seen"].count("POST") == 1
    assert seen["seen"][:5] == ["POST", "PATCH", "HEAD", "HEAD", "PATCH"]
    assert same(seen["links"][0], small)


def test_a_refusal_is_explained(server, page, tmp_path, small):
    one = server(page=page, config={
        "owner": {"param": "REMOTE_USER", "require": True}})
    seen = play("refused", one, tmp_path, small)
    assert "not allow" in seen["text"] or "log in" in seen["text"]


def test_a_full_quota_is_not_taken_for_a_file_that_is_too_large(
        server, page, tmp_path, small):
    # All who come through this web server are one owner.
    one = server(page=page, config={
        "owner": {"param": "SERVER_SOFTWARE"}, "quota": {"bytes": 1000}})
    seen = play("refused", one, tmp_path, small)
    assert "as much here as you may" in seen["text"]


def test_by_keyboard(server, page, tmp_path, big):
    other = clients.make_file(tmp_path / "other.flac", 12 * MB)
    seen = play("keyboard", server(page=page), tmp_path, big, other)["seen"]
    for label in (f"Pause {big.name}", f"Cancel {big.name}",
                  f"Pause {other.name}"):
        assert label in seen


def test_on_a_phone_and_in_the_dark(server, page, tmp_path, big, small):
    play("phone", server(page=page), tmp_path, big, small)
