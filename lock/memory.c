/*
 * memory.c - locks in memory, for the one pool that has the store.
 *
 * The processes of a pool share a table.  The first call of open creates it,
 * before the master forks, so that every worker inherits it; a process that is
 * not a descendant of the master cannot reach it.  The note of the store keeps
 * such processes out of the store (store/file/note.c).
 *
 * Any process may be killed at any instruction.  Two rules make that safe:
 *
 * Each open locker is a member, and holds the robust mutex of its member for as
 * long as it is open.  The kernel releases the mutex of a dead process before
 * its death can be noticed, so a member whose mutex returns EOWNERDEAD is dead,
 * and everything that it had is free.
 *
 * Every change of the table is one store to one word, from one valid state to
 * another.  An entry without a holder and without waiters is free, whatever
 * else it contains; so is a member without a pid.  So nothing has to be
 * repaired when a process dies while it has the mutex of the table.
 */
#include "config.h"

#include <sys/mman.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/id.h"
#include "lock/lock.h"

enum {
	/* More than a pool has processes, and more than they lock at a time. */
	MEMBERS = 8192,
	ENTRIES = 16384,
	/* The mutex of the table is never held for long, but its holder may be
	 * stopped: so often yield to other processes first, and then so often
	 * sleep for a ms. */
	YIELDS = 200,
	NAPS = 1000
};

struct member {
	/* Locked by the member for as long as it lives. */
	pthread_mutex_t alive;
	/* 0: this member is unused. */
	_Atomic pid_t pid;
};

/* Members are counted from 1; 0 is none.  A holder and a waiter remove their
 * own number without the table's mutex, so read each number only once. */
struct entry {
	_Atomic int holder;
	_Atomic int waiters[LOCK_WAITERS];
	char id[ID_MAX + 1];
};

struct table {
	/* Needed for every change except removing one's own number. */
	pthread_mutex_t mutex;
	uint64_t token;
	/* No member, and no entry, from here on was ever used. */
	_Atomic int members_top, entries_top;
	struct member members[MEMBERS];
	struct entry entries[ENTRIES];
};

struct memory_locker {
	struct locker base;
	/* The number of our member. */
	int me;
};

struct memory_lock {
	struct lock base;
	struct entry *entry;
};

/* The same in all processes of the pool. */
static struct table *table;

static bool
make_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;
	bool good;

	if (pthread_mutexattr_init(&attr) != 0)
		return false;
	good = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0;
	good = good &&
	    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0;
	good = good && pthread_mutex_init(mutex, &attr) == 0;
	(void)pthread_mutexattr_destroy(&attr);
	return good;
}

static enum err_code
make_table(struct err *e)
{
	struct table *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (t == MAP_FAILED)
		return err_sys(e, "memory for locks");
	if (!make_mutex(&t->mutex)) {
		(void)munmap(t, sizeof(*t));
		return err_set(
		    e, ERR_SYSTEM, "this system has no robust mutexes");
	}
	table = t;
	return ERR_OK;
}

/* True if the mutex is ours now. */
static bool
try_mutex(pthread_mutex_t *mutex)
{
	int rc = pthread_mutex_trylock(mutex);

	if (rc == EOWNERDEAD)
		rc = pthread_mutex_consistent(mutex);
	return rc == 0;
}

static bool
lock_table(void)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	int i;

	for (i = 0; i < YIELDS + NAPS; i++) {
		if (try_mutex(&table->mutex))
			return true;
		if (i < YIELDS)
			(void)sched_yield();
		else
			(void)nanosleep(&nap, NULL);
	}
	return false;
}

static void
unlock_table(void)
{
	(void)pthread_mutex_unlock(&table->mutex);
}

static enum err_code
lock_table_or(struct err *e)
{
	if (lock_table())
		return ERR_OK;
	return err_set(e, ERR_UNAVAILABLE,
	    "the table of locks is held by a process that is stopped");
}

/* --- Members. --- */

/* Free all that this member had.  The caller has the table's mutex. */
static void
clear_entries(int who)
{
	struct entry *entry;
	int i, k;

	for (i = 0; i < table->entries_top; i++) {
		entry = &table->entries[i];
		for (k = 0; k < LOCK_WAITERS; k++)
			if (entry->waiters[k] == who)
				entry->waiters[k] = 0;
		if (entry->holder == who)
			entry->holder = 0;
	}
}

/* The caller has the table's mutex.  All that a dead member had is free
 * afterwards; number 0 counts as dead. */
static bool
is_alive(int who)
{
	struct member *m;

	if (who == 0)
		return false;
	m = &table->members[who - 1];
	if (m->pid == 0)
		return false;
	if (pthread_mutex_trylock(&m->alive) != EOWNERDEAD)
		return true;
	/* Mark the mutex consistent last: if this process dies before, the next
	 * one repeats the work. */
	clear_entries(who);
	m->pid = 0;
	(void)pthread_mutex_consistent(&m->alive);
	(void)pthread_mutex_unlock(&m->alive);
	return false;
}

/*
 * The kernel releases the mutexes of a dying process one after another, so the
 * mutex of a free member may still be locked for a moment.
 */
static bool
become(int who)
{
	struct member *m = &table->members[who - 1];

	if (m->pid != 0 || !try_mutex(&m->alive))
		return false;
	m->pid = getpid();
	return true;
}

/* Returns our number; 0 if the table is full.  The caller has the table's
 * mutex. */
static int
become_member(void)
{
	int who;

	for (who = 1; who <= table->members_top; who++)
		if (become(who))
			return who;
	if (who <= MEMBERS && make_mutex(&table->members[who - 1].alive)) {
		table->members_top = who;
		return become(who) ? who : 0;
	}
	for (who = 1; who <= table->members_top; who++)
		if (!is_alive(who) && become(who))
			return who;
	return 0;
}

static enum err_code
join(struct memory_locker *l, struct err *e)
{
	enum err_code rc = lock_table_or(e);

	if (rc != ERR_OK)
		return rc;
	if ((l->me = become_member()) == 0)
		rc = err_set(e, ERR_UNAVAILABLE,
		    "%d processes lock uploads already", MEMBERS);
	unlock_table();
	return rc;
}

/* --- Entries, with the table. --- */

static bool
is_free(struct entry *entry)
{
	int k;

	for (k = 0; k < LOCK_WAITERS; k++)
		if (entry->waiters[k] != 0)
			return false;
	return entry->holder == 0;
}

/* NULL if no process has it or waits for it. */
static struct entry *
find_entry(const char *id)
{
	struct entry *entry;
	int i;

	for (i = 0; i < table->entries_top; i++) {
		entry = &table->entries[i];
		if (!is_free(entry) && strcmp(entry->id, id) == 0)
			return entry;
	}
	return NULL;
}

/* A free entry, set to that id; NULL if the table is full. */
static struct entry *
new_entry(const char *id)
{
	struct entry *entry;
	int i = 0;

	while (i < table->entries_top && !is_free(&table->entries[i]))
		i++;
	if (i == ENTRIES)
		return NULL;
	entry = &table->entries[i];
	(void)stpcpy(entry->id, id);
	if (i == table->entries_top)
		table->entries_top = i + 1;
	return entry;
}

/* A holder that died meanwhile does not count. */
static bool
is_held(struct entry *entry)
{
	return is_alive(entry->holder);
}

static void
withdraw(struct entry *entry, int me)
{
	int k;

	for (k = 0; k < LOCK_WAITERS; k++)
		if (entry->waiters[k] == me)
			entry->waiters[k] = 0;
}

static enum err_code
begin_to_ask(struct entry *entry, int me, struct err *e)
{
	int k, room = -1;

	for (k = 0; k < LOCK_WAITERS; k++) {
		if (entry->waiters[k] == me)
			break;
		if (!is_alive(entry->waiters[k]))
			room = k;
	}
	if (k == LOCK_WAITERS && room == -1)
		return err_set(e, ERR_CROWDED, "%d wait for %s already",
		    LOCK_WAITERS, entry->id);
	if (k == LOCK_WAITERS)
		entry->waiters[room] = me;
	return err_set(e, ERR_LOCKED, "%s is held", entry->id);
}

static enum err_code
take(struct memory_locker *l, const char *id, enum lock_how how,
    struct entry **out, struct err *e)
{
	bool may_ask = how == LOCK_CREATE || how == LOCK_EXISTING;
	struct entry *entry = find_entry(id);

	if (entry != NULL && is_held(entry))
		return may_ask ? begin_to_ask(entry, l->me, e) :
				 err_set(e, ERR_LOCKED, "%s is held", id);
	/* If its holder died, the entry may have become free. */
	if (entry == NULL || is_free(entry))
		entry = new_entry(id);
	if (entry == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "%d uploads are locked already", ENTRIES);
	entry->holder = l->me;
	withdraw(entry, l->me);
	*out = entry;
	return ERR_OK;
}

/* --- The locker. --- */

static void
memory_stop_asking(struct locker *locker, const char *id)
{
	struct memory_locker *l = OUTER(locker, struct memory_locker, base);
	struct entry *entry;
	int i, k;

	/* An entry with our own number keeps its id, so the mutex is not
	 * needed. */
	for (i = 0; i < table->entries_top; i++) {
		entry = &table->entries[i];
		for (k = 0; k < LOCK_WAITERS; k++)
			if (entry->waiters[k] == l->me &&
			    strcmp(entry->id, id) == 0)
				entry->waiters[k] = 0;
	}
}

static enum err_code
memory_acquire(struct locker *locker, const char *id, enum lock_how how,
    struct arena *a, struct lock **out, struct err *e)
{
	struct memory_locker *l = OUTER(locker, struct memory_locker, base);
	struct memory_lock *lock;
	struct entry *entry = NULL;
	enum err_code rc;

	if (!id_is_valid(id))
		return err_set(e, ERR_INVALID, "lock: not an upload id");
	lock = arena_alloc(a, sizeof(*lock));
	rc = lock_table_or(e);
	if (rc == ERR_OK) {
		rc = take(l, id, how, &entry, e);
		lock->base.token = ++table->token;
		unlock_table();
	}
	if (rc == ERR_UNAVAILABLE)
		memory_stop_asking(locker, id);
	if (rc != ERR_OK)
		return rc;
	lock->base.locker = locker;
	lock->entry = entry;
	*out = &lock->base;
	return ERR_OK;
}

static void
memory_release(struct lock *base, bool for_good)
{
	(void)for_good;
	OUTER(base, struct memory_lock, base)->entry->holder = 0;
}

static enum lock_state
memory_state(struct lock *base)
{
	struct entry *entry = OUTER(base, struct memory_lock, base)->entry;
	bool is_wanted = false;
	int k, waiter;

	for (k = 0; k < LOCK_WAITERS; k++) {
		waiter = entry->waiters[k];
		if (waiter == 0)
			continue;
		/* If the table cannot be locked, the waiter counts as alive. */
		if (!lock_table())
			return LOCK_WANTED;
		is_wanted = is_alive(waiter);
		unlock_table();
		if (is_wanted)
			break;
	}
	return is_wanted ? LOCK_WANTED : LOCK_HELD;
}

static bool
memory_holder(struct locker *locker, const char *id, struct lock_holder *holder)
{
	struct entry *entry;
	bool it_is = false;
	int who;

	(void)locker;
	*holder = (struct lock_holder){ .pid = -1 };
	if (!lock_table())
		return true;
	entry = find_entry(id);
	who = entry != NULL ? entry->holder : 0;
	if (is_alive(who)) {
		it_is = true;
		holder->pid = table->members[who - 1].pid;
	}
	unlock_table();
	return it_is;
}

static bool
holds_something(int me)
{
	int i;

	for (i = 0; i < table->entries_top; i++)
		if (table->entries[i].holder == me)
			return true;
	return false;
}

/* If the table cannot be locked, our death will free all. */
static void
memory_shutdown(struct locker *locker)
{
	struct memory_locker *l = OUTER(locker, struct memory_locker, base);
	struct member *m = &table->members[l->me - 1];
	int i;

	for (i = 0; i < table->entries_top; i++)
		withdraw(&table->entries[i], l->me);
	if (!holds_something(l->me) && lock_table()) {
		m->pid = 0;
		(void)pthread_mutex_unlock(&m->alive);
		unlock_table();
	}
	free(l);
}

static const struct locker_ops ops = {
	.acquire = memory_acquire,
	.stop_asking = memory_stop_asking,
	.release = memory_release,
	.state = memory_state,
	.holder = memory_holder,
	.shutdown = memory_shutdown,
};

static enum err_code
memory_open(const struct conf *conf, struct locker **locker, struct err *e)
{
	struct memory_locker *l;
	enum err_code rc = ERR_OK;

	(void)conf;
	if (table == NULL)
		rc = make_table(e);
	if (rc != ERR_OK)
		return rc;
	l = must_alloc(sizeof(*l));
	*l =
	    (struct memory_locker){ .base = { .name = "memory", .ops = &ops } };
	rc = join(l, e);
	if (rc != ERR_OK) {
		free(l);
		return rc;
	}
	*locker = &l->base;
	return ERR_OK;
}

const struct locker_class locker_memory = {
	.name = "memory",
	.is_for_one_pool = true,
	.open = memory_open,
};
