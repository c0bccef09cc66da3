"""Where the keys come from, and that keys which end are renewed in time."""

import os
import subprocess
import threading
import time

import pytest

from lib import clients, rig
from s3 import bucket
from s3.bucket import PART, content, create, patch
from s3.lender import Lender

bucket.need_store()

# Nothing of the person who runs the tests.
NOBODY = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "",
          "AWS_SHARED_CREDENTIALS_FILE": "", "AWS_PROFILE": "",
          "AWS_EC2_METADATA_DISABLED": "true"}
SOURCES = ("web identity", "container", "machine")


@pytest.fixture
def lender(engine):
    one = Lender(engine)
    yield one
    one.stop()


def refuses(folder, engine, env, **kw):
    """What the start says before it leaves."""
    one = bucket.Server(folder, engine, env={**NOBODY, **env}, **kw)
    one.configure({})
    done = subprocess.run(
        [rig.program(), "-c", one.config_path],
        env={**os.environ, **NOBODY, **env}, capture_output=True, text=True,
        check=False, timeout=60)
    assert done.returncode, done.stderr
    return done.stderr


@pytest.fixture
def start(start):
    return lambda env, workers=3, **kw: start(
        env={**NOBODY, **env}, args=["-w", str(workers)], **kw)


def environment(lender, source, folder):
    """What a person, or Kubernetes, sets for this source."""
    token = folder / "mounted" / "token"
    token.parent.mkdir(exist_ok=True)
    token.write_text(lender.token + "\n")
    return {
        "web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
                         "AWS_ROLE_ARN": "arn:aws:iam::1:role/up",
                         "AWS_ENDPOINT_URL_STS": lender.url},
        "container": {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": lender.url + "/container",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)},
        "machine": {"AWS_EC2_METADATA_DISABLED": "",
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT": lender.url},
    }[source]


def upload(server, size):
    url = create(server, size)
    assert patch(url, 0, content(size))[0] == 204
    assert clients.request("GET", url)[2] == content(size)


def test_a_section_of_a_file(tmp_path, engine, start):
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id = WRONG\naws_secret_access_key = no\n"
        "[other]\n# mine\naws_access_key_id=" + engine.access +
        "\naws_secret_access_key = " + engine.secret + "\n")
    where = {"AWS_SHARED_CREDENTIALS_FILE": str(path)}
    upload(start({**where, "AWS_PROFILE": "other"}), 5)
    upload(start(where, s3={"profile": "other"}), 5)
    assert "\"absent\" has no keys" in refuses(
        tmp_path, engine, where, s3={"profile": "absent"})


@pytest.mark.parametrize("source", SOURCES)
def test_keys_that_a_service_lends(tmp_path, engine, lender, start, source):
    server = start(environment(lender, source, tmp_path))
    # The master asks, and nobody after it.
    requests = 3 if source == "machine" else 1
    rig.wait_for(lambda: len(lender.asked) >= requests, "the keys to be lent")
    upload(server, 3 * PART)
    assert len(lender.asked) == requests


@pytest.mark.parametrize("workers", [3, 1])
@pytest.mark.parametrize("source", SOURCES)
def test_keys_that_end_in_the_middle_of_an_upload(
        tmp_path, engine, lender, start, source, workers):
    lender.seconds = 3
    server = start(environment(lender, source, tmp_path), workers,
                   s3={"retries": 0})
    size = 40 * PART
    url, data = create(server, size), content(size)
    begun, lent = time.time(), len(engine.log())
    for at in range(0, size, PART // 2):
        assert patch(url, at, data[at:at + PART // 2])[0] == 204, at
        time.sleep(max(0, begun + 6 * at / size - time.time()))
    assert time.time() - begun > 5
    assert clients.request("GET", url)[2] == data
    assert lent and not [x for x in engine.log() if x[3]]
    # Renewed, but not by each worker.
    assert 3 <= len([x for x in lender.asked if x.startswith(("GET", "POST"))
                     and x.endswith(("role", "container", "/"))]) <= 20


def test_a_token_that_is_replaced_by_another_file(
        tmp_path, engine, lender, start):
    """As Kubernetes does it: the folder has a link to the newest."""
    lender.seconds = 3
    server = start(environment(lender, "web identity", tmp_path), 1)
    upload(server, 5)
    lender.token = "another"
    newer = tmp_path / "mounted" / "newer"
    newer.write_text("another")
    os.replace(newer, tmp_path / "mounted" / "token")
    n = len(lender.asked)
    rig.wait_for(lambda: upload(server, 5) or len(lender.asked) > n + 1,
                 "the next keys")


def test_a_service_that_is_down_for_a_while(tmp_path, engine, lender, start):
    """An upload waits; it is told 503 and nothing worse."""
    lender.seconds = 2
    server = start(environment(lender, "container", tmp_path),
                   s3={"retries": 0})
    upload(server, 5)
    lender.is_down = True
    rig.wait_for(lambda: clients.request("POST", server.url, {
        "Upload-Length": "5"})[0] == 503, "the end of the keys")
    assert "are not renewed" in server.log()
    lender.is_down = False
    rig.wait_for(lambda: clients.request("POST", server.url, {
        "Upload-Length": "5"})[0] == 201, "new keys")


def test_no_secret_is_said(tmp_path, engine, lender, start):
    lent = []
    lend = lender.lend
    lender.lend = lambda: lent.append(lend()) or lent[-1]
    server = start(environment(lender, "machine", tmp_path))
    upload(server, 3 * PART)
    done = subprocess.run(
        [rig.program(), "-c", server.config_path, "-t", "-v", "-s",
         str(tmp_path / "s")], env=server.env, capture_output=True,
        text=True, check=False)
    for keys in lent:
        for name in ("SecretAccessKey", "Token"):
            assert keys[name] not in \
                server.log() + done.stdout + done.stderr


def test_nothing_is_found(tmp_path, engine):
    assert "KEYS OF A BUCKET" in refuses(tmp_path, engine, {})


def test_a_token_goes_to_no_stranger(tmp_path, engine):
    assert "neither https:// nor" in refuses(tmp_path, engine, {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/container"})


def test_many_workers_at_the_end_of_a_lease(tmp_path, engine, lender, start):
    lender.seconds = 3
    server = start(environment(lender, "container", tmp_path), 8)
    end, bad = time.time() + 5, []

    def work():
        while time.time() < end:
            status = clients.request("POST", server.url, {
                "Upload-Length": "5"})[0]
            if status != 201:
                bad.append(status)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not bad and len(lender.asked) <= 20
