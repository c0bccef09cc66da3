"""Asks an engine, one request at a time; a bucket of its own for each test."""

import hashlib
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import time
from pathlib import Path

from s3 import fake, sign

HERE = Path(__file__).resolve().parent


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def code(self):
        """S3's name of the error; "" if there is none."""
        return self.one("Code") if b"<Error>" in self.body else ""

    def one(self, name):
        return (self.all(name) or [""])[0]

    def all(self, name):
        return [x.replace("&quot;", "").strip('"') for x in re.findall(
            f"<{name}>([^<]*)</{name}>", self.body.decode())]

    def etag(self):
        return self.headers.get("etag", "").strip('"')


class Engine:
    """An S3 at a port of this machine."""

    def __init__(self, port, access=fake.ACCESS, secret=fake.SECRET,
                 process=None, ca_file=None):
        self.port, self.access, self.secret = port, access, secret
        self.process, self.ca_file = process, ca_file
        # Seconds that it is ahead of us.
        self.clock = 0

    def raw(self, method, target, body=b"", headers=()):
        if self.ca_file:
            c = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=30,
                context=ssl.create_default_context(cafile=self.ca_file))
        else:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            c.request(method, target, body, dict(headers))
            r = c.getresponse()
            return Answer(r.status,
                          {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def ask(self, method, path, query="", body=b"", headers=(), secret=None):
        stamp = time.strftime("%Y%m%dT%H%M%SZ",
                              time.gmtime(time.time() + self.clock))
        payload = hashlib.sha256(body).hexdigest()
        signed = {"host": f"127.0.0.1:{self.port}", "x-amz-date": stamp,
                  "x-amz-content-sha256": payload, **dict(headers)}
        where = "/".join(sign.encode(x) for x in path.split("/"))
        signed["authorization"] = sign.authorization(
            self.access, secret or self.secret, fake.REGION, method, where,
            query, signed, payload)
        return self.raw(method, where + ("?" + query if query else ""), body,
                        signed)

    def rules(self, *rules):
        """Break requests from now on, and forget what came; the fake only."""
        self.raw("POST", "/-/rules", json.dumps(rules).encode())

    def accept(self, access, secret, token, until):
        """Keys that end then; the fake only."""
        self.raw("POST", "/-/keys",
                 json.dumps([access, secret, token, until]).encode())

    def stored(self, bucket, key):
        """The headers with which it was stored; the fake only."""
        return json.loads(self.raw("GET", f"/-/stored/{bucket}/{key}").body)

    def age(self, seconds):
        """Make all that is there so much older; the fake only."""
        self.raw("POST", "/-/age", json.dumps(seconds).encode())

    def allow(self, policy):
        """What it says, and no more; the fake only."""
        self.raw("POST", "/-/policy", json.dumps(policy).encode())

    def most_parts(self):
        """How many were under way at once since rules(); the fake only."""
        return json.loads(self.raw("GET", "/-/most").body)

    def payloads(self):
        """The digests in the headers of all bodies beyond 64 KiB; the fake
        only."""
        return json.loads(self.raw("GET", "/-/payloads").body)

    def again(self):
        """Do once more what a rule has kept; how it went; the fake only."""
        return json.loads(self.raw("POST", "/-/again").body)

    def hang_up(self):
        """Close all connections that wait; how many; the fake only."""
        return json.loads(self.raw("POST", "/-/hang-up").body)

    def log(self):
        return json.loads(self.raw("GET", "/-/log").body)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def start_fake(*options, ca_file=None):
    process = subprocess.Popen(
        [sys.executable, HERE / "fake.py", *options], stdout=subprocess.PIPE)
    return Engine(int(process.stdout.readline()), process=process,
                  ca_file=ca_file)


REAL = "real"


def real():
    """The engine that TUSFCGI_S3 names as PORT, ACCESS and SECRET."""
    port, access, secret = os.environ["TUSFCGI_S3"].split()
    return Engine(int(port), access, secret)


def real_too():
    """What a list of kinds of engines ends with: that one, if there is one, as
    TUSFCGI_S3_NAME calls it."""
    if "TUSFCGI_S3" not in os.environ:
        return []
    # etc/quickstart has no pytest.
    import pytest
    return [pytest.param(REAL, id=os.environ.get("TUSFCGI_S3_NAME", REAL))]
