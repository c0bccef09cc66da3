"""What the tests with real clients share."""

import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from lib import rig

WEB = rig.TREE / "tests" / "web"
PATIENCE = 120
TUS = {"Tus-Resumable": "1.0.0"}


def need_tus_js():
    """Skips the module where tus-js-client cannot run."""
    if not rig.have("node"):
        pytest.skip("no node", allow_module_level=True)
    if not (WEB / "node_modules" / "tus-js-client").is_dir():
        pytest.skip("no tus-js-client: npm ci in tests/web",
                    allow_module_level=True)


def make_file(path, size, seed=b"seed"):
    """Bytes that repeat nowhere, so that a shifted piece is noticed."""
    with open(path, "wb") as out:
        block = 0
        while size > 0:
            key = hashlib.sha256(seed + block.to_bytes(8, "big")).digest()
            piece = hashlib.shake_128(key).digest(min(size, 1 << 20))
            out.write(piece)
            size -= len(piece)
            block += 1
    return path


def digest(path):
    """sha256 of a file, in hex."""
    total = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def request(method, url, headers=None, body=None):
    """Returns (status, headers, body); no status is an exception."""
    asked = urllib.request.Request(url, data=body, method=method,
                                   headers={**TUS, **(headers or {})})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def offset(url):
    status, headers, _ = request("HEAD", url)
    assert status == 200, status
    return int(headers["Upload-Offset"])


def download_digest(url):
    """sha256 of what a GET brings."""
    total = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=60) as answer:
        while piece := answer.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def tus_js(endpoint, file, status=0, **job):
    """Runs client.mjs; returns its last line.  See there for the job."""
    job = {"endpoint": endpoint, "file": str(file), **job}
    run = subprocess.run(
        ["node", str(WEB / "client.mjs"), json.dumps(job)],
        capture_output=True, text=True, timeout=job.pop("patience", PATIENCE),
        check=False)
    assert run.returncode == status, run.stdout[-2000:] + run.stderr[-4000:]
    return json.loads(run.stdout.strip().splitlines()[-1])


def killed(endpoint, folder, size, kills=3):
    """Uploads `size` bytes with a client that is killed `kills` times.

    Returns (url, file, what was sent again after each kill).  Sent again is
    what the client had handed to its socket beyond what the server kept.
    """
    file = make_file(Path(folder) / f"killed-{size}", size)
    store = str(Path(folder) / f"urls-{size}.json")
    again = []
    had = None
    for turn in range(1, kills + 2):
        last = turn > kills
        seen = tus_js(endpoint, file, status=0 if last else -9, store=store,
                      dieAt=None if last else size * turn // (kills + 1),
                      patience=PATIENCE * 5)
        if had is not None:
            again.append(had - seen["first"])
        had = seen["sent"]
    return seen["url"], file, again


