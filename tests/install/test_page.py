"""etc/page/install: with npm, without it, and without a network."""

import base64
import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from lib import rig
from lib.once import once

SCRIPT = rig.TREE / "etc" / "page" / "install"
TEXT = SCRIPT.read_text()
VERSION = re.search(r"^version=(.*)$", TEXT, re.M).group(1)
SHA512 = re.search(r"^sha512=(.*)$", TEXT, re.M).group(1)
PACKAGE = f"tus-js-client-{VERSION}.tgz"


def install(*arguments, script=SCRIPT, **env):
    return subprocess.run(
        [script, *arguments], capture_output=True, text=True, timeout=120,
        check=False, env={**os.environ, **env})


def fetch(folder):
    """The package of tus-js-client."""
    if not rig.have("npm"):
        pytest.skip("no npm")
    run = subprocess.run(
        ["npm", "pack", "--loglevel=error", f"tus-js-client@{VERSION}"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if run.returncode != 0:
        pytest.skip("npm could not fetch tus-js-client")
    return str(folder / PACKAGE)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return Path(once(tmp_path_factory, "package", fetch))


@pytest.fixture
def no_npm(tmp_path):
    """A PATH with all commands but npm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in ("/usr/bin", "/bin"):
        for name in os.listdir(place):
            # A link to nowhere is there, too.
            if name not in ("npm", "node") and \
                    not os.path.lexists(folder / name):
                (folder / name).symlink_to(f"{place}/{name}")
    return str(folder)


def beside(tmp_path, package=None):
    """The page somewhere else, with the package beside it."""
    folder = tmp_path / "source"
    folder.mkdir()
    for path in SCRIPT.parent.iterdir():
        if path.is_file() and path.suffix != ".tgz":
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / "install").chmod(0o755)
    if package:
        (folder / PACKAGE).write_bytes(package.read_bytes())
    return folder / "install"


def assert_is_there(page):
    assert (page / "tus.min.js").stat().st_size > 50000
    assert "MIT" in (page / "tus.min.js.LICENSE").read_text()
    assert (page / "page.js").read_bytes() == \
        (SCRIPT.parent / "page.js").read_bytes()


def test_the_package_is_what_the_script_says(package):
    digest = hashlib.sha512(package.read_bytes()).digest()
    assert base64.b64encode(digest).decode() == SHA512


def test_the_page_without_npm_from_a_file(tmp_path, package, no_npm):
    page = tmp_path / "a" / "page"
    run = install("-f", package, page, "/u/", "131072", PATH=no_npm)
    assert (run.returncode, run.stderr) == (0, "")
    assert_is_there(page)
    html = (page / "index.html").read_text()
    assert 'name="tus-endpoint" content="/u/"' in html
    assert 'name="tus-chunk-size" content="131072"' in html
    # It is there now.
    run = install(page, PATH=no_npm)
    assert (run.returncode, run.stderr) == (0, "")
    assert_is_there(page)


def test_the_page_without_npm_from_a_file_beside_it(tmp_path, package,
                                                    no_npm):
    page = tmp_path / "page"
    run = install(page, script=beside(tmp_path, package), PATH=no_npm)
    assert (run.returncode, run.stderr) == (0, "")
    assert_is_there(page)


def assert_says_how(run, page):
    assert run.returncode == 1
    assert f"/tus-js-client/-/{PACKAGE}" in run.stderr
    assert f"-f {PACKAGE} {page}" in run.stderr
    assert not page.exists()


def test_without_npm_it_says_so_and_what_to_do(tmp_path, no_npm):
    page = tmp_path / "page"
    run = install(page, script=beside(tmp_path), PATH=no_npm)
    assert "npm is not installed" in run.stderr
    assert_says_how(run, page)


@pytest.mark.skipif(not rig.have("npm"), reason="no npm")
def test_without_a_network_it_says_so_and_what_to_do(tmp_path):
    page = tmp_path / "page"
    run = install(page, script=beside(tmp_path),
                  npm_config_registry=f"http://127.0.0.1:{rig.free_port()}/",
                  npm_config_cache=str(tmp_path / "cache"))
    assert "npm could not fetch it: " in run.stderr
    assert_says_how(run, page)


@pytest.mark.parametrize("text", [b"", b"another package"])
def test_another_file_is_refused(tmp_path, text):
    page, file = tmp_path / "page", tmp_path / PACKAGE
    file.write_bytes(text)
    run = install("-f", file, page)
    assert run.returncode == 1
    assert f"is not the package of tus-js-client {VERSION}" in run.stderr
    assert not page.exists()


@pytest.mark.parametrize("arguments", [
    (), ("-x", "page"), ("-f",), ("a", "b", "1", "d"), ("a", "b", "one")])
def test_a_wrong_call_is_explained(tmp_path, arguments):
    run = subprocess.run([SCRIPT, *arguments], cwd=tmp_path, text=True,
                         capture_output=True, timeout=60, check=False)
    assert run.returncode == 2 and run.stderr
    assert list(tmp_path.iterdir()) == []


def test_make_install_takes_the_package_along(tmp_path, package):
    """The Debian package does so, too, for it is made by make install."""
    makefile = (rig.TREE / "Makefile.am").read_text()
    rule = re.search(r"^install-data-hook:\n((?:\t.*\n)+)", makefile, re.M)
    page = tmp_path / "root" / "page"
    page.mkdir(parents=True)
    source = tmp_path / "source"
    (source / "etc/page").mkdir(parents=True)
    (tmp_path / "Makefile").write_text(
        f"srcdir = {source}\npagedir = /page\n"
        f"INSTALL_DATA = install -m 644\nall:\n{rule.group(1)}")
    make = ["make", "-s", "-C", tmp_path, f"DESTDIR={tmp_path}/root"]
    subprocess.run(make, check=True, timeout=60)
    assert list(page.iterdir()) == []
    (source / "etc/page" / PACKAGE).write_bytes(package.read_bytes())
    subprocess.run(make, check=True, timeout=60)
    assert (page / PACKAGE).read_bytes() == package.read_bytes()
