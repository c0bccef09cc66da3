"""A bucket and its locks in a service: what belongs together, and nothing
else."""

import json
import shutil
import subprocess

import pytest

from lib import rig
from lib.locks import SESSION, Redis
from s3 import bucket

bucket.need_store()

pytestmark = [
    pytest.mark.skipif(not shutil.which("redis-server"),
                       reason="redis-server is not installed"),
    pytest.mark.skipif("redis" not in subprocess.run(
        [rig.program(), "-V"], capture_output=True, text=True,
        check=True).stdout, reason="built without hiredis"),
]


@pytest.fixture(params=["", "no-if-match lists-parts"], ids=bucket.name_of)
def engine(request):
    one = bucket.start_engine(request.param)
    yield one
    one.stop()


@pytest.fixture
def redis(short_folder):
    one = Redis(str(short_folder))
    yield one
    one.stop()


@pytest.fixture
def pool(engine, redis, tmp_path):
    """Any number of pools with these keys of lock, each in a folder."""
    started = []

    def make(shared=None, s3=None, **lock):
        folder = tmp_path / f"pool{len(started)}"
        folder.mkdir()
        one = bucket.App(folder, engine, shared=shared, s3=s3, config={
            "lock": {"type": "redis", "hosts": [redis.path], "reply": "2s",
                     "session": f"{SESSION}s", **lock}})
        started.append(one)
        return one

    yield make
    for one in started:
        if hasattr(one, "app"):
            one.stop()


def start(one):
    one.start_app()
    rig.wait_for(lambda: "session of" in one.log(), "a session")
    return one


def refused(one, status, *words):
    run = subprocess.run([rig.program(), "-c", str(one.config_path)],
                         env=one.env, timeout=60, capture_output=True,
                         text=True, check=False)
    assert run.returncode == status, run
    for word in words:
        assert word in run.stderr, run.stderr


def note(one):
    return json.loads(one.engine.ask("GET", f"/{one.bucket}/.store").body)


def test_two_hosts_with_one_bucket_and_one_prefix_are_one_store(pool):
    one = start(pool())
    other = start(pool(shared=one))
    path = one.client.create(5)
    rig.wait_for(lambda: other.client.patch(path, 0, b"hello").status == 204,
                 "a lock")
    assert one.client.offset(path) == 5
    assert note(one)["Locks"] == "redis" and note(one)["Prefix"] == "/tus"


def test_two_buckets_with_one_prefix_are_refused(pool, redis):
    """By accident they would wait for each other."""
    one = start(pool())
    rig.wait_for(lambda: redis.ask("get", "/tus:l:{.store}").strip() ==
                 f"store/{note(one)['ID']}:0", "the claim")
    refused(pool(), 2, 'lock.prefix = "/tus" belongs to another store',
            note(one)["ID"])
    # So are two prefixes in one bucket, which are two stores.
    refused(pool(shared=one, s3={"prefix": "a/"}), 2,
            'lock.prefix = "/tus" belongs to another store')
    start(pool(prefix="/two"))


def test_one_bucket_with_two_prefixes_is_refused(pool):
    """They would not keep each other out."""
    one = start(pool())
    two = pool(shared=one, prefix="/two")
    words = ['the bucket is in use with lock.type = "redis" and lock.prefix = '
             '"/tus", not "redis" and "/two"']
    refused(two, 1, *words)
    assert words[0] in bucket.tusctl(two, "list", status=1)
    check = subprocess.run([rig.program(), "-t", "-c", str(two.config_path)],
                           env=two.env, capture_output=True, text=True,
                           check=False)
    assert check.returncode == 0 and words[0] in check.stdout, check
    # When its users are stopped, the locks may be others.
    one.stop_app()
    refused(two, 1, *words)
    assert "nothing to settle" in bucket.tusctl(one, "settle")
    assert ".store" not in one.keys()
    start(two)
    assert note(two)["Prefix"] == "/two"
    refused(one, 1, 'lock.prefix = "/two", not "redis" and "/tus"')


def test_a_note_that_is_damaged_is_named(pool):
    one = pool()
    assert one.engine.ask("PUT", f"/{one.bucket}/.store",
                          body=b"{]").status == 200
    refused(one, 1, "the object .store of the bucket is damaged")


def test_a_bucket_that_cannot_be_read_now_is_no_mistake(pool):
    """As for the rest of it, so the start goes on."""
    one = pool()
    one.engine.rules({"m": r"GET .*\.store", "do": "503"})
    start(one)
    assert one.client.create(1)
    assert ".store" not in one.keys()
