"""Clients that know what an upload must contain, and what they were told."""

import hashlib
import random
import threading
import time

PERIOD = 65521


class Bytes:
    """The content of an upload: any part of it, from its name alone."""

    def __init__(self, name):
        self.block = random.Random(name).randbytes(PERIOD) * 2

    def __call__(self, at, n):
        out = []
        while n > 0:
            start = at % PERIOD
            piece = self.block[start:start + min(n, PERIOD)]
            out.append(piece)
            at += len(piece)
            n -= len(piece)
        return b"".join(out)

    def sha256(self, size):
        digest = hashlib.sha256()
        for at in range(0, size, 1 << 20):
            digest.update(self(at, min(1 << 20, size - at)))
        return digest.hexdigest()


class Tally:
    """What a run came to; violations are texts."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = {}
        self.violations = []

    def add(self, what, n=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + n

    def violation(self, text):
        with self.lock:
            self.violations.append(text)

    def __getitem__(self, what):
        return self.counts.get(what, 0)

    def line(self):
        return ", ".join(f"{self.counts[k]} {k}" for k in sorted(self.counts)) \
            + f", {len(self.violations)} violations"


def ask(client, *args, **options):
    """A request; None if the connection was lost or refused."""
    try:
        answer = client.request(*args, **options)
    except OSError:
        return None
    return answer if answer.status is not None and answer.ended else None


def patiently(client, tally, *args, until, **options):
    """Repeat until there is an answer that is worth one."""
    while time.monotonic() < until:
        answer = ask(client, *args, **options)
        if answer is None:
            tally.add("lost answers")
        elif answer.status in (423, 503):
            tally.add("told to wait")
        else:
            return answer
        time.sleep(0.05)
    return None


PATCH = "application/offset+octet-stream"


def patch_headers(at, extra=None):
    return {"Upload-Offset": str(at), "Content-Type": PATCH, **(extra or {})}


def send_some(client, path, at, data, part):
    """A PATCH that is dropped after a part of its body."""
    try:
        with client.open("PATCH", path, patch_headers(at),
                         len(data)) as stream:
            stream.send(data[:part])
    except OSError:
        pass
