#!/usr/bin/python3
"""Bugs of parking that the tests must find, each as a change to the text.

usage: tests/fcgi/bugs.py [-k FOLDER] [NAME...]

Builds a copy of the tree with sanitizers, and for each bug (or those named)
the program with that bug in it; fails unless one of the bug's tests fails.  A
bug that no longer applies fails like one that is not found: whoever changes
the text says anew what the bug looks like.  -k keeps the copy in FOLDER, so
that the next run is quicker.  With an empty FOLDER or none it takes minutes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
PARKING = "ops/test_parking.py::"


class Bug:
    """changes: (file, text, what is there instead).  tests: unit tests by
    their program, others as pytest has them."""

    def __init__(self, name, tests, *changes):
        self.name = name
        self.tests = tests
        self.changes = changes


BUGS = [
    # No worker has room for it, and it is thrown away.
    Bug("note-lost", ["tests/fcgi/parker_test"], ("fcgi/parker.c", """
			work_show(shelf, i->note.shelf, true);
			break;
		}
""", """
			work_show(shelf, i->note.shelf, true);
		}
""")),
    # Two workers get the same request.
    Bug("given-twice", ["tests/fcgi/parker_test"], ("fcgi/parker.c", """
		metrics_count_handover(m, i->note.why);
		forget(k, i);
""", """
		metrics_count_handover(m, i->note.why);
		if (i->note.parks++ > 0)
			forget(k, i);
""")),
    # What is ready at the same moment has all workers.
    Bug("all-at-once", ["tests/fcgi/parker_test"], ("fcgi/parker.c", """
	return TURNS - count_given(k) - board_count_turns(board, now - TURN);
""", """
	return INT_MAX;
""")),
    # What a worker is about to give away has nobody any more.
    Bug("left-too-early", ["tests/fcgi/parker_test"], ("fcgi/parker.c", """
	return k->lot.used == 0 && !board_is_giving(k->parker->board) &&
""", """
	return k->lot.used == 0 &&
""")),
    # An event comes for memory that is free.
    Bug("still-watched", ["tests/fcgi/parker_test"], ("fcgi/parker.c", """
	(void)epoll_ctl(k->epoll_fd, EPOLL_CTL_DEL, i->connection, NULL);
""", "")),
    # Requests come for which there are no descriptors.
    Bug("beyond-the-room", ["tests/fcgi/parker_test"], ("fcgi/parker.c", """
	while (
	    k->lot.used < k->capacity && note_receive(k->parker->up, &k->box))
""", """
	while (note_receive(k->parker->up, &k->box))
""")),
    # What is ready becomes ready once more, for another reason.
    Bug("woken-twice", ["tests/fcgi/lot_test"], ("fcgi/lot.c", """
	if (i->state >= LOT_READY)
		return;
	i->note.why = why;
""", """
	i->note.why = why;
""")),
    # A header field of the client without a value is gone after parking.
    Bug("parameter-lost", ["tests/fcgi/lot_test"], ("fcgi/note.c", """
		if (value == NULL ||
""", """
		if (value == NULL || value[1] == '\\0' ||
""")),
    # libfcgi takes a record that is over for the end of the body.
    Bug("padding-ends-the-body", ["tests/fcgi/cut_test"], ("fcgi/frame.c", """
	if (cut->content > 0)
		p = put_header(
""", """
		p = put_header(
""")),
    # libfcgi has dropped the connection and accepted another one.
    Bug("another-connection", ["tests/fcgi/cut_test"], ("fcgi/os_read.c", """
	return seam.replayed != 0 && fstat(fd, &st) == 0 &&
	    st.st_ino == seam.replayed;
""", """
	return seam.replayed != 0 && fstat(fd, &st) == 0;
""")),
    # While it is parked another request may have the upload, too.
    Bug("lock-dropped", [PARKING +
        "test_a_request_that_wants_the_upload_gets_it_within_a_second"],
        ("core/park.c", """
		t->lock->locker->lender->lend(t->lock, &n->loan);
""", """
		t->lock->locker->lender->lend(t->lock, &(struct lock_loan){ 0 });
""")),
    # The worker goes on although another process has the request, too.
    Bug("bytes-twice", [PARKING +
        "test_a_body_that_waits_is_parked_and_finished"],
        ("fcgi/handover.c", """
	web_parted(call);
	metrics_count_park(&h->board->metrics);
	return true;
""", """
	metrics_count_park(&h->board->metrics);
	return false;
""")),
    # What was gathered before parking is never written.
    Bug("bytes-left-behind", [PARKING +
        "test_a_wrong_checksum_is_refused_after_parking",
        PARKING + "test_every_kind_of_body_is_parked_more_than_once"
        "[checksum-none]"],
        ("store/file/pause.c", """
	if ((rc = file_write_out(u, e)) != ERR_OK)
		return rc;
""", "")),
    # Bytes whose checksum is not known yet count after parking.
    Bug("no-probation", [PARKING +
        "test_bytes_on_probation_are_none_after_a_kill"],
        ("store/file/pause.c", """
	u->on_probation = pause->on_probation;
""", "")),
    # The parking process that died is not replaced.
    Bug("never-again", [PARKING +
        "test_a_killed_parking_process_is_replaced"],
        ("fcgi/parking.c", """
	p->pid = 0;
	p->start_at = clock_ms() + AGAIN;
	atomic_store(&b->room, -1);
""", """
	p->start_at = clock_ms() + AGAIN;
	atomic_store(&b->room, -1);
""")),
]


def run(words, **options):
    return subprocess.run(list(map(str, words)), check=False,
                          capture_output=True, text=True, **options)


def must(words, **options):
    done = run(words, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}:\n{done.stdout}{done.stderr}")


class Tree:
    """A copy of the sources, and its build."""

    def __init__(self, folder):
        self.src, self.build = folder / "src", folder / "build"
        self.build.mkdir(parents=True, exist_ok=True)
        self.src.mkdir(exist_ok=True)
        must(["bash", "-c", f'top="{TOP}"; . "{TOP}/etc/prepare.sh"; '
              f'copy_tree "{self.src}"'])
        # What was built last from these had a bug in it.
        for file in {file for bug in BUGS for file, _, _ in bug.changes}:
            (self.src / file).touch()
        if not (self.src / "configure").exists():
            must(["autoreconf", "-i"], cwd=self.src)
        if not (self.build / "Makefile").exists():
            must([self.src / "configure", "--enable-sanitizers"],
                 cwd=self.build)
        self.make("tusfcgi", "tusctl")

    def make(self, *targets):
        must(["make", "-s", "-j2", *targets], cwd=self.build)

    def fails(self, test):
        """The output if it does, else nothing."""
        if "::" not in test:
            self.make(test)
            # One that hangs has failed, too.
            done = run(["timeout", 300, self.build / test])
        else:
            self.make("tusfcgi")
            done = run(
                [sys.executable, "-m", "pytest", "-q", "-x", "-p",
                 "no:cacheprovider", test], cwd=self.src / "tests",
                env={**os.environ, "TUSFCGI": str(self.build / "tusfcgi"),
                     "TUSCTL": str(self.build / "tusctl")})
        return (done.stdout + done.stderr if done.returncode else "")

    def try_bug(self, bug):
        """Is it found?"""
        old = {}
        for file, text, instead in bug.changes:
            path = self.src / file
            old[path] = path.read_text()
            if old[path].count(text) != 1:
                sys.exit(f"{bug.name} no longer applies to {file}")
            path.write_text(old[path].replace(text, instead))
        try:
            return any(self.fails(test) for test in bug.tests)
        finally:
            for path, text in old.items():
                path.write_text(text)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("-k", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    bugs = [b for b in BUGS if not arguments.names or
            b.name in arguments.names]
    bad = 0
    with tempfile.TemporaryDirectory(prefix="tusfcgi-bugs-") as folder:
        tree = Tree((arguments.k or Path(folder)).resolve())
        for test in sorted({test for bug in bugs for test in bug.tests}):
            if said := tree.fails(test):
                sys.exit(f"{test} fails without a bug:\n{said}")
        for bug in bugs:
            found = tree.try_bug(bug)
            print(f"{bug.name}: {'found' if found else 'NOT FOUND'}",
                  flush=True)
            bad += not found
    print(f"{len(bugs) - bad} found, {bad} not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
