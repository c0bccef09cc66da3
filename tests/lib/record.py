"""The head of an upload's record, storage.md 1.2, read and forged."""

import json
import re


def read_head(path):
    """The fields that change, as a dict."""
    record = json.loads(path.read_text())
    return {key: record[key] for key in (
        "Offset", "Size", "SizeIsDeferred", "Finished", "Hold", "Expires",
        "Boot")}


def forge(path, key, value):
    """Puts a number into the head of a record, at its place and width."""
    text = path.read_bytes()
    field = re.search(rb'"%s":( *-?\d+)' % key.encode(), text)
    start, end = field.span(1)
    new = b"%*d" % (end - start, value)
    assert len(new) == end - start
    with open(path, "r+b") as record:
        record.seek(start)
        record.write(new)
