"""Chromium for the tests: pages to show, and scenes to play with them.

TUSFCGI_SHOTS=FOLDER keeps pictures.
"""

import json
import os
import shutil
import subprocess

from lib import clients, rig

CHROMIUM = rig.have("chromium") or rig.have("chromium-browser")
SHOTS = os.environ.get("TUSFCGI_SHOTS", "")
MODULES = clients.WEB / "node_modules"


def missing():
    """Why there are no scenes here; None if there are."""
    if not CHROMIUM:
        return "no chromium"
    if not rig.have("node"):
        return "no node"
    if not (MODULES / "playwright-core").is_dir():
        return "no playwright-core: npm ci in tests/web"
    return None


def install_page(folder, *arguments):
    """The page as an administrator installs it; None, or what went wrong."""
    run = subprocess.run(
        [rig.TREE / "etc" / "page" / "install", folder, *arguments],
        capture_output=True, text=True, check=False)
    return None if run.returncode == 0 else run.stderr.strip()[-200:]


def install_uppy(folder):
    """A page with Uppy's Dashboard, see uppy/app.js; None, or what is wrong."""
    esbuild = MODULES / ".bin" / "esbuild"
    if not esbuild.exists():
        return "no esbuild: npm ci in tests/web"
    folder.mkdir()
    shutil.copy(clients.WEB / "uppy" / "index.html", folder)
    run = subprocess.run(
        [esbuild, clients.WEB / "uppy" / "app.js", "--bundle", "--minify",
         "--log-level=error", f"--outfile={folder}/app.js"],
        capture_output=True, text=True, check=False)
    return None if run.returncode == 0 else run.stderr.strip()[-200:]


def play(scene, url, tmp_path, *files, script="page.mjs", while_it_runs=None,
         **more):
    """Plays a scene; its last line, or an assertion with what it said.
    What else there is, the scene is told."""
    profile = tmp_path / "profile"
    profile.mkdir()
    job = {"url": url, "chromium": CHROMIUM, "shots": SHOTS,
           "profile": str(profile), "files": [str(f) for f in files], **more}
    with subprocess.Popen(
            ["node", str(clients.WEB / script), scene, json.dumps(job)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "HOME": str(tmp_path)}) as run:
        try:
            last = ""
            for line in run.stdout:
                last = line.strip()
                if while_it_runs:
                    while_it_runs(last)
            status = run.wait(clients.PATIENCE)
        finally:
            run.kill()
        assert status == 0, run.stderr.read()
    return json.loads(last)
