"""tusctl doctor: finds nothing to mend in a snippet but what the server
cannot do, and names the directive where a server has its defaults."""

import os
import shutil
import socket
import subprocess
import tempfile

import pytest

from lib import clients, fronts, logins, rig

SPOOLED = """bodies are spooled: a broken connection keeps nothing of a request
        Apache with mod_fcgid: """
DEFAULTS = {
    "nginx": ({
        "fastcgi_request_buffering off;": "",
        "client_max_body_size 0;": "",
        "client_body_buffer_size 1m;": "",
        "fastcgi_buffer_size 32k;": "",
        "fastcgi_buffers 8 32k;": "",
    }, ["fastcgi_request_buffering off", "client_max_body_size 0",
        "fastcgi_buffer_size 32k"]),
    "lighttpd": ({
        "server.stream-request-body = 1": "",
        "server.max-request-field-size = 32768": "",
    }, ["server.stream-request-body = 1", "server.max-request-field-size"]),
    "apache-proxy": ({
        "LimitRequestFieldSize 16360": "LimitRequestFieldSize 32768",
        "SetEnv ap_trust_cgilike_cl 1": "",
    }, ["dropped silently", "LimitRequestFieldSize 16360",
        "ap_trust_cgilike_cl"]),
    "apache-fcgid": ({
        "FcgidMaxRequestLen 1099511627776": "",
    }, [SPOOLED, "mod_proxy_fcgi", "FcgidMaxRequestLen"]),
}
SHIPPED = {
    "nginx": ([], ["large_client_header_buffers"]),
    "lighttpd": ([], ["unknown length"]),
    "lighttpd-spawn": ([], ["unknown length"]),
    "apache-proxy": ([], []),
    "apache-fcgid": ([SPOOLED], []),
    "htaccess": ([SPOOLED, "131073 bytes"], ["LimitRequestFieldSize"]),
}


def doctor(one, url=None):
    """(exit status, problems, notes, everything that was said)."""
    run = subprocess.run(
        [rig.program("tusctl"), "doctor", url or one.url], text=True,
        capture_output=True, timeout=120, check=False)
    assert not rig.SANITIZER.search(run.stderr), run.stderr
    lines = run.stdout.splitlines()
    return (run.returncode, [l for l in lines if l.startswith("PROBLEM")],
            [l for l in lines if l.startswith("note")], run.stdout)


def stored(one):
    return [p.name for p in one.uploads.iterdir()
            if not p.name.startswith(".")]


def test_the_snippet_is_as_healthy_as_its_server_can_be(front):
    before = stored(front)
    status, problems, notes, text = doctor(front)
    wanted, remarks = SHIPPED[front.name]
    assert len(problems) == len(wanted), text
    assert len(notes) == len(remarks), text
    assert all(w in text for w in wanted + remarks), text
    assert status == (1 if wanted else 0)
    assert sorted(stored(front)) == sorted(before)


@pytest.mark.but("lighttpd-spawn", "htaccess")
def test_defaults_are_found_and_the_directive_is_named(front, own):
    replace, wanted = DEFAULTS[front.name]
    _, problems, notes, text = doctor(own(front.name, replace=replace))
    assert problems or notes
    assert all(w in text for w in wanted), text


@pytest.mark.only_front("apache-fcgid")
def test_bodies_that_are_cut_are_noticed(front, own):
    """Apache's default of 1 GiB, which mod_fcgid takes for the end."""
    _, problems, _, text = doctor(
        own(front.name, replace={"LimitRequestBody 0": ""}))
    assert any("cut without a word" in p for p in problems), text
    assert "LimitRequestBody 0" in text


@pytest.mark.only_front("nginx")
def test_what_is_no_upload_server_is_said_to_be_none(front):
    status, problems, _, _ = doctor(front, front.origin + "/")
    assert (status, len(problems)) == (1, 1)
    assert "must be where uploads are created" in problems[0]


@pytest.mark.only_front("nginx")
def test_nobody_there(front):
    status, problems, _, _ = doctor(
        front, f"http://127.0.0.1:{rig.free_port()}/files/")
    assert (status, len(problems)) == (1, 1)
    assert "no answer" in problems[0]


@pytest.mark.lacking("runs_app")
def test_a_program_that_is_not_running(front, own):
    one = own(front.name)
    one.stop_app()
    status, _, _, text = doctor(one)
    assert status == 1
    assert "is tusfcgi running" in text


def test_wrong_usage():
    run = subprocess.run([rig.program("tusctl"), "doctor"], text=True,
                         capture_output=True, timeout=20, check=False)
    assert run.returncode == 2


def test_a_full_pool_is_not_blamed_on_the_web_server(server):
    one = server("nginx", config={"pool": {
        "max_workers": 3, "min_spare": 1, "reserve": 2, "max_parked": 0}})
    path = clients.request("POST", one.url, {"Upload-Length": "100000"},
                           b"")[1]["Location"]
    with socket.create_connection(("127.0.0.1", one.port)) as s:
        s.sendall((f"PATCH {path} HTTP/1.1\r\nHost: x\r\n"
                   "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
                   "Content-Type: application/offset+octet-stream\r\n"
                   "Content-Length: 100000\r\n\r\n").encode() + b"x" * 5000)
        rig.wait_for(lambda: any(f.stat().st_size == 5000
                                 for f in one.uploads.iterdir()),
                     "the place to be taken")
        status, problems, _, out = doctor(one)
    assert status == 1 and "ERR_TOO_BUSY" in problems[0]
    assert "client_max_body_size" not in out


# --- Who gets in ------------------------------------------------------------

METHOD = "fastcgi_param REQUEST_METHOD    $request_method;"
TRIED = """map "$request_method $http_x_http_method_override" $tried {
    default $request_method;
    "~^(OPTIONS|GET|HEAD) (?<name>POST|DELETE)$" $name;
}"""


def with_login(one, user="joe", password="secret"):
    return one.url.replace("://", f"://{user}:{password}@")


@pytest.fixture
def passwords(tmp_path):
    file = tmp_path / "htpasswd"
    file.write_text(logins.HTPASSWD)
    return file


def test_a_safe_method_that_can_be_made_into_another_is_found(server):
    """Here by the web server; older builds of tusfcgi did it themselves."""
    one = server("nginx", http_extra=TRIED, replace={
        METHOD: "fastcgi_param REQUEST_METHOD $tried;"})
    status, problems, _, text = doctor(one)
    assert (status, len(problems)) == (1, 6), text
    for came in ("OPTIONS", "GET", "HEAD"):
        for name in ("POST", "DELETE"):
            assert any(f"{came} with X-HTTP-Method-Override: {name}" in p
                       for p in problems), text
    assert "open to everybody" in text
    assert stored(one) == []


def test_a_password_that_is_asked_for_is_said_to_be(server, passwords):
    one = server("nginx", config={"owner": logins.OWNER},
                 replace=logins.nginx(passwords))
    assert "anybody may upload" in doctor(server("nginx"))[3]
    status, problems, _, text = doctor(one, with_login(one))
    assert (status, problems) == (0, []), text
    assert "nothing is created without the password" in text
    status, problems, _, _ = doctor(one)
    assert status == 1 and "a password is asked for" in problems[0]
    assert stored(one) == []


def test_a_name_that_nobody_checks_is_found(server):
    """nginx's $remote_user is what the client claims."""
    one = server("nginx", config={
        "owner": {**logins.OWNER, "require": True}}, replace={
            'fastcgi_param REMOTE_USER       "";':
                "fastcgi_param REMOTE_USER $remote_user if_not_empty;"})
    _, problems, _, text = doctor(one, with_login(one))
    assert any("with a wrong password" in p for p in problems), text
    assert "limit_except OPTIONS" in text


def test_a_password_that_is_not_needed_is_found(server, passwords):
    one = server("nginx", replace=logins.nginx(passwords) | {
        "limit_except OPTIONS {": "limit_except POST {"})
    _, problems, _, text = doctor(one, with_login(one))
    assert any("without the password" in p for p in problems), text


@pytest.mark.only_front("htaccess")
def test_a_web_space_whose_files_are_public_is_found(front, own):
    """Where the host reads no .htaccess there is no endpoint either."""
    one = own("htaccess")
    one.stop_front()
    one.extra = f"""<Directory "{one.dir}/apache/www">
        AllowOverride None
        </Directory>"""
    one.start_front()
    status, problems, _, text = doctor(one)
    assert status == 1
    for name in ("tus.conf", "tus.fcgi"):
        assert any(f" {name}, which is" in p for p in problems), text
    assert "AllowOverride None" in text


@pytest.mark.only_front("htaccess")
def test_stored_files_that_are_public_are_found(front, own):
    one = own("htaccess")
    space = one.uploads.parent
    (space / "uploads" / ".htaccess").unlink()
    text = (space / ".htaccess").read_text()
    (space / ".htaccess").write_text(
        text.replace("RewriteRule ^ - [F]", "").replace("Require all denied",
                                                        ""))
    (space / "tus.log").write_text("id=")
    (space / "tus.log").chmod(0o644)
    _, problems, _, text = doctor(one)
    for name in ("tus.conf", "tus.log", "uploads/"):
        assert any(f" {name}" in p and "open to everybody" in p
                   for p in problems), text
    assert any("a login for this one does not cover" in p
               for p in problems), text


def test_a_server_that_never_answers_is_left_soon():
    """One request waits for a minute, those after it for seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/files/"
        status, problems, _, text = doctor(None, url)
    assert status == 1
    assert len(problems) == 1 and "no answer" in problems[0], text
    assert "can be fetched" not in text


@pytest.mark.only_front("nginx")
def test_a_site_that_answers_to_everything_is_not_blamed(front, own):
    one = own("nginx", extra="location / { return 200 x; }")
    status, problems, _, text = doctor(one)
    assert (status, problems) == (0, []), text


@pytest.mark.only_front("nginx")
@pytest.mark.parametrize("code", ["404", "400 405", "413", "415", "460"])
def test_error_pages_in_place_of_ours_are_found(front, own, code):
    """Even those that make a success of it, for a page in one file."""
    pages = f"error_page {code} =200 /index.html;"
    _, problems, _, text = doctor(own("nginx", extra=pages, replace={
        "fastcgi_intercept_errors off;": "fastcgi_intercept_errors on;"}))
    assert any("arrives as" in p for p in problems), text
    assert "fastcgi_intercept_errors off;" in text
    one = own("nginx", extra="fastcgi_intercept_errors on;" + pages)
    assert doctor(one)[0] == 0


SECURITY = """
    LoadModule unique_id_module {modules}/mod_unique_id.so
    LoadModule security2_module {modules}/mod_security2.so
    SecRuleEngine On
    SecRequestBodyAccess On
    SecDataDir {tmp}
    SecTmpDir {tmp}
    SecAuditEngine Off
"""


@pytest.mark.only_front("apache-proxy")
def test_mod_security2_is_named_where_it_may_be_what_spools(front, own,
                                                            tmp_path):
    """mod_fcgid is not loaded; and the line in the snippet helps."""
    modules = next(f for f in fronts.APACHE_MODULES if f.is_dir())
    if not (modules / "mod_security2.so").exists():
        pytest.skip("no mod_security2")
    place = tempfile.mkdtemp(prefix="tusfcgi-", dir="/tmp")
    os.chmod(place, 0o777)
    extra = SECURITY.format(modules=modules, tmp=place)
    try:
        _, problems, _, text = doctor(own(front.name, extra=extra))
        assert any("bodies are spooled" in p for p in problems), text
        assert "SecRequestBodyAccess Off" in text
        assert "Apache with mod_fcgid: " not in text
        # As the snippet says, longer ones need it in the server.
        line = "#     SecRequestBodyAccess Off"
        _, problems, _, text = doctor(own(
            front.name, extra=extra, replace={line: line[1:]}))
        assert "bodies stream" in text
        assert all("2 GiB" in p for p in problems), text
        status, problems, _, text = doctor(own(
            front.name, extra=extra + "SecRequestBodyAccess Off"))
        assert (status, problems) == (0, []), text
    finally:
        shutil.rmtree(place)
