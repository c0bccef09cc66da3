"""What etc/nginx/tusfcgi.conf promises, with curl and plain sockets."""

import base64
import re
import socket
import subprocess

import pytest

from lib import clients, folders, rig

if not rig.have("nginx"):
    pytest.skip("no nginx", allow_module_level=True)

PATCH = {"Content-Type": "application/offset+octet-stream",
         "Upload-Offset": "0"}
BASIC = {"Authorization": "Basic " + base64.b64encode(b"joe:secret").decode()}


def create(one, size=None, **headers):
    """Returns the URL of a new upload."""
    if size is not None:
        headers["Upload-Length"] = str(size)
    status, answer, body = clients.request("POST", one.url, headers, b"")
    assert status == 201, (status, body)
    return one.origin + answer["Location"]


def curl(*argv, stdin=None):
    run = subprocess.run(["curl", "-sS", *argv], capture_output=True,
                         text=True, timeout=60, check=False, stdin=stdin)
    assert run.returncode == 0, run.stderr
    return run.stdout


def shell_lines(readme):
    """The block of README.md that says how to upload with curl."""
    text = (rig.TREE / readme).read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return next(b for b in blocks if "Upload-Length: 6" in b)


@pytest.mark.skipif(not rig.have("curl"), reason="no curl")
def test_the_curl_lines_of_the_readme(server):
    """Exactly as printed, only the port is another."""
    one = server()
    script = shell_lines("README.md").replace("http://127.0.0.1:8080",
                                              one.origin)
    run = subprocess.run(["sh", "-eu", "-c", script], capture_output=True,
                         text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("hello\n"), run.stdout
    assert "204 No Content" in run.stdout
    assert re.search("upload-offset: 6", run.stdout, re.I)


@pytest.mark.skipif(not rig.have("curl"), reason="no curl")
def test_a_chunked_body_of_unknown_length(server, tmp_path):
    file = clients.make_file(tmp_path / "f", 300000)
    url = create(server(), 300000)
    with open(file, "rb") as body:
        said = curl("-i", "-T", "-", "-X", "PATCH",
                    "-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Offset: 0",
                    "-H", "Content-Type: application/offset+octet-stream",
                    url, stdin=body)
    assert "204 No Content" in said
    assert clients.download_digest(url) == clients.digest(file)


def open_patch(one, url, length):
    """A socket on which the head of a PATCH has been sent."""
    s = socket.create_connection(("127.0.0.1", one.port))
    path = url[len(one.origin):]
    s.sendall((f"PATCH {path} HTTP/1.1\r\nHost: x\r\n"
               "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
               "Content-Type: application/offset+octet-stream\r\n"
               f"Content-Length: {length}\r\n\r\n").encode())
    return s


def test_a_body_is_stored_while_it_arrives(server):
    """fastcgi_request_buffering off."""
    one = server()
    url = create(one, 1000000)
    with open_patch(one, url, 1000000) as s:
        s.sendall(b"x" * 300000)
        rig.wait_for(lambda: stored(one) == 300000, "the first bytes")


def stored(one):
    return max(folders.sizes(one.uploads).values(), default=0)


def test_a_lost_connection_keeps_what_came(server):
    """All but what nginx had read with the end of the connection."""
    one = server()
    url = create(one, 5000000)
    with open_patch(one, url, 5000000) as s:
        s.sendall(b"y" * 2345678)
    rig.wait_for(lambda: clients.offset(url) >= 2345678 - (1 << 20),
                 "2345678 bytes, but for one buffer")


def test_a_lost_connection_after_a_pause_keeps_everything(server):
    one = server()
    url = create(one, 5000000)
    with open_patch(one, url, 5000000) as s:
        s.sendall(b"y" * 2345678)
        rig.wait_for(lambda: stored(one) == 2345678, "2345678 bytes")
    assert clients.offset(url) == 2345678


def test_a_body_above_the_default_limit_of_nginx(server):
    """client_max_body_size 0."""
    url = create(server(), 3 << 20)
    status, headers, _ = clients.request("PATCH", url, PATCH, b"z" * (3 << 20))
    assert (status, headers["Upload-Offset"]) == (204, str(3 << 20))


def test_an_early_refusal_of_a_big_body_arrives(server):
    url = create(server(), 10)
    status, _, body = clients.request("PATCH", url, PATCH, b"z" * (20 << 20))
    assert status == 413, body
    assert clients.offset(url) == 0


def test_long_metadata_comes_back(server):
    """fastcgi_buffer_size: an answer's header beyond 4 KiB is no 502."""
    one = server(config={"max_metadata": 7000})
    metadata = "name " + base64.b64encode(b"n" * 5000).decode()
    url = create(one, 1, **{"Upload-Metadata": metadata})
    status, headers, _ = clients.request("HEAD", url)
    assert (status, headers["Upload-Metadata"]) == (200, metadata)


def test_larger_headers_with_the_line_at_the_end(server):
    line = re.search(r"large_client_header_buffers [^;]*;", rig.snippet(
        "etc/nginx/tusfcgi.conf", {})).group()
    one = server(config={"max_metadata": 20000}, extra=line)
    metadata = "name " + base64.b64encode(b"n" * 12000).decode()
    create(one, 1, **{"Upload-Metadata": metadata})


@pytest.mark.parametrize("path", ["/filesystem", "/file", "/x/files/"])
def test_other_paths_are_not_ours(server, path):
    status, headers, _ = clients.request("OPTIONS", server().origin + path)
    assert status in (404, 405)
    assert headers["Tus-Version"] is None


@pytest.mark.parametrize("path", ["/files", "/files/", "/files/?a=b"])
def test_the_path_with_and_without_slash(server, path):
    status, headers, _ = clients.request("OPTIONS", server().origin + path)
    assert (status, headers["Tus-Version"]) == (200, "1.0.0")


def test_a_user_nobody_checked_is_no_user(server):
    """The stock fastcgi_params would pass joe on."""
    one = server(config={"owner": {"param": "REMOTE_USER", "require": True}})
    status, _, _ = clients.request(
        "POST", one.url, {**BASIC, "Upload-Length": "1"}, b"")
    assert status in (401, 403)


def commented(text, pattern):
    """Lines of the snippet that begin with #, and the same without it."""
    block = re.search(pattern, text, re.S).group()
    return block, re.sub(r"(?m)^(\t?)#", r"\1", block)


def test_the_lines_for_a_password(server, tmp_path):
    passwords = tmp_path / "htpasswd"
    passwords.write_text("joe:{PLAIN}secret\n")
    text = rig.snippet("etc/nginx/tusfcgi.conf", {})
    block, live = commented(text, r"\t#     limit_except.*?if_not_empty;\n")
    live = live.replace("/etc/nginx/tusfcgi.htpasswd", str(passwords))
    one = server(
        config={"owner": {"param": "REMOTE_USER", "require": True}},
        replace={block: live, 'fastcgi_param REMOTE_USER       "";': ""})
    length = {"Upload-Length": "1"}
    assert clients.request("OPTIONS", one.url)[0] == 200
    assert clients.request("POST", one.url, length, b"")[0] == 401
    assert clients.request("POST", one.url, {**BASIC, **length}, b"")[0] == 201


def test_the_lines_for_downloads_by_nginx(server):
    text = rig.snippet("etc/nginx/tusfcgi.conf", {})
    block, live = commented(text, r"#     location /tusfcgi-store/.*?#     }\n")
    one = server(
        config={"download": {"sendfile": "x-accel",
                             "sendfile_root": "/tusfcgi-store/"}})
    one.stop_front()
    one.replace = {block: live.replace("/var/lib/tusfcgi", str(one.uploads))}
    one.start_front()
    url = create(one, 10)
    assert clients.request("PATCH", url, PATCH, b"0123456789")[0] == 204
    status, headers, body = clients.request("GET", url,
                                            {"Range": "bytes=3-5"})
    assert (status, body) == (206, b"345")
    name = url.rsplit("/", 1)[1]
    inside = f"{one.origin}/tusfcgi-store/{name}"
    assert clients.request("GET", inside)[0] == 404
