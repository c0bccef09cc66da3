"""A body that waits for its client waits in no worker (pool.max_parked)."""

import base64
import hashlib
import os
import re
import signal
import time

import pytest

from lib import clients, proc, rig, slow

DATA = bytes(range(256)) * 40
PARKING = {"max_parked": 100, "max_workers": 2, "min_spare": 1, "reserve": 1}


# What a client is told that has been silent, or slow, for too long.
TOO_SLOW = 423


@pytest.fixture
def parking(server):
    """A server with two workers, one of which may receive; and parking."""
    def start(front_end="nginx", pool=None, **options):
        config = options.pop("config", {})
        return server(front_end, config=rig.merge(
            {"pool": {**PARKING, **(pool or {})},
             "metrics": {"enabled": True, "path": "/files/metrics"}},
            config), **options)
    return start


def stored(one, path):
    return (one.uploads / path.rsplit("/", 1)[1]).read_bytes()


def lines(one, **wanted):
    """The lines of the log that tell of a request with these fields."""
    rows = [line for line in one.log().splitlines() if " request " in line or
            "request method=" in line]
    return [r for r in rows
            if all(f"{k}={v}" in r for k, v in wanted.items())]


def test_a_body_that_waits_is_parked_and_finished(parking):
    one = parking()
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    slow.wait_parked(one, 1)
    for _ in range(3):
        up.send(1000)
        time.sleep(0.3)
    slow.wait_parked(one, 1)
    up.send_rest()
    status, headers, _ = up.answer()
    assert (status, headers["Upload-Offset"]) == (204, str(len(DATA)))
    assert stored(one, path) == DATA
    slow.wait_parked(one, 0)
    rows = lines(one, method="PATCH")
    assert len(rows) == 1 and re.search(r"parks=[1-9]", rows[0]), rows
    assert f"bytes={len(DATA)}" in rows[0]


KINDS = {
    "append": {},
    "chunked": {"chunked": True},
    "checksum": {"sha1": DATA},
    "checksum chunked": {"sha1": DATA, "chunked": True},
    "deferred": {"deferred": True},
    "deferred chunked": {"deferred": True, "chunked": True},
    "creation": {"creates": True},
    "creation chunked": {"creates": True, "chunked": True},
    "creation checksum": {"creates": True, "sha1": DATA},
    "creation deferred": {"creates": True, "deferred": True},
}


def sha1(data):
    return "sha1 " + base64.b64encode(hashlib.sha1(data).digest()).decode()


def begin(one, data, sha=None, chunked=False, deferred=False, creates=False):
    """A request that brings all of a new upload; its path or None."""
    headers = {}
    if sha is not None:
        headers["Upload-Checksum"] = sha1(sha)
    if creates:
        length = ({"Upload-Defer-Length": "1"} if deferred else
                  {"Upload-Length": str(len(data))})
        return None, slow.Request(one, "POST", one.base + "/", data,
                                  {**headers, **length}, chunked)
    path = slow.create(one, None if deferred else len(data))
    if deferred:
        headers["Upload-Length"] = str(len(data))
    return path, slow.append(one, path, data, headers=headers,
                             chunked=chunked)


def send_in_four_parts(one, up):
    """It is parked before each of them."""
    timer = "handovers_total{why=\"timer\"}"
    for _ in range(3):
        slow.wait_parked(one, 1)
        up.send(700)
        before = slow.metric(one, timer)
        rig.wait_for(lambda: slow.metric(one, timer) > before, "the timer")
    slow.wait_parked(one, 1)
    up.send_rest()


@pytest.mark.parametrize("durability", ["none", "data", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_body_is_parked_more_than_once(parking, kind,
                                                     durability):
    one = parking(config={"store": {"durability": durability}})
    how = dict(KINDS[kind])
    path, up = begin(one, DATA, sha=how.pop("sha1", None), **how)
    send_in_four_parts(one, up)
    status, headers, body = up.answer()
    assert status == (201 if how.get("creates") else 204), body
    path = path or headers["Location"]
    assert stored(one, path) == DATA
    rows = lines(one, status=status, bytes=len(DATA))
    assert len(rows) == 1 and int(re.search(r"parks=(\d+)", rows[0])[1]) > 2
    if not (how.get("creates") and how.get("deferred")):
        assert clients.offset(one.origin + path) == len(DATA)
        assert clients.request("GET", one.origin + path)[2] == DATA


RUFH_KINDS = {
    "append": {},
    "append chunked": {"chunked": True},
    "append digest": {"digest": DATA},
    "creation": {"creates": True},
    "creation chunked": {"creates": True, "chunked": True},
    "creation digest": {"creates": True, "digest": DATA},
}


def begin_rufh(one, digest=None, chunked=False, creates=False):
    """As begin(), in the words of the IETF's protocol."""
    headers = {"Tus-Resumable": None, "Upload-Complete": "?1"}
    if digest is not None:
        value = base64.b64encode(hashlib.sha256(digest).digest()).decode()
        headers["Content-Digest"] = f"sha-256=:{value}:"
    if creates:
        headers["Content-Type"] = "application/octet-stream"
        return None, slow.Request(one, "POST", one.base + "/", DATA, headers,
                                  chunked)
    made = slow.Request(one, "POST", one.base + "/", b"", {
        "Tus-Resumable": None, "Content-Type": None, "Upload-Complete": "?0"})
    status, answer, _ = made.answer()
    assert status == 201
    headers["Content-Type"] = "application/partial-upload"
    path = answer["Location"]
    return path, slow.append(one, path, DATA, headers=headers,
                             chunked=chunked)


@pytest.mark.parametrize("kind", RUFH_KINDS)
def test_a_body_of_the_ietfs_protocol_is_parked(parking, kind):
    one = parking(config={"rufh": {"enable": True}})
    path, up = begin_rufh(one, **RUFH_KINDS[kind])
    send_in_four_parts(one, up)
    status, headers, body = up.answer()
    assert (status, headers["Upload-Complete"]) == (201, "?1"), body
    path = (path or headers["Location"]).removeprefix(one.origin)
    assert stored(one, path) == DATA
    rows = lines(one, status=status, bytes=len(DATA))
    assert len(rows) == 1 and int(re.search(r"parks=(\d+)", rows[0])[1]) > 2


def test_a_wrong_digest_is_refused_after_parking(parking):
    one = parking(config={"rufh": {"enable": True}})
    path, up = begin_rufh(one, digest=b"other")
    slow.wait_parked(one, 1)
    up.send(1000)
    rig.wait_for(lambda: slow.metric(
        one, "handovers_total{why=\"timer\"}") > 0, "the timer")
    slow.wait_parked(one, 1)
    up.send_rest()
    status, _, body = up.answer()
    assert status == 400 and b"sha-256" in body, (status, body)
    assert stored(one, path.removeprefix(one.origin)) == b""


@pytest.mark.parametrize("front_end", ["lighttpd", "apache-proxy"])
@pytest.mark.parametrize("kind", ["append", "checksum", "creation"])
def test_bodies_are_parked_behind_other_web_servers(parking, front_end, kind):
    one = parking(front_end)
    how = dict(KINDS[kind])
    path, up = begin(one, DATA, sha=how.pop("sha1", None), **how)
    up.send(700)
    slow.wait_parked(one, 1)
    slow.drip(up, 3000, 0.3)
    status, headers, body = up.answer()
    assert status == (201 if how.get("creates") else 204), body
    assert stored(one, path or headers["Location"]) == DATA
    assert "parks=" in one.log()


def test_a_body_in_a_shared_store_is_parked(parking):
    one = parking(config={"store": {"shared": True, "durability": "full"},
                          "lock": {"method": "ofd"}})
    path, up = begin(one, DATA, sha=DATA)
    send_in_four_parts(one, up)
    assert up.answer()[0] == 204
    assert stored(one, path) == DATA


@pytest.mark.parametrize("creates", [False, True])
def test_a_wrong_checksum_is_refused_after_parking(parking, creates):
    one = parking()
    path, up = begin(one, DATA, sha=b"other", creates=creates)
    slow.wait_parked(one, 1)
    up.send(1000)
    rig.wait_for(lambda: slow.metric(
        one, "handovers_total{why=\"timer\"}") > 0, "the timer")
    slow.wait_parked(one, 1)
    up.send_rest()
    status, _, body = up.answer()
    assert (status, body.split(b":")[0]) == (460, b"ERR_CHECKSUM_MISMATCH")
    if creates:
        assert not [n for n in one.names() if len(n) == 32]
    else:
        assert clients.offset(one.origin + path) == 0


def test_bytes_on_probation_are_no_offset(parking):
    one = parking()
    path, up = begin(one, DATA, sha=DATA)
    up.send(1000)
    rig.wait_for(lambda: stored(one, path), "bytes in the file")
    slow.wait_parked(one, 1)
    up.close()
    slow.wait_parked(one, 0)
    assert clients.offset(one.origin + path) == 0
    assert stored(one, path) == b""


def test_bytes_on_probation_are_none_after_a_kill(parking):
    """They came when it had been parked before, and no one has seen their
    checksum."""
    one = parking()
    path, up = begin(one, DATA, sha=DATA)
    slow.wait_parked(one, 1)
    up.send(1000)
    rig.wait_for(lambda: len(stored(one, path)) == 1000, "the bytes")
    slow.wait_parked(one, 1)
    os.kill(parker(one), signal.SIGKILL)
    assert up.answer()[0] == 502
    assert clients.offset(one.origin + path) == 0


def test_a_request_that_wants_the_upload_gets_it_within_a_second(parking):
    one = parking()
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    up.send(1234)
    rig.wait_for(lambda: len(stored(one, path)) == 1234, "the bytes")
    slow.wait_parked(one, 1)
    up.send(66)
    began = time.monotonic()
    assert clients.offset(one.origin + path) == 1300
    assert time.monotonic() - began < 1
    assert up.answer()[0] == 423
    other = slow.append(one, path, DATA[1300:], 1300)
    other.send_rest()
    assert other.answer()[0] == 204
    assert stored(one, path) == DATA


def test_a_parked_upload_can_be_removed(parking):
    one = parking()
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    up.send(10)
    slow.wait_parked(one, 1)
    assert clients.request("DELETE", one.origin + path)[0] == 204
    assert up.answer()[0] == 423
    assert clients.request("HEAD", one.origin + path)[0] in (404, 410)


def test_what_a_client_sent_before_it_left_is_kept(app):
    """nginx drops what it reads together with the end of its client: the test
    is the web server."""
    one = app(config={"pool": PARKING, "metrics": {"enabled": True}})

    def is_parked():
        answer = one.client.request("GET", "/metrics", resumable=None)
        return b"_uploads_parked 1\n" in answer.body

    path = one.client.create(len(DATA))
    with one.client.open_patch(path, 0, len(DATA)) as up:
        rig.wait_for(is_parked, "it to be parked")
        up.send(DATA[:4000])
    rig.wait_for(lambda: len(stored(one, path)) == 4000, "all bytes")
    rig.wait_for(lambda: one.client.offset(path) == 4000, "the offset")


def test_a_client_that_is_silent_for_too_long_is_told(parking):
    one = parking(config={"timeouts": {"read": "3s"}})
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    up.send(10)
    slow.wait_parked(one, 1)
    began = time.monotonic()
    assert up.answer()[0] == TOO_SLOW
    assert 1 < time.monotonic() - began < 8
    assert clients.offset(one.origin + path) == 10


def test_a_client_below_min_rate_is_cut_off(parking):
    one = parking(config={"timeouts": {"read": "3s", "min_rate": "1K"}})
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    began = time.monotonic()
    while not up.is_answered() and time.monotonic() - began < 30:
        up.send(20)
        time.sleep(0.5)
    assert 2 < time.monotonic() - began < 15
    assert up.answer()[0] == TOO_SLOW


def test_a_client_above_min_rate_is_not(parking):
    one = parking(config={"timeouts": {"read": "2s", "min_rate": "100"}})
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    slow.drip(up, 600, 0.4)
    assert up.answer()[0] == 204
    assert stored(one, path) == DATA


def test_bytes_that_wait_count_for_min_rate(parking):
    """They come in many small records, which are read one by one."""
    one = parking(config={"timeouts": {"read": "1s", "min_rate": "1000"}})
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    slow.drip(up, 400, 0.12)
    assert up.answer()[0] == 204
    assert stored(one, path) == DATA


def test_more_uploads_than_workers(parking):
    one = parking()
    paths = [slow.create(one, len(DATA)) for _ in range(30)]
    ups = [slow.append(one, path, DATA) for path in paths]
    slow.wait_parked(one, 30)
    for part in range(3):
        for up in ups:
            up.send(100 + part)
    for up in ups:
        up.send_rest()
    assert [up.answer()[0] for up in ups] == [204] * 30
    assert all(stored(one, path) == DATA for path in paths)
    assert "status=503" not in one.log()


def test_the_pool_grows_while_something_is_parked(parking, tmp_path):
    """For those that keep a worker busy."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-create").write_text("#!/bin/sh\nsleep 2\n")
    one = parking(pool={"max_workers": 20, "min_spare": 2, "reserve": 2})
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    slow.wait_parked(one, 1)
    (hooks / "pre-create").chmod(0o755)
    one.configure(rig.merge(one.config, {"hooks": {"dir": str(hooks)}}))
    before = set(workers(one))
    one.app.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: workers(one) and not before & set(workers(one)),
                 "other workers")
    made = [slow.Request(one, "POST", one.base + "/", b"", {
        "Upload-Length": "5", "Content-Type": None}) for _ in range(8)]
    rig.wait_for(lambda: len(workers(one)) >= 8, "one for each of them")
    assert [m.answer()[0] for m in made] == [201] * 8
    up.send_rest()
    assert up.answer()[0] == 204


def test_with_no_room_left_todays_rules_hold(parking):
    one = parking(pool={"max_parked": 3})
    paths = [slow.create(one, len(DATA)) for _ in range(5)]
    ups = [slow.append(one, path, DATA) for path in paths[:3]]
    slow.wait_parked(one, 3)
    ups.append(slow.append(one, paths[3], DATA))
    rig.wait_for(lambda: slow.metric(one, 'workers{state="receiving"}') == 1,
                 "a worker that receives")
    last = slow.append(one, paths[4], DATA)
    assert last.answer()[0] == 503
    first = ups.pop(0)
    first.send_rest()
    assert first.answer()[0] == 204
    # The one that has the worker gets the room.
    slow.wait_parked(one, 3)
    for up in ups:
        up.send_rest()
    assert [up.answer()[0] for up in ups] == [204] * 3


def test_a_stop_loses_nothing_that_was_received(parking):
    one = parking(pool={"max_workers": 4, "min_spare": 2})
    paths = [slow.create(one, len(DATA)) for _ in range(20)]
    ups = [slow.append(one, path, DATA) for path in paths]
    slow.wait_parked(one, 20)
    for up in ups:
        up.send(1500)
    time.sleep(0.2)
    one.stop_app(signal.SIGTERM)
    assert [up.answer()[0] for up in ups] == [503] * 20
    assert all(len(stored(one, path)) == 1500 for path in paths)
    assert "killed" not in one.log()


def test_a_reload_does_not_touch_what_is_parked(parking):
    one = parking()
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    up.send(1000)
    rig.wait_for(lambda: len(stored(one, path)) == 1000, "the bytes")
    for _ in range(3):
        one.app.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        up.send(1000)
    slow.wait_parked(one, 1)
    up.send_rest()
    assert up.answer()[0] == 204
    assert stored(one, path) == DATA


def test_killed_workers_hurt_nothing_that_is_parked(parking):
    one = parking(pool={"max_workers": 4, "min_spare": 2})
    paths = [slow.create(one, len(DATA)) for _ in range(10)]
    ups = [slow.append(one, path, DATA) for path in paths]
    slow.wait_parked(one, 10)
    for pid in workers(one):
        os.kill(pid, signal.SIGKILL)
    for up in ups:
        up.send_rest()
    assert [up.answer()[0] for up in ups] == [204] * 10
    assert all(stored(one, path) == DATA for path in paths)


def parker(one):
    """The child that waits at no listening socket but has an epoll."""
    return next(pid for pid in proc.children(one.app.pid)
                if proc.is_parking(pid))


def workers(one):
    return [pid for pid in proc.children(one.app.pid)
            if not proc.is_parking(pid)]


def test_a_killed_parking_process_is_replaced(parking):
    one = parking()
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    up.send(1000)
    rig.wait_for(lambda: len(stored(one, path)) == 1000, "the bytes")
    slow.wait_parked(one, 1)
    first = parker(one)
    os.kill(first, signal.SIGKILL)
    assert up.answer()[0] == 502
    assert clients.offset(one.origin + path) == 1000
    rig.wait_for(lambda: [p for p in proc.children(one.app.pid)
                          if proc.is_parking(p) and p != first],
                 "another parking process")
    other = slow.append(one, path, DATA[1000:], 1000)
    slow.wait_parked(one, 1)
    other.send_rest()
    assert other.answer()[0] == 204
    assert stored(one, path) == DATA


HOOK = """#!/bin/sh
cat > /dev/null
echo "$(basename "$0") $TUS_OFFSET" >> "%s"
"""


def test_hooks_are_called_once_and_told_of_progress(parking, tmp_path):
    hooks, calls = tmp_path / "hooks", tmp_path / "calls"
    hooks.mkdir()
    for name in ("pre-create", "post-create", "post-receive", "pre-finish",
                 "post-finish"):
        (hooks / name).write_text(HOOK % calls)
        (hooks / name).chmod(0o755)
    one = parking(pool={"max_workers": 4, "min_spare": 2}, config={
        "hooks": {"dir": str(hooks), "progress": "1s"}})
    _, up = begin(one, DATA, creates=True)
    for i in range(3):
        up.send(1000)
        rig.wait_for(lambda i=i: calls.exists() and
                     calls.read_text().count("post-receive") > i, "progress")
    slow.wait_parked(one, 1)
    up.send_rest()
    status, headers, _ = up.answer()
    assert status == 201
    assert stored(one, headers["Location"]) == DATA
    rig.wait_for(lambda: "post-finish" in calls.read_text(), "post-finish")
    names = [line.split()[0] for line in calls.read_text().splitlines()]
    for name in ("pre-create", "post-create", "pre-finish", "post-finish"):
        assert names.count(name) == 1, names


def test_no_descriptor_is_left_by_parking(parking):
    one = parking()
    pids = workers(one) + [parker(one)]
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    slow.wait_parked(one, 1)
    up.send_rest()
    assert up.answer()[0] == 204
    slow.wait_parked(one, 0)
    before = {pid: proc.descriptors(pid) for pid in pids if
              proc.is_alive(pid)}
    for _ in range(5):
        paths = [slow.create(one, len(DATA)) for _ in range(10)]
        ups = [slow.append(one, path, DATA) for path in paths]
        slow.wait_parked(one, 10)
        for up in ups[:5]:
            up.close()
        for up in ups[5:]:
            up.send_rest()
            assert up.answer()[0] == 204
        slow.wait_parked(one, 0)
    after = {pid: proc.descriptors(pid) for pid in before}
    assert all(after[pid] <= before[pid] + 1 for pid in before), \
        (before, after)


def test_a_body_keeps_its_worker_where_locks_are_in_memory(parking):
    """They are those of a process."""
    one = parking(pool={"max_workers": 4, "min_spare": 2},
                  config={"lock": {"type": "memory"}})
    path = slow.create(one, len(DATA))
    up = slow.append(one, path, DATA)
    for n in (1000, 2000, 3000):
        up.send(1000)
        rig.wait_for(lambda n=n: len(stored(one, path)) == n, "the bytes")
        assert slow.metric(one, 'workers{state="receiving"}') == 1
        assert slow.parked(one) == 0
    up.send_rest()
    assert up.answer()[0] == 204
    assert stored(one, path) == DATA
    assert slow.metric(one, "parks_total") == 0
