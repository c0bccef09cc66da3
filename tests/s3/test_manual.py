"""What the manual and README say of buckets, as it stands there."""

import copy
import json
import re
import subprocess

import pytest

from lib import clients, rig
from ops.test_manual import examples, kind_of
from s3 import bucket
from s3.bucket import PART, content, create, patch, tusctl

bucket.need_store()


def of_kind(kind):
    return [text for _, text in examples() if kind_of(text) == kind]


def policy():
    """That of the manual; there is one, and one lifecycle rule."""
    found = [json.loads(x) for x in of_kind("policy")]
    assert [sorted(x) for x in found] == [["Statement", "Version"], ["Rules"]]
    assert "AbortIncompleteMultipartUpload" in found[1]["Rules"][0]
    return found[0]


def check(config, tmp_path):
    path = tmp_path / "tusfcgi.conf"
    path.write_text(config)
    path.chmod(0o600)
    return subprocess.run([rig.program(), "-c", path, "-t"], text=True,
                          capture_output=True, check=False)


def point_to(engine, text, tmp_path):
    """The example, with an engine and folders of the test."""
    (tmp_path / "locks").mkdir(exist_ok=True)
    for old, new in (
            ("https://s3.example.org", f"http://127.0.0.1:{engine.port}"),
            ("AKEXAMPLE", engine.access), ('"secret"', f'"{engine.secret}"'),
            ("/var/lib/tusfcgi", str(tmp_path / "locks"))):
        text = text.replace(old, new)
    return text


def test_the_configuration_of_the_manual_is_good(engine, tmp_path):
    engine.ask("PUT", "/uploads")
    text, = of_kind("bucket")
    done = check(point_to(engine, text, tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    assert re.search(r"^store +s3 uploads$", done.stdout, re.M)


def test_the_ten_lines_of_readme_work(engine, tmp_path):
    """All of them but the restart."""
    engine.ask("PUT", "/uploads")
    text = (rig.TREE / "README.md").read_text()
    block = re.search(r"^## Uploads in a bucket\n\n((?:    .*\n)+)", text,
                      re.M)[1]
    lines = [x[4:] for x in block.splitlines()]
    assert len(lines) <= 10 and lines[-1].startswith("tusfcgi -t && systemctl")
    script = point_to(engine, "\n".join(lines), tmp_path)
    for old, new in (("-g tusfcgi ", ""),
                     ("/etc/tusfcgi.conf", f"{tmp_path}/tusfcgi.conf"),
                     ("tusfcgi -t && ", f"{rig.program()} -t -c "
                                        f"{tmp_path}/tusfcgi.conf && : ")):
        assert old in script
        script = script.replace(old, new)
    done = subprocess.run(["bash", "-e", "-c", script], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def live(server):
    """All that the store asks for; False if anything was refused."""
    engine = server.engine
    data = content(3 * PART + 9)
    try:
        url = create(server, len(data))
        for at, end in ((0, 5), (5, PART + 7), (PART + 7, len(data))):
            if clients.offset(url) != at or patch(url, at, data[at:end])[0] != 204:
                return False
        if clients.request("GET", url)[2] != data:
            return False
        parts = []
        for size in (PART + 3, PART):
            parts.append(create(server, size, **{"Upload-Concat": "partial"}))
            if patch(parts[-1], 0, data[:size])[0] != 204:
                return False
        paths = " ".join(u[len(server.origin):] for u in parts)
        if clients.request("POST", server.url, {
                "Upload-Concat": "final;" + paths})[0] != 201:
            return False
        half = create(server, len(data))
        if patch(half, 0, data[:9])[0] != 204:
            return False
        tusctl(server, "settle", "--tusd")
        tusctl(server, "adopt")
        tusctl(server, "check")
        gone = create(server, len(data))
        ok = [clients.request("DELETE", x)[0] for x in (gone, url)]
        engine.age(2 * 86400)
        said = tusctl(server, "sweep", "--older-than", "1")
        return ok == [204, 204] and clients.request("HEAD", half)[0] == 404 \
            and "1 expired uploads" in said
    except (AssertionError, KeyError, ValueError):
        return False


@pytest.fixture
def server(engine, tmp_path):
    one = bucket.Server(tmp_path, engine, s3={"retries": 0})
    one.start()
    yield one
    one.stop()


def named(server, text):
    """The policy for the bucket of this server."""
    return json.loads(json.dumps(text).replace(
        "arn:aws:s3:::uploads", f"arn:aws:s3:::{server.bucket}"))


def test_the_policy_allows_what_is_needed(server):
    server.engine.allow(named(server, policy()))
    assert live(server), server.log()[-3000:]


@pytest.mark.parametrize("action", [
    a for s in policy()["Statement"] for a in s["Action"]])
def test_the_policy_allows_nothing_more(server, action):
    """Without any one of them something does not work."""
    less = copy.deepcopy(policy())
    for one in less["Statement"]:
        one["Action"] = [a for a in one["Action"] if a != action]
    server.engine.allow(named(server, less))
    assert not live(server)
