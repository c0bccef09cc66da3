"""What Prometheus reads is what was done."""

import os
import re
import signal
import threading

import pytest

from lib import clients, fronts, rig
from ops.exposition import Metrics

ENABLED = {"metrics": {"enabled": True}}

NAMES = {
    "requests_total": "counter", "errors_total": "counter",
    "requests_by_protocol_total": "counter",
    "bytes_received": "counter", "uploads_created": "counter",
    "uploads_finished": "counter", "uploads_terminated": "counter",
    "connections_open": "gauge", "hook_invocations_total": "counter",
    "hook_errors_total": "counter", "workers": "gauge",
    "lock_waits_total": "counter", "lock_takeovers_total": "counter",
    "store_fenced_total": "counter", "fsync_seconds_total": "counter",
    "uploads_parked": "gauge", "parks_total": "counter",
    "park_refused_total": "counter", "handovers_total": "counter"}


# Of lock.type = "redis" and the like alone.
SERVICE = {
    "lock_agent_up": "gauge", "lock_session_seconds": "gauge",
    "lock_held": "gauge", "lock_lost_total": "counter",
    "lock_engine_errors_total": "counter", "lock_engine_seconds": "histogram"}

# Of store.type = "s3" alone.
BUCKET = {
    "s3_request_duration_ms": "summary", "s3_retries_total": "counter",
    "s3_errors_total": "counter", "s3_sent_bytes_total": "counter",
    "s3_received_bytes_total": "counter"}


def scrape(one):
    answer = one.client.request("GET", "/metrics", resumable=None)
    assert answer.status == 200
    return Metrics(answer.body.decode())


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_every_promised_name_is_there_with_its_type(app, args):
    one = app(config=ENABLED, args=args)
    one.client.head("/files/" + "0" * 32)
    assert scrape(one).types == {f"tusd_{k}": v for k, v in NAMES.items()}


def upload(one, times, failures):
    try:
        for _ in range(times):
            path = one.client.create(1000)
            assert one.client.patch(path, 1, b"x").status == 409
            assert one.client.patch(path, 0, b"x" * 600).status == 204
            assert one.client.patch(path, 600, b"x" * 400).status == 204
            assert one.client.request("DELETE", path).status == 204
    except BaseException as e:
        failures.append(e)
        raise


def test_a_load_is_counted_exactly_and_never_backwards(app):
    one = app(config=ENABLED)
    failures, last = [], {}
    threads = [threading.Thread(target=upload, args=(one, 8, failures))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        now = scrape(one)
        for name, value in last.items():
            if now.types[name.split("{")[0]] == "counter":
                assert now[name] >= value, name
        last = now
        threads[0].join(0.05)
    assert not failures
    # Only the requests for metrics themselves are not counted.
    m = scrape(one)
    assert m['tusd_requests_total{method="POST"}'] == 32
    assert m['tusd_requests_total{method="PATCH"}'] == 96
    assert m['tusd_requests_total{method="DELETE"}'] == 32
    assert m.total("tusd_requests_total") == 160
    assert m['tusd_errors_total{status="409",'
             'code="ERR_MISMATCHED_OFFSET"}'] == 32
    assert m.total("tusd_errors_total") == 32
    assert m["tusd_bytes_received"] == 32000
    assert m["tusd_uploads_created"] == 32
    assert m["tusd_uploads_finished"] == 32
    assert m["tusd_uploads_terminated"] == 32
    # A worker that has just answered may not have said so yet.
    rig.wait_for(lambda: scrape(one)["tusd_connections_open"] == 1,
                 "the others to be idle")


def test_counters_outlive_a_worker_killed_at_work(app):
    one = app(config={**ENABLED, "pool": {"max_parked": 0}})
    path = one.client.create(100)
    assert one.client.patch(path, 0, b"x" * 10).status == 204
    before = scrape(one)
    with one.client.open_patch(path, 10, 90) as stream:
        stream.send(b"x" * 10)
        rig.wait_for(lambda: scrape(one)['tusd_workers{state="receiving"}'],
                     "somebody to receive")
        for pid in one.workers():
            os.kill(pid, signal.SIGKILL)
    rig.wait_for(
        lambda: not scrape(one)['tusd_workers{state="receiving"}'],
        "the dead one to be forgotten")
    after = scrape(one)
    for name, value in before.items():
        if before.types[name.split("{")[0]] == "counter":
            assert after[name] >= value, name
    assert after["tusd_uploads_created"] == 1
    assert after["tusd_bytes_received"] == 10


def test_time_spent_on_the_disk_is_seconds(app):
    one = app(config={**ENABLED, "store": {"durability": "full"}})
    assert scrape(one)["tusd_fsync_seconds_total"] == 0
    for _ in range(3):
        one.client.create(10)
    assert 0 < scrape(one)["tusd_fsync_seconds_total"] < 60


def test_no_upload_is_made_where_metrics_are(app):
    """Without a base path any other path is an endpoint."""
    one = app(config=ENABLED)
    for method in ("POST", "DELETE", "OPTIONS", "PATCH"):
        answer = one.client.request(method, "/metrics",
                                    {"Upload-Length": "1"})
        assert answer.status == 405, method
    assert "upload-offset" not in one.client.head("/metrics").headers
    assert not list(one.uploads.glob("*.info"))


def test_a_path_below_the_endpoint_works_too(server):
    one = server(config={"metrics": {"enabled": True,
                                     "path": "/files/metrics"}})
    status, _, body = clients.request("GET", one.url + "metrics")
    assert status == 200
    assert Metrics(body.decode())["tusd_uploads_created"] == 0


# The file, the lines in it, what lets us in, and what lets others in instead.
LINES = {
    "nginx": ("etc/nginx/tusfcgi.conf",
              r"#     location = /metrics.*?#     }\n",
              "allow 127.0.0.1;", "allow 192.0.2.1;"),
    "apache-proxy": ("etc/apache/tusfcgi-proxy.conf",
                     r'#     <Location "/metrics">.*?#     </Location>\n',
                     "Require local", "Require ip 192.0.2.1"),
    "lighttpd": ("etc/lighttpd/tusfcgi.conf",
                 r'#     \$HTTP\["url"\] =~ "\^/metrics\$".*?\n#     }\n',
                 '== "127.0.0.1"', '== "192.0.2.1"'),
}


def lines_for_metrics(name):
    """The lines in the snippets, as somebody would use them."""
    if name != "nginx" and fronts.missing(name):
        pytest.skip(f"{name}: {fronts.missing(name)}")
    file, pattern, us, others = LINES[name]
    block = re.search(pattern, rig.snippet(file, {}), re.S).group()
    live = re.sub(r"(?m)^#", "", block)
    assert us in live
    return live, us, others


def restart_front(one, extra):
    one.stop_front()
    one.extra = extra.replace("/run/tusfcgi/tusfcgi.sock", str(one.socket))
    one.start_front()


@pytest.mark.parametrize("name", LINES)
def test_the_lines_for_a_location_of_its_own(server, name):
    live, us, others = lines_for_metrics(name)
    one = server(name, config={**ENABLED, "base_path": "/files"})
    restart_front(one, live)
    assert clients.request("POST", one.url, {"Upload-Length": "1"},
                           b"")[0] == 201
    status, headers, body = clients.request("GET", one.origin + "/metrics")
    assert status == 200
    assert headers["Content-Type"] == \
        "text/plain; version=0.0.4; charset=utf-8"
    assert Metrics(body.decode())["tusd_uploads_created"] == 1
    restart_front(one, live.replace(us, others))
    assert clients.request("GET", one.origin + "/metrics")[0] in (403, 404)


@pytest.mark.parametrize("told", ["told", "untold"])
@pytest.mark.parametrize("name", LINES)
def test_where_metrics_are_read_nothing_is_uploaded(server, name, told):
    """The web server knows the place by any spelling, and asks for no
    password; whether it tells us where uploads are or not."""
    live, _, _ = lines_for_metrics(name)
    if told == "untold":
        live = re.sub(r"(?m)^.*TUS_BASE_PATH.*\n", "", live)
    one = server(name, config=ENABLED)
    restart_front(one, live)
    before = sorted(p.name for p in one.uploads.iterdir())
    for path in ("/metrics", "//metrics", "/%6detrics", "/metrics/",
                 "/x/../metrics", "/%2Fmetrics", "/./metrics", "/metrics?x"):
        for method in ("POST", "OPTIONS", "GET"):
            status, answer, body = clients.request(
                method, one.origin + path,
                {"Upload-Length": "1", "X-HTTP-Method-Override": "POST"},
                b"" if method == "POST" else None)
            assert status in (200, 400, 403, 404, 405), (path, status)
            assert "Location" not in answer
            assert status != 200 or body.startswith(b"# ")
    assert sorted(p.name for p in one.uploads.iterdir()) == before
    assert clients.request("POST", one.url, {"Upload-Length": "1"},
                           b"")[0] == 201
