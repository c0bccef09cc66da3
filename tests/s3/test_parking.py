"""A body for a bucket waits in its worker (pool.max_parked), since each time
that it changed its process would be a request to the bucket."""

import pytest

from lib import clients, rig, slow
from s3 import bucket, client
from s3.bucket import PART, content

bucket.need_store()

SIZE = 2 * PART + 1


@pytest.fixture
def server(tmp_path):
    engine = client.start_fake("--min-part", str(PART))
    one = bucket.Server(tmp_path, engine, config={
        "base_path": "/files", "pool": {"max_parked": 100, "min_spare": 2},
        "metrics": {"enabled": True, "path": "/files/metrics"}})
    one.start()
    yield one
    one.stop()
    one.check_logs()
    engine.stop()


def wait_received(one):
    """A worker has taken what was sent, and waits for more."""
    rig.wait_for(lambda: slow.metric(one, 'workers{state="receiving"}') == 1,
                 "a worker that receives")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("creates", [False, True])
def test_a_body_that_waits_keeps_its_worker(server, creates, chunked):
    data, path = content(SIZE), None
    if creates:
        up = slow.Request(server, "POST", server.base + "/", data,
                          {"Upload-Length": str(SIZE)}, chunked)
    else:
        path = slow.create(server, SIZE)
        up = slow.append(server, path, data, chunked=chunked)
    for n in (0, PART // 2, PART, 100):
        up.send(n)
        wait_received(server)
        assert slow.parked(server) == 0
    up.send_rest()
    status, headers, body = up.answer()
    assert status == (201 if creates else 204), body
    url = server.origin + (path or headers["Location"])
    assert clients.request("GET", url)[2] == data
    assert f"bytes={SIZE}" in server.log()
