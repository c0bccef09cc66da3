"""What a log of store-drive promises, and whether a directory keeps it."""

import os
import re

HEAD = re.compile(
    rb'\{"Offset":( *\d+),"Size":( *\d+),"SizeIsDeferred":( true|false),'
    rb'"Finished":( *\d+),"Hold":( *-?\d+),"Expires":( *\d+),'
    rb'"Boot":"([0-9a-f-]{36}|s{36}|x{36})",(?:"Pending":"([c ][m ][t ][r ])",)?')
HEAD_SIZES = (219, 236)
FOREIGN = "%032x" % 13
UNSAFE = "%032x" % 23

# How much must survive.  KILL: all, to the byte.  FULL: all that was
# acknowledged.  FINISHED: what was finished; the rest may shrink or vanish.
# CUT: likewise, and a watermark may be above the bytes, for they were cut.
# FAILED: as FULL, but what was acknowledged before we had the upload, and was
# never flushed, may go: a flush of it failed.
KILL, FULL, FINISHED, CUT = "kill", "full", "finished", "cut"
FAILED = "failed"


def right_bytes(number, size, cache={}):
    """The bytes 0 to size that upload number ought to have."""
    if number not in cache:
        cache[number] = bytes(
            1 + (at * 7 + at // 127 + number * 31) % 127
            for at in range(20001))
    return cache[number][:size]


def right_content(want, size):
    if want.parts is None:
        return right_bytes(want.number, size)
    lengths = {5: 3000, 6: 5000, 8: 0, 21: 3000}
    return b"".join(
        right_bytes(part, lengths[part]) for part in want.parts)[:size]


class Want:
    """What the log says of one upload."""

    def __init__(self, upload, total, deferred, expires):
        self.id = upload
        self.number = int(upload, 16)
        self.total = total
        self.was_deferred = deferred
        self.expires = expires
        self.parts = None
        self.made = self.finished = False
        # Nobody may see it before it has what came with its creation.
        self.hidden = False
        # Nor a final upload before pre-finish agreed.
        self.agreed = False
        # What is still to be done for it may be struck out.
        self.done = False
        self.declare_tried = self.declared = False
        self.delete_tried = self.deleted = False
        self.acked = self.tried = 0
        # Told by us; the rest by who made it.
        self.told = 0
        # The offset, if nothing was tried since it was told.
        self.exact = None
        # Where it was moved to.
        self.place = None
        # While a body grows too long nobody knows yet that it will be
        # refused: if we die now, what came of it counts.
        self.loose = range(0)


def read_log(text):
    """id -> Want"""
    wants = {}
    for line in text.splitlines():
        word = line.split()
        if len(word) < 3 or word[0] not in ("TRY", "ACK"):
            continue
        said, op, upload, rest = word[0], word[1], word[2], word[3:]
        if said == "TRY" and op in ("create", "hide"):
            wants[upload] = Want(
                upload, int(rest[0]), rest[1] == "1", int(rest[2]))
            wants[upload].hidden = op == "hide"
        elif said == "TRY" and op == "concat":
            want = wants[upload] = Want(upload, int(rest[0]), False, 0)
            want.parts = [int(part) for part in rest[1:]]
            want.tried = want.total
        want = wants[upload]
        if op == "move":
            if said == "ACK":
                want.place = rest[0]
            continue
        if said == "TRY":
            try_it(want, op, rest)
        else:
            acknowledge(want, op, rest)
    return wants


def try_it(want, op, rest):
    want.exact = None
    if op == "patch":
        want.tried = max(want.tried, int(rest[0]))
        want.declare_tried |= rest[1] == "1"
    elif op == "overflow":
        want.loose = range(int(rest[0]), int(rest[1]))
    elif op == "delete":
        want.delete_tried = True
    elif op == "agree":
        want.agreed = True
    elif op == "done":
        want.done = True


def acknowledge(want, op, rest):
    if op == "delete":
        want.deleted = True
        return
    want.exact = int(rest[0])
    # A refusal that failed leaves the bytes; their sender was told so.
    if op == "refuse" or want.exact <= want.loose.start:
        want.loose = range(0)
    if op == "refuse":
        return
    want.made = True
    want.acked = max(want.acked, int(rest[0]))
    if op != "create":
        want.told = max(want.told, int(rest[0]))
    want.tried = max(want.tried, int(rest[0]))
    if op == "finish":
        want.finished = want.declared = True
    elif want.was_deferred and rest[1] == "0":
        want.declared = True


class Head:
    def __init__(self, match):
        number = [int(match.group(i)) for i in (1, 2, 4, 5, 6)]
        self.offset, self.size, self.finished, self.hold, self.expires = number
        self.deferred = match.group(3) == b" true"
        self.boot = match.group(7).decode()


def read_record(path):
    """Head, None for nothing at all, or "foreign"; ValueError if damaged."""
    with open(path, "rb") as f:
        text = f.read()
    if not text.strip(b"\0"):
        return None
    match = HEAD.match(text)
    if match and match.end() in HEAD_SIZES and text.endswith(b"}"):
        return Head(match)
    if os.path.basename(path) == FOREIGN + ".info" and text.endswith(b"}"):
        return "foreign"
    raise ValueError("damaged record: %r" % text[:300])


def read_ledger(folder):
    """The names of all entries, ID.BYTES, sorted."""
    return sorted(
        name for _, _, names in os.walk(os.path.join(folder, ".quota"))
        for name in names if name != "lock")


def check_sums(folder, is_one_tick):
    """A sum that is trusted, since the page was not changed after it, is no
    less than what is entered there.  is_one_tick: as if the clock of the file
    system had not ticked since the sum was written: every sum is trusted."""
    for page, _, names in os.walk(os.path.join(folder, ".quota")):
        if "lock" not in names:
            continue
        with open(os.path.join(page, "lock"), encoding="ascii") as f:
            words = f.read().split()
        when = "%d.%09d" % divmod(os.stat(page).st_mtime_ns, 10 ** 9)
        if len(words) != 3 or not is_one_tick and words[2] != when:
            continue
        sizes = [int(name.split(".")[1]) for name in names if name != "lock"]
        if int(words[0]) < len(sizes) or int(words[1]) < sum(sizes):
            yield f"{len(sizes)} entries of {sum(sizes)} bytes, sum {words}"


def check_ledger(folder, is_one_tick=False):
    """At any time: what belongs to somebody is entered, with all it has."""
    entries = dict(name.split(".") for name in read_ledger(folder))
    yield from check_sums(folder, is_one_tick)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if not os.path.exists(path + ".info"):
            continue
        with open(path + ".info", "rb") as f:
            text = f.read()
        if b'"Owner":"joe"' not in text:
            continue
        size = max(os.path.getsize(path), int(text[38:58]))
        if name not in entries:
            yield f"{name}: not entered"
        elif int(entries[name]) < size:
            yield f"{name}: entered with {entries[name]}, not {size} bytes"


def check_raw(folder, level):
    """Before anybody repairs: what must hold of any record, at any time."""
    for name in os.listdir(folder):
        if not name.endswith(".info"):
            continue
        upload = name[:-5]
        try:
            head = read_record(os.path.join(folder, name))
        except ValueError as e:
            yield f"{upload}: {e}"
            continue
        if head is None or head == "foreign":
            continue
        path = os.path.join(folder, upload)
        size = os.path.getsize(path) if os.path.exists(path) else None
        if 0 <= head.hold < head.offset:
            yield f"{upload}: watermark {head.offset} above hold {head.hold}"
        if head.boot.startswith("--"):
            continue
        if size is not None and head.offset > size and level != CUT:
            yield f"{upload}: watermark {head.offset}, only {size} bytes"
        if size is not None and head.finished and head.size != size:
            yield f"{upload}: finished, but {size} of {head.size} bytes"


def read_states(text):
    """id -> (offset, size, deferred, finished), and what went wrong."""
    states, errors = {}, []
    for line in text.splitlines():
        word = line.split()
        if word and word[0] == "STATE":
            states[word[1]] = (int(word[2]), int(word[3]),
                               word[4] == "1", word[5] == "1")
        elif word and word[0] == "ERR":
            errors.append(line)
    if not text.rstrip().endswith("END"):
        errors.append("store-drive did not come to its end")
    return states, errors


def read_places(text):
    """id -> path, of what was moved away."""
    return dict(line.split()[1:3] for line in text.splitlines()
                if line.startswith("PLACE "))


def check_presence(want, present, level):
    if level in (FINISHED, CUT) and not want.finished:
        return
    if want.expires:
        return
    if want.made and not want.delete_tried and not present:
        yield f"{want.id}: lost"
    if want.deleted and present and level not in (FINISHED, CUT):
        yield f"{want.id}: resurrected"


def check_offset(want, state, level):
    offset, size, deferred, finished = state
    sent = max(want.tried, want.loose.stop)
    if offset > sent:
        yield f"{want.id}: {offset} bytes, only {sent} were sent"
    least = want.told if level == FAILED else want.acked
    if level not in (FINISHED, CUT) and offset < least:
        yield f"{want.id}: {offset} bytes, {least} were acknowledged"
    if level == KILL and want.exact is not None and offset != want.exact:
        yield f"{want.id}: {offset} bytes, {want.exact} were told"
    if want.hidden and level == KILL and not want.made and offset < (
            want.tried or want.total):
        yield f"{want.id}: seen with {offset} bytes, before the others"
    if want.finished and not finished:
        yield f"{want.id}: was finished, {offset} of {size} bytes are left"
    if not deferred and offset == size and not finished:
        yield f"{want.id}: whole and not finished"
    if finished and offset != want.total:
        yield f"{want.id}: finished with {offset} of {want.total} bytes"
    if want.parts is not None and not finished:
        yield f"{want.id}: final, not finished"
    if want.parts is not None and not want.agreed:
        yield f"{want.id}: seen before pre-finish agreed"


def check_length(want, state, level):
    _, size, deferred, _ = state
    if not deferred and size != want.total:
        yield f"{want.id}: size is {size}, not {want.total}"
    if want.was_deferred and not want.declare_tried and not deferred:
        yield f"{want.id}: has a size that nobody declared"
    if want.declared and deferred and level not in (FINISHED, CUT):
        yield f"{want.id}: its declared size is gone"
    if not want.was_deferred and deferred:
        yield f"{want.id}: its size is gone"


def check_bytes(folder, want, offset, place=None):
    path = place or os.path.join(folder, want.id)
    if not os.path.exists(path):
        yield f"{want.id}: {path} is not there"
        return
    with open(path, "rb") as f:
        got = f.read()
    right = right_content(want, offset)
    if len(got) < offset:
        yield f"{want.id}: {len(got)} bytes on disk, {offset} told"
    elif got[:offset] != right:
        wrong = [i for i in range(offset) if got[i] != right[i] and not (
            i in want.loose and got[i] == right[i] | 0x80)]
        for at in wrong[:1]:
            yield f"{want.id}: wrong byte at {at} of {offset}: {got[at]:#x}"


def check_pending(wants, states, text):
    """A final upload has to remove its parts, until it has tried to."""
    pending = {line.split()[1] for line in text.splitlines()
               if line.startswith("PENDING ")}
    for upload, want in wants.items():
        if want.parts and not want.done and upload in states and \
                upload not in pending:
            yield f"{upload}: what is to be done for it is forgotten"


def check_states(folder, wants, text, level):
    """After recover: every promise of the log, against what it found."""
    states, errors = read_states(text)
    places = read_places(text)
    yield from errors
    for upload, want in wants.items():
        state = states.get(upload)
        yield from check_presence(want, state is not None, level)
        if state is not None:
            yield from check_offset(want, state, level)
            yield from check_length(want, state, level)
            yield from check_bytes(folder, want, state[0], places.get(upload))
    yield from check_pending(wants, states, text)
    for upload in states.keys() - wants.keys():
        yield f"{upload}: nobody made it"
    owned = sorted(line.split()[1] for line in text.splitlines()
                   if line.startswith("OWNED "))
    if read_ledger(folder) != owned:
        yield f"{read_ledger(folder)} are entered, not {owned}"
    live = {upload + end for upload in states
            for end in (".info", ".moved" if upload in places else "")}
    live.add(".quota")
    for name in sorted(set(os.listdir(folder)) - live):
        yield f"{name}: left over"


def check_resumed(folder, wants, text):
    """After resume: every upload that is there is whole and right."""
    states, errors = read_states(text)
    places = read_places(text)
    yield from errors
    for upload, (offset, _, _, finished) in states.items():
        want = wants[upload]
        if not finished or offset != want.total:
            yield f"{upload}: cannot be completed: {offset} of {want.total}"
        else:
            yield from check_bytes(folder, want, offset, places.get(upload))
