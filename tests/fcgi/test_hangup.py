"""SIGHUP: the configuration is read again, and nobody notices."""

import signal
import threading
import time

import pytest

from lib import rig

from .conftest import close_all, max_size, reload, start_uploads

LARGE = 1 << 20


def test_a_reload_changes_the_configuration_and_drops_no_upload(app):
    pool = {"max_parked": 0}
    one = app(config={"pool": pool})
    rig.wait_for(lambda: len(one.workers()) == 4, "four workers")
    path = one.client.create(LARGE)
    with one.client.open_patch(path, 0, LARGE) as stream:
        stream.send(b"x" * 1000)
        one.wait_for_bytes(path, 1000)
        before = set(one.workers())
        reload(one, {"max_size": "2M", "pool": pool})
        rig.wait_for(lambda: len(before & set(one.workers())) == 1 and
                     len(one.workers()) >= 5, "all idle ones to be replaced")
        assert max_size(one) == str(2 << 20)
        stream.send(b"x" * (LARGE - 1000))
        assert stream.finish().status == 204
    rig.wait_for(lambda: not before & set(one.workers()), "the last one")
    assert one.client.offset(path) == LARGE


def test_requests_do_not_notice_a_reload(app):
    one = app()
    statuses = []
    is_over = threading.Event()

    def ask():
        while not is_over.is_set():
            statuses.append(one.client.request("OPTIONS", "/files").status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(1, 5):
        reload(one, {"max_size": f"{n}M"})
        rig.wait_for(lambda: max_size(one) == str(n << 20), "the new size")
        time.sleep(0.3)
    is_over.set()
    for thread in threads:
        thread.join()
    assert len(statuses) > 100 and set(statuses) == {200}


def test_a_bad_configuration_is_refused_and_the_old_one_stays(app):
    one = app(config={"max_size": "1M"})
    rig.wait_for(lambda: len(one.workers()) == 4, "four workers")
    before = set(one.workers())
    one.config_path.write_text("max_sice = 5;")
    one.app.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: "configuration refused" in one.log(), "a refusal")
    assert "tusfcgi.conf:1" in one.log()
    assert max_size(one) == str(1 << 20)
    assert before <= set(one.workers())


@pytest.mark.parametrize("args, pool, settled", [
    (["-w", "8"], {}, 8),
    ([], {"min_spare": 8, "max_workers": 8}, 8),
    ([], {"min_spare": 2, "max_workers": 8, "idle": "60s"}, 8),
], ids=["fixed", "full", "spare"])
def test_reloads_add_no_workers(app, args, pool, settled):
    one = app(args=args, config={"pool": pool})
    rig.wait_for(lambda: len(one.workers()) == pool.get("min_spare", 8),
                 "all workers")
    most = 0
    for n in range(1, 9):
        before = set(one.workers())
        reload(one, {"max_size": f"{n}M", "pool": pool})
        if n % 2 == 0:
            rig.wait_for(lambda: not before & set(one.workers()),
                         "all to be replaced")
        most = max(most, len(one.workers()))
    rig.wait_for(lambda: len(one.workers()) <= settled, "the rest to leave")
    time.sleep(1)
    assert pool.get("min_spare", 8) <= len(one.workers()) <= settled
    assert most <= 8 + 8
    assert max_size(one) == str(8 << 20)


def test_reloads_go_on_while_the_busy_ones_stay(app):
    """Old workers that are busy for long take no room that new ones need."""
    pool = {"min_spare": 2, "max_workers": 8, "reserve": 2, "max_parked": 0}
    one = app(config={"pool": pool})
    paths, streams = start_uploads(one, 6)
    for path in paths:
        one.wait_for_bytes(path, 10)
    for n in range(1, 6):
        before = set(one.workers())
        reload(one, {"max_size": f"{n}M", "pool": pool})
        rig.wait_for(lambda: len(before & set(one.workers())) == 6,
                     "the idle ones to be replaced")
        rig.wait_for(lambda n=n: max_size(one) == str(n << 20), "the new size")
        assert len(one.workers()) <= 8 + 8
    close_all(streams)
    rig.wait_for(lambda: len(one.workers()) <= 8, "the busy ones to leave")


def test_a_single_process_reloads_too(app):
    one = app(args=["-w", "1"], config={"max_size": "1M"})
    reload(one, {"max_size": "2M"})
    rig.wait_for(lambda: max_size(one) == str(2 << 20), "the new size")
    one.config_path.write_text("max_sice = 5;")
    one.app.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: "configuration refused" in one.log(), "a refusal")
    assert max_size(one) == str(2 << 20)


@pytest.mark.parametrize("args", [[], ["-w", "1"]])
def test_a_reload_does_not_change_who_excludes_whom(app, args):
    one = app(args=args)
    elsewhere = one.dir / "elsewhere"
    elsewhere.mkdir()
    path = one.client.create(100)
    before = set(one.workers())
    reload(one, {"max_size": "2M",
                 "store": {"path": str(elsewhere)},
                 "lock": {"path": str(elsewhere), "method": "ofd"}})
    rig.wait_for(lambda: max_size(one) == str(2 << 20), "the new settings")
    for key in ("store.path", "lock.path", "lock.method"):
        assert f"{key} stays " in one.log()
    assert not before or set(one.workers()) != before
    assert one.client.patch(path, 0, b"x" * 10).status == 204
    assert not list(elsewhere.iterdir())


def test_a_reload_says_that_the_lock_service_is_kept(app):
    """A list and a duration, too."""
    one = app(config={"lock": {"hosts": ["10.0.0.1:1", "10.0.0.2:1"]}})
    for hosts, session in (["10.0.0.3:1"], "12.5s"), ([], "5s"):
        lock = {"hosts": hosts, "session": session, "prefix": "/x",
                "agent": "/tmp/x"}
        log = len(one.log())
        reload(one, {"lock": lock})
        rig.wait_for(lambda log=log: "configuration read" in one.log()[log:],
                     "the reload")
        said = one.log()[log:]
        assert 'lock.hosts stays "10.0.0.1:1, 10.0.0.2:1" until a restart, ' \
            f'it does not become "{", ".join(hosts)}"' in said
        assert 'lock.session stays "10s" until a restart, it does not ' \
            f'become "{session}"' in said
        assert 'lock.prefix stays "/tus"' in said
        assert 'lock.agent stays ""' in said


def test_an_upload_has_one_holder_over_a_reload(app):
    one = app()
    elsewhere = one.dir / "elsewhere"
    elsewhere.mkdir()
    path = one.client.create(100)
    with one.client.open_patch(path, 0, 100) as stream:
        stream.send(b"x" * 10)
        one.wait_for_bytes(path, 10)
        reload(one, {"max_size": "2M", "lock": {"path": str(elsewhere)}})
        rig.wait_for(lambda: max_size(one) == str(2 << 20), "the new settings")
        assert one.client.offset(path) == 10
        assert stream.read().status == 423
    assert "lock.path stays " in one.log()


def test_a_reload_opens_the_log_file_again(app):
    config = {"log": {"target": ""}}
    one = app()
    log = one.dir / "requests.log"
    config["log"]["target"] = str(log)
    reload(one, config)
    rig.wait_for(log.exists, "the log file")
    log.rename(one.dir / "requests.log.1")
    one.app.send_signal(signal.SIGHUP)
    rig.wait_for(log.exists, "another log file")

    def is_written():
        one.client.request("OPTIONS", "/files")
        return "method=OPTIONS" in log.read_text()

    rig.wait_for(is_written, "requests in the new file")
