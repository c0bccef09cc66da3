"""The metrics say what was asked of S3, by all workers together."""

import collections

import pytest

from lib import clients
from ops.exposition import Metrics
from ops.test_metrics import BUCKET, NAMES
from s3 import bucket
from s3.bucket import PART, content, create, patch

bucket.need_store()


@pytest.fixture
def server(start):
    return start(args=["-w", "3"], config={
        "base_path": "/files", "metrics": {
            "enabled": True, "path": "/files/metrics"}})


def scrape(server):
    status, _, body = clients.request("GET", server.url + "metrics")
    assert status == 200
    return Metrics(body.decode())


def live(server):
    """Something of everything."""
    for size in (5, 3 * PART + 1):
        url, data = create(server, size), content(size)
        assert patch(url, 0, data[:3])[0] == 204
        clients.offset(url)
        assert patch(url, 3, data[3:])[0] == 204
        assert clients.request("GET", url)[2] == data
        assert clients.request("DELETE", url)[0] == 204


NUMBERS = "tusd_s3_request_duration_ms_count"


def by_operation(metrics):
    return {k.partition('operation="')[2].rstrip('"}'): v
            for k, v in metrics.items() if k.startswith(NUMBERS) and v}


# The words of fake.py's log: the first that fits.
KINDS = [("list-type", "GET", "list_objects"),
         ("partNumber", "PUT", "upload_part"), ("uploads=", "POST",
                                                "create_multipart_upload"),
         ("uploadId", "GET", "list_parts"),
         ("uploadId", "POST", "complete_multipart_upload"),
         ("uploadId", "DELETE", "abort_multipart_upload"),
         (".part.", "PUT", "put_part_object"),
         (".part.", "GET", "get_part_object"),
         (".part.", "DELETE", "delete_part_object"),
         (".info", "GET", "get_info_object"),
         (".info", "PUT", "put_info_object"),
         (".info", "DELETE", "delete_info_object"),
         (".info", "HEAD", "head_info_object"), ("", "PUT", "put_object"),
         ("", "GET", "get_object"), ("", "HEAD", "head_object"),
         ("", "DELETE", "delete_object")]


def test_every_promised_name_is_there_with_its_type(server):
    assert scrape(server).types == {
        f"tusd_{k}": v for k, v in {**NAMES, **BUCKET}.items()}


def test_requests_are_counted_by_operation(server):
    live(server)
    before, _ = by_operation(scrape(server)), server.engine.rules()
    sent = scrape(server)["tusd_s3_sent_bytes_total"]
    live(server)
    after, log = by_operation(scrape(server)), server.engine.log()
    want = collections.Counter()
    for method, target, _, _ in log:
        want[next(name for word, m, name in KINDS
                  if word in target and m == method)] += 1
    got = {k: after[k] - before.get(k, 0) for k in after
           if after[k] != before.get(k, 0)}
    assert got == want and len(want) > 10
    assert scrape(server)["tusd_s3_sent_bytes_total"] - sent == \
        sum(x[2] for x in log)


def test_retries_and_errors_are_counted_by_code(server):
    url = create(server, 7)
    server.engine.rules({"m": "^GET .*info", "do": "503", "times": 2},
                        {"m": "^GET .*info", "do": "cut"})
    before = scrape(server)["tusd_s3_retries_total"]
    assert clients.offset(url) == 0
    m = scrape(server)
    assert m["tusd_s3_retries_total"] == before + 3
    assert m['tusd_s3_errors_total{code="SlowDown"}'] == 2
    assert m['tusd_s3_errors_total{code="none"}'] == 1
