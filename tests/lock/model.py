#!/usr/bin/python3
"""What a host does that slept through its lease: every interleaving, counted.

usage: tests/lock/model.py [-v]

Some hosts share one upload of a directory.  Each does one request, in steps:
lock, claim (repair, read), write byte after byte, then acknowledge or cut back
to where it began.  Between two steps any other host may run, and a lock may
lapse without its holder's knowing.  The promise: what was acknowledged, by a
PATCH or by a HEAD, is there ever after.

Each row of TABLE is a rule and whether the promise holds under it.  So the test
fails if a rule that is said to be safe is broken, and if one that is said to be
unsafe is not: then the model proves nothing.
"""

import sys
from collections import namedtuple

# Bytes of the upload, and how many a request writes.
SIZE, PIECE = 3, 2

# step: what comes next.  is_in: the file system lets its writes through.
Host = namedtuple("Host", "kind step start end token is_in")
# length, and where a request on probation began (-1: none does), of the data;
# token: of the last claim, in the record; fence: who has the lock on the file.
State = namedtuple("State", "length hold token acked next lock fence hosts")

# A request that is kept; one whose bytes are on probation, as with a checksum
# that is wrong at the end; one that is cut back; one that only looks.
KEEP, PROBATION, CUT, LOOK = "keep", "probation", "cut", "look"


def replace(state, i, host, **changes):
    hosts = state.hosts[:i] + (host,) + state.hosts[i + 1:]
    return state._replace(hosts=hosts, **changes)


def lapses(state, rules):
    """The services take a lease or a fence away from a host."""
    if "lease" in rules and state.lock is not None:
        yield state._replace(lock=None)
    if "fence" in rules and "lease" in rules and state.fence is not None:
        i = state.fence
        is_in = "leak" in rules
        yield replace(state, i, state.hosts[i]._replace(is_in=is_in),
                      fence=None)


def claim(state, i, host, rules):
    if "fence" in rules and state.fence not in (None, i):
        yield leave(state, i, host)
        return
    length = state.length if state.hold < 0 else state.hold
    host = host._replace(step="begin", start=length, end=length)
    fence = i if "fence" in rules else None
    yield replace(state, i, host, length=length, hold=-1, token=host.token,
                  fence=fence)


def leave(state, i, host):
    return replace(
        state, i, host._replace(step="done"),
        lock=None if state.lock == i else state.lock,
        fence=None if state.fence == i else state.fence)


def act(state, i, host):
    """The next step of a host, which decided on it before it was suspended."""
    if not host.is_in:
        yield leave(state, i, host)
    elif host.end < min(host.start + PIECE, SIZE):
        hold = state.hold
        if host.kind == PROBATION and hold < 0:
            hold = host.start
        yield replace(
            state, i, host._replace(step="begin", end=host.end + 1),
            length=max(state.length, host.end + 1), hold=hold)
    elif host.kind == KEEP:
        yield replace(state, i, host._replace(step="ack"), hold=-1)
    else:
        yield replace(state, i, host._replace(step="leave"), hold=-1,
                      length=min(state.length, host.start))


def moves(state, i, rules):
    host = state.hosts[i]
    if host.step == "idle" and state.lock is None:
        yield replace(
            state, i, host._replace(step="claim", token=state.next),
            lock=i, next=state.next + 1)
    elif host.step == "claim":
        yield from claim(state, i, host, rules)
    elif host.step == "begin" and host.kind == LOOK:
        yield replace(state, i, host._replace(step="leave"),
                      acked=max(state.acked, host.start))
    elif host.step == "begin":
        is_ours = "token" not in rules or state.token == host.token
        yield replace(state, i, host._replace(step="act")) if is_ours \
            else leave(state, i, host)
    elif host.step == "act":
        yield from act(state, i, host)
    elif host.step == "ack":
        yield replace(state, i, host._replace(step="leave"),
                      acked=max(state.acked, host.end))
    elif host.step == "leave":
        yield leave(state, i, host)


def explore(cast, rules):
    """(states seen, whether the promise held)"""
    hosts = tuple(Host(kind, "idle", 0, 0, 0, True) for kind in cast)
    first = State(0, -1, 0, 0, 1, None, None, hosts)
    seen, todo = {first}, [first]
    while todo:
        state = todo.pop()
        found = list(lapses(state, rules))
        for i in range(len(cast)):
            found += moves(state, i, rules)
        for after in found:
            if after.length < after.acked:
                return len(seen), False
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return len(seen), True


CASTS = [(CUT, KEEP, LOOK), (PROBATION, KEEP, LOOK)]
TABLE = [
    ("the lock never lapses", set(), CASTS, True),
    ("both keep what they write", {"lease"}, [(KEEP, KEEP, LOOK)], True),
    ("a lease, and no fence", {"lease"}, CASTS, False),
    ("a token in the record, looked at first", {"lease", "token"}, CASTS,
     False),
    ("a lock on the file that is written", {"lease", "fence"}, CASTS, True),
    ("that lock, and late writes still pass", {"lease", "fence", "leak"},
     CASTS, False),
]


def main():
    wrong = 0
    for name, rules, casts, is_safe in TABLE:
        for cast in casts:
            states, held = explore(cast, rules)
            wrong += held != is_safe
            if held != is_safe or "-v" in sys.argv[1:]:
                print(f"{name}: {'+'.join(cast)}: {states} states, "
                      f"{'held' if held else 'broken'}"
                      f"{'' if held == is_safe else ', which is wrong'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
