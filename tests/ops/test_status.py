"""What the server is at, as status.path tells it; and the slow log."""

import base64
import json
import os
import re
import signal
import subprocess
import time
from html.parser import HTMLParser

import pytest

from lib import clients, fronts, proc, rig

OPEN = {"status": {"path": "/status"}}
HOSTILE = "<script>alert('1')</script>\x1b[2J\u202e&\""


def get(one, query="", accept=None, method="GET", **options):
    headers = {} if accept is None else {"Accept": accept}
    return one.client.request(method, "/status" + query, headers,
                              resumable=None, **options)


def status(one):
    answer = get(one, "?json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)


def wait_for(one, condition, what):
    return rig.wait_for(lambda: condition(status(one)), what)


def slow_hook(tmp_path, name, seconds):
    """A program that answers late, and well."""
    folder = tmp_path / "hooks"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\ncat >/dev/null\nsleep {seconds}\n")
    (folder / name).chmod(0o755)
    return {"dir": str(folder)}


def slow_lines(one):
    """The fields of the lines of the slow log."""
    return [dict(re.findall(r'(\w+)=(\S+)', line))
            for line in one.log().splitlines() if "] slow " in line]


class Page(HTMLParser):
    """The elements there are, and the text of all of them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_it_is_closed_by_default(app):
    one = app()
    assert get(one).status in (404, 412)
    assert get(one, "?ping").status in (404, 412)


def test_it_can_only_be_read(app):
    one = app(config=OPEN)
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = get(one, method=method)
        assert answer.status == 405, method
        assert answer.headers["allow"] == "GET, HEAD"
    answer = get(one, "?json", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert not list(one.uploads.glob("*.info"))


@pytest.mark.parametrize("path", [
    "//status", "/%73tatus", "/status/", "/x/../status", "/./status"])
def test_another_spelling_is_neither_the_status_nor_an_endpoint(app, path):
    one = app(config=OPEN)
    for method in ("GET", "POST"):
        answer = one.client.request(
            method, path, {"Upload-Length": "1"},
            extra={"SCRIPT_NAME": "/status", "PATH_INFO": ""})
        assert answer.status == 404, (method, answer)


def test_a_ping_is_a_pong(app):
    answer = get(app(config=OPEN), "?ping", accept="text/html")
    assert (answer.status, answer.body) == (200, b"pong\n")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("query, accept, kind", [
    ("", None, "text/plain"), ("", "text/html,*/*;q=0.8", "text/html"),
    ("?plain", "text/html", "text/plain"), ("?html", None, "text/html"),
    ("?json", "text/html", "application/json"),
    ("?x=1&json", None, "application/json")])
def test_who_asks_gets_the_form_that_is_meant(app, query, accept, kind):
    answer = get(app(config=OPEN), query, accept)
    assert answer.status == 200
    assert answer.headers["content-type"].split(";")[0] == kind
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_an_upload_under_way_is_seen_with_all_that_is_known(app):
    one = app(config={**OPEN, "owner": {"param": "REMOTE_USER"}})
    who = {"REMOTE_USER": "anna", "REMOTE_ADDR": "192.0.2.7",
           "REMOTE_PORT": "4711"}
    path = one.client.request(
        "POST", "/files", {"Upload-Length": "1000", "Upload-Metadata":
                           "filename aG9saWRheS5tcDQ="},
        extra=who).headers["location"]
    headers = one.client.patch_headers(0)
    with one.client.open("PATCH", path, headers, 1000, extra=who) as stream:
        stream.send(b"x" * 300)
        seen = wait_for(one, lambda s: s["uploads"] and
                        s["uploads"][0]["offset"] == 300 and
                        s["uploads"][0]["rate"] and s, "300 bytes")
        upload = seen["uploads"][0]
        stream.send(b"x" * 700)
        assert stream.finish().status == 204
    assert upload["id"] == path.rsplit("/", 1)[1]
    assert upload["owner"] == "anna"
    assert upload["client"] == "192.0.2.7:4711"
    assert upload["name"] == "holiday.mp4"
    assert (upload["offset"], upload["size"]) == (300, 1000)
    assert upload["waits_for"] == "client"
    assert 0 < upload["rate"] <= 300_000
    # No worker waits for the rest.
    assert seen["workers"]["receiving"] + seen["parked"] == 1
    assert seen["rate"] == upload["rate"]
    seen = wait_for(one, lambda s: not s["uploads"] and s, "its end")
    assert (seen["uploads_created"], seen["uploads_finished"]) == (1, 1)
    assert seen["bytes_received"] == 1000


@pytest.mark.parametrize("seconds", [0, 5])
def test_a_silent_client_has_no_rate(app, seconds):
    """One who sends all the time has one, although the upload is parked."""
    one = app(config=OPEN)
    path = one.client.create(1 << 20)
    with one.client.open_patch(path, 0, 1 << 20) as stream:
        began = time.monotonic()

        def has_rate(seen):
            stream.send(b"x" * 300)
            return (time.monotonic() - began > seconds and seen["uploads"] and
                    seen["uploads"][0]["rate"] > 0)

        wait_for(one, has_rate, "a rate")
        wait_for(one, lambda s: s["uploads"] and
                 s["uploads"][0]["rate"] == 0, "none")


def test_a_creation_with_its_bytes_is_seen(app):
    one = app(config=OPEN)
    headers = {"Upload-Length": "100",
               "Content-Type": "application/offset+octet-stream"}
    with one.client.open("POST", "/files", headers, 100) as stream:
        stream.send(b"x" * 40)
        seen = wait_for(one, lambda s: [
            u for u in s["uploads"] if u["offset"] == 40], "40 bytes")
        assert seen[0]["method"] == "POST" and len(seen[0]["id"]) == 32
        stream.send(b"x" * 60)
        assert stream.finish().status == 201


def test_what_waits_for_a_hook_says_so(app, tmp_path):
    hooks = slow_hook(tmp_path, "pre-create", 3)
    one = app(config={**OPEN, "hooks": hooks})
    with one.client.open("POST", "/files", {"Upload-Length": "5"}, 0) as s:
        s.send_raw(b"")
        seen = wait_for(one, lambda s: s["hooks"]["running"] == 1 and s,
                        "the hook")
        assert [o["waits_for"] for o in seen["others"]] == ["hook"]
        assert s.finish().status == 201


def test_events_that_wait_are_counted(app, tmp_path):
    folder = tmp_path / "hooks"
    folder.mkdir()
    (folder / "post-create").write_text("#!/bin/sh\nexit 1\n")
    (folder / "post-create").chmod(0o755)
    one = app(config={**OPEN, "hooks": {"dir": str(folder), "retries": 0}})
    one.client.create(1)
    one.client.create(1)
    wait_for(one, lambda s: s["hooks"]["waiting"] == 2, "two events")


def test_the_slowest_are_those_that_the_server_took_long_for(app, tmp_path):
    hooks = slow_hook(tmp_path, "pre-create", 0.5)
    one = app(config={**OPEN, "hooks": hooks})
    path = one.client.create(1000)
    with one.client.open_patch(path, 0, 1000) as stream:
        time.sleep(1)
        stream.send(b"x" * 1000)
        assert stream.finish().status == 204
    slow = wait_for(one, lambda s: len(s["slowest"]) == 2 and s["slowest"],
                    "both")
    assert [s["method"] for s in slow] == ["POST", "PATCH"]
    assert [s["status"] for s in slow] == [201, 204]
    assert slow[0]["spent_ms"]["hook"] >= 500
    assert slow[1]["spent_ms"]["client"] >= 900
    assert all(abs(sum(s["spent_ms"].values()) - s["ms"]) <= 4 for s in slow)


def test_only_so_many_slow_ones_are_kept(app, tmp_path):
    one = app(config=OPEN)
    for _ in range(40):
        one.client.create(1)
    assert len(status(one)["slowest"]) == 16


def test_errors_of_all_processes_are_there(app, tmp_path):
    folder = tmp_path / "hooks"
    folder.mkdir()
    (folder / "pre-create").write_text("#!/bin/sh\necho no luck >&2\nexit 1\n")
    (folder / "pre-create").chmod(0o755)
    one = app(config={**OPEN, "hooks": {"dir": str(folder)}})
    answer = one.client.request("POST", "/files", {"Upload-Length": "1"})
    assert answer.status == 500
    errors = wait_for(one, lambda s: s["errors"], "the error")
    assert errors[0]["level"] == "error"
    assert "pre-create" in errors[0]["text"]
    assert "status=500" in errors[0]["text"]
    assert abs(errors[0]["time"] - time.time()) < 60
    # The master logs this one.
    victim = one.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(one, lambda s: f"worker {victim} was killed" in
             s["errors"][0]["text"], "the dead worker")


@pytest.mark.parametrize("parked", [0, 1])
def test_nothing_is_left_of_a_process_that_was_killed(app, parked):
    """The worker that received it, or the process where it was parked."""
    one = app(config={**OPEN, "pool": {"max_parked": parked}})
    path = one.client.create(1000)
    with one.client.open_patch(path, 0, 1000) as stream:
        stream.send(b"x")

        def found(s):
            pids = [upload["pid"] for upload in s["uploads"]]
            return [p for p in pids if proc.is_parking(p) == bool(parked)]
        pid, = wait_for(one, found, "the upload")
        os.kill(pid, signal.SIGKILL)
        wait_for(one, lambda s: not s["uploads"], "its end")


def hostile(one):
    """An upload of somebody with a hostile name, under way."""
    who = {"REMOTE_USER": HOSTILE.encode(), "REMOTE_ADDR": "192.0.2.7"}
    name = base64.b64encode(HOSTILE.encode()).decode()
    path = one.client.request(
        "POST", "/files", {"Upload-Length": "1000",
                           "Upload-Metadata": "filename " + name},
        extra=who).headers["location"]
    stream = one.client.open("PATCH", path, one.client.patch_headers(0), 1000,
                             extra=who)
    stream.send(b"x" * 300)
    wait_for(one, lambda s: s["uploads"] and s["uploads"][0]["offset"] == 300,
             "the bytes")
    return stream


def test_what_clients_say_is_text_on_the_page(app):
    one = app(config={**OPEN, "owner": {"param": "REMOTE_USER"}})
    with hostile(one):
        answer = get(one, accept="text/html")
        page = Page(answer.body.decode())
        nonces = {attrs.get("nonce") for tag, attrs in page.tags
                  if tag in ("script", "style")}
        assert len(nonces) == 1 and len(nonces.pop()) == 32
        assert sum(tag == "script" for tag, _ in page.tags) == 1
        # The name and the owner are shown, but for what gives orders.
        assert page.text.count("<script>alert('1')</script>?[2J???&\"") >= 2
        for text in (page.text, get(one, "?plain").body.decode()):
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
        shown = status(one)["uploads"][0]
        assert shown["owner"] == shown["name"] == \
            "<script>alert('1')</script>?[2J???&\""


def test_nothing_but_the_page_itself_is_let_run(app):
    answer = get(app(config=OPEN), "?html")
    policy = answer.headers["content-security-policy"]
    nonce = re.search(r'<script nonce="(\w+)"', answer.body.decode())[1]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'nonce-{nonce}';" in policy
    assert " style=" not in answer.body.decode()


def test_what_is_long_is_cut_and_still_text(app):
    one = app(config={**OPEN, "owner": {"param": "REMOTE_USER"}})
    owner = "\u00e4" * 100
    who = {"REMOTE_USER": owner.encode()}
    path = one.client.request("POST", "/files", {"Upload-Length": "10"},
                              extra=who).headers["location"]
    with one.client.open("PATCH", path, one.client.patch_headers(0), 10,
                         extra=who) as stream:
        stream.send(b"x")
        seen = wait_for(one, lambda s: s["uploads"], "it")[0]["owner"]
    assert seen.startswith("\u00e4" * 31) and len(seen) <= 33


def test_it_works_without_a_pool(app):
    one = app(config=OPEN, args=["-w", "1"])
    path = one.client.create(3)
    assert one.client.patch(path, 0, b"abc").status == 204
    seen = status(one)
    assert seen["requests"] == 2 and seen["workers"]["max"] == 1
    assert len(seen["slowest"]) == 2


def test_it_can_be_opened_and_closed_by_a_reload(app):
    one = app()
    one.config_path.write_text(
        one.config_path.read_text() + 'status: { path = "/status"; };\n')
    before = set(one.workers())
    one.app.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: one.workers() and not before & set(one.workers()),
                 "new workers")
    rig.wait_for(lambda: get(one, "?ping").body == b"pong\n", "a pong")
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x")
        wait_for(one, lambda s: len(s["uploads"]) == 1, "an upload")


def test_metrics_and_status_cannot_be_one(tmp_path):
    conf = tmp_path / "tusfcgi.conf"
    conf.write_text('store: { path = "%s"; };\nmetrics: { enabled = true; };\n'
                    'status: { path = "/metrics"; };\n' % tmp_path)
    run = subprocess.run(
        [rig.program(), "-t", "-c", conf, "-s", str(tmp_path / "s")],
        capture_output=True, text=True)
    assert run.returncode == 2
    assert 'status.path = "/metrics": metrics.path is the same' in run.stderr


# --- The slow log. ---

def test_the_slow_log_is_off_by_default(app, tmp_path):
    one = app(config={"hooks": slow_hook(tmp_path, "pre-create", 0.5)})
    one.client.create(1)
    rig.wait_for(lambda: "request" in one.log(), "the request")
    assert not slow_lines(one)


def test_the_slow_log_says_that_a_hook_took_the_time(app, tmp_path):
    one = app(config={"log": {"slow": "300ms"}, "owner": {"param": "WHO"},
                      "hooks": slow_hook(tmp_path, "pre-create", 0.5)})
    one.client.request("POST", "/files", {"Upload-Length": "1"},
                       extra={"WHO": "anna"})
    line = rig.wait_for(lambda: slow_lines(one), "the line")[0]
    assert line["method"] == "POST" and line["status"] == "201"
    assert line["owner"] == "anna"
    assert line["client"] == "127.0.0.1:0"
    assert int(line["hook_ms"]) >= 500
    assert int(line["lock_ms"]) + int(line["client_ms"]) < \
        int(line["hook_ms"])
    assert f"request_id={line['request_id']}" in one.log()


def test_a_hook_that_is_told_after_the_answer_counts(app, tmp_path):
    one = app(config={"log": {"slow": "300ms"},
                      "hooks": slow_hook(tmp_path, "post-create", 0.5)})
    one.client.create(1)
    line = rig.wait_for(lambda: slow_lines(one), "the line")[0]
    assert int(line["hook_ms"]) >= 500


def test_a_hook_told_by_a_child_is_nothing_of_the_next_request(app, tmp_path):
    """Where there is no pool, a child tells it, while others are served."""
    hooks = slow_hook(tmp_path, "post-create", 1)
    one = app(config={"log": {"slow": "1s"}, "hooks": hooks},
              args=["-w", "1"])
    path = one.client.create(10)
    with one.client.open_patch(path, 0, 10) as stream:
        stream.send(b"12345")
        time.sleep(2.5)
        stream.send(b"67890")
        assert stream.finish().status == 204
    line = rig.wait_for(lambda: [x for x in slow_lines(one)
                                 if x["method"] == "PATCH"], "the line")[0]
    assert int(line["disk_ms"]) + int(line["hook_ms"]) < 500
    assert int(line["client_ms"]) >= 2000


def test_the_slow_log_says_that_the_client_took_the_time(app):
    one = app(config={"log": {"slow": "400ms"}})
    path = one.client.create(10)
    with one.client.open_patch(path, 0, 10) as stream:
        stream.send(b"12345")
        time.sleep(0.6)
        stream.send(b"67890")
        assert stream.finish().status == 204
    line = rig.wait_for(lambda: slow_lines(one), "the line")[0]
    assert line["id"] == path.rsplit("/", 1)[1] and line["bytes"] == "10"
    assert int(line["client_ms"]) >= 500 > int(line["disk_ms"])


def test_the_slow_log_says_that_a_lock_took_the_time(app, tmp_path):
    """The holder is in a hook, and gives nothing away meanwhile."""
    hooks = slow_hook(tmp_path, "pre-finish", 1.5)
    one = app(config={"log": {"slow": "500ms"}, "hooks": hooks})
    path = one.client.create(10)
    with one.client.open_patch(path, 0, 10) as stream:
        stream.send(b"1234567890")
        rig.wait_for(lambda: one.data_size(path) == 10, "all bytes")
        assert one.client.head(path).status in (200, 423)
        assert stream.finish().status == 204
    lines = rig.wait_for(lambda: len(slow_lines(one)) == 2 and
                         {x["method"]: x for x in slow_lines(one)}, "both")
    assert int(lines["HEAD"]["lock_ms"]) >= 500
    assert int(lines["PATCH"]["hook_ms"]) >= 1500


# --- Behind a web server. ---

# The file, the lines in it, what lets us in, and what lets others in instead.
LINES = {
    "nginx": ("etc/nginx/tusfcgi.conf",
              r"#     location = /tus-status.*?\n#     }\n",
              "allow 127.0.0.1;", "allow 192.0.2.1;"),
    "apache-proxy": ("etc/apache/tusfcgi-proxy.conf",
                     r'#     <Location "/tus-status">.*?#     </Location>\n',
                     "Require local", "Require ip 192.0.2.1"),
    "lighttpd": ("etc/lighttpd/tusfcgi.conf",
                 r'#     \$HTTP\["url"\] =~ "\^/tus-status\$".*?\n#     }\n',
                 '== "127.0.0.1"', '== "192.0.2.1"'),
}


@pytest.mark.parametrize("name", LINES)
def test_the_lines_in_the_snippets(server, name):
    """As somebody would use them who may see it, and who may not."""
    if name != "nginx" and fronts.missing(name):
        pytest.skip(f"{name}: {fronts.missing(name)}")
    file, pattern, us, others = LINES[name]
    live = re.sub(r"(?m)^#", "", re.search(
        pattern, rig.snippet(file, {}), re.S).group())
    assert us in live
    one = server(name, config={"status": {"path": "/tus-status"},
                               "base_path": "/files"})
    for text, codes in ((live, [200]), (live.replace(us, others),
                                        [403, 404])):
        one.stop_front()
        one.extra = text.replace("/run/tusfcgi/tusfcgi.sock", str(one.socket))
        one.start_front()
        answer = clients.request("GET", one.origin + "/tus-status",
                                 {"Accept": "text/html"})
        assert answer[0] in codes
        assert ("tusfcgi <small>" in answer[2].decode()) == (codes == [200])
    assert clients.request("POST", one.url, {"Upload-Length": "1"},
                           b"")[0] == 201
