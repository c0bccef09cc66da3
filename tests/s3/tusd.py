"""A bucket as tusd's s3store lays it out: what it writes, and what it reads.

P+ID is the finished object; P+ID.info the record, whose ID is
ID+MULTIPARTUPLOAD, as in the URL; P+ID.part the bytes behind the last part.
Parts have any size from the least one on.  The offset is the sum of all parts
and the length of .part; a multipart upload that is gone means finished.
"""

import json
import os
from xml.sax.saxutils import escape


class Tusd:
    """min_part: below that, bytes stay in .part."""

    def __init__(self, engine, bucket, prefix="", min_part=4096):
        self.engine, self.bucket, self.prefix = engine, bucket, prefix
        self.min_part = min_part

    def ask(self, method, key, query="", body=b""):
        return self.engine.ask(
            method, f"/{self.bucket}/{self.prefix}{key}", query, body)

    def create(self, size, metadata=None):
        """The id as tusd has it in the URL; size None is deferred."""
        name = os.urandom(16).hex()
        mpu = self.ask("POST", name, "uploads=").one("UploadId")
        self.write_info(name, {
            "ID": f"{name}+{mpu}", "Size": size or 0,
            "SizeIsDeferred": size is None, "Offset": 0,
            "MetaData": metadata or {}, "IsPartial": False,
            "IsFinal": False, "PartialUploads": None, "Storage": {
                "Bucket": self.bucket, "Key": self.prefix + name,
                "Type": "s3store"}})
        return f"{name}+{mpu}"

    def write_info(self, name, info):
        text = json.dumps(info, separators=(",", ":"))
        assert self.ask("PUT", name + ".info",
                        body=text.encode()).status == 200

    def info(self, whole):
        """What tusd's GetInfo says."""
        name, _, mpu = whole.partition("+")
        got = self.ask("GET", name + ".info")
        assert got.status == 200
        info = json.loads(got.body)
        parts = self.parts(name, mpu)
        if parts is None:
            info["Offset"] = info["Size"]
            return info
        tail = self.ask("HEAD", name + ".part")
        info["Offset"] = sum(size for _, size, _ in parts) + (
            int(tail.headers["content-length"]) if tail.status == 200 else 0)
        return info

    def parts(self, name, mpu):
        """[(number, size, etag)]; None if there is no such upload."""
        got = self.ask("GET", name, f"uploadId={mpu}")
        if got.status == 404:
            return None
        return list(zip(map(int, got.all("PartNumber")),
                        map(int, got.all("Size")), got.all("ETag")))

    def write(self, whole, data, part=None):
        """WriteChunk: parts of at most so many bytes, the rest in .part."""
        name, _, mpu = whole.partition("+")
        info = self.info(whole)
        number = len(self.parts(name, mpu))
        end = info["Offset"] + len(data)
        tail = self.ask("GET", name + ".part")
        if tail.status == 200:
            data = tail.body + data
            self.ask("DELETE", name + ".part")
        is_last = not info["SizeIsDeferred"] and end == info["Size"]
        while len(data) >= self.min_part or (data and is_last):
            number += 1
            piece, data = data[:part or len(data)], data[part or len(data):]
            assert self.ask("PUT", name, f"partNumber={number}&uploadId={mpu}",
                            piece).status == 200
        if data:
            assert self.ask("PUT", name + ".part", body=data).status == 200

    def finish(self, whole):
        name, _, mpu = whole.partition("+")
        rows = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>\"{escape(etag)}\""
            "</ETag></Part>" for n, _, etag in self.parts(name, mpu))
        got = self.ask("POST", name, f"uploadId={mpu}",
                       f"<CompleteMultipartUpload>{rows}"
                       "</CompleteMultipartUpload>".encode())
        assert got.status == 200 and not got.code(), got.body

    def content(self, whole):
        return self.ask("GET", whole.partition("+")[0]).body
