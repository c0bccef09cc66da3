"""make site: the manual as pages for a browser."""

import json
import re
import subprocess
from html.parser import HTMLParser

import pytest

from lib import browser, rig

PAGES = ("index.html", "tusfcgi.8.html", "tusfcgi.conf.5.html",
         "tusctl.8.html", "news.html", "hacking.html")

for program in ("mandoc", "cmark-gfm"):
    if not rig.have(program):
        pytest.skip(f"no {program}", allow_module_level=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "out"
    run = subprocess.run([rig.TREE / "etc/site/build", out],
                         capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"{out}/index.html\n"
    return out


class Reader(HTMLParser):
    """The links, the names that can be linked to, and the text of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.names, self.text = [], [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.names += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs[k] for k in ("href", "src") if k in attrs]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def pages(site):
    return {path.name: Reader(path) for path in site.glob("*.html")}


def test_every_link_leads_somewhere(site, pages):
    assert set(PAGES) < set(pages)
    for name, page in pages.items():
        assert len(page.names) == len(set(page.names)), name
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            to, _, inside = link.partition("#")
            assert (site / (to or name)).exists(), (name, link)
            if inside:
                assert inside in pages[to or name].names, (name, link)


def test_every_key_has_a_place(pages):
    """Each key that tusfcgi.conf(5) explains can be linked to."""
    source = (rig.TREE / "man/tusfcgi.conf.5").read_text()
    keys = re.findall(r"^\.It Ic ([a-z_.0-9]+)$", source, re.M)
    assert len(keys) > 50
    assert set(keys) <= set(pages["tusfcgi.conf.5.html"].names)


def test_nothing_is_lost(site, pages):
    """News are Markdown by accident: no sign of theirs means anything."""
    told = " ".join(pages["news.html"].text.split())
    news = (rig.TREE / "NEWS").read_text()
    for entry in re.split(r"\n\s*\n|^\* ", news, flags=re.M):
        assert " ".join(entry.split()) in told
    index = (site / "index.js").read_text()
    known = json.loads(index.removeprefix("const sections = ").rstrip(";\n"))
    assert {to.partition("#")[0] for to, *_ in known} == set(pages)


def test_nothing_is_fetched_from_elsewhere(site, pages):
    """No script or style is in a page, none comes from another host."""
    for name, page in pages.items():
        text = (site / name).read_text()
        assert "<style" not in text and not re.search(r"<script>|\son\w+=", text)
        assert not re.search(r'(src|rel="stylesheet" href)="https?:', text), name


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
@pytest.mark.parametrize("scene", ["phone", "desk"])
def test_no_page_is_wider_than_its_window(site, pages, tmp_path, scene):
    said = browser.play(scene, (site / "index.html").as_uri(), tmp_path,
                        script="site.mjs", pages=sorted(pages))
    assert said["read"] == len(pages)


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_a_key_is_found(site, tmp_path):
    said = browser.play("search", (site / "index.html").as_uri(), tmp_path,
                        script="site.mjs")
    assert said["first"].startswith("tusfcgi.conf(5) › pool.max_workers")
    assert said["nothing"] == "Nothing has all of these words."
    assert said["at"] == "#pool.max_workers"
