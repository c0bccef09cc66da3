#!/usr/bin/python3
"""Bugs that the tests of lock/ must find, each as a change to the text of
a locker.

usage: bugs.py FOLDER/bug-NAME.c

Writes the file with the bug in it; Makefile.am makes a program of it that
fails if nothing is found.  The name begins with that of the locker.  A bug that no longer applies fails like one that is
not found: whoever changes the locker says anew what the bug looks like.
"""

import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


class Bug:
    """changes: (file, text, what is there instead)."""

    def __init__(self, name, *changes):
        self.name = name
        self.changes = changes


BUGS = [
    # A lock on a file that has lost its name meanwhile counts as the lock.
    Bug("flock-no-recheck", ("lock/flock.c", """	if (rc == ERR_OK)
		rc = fs_has_name(l->dirfd, name, &st, &has_name, e);
""", "")),
    # The file is removed when the lock on it has been given up already.
    Bug("flock-unlink-after-close", ("lock/flock.c", """
	if (is_ours && fs_unlink_at(l->dirfd, lock->name, &e) != ERR_OK)
""", """
	(void)dup2(l->dirfd, lock->fd);
	if (is_ours && fs_unlink_at(l->dirfd, lock->name, &e) != ERR_OK)
""")),
    # Between the look at a dead holder and the taking of its lock the table is
    # free: two may find the same one dead.
    Bug("memory-stale-takeover", ("lock/memory.c", """
	return is_alive(entry->holder);
""", """
	if (is_alive(entry->holder))
		return true;
	unlock_table();
	(void)sched_yield();
	(void)lock_table();
	return false;
""")),
    # The table of a process that died with it is never good again.
    Bug("memory-not-consistent", ("lock/memory.c", """
		rc = pthread_mutex_consistent(mutex);
""", """
		rc = 0;
""")),
    # What fails is not sent again, though the connection was a dead one.
    Bug("redis-no-second-try", ("lock/engine.c", """
	if (e->is_closing || q->is_last ||
""", """
	if (true || q->is_last ||
""")),
    # A beat asks for a lock and does not renew it.
    Bug("redis-not-renewed", ("lock/redis.c", """
			"redis.call('PEXPIRE', KEYS[1], ARGV[2]) " NOW
""", """
			NOW
""")),
    # A lock is deleted whoever has it.
    Bug("redis-bare-del", ("lock/redis.c", """"if redis.call('GET', KEYS[1]) ~= ARGV[1] "
			"then return 0 end "
			"redis.call('DEL', KEYS[1]) "
""", """"redis.call('DEL', KEYS[1]) "
""")),
    # A lock of ours that nobody here knows of is taken for another's.
    Bug("etcd-no-orphans", ("lock/agentd.c", """
	return strncmp(holder, mine.session, len) == 0 && holder[len] == ':';
""", """
	return len == 0 && *holder == ':';
""")),
    # A lease is taken for renewed without asking etcd for it.
    Bug("etcd-not-renewed", ("lock/etcd.c", """
		ask(t, q, "v3/lease/keepalive", "{\\"ID\\":\\"%s\\"}", t->lease);
""", """
		engine_finish(q, ERR_OK, 0, NULL);
""")),
    # A lock is deleted whoever has it.
    Bug("etcd-bare-delete", ("lock/etcd.c", """
		ask(t, q, "v3/kv/txn",
		    "{\\"compare\\":[{\\"key\\":\\"%s\\",\\"target\\":\\"VALUE\\","
		    "\\"value\\":\\"%s\\"}],\\"success\\":"
		    "[{\\"request_delete_range\\":{\\"key\\":\\"%s\\"}}]}",
		    key.text, owner.text, key.text);
""", """
		ask(t, q, "v3/kv/deleterange", "{\\"key\\":\\"%s\\"}", key.text);
""")),
    # Whoever made the node, it is another's.
    Bug("zookeeper-no-first-try", ("lock/zookeeper.c", """
	    st->ephemeralOwner == session_of(q)) {
""", """
	    session_of(q) == 0 && st->ephemeralOwner != 0) {
""")),
    # A beat that is sent is taken for one that is answered.
    Bug("agentd-deadline-from-the-tick", ("lock/agentd.c", """
	mine.beat_sent = agent_clock();
""", """
	mine.beat_sent = agent_clock();
	if (mine.is_up)
		mine.board->valid_until = mine.beat_sent +
		    mine.engine->session_ms - AGENT_MARGIN;
""")),
    # A lost answer is taken for a no: our own lock keeps us all out.
    Bug("agentd-in-doubt-is-free", ("lock/agentd.c", """
		s->fd = -1;
		s->state = DROPPING;
		s->again = clock_ms() + RETRY_MS;
""", """
		s->fd = -1;
		s->state = FREE;
		shown(s)->is_used = false;
""")),
    # The end of a process is not noticed.
    Bug("agentd-dead-keep-locks", ("lock/agentd.c", """
		if (mine.slots[i].state == HELD)
			drop(&mine.slots[i]);
""", "")),
    # The session goes on where it was, though it had been over.
    Bug("agentd-lost-comes-back", ("lock/agentd.c", """
		lose_all("no answer for longer than lock.session");
""", """
		(void)lose_all;
""")),
]


def main(target):
    name = Path(target).stem.removeprefix("bug-")
    bug, = [b for b in BUGS if b.name == name]
    (file, old, new), = bug.changes
    text = (TOP / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        sys.exit(f"{name}: {file} has this text {text.count(old)} times, "
                 f"not once:\n{old}")
    Path(target).write_text(text.replace(old, new), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
