"""Random operations against a model of what tus promises.

One client after the other, so that every answer is known beforehand; only
what a dropped connection or a kill -9 left is asked for, and must lie between
what was acknowledged and what was sent.  TUSFCGI_MODEL says how many
operations (1500); TUSFCGI_SEED repeats a run.
"""

import base64
import hashlib
import os
import signal
import time

import pytest

from lib import rig
from lib.app import is_alive
from .conftest import number, tusctl
from .crowd import Bytes, ask, patch_headers

OPERATIONS = number("MODEL", 1500)
UPLOADS = 30


class Upload:
    """What a client knows of its upload."""

    def __init__(self, name, path, size, partial, metadata):
        self.path, self.size, self.partial = path, size, partial
        self.metadata = metadata
        self.content = Bytes(name)
        self.offset = 0
        self.parts = None

    @property
    def whole(self):
        return self.size is not None and self.offset == self.size

    def bytes(self):
        if self.parts is not None:
            return b"".join(self.parts)
        return self.content(0, self.offset)


class Model:
    def __init__(self, app, lots):
        self.app, self.lots, self.client = app, lots, app.client
        self.live, self.dead = [], []
        self.made = self.kills = self.drops = 0
        self.log_at = self.log_lines = 0
        self.count = {}

    # --- helpers ----------------------------------------------------------

    def expect(self, answer, status):
        assert answer.status == status, answer
        return answer

    def pick(self, condition=lambda u: True):
        found = [u for u in self.live if condition(u)]
        return self.lots.choice(found) if found else None

    def checksum(self, data, good=True):
        name = self.lots.choice(["sha1", "sha256", "md5", "sha512"])
        digest = hashlib.new(name, data if good else data + b"x").digest()
        return {"Upload-Checksum":
                f"{name} {base64.b64encode(digest).decode()}"}

    def look(self, upload, low, high):
        """After something went wrong: the truth lies in between."""
        def head():
            answer = ask(self.client, "HEAD", upload.path)
            return answer if answer and answer.status != 423 else None
        answer = rig.wait_for(head, "HEAD")
        self.expect(answer, 200)
        offset = int(answer.headers["upload-offset"])
        assert low <= offset <= high, (low, offset, high)
        if "upload-length" in answer.headers:
            upload.size = int(answer.headers["upload-length"])
        else:
            assert upload.size is None
        upload.offset = offset

    # --- operations -------------------------------------------------------

    def create(self):
        if len(self.live) >= UPLOADS:
            return self.delete()
        self.made += 1
        headers, lots = {}, self.lots
        deferred = lots.random() < 0.2
        size = lots.choice([0, 1, 4096, lots.randrange(300_000)])
        headers.update({"Upload-Defer-Length": "1"} if deferred else
                       {"Upload-Length": str(size)})
        partial = lots.random() < 0.4
        if partial:
            headers["Upload-Concat"] = "partial"
        metadata = None
        if lots.random() < 0.5:
            value = lots.randbytes(lots.randrange(60))
            metadata = f"k {base64.b64encode(value).decode()},flag"
            headers["Upload-Metadata"] = metadata
        upload = Upload(f"{self.made}", None, None if deferred else size,
                        partial, metadata)
        body = b""
        if lots.random() < 0.4:
            body = upload.content(0, lots.randrange(size + 1))
            headers["Content-Type"] = "application/offset+octet-stream"
            if lots.random() < 0.5:
                good = lots.random() < 0.7
                headers.update(self.checksum(body, good))
                if body and not good:
                    answer = self.client.request("POST", "/files", headers,
                                                 body)
                    self.expect(answer, 460)
                    assert "location" not in answer.headers
                    return None
                headers.update(self.checksum(body))
        answer = self.expect(self.client.request(
            "POST", "/files", headers, body), 201)
        upload.path = answer.headers["location"]
        upload.offset = len(body)
        self.live.append(upload)
        return upload

    def patch(self):
        upload = self.pick(lambda u: u.parts is None)
        if upload is None:
            return
        size = upload.size if upload.size is not None else 300_000
        room = max(0, size - upload.offset)
        n = min(room, self.lots.choice(
            [0, 1, room, self.lots.randrange(room + 1)]))
        data = upload.content(upload.offset, n)
        headers = {}
        if self.lots.random() < 0.4:
            headers = self.checksum(data)
        if upload.size is None and self.lots.random() < 0.4:
            upload_size = upload.offset + n + self.lots.choice([0, 777])
            headers["Upload-Length"] = str(upload_size)
        else:
            upload_size = upload.size
        length = self.lots.choice(["", None, n])
        answer = self.client.request(
            "PATCH", upload.path, patch_headers(upload.offset, headers), data,
            extra={} if length == n else {"CONTENT_LENGTH": length})
        self.expect(answer, 204)
        upload.offset += n
        upload.size = upload_size
        assert answer.headers["upload-offset"] == str(upload.offset)

    def patch_badly(self):
        upload = self.pick(lambda u: u.parts is None and not u.whole)
        if upload is None:
            return
        at, how = upload.offset, self.lots.randrange(4)
        rest = 100 if upload.size is None else upload.size - at
        data = upload.content(at, min(rest, 50_000))
        wrong = bytes(b ^ 255 for b in data)
        if how == 0:
            answer = self.client.patch(upload.path, at + 1, data)
            self.expect(answer, 409)
            assert answer.headers["upload-offset"] == str(at)
        elif how == 1:
            self.expect(self.client.patch(
                upload.path, at, wrong, self.checksum(data) if data != wrong
                else {}), 460)
        elif how == 2 and upload.size is not None:
            self.expect(self.client.patch(
                upload.path, at, wrong + b"!" * (rest - len(wrong) + 1),
                extra={"CONTENT_LENGTH": self.lots.choice(
                    [None, str(rest + 1)])}), 413)
        elif how == 3 and upload.size is None and at > 0:
            self.expect(self.client.patch(
                upload.path, at, wrong, {"Upload-Length": str(at - 1)}), 400)

    def drop(self, kill=False):
        """A connection that breaks, or a worker that dies, in a body."""
        upload = self.pick(lambda u: u.parts is None and not u.whole)
        if upload is None:
            return
        at = upload.offset
        rest = 200_000 if upload.size is None else upload.size - at
        data = upload.content(at, rest)
        sent = self.lots.randrange(rest + 1)
        with_sum = self.lots.random() < 0.4
        headers = self.checksum(data) if with_sum else {}
        told = self.told()
        with self.client.open("PATCH", upload.path, patch_headers(
                at, headers), rest) as stream:
            stream.send(data[:sent])
            if kill:
                time.sleep(self.lots.choice([0, 0.01, 0.03]))
                self.kill_all()
                kill = self.is_dead(stream)
        if not kill:
            rig.wait_for(lambda: self.told() > told, "the end of the PATCH")
        self.drops += 1
        whole = at + sent if not with_sum or sent == rest else at
        self.look(upload, at, whole)

    def told(self):
        """How many requests are over, as the log has it."""
        with open(self.app.log_path, "rb") as log:
            log.seek(self.log_at)
            text = log.read()
        whole = text.rfind(b"\n") + 1
        self.log_at += whole
        self.log_lines += text[:whole].count(b"method=PATCH")
        return self.log_lines

    @staticmethod
    def is_dead(stream):
        """Did a worker take this request to the grave?  If none had it yet,
        another one will get it."""
        stream.socket.settimeout(0.3)
        try:
            return stream.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def kill_all(self):
        """Who is dying may still accept: wait until they are dead."""
        killed = []
        for worker in self.app.workers():
            try:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)
            except ProcessLookupError:
                pass
        self.kills += len(killed)
        rig.wait_for(lambda: not any(map(is_alive, killed)), "their death")

    def kill(self):
        self.drop(kill=True)

    def head(self):
        upload = self.pick()
        if upload is None:
            return
        answer = self.expect(self.client.head(upload.path), 200)
        assert answer.headers["upload-offset"] == str(upload.offset)
        assert answer.headers.get("upload-metadata") == upload.metadata
        length = answer.headers.get("upload-length")
        assert length == (None if upload.size is None else str(upload.size))
        assert answer.headers.get("upload-concat", "").startswith(
            "partial" if upload.partial else
            "final" if upload.parts is not None else "")

    def get(self):
        upload = self.pick()
        if upload is None:
            return
        answer = self.client.request("GET", upload.path)
        if not upload.whole or upload.partial:
            self.expect(answer, 404)
            return
        self.expect(answer, 200)
        assert answer.body == upload.bytes()

    def delete(self):
        upload = self.pick()
        if upload is None:
            return
        self.expect(self.client.request("DELETE", upload.path), 204)
        self.live.remove(upload)
        self.dead.append(upload.path)

    def ask_for_the_dead(self):
        if self.dead:
            path = self.lots.choice(self.dead)
            self.expect(self.client.head(path), 404)
            self.expect(self.client.patch(path, 0, b"x"), 404)
            self.expect(self.client.request("DELETE", path), 404)

    def concat(self):
        parts = [p for p in (self.pick() for _ in range(3)) if p]
        if not parts or len(self.live) >= UPLOADS:
            return
        answer = self.client.request("POST", "/files", {
            "Upload-Concat": "final;" + " ".join(p.path for p in parts)})
        if not all(p.partial and p.whole for p in parts):
            self.expect(answer, 400)
            return
        self.expect(answer, 201)
        # Asked for again, it is the one that is there.
        if any(u.path == answer.headers["location"] for u in self.live):
            return
        final = Upload("", answer.headers["location"], None, False, None)
        final.parts = [p.bytes() for p in parts]
        final.offset = final.size = sum(map(len, final.parts))
        self.live.append(final)
        self.expect(self.client.patch(final.path, final.offset, b""), 403)

    def sweep(self):
        done = tusctl(self.app, "sweep")
        assert done.returncode == 0, done.stderr

    def settle(self):
        done = tusctl(self.app, "settle")
        assert done.returncode == 0, done.stderr

    def restart(self):
        workers = self.app.workers()
        self.app.stop_app(self.lots.choice([signal.SIGTERM, signal.SIGKILL]))
        rig.wait_for(lambda: not any(map(is_alive, workers)), "their death")
        self.app.start_app()

    OPERATIONS = {create: 10, patch: 25, patch_badly: 8, drop: 6, kill: 3,
                  head: 12, get: 8, delete: 4, ask_for_the_dead: 2,
                  concat: 4, sweep: 0.3, settle: 0.3, restart: 0.2}

    def run(self, n):
        choices = self.lots.choices(list(self.OPERATIONS),
                                    list(self.OPERATIONS.values()), k=n)
        for i, operation in enumerate(choices):
            name = operation.__name__
            self.count[name] = self.count.get(name, 0) + 1
            try:
                operation(self)
            except BaseException:
                print(f"operation {i} of {n}: {name}")
                raise

    def check_all(self):
        for upload in self.live:
            if upload.parts is None and not upload.whole:
                if upload.size is None:
                    upload.size = upload.offset + 5
                rest = upload.content(upload.offset,
                                      upload.size - upload.offset)
                self.expect(self.client.patch(
                    upload.path, upload.offset, rest,
                    {"Upload-Length": str(upload.size)}), 204)
                upload.offset = upload.size
            stored = self.app.uploads / upload.path.rsplit("/", 1)[1]
            assert stored.read_bytes() == upload.bytes()


@pytest.mark.parametrize("durability", ["data", "full", "none"])
def test_random_operations_agree_with_a_model(app, lots, durability):
    """INV-36; INV-25 and INV-38 on the way"""
    server = app(config={"store": {"durability": durability},
                         "pool": {"max_workers": 4, "reserve": 1}})
    model = Model(server, lots)
    model.run(OPERATIONS // 3)
    model.check_all()
    done = tusctl(server, "sweep")
    assert done.returncode == 0
    names = {p.name for p in server.uploads.iterdir()}
    ours = {u.path.rsplit("/", 1)[1] for u in model.live}
    assert {n for n in names if n.endswith(".lock")} == set()
    assert {n for n in names if "." not in n} >= ours
    print(f"model ({durability}): {model.count}, {model.kills} workers killed")
