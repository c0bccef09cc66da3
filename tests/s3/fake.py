#!/usr/bin/python3
"""An S3 in memory, as strict as the strictest engine, for tests.

usage: tests/s3/fake.py [--bind ADDRESS] [--port N] [--min-part BYTES]
                        [--tls FILE] [--clock SECONDS] [--flaw NAME]...

Prints its port and serves until it is killed.  Access key, secret and region
are below.  A request whose signature is wrong is 403; so is one that signs too
little.  Flaws are what engines are known to do:

  no-if-match    If-Match is ignored (Swift)
  bare-if-match  it is known without quotes only (radosgw 16)
  lists-parts    ListParts and Complete work after Complete (Swift)
  error-in-200   every second Complete says 200 and then an error (AWS)
  equal-parts    all parts but the last must have one size (R2)
  old-lists      a listing does not show what is younger than 0.3 s (Swift)

--clock has its clock be so much ahead of ours.  --tls FILE serves TLS with the
certificate and key in it.  A bucket may be in the name of the host, as in
BUCKET.localhost.

POST /-/policy with a policy of AWS allows what it says and no more.
POST /-/rules with a JSON list has requests broken, GET /-/log says what came;
see faults() for the rules.  POST /-/keys with [access, secret, token, until] has
more keys accepted.  POST /-/age with a number makes all that is there so many
seconds older.  GET /-/stored/BUCKET/KEY says with which headers an object was
stored.  GET /-/most says how many parts were under way at once, at most; GET
/-/payloads, which digests long bodies were said to have.  POST /-/hang-up
closes all connections that wait for a request, and says how many.
"""

import argparse
import email.utils
import fnmatch
import hashlib
import http.server
import io
import json
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from s3 import sign  # noqa: E402

ACCESS, SECRET, REGION = "TUSACCESS", "TUSSECRET", "us-east-1"
FLAWS = ("no-if-match", "bare-if-match", "lists-parts", "error-in-200",
         "equal-parts", "old-lists")
PAGE = 1000
# Headers that say something of the bytes of the body.
DIGEST = re.compile("sha256|md5|checksum|digest", re.I)
# Seconds that our clock is ahead of that of the machine.
CLOCK = 0

# What a rule may have answered.
REFUSALS = {"500": "InternalError", "503": "SlowDown", "403": "AccessDenied",
            "501": "NotImplemented"}

STATUS = {
    "NotImplemented": 501,
    "AccessDenied": 403, "SignatureDoesNotMatch": 403,
    "InvalidAccessKeyId": 403, "RequestTimeTooSkewed": 403,
    "NoSuchKey": 404, "NoSuchBucket": 404, "NoSuchUpload": 404,
    "PreconditionFailed": 412, "InvalidRange": 416, "MethodNotAllowed": 405,
    "MissingContentLength": 411, "BucketAlreadyOwnedByYou": 409,
    "InternalError": 500, "SlowDown": 503,
    "XAmzContentSHA256Mismatch": 400}


class S3Error(Exception):
    """code is S3's; all that is not in STATUS is 400."""

    def __init__(self, code, text="", more=""):
        super().__init__(code)
        self.code, self.text, self.more = code, text, more
        self.status = STATUS.get(code, 400)


class Stored:
    """An object, or a part."""

    def __init__(self, data, headers, etag=None):
        self.data = data
        self.etag = etag or hashlib.md5(data).hexdigest()
        self.at = time.time()
        self.headers = {k: v for k, v in headers.items()
                        if k.startswith("x-amz-") or k == "content-type"}

    def when(self):
        return datetime.fromtimestamp(self.at, timezone.utc).strftime(
            "%Y-%m-%dT%H:%M:%S.000Z")


class Multipart:
    def __init__(self, key, headers):
        self.key, self.headers = key, headers
        self.parts = {}
        self.done = None
        self.started = Stored(b"", {})


class State:
    def __init__(self, args):
        self.min_part = args.min_part
        self.flaws = set(args.flaw)
        self.buckets = {}
        self.policy = None
        self.uploads = {}
        self.rules, self.log, self.n, self.completed = [], [], 0, 0
        self.parts, self.most, self.again, self.payloads = 0, 0, [], []
        self.idle = set()
        self.secrets = {ACCESS: (SECRET, None, None)}
        self.lock = threading.RLock()
        self.met = threading.Condition(self.lock)

    def upload(self, bucket, key, number):
        one = self.uploads.get((bucket, number))
        if one is None or one.key != key:
            raise S3Error("NoSuchUpload")
        return one

    def allow(self, operation, bucket, key):
        """Without ListBucket nobody learns what is not there."""
        if self.policy is None:
            return
        action = ACTIONS[operation.__name__]
        if not is_allowed(self.policy, action, bucket, key) or (
                operation is get_object and
                key not in self.buckets[bucket] and
                not is_allowed(self.policy, "s3:ListBucket", bucket, "")):
            raise S3Error("AccessDenied")

    def everything(self):
        for objects in self.buckets.values():
            yield from objects.values()
        for one in self.uploads.values():
            yield from (one.started, *one.parts.values())

    def visible(self, stored):
        return "old-lists" not in self.flaws or time.time() - stored.at > 0.3


# What each operation has to be allowed.
ACTIONS = {
    "put_object": "s3:PutObject", "get_object": "s3:GetObject",
    "delete_object": "s3:DeleteObject", "list_objects": "s3:ListBucket",
    "create_upload": "s3:PutObject", "upload_part": "s3:PutObject",
    "complete_upload": "s3:PutObject",
    "list_parts": "s3:ListMultipartUploadParts",
    "abort_upload": "s3:AbortMultipartUpload",
    "list_uploads": "s3:ListBucketMultipartUploads",
    "make_bucket": "s3:CreateBucket"}


def is_allowed(policy, action, bucket, key):
    name = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    return any(action in one["Action"] and
               fnmatch.fnmatchcase(name, one["Resource"])
               for one in policy["Statement"])


# --- Operations: (state, bucket, key, query, headers, body) -> answer ----------
# An answer is (status, headers, body).

def find(s, bucket, key):
    one = s.buckets[bucket].get(key)
    if one is None:
        raise S3Error("NoSuchKey")
    return one


def check_match(s, bucket, key, headers):
    want = headers.get("if-match")
    have = s.buckets[bucket].get(key)
    if headers.get("if-none-match") == "*" and have is not None and \
            "no-if-match" not in s.flaws:
        raise S3Error("PreconditionFailed")
    if want is None or "no-if-match" in s.flaws:
        return
    if "bare-if-match" not in s.flaws:
        want = want.strip('"')
    if have is None or have.etag != want:
        raise S3Error("PreconditionFailed")


def check_metadata(headers):
    if sum(len(k) - len("x-amz-meta-") + len(v) for k, v in headers.items()
           if k.startswith("x-amz-meta-")) > 2048:
        raise S3Error("MetadataTooLarge")


def put_object(s, bucket, key, query, headers, body):
    check_metadata(headers)
    if "x-amz-copy-source" in headers:
        raise S3Error("NotImplemented")
    check_match(s, bucket, key, headers)
    one = s.buckets[bucket][key] = Stored(body, headers)
    return 200, {"ETag": f'"{one.etag}"'}, b""


def range_of(headers, size):
    """(first, past the last, was one asked for)"""
    m = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
    if not m or m.groups() == ("", ""):
        return 0, size, False
    first, last = m.groups()
    if first == "":
        return max(0, size - int(last)), size, True
    if int(first) >= size:
        raise S3Error("InvalidRange")
    return int(first), min(size, int(last or size) + 1), True


def get_object(s, bucket, key, query, headers, body):
    one = find(s, bucket, key)
    first, end, ranged = range_of(headers, len(one.data))
    out = {"ETag": f'"{one.etag}"', "Accept-Ranges": "bytes",
           "Last-Modified": email.utils.formatdate(one.at, usegmt=True),
           "Content-Type": one.headers.get("content-type",
                                           "binary/octet-stream")}
    out.update({k: v for k, v in one.headers.items() if k.startswith(
        ("x-amz-meta-", "x-amz-server-side", "x-amz-storage-class"))})
    for name in ("content-type", "content-disposition"):
        if "response-" + name in query:
            out[name.title()] = query["response-" + name]
    if ranged:
        out["Content-Range"] = f"bytes {first}-{end - 1}/{len(one.data)}"
    return 206 if ranged else 200, out, one.data[first:end]


def delete_object(s, bucket, key, query, headers, body):
    s.buckets[bucket].pop(key, None)
    return 204, {}, b""


def list_objects(s, bucket, key, query, headers, body):
    if query.get("list-type") != "2":
        raise S3Error("NotImplemented", "ListObjects of version 1")
    prefix, page = query.get("prefix", ""), int(query.get("max-keys", PAGE))
    after = query.get("continuation-token", query.get("start-after", ""))
    names = sorted(k for k, v in s.buckets[bucket].items()
                   if k.startswith(prefix) and k > after and s.visible(v))
    page = min(page, PAGE)
    rows = "".join(
        f"<Contents><Key>{escape(k)}</Key><LastModified>{v.when()}"
        f"</LastModified><ETag>&quot;{v.etag}&quot;</ETag>"
        f"<Size>{len(v.data)}</Size></Contents>"
        for k in names[:page] for v in [s.buckets[bucket][k]])
    more = len(names) > page
    if more:
        rows += (f"<NextContinuationToken>{escape(names[page - 1])}"
                 "</NextContinuationToken>")
    return 200, {}, document(
        "ListBucketResult",
        f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
        f"<KeyCount>{len(names[:page])}</KeyCount>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{rows}")


def create_upload(s, bucket, key, query, headers, body):
    check_metadata(headers)
    s.n += 1
    number = f"2~upload.{s.n:06d}-{hashlib.sha1(key.encode()).hexdigest()}"
    s.uploads[bucket, number] = Multipart(key, headers)
    return 200, {}, document(
        "InitiateMultipartUploadResult",
        f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
        f"<UploadId>{number}</UploadId>")


def upload_part(s, bucket, key, query, headers, body):
    one = s.upload(bucket, key, query["uploadId"])
    if one.done and "lists-parts" not in s.flaws:
        raise S3Error("NoSuchUpload")
    if not 1 <= int(query["partNumber"]) <= 10000:
        raise S3Error("InvalidArgument")
    source = headers.get("x-amz-copy-source")
    if source is not None:
        where, _, name = unquote(source).lstrip("/").partition("/")
        if where not in s.buckets:
            raise S3Error("NoSuchBucket")
        data = find(s, where, name).data
        first, end, _ = range_of(
            {"range": headers.get("x-amz-copy-source-range", "")}, len(data))
        body = data[first:end]
    part = one.parts[int(query["partNumber"])] = Stored(body, {})
    if source is None:
        return 200, {"ETag": f'"{part.etag}"'}, b""
    return 200, {}, document(
        "CopyPartResult", f"<LastModified>{part.when()}</LastModified>"
        f"<ETag>&quot;{part.etag}&quot;</ETag>")


def list_parts(s, bucket, key, query, headers, body):
    one = s.upload(bucket, key, query["uploadId"])
    if one.done and "lists-parts" not in s.flaws:
        raise S3Error("NoSuchUpload")
    after = int(query.get("part-number-marker", 0))
    page = min(int(query.get("max-parts", PAGE)), PAGE)
    numbers = [n for n in sorted(one.parts)
               if n > after and s.visible(one.parts[n])]
    rows = "".join(
        f"<Part><PartNumber>{n}</PartNumber><LastModified>{p.when()}"
        f"</LastModified><ETag>&quot;{p.etag}&quot;</ETag>"
        f"<Size>{len(p.data)}</Size></Part>"
        for n in numbers[:page] for p in [one.parts[n]])
    more = len(numbers) > page
    mark = f"<NextPartNumberMarker>{numbers[page - 1]}" \
        "</NextPartNumberMarker>" if more else ""
    return 200, {}, document(
        "ListPartsResult", f"<Key>{escape(key)}</Key>{mark}"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{rows}")


def manifest(body):
    """[(number, etag)] of the XML that Complete is sent."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise S3Error("MalformedXML") from None
    out = []
    for one in root:
        rows = {x.tag.rpartition("}")[2]: x.text for x in one}
        out.append((int(rows["PartNumber"]), rows["ETag"].strip('"')))
    if not out:
        raise S3Error("MalformedXML")
    return out


def complete_upload(s, bucket, key, query, headers, body):
    one = s.upload(bucket, key, query["uploadId"])
    want = manifest(body)
    if one.done is not None:
        if key not in s.buckets[bucket]:
            raise S3Error("NoSuchUpload")
        return 200, {}, one.done
    if [n for n, _ in want] != sorted({n for n, _ in want}):
        raise S3Error("InvalidPartOrder")
    for number, etag in want:
        if number not in one.parts or one.parts[number].etag != etag:
            raise S3Error("InvalidPart")
    parts = [one.parts[n] for n, _ in want]
    if any(len(p.data) < s.min_part for p in parts[:-1]):
        raise S3Error("EntityTooSmall")
    if "equal-parts" in s.flaws and \
            len({len(p.data) for p in parts[:-1]}) > 1:
        raise S3Error("InvalidPart", "All non-trailing parts must have the "
                      "same length.")
    s.completed += 1
    if "error-in-200" in s.flaws and s.completed % 2:
        return 200, {}, b"  \n" + error(S3Error("InternalError"))
    sums = b"".join(bytes.fromhex(p.etag) for p in parts)
    etag = f"{hashlib.md5(sums).hexdigest()}-{len(parts)}"
    s.buckets[bucket][key] = Stored(
        b"".join(p.data for p in parts), one.headers, etag)
    one.done = document(
        "CompleteMultipartUploadResult",
        f"<Key>{escape(key)}</Key><ETag>&quot;{etag}&quot;</ETag>")
    return 200, {}, one.done


def abort_upload(s, bucket, key, query, headers, body):
    one = s.upload(bucket, key, query["uploadId"])
    if one.done:
        raise S3Error("NoSuchUpload")
    del s.uploads[bucket, query["uploadId"]]
    return 204, {}, b""


def list_uploads(s, bucket, key, query, headers, body):
    prefix, after = query.get("prefix", ""), query.get("key-marker", "")
    rows = sorted((u.key, number, u) for (b, number), u in s.uploads.items()
                  if b == bucket and not u.done and u.key.startswith(prefix)
                  and (u.key, number) >
                  (after, query.get("upload-id-marker", "\uffff")))
    page = min(int(query.get("max-uploads", PAGE)), PAGE)
    more = len(rows) > page
    marks = (f"<NextKeyMarker>{escape(rows[page - 1][0])}</NextKeyMarker>"
             f"<NextUploadIdMarker>{rows[page - 1][1]}</NextUploadIdMarker>"
             if more else "")
    return 200, {}, document(
        "ListMultipartUploadsResult",
        f"{marks}<IsTruncated>{str(more).lower()}</IsTruncated>" + "".join(
            f"<Upload><Key>{escape(k)}</Key><UploadId>{n}</UploadId>"
            f"<Initiated>{u.started.when()}</Initiated></Upload>"
            for k, n, u in rows[:page]))


def make_bucket(s, bucket, key, query, headers, body):
    if bucket in s.buckets:
        raise S3Error("BucketAlreadyOwnedByYou")
    s.buckets[bucket] = {}
    return 200, {}, b""


# Method, is there a key, which keys of the query: the first that fits.
OPERATIONS = [
    ("PUT", True, ("partNumber", "uploadId"), upload_part),
    ("PUT", True, (), put_object),
    ("GET", True, ("uploadId",), list_parts),
    ("GET", True, (), get_object),
    ("HEAD", True, (), get_object),
    ("POST", True, ("uploads",), create_upload),
    ("POST", True, ("uploadId",), complete_upload),
    ("DELETE", True, ("uploadId",), abort_upload),
    ("DELETE", True, (), delete_object),
    ("GET", False, ("uploads",), list_uploads),
    ("GET", False, (), list_objects),
    ("PUT", False, (), make_bucket),
]


def document(name, inside):
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns='
            f'"http://s3.amazonaws.com/doc/2006-03-01/">{inside}</{name}>'
            ).encode()


def error(e):
    return (f"<?xml version=\"1.0\"?><Error><Code>{e.code}</Code><Message>"
            f"{escape(e.text)}</Message>{e.more}<RequestId>fake</RequestId></Error>"
            ).encode()


# --- Who asks -----------------------------------------------------------------

def check_age(stamp, seconds=900):
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
    except ValueError:
        raise S3Error("AccessDenied") from None
    age = time.time() + CLOCK - at.replace(tzinfo=timezone.utc).timestamp()
    if not -900 < age < seconds:
        raise S3Error("RequestTimeTooSkewed")


def check_credential(s, text, token):
    """The secret."""
    access, _, region, *rest = text.split("/")
    if access not in s.secrets:
        raise S3Error("InvalidAccessKeyId")
    secret, wanted, until = s.secrets[access]
    if token != wanted:
        raise S3Error("InvalidToken")
    if until is not None and time.time() > until:
        raise S3Error("ExpiredToken")
    if region != REGION or rest != ["s3", "aws4_request"]:
        raise S3Error("AuthorizationHeaderMalformed",
                      f"the region '{region}' is wrong; expecting '{REGION}'",
                      f"<Region>{REGION}</Region>")
    return secret


def check_presigned(s, method, path, query, raw, headers):
    secret = check_credential(s, query["X-Amz-Credential"],
                              query.get("X-Amz-Security-Token"))
    path = "/".join(sign.encode(unquote(x)) for x in path.split("/"))
    check_age(query["X-Amz-Date"], int(query["X-Amz-Expires"]))
    names = query["X-Amz-SignedHeaders"].split(";")
    want = sign.signature(secret, query["X-Amz-Date"], REGION, sign.canonical(
        method, path, sign.canonical_query(raw, ("X-Amz-Signature",)),
        headers, names, "UNSIGNED-PAYLOAD"))
    if want != query["X-Amz-Signature"]:
        raise S3Error("SignatureDoesNotMatch")


def check_signed(s, method, path, query, raw, headers, body):
    """All that is x-amz-* or says where it goes has to be signed."""
    if "X-Amz-Signature" in query:
        check_presigned(s, method, path, query, raw, headers)
        return
    m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^,]+), *SignedHeaders="
                     r"([^,]+), *Signature=([0-9a-f]{64})",
                     headers.get("authorization", ""))
    if not m:
        raise S3Error("AccessDenied")
    secret = check_credential(s, m[1], headers.get("x-amz-security-token"))
    check_age(headers.get("x-amz-date", ""))
    names = m[2].split(";")
    must = [n for n in headers if n.startswith("x-amz-")] + ["host"]
    if names != sorted(names) or not set(must) <= set(names) <= set(headers):
        raise S3Error("SignatureDoesNotMatch", "signed headers")
    payload = headers.get("x-amz-content-sha256", "")
    want = sign.signature(secret, headers["x-amz-date"], REGION,
                          sign.canonical(method, path,
                                         sign.canonical_query(raw), headers,
                                         names, payload))
    if want != m[3]:
        raise S3Error("SignatureDoesNotMatch")
    if payload not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        raise S3Error("XAmzContentSHA256Mismatch")


# --- HTTP ---------------------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    state = None

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(
            (timestamp or time.time()) + CLOCK)

    def body(self):
        if "transfer-encoding" in self.headers:
            raise S3Error("MissingContentLength")
        want = int(self.headers.get("content-length", 0))
        data = self.rfile.read(want)
        if len(data) < want:
            raise ConnectionError
        return data

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("x-amz-request-id", "fake")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def administer(self, body):
        s, said = self.state, self.state.log
        with s.lock:
            if self.path == "/-/rules":
                s.rules, s.log = json.loads(body), []
                s.most, s.again = 0, []
                s.met.notify_all()
            if self.path == "/-/keys":
                access, *rest = json.loads(body)
                s.secrets[access] = rest
            if self.path == "/-/policy":
                s.policy = json.loads(body)
            if self.path == "/-/age":
                for one in s.everything():
                    one.at -= json.loads(body)
            if self.path == "/-/again":
                said = [self.repeat(*x) for x in s.again]
            if self.path == "/-/hang-up":
                said = self.end_idle()
            if self.path == "/-/payloads":
                said = s.payloads
            if self.path == "/-/most":
                said = s.most
            if self.path.startswith("/-/stored/"):
                bucket, _, key = unquote(self.path[10:]).partition("/")
                said = s.buckets[bucket][key].headers
            self.answer(200, {}, json.dumps(said).encode())

    def perform(self, body):
        """What S3 does with this request."""
        s = self.state
        path, _, raw = self.path.partition("?")
        query = {unquote(k): unquote(v) for k, _, v in
                 (x.partition("=") for x in raw.split("&") if x)}
        headers = {k.lower(): v for k, v in self.headers.items()}
        try:
            check_signed(s, self.command, path, query, raw, headers, body)
            bucket, _, key = unquote(path)[1:].partition("/")
            host = headers["host"].partition(":")[0]
            if host.endswith(".localhost"):
                bucket, key = host[:-len(".localhost")], unquote(path)[1:]
            if bucket not in s.buckets and not (
                    self.command == "PUT" and key == ""):
                raise S3Error("NoSuchBucket")
            for method, has_key, needs, operation in OPERATIONS:
                if method == self.command and has_key == (key != "") and \
                        all(n in query for n in needs):
                    with s.lock:
                        s.allow(operation, bucket, key)
                        return operation(
                            s, bucket, key, query, headers, body)
            raise S3Error("MethodNotAllowed")
        except S3Error as e:
            return e.status, {"Content-Type": "application/xml"}, error(e)

    def faults(self):
        """The rule that breaks this request.  A rule: m, what "METHOD TARGET"
        must match; nth and times, which of those; do, what happens:

        500 503 403 501  nothing is done, and this is the answer
        drop      nothing is done, and there is no answer
        lose      it is done, and there is no answer
        late      no answer, and it is done after arg seconds
        dup       it is done twice
        delay     it is done after arg seconds, and then answered
        cut       half the answer
        stall     nothing, for arg seconds
        before    nothing is done; its sender is to be killed
        after     it is done; its sender is to be killed before the answer
        flight    its sender is to be killed, and it is done then
        again     it is done, and POST /-/again does it once more
        later     no answer, and POST /-/again does it
        gate      it is done, and answered, when there are other rules
        meet      it is done when arg parts are under way at once, or after 20 s
        """
        for rule in self.state.rules:
            if not re.search(rule["m"], f"{self.command} {self.path}"):
                continue
            rule["seen"] = rule.get("seen", 0) + 1
            first = rule.get("nth", 1)
            if first <= rule["seen"] < first + rule.get("times", 1):
                return rule["do"], float(rule.get("arg", 1))
        return None, 0

    def answer_half(self, *answer):
        """The half may end in the head."""
        out, self.wfile = self.wfile, io.BytesIO()
        self.answer(*answer)
        whole, self.wfile = self.wfile.getvalue(), out
        out.write(whole[:len(whole) // 2])
        self.hang_up()

    def hang_up(self):
        self.close_connection = True

    def handle_one_request(self):
        with self.state.lock:
            self.state.idle.add(self.connection)
        super().handle_one_request()

    def finish(self):
        with self.state.lock:
            self.state.idle.discard(self.connection)
        super().finish()

    def end_idle(self):
        """Those who wait read an end."""
        for one in self.state.idle:
            one.shutdown(socket.SHUT_RDWR)
        return len(self.state.idle)

    def handle_one(self):
        with self.state.lock:
            self.state.idle.discard(self.connection)
        body = self.body()
        if self.path.startswith("/-/"):
            return self.administer(body)
        if self.command != "PUT" or "partNumber=" not in self.path:
            return self.handle_request(body)
        s = self.state
        with s.lock:
            s.parts += 1
            s.most = max(s.most, s.parts)
            s.met.notify_all()
        try:
            return self.handle_request(body)
        finally:
            with s.lock:
                s.parts -= 1

    def repeat(self, method, path, headers, body):
        """A request that was there before; its status."""
        now = self.command, self.path, self.headers
        self.command, self.path, self.headers = method, path, headers
        status = self.perform(body)[0]
        self.command, self.path, self.headers = now
        return status

    def wait_for_death(self):
        self.connection.settimeout(20)
        try:
            self.connection.recv(1)
        except OSError:
            pass

    def wait_for_rules(self):
        with self.state.lock:
            now = self.state.rules
            self.state.met.wait_for(
                lambda: self.state.rules is not now, timeout=20)

    def meet(self, number):
        with self.state.lock:
            self.state.met.wait_for(
                lambda: self.state.most >= number, timeout=20)

    def handle_request(self, body):
        with self.state.lock:
            fault, arg = self.faults()
            self.state.log.append(
                [self.command, self.path, len(body), fault])
            if len(body) > 65536:
                self.state.payloads.append({
                    k.lower(): v for k, v in self.headers.items()
                    if DIGEST.search(k)})
        if fault in REFUSALS:
            e = S3Error(REFUSALS[fault])
            return self.answer(e.status, {}, error(e))
        if fault in ("stall", "delay"):
            time.sleep(arg)
        if fault == "meet":
            self.meet(arg)
        if fault == "gate":
            self.wait_for_rules()
        if fault in ("drop", "stall"):
            return self.hang_up()
        if fault == "late":
            threading.Timer(arg, self.perform, (body,)).start()
            return self.hang_up()
        if fault in ("before", "flight"):
            self.wait_for_death()
        if fault == "before":
            return self.hang_up()
        if fault in ("again", "later"):
            self.state.again.append(
                (self.command, self.path, self.headers, body))
        if fault == "later":
            return self.hang_up()
        if fault == "dup":
            self.perform(body)
        status, headers, answer = self.perform(body)
        if fault == "after":
            self.wait_for_death()
        if fault in ("lose", "after", "flight"):
            return self.hang_up()
        if fault == "cut":
            return self.answer_half(status, headers, answer)
        return self.answer(status, headers, answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_one


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ValueError)):
            super().handle_error(request, client_address)


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--bind", default="127.0.0.1")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--min-part", type=int, default=5 << 20)
    p.add_argument("--flaw", action="append", default=[], choices=FLAWS)
    p.add_argument("--tls")
    p.add_argument("--clock", type=int, default=0)
    args = p.parse_args()
    global CLOCK  # pylint: disable=global-statement
    CLOCK = args.clock
    Handler.state = State(args)
    server = Server((args.bind, args.port), Handler)
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
