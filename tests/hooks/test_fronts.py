"""Hooks behind every web server: all events, and nobody waits for one."""

import json
import re
import tempfile
from pathlib import Path

import pytest

from lib import clients, fronts, rig

BODY = {"Content-Type": "application/offset+octet-stream"}

# HOME is not the same everywhere; the directory of the hooks is.
HOOK = """#!/bin/sh
event=$(cat)
while [ "${0##*/}" = post-finish ] && [ ! -e ../go ]; do sleep 0.1; done
echo "$event" >>../events
"""


def missing(name):
    if name == "nginx":
        return None if rig.have("nginx") else "no nginx"
    return fronts.missing(name)


@pytest.fixture
def public():
    """A folder that whoever the web server runs as can get at."""
    with tempfile.TemporaryDirectory(prefix="tusfcgi-", dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.parametrize("name", sorted(rig.FRONT_ENDS))
def test_hooks_behind(server, public, name):
    if missing(name):
        pytest.skip(missing(name))
    hooks = public / "hooks"
    hooks.mkdir()
    hooks.chmod(0o755)
    for event in ("pre-create", "post-create", "post-receive", "pre-finish",
                  "post-finish", "pre-terminate", "post-terminate"):
        (hooks / event).write_text(HOOK)
        (hooks / event).chmod(0o755)
    log = public / "events"

    def told():
        text = log.read_text() if log.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def types():
        return sorted(event["Type"] for event in told())

    one = server(name, config={"hooks": {"dir": str(hooks)}})
    status, headers, _ = clients.request(
        "POST", one.url, {"Upload-Length": "5", "X-Tenant": "a",
                        "Authorization": "Bearer t0ken", **BODY}, b"hello")
    assert status == 201
    url = one.origin + headers["Location"]
    assert clients.offset(url) == 5
    assert "post-finish" not in types()
    (public / "go").touch()
    rig.wait_for(lambda: types() == [
        "post-create", "post-finish", "post-receive", "pre-create",
        "pre-finish"], "all events")
    assert clients.request("DELETE", url)[0] == 204
    # All of them, so that none is written to what is being removed.
    rig.wait_for(lambda: len(told()) == 7, "the rest")
    request = told()[0]["Event"]["HTTPRequest"]
    assert request["URI"] == re.sub(r"^http://[^/]*", "", one.url)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", request["RemoteAddr"])
    assert request["Header"]["X-Tenant"] == ["a"]
    assert request["Header"]["Authorization"] == ["Bearer t0ken"]
    assert request["Header"]["Host"] == [f"127.0.0.1:{one.port}"]
    assert request["Header"]["Content-Type"] == [BODY["Content-Type"]]
