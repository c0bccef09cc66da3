"""The upload page in a real browser, see page.mjs."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from lib import browser, clients, folders, fronts, rig
from lib.once import once

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)

MB = 1000 * 1000


def install(folder):
    """The page as an administrator installs it."""
    wrong = browser.install_page(folder)
    if wrong:
        pytest.skip(f"etc/page/install: {wrong}")
    return str(folder)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return Path(once(tmp_path_factory, "page", install))


POLICY = "default-src 'none'; " + "; ".join(
    f"{what}-src 'self'" for what in ("script", "style", "img", "connect"))


@pytest.fixture
def server(server):
    """Behind nginx the page has the strictest policy that it can have."""
    def start(front_end="nginx", **more):
        if front_end == "nginx":
            more["extra"] = \
                f'add_header Content-Security-Policy "{POLICY}";'
        return server(front_end, **more)
    return start


@pytest.fixture
def small(tmp_path):
    return clients.make_file(tmp_path / "small.pdf", 300000)


@pytest.fixture
def big(tmp_path):
    """Too large for the browser to keep its bytes over a reload."""
    return clients.make_file(tmp_path / "Lake at dawn.mov", 20 * MB)


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


def test_the_newer_protocol_is_spoken_where_the_server_offers_it(
        server, page, tmp_path, big):
    one = server(page=page, config={"rufh": {"enable": True}})
    seen = play("resume", one, tmp_path, big)
    assert same(seen["links"][0], big)
    assert seen["kept"] >= seen["before"] - 10
    lines = [line for line in one.log().splitlines()
             if " method=POST " in line or " method=PATCH " in line]
    assert lines and all(" proto=rufh n=6 " in line for line in lines), lines


def test_a_refusal_of_the_newer_protocol_is_explained(
        server, page, tmp_path, small):
    one = server(page=page, config={
        "rufh": {"enable": True}, "owner": {"param": "SERVER_SOFTWARE"},
        "quota": {"bytes": 1000}})
    seen = play("refused", one, tmp_path, small)
    assert "as much here as you may" in seen["text"]
    assert " proto=rufh " in one.log()


def test_another_file_does_not_continue_the_first(server, page, tmp_path, big,
                                                  small):
    one = server(page=page)
    play("otherFile", one, tmp_path, big, small)
    assert max(folders.sizes(one.uploads).values(), default=0) <= 100000


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


@pytest.fixture
def folder(tmp_path):
    """Files that differ in nothing but their folder, too."""
    top = tmp_path / "photos"
    for name in ("a.txt", "2023/a.txt", "2024/may/a.txt", "2024/b.txt"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.parent.name)
        os.utime(path, (1e9, 1e9))
    return top


def tree(top):
    return {str(p.relative_to(top)): p.read_text()
            for p in top.rglob("*") if p.is_file()}


@pytest.mark.parametrize("scene", ["folder", "dropFolder"])
def test_a_folder_arrives_as_it_was(server, page, tmp_path, folder, scene):
    there = tmp_path / "in"
    there.mkdir()
    one = server(page=page, config={
        "finish": {"move_to": f"{there}/{{meta:relativePath}}"}})
    files = [folder]
    want = {f"photos/{name}": text for name, text in tree(folder).items()}
    if scene == "dropFolder":
        files.append(tmp_path / "alone.txt")
        files[1].write_text("alone")
        want["alone.txt"] = "alone"
    seen = play(scene, one, tmp_path, *files, count=len(want))
    rig.wait_for(lambda: tree(there) == want, "the files to be moved")
    assert sorted(seen["folders"]) == sorted(
        n.rpartition("/")[0] for n in want)


def test_what_is_pasted_is_uploaded(server, page, tmp_path):
    seen = play("paste", server(page=page), tmp_path)
    assert [clients.request("GET", url)[2] for url in seen["links"]] == \
        [b"second", b"first"]
    assert seen["names"][0] == "holiday.png"
    assert re.fullmatch(r"image-\d{14}\.png", seen["names"][1])


def test_pictures_have_thumbnails_also_after_a_reload(server, page, tmp_path):
    seen = play("thumbs", server(page=page), tmp_path)
    for pixels in (seen["before"], seen["after"]):
        red, = (p for p in pixels if p)
        assert abs(red[0] - 0xc0) < 12 and red[1] < 40 and red[2] < 50
        assert pixels.count(None) == 1


@pytest.mark.parametrize("locale, lang, heading, state", [
    ("de-AT", "de", "Hochladen", "293 KB"),
    ("en-GB", "en", "Uploads", "293 KB"),
    ("fr-FR", "en", "Uploads", "293 KB")])
def test_the_page_speaks_the_language_of_the_browser(
        server, page, tmp_path, small, locale, lang, heading, state):
    one = server(page=page, config={"max_size": "1536M"})
    seen = play("words", one, tmp_path, small, locale=locale)
    assert (seen["lang"], seen["title"]) == (lang, heading)
    assert seen["text"].startswith(heading)
    limit = {"de": "Bis zu 1,5 GB je Datei", "en": "Up to 1.5 GB a file"}
    assert limit[lang] in seen["text"]
    assert seen["state"].startswith(state)


def words(language):
    path = rig.TREE / "etc" / "page" / f"words.{language}.json"
    return json.loads(path.read_text())


def test_both_languages_say_the_same(page):
    english, german = words("en"), words("de")
    assert list(english) == list(german)
    for key, text in english.items():
        both = [text, german[key]]
        gaps = [sorted(set(re.findall(r"\{\w+\}", json.dumps(t))))
                for t in both]
        assert gaps[0] == gaps[1], key


def test_every_text_of_the_page_is_among_the_words(page):
    english = words("en")
    source = "".join(p.read_text() for p in page.iterdir()
                     if p.suffix in (".js", ".html") and "tus" not in p.name)
    said = set(re.findall(r'say\("([\w-]+)"', source)) | \
        set(re.findall(r'data-(?:say|label)="([\w-]+)"', source))
    assert len(said) > 30 and said - set(english) == set()


def contrast(colours):
    """As WCAG 2 has it, of what getComputedStyle() says."""
    def luminance(text):
        parts = [int(p) / 255 for p in re.findall(r"\d+", text)[:3]]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4
                   for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b
    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", ["#ffee00", "#000000", "#ffffff", "#c2185b",
                                    ""])
def test_title_logo_and_colour_are_the_owners(server, page, tmp_path, colour):
    mine = tmp_path / "page"
    shutil.copytree(page, mine)
    text = (mine / "settings.js").read_text()
    for old, new in (('title: ""', 'title: "Bob & Sons <Ltd>"'),
                     ('logo: "icon.svg"', 'logo: "bob.svg"'),
                     ('colour: ""', f'colour: "{colour}"')):
        assert old in text
        text = text.replace(old, new)
    (mine / "settings.js").write_text(text)
    (mine / "bob.svg").write_text((mine / "icon.svg").read_text())
    (mine / "icon.svg").unlink()
    # An upgrade leaves them alone.
    assert browser.install_page(mine) is None
    seen = play("settings", server(page=mine), tmp_path)
    assert seen["title"] == seen["heading"] == "Bob & Sons <Ltd>"
    assert seen["logo"] > 0
    for theme, colours in seen["seen"].items():
        assert contrast(colours) >= 4.5, theme
    if colour == "#c2185b":
        assert seen["seen"]["light"][0] == "rgb(194, 24, 91)"


def test_files_that_wait_are_there_after_a_reload(server, page, tmp_path):
    """Small ones go on by themselves, and a paused one stays paused."""
    sizes = [17 * MB, 4 * MB, 4 * MB, 4 * MB, 3 * MB]
    files = [clients.make_file(tmp_path / f"{n}.bin", size)
             for n, size in enumerate(sizes)]
    seen = play("reloadSmall", server(page=page), tmp_path, *files)
    states = dict(seen["states"])
    assert states["0.bin"] == "missing" and states["3.bin"] == "paused"
    assert [states[f"{n}.bin"] for n in (1, 2, 4)] == 3 * ["sending"]
    digests = sorted(map(clients.download_digest, seen["links"]))
    assert digests == sorted(map(clients.digest, files[1:]))


@pytest.mark.parametrize("ask", ["", "granted"])
def test_a_file_with_a_handle_need_not_be_chosen_again(server, page, tmp_path,
                                                       ask):
    one = server(page=page)
    size = 20 * MB
    seen = play("handle", one, tmp_path, size=size, ask=ask)
    assert clients.request("GET", seen["links"][0])[2] == b"\7" * size
    assert len(list(one.uploads.glob("*.info"))) == 1


def test_a_file_that_may_not_be_read_is_chosen_again(server, page, tmp_path):
    play("handle", server(page=page), tmp_path, size=20 * MB, ask="denied")


def test_a_file_that_changed_does_not_continue_what_it_was(server, page,
                                                           tmp_path):
    play("handle", server(page=page), tmp_path, size=20 * MB, change=True)


def test_two_pages_do_not_upload_the_same(server, page, tmp_path):
    files = [clients.make_file(tmp_path / f"{n}.bin", 3 * MB)
             for n in range(2)]
    one = server(page=page)
    seen = play("twoPages", one, tmp_path, *files)
    assert sorted(map(clients.download_digest, seen["links"])) == \
        sorted(map(clients.digest, files))
    assert len(list(one.uploads.glob("*.info"))) == 2
