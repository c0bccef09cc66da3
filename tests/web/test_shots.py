"""Pictures of the upload page in every state, see shots.mjs.

They are compared with those in shots/, pixel by pixel, on a system with the
fonts that made them.  To make them anew, and then look at each:

    TUSFCGI_SHOTS=tests/web/shots /usr/bin/python3 -m pytest tests/web/test_shots.py
    optipng -o3 tests/web/shots/*.png

The scene readme of shots.mjs makes etc/page/page.png.
"""

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from lib import browser, clients, rig
from lib.once import once

if browser.missing():
    pytest.skip(browser.missing(), allow_module_level=True)

KEPT = clients.WEB / "shots"
MADE_WITH = KEPT / "made-with"

# The part of the pixels that may differ: an edge of a letter here and there.
TOLERANCE = 0.002

NAMES = ["-".join(parts) for parts in itertools.product(
    ("empty", "dragging", "finished", "working", "notice"),
    ("360", "768", "1280"), ("light", "dark"))]


def system():
    """What decides how a letter looks."""
    text = Path("/etc/os-release").read_text()
    name = next(line.partition("=")[2].strip('"')
                for line in text.splitlines()
                if line.startswith("PRETTY_NAME="))
    fonts = [subprocess.run(
        ["fc-match", "-f", "%{file} %{fontversion}", f"system-ui:{style}"],
        capture_output=True, text=True, check=False).stdout
        for style in ("regular", "bold")] if rig.have("fc-match") else []
    return ", ".join([name, *fonts])


def look(folder):
    """What shots.mjs says of each picture."""
    wrong = browser.install_page(folder / "page")
    if wrong:
        pytest.skip(f"etc/page/install: {wrong}")
    shots = os.path.abspath(browser.SHOTS) if browser.SHOTS else \
        str(folder / "seen")
    os.makedirs(shots, exist_ok=True)
    one = rig.Server(folder, page=folder / "page")
    one.start()
    try:
        result = browser.play("shots", one.origin + "/", folder,
                              script="shots.mjs", shots=shots, like=str(KEPT))
    finally:
        one.stop()
    if os.path.samefile(shots, KEPT):
        MADE_WITH.write_text(system() + "\n")
    return result


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return once(tmp_path_factory, "shots", look)


# One test for all pictures: while they are made, others would wait for them.
def test_the_page_looks_as_it_did(seen):
    if system() != MADE_WITH.read_text().strip():
        pytest.skip(f"made with {MADE_WITH.read_text().strip()}; "
                    f"here: {system()}")
    assert all((KEPT / f"{name}.png").exists() for name in NAMES)
    assert {name: one["differ"] for name, one in seen.items()
            if one["differ"] > TOLERANCE} == {}


def test_every_text_can_be_read(seen):
    assert {name: one["faint"] for name, one in seen.items()
            if one["faint"]} == {}


def test_every_picture_is_looked_at(seen):
    assert sorted(seen) == sorted(NAMES)
    assert sorted(p.stem for p in KEPT.glob("*.png")) == sorted(NAMES)
    assert sum(p.stat().st_size for p in KEPT.iterdir()) < 1500000
