"""What each key of the group s3 does, and what is refused at the start."""

import base64
import subprocess
import time

import pytest

from lib import clients, rig
from s3 import bucket, client
from s3.bucket import PART, content, create, patch

bucket.need_store()


@pytest.fixture
def start(tmp_path, servers):
    return lambda engine, **kw: servers(
        bucket.Server(tmp_path, engine, args=["-w", "2"], **kw))


def metadata(**pairs):
    return {"Upload-Metadata": ",".join(
        f"{k} {base64.b64encode(v.encode()).decode()}"
        for k, v in pairs.items())}


def upload(server, size, **headers):
    """The URL of an upload that is finished."""
    url = create(server, size, **headers)
    assert patch(url, 0, content(size))[0] == 204
    return url


def finished(server):
    return [k for k in server.keys() if not k.endswith(".info")]


@pytest.mark.parametrize("size", [9, 2 * PART])
def test_how_objects_are_stored(engine, start, size):
    server = start(engine, s3={
        "encryption": "aws:kms", "encryption_key": "arn:aws:kms:a:1:key/2",
        "storage_class": "STANDARD_IA", "acl": "bucket-owner-full-control",
        "tags": "a=1&b=2"})
    upload(server, size)
    name, = finished(server)
    got = engine.stored(server.bucket, name)
    want = {"x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id":
                "arn:aws:kms:a:1:key/2",
            "x-amz-storage-class": "STANDARD_IA",
            "x-amz-acl": "bucket-owner-full-control",
            "x-amz-tagging": "a=1&b=2"}
    assert want.items() <= got.items()
    # The record is ours alone.
    assert not want.keys() & engine.stored(
        server.bucket, name + ".info").keys()


def test_metadata_that_is_too_much_for_headers(engine, start):
    server = start(engine)
    pairs = {f"key-{i:02}": "x" * 80 for i in range(30)}
    url = upload(server, 5, **metadata(**pairs, name="näme"))
    name = url.rpartition("/")[2]
    got = engine.stored(server.bucket, name)
    kept = {k for k in got if k.startswith("x-amz-meta-key")}
    assert 15 < len(kept) <= 20
    assert clients.request("HEAD", url)[1]["Upload-Metadata"].count(",") == 30
    url = upload(server, 5, **metadata(**{
        f"key-{i:02}": "x" * 500 for i in range(6)}))
    got = engine.stored(server.bucket, url.rpartition("/")[2])
    assert len([k for k in got if k.startswith("x-amz-meta-key")]) == 3


def test_no_metadata_at_the_object(engine, start):
    server = start(engine, s3={"metadata": False})
    url = upload(server, 5, **metadata(filename="a.txt",
                                       filetype="text/plain"))
    got = engine.stored(server.bucket, url.rpartition("/")[2])
    assert got["content-type"] == "text/plain"
    assert [k for k in got if k.startswith("x-amz-meta")] == [
        "x-amz-meta-tus-id"]


@pytest.mark.parametrize("size", [9, 2 * PART])
def test_a_key_of_ones_own(engine, start, size):
    server = start(engine, s3={
        "key": "in/{year}/{id}/{filename}", "prefix": "up/"})
    url = upload(server, size, **metadata(filename="../a b.txt"))
    name = url.rpartition("/")[2]
    assert sorted(server.keys()) == [
        f"up/{name}.info",
        time.strftime(f"up/in/%Y/{name}/_._a b.txt", time.gmtime())]
    assert clients.request("GET", url)[2] == content(size)
    assert clients.request("DELETE", url)[0] == 204
    assert not server.keys()


def test_a_name_that_two_have(engine, start):
    """The older object is replaced, and its removal spares the newer."""
    server = start(engine, s3={"key": "out/{filename}"})
    first = upload(server, 9, **metadata(filename="a"))
    second = upload(server, 10, **metadata(filename="a"))
    # It is 404 for a worker that has not written a record yet.
    rig.wait_for(lambda: clients.request("DELETE", first)[0] == 204,
                 "the removal")
    assert clients.request("GET", second)[2] == content(10)
    assert clients.request("DELETE", second)[0] == 204
    assert not server.keys()


def test_records_of_their_own(engine, start):
    server = start(engine, s3={
        "prefix": "done/", "record_prefix": "work/", "key": "{filename}"})
    upload(server, 3 * PART, **metadata(filename="x.info"))
    assert sorted(k.partition("/")[0] for k in server.keys()) == [
        "done", "work"]
    assert "done/x.info" in server.keys()


def test_the_bucket_in_the_name_of_the_host(engine, start):
    server = start(engine, s3={
        "endpoint": f"http://localhost:{engine.port}",
        "addressing": "virtual"})
    engine.rules()
    assert clients.request("GET", upload(server, 2 * PART))[2] == \
        content(2 * PART)
    assert all(x[1].startswith("/-") or server.bucket not in x[1]
               for x in engine.log())


def make_certificate(folder):
    path = folder / "tls.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", path, "-out",
         folder / "ca.pem", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True)
    path.write_text(path.read_text() + (folder / "ca.pem").read_text())
    return path


def test_tls_with_a_certificate_of_ones_own(tmp_path, start):
    path = make_certificate(tmp_path)
    ca = str(tmp_path / "ca.pem")
    engine = client.start_fake("--min-part", str(PART), "--tls", str(path),
                               ca_file=ca)
    try:
        where = {"endpoint": f"https://127.0.0.1:{engine.port}"}
        trusted = tmp_path / "trusted.pem"
        trusted.write_bytes((tmp_path / "ca.pem").read_bytes())
        server = start(engine, s3={**where, "ca_file": str(trusted)})
        # The master has read it, and no worker does: it would cost each of
        # them six megabytes where it is the bundle of the system.
        trusted.unlink()
        assert clients.request("GET", upload(server, 2 * PART))[2] == \
            content(2 * PART)
        other = start(engine, s3={**where, "retries": 0})
        assert clients.request("POST", other.url, {
            "Upload-Length": "1"})[0] == 503
        assert "certificate" in other.log()
        third = start(engine, s3={**where, "verify": False})
        upload(third, 9)
    finally:
        engine.stop()


def test_no_room_where_the_bytes_wait(engine, start):
    server = start(engine, config={"store": {"min_free": "1000T"}})
    status, _, _ = clients.request("POST", server.url, {
        "Upload-Length": "9",
        "Content-Type": "application/offset+octet-stream"}, content(9))
    assert status == 507 and not server.keys()


def check(folder, config, mode=0o600):
    path = folder / "t.conf"
    base = {"store": {"type": "s3"}, "lock": {"path": str(folder)},
            "s3": {"endpoint": "http://127.0.0.1:9", "bucket": "b",
                   "access_key": "a", "secret_key": "hush", "timeout": "1s",
                   "retries": 0}}
    path.write_text(rig.libconfig(rig.merge(base, config)))
    path.chmod(mode)
    return subprocess.run(
        [rig.program(), "-c", str(path), "-t", "-s", str(folder / "sock")],
        capture_output=True, text=True, check=False, timeout=60)


REFUSED = [
    ({"quota": {"bytes": "1G"}}, "quota.bytes: remove it"),
    ({"quota": {"uploads": 3}}, "quota.uploads: remove it"),
    ({"finish": {"move_to": "/srv/{id}"}}, "s3.key says"),
    ({"store": {"path": "/srv"}}, "store.path: remove it"),
    ({"store": {"durability": "full"}}, "store.durability: remove it"),
    ({"store": {"shared": True}}, "store.shared: remove it"),
    ({"s3": {"bucket": ""}}, "s3.bucket"),
    ({"s3": {"key": "{filename}"}}, "s3.record_prefix"),
    ({"s3": {"key": "{id}-{filename}"}}, "s3.record_prefix"),
    ({"s3": {"key": "{meta:relativePath}/a", "record_prefix": "r/"}},
     "s3.record_prefix"),
    ({"s3": {"key": "fixed"}}, "s3.key"),
    ({"s3": {"key": "/{id}"}}, "s3.key"),
    ({"s3": {"encryption": "rot13"}}, "s3.encryption"),
    ({"s3": {"encryption_key": "k"}}, "s3.encryption = \"aws:kms\""),
    ({"s3": {"part_size": "1K"}}, "s3.part_size"),
    ({"s3": {"part_size": "6G"}}, "s3.part_size"),
    ({"s3": {"secret_key": ""}}, "set both or none"),
    ({"lock": {"path": ""}}, "lock.path")]


@pytest.mark.parametrize("config, words", REFUSED,
                         ids=[f"{w} {i}" for i, (_, w) in enumerate(REFUSED)])
def test_what_does_not_fit_is_refused_with_the_reason(
        short_folder, config, words):
    done = check(short_folder, config)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert "hush" not in done.stdout + done.stderr


def test_a_secret_that_everybody_can_read(short_folder):
    done = check(short_folder, {}, 0o644)
    assert done.returncode == 2 and "chmod o-r" in done.stderr


def test_a_key_of_s3_for_another_store(tmp_path):
    path = tmp_path / "t.conf"
    path.write_text(rig.libconfig({"store": {"path": str(tmp_path)},
                                   "s3": {"bucket": "b"}}))
    done = subprocess.run([rig.program(), "-c", str(path), "-t"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "s3.bucket" in done.stderr
