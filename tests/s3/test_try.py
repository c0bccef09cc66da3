"""tusfcgi -t, the start and tusctl doctor say what is wrong with a bucket, and
what to do."""

import os
import pwd
import socket
import subprocess

import pytest

from lib import clients, rig
from s3 import bucket, client
from s3.bucket import PART, content, create, patch

bucket.need_store()


def configure(folder, engine, **s3):
    engine.ask("PUT", "/uploads")
    engine.rules()
    path = folder / "t.conf"
    path.write_text(rig.libconfig({
        "store": {"type": "s3"}, "lock": {"path": str(folder)},
        "pool": {"listen": str(folder / "sock")},
        "s3": {"endpoint": f"http://127.0.0.1:{engine.port}",
               "bucket": "uploads", "prefix": "up/",
               "access_key": engine.access, "secret_key": engine.secret,
               "spool": str(folder), **s3}}))
    path.chmod(0o600)
    return path


def run(path, *args):
    return subprocess.run([rig.program(), "-c", path, *args],
                          capture_output=True, text=True, check=False,
                          timeout=60)


def doctor(*args):
    """The line on the bucket.  The endpoint is not there, which is a problem
    of its own."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        done = subprocess.run(
            [rig.program("tusctl"), *args, "doctor",
             f"http://127.0.0.1:{nobody.getsockname()[1]}/"],
            capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "no answer" in done.stdout, done.stderr
    return done.stdout.split("PROBLEM no answer")[0]


def refused(path):
    """What is said; the start refuses for the same reason, and so does the
    doctor."""
    checked, started = run(path, "-t"), run(path, "-w", "2")
    assert checked.returncode == started.returncode == 2, checked.stderr
    said = checked.stderr.partition("] ")[2]
    assert doctor("-c", path)[:68] == "PROBLEM " + said[:60]
    assert said and started.stderr.partition("] ")[2][:60] == said[:60]
    return said


def test_what_works_leaves_nothing(short_folder, engine):
    path = configure(short_folder, engine, tags="a=b")
    done = run(path, "-t")
    assert done.returncode == 0, done.stderr
    assert doctor("-c", path).startswith("ok      the store does")
    assert not engine.ask("GET", "/uploads", "list-type=2").all("Key")
    assert not engine.ask("GET", "/uploads", "uploads=").all("UploadId")


PERMISSIONS = [
    ("GET .*list-type", "s3:ListBucket", "uploads"),
    ("PUT ", "s3:PutObject", "uploads/up/*"),
    ("POST ", "s3:PutObject", "uploads/up/*"),
    ("GET [^?]*r$", "s3:GetObject", "uploads/up/*"),
    ("GET .*uploadId", "s3:ListMultipartUploadParts", "uploads/up/*"),
    ("GET .*uploads=", "s3:ListBucketMultipartUploads", "uploads"),
    ("DELETE .*uploadId", "s3:AbortMultipartUpload", "uploads/up/*"),
    ("DELETE [^?]*r$", "s3:DeleteObject", "uploads/up/*")]


@pytest.mark.parametrize("calls, name, where", PERMISSIONS)
def test_the_permission_that_is_missing(
        short_folder, engine, calls, name, where):
    path = configure(short_folder, engine)
    engine.rules({"m": "^" + calls, "do": "403", "times": 99})
    said = refused(path)
    assert f"{name} is refused" in said and \
        said.endswith(f"arn:aws:s3:::{where}\n"), said


def test_what_the_engine_does_not_have(short_folder, engine):
    path = configure(short_folder, engine, tags="a=b")
    engine.rules({"m": "POST", "do": "501", "times": 99})
    said = refused(path)
    assert "NotImplemented" in said and "s3.tags" in said


def test_no_bucket_a_wrong_region_and_wrong_keys(short_folder, engine):
    assert "no bucket \"uplaods\"" in refused(
        configure(short_folder, engine, bucket="uplaods"))
    assert "set s3.region = \"us-east-1\"" in refused(
        configure(short_folder, engine, region="eu-west-1"))
    assert "does not know the access key NOBODY" in refused(
        configure(short_folder, engine, access_key="NOBODY"))
    said = refused(configure(short_folder, engine, secret_key="hush"))
    assert "is not that of the access key" in said and "hush" not in said


@pytest.mark.parametrize("clock, word", [(-3600, "ahead of"),
                                         (3600, "behind")])
def test_a_wrong_clock(short_folder, clock, word):
    engine = client.start_fake("--clock", str(clock))
    try:
        engine.clock = clock
        said = refused(configure(short_folder, engine))
        assert word in said and "timedatectl" in said
    finally:
        engine.stop()


# What systemd leaves to root in tusctl-sweep.service.
FEW_RIGHTS = ["setpriv", "--bounding-set", "-all,+setuid,+setgid,"
              "+dac_read_search"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
def test_root_works_as_the_owner_of_the_locks(short_folder, engine):
    """Where uploads are in a bucket, no directory of theirs has one."""
    short_folder.chmod(0o755)
    locks = short_folder / "locks"
    locks.mkdir(mode=0o700)
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(locks, nobody, -1)
    path = configure(short_folder, engine, spool="/var/tmp")
    path.write_text(path.read_text().replace(
        f'path = "{short_folder}"', f'path = "{locks}"'))
    done = subprocess.run([*FEW_RIGHTS, rig.program("tusctl"), "-c", path,
                           "sweep"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert {x.stat().st_uid for x in locks.iterdir()} <= {nobody}
    spool = short_folder / "spool"
    spool.mkdir(mode=0o700)
    path.write_text(path.read_text().replace("/var/tmp", str(spool)))
    done = run(path, "-t")
    assert done.returncode == 1 and "user nobody may not" in done.stderr


def test_locks_in_a_folder_that_is_not_there(short_folder, engine):
    path = configure(short_folder, engine)
    path.write_text(path.read_text().replace(
        f'path = "{short_folder}"', f'path = "{short_folder}/locks"'))
    done = run(path, "-t")
    assert done.returncode != 0 and "lock.path" in done.stderr, done.stderr


def test_a_service_that_does_not_answer_is_a_warning(short_folder, engine):
    path = configure(short_folder, engine)
    engine.stop()
    done = run(path, "-t")
    assert done.returncode == 0 and "warn" in done.stderr
    assert f"s3.endpoint: no answer from http://127.0.0.1:{engine.port}: " \
        in done.stderr
    assert doctor("-c", path).startswith("PROBLEM ")


def test_tls_with_a_service_that_has_none(short_folder, engine):
    done = run(configure(short_folder, engine, endpoint="https://127.0.0.1:"
                         f"{engine.port}"), "-t")
    assert "does it speak http:// only?" in done.stderr


def test_a_doctor_without_a_configuration_asks_no_bucket(short_folder, engine):
    configure(short_folder, engine)
    before = len(engine.log())
    assert doctor() == "" and len(engine.log()) == before


def test_a_clock_that_goes_wrong_at_work(short_folder):
    """Its offset is taken from what S3 says."""
    right = client.start_fake("--min-part", str(PART))
    server = bucket.Server(short_folder, right, args=["-w", "2"])
    server.start()
    right.stop()
    wrong = client.start_fake("--min-part", str(PART), "--clock", "7200",
                              "--port", str(right.port))
    wrong.clock = 7200
    try:
        assert wrong.ask("PUT", "/" + server.bucket).status == 200
        url = create(server, 2 * PART)
        assert patch(url, 0, content(2 * PART))[0] == 204
        assert clients.request("GET", url)[2] == content(2 * PART)
    finally:
        server.stop()
        wrong.stop()
