"""What this protocol has made is served by a release that does not know it.

TUSFCGI_OLD names the program of such a release, if there is one at hand.
Without it the record gets a key that no release knows, in place of the one that
this release reads: what an older one sees.
"""

import json
import os

import pytest

from lib import client
from lib.rufh import Rufh

ids = pytest.mark.ids
only = pytest.mark.only
OLD = os.environ.get("TUSFCGI_OLD")


def restart(one, config, program=None):
    one.stop_app()
    one.configure(config)
    new = os.environ.get("TUSFCGI")
    if program:
        os.environ["TUSFCGI"] = program
    try:
        one.start_app()
    finally:
        if program and new:
            os.environ["TUSFCGI"] = new


def hide(path):
    """The keys of this protocol under names that nobody reads."""
    text = path.read_bytes()
    hidden = text.replace(b'"Protocol":', b'"Protoco1":').replace(
        b'"ReprDigest":', b'"ReprDiges1":')
    assert hidden != text
    path.write_bytes(hidden)


@ids("RUFH-104")
@only("fastcgi")
def test_a_release_that_does_not_know_the_protocol_goes_on(serve):
    one = serve(own=True)
    digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    known = one.create(6, b"abc", {
        "Content-Disposition": "attachment; filename=a.txt"})
    unknown = one.create(None, b"abc", {"Repr-Digest": digest})
    done = one.finished(b"abcdef", {"Content-Encoding": "gzip"})
    for url in () if OLD else (known, unknown, done):
        hide(one.path(url, ".info"))
    restart(one.server, {}, OLD)
    tus = client.Tus(one.server, "fastcgi")
    reply = tus.head(known)
    assert (reply.status, reply["Upload-Offset"], reply["Upload-Length"],
            reply["Upload-Metadata"]) == (200, "3", "6",
                                          "filename YS50eHQ=")
    assert tus.patch(known, 3, b"def").status == 204
    assert tus.get(known).body == b"abcdef"
    assert tus.head(unknown)["Upload-Defer-Length"] == "1"
    assert tus.patch(unknown, 3, b"d", {"Upload-Length": 4}).status == 204
    assert tus.get(done).body == b"abcdef"
    assert tus.delete(done).status == 204
    # And back again.
    restart(one.server, {"rufh": {"enable": True}})
    again = Rufh(one.server, "fastcgi")
    reply = again.head(known, {"Upload-Draft-Interop-Version": 8})
    assert (reply.status, reply["Upload-Complete"]) == (204, "?1")


@ids("RUFH-104")
@only("fastcgi")
def test_a_record_is_one_of_tusd(serve):
    """Go's encoding/json takes the keys that it knows, of these types."""
    one = serve(own=True)
    url = one.create(6, b"abc", {"Content-Type": "text/plain"})
    record = json.loads(one.path(url, ".info").read_text())
    assert record["Protocol"] == "rufh"
    wanted = {"ID": str, "Size": int, "SizeIsDeferred": bool, "Offset": int,
              "MetaData": dict, "IsPartial": bool, "IsFinal": bool,
              "Storage": dict}
    for key, kind in wanted.items():
        assert isinstance(record[key], kind), key
    assert record["PartialUploads"] is None
    assert all(isinstance(v, str) for v in record["MetaData"].values())
    assert all(isinstance(v, str) for v in record["Storage"].values())
    # Keys are compared without regard to case there.
    names = [name.lower() for name in record]
    assert len(names) == len(set(names))
