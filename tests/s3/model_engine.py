"""What tests/s3/model.py takes for granted: a world, and the engine in it."""

from collections import namedtuple

DATA = "abcdefgh"

# size None: not declared yet.
Record = namedtuple("Record", "size finished terminated")
# parts None: the multipart upload is gone.  The segments are (start, bytes,
# nonce); tail is for the protocol that overwrites one object.
Engine = namedtuple("Engine", "record parts segments tail object")


class World:
    """What may happen: the bounds, the lock, the engine and a planted bug."""

    def __init__(self, name, stolen=False, conditional=True, deferred=False,
                 small=False, swift=False, lags=0, bug=None):
        self.name = name
        self.stolen = stolen
        self.conditional = conditional
        self.deferred = deferred
        self.swift = swift
        self.lags = lags
        self.bug = bug
        self.size, self.part = 3, 2
        self.small = small
        self.operations, self.faults, self.late = 4, 1, 1
        self.limit = 3_000_000

    def data(self):
        return DATA[:self.size]

    def is_mpu(self):
        return not self.small

    def grid(self):
        """Bytes of a part; a small upload has room in one."""
        return self.size if self.small else self.part


def put_part(w, e, number, data):
    if e.parts is None:
        return e, "gone"
    if e.object is not None and not w.swift:
        return e, "gone"
    parts = dict(e.parts)
    parts[number] = data
    return e._replace(parts=tuple(sorted(parts.items()))), "ok"


def complete(w, e, manifest):
    content = "".join(data for _, data in manifest)
    if e.parts is None:
        return e, "ok" if e.object == content else "gone"
    parts = dict(e.parts)
    if not manifest or any(parts.get(n) != data for n, data in manifest):
        return e, "invalid"
    return e._replace(object=content,
                      parts=e.parts if w.swift else None), "ok"


def put_record(w, e, record, expected):
    """expected: what the record was when it was read; ANY for a plain PUT."""
    if w.conditional and expected != "ANY" and e.record != expected and \
            w.bug != "a record is written over any other":
        return e, "changed"
    return e._replace(record=record), "ok"


def abort(w, e):
    """After Complete there is nothing to abort."""
    if e.object is not None and w.is_mpu():
        return e, "gone"
    return e._replace(parts=None), "ok"


def apply(w, e, request):
    """The engine after a request, and its answer."""
    what, *args = request
    if what == "record":
        return e, e.record
    if what == "segments":
        return e, e.segments
    if what == "tail":
        return e, e.tail
    if what == "parts":
        return e, e.parts
    if what == "object":
        return e, e.object
    if what == "segment":
        return e, args[0] if args[0] in e.segments else None
    if what == "put record":
        return put_record(w, e, *args)
    if what == "delete record":
        return e._replace(record=None), "ok"
    if what == "put segment":
        return e._replace(segments=e.segments | {args[0]}), "ok"
    if what == "delete segment":
        return e._replace(segments=e.segments - {args[0]}), "ok"
    if what == "put tail":
        return e._replace(tail=args[0]), "ok"
    if what == "part":
        return put_part(w, e, *args)
    if what == "complete":
        return complete(w, e, args[0])
    if what == "put object":
        return e._replace(object=args[0]), "ok"
    if what == "abort":
        return abort(w, e)
    if what == "delete object":
        parts = None if w.swift and e.object is not None else e.parts
        return e._replace(object=None, parts=parts), "ok"
    raise ValueError(request)


READS = ("record", "segments", "segment", "tail", "parts", "object")


def old_answers(request, answer):
    """What a listing that lags may say: what came last is not there yet."""
    if not answer or request[0] not in ("segments", "parts"):
        return []
    if request[0] == "segments":
        return [answer - {one} for one in answer]
    return [tuple(p for p in answer if p != one) for one in answer]
