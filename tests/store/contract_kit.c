/*
 * contract_kit.c - what the parts of the contract have in common.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/store/contract_kit.h"

const struct variant *variant;

static int
set_up(void **state)
{
	static struct place place;

	memset(&place, 0, sizeof(place));
	place_open(&place, variant);
	*state = &place;
	return 0;
}

static int
tear_down(void **state)
{
	place_close(*state);
	return 0;
}

static unsigned
what_it_can(const struct variant *v)
{
	struct place place = { .ds = NULL };
	unsigned can;

	place_open(&place, v);
	can = place_can(&place);
	place_close(&place);
	return can;
}

int
contract_check(const struct variant *v, const struct promise *all, size_t n)
{
	struct CMUnitTest *tests = test_calloc(n, sizeof(*tests));
	unsigned can = what_it_can(v);
	size_t i, kept = 0;
	int failed;

	for (i = 0; i < n; i++)
		if ((all[i].needs & ~can) == 0)
			tests[kept++] = (struct CMUnitTest){ all[i].name,
				all[i].test, set_up, tear_down, NULL };
	variant = v;
	failed = kept == 0 ?
	    0 :
	    _cmocka_run_group_tests(v->name, tests, kept, NULL, NULL);
	test_free(tests);
	return failed;
}

struct upload *
make(struct place *p, const char *id, int64_t size)
{
	struct file_info info = {
		.id = id, .size = size < 0 ? 0 : size, .size_deferred = size < 0
	};
	struct upload *up = NULL;

	ok(p, p->ds->core->new_upload(p->ds, &info, p->a, &up, &p->e));
	assert_non_null(up);
	return up;
}

struct upload *
look(struct place *p, const char *id)
{
	struct upload *up = NULL;

	ok(p, p->ds->core->get_upload(p->ds, id, p->a, &up, &p->e));
	return up;
}

struct upload *
claim(struct place *p, const char *id)
{
	struct upload *up = look(p, id);

	ok(p, p->ds->core->claim(up, &p->e));
	return up;
}

void
begin(struct place *p, struct upload *up, bool on_probation)
{
	ok(p, p->ds->core->write_begin(up, on_probation, &p->e));
}

void
put(struct place *p, struct upload *up, const char *text)
{
	ok(p, p->ds->core->write(up, text, strlen(text), &p->e));
}

void
end(struct place *p, struct upload *up, bool keep)
{
	ok(p, p->ds->core->write_end(up, keep, &p->e));
}

void
append(struct place *p, struct upload *up, const char *text)
{
	begin(p, up, false);
	put(p, up, text);
	end(p, up, true);
}

void
finish(struct place *p, struct upload *up)
{
	if (p->ds->finisher != NULL)
		ok(p, p->ds->finisher->finish(up, 0, &p->e));
}

void
drop(struct place *p, struct upload *up)
{
	p->ds->core->close(up);
}

int64_t
offset_of(struct place *p, const char *id)
{
	struct upload *up = look(p, id);
	int64_t offset = up->info.offset;

	drop(p, up);
	return offset;
}

bool
is_there(struct place *p, const char *id)
{
	struct upload *up;
	enum err_code rc = p->ds->core->get_upload(p->ds, id, p->a, &up, &p->e);

	if (rc == ERR_NOT_FOUND)
		return false;
	ok(p, rc);
	drop(p, up);
	return true;
}

void
make_whole(struct place *p, const char *id, const char *text)
{
	struct upload *up = make(p, id, (int64_t)strlen(text));

	append(p, up, text);
	finish(p, up);
	drop(p, up);
}

void
assert_bytes(struct place *p, const char *id, int64_t from, const char *text)
{
	struct upload *up = look(p, id);
	struct stream *s;
	size_t len = strlen(text), got = 0;
	char *buf = arena_alloc(p->a, len + 8);
	ssize_t n;

	if (p->ds->reader != NULL) {
		ok(p, p->ds->reader->open(up, from, p->a, &s, &p->e));
		assert_int_equal(s->length, len);
		while ((n = p->ds->reader->read(s, buf + got, 3, &p->e)) > 0)
			got += (size_t)n;
		assert_int_equal(n, 0);
		assert_int_equal(got, len);
		assert_memory_equal(buf, text, len);
		p->ds->reader->close(s);
	}
	drop(p, up);
}
