#!/usr/bin/python3
"""Goes through every way in which requests of the S3 store can meet.

usage: tests/s3/model.py [-v] [--size N] [--part N] [--operations N]
                         [--faults N] [--late N] [--lags N] [--limit N]
                         [WORLD]... [--bugs]

The store of tests/s3 is modelled, not run.  A world is an engine and a lock:
what may go wrong there.  In it two workers, a client that asks for anything,
and a reader without the lock take their steps in every order.  A worker may
die before or after each of its requests, or while one is on its way; a request
on its way arrives later, after anything else, or never; a request may fail; an
answer may be lost and the request done twice; a list may be old.  --bugs plants one mistake after
the other in the protocol, and each must be found.

A byte of the model is a letter, and --part letters make a part.  What is
acknowledged counts for ever; see broken().
"""

import argparse
import sys
import time
from collections import deque, namedtuple
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from s3.model_engine import (  # noqa: E402
    DATA, Engine, READS, Record, World, apply, old_answers)

# A protocol at work, as what it was told so far: a generator cannot be copied.
Work = namedtuple("Work", "what args heard")
State = namedtuple(
    "State", "engine late workers reader acked doomed deleted"
    " operations faults lags")


# --- The protocol ------------------------------------------------------------
#
# A generator yields requests, is sent their answers and returns its outcome.

Look = namedtuple("Look", "record prefix offset known segments finished")


def chain(segments, offset):
    """How far the segments lead from here, and which of them it takes."""
    used, moved = [], True
    while moved:
        moved = False
        for one in sorted(segments):
            if one[0] <= offset < one[0] + len(one[1]):
                used.append(one)
                offset = one[0] + len(one[1])
                moved = True
    return offset, used


def prefix_of(w, parts, size):
    """The bytes of part 1, 2, ... while each is as long as on the grid."""
    got, parts = "", dict(parts or ())
    if w.bug == "sum instead of prefix":
        return "".join(data for _, data in sorted(parts.items()))
    for number in range(1, len(DATA) + 1):
        room = w.grid() if size is None else min(w.grid(), size - len(got))
        if room <= 0 or len(parts.get(number, "")) != room:
            break
        got += parts[number]
    return got


def look(w, locked):
    """What HEAD tells: a Look, or None where there is no upload."""
    record = yield "record",
    if record is None or record.terminated:
        return None
    if record.finished:
        # Where anybody's late PUT is taken, the record of an upload that was
        # removed may come back: the object says what is true.
        if w.conditional or w.bug == "the record alone says finished":
            return Look(record, "", record.size, None, (), True)
        content = yield "object",
        return None if content is None else \
            Look(record, "", len(content), None, (), True)
    # Without stealing, the dead holder's DELETE came after its part.
    early = w.bug == "parts before segments" or (locked and not w.stolen)
    parts = None
    if early and w.is_mpu():
        parts = yield "parts",
    segments = yield "segments",
    tail = None
    if w.bug == "one overwritten tail":
        tail = yield "tail",
        segments = frozenset([tail]) if tail else frozenset()
    if not early and w.is_mpu():
        parts = yield "parts",
    if parts is None or (w.swift and record.size is not None and
                         prefix_of(w, parts, record.size) ==
                         DATA[:record.size]):
        if w.bug == "no such upload is finished" and w.is_mpu():
            return Look(record, "", w.size, None, (), True)
        content = yield "object",
        if content is not None:
            return Look(record, "", len(content), None, (), True)
        if w.is_mpu() and parts is None:
            return None
    prefix = prefix_of(w, parts, record.size)
    offset, used = chain(segments, len(prefix))
    return Look(record, prefix, offset, parts or (), (used, segments), False)


def told(seen, w):
    """The outcome of a HEAD: the offset and what is known of the bytes."""
    if seen is None:
        return ("missing",)
    if seen.finished:
        return ("finished", seen.offset)
    content = seen.prefix
    for start, data, _ in seen.segments[0]:
        content += data[len(content) - start:]
    return ("offset", seen.offset, content)


def read(w):
    return told((yield from look(w, False)), w)


def fetch(seen):
    """The tail behind the full parts; None if a segment is not there."""
    content = seen.prefix
    for one in seen.segments[0]:
        got = yield "segment", one
        if got is None:
            return None
        content += one[1][len(content) - one[0]:]
    return content


def mark_finished(w, record):
    done = Record(record.size, True, False)
    return (yield "put record", done, record)


def finish(w, seen, record, content, known):
    """FINISH, of all bytes; known is what parts are there."""
    if w.bug == "the mark before the object":
        yield from mark_finished(w, record)
    if w.is_mpu():
        step = w.grid()
        want = tuple((i // step + 1, content[i:i + step])
                     for i in range(0, len(content), step))
        for number, data in want:
            if dict(known).get(number) != data:
                if (yield "part", number, data) != "ok":
                    break
        if w.bug == "what is listed is complete":
            want = (yield "parts",) or ()
        how = yield "complete", want
        if how == "gone" and w.bug != "no such upload is finished":
            how = "ok" if (yield "object",) == content else "gone"
        if how != "ok" and w.bug not in ("an error in 200 is success",
                                         "no such upload is finished"):
            return ("failed",)
    elif (yield "put object", content) != "ok":
        return ("failed",)
    if w.bug != "the mark before the object" and \
            (yield from mark_finished(w, record)) != "ok":
        return ("failed",)
    for one in sorted(seen.segments[1]):
        yield "delete segment", one
    return ("finished", len(content))


def claim(w):
    """CLAIM: what is whole is finished before anything else."""
    seen = yield from look(w, True)
    if seen is None:
        return None, ("missing",)
    if seen.finished:
        if not seen.record.finished and w.bug is None:
            yield from mark_finished(
                w, seen.record._replace(size=seen.offset))
        return None, ("finished", seen.offset)
    if seen.record.size is not None and seen.offset == seen.record.size:
        content = yield from fetch(seen)
        if content is None:
            return None, ("failed",)
        return None, (yield from finish(w, seen, seen.record, content,
                                        seen.known))
    return seen, None


def head(w):
    seen, outcome = yield from claim(w)
    return outcome or told(seen, w)


def put_parts(w, content, at, backwards):
    """The parts that are full, from byte at; any order does, as long as the
    answer comes after the last."""
    step = w.grid()
    full = [(i // step + 1, content[i:i + step])
            for i in range(at, len(content) - step + 1, step)]
    for number, data in reversed(full) if backwards else full:
        if (yield "part", number, data) != "ok":
            return None
    return full


def patch(w, length, declares, backwards, spoilt, nonce):
    seen, outcome = yield from claim(w)
    if seen is None:
        return outcome
    record = seen.record
    if declares and record.size is None:
        record = Record(w.size, False, False)
        if (yield "put record", record, seen.record) != "ok":
            return ("failed",)
    new = w.data()[seen.offset:seen.offset + length]
    end = seen.offset + len(new)
    is_whole = record.size is not None and end == record.size
    fills = w.is_mpu() and end - len(seen.prefix) >= w.grid()
    if spoilt:
        # A checksum says at the end that these are not the client's bytes.
        if w.bug == "unverified bytes are sent" and fills:
            content = yield from fetch(seen)
            if content is not None:
                yield from put_parts(
                    w, content + new.upper(), len(seen.prefix), False)
        return ("failed",)
    early = w.bug == "segments are deleted before the part"
    content = None
    if fills or is_whole:
        content = yield from fetch(seen)
        if content is None:
            return ("failed",)
        content += new
    if early and fills:
        for one in seen.segments[0]:
            yield "delete segment", one
    at = len(seen.prefix)
    known = seen.known
    if fills:
        full = yield from put_parts(w, content, at, backwards)
        if full is None:
            return ("failed",)
        at += sum(len(data) for _, data in full)
        known = tuple({**dict(known), **dict(full)}.items())
    if is_whole:
        return (yield from finish(w, seen, record, content, known))
    start = max(at, seen.offset)
    if start < end:
        data = w.data()[start:end]
        if w.bug == "one overwritten tail":
            tail = (at, (content or "")[at:] or w.data()[at:end], 0)
            if (yield "put tail", tail) != "ok":
                return ("failed",)
        else:
            if (yield "put segment", (start, data, nonce)) != "ok":
                return ("failed",)
    for one in sorted(seen.segments[1]):
        if one[0] + len(one[1]) <= at:
            yield "delete segment", one
    return ("offset", end, w.data()[:end])


def terminate(w):
    record = yield "record",
    if record is None:
        return ("missing",)
    if w.bug != "no mark before a removal":
        gone = record._replace(terminated=True)
        if (yield "put record", gone, record) != "ok":
            return ("failed",)
    if w.is_mpu() and (yield "abort",) == "error":
        return ("failed",)
    if (yield "delete object",) != "ok":
        return ("failed",)
    for one in sorted((yield "segments",)):
        yield "delete segment", one
    if (yield "delete record",) != "ok":
        return ("failed",)
    return ("removed",)


PROTOCOL = {"read": read, "head": head, "patch": patch,
            "terminate": terminate}


# --- The exploration ---------------------------------------------------------

def make_next(w):
    @lru_cache(maxsize=None)
    def next_of(work):
        """The request that is due, or the outcome."""
        g = PROTOCOL[work.what](w, *work.args)
        try:
            request = next(g)
            for answer in work.heard:
                request = g.send(answer)
            return request, None
        except StopIteration as end:
            return None, end.value
    return next_of


def free_nonce(state):
    """One that no segment has, nor any that may still come."""
    used = {one[2] for one in state.engine.segments}
    used |= {r[1][2] for r in state.late if r[0] == "put segment"}
    used |= {x.args[-1] for x in state.workers
             if x is not None and x.what == "patch"}
    return next(n for n in range(len(used) + 1) if n not in used)


def begins(w, state):
    """Every operation that a client may ask for."""
    nonce = free_nonce(state)
    yield Work("head", (), ())
    yield Work("terminate", (), ())
    for length in (1, w.part, w.size):
        for declares in ((False, True) if w.deferred else (False,)):
            yield Work("patch", (length, declares, False, False, nonce), ())
            if length > w.part and w.size > w.part + 1:
                yield Work("patch", (length, declares, True, False, nonce), ())
    if w.deferred:
        yield Work("patch", (0, True, False, False, nonce), ())
    yield Work("patch", (w.size, False, False, True, nonce), ())


def truth(w, next_of, engine):
    """What a HEAD would say now if nobody interfered."""
    work = Work("read", (), ())
    while True:
        request, outcome = next_of(work)
        if outcome is not None:
            return outcome
        work = work._replace(
            heard=work.heard + (apply(w, engine, request)[1],))


def judge(w, state, outcome, lagging):
    """Why an answer is wrong; None if it is right.  A list that lags may
    tell too little, but nothing that is not so."""
    if outcome[0] == "failed":
        return None
    if outcome[0] == "missing":
        if not state.doomed:
            return "an upload is gone that nobody removed"
        return None
    if state.deleted:
        return "what was removed is back"
    if outcome[0] == "finished":
        # Who removes it may have gone on since.
        if state.engine.object != w.data() and not state.doomed:
            return "finished, and the object is not whole"
    elif outcome[0] == "offset":
        if outcome[2] != w.data()[:outcome[1]]:
            return "an offset is told that is not true"
    if outcome[1] < state.acked and not lagging and not state.doomed:
        return "acknowledged bytes are lost"
    return None


def broken(w, next_of, state):
    """Which promise this state breaks."""
    if state.engine.object not in (None, w.data()):
        return "an object has wrong bytes"
    now = truth(w, next_of, state.engine)
    if now[0] == "finished" and state.engine.object != w.data():
        return "finished, and there is no object"
    return judge(w, state, now, False)


def account(state, who, outcome):
    """An answer has reached the client."""
    if outcome[0] == "removed":
        return state._replace(deleted=True)
    if outcome[0] in ("offset", "finished") and not state.doomed:
        return state._replace(acked=max(state.acked, outcome[1]))
    return state


def set_work(state, who, work):
    if who == "reader":
        return state._replace(reader=work)
    workers = list(state.workers)
    workers[who] = work
    return state._replace(workers=tuple(workers))


def advance(w, next_of, state, who, work, answer):
    """After an answer: the next request, or the end.  (state, complaint)"""
    acked, lagging = None, state.lags < w.lags
    if who == "reader":
        acked, work = work
    work = work._replace(heard=work.heard + (answer,))
    outcome = next_of(work)[1]
    if outcome is None:
        return set_work(state, who,
                        (acked, work) if who == "reader" else work), None
    state = set_work(state, who, None)
    if who == "reader":
        # It began when so much was acknowledged.
        return state, judge(
            w, state._replace(acked=acked, deleted=False), outcome, lagging)
    complaint = None
    if work.what == "head" and not state.doomed:
        complaint = judge(w, state._replace(acked=0), outcome, lagging)
    return account(state, who, outcome), complaint


def hold(state, request):
    return state._replace(late=tuple(sorted(
        state.late + (request,), key=repr)))


def step(w, next_of, state, who):
    """Everything that the request of one worker, or the reader, may lead to:
    (what happened, state, complaint)."""
    work = state.reader if who == "reader" else state.workers[who]
    request, _ = next_of(work[1] if who == "reader" else work)
    name = f"{who if who == 'reader' else 'AB'[who]}: {request}"
    engine, answer = apply(w, state.engine, request)
    after = state._replace(engine=engine)
    yield (name, *advance(w, next_of, after, who, work, answer))
    if state.lags:
        for old in old_answers(request, answer):
            yield (name + " lags", *advance(
                w, next_of, after._replace(lags=state.lags - 1), who, work,
                old))
    if who == "reader" or not state.faults:
        return
    hurt = state._replace(faults=state.faults - 1)
    yield name + ", killed before", set_work(hurt, who, None), None
    if request[0] in READS:
        return
    yield (name + " fails", *advance(
        w, next_of, hurt, who, work, "error"))
    yield (name + ", killed after", set_work(
        hurt._replace(engine=engine), who, None), None)
    if len(state.late) < w.late:
        yield (name + ", killed, under way",
               set_work(hold(hurt, request), who, None), None)
        yield (name + ", and again under way", *advance(
            w, next_of, hold(hurt._replace(engine=engine), request), who,
            work, answer))


def starts(w, state):
    """A client asks for something, of a worker that has the lock."""
    free = [i for i in (0, 1) if state.workers[i] is None]
    if not state.operations or not free:
        return
    who = free[0]
    # The lock is taken from A, whoever it is, and given to B.
    if len(free) == 1 and (not w.stolen or who == 0):
        return
    for work in begins(w, state):
        begun = set_work(state, who, work)
        begun = begun._replace(operations=state.operations - 1)
        if work.what == "terminate":
            begun = begun._replace(doomed=True)
        yield f"{'AB'[who]} begins {work.what} {work.args}", begun, None


def moves(w, next_of, state):
    yield from starts(w, state)
    for i, request in enumerate(state.late):
        engine, _ = apply(w, state.engine, request)
        yield (f"late: {request}", state._replace(
            engine=engine, late=state.late[:i] + state.late[i + 1:]), None)
    for who in (0, 1):
        if state.workers[who] is not None:
            yield from step(w, next_of, state, who)
    if state.reader is not None:
        yield from step(w, next_of, state, "reader")
    elif any(state.workers) and not state.doomed:
        yield ("reader begins", state._replace(
            reader=(state.acked, Work("read", (), ()))), None)


def first_state(w):
    record = Record(None if w.deferred else w.size, False, False)
    engine = Engine(record, () if w.is_mpu() else None, frozenset(), None,
                    None)
    late = ()
    if w.bug == "a creation is tried again with its id":
        late = (("put record", record, "ANY"),)
    return State(engine, late, (None, None), None, 0, False, False,
                 w.operations, w.faults, w.lags)


def trace(came, state):
    steps = []
    while came[state] is not None:
        state, what = came[state]
        steps.append(what)
    return steps[::-1]


def explore(w):
    """(states seen, complaint or None, the steps to it, was it everything)"""
    next_of = make_next(w)
    start = first_state(w)
    came, todo = {start: None}, deque([start])
    while todo:
        state = todo.popleft()
        complaint = broken(w, next_of, state)
        if complaint:
            return len(came), complaint, trace(came, state), False
        for what, after, complaint in moves(w, next_of, state):
            if complaint:
                return len(came), complaint, trace(came, state) + [what], False
            if after not in came:
                if len(came) >= w.limit:
                    return len(came), None, [], False
                came[after] = (state, what)
                todo.append(after)
    return len(came), None, [], True


def worlds():
    """Each kind of engine and lock that the store is made for."""
    return [
        World("flock"),
        World("flock, small", small=True),
        World("flock, deferred", deferred=True),
        World("flock, no If-Match", conditional=False),
        World("flock, no If-Match, deferred", conditional=False,
              deferred=True),
        World("flock, Swift, old lists", conditional=False, swift=True,
              lags=1),
        World("flock, old lists", lags=1),
        World("stolen lock", stolen=True),
        World("stolen lock, small", stolen=True, small=True),
        World("stolen lock, deferred", stolen=True, deferred=True),
        World("stolen lock, no If-Match", stolen=True, conditional=False),
        World("flock, deferred, old lists", deferred=True, lags=1),
        World("stolen lock, old lists", stolen=True, lags=1),
        World("stolen lock, Swift, old lists, deferred", stolen=True,
              conditional=False, swift=True, lags=1, deferred=True),
    ]


# Where neither the engine nor the lock holds anybody up, a removal may be undone
# by a writer that slept; no byte is lost by that.
def without_a_lock():
    return World("stolen lock, no If-Match, small", stolen=True,
                 conditional=False, small=True)


# The bug, and where it must be found.
BUGS = [
    ("segments are deleted before the part", {}),
    ("one overwritten tail", {"size": 5, "part": 3}),
    ("sum instead of prefix", {"size": 5}),
    ("parts before segments", {}),
    ("unverified bytes are sent", {}),
    ("no such upload is finished", {"conditional": False, "deferred": True}),
    ("an error in 200 is success", {}),
    ("what is listed is complete", {"lags": 1, "swift": True}),
    ("a creation is tried again with its id", {"small": True,
                                               "conditional": False}),
    ("the record alone says finished", {"conditional": False}),
    ("the mark before the object", {}),
    ("no mark before a removal", {}),
    ("a record is written over any other", {"stolen": True, "small": True}),
]


def run(w, verbose):
    begun = time.monotonic()
    states, complaint, steps, everything = explore(w)
    took = time.monotonic() - begun
    print(f"{w.bug or w.name:45} {states:9,} states {took:6.1f} s  "
          f"{complaint or 'no violation'}"
          f"{'' if everything or complaint else ' so far'}", flush=True)
    if complaint and (verbose or w.bug is None):
        for one in steps:
            print("   ", one)
    return complaint


def arguments():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("-v", action="store_true")
    p.add_argument("--bugs", action="store_true")
    for name in ("size", "part", "operations", "faults", "late", "lags",
                 "limit"):
        p.add_argument("--" + name, type=int)
    p.add_argument("world", nargs="*", metavar="WORLD")
    return p.parse_args()


def main():
    args = arguments()
    todo = [w for w in worlds() if not args.world or w.name in args.world]
    if args.bugs:
        todo = planted()
    bad = 0
    for w in todo:
        for name in ("size", "part", "operations", "faults", "late", "lags",
                     "limit"):
            if getattr(args, name) is not None:
                setattr(w, name, getattr(args, name))
        bad += (run(w, args.v) is None) == (w.bug is not None)
    sys.exit(bad != 0)


def planted():
    out = []
    for bug, where in BUGS:
        bounds = {k: v for k, v in where.items() if k in ("size", "part")}
        w = World(bug, bug=bug, **{
            k: v for k, v in where.items() if k not in bounds})
        vars(w).update(bounds)
        out.append(w)
    return out


if __name__ == "__main__":
    main()
