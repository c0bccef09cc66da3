"""What goes on between the client, the web server and us, front by front."""

import base64
import json
import os
import re
import socket
import subprocess
import time

import pytest

from lib import clients, fronts, proc, rig

MIB = 1 << 20
PATCH = {"Upload-Offset": "0",
         "Content-Type": "application/offset+octet-stream"}
LONG = 20 * MIB


def create(one, size, **headers):
    status, answer, body = clients.request(
        "POST", one.url, {"Upload-Length": str(size), **headers}, b"")
    assert status == 201, (status, body)
    return one.origin + answer["Location"]


def head_of(url, method, size, headers=None):
    """The bytes of a request up to its body."""
    lines = [f"{method} {url} HTTP/1.1", "Host: 127.0.0.1",
             "Tus-Resumable: 1.0.0", f"Content-Length: {size}"]
    lines += [f"{k}: {v}" for k, v in {**PATCH, **(headers or {})}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def connect(one):
    return socket.create_connection(("127.0.0.1", one.port), 30)


def path(one, url):
    return url[len(one.origin):]


@pytest.fixture(scope="module")
def long_file(tmp_path_factory):
    return clients.make_file(tmp_path_factory.mktemp("long") / "f", LONG)


def curl(*argv):
    """(status, body) of the answer, as a client with a normal life sees it;
    not even the exit status may complain."""
    if not rig.have("curl"):
        pytest.skip("no curl")
    run = subprocess.run(
        ["curl", "-sS", "-k", "-m", "60", "-w", "\n%{http_code} %{http_version}",
         *map(str, argv)], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    body, _, last = run.stdout.rpartition(b"\n")
    status, version = last.decode().split()
    return int(status), body, version


def curl_patch(file, url, offset=0, *more):
    return curl("-X", "PATCH", "-T", file, "-H", "Tus-Resumable: 1.0.0",
                "-H", f"Upload-Offset: {offset}", "-H",
                f"Content-Type: {PATCH['Content-Type']}", *more, url)


# --- What is left of an interrupted request ---------------------------------

def test_a_killed_patch_keeps_what_came_where_the_front_end_streams(front):
    url = create(front, MIB)
    with connect(front) as s:
        s.sendall(head_of(path(front, url), "PATCH", MIB) + bytes(100000))
        if front.front_end.streams:
            data = front.uploads / url.rsplit("/", 1)[1]
            rig.wait_for(lambda: data.stat().st_size == 100000, "the bytes")
    if not front.front_end.streams:
        time.sleep(0.5)
    kept = 100000 if front.front_end.streams else 0
    assert clients.offset(url) == kept
    left = min(MIB - kept, front.front_end.longest or MIB)
    status, headers, _ = clients.request(
        "PATCH", url, {**PATCH, "Upload-Offset": str(kept)}, bytes(left))
    assert (status, headers["Upload-Offset"]) == (204, str(kept + left))


@pytest.mark.having("streams")
def test_what_came_at_once_before_the_connection_broke_is_kept(front):
    """All of it; but nginx and lighttpd forget what they hold just then."""
    url = create(front, 8 * MIB)
    with connect(front) as s:
        s.sendall(head_of(path(front, url), "PATCH", 8 * MIB) + bytes(3 * MIB))
    least = 3 * MIB if front.name == "apache-proxy" else 1
    # Not by HEAD, which would ask the PATCH to let go.
    data = front.uploads / url.rsplit("/", 1)[1]
    rig.wait_for(lambda: data.stat().st_size >= least, "the bytes to be kept")
    assert clients.offset(url) == data.stat().st_size


def test_the_sum_of_a_body_that_did_not_come_whole_proves_nothing(front):
    """CKSUM-12: it is taken back."""
    url = create(front, MIB)
    with connect(front) as s:
        s.sendall(head_of(path(front, url), "PATCH", MIB, {
            "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}) +
            bytes(100000))
    time.sleep(0.3)
    assert clients.offset(url) == 0


# --- What reaches the client ------------------------------------------------

def refused_in_time(front, long_file, want, url, offset=0, *more):
    """FCGI-01: the answer to a body that nobody reads."""
    status, body, _ = curl_patch(long_file, url, offset, *more)
    assert status == want, (status, body)
    assert re.match(rb"ERR_[A-Z_]+: ", body), body


@pytest.mark.lacking("longest")
@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_409_for_20_mb_at_the_wrong_offset(front, long_file, expect):
    refused_in_time(front, long_file, 409, create(front, LONG), 1,
                    "-H", expect)


@pytest.mark.lacking("longest")
def test_404_for_20_mb_to_an_unknown_upload(front, long_file):
    refused_in_time(front, long_file, 404, front.url + 32 * "0")


@pytest.mark.lacking("longest")
def test_413_for_20_mb_to_a_small_upload(front, long_file):
    url = create(front, 1000)
    refused_in_time(front, long_file, 413, url)
    assert clients.offset(url) == 0


@pytest.mark.lacking("longest")
def test_507_for_20_mb_on_a_full_disk(front, own, long_file):
    full = own(front.name, config={"store": {"min_free": "1000T"}})
    status, body, _ = curl(
        "-X", "POST", "-T", long_file, "-H", "Tus-Resumable: 1.0.0", "-H",
        f"Upload-Length: {LONG}", "-H",
        f"Content-Type: {PATCH['Content-Type']}", full.url.rstrip("/"))
    assert status == 507, (status, body)
    assert body.startswith(b"ERR_NO_SPACE: ")


def test_460_is_460(front):
    """CKSUM-15."""
    url = create(front, 100)
    status, headers, body = clients.request("PATCH", url, {
        **PATCH, "Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        bytes(100))
    assert status == 460
    assert body.startswith(b"ERR_CHECKSUM_MISMATCH: ")
    assert clients.offset(url) == 0


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_404_is_ours(front, method):
    status, headers, _ = clients.request(
        method, front.url + 32 * "0", PATCH, None)
    assert (status, headers["Tus-Resumable"]) == (404, "1.0.0")


def test_100_continue_comes_before_the_body(front):
    url = create(front, 5)
    with connect(front) as s:
        s.sendall(head_of(path(front, url), "PATCH", 5,
                          {"Expect": "100-continue"}))
        assert s.recv(4096).startswith(b"HTTP/1.1 100 ")
        s.sendall(b"hello")
        assert s.recv(4096).startswith(b"HTTP/1.1 204 ")


def test_long_metadata_comes_back(front):
    """4096 bytes, the default limit: more than a front end's own default."""
    value = "a " + "QUJD" * 1023
    url = create(front, 5, **{"Upload-Metadata": value})
    assert clients.request("HEAD", url)[1]["Upload-Metadata"] == value


@pytest.mark.parametrize("size", [12000, 16340, 16400, 24000, 40000])
def test_a_long_header_is_passed_on_or_refused_but_never_dropped(front, size):
    """An Upload-Concat with hundreds of parts.  mod_proxy_fcgi drops what is
    longer than 16 KiB, silently, unless Apache has refused it before."""
    status, _, body = clients.request("POST", front.url, {
        "Upload-Concat": f"final; {front.base}/" + "0" * size}, b"")
    if body.startswith(b"ERR_"):
        assert status == 404, body
    else:
        assert status in (400, 431), (status, body)
        usual = front.name in ("nginx", "htaccess")
        assert usual or size > 16000, "the snippet should let this through"


def test_a_neighbour_with_a_longer_name_is_not_ours(front):
    status, headers, _ = clients.request(
        "OPTIONS", front.origin + front.base + "ystem")
    assert headers["Tus-Version"] is None, status


# --- HTTPS and HTTP/2 -------------------------------------------------------

def secure(front, url):
    return f"https://127.0.0.1:{front.tls_port}{path(front, url)}"


def test_http2_over_tls(front, tmp_path):
    url = secure(front, create(front, 100000))
    file = clients.make_file(tmp_path / "f", 100000)
    status, _, version = curl_patch(file, url, 0, "--http2")
    if version != "2":
        pytest.skip(f"{front.name}: no HTTP/2 here")
    assert status == 204
    _, body, _ = curl("--http2", url)
    assert body == file.read_bytes()


def test_an_absolute_location_says_https(front, own):
    one = own(front.name, config={"location": "absolute"}, tls=True)
    status, body, _ = curl(
        "-i", "-X", "POST", "-d", "", "-H", "Content-Type:", "-H",
        "Tus-Resumable: 1.0.0", "-H", "Upload-Length: 1",
        secure(one, one.url))
    assert status == 201, body
    at = re.search(rb"(?i)^location: (\S+)", body, re.M).group(1).decode()
    assert at.startswith(f"https://127.0.0.1:{one.tls_port}{one.base}/")


# --- Downloads by the web server --------------------------------------------

SENDFILE = {"download": {"sendfile": "x-sendfile"},
            "store": {"file_mode": "0644"}}


def offload(own, name):
    if name.startswith("apache") and not any(
            (f / "mod_xsendfile.so").exists()
            for f in fronts.APACHE_MODULES):
        pytest.skip("no mod_xsendfile")
    return own(name, config=SENDFILE)


@pytest.mark.but("nginx", "htaccess")
def test_downloads_are_handed_over_with_ranges(front, own, tmp_path):
    one = offload(own, front.name)
    file = clients.make_file(tmp_path / "f", 3 * MIB)
    url = create(one, 3 * MIB, **{"Upload-Metadata": "filename Zi5iaW4="})
    assert curl_patch(file, url)[0] == 204
    data = file.read_bytes()
    status, headers, body = clients.request("GET", url)
    assert (status, body == data) == (200, True)
    assert "f.bin" in headers["Content-Disposition"]
    assert headers["X-Sendfile"] is None
    status, headers, body = clients.request(
        "GET", url, {"Range": "bytes=1000000-1999999"})
    assert (status, body == data[1000000:2000000]) == (206, True)
    assert headers["Content-Range"] == f"bytes 1000000-1999999/{3 * MIB}"


@pytest.mark.but("nginx", "htaccess", "apache-fcgid")
@pytest.mark.parametrize("name", ["a b?c#d+\u00e9", "100%41"])
def test_a_file_that_was_moved_is_found_by_any_name(
        front, own, tmp_path, name):
    hook = tmp_path / "pre-create"
    hook.write_text("#!/bin/sh\necho '" + json.dumps({"ChangeFileInfo": {
        "Storage": {"Path": "done/" + name}}}) + "'\n")
    hook.chmod(0o755)
    one = offload(own, front.name)
    one.stop_front()
    one.stop_app()
    one.configure(rig.merge(SENDFILE, {
        "hooks": {"dir": str(tmp_path)},
        "store": {"dir_mode": "0755"},
        "download": {"sendfile_root": str(one.uploads)}}))
    one.start()
    url = create(one, 5)
    assert clients.request("PATCH", url, PATCH, b"hello")[0] == 204
    moved = one.uploads / "done" / name
    rig.wait_for(moved.exists, "the upload to be moved")
    status, headers, body = clients.request("GET", url)
    assert (status, body) == (200, b"hello")
    assert headers["X-Sendfile"] is None


def test_a_download_says_how_long_it_is(front):
    url = create(front, 1000)
    assert clients.request("PATCH", url, PATCH, bytes(1000))[0] == 204
    status, headers, _ = clients.request("GET", url)
    assert (status, headers["Content-Length"]) == (200, "1000")


# --- Who is who -------------------------------------------------------------

def owner_config():
    return {"owner": {"param": "REMOTE_USER", "require": True}}


def uncomment(text, first, last):
    """The example in a comment of a snippet, as somebody would use it."""
    lines = text.splitlines()
    start = next(i for i, l in enumerate(lines) if first in l)
    end = next(i for i in range(start, len(lines)) if last in lines[i])
    return "\n".join(re.sub(r"^\s*#", "", l) for l in lines[start:end + 1])


def with_passwords(own, name, passwords):
    """The front end with the example for passwords in its snippet."""
    if name.startswith("lighttpd"):
        text = (rig.TREE / "etc/lighttpd/tusfcgi.conf").read_text()
        example = uncomment(text, 'server.modules += ( "mod_auth"', "#     }")
        extra = example.replace("/etc/lighttpd/tusfcgi.htpasswd",
                                str(passwords))
        return own(name, config=owner_config(), extra=extra)
    text = (rig.TREE / "etc/apache/tusfcgi-proxy.conf").read_text()
    example = uncomment(text, "AuthType Basic", "</RequireAny>")
    example = example.replace("/etc/apache2/tusfcgi.htpasswd", str(passwords))
    return own(name, config=owner_config(),
               replace={"\tRequire all granted\n": example + "\n"})


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(
        f"{user}:{password}".encode()).decode()}


def try_create(one, headers=None):
    return clients.request("POST", one.url, {
        "Upload-Length": "5", **(headers or {})}, b"")


def test_nobody_becomes_an_owner_by_saying_so(front, own):
    one = own(front.name, config=owner_config())
    for headers in (None, basic("joe", "x"), {"Remote-User": "joe"},
                    {"Remote_User": "joe"}, {"REMOTE_USER": "joe"}):
        assert try_create(one, headers)[0] >= 400, headers


@pytest.mark.but("nginx", "htaccess")
def test_an_upload_belongs_to_who_gave_the_right_password(front, own,
                                                          tmp_path):
    home = tmp_path
    if os.geteuid() == 0:
        home = front.dir
    passwords = home / "htpasswd"
    # sha1 of "secret"
    passwords.write_text("".join(
        f"{u}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n" for u in ("joe", "sue")))
    passwords.chmod(0o644)
    one = with_passwords(own, front.name, passwords)
    assert try_create(one)[0] == 401
    assert try_create(one, basic("joe", "wrong"))[0] == 401
    assert clients.request("OPTIONS", one.url)[0] == 200
    status, headers, _ = try_create(one, basic("joe", "secret"))
    assert status == 201
    url = one.origin + headers["Location"]
    assert clients.request("HEAD", url, basic("joe", "secret"))[0] == 200
    assert clients.request("HEAD", url, basic("sue", "secret"))[0] == 404


@pytest.mark.lacking("runs_app")
# --- Life of the program ----------------------------------------------------

def test_after_a_restart_the_next_request_is_served(front, own):
    one = own(front.name)
    url = create(one, 5)
    one.stop_app()
    assert clients.request("HEAD", url)[0] >= 500
    one.start_app()
    rig.wait_for(lambda: clients.request("HEAD", url)[0] == 200,
                 "the front end to ask again", 5)


def children(pid):
    out = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            kids = [int(k) for k in f.read().split()]
    except FileNotFoundError:
        return out
    for kid in kids:
        out += [kid] + children(kid)
    return out


@pytest.mark.having("runs_app")
def test_no_worker_outlives_the_web_server(front, own):
    if not os.path.exists("/proc/self/task"):
        pytest.skip("no /proc")
    one = own(front.name)
    create(one, 5)
    ours = [p for p in children(one.front.pid)
            if "tus" in os.path.basename(os.readlink(f"/proc/{p}/exe"))]
    assert ours
    one.stop_front()
    rig.wait_for(lambda: not any(map(proc.is_alive, ours)),
                 "the workers to leave")


# --- Shared hosting ---------------------------------------------------------

# What is made in such a folder sooner or later.
LEFT_BEHIND = ["tus.conf~", "tus.conf.bak", "tus.log", "hooks/post-finish",
               ".tus.conf.swp", "tusfcgi.tar.gz", "uploads/x", "files~"]


@pytest.mark.only_front("htaccess")
@pytest.mark.parametrize("name", [
    "", "tus.conf", ".htaccess", "uploads/", "uploads/{id}",
    "uploads/{id}.info", "tus.fcgi", "tus.fcgi/", "tus.fcgi/{id}",
    "TUS.FCGI/{id}", "%74us.fcgi/{id}", "/tus.fcgi/{id}", "tus.fcgi//{id}",
    "files/../tus.fcgi/{id}", "x/../tus.conf", "/tus.conf", *LEFT_BEHIND])
def test_nothing_but_uploads_has_a_url(front, name):
    """Nor has the program a second one, which a login may not cover."""
    space = front.uploads.parent
    for file in LEFT_BEHIND:
        (space / file).parent.mkdir(exist_ok=True)
        (space / file).write_text("secret")
        (space / file).chmod(0o644)
    one = create(front, 5).rsplit("/", 1)[1]
    url = f"{front.origin}/up/" + name.format(id=one)
    for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE"):
        status, headers, _ = clients.request(method, url, {
            "Upload-Length": "1"}, b"" if method == "POST" else None)
        assert status in (403, 404)
        assert "Tus-Resumable" not in headers
    for file in LEFT_BEHIND:
        (space / file).unlink()


REWRITE = "RewriteRule ^files(/.*)?$ tus.fcgi$1 [L]"


@pytest.mark.only_front("htaccess")
@pytest.mark.parametrize("lines", [
    "RewriteCond %{HTTP:X-User} (.+)\n"
    "RewriteRule ^files(/.*)?$ tus.fcgi$1 [L,E=TUS_OWNER:%1,E=TUS_MAX_SIZE:9]",
    'SetEnvIf X-User "(.+)" TUS_OWNER=$1 TUS_MAX_SIZE=9\n' + REWRITE],
    ids=["E=", "SetEnvIf"])
def test_what_htaccess_says_of_a_request_counts(front, own, lines):
    """Apache renames it on the way: REDIRECT_TUS_OWNER."""
    one = own("htaccess", replace={REWRITE: lines})

    def ask(method, url, user):
        return clients.request(method, url, {
            "X-User": user, "Upload-Length": "5",
            "X-Redirect-Tus-Owner": "ann", "Redirect-Tus-Owner": "ann"},
            b"" if method == "POST" else None)

    status, headers, _ = ask("POST", one.url, "ann")
    assert status == 201
    url = one.origin + headers["Location"]
    assert ask("HEAD", url, "ann")[0] == 200
    assert ask("HEAD", url, "bob")[0] == 404
    assert ask("DELETE", url, "bob")[0] == 404
    assert clients.request("POST", one.url, {
        "X-User": "ann", "Upload-Length": "10"}, b"")[0] == 413
    assert clients.request("OPTIONS", one.url, {
        "X-User": "ann"})[1]["Tus-Max-Size"] == "9"


@pytest.mark.only_front("htaccess")
def test_the_limit_of_the_host_bites_at_128_kib(front):
    url = create(front, MIB)
    status, _, _ = clients.request("PATCH", url, PATCH, bytes(131073))
    assert (status, clients.offset(url)) == (500, 0)
    status, _, _ = clients.request("PATCH", url, PATCH, bytes(131072))
    assert (status, clients.offset(url)) == (204, 131072)
