/*
 * lease.c - keys that expire, in a page that processes share.
 *
 * The page has room for two leases: a new one is written where the older is,
 * and then the generation says that it counts.  A process that dies in between
 * leaves the other as it was, and a reader that was too slow sees that the
 * generation has changed.
 */
#include "config.h"

#include <sys/mman.h>

#ifdef HAVE_SYS_PRCTL_H
#include <sys/prctl.h>
#endif

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/s3/cred.h"

enum {
	/* Keys are renewed so many seconds before they end; those that are not
	 * lent for so long, after half of their time. */
	EARLY = 300,
	/* After a failure, in milliseconds. */
	PAUSE_MIN = 1000,
	PAUSE_MAX = 10000
};

struct page {
	/* 0: there is no lease yet. */
	atomic_uint generation;
	atomic_bool has_master;
	char region[64];
	struct s3_lease leases[2];
};

static struct page *page;
static const struct http_lib *page_http;

/* In a process that renews keys: the time before which it does not try. */
static int64_t next_try;

static void
copy_lease(struct s3_lease *to, unsigned *generation)
{
	do {
		*generation = atomic_load(&page->generation);
		memcpy(to, &page->leases[*generation % 2], sizeof(*to));
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load(&page->generation) != *generation);
}

static void
publish(const struct s3_lease *lease)
{
	unsigned next = atomic_load(&page->generation) + 1;

	page->leases[next % 2] = *lease;
	atomic_store(&page->generation, next);
}

static bool
is_due(const struct s3_lease *l, int64_t now)
{
	int64_t half = l->since + (l->until - l->since) / 2;

	return now >= (half > l->until - EARLY ? half : l->until - EARLY);
}

static enum err_code
renew(const struct http_lib *http, struct err *e)
{
	struct s3_lease lease;
	enum err_code rc = s3_borrow_keys(http, page->region, &lease, e);

	if (rc == ERR_OK)
		publish(&lease);
	explicit_bzero(&lease, sizeof(lease));
	return rc;
}

/* It is in no core dump. */
static enum err_code
make_page(const char *region, struct err *e)
{
	struct page *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return err_sys(e, "a page for the keys of S3");
#ifdef MADV_DONTDUMP
	(void)madvise(p, sizeof(*p), MADV_DONTDUMP);
#endif
	(void)snprintf(p->region, sizeof(p->region), "%s", region);
	page = p;
	return ERR_OK;
}

enum err_code
s3_open_lease(const struct http_lib *http, const char *region, struct err *e)
{
	enum err_code rc = ERR_OK;
	unsigned generation;
	struct s3_lease l;

	page_http = http;
	if (page == NULL && (rc = make_page(region, e)) != ERR_OK)
		return rc;
	copy_lease(&l, &generation);
	if (generation == 0 || clock_now() >= l.until)
		rc = renew(http, e);
	explicit_bzero(&l, sizeof(l));
	return rc;
}

static void
renew_alone(const struct http_lib *http)
{
	struct err e;

	if (clock_ms() < next_try)
		return;
	next_try = clock_ms() + PAUSE_MIN;
	if (renew(http, &e) == ERR_OK)
		return;
	next_try = clock_ms() + PAUSE_MAX;
	log_warn("the keys of S3 are not renewed: %s", e.text);
}

bool
s3_read_lease(
    const struct http_lib *http, struct s3_lease *lease, unsigned *generation)
{
	unsigned before = *generation;

	if (page == NULL)
		return false;
	if (atomic_load(&page->generation) == before &&
	    (atomic_load(&page->has_master) || !is_due(lease, clock_now())))
		return false;
	copy_lease(lease, generation);
	if (!atomic_load(&page->has_master) && is_due(lease, clock_now())) {
		renew_alone(http);
		copy_lease(lease, generation);
	}
	return *generation != before;
}

/* The service may answer slowly, and a master must not wait. */
static void
renew_in_child(void)
{
	pid_t master = getpid(), pid = fork();
	struct err e;

	if (pid != 0)
		return;
#ifdef HAVE_SYS_PRCTL_H
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	if (getppid() == master && renew(page_http, &e) != ERR_OK)
		log_warn("the keys of S3 are not renewed: %s", e.text);
	_exit(0);
}

void
s3_tend_lease(void)
{
	const struct s3_lease *l;
	int64_t left, pause;

	if (page == NULL)
		return;
	atomic_store(&page->has_master, true);
	l = &page->leases[atomic_load(&page->generation) % 2];
	if (!is_due(l, clock_now()) || clock_ms() < next_try)
		return;
	left = (l->until - clock_now()) * 1000 / 4;
	pause = left < PAUSE_MAX ? left : PAUSE_MAX;
	next_try = clock_ms() + (pause > PAUSE_MIN ? pause : PAUSE_MIN);
	renew_in_child();
}
