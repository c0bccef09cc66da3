"""The recipes in etc/examples do what they say."""

import base64
import hmac
import json
import os
import re
import socket
import subprocess

import pytest

from lib import clients, logins, rig
from lib.logins import JOE, NOBODY, SUE

EXAMPLES = rig.TREE / "etc" / "examples"
SECRET = "correct horse"
BODY = {"Content-Type": "application/offset+octet-stream"}

if not rig.have("nginx"):
    pytest.skip("no nginx", allow_module_level=True)


def metadata(**pairs):
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}"
                    for k, v in pairs.items())


def upload(one, headers, content=b"hello", **pairs):
    """Status, id and answer of an upload in one request."""
    status, said, body = clients.request("POST", one.url, {
        "Upload-Length": str(len(content)), **BODY, **headers,
        "Upload-Metadata": metadata(**pairs)}, content)
    return status, said.get("Location", "").rpartition("/")[2], body


@pytest.fixture
def endpoint(tmp_path):
    """A factory: endpoint([argv], environment) -> port, where it listens."""
    running = []

    def start(argv, port, **environment):
        running.append(rig.spawn(argv, tmp_path / "endpoint.log", cwd=tmp_path,
                                 env={**os.environ, **environment}))
        rig.wait_for(lambda: rig.accepts(socket.AF_INET, ("127.0.0.1", port)),
                     "the endpoint")
        return port

    yield start
    for process in running:
        process.kill()
        process.wait()


def hooks(url, **more):
    return {"hooks": {"url": url, "secret": SECRET, "timeout": "20s", "retries": 0,
                      "forward_headers": ["Cookie", "Authorization"], **more}}


def sweep(one):
    return subprocess.run(
        [rig.program("tusctl"), "-c", one.config_path, "sweep"],
        capture_output=True, timeout=120, check=False).returncode


# --- WordPress ---


@pytest.fixture
def wordpress(tmp_path, endpoint):
    """The plugin in a WordPress of a few functions: the folder of its library,
    and the URL of the hook."""
    if not rig.have("php"):
        pytest.skip("no php")
    library = tmp_path / "library"
    (library / "wp-admin/includes").mkdir(parents=True)
    for part in ("file", "image", "media"):
        (library / f"wp-admin/includes/{part}.php").touch()
    port = rig.free_port()
    endpoint([rig.have("php"), "-S", f"127.0.0.1:{port}",
              str(rig.TREE / "tests/hooks/wordpress.php")], port,
             WORDPRESS=str(library),
             PLUGIN=str(EXAMPLES / "wordpress/tusfcgi-media.php"))
    return library, f"http://127.0.0.1:{port}/?rest_route=/tusfcgi/v1/hook"


def cookie(name):
    return {"Cookie": f"a=b; wordpress_logged_in_0123={name}%7Ccookie"}


def in_library(folder):
    file = folder / "library.json"
    return json.loads(file.read_text()) if file.exists() else []


def test_wordpress_asks_who_it_is(server, wordpress):
    one = server(config=hooks(wordpress[1]))
    for headers in ({}, {"Cookie": "wordpress_logged_in_0123=x"}, cookie("sub")):
        assert upload(one, headers, filename="a.png")[0] == 403
    assert upload(one, cookie("ann"), filename="a.exe")[0] == 415
    assert upload(one, cookie("ann"))[0] == 415
    assert in_library(wordpress[0]) == []


def test_wordpress_has_what_is_finished_once(server, wordpress):
    library, url = wordpress
    one = server(config=hooks(url))
    (library / "full").touch()
    status, id, body = upload(one, cookie("ann"), b"a picture",
                              filename="a.png", wordpress_user="1")
    assert status == 201, body
    rig.wait_for(lambda: "HTTP status 500" in one.log(), "the failure")
    (library / "full").unlink()
    assert sweep(one) == 0
    assert (library / "a.png").read_bytes() == b"a picture"
    assert in_library(library) == [
        {"name": "a.png", "meta": {"_tusfcgi_id": id}, "author": 7}]
    assert (one.uploads / id).read_bytes() == b"a picture"
    again = json.dumps({"Type": "post-finish", "Event": {"Upload": {
        "ID": id, "IsPartial": False, "MetaData": {
            "filename": "a.png", "wordpress_user": "7"},
        "Storage": {"Path": str(one.uploads / id)}}}}).encode()
    signature = hmac.new(SECRET.encode(), again, "sha256").hexdigest()
    assert clients.request("POST", url, {
        "X-Hook-Signature": f"sha256={signature}"}, again)[0] == 200
    assert len(in_library(library)) == 1


def test_wordpress_wants_the_signature(server, wordpress):
    one = server(config=hooks(wordpress[1], secret="wrong"))
    assert upload(one, cookie("ann"), filename="a.png")[0] == 500
    assert "HTTP status 401" in one.log()


# --- Django ---

SETTINGS = """
SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes",
                  "django.contrib.sessions", "tus_uploads"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
ROOT_URLCONF = "site_urls"
USE_TZ = True
TUS_HOOK_SECRET = "correct horse"
"""
URLS = """
from django.urls import include, path
urlpatterns = [path("tus/", include("tus_uploads.urls"))]
"""
LOG_IN = """
from importlib import import_module
import django; django.setup()
from django.conf import settings
from django.contrib.auth import (BACKEND_SESSION_KEY, HASH_SESSION_KEY,
    SESSION_KEY, get_user_model)
user = get_user_model().objects.create_user("ann", password="x")
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(session.session_key)
"""
ROWS = """
import django; django.setup()
from tus_uploads.models import Upload
for u in Upload.objects.all():
    print(u.id, u.user.username, u.name, u.size, u.path)
"""


@pytest.fixture
def django(tmp_path, endpoint):
    """The app in a site: its URL, a cookie of ann, and what asks for rows."""
    python = "/usr/bin/python3"
    env = {"PYTHONPATH": f"{EXAMPLES / 'django'}:{tmp_path}",
           "PYTHONDONTWRITEBYTECODE": "1", "DJANGO_SETTINGS_MODULE": "site_settings"}

    def run(*argv):
        return subprocess.run([python, *argv], cwd=tmp_path, check=True, text=True,
                              capture_output=True, env={**os.environ, **env}).stdout

    try:
        run("-c", "import django")
    except subprocess.CalledProcessError:
        pytest.skip("no python3-django")
    (tmp_path / "site_settings.py").write_text(SETTINGS)
    (tmp_path / "site_urls.py").write_text(URLS)
    run("-m", "django", "migrate")
    assert "No changes" in run("-m", "django", "makemigrations", "--check",
                               "--dry-run", "tus_uploads")
    key = run("-c", LOG_IN).strip()
    port = rig.free_port()
    endpoint([python, "-m", "django", "runserver", "--noreload", str(port)],
             port, **env)
    return (f"http://127.0.0.1:{port}/tus/hook", {"Cookie": f"sessionid={key}"},
            lambda: run("-c", ROWS).split())


def test_django_knows_who_has_uploaded_what(server, django):
    url, ann, rows = django
    one = server(config={**hooks(url), "extensions": {
        "termination_of_finished": True}})
    for headers in ({}, {"Cookie": "sessionid=x"}, {"Cookie": 'a="'}):
        status, _, body = upload(one, headers, filename="a.txt")
        assert (status, body) == (403, b"log in first\n")
    status, id, body = upload(one, ann, filename="a.txt", django_user="99")
    assert status == 201, body
    rig.wait_for(rows, "the row")
    assert rows() == [id, "ann", "a.txt", "5", str(one.uploads / id)]
    assert clients.request("DELETE", f"{one.url}{id}")[0] == 204
    rig.wait_for(lambda: not rows(), "the end of the row")


def test_django_wants_the_signature(server, django):
    url, ann, _ = django
    one = server(config=hooks(url, secret="wrong"))
    assert upload(one, ann, filename="a.txt")[0] == 500
    assert "HTTP status 403" in one.log()


# --- Express ---

APP = """
import express from "express";
import { uploads } from "./uploads.js";
const sessions = new Map([["Bearer of-ann", "ann"]]);
let fails = 1;
const app = express();
app.use("/tus", uploads({
    secret: "correct horse",
    userOf: async ({ authorization }) => sessions.get(authorization),
    onFinished(file) {
        if (fails-- > 0) throw new Error("the database is away");
        console.log(JSON.stringify(file));
    },
}));
app.listen(Number(process.argv[2]), "127.0.0.1");
"""


@pytest.fixture
def express(tmp_path, endpoint):
    modules = clients.WEB / "node_modules"
    if not rig.have("node") or not (modules / "express").is_dir():
        pytest.skip("no node with express: npm ci in tests/web")
    site = tmp_path / "site"
    site.mkdir()
    (site / "node_modules").symlink_to(modules.resolve())
    (site / "package.json").write_text('{"type": "module"}')
    (site / "uploads.js").write_text(
        (EXAMPLES / "express/uploads.js").read_text())
    (site / "app.js").write_text(APP)
    port = rig.free_port()
    endpoint([rig.have("node"), str(site / "app.js"), str(port)], port)
    return f"http://127.0.0.1:{port}/tus/hook"


def test_express_is_told_who_has_uploaded_what(server, express, tmp_path):
    one = server(config=hooks(express))
    status, _, body = upload(one, {}, filename="a.txt")
    assert (status, body) == (403, b"log in first\n")
    status, id, body = upload(one, {"Authorization": "Bearer of-ann"},
                              filename="a.txt", user="root")
    assert status == 201, body
    rig.wait_for(lambda: "HTTP status 500" in one.log(), "the failure")
    assert sweep(one) == 0
    lines = [line for line in (tmp_path / "endpoint.log").read_text().splitlines()
             if line.startswith("{")]
    assert [json.loads(line) for line in lines] == [
        {"id": id, "user": "ann", "name": "a.txt", "size": 5,
         "path": str(one.uploads / id)}]


def test_express_wants_the_signature(server, express):
    one = server(config=hooks(express, secret="wrong"))
    assert upload(one, {"Authorization": "Bearer of-ann"})[0] == 500
    assert "HTTP status 403" in one.log()


# --- Nextcloud ---


def test_nextcloud_finds_a_folder_for_each_user(server, tmp_path):
    """As Nextcloud's external storage looks for it: /ROOT/$user/NAME."""
    text = (EXAMPLES / "nextcloud/tusfcgi.conf").read_text()
    root = tmp_path / "nextcloud-in"
    root.mkdir(mode=0o2770)
    root.chmod(0o2770)
    keys = dict(re.findall(r'(\w+) = "([^"]+)"', re.sub(r"(?m)^#.*", "", text)))
    assert keys["move_to"].startswith("/srv/nextcloud-in/")
    assert "/srv/nextcloud-in/$user" in text and "require = true" in text
    passwords = tmp_path / "passwords"
    passwords.write_text(logins.HTPASSWD)
    passwords.chmod(0o644)
    one = server(replace=logins.nginx(passwords), config={
        "owner": {"param": keys["param"], "require": True},
        "store": {"file_mode": keys["file_mode"]},
        "finish": {"move_to": keys["move_to"].replace("/srv/nextcloud-in", str(root))}})
    assert upload(one, NOBODY, filename="a.txt")[0] == 401
    for who in (JOE, SUE):
        assert upload(one, who, filename="a.txt")[0] == 201
    for name in ("joe", "sue"):
        file = root / name / "a.txt"
        rig.wait_for(file.exists, f"the file of {name}")
        assert file.read_bytes() == b"hello"
        assert file.stat().st_mode & 0o777 == 0o660
        assert file.stat().st_gid == root.stat().st_gid
