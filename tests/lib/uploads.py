"""Uploads made by hand: the files of the directory store, as it writes them.

    store = uploads.Store(tmp_path / "uploads")
    id = store.make(b"hello", size=11, expires=1)
    store.head(id)["Offset"]; store.data(id)
    with store.locked(id): ...

Everything a crash, another server or a bad disk can leave behind can be made
this way.
"""

import base64
import contextlib
import fcntl
import json
import os
import re
import struct
import time
import uuid
from pathlib import Path

HEAD = 219
NO_BOOT = "-" * 36
OTHER_BOOT = "3f0c6a52-8a1e-4d0b-9c57-2f6b1c0d7e94"
WANT = 1 << 40
GUARD = WANT + 8


def boot_id():
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def new_id():
    return uuid.uuid4().hex


def head_text(offset, size, finished=0, hold=-1, expires=0, boot=None):
    """The first 219 bytes of a record; size None is a deferred length."""
    text = ('{"Offset":%20d,"Size":%20d,"SizeIsDeferred":%5s,"Finished":%20d,'
            '"Hold":%20d,"Expires":%20d,"Boot":"%s",'
            % (offset, size or 0, "true" if size is None else "false",
               finished, hold, expires, boot or boot_id()))
    assert len(text) == HEAD
    return text


def pending(store, id):
    """What its record says is still to be done, as "m" and "t"; "" if there is
    no record, None if it is an old one, which does not say."""
    path = Path(store) / (id + ".info")
    try:
        text = path.read_bytes()[HEAD:HEAD + 17]
    except FileNotFoundError:
        return ""
    match = re.fullmatch(rb'"Pending":"(....)",', text)
    return match and match[1].decode().replace(" ", "")


def set_pending(store, id, letters):
    """As if a worker had been killed before it did this."""
    with open(Path(store) / (id + ".info"), "r+b") as f:
        f.seek(HEAD + len('"Pending":"'))
        f.write("".join(letter if letter in letters else " "
                        for letter in "cmtr").encode())


class Store:
    def __init__(self, path):
        self.path = Path(path)
        self.path.mkdir(mode=0o770, exist_ok=True)

    def file(self, name, content=b"", age=0):
        """Any file; age is how many seconds ago it was last changed."""
        path = self.path / name
        path.write_bytes(content)
        self.make_old(name, age)
        return path

    def make_old(self, name, age):
        then = time.time() - age
        os.utime(self.path / name, (then, then), follow_symlinks=False)

    def make(self, data=b"", size=None, id=None, offset=None, finished=None,
             metadata=None, age=0, created=None, owner="", keys=None,
             **head):
        """An upload; size None is deferred.  finished None: if it is whole.

        offset is the watermark, by default all that is there.  keys: what else
        the record has.
        """
        id = id or new_id()
        if finished is None:
            finished = int(time.time()) if size == len(data) else 0
        text = head_text(len(data) if offset is None else offset, size,
                         finished=finished, **head)
        rest = {
            "ID": id,
            "MetaData": metadata or {},
            "MetadataRaw": ",".join(
                key + " " + base64.b64encode(value.encode()).decode()
                for key, value in (metadata or {}).items()),
            "IsPartial": False, "IsFinal": False, "PartialUploads": None,
            "Owner": owner, "Created": created or int(time.time() - age),
            **(keys or {}),
            "Storage": {"Type": "filestore", "Path": str(self.path / id),
                        "InfoPath": str(self.path / (id + ".info"))},
        }
        text += json.dumps(rest, separators=(",", ":"))[1:]
        self.file(id, data, age)
        self.file(id + ".info", text.encode(), age)
        return id

    def make_tusd(self, data, size, id=None, metadata=None):
        """An upload as tusd makes it: a record without our head."""
        id = id or new_id()
        self.file(id, data)
        self.file(id + ".info", json.dumps({
            "ID": id, "Size": size, "SizeIsDeferred": False, "Offset": 0,
            "MetaData": metadata or {}, "IsPartial": False, "IsFinal": False,
            "PartialUploads": None,
            "Storage": {"Type": "filestore", "Path": str(self.path / id),
                        "InfoPath": str(self.path / (id + ".info"))},
        }).encode())
        return id

    def names(self):
        return sorted(name for name in os.listdir(self.path)
                      if name not in (".sweep", ".store"))

    def data(self, id):
        return (self.path / id).read_bytes()

    def head(self, id):
        """The head of a record as a dictionary; fails if there is none."""
        text = (self.path / (id + ".info")).read_bytes()[:HEAD].decode()
        assert re.fullmatch(r'\{"Offset": *\d+,"Size".*,"Boot":"[^"]{36}",',
                            text), text
        return json.loads(text[:-1] + "}")

    def set_boot(self, id, boot=OTHER_BOOT):
        """As if the machine had been rebooted since."""
        with open(self.path / (id + ".info"), "r+b") as f:
            f.seek(181)
            f.write(boot.encode())

    @contextlib.contextmanager
    def locked(self, id):
        """Hold the lock of an upload, as a worker does that is busy."""
        fd = os.open(self.path / (id + ".lock"), os.O_RDWR | os.O_CREAT, 0o660)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def guarded(self, id):
        """Lock the record itself, as a worker does whose PATCH is short."""
        fd = os.open(self.path / (id + ".info"), os.O_RDWR)
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK,
                    range_lock(fcntl.F_WRLCK, GUARD, 1))
        try:
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def waiters(self, id):
        """Take all places for those who wait for the lock."""
        fd = os.open(self.path / (id + ".lock"), os.O_RDWR)
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, range_lock(
            fcntl.F_WRLCK, WANT + 1, 4))
        try:
            yield
        finally:
            os.close(fd)


def range_lock(kind, start, length):
    """A struct flock."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


def is_wanted(fd):
    """Does somebody wait for the lock that fd holds?"""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK,
                         range_lock(fcntl.F_WRLCK, WANT, 1))
    return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK
