"""The component for React in etc/examples, in a browser."""

import os
import shutil
import subprocess

import pytest

from lib import browser, clients, rig

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)
for name in ("react", "react-dom", "@uppy/react", "esbuild"):
    if not (browser.MODULES / name).is_dir():
        pytest.skip(f"no {name}: npm ci in tests/web", allow_module_level=True)


@pytest.fixture
def page(tmp_path):
    """Built as a site would build it, beside its node_modules."""
    source = tmp_path / "react"
    shutil.copytree(rig.TREE / "etc/examples/react", source)
    (source / "node_modules").symlink_to(browser.MODULES.resolve())
    folder = tmp_path / "page"
    folder.mkdir()
    shutil.copy(source / "index.html", folder)
    run = subprocess.run(
        [browser.MODULES / ".bin/esbuild", source / "app.jsx", "--bundle",
         "--jsx=automatic", "--minify", "--log-level=warning",
         '--define:process.env.NODE_ENV="production"',
         f"--outfile={folder}/app.js"],
        capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return folder


def test_files_are_uploaded_by_a_component(server, tmp_path, page):
    files = []
    for n in range(2):
        files.append(tmp_path / f"file {n}.bin")
        files[n].write_bytes(os.urandom(300_000 + n))
    one = server("nginx", page=page)
    links = browser.play("upload", one.origin + "/?endpoint=/files/", tmp_path,
                         *files, script="react.mjs")
    assert sorted(name for name, _ in links) == [f.name for f in files]
    for name, url in links:
        assert clients.request("GET", url)[2] == (tmp_path / name).read_bytes()
