"""How many requests each operation costs: the manual's table."""

import re

import pytest

from lib import clients
from s3 import bucket
from s3.bucket import PART, content, create, patch

bucket.need_store()


@pytest.fixture
def server(start):
    one = start(args=["-w", "1"])
    # What the engine can do is learnt once in the life of a worker.
    create(one, 1)
    return one


def calls(server, operation, *args, **kw):
    """The requests of one operation, as METHOD and what it is of."""
    server.engine.rules()
    result = operation(*args, **kw)
    names = []
    for method, target, _, _ in server.engine.log():
        what = ("record" if ".info" in target else
                "segment" if ".part." in target and "list-type" not in target
                else "part" if "partNumber" in target else
                "parts" if "uploadId" in target else
                "upload" if "uploads" in target else
                "list" if "list-type" in target else "object")
        names.append(f"{method} {what}")
    return names, result


def test_the_requests_of_each_operation(server):
    large, data = 3 * PART, content(3 * PART)
    asked, url = calls(server, create, server, 5)
    assert asked == ["PUT record"]
    asked, _ = calls(server, patch, url, 0, data[:5])
    assert asked == ["GET record", "GET list", "PUT object", "PUT record"]
    asked, _ = calls(server, clients.offset, url)
    assert asked == ["GET record"]
    asked, url = calls(server, create, server, large)
    assert asked == ["POST upload", "PUT record"]
    asked, _ = calls(server, patch, url, 0, data[:10])
    look = ["GET record", "GET list", "GET parts"]
    assert asked == [*look, "PUT segment"]
    asked, _ = calls(server, clients.offset, url)
    assert asked == look
    asked, _ = calls(server, patch, url, 10, data[10:])
    assert asked[:3] == look
    asked = asked[3:]
    assert asked == ["GET segment", "PUT part", "PUT part",
                     "DELETE segment"] or asked == [
        "GET segment", "PUT part", "PUT part", "PUT part", "POST parts",
        "PUT record", "DELETE segment"]
    asked, _ = calls(server, clients.request, "DELETE", url)
    assert len(asked) <= 12
    assert re.match("PUT record.*DELETE record$", " ".join(
        asked[asked.index("PUT record"):]))


def test_a_creation_with_its_whole_body(server):
    asked, _ = calls(server, clients.request, "POST", server.url, {
        "Upload-Length": "5",
        "Content-Type": "application/offset+octet-stream"}, b"hello")
    assert asked == ["HEAD record", "PUT object", "PUT record"]


def test_a_concatenation(server):
    """Its record may be that of an earlier try, so the object is looked at."""
    part = create(server, 3 * PART, **{"Upload-Concat": "partial"})
    assert patch(part, 0, content(3 * PART))[0] == 204
    asked, (status, headers, _) = calls(
        server, clients.request, "POST", server.url, {
            "Upload-Concat": "final;" + part[len(server.origin):]})
    assert status == 201
    assert sorted(asked) == sorted([
        # Is it there already?  Before and under the lock.
        "GET record", "GET record",
        # The part, by the core and by the store.
        "GET record", "GET record",
        "HEAD record", "POST upload", *["PUT part"] * 3, "POST parts",
        "PUT record"]), asked
    asked, _ = calls(
        server, clients.offset, server.origin + headers["Location"])
    assert asked == ["GET record", "HEAD object"]
