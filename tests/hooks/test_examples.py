"""The examples of etc/hooks do what they say."""

import base64
import os
import shutil
import socket
import subprocess
import time

import pytest

from lib import clients, rig, uploads

if not rig.have("nginx"):
    pytest.skip("no nginx", allow_module_level=True)

BODY = {"Content-Type": "application/offset+octet-stream"}
EXAMPLES = rig.TREE / "etc" / "hooks"


def metadata(**pairs):
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}"
                    for k, v in pairs.items())


def upload(one, content=b"hello", **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    return clients.request("POST", one.url, {
        "Upload-Length": str(len(content)), **BODY, **headers}, content)


@pytest.mark.skipif(not rig.have("jq"), reason="no jq")
@pytest.mark.parametrize("name,kept", [
    ("world.txt", "-world.txt"),
    ("../../etc/passwd", "-passwd"),
    ("a$(touch x);b\n", "-atouch xb"),
    ("..", ""),
    ("-rf", "-rf"),
])
def test_finished_files_are_moved(server, tmp_path, name, kept):
    hooks, there = tmp_path / "hooks", tmp_path / "in"
    hooks.mkdir()
    text = (EXAMPLES / "post-finish").read_text()
    assert "${DESTINATION:-/srv/in}" in text
    (hooks / "post-finish").write_text(
        text.replace("${DESTINATION:-/srv/in}", str(there)))
    (hooks / "post-finish").chmod(0o755)
    one = server(config={"hooks": {"dir": str(hooks)}})
    status, headers, _ = upload(one, Upload_Metadata=metadata(filename=name))
    assert status == 201
    id = headers["Location"].rpartition("/")[2]
    rig.wait_for(lambda: not list(one.uploads.glob(id + "*")), "the move")
    moved = there / time.strftime("%Y/%m") / (id + kept)
    assert moved.read_bytes() == b"hello"
    assert clients.request("HEAD", one.origin + headers["Location"])[0] == 404


@pytest.mark.skipif(not rig.have("jq"), reason="no jq")
def test_parts_stay_where_they_are(server, tmp_path):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(EXAMPLES / "post-finish", hooks / "post-finish")
    one = server(config={"hooks": {"dir": str(hooks)}})
    status, headers, _ = upload(one, Upload_Concat="partial")
    assert status == 201
    id = headers["Location"].rpartition("/")[2]
    rig.wait_for(lambda: not uploads.pending(one.uploads, id), "the hook")
    assert (one.uploads / id).read_bytes() == b"hello"


@pytest.fixture
def endpoint(tmp_path):
    """The script in PHP's own web server."""
    if not rig.have("php"):
        pytest.skip("no php")
    port = rig.free_port()
    process = rig.spawn(
        [rig.have("php"), "-S", f"127.0.0.1:{port}",
         str(EXAMPLES / "endpoint.php")], tmp_path / "php.log",
        env={**os.environ, "TUS_HOOK_SECRET": "correct horse"})
    rig.wait_for(lambda: rig.accepts(socket.AF_INET, ("127.0.0.1", port)),
                 "php")
    yield f"http://127.0.0.1:{port}/"
    process.kill()
    process.wait()


def test_the_endpoint_in_php(server, tmp_path, endpoint):
    one = server(config={"hooks": {"url": endpoint,
                                   "secret": "correct horse"}})
    status, headers, body = upload(one)
    assert (status, body) == (400,
                              b'{"error":"an upload must have a filename"}')
    assert headers["Content-Type"] == "application/json"
    assert upload(one, Upload_Metadata=metadata(
        filename="x", filetype="text/html"))[0] == 415
    status, headers, body = upload(one, Upload_Metadata=metadata(
        filename="../x.pdf", filetype="application/pdf"))
    assert status == 201, body
    url = one.origin + headers["Location"]
    said = clients.request("HEAD", url)[1]["Upload-Metadata"]
    assert said == metadata(filename="x.pdf", filetype="application/pdf")
    rig.wait_for(lambda: f"upload {url.rpartition('/')[2]} is at" in
                 (tmp_path / "php.log").read_text(), "post-finish")


def test_the_endpoint_in_php_takes_the_parts_of_a_parallel_upload(
        server, tmp_path, endpoint):
    one = server(config={"hooks": {"url": endpoint,
                                   "secret": "correct horse"}})
    parts = []
    for _ in range(2):
        status, headers, body = upload(one, Upload_Concat="partial")
        assert status == 201, body
        parts.append(headers["Location"])
    whole = "final;" + " ".join(parts)
    # What the parts become is judged like any other upload.
    assert clients.request("POST", one.url, {"Upload-Concat": whole})[0] == 400
    assert clients.request("POST", one.url, {
        "Upload-Concat": whole,
        "Upload-Metadata": metadata(filename="x", filetype="text/html"),
    })[0] == 415
    status, headers, body = clients.request("POST", one.url, {
        "Upload-Concat": whole, "Upload-Metadata": metadata(
            filename="x.pdf", filetype="application/pdf")})
    assert status == 201, body
    id = headers["Location"].rpartition("/")[2]
    log = tmp_path / "php.log"
    rig.wait_for(lambda: f"upload {id} is at" in log.read_text(),
                 "post-finish")
    assert log.read_text().count(" is at ") == 1


def test_the_endpoint_in_php_wants_a_signature(server, endpoint):
    one = server(config={"hooks": {"url": endpoint, "secret": "wrong"}})
    assert upload(one)[0] == 500
    assert "HTTP status 403" in one.log()


def test_the_endpoint_is_valid_php():
    if not rig.have("php"):
        pytest.skip("no php")
    subprocess.run([rig.have("php"), "-l", EXAMPLES / "endpoint.php"],
                   check=True, capture_output=True)
