/*
 * list.c - tusctl list: ls for uploads.
 *
 * Each line is printed as soon as its upload was read, however many there are.
 * All of them are kept in memory only if they have to be sorted.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/format.h"

/* The data of a line; of a damaged upload only the id is known. */
struct row {
	const char *id, *owner, *name;
	enum ctl_state state;
	/* Size and age are -1 if unknown. */
	int64_t received, size, age;
	bool is_moved;
	json_t *json;
};

struct listing {
	bool as_json;
	/* Which states to list. */
	bool wanted[STATE_MAX];

	/* The order, NULL for none; and the rows to be sorted. */
	int (*compare)(const void *, const void *);
	bool is_reverse;
	struct arena *arena;
	struct row **rows;
	size_t n, room;
};

/* --- The order. --- */

static int
by_text(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "");
}

static int
by_number(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* Rows that compare equal are sorted by id. */
#define BY(field, compare)                                                     \
	static int by_##field(const void *a, const void *b)                    \
	{                                                                      \
		const struct row *x = *(struct row *const *)a;                 \
		const struct row *y = *(struct row *const *)b;                 \
		int order = compare(x->field, y->field);                       \
                                                                               \
		return order != 0 ? order : by_text(x->id, y->id);             \
	}

BY(id, by_text)
BY(owner, by_text)
BY(name, by_text)
BY(state, by_number)
BY(received, by_number)
BY(size, by_number)
BY(age, by_number)

static const char *const orders[] = { "id", "state", "received", "size", "age",
	"owner", "name", NULL };
static int (*const compare[])(const void *, const void *) = { by_id, by_state,
	by_received, by_size, by_age, by_owner, by_name };

static bool
set_order(struct listing *l, const char *text)
{
	size_t i;

	l->is_reverse = *text == '-';
	text += l->is_reverse;
	for (i = 0; orders[i] != NULL; i++)
		if (strcmp(orders[i], text) == 0)
			l->compare = compare[i];
	return l->compare != NULL;
}

/* --- One upload. --- */

static const char *
text_or_dash(struct ctl *c, const char *text)
{
	return text == NULL ? "-" : format_text(c->arena, text, strlen(text));
}

static const char *
format_row(struct ctl *c, const struct row *r)
{
	const char *arrow = r->is_moved ? "-> " : "";

	if (r->json != NULL)
		return format_json(c->arena, r->json);
	if (r->state == STATE_DAMAGED)
		return arena_printf(c->arena,
		    "%-32s  %-10s  %8s  %8s  %5s  %-12s  -", r->id,
		    format_state(r->state), "?", "?", "?", "?");
	return arena_printf(c->arena,
	    "%-32s  %-10s  %8s  %8s  %5s  %-12s  %s%s", r->id,
	    format_state(r->state), format_size(c->arena, r->received),
	    format_size(c->arena, r->size),
	    format_age(c->arena, c->now - r->age, c->now),
	    text_or_dash(c, r->owner), arrow, text_or_dash(c, r->name));
}

static const char *
copy_value(struct arena *a, const struct pair *p)
{
	return p == NULL ? NULL : arena_memdup(a, p->value, p->value_len);
}

static struct row *
make_row(struct ctl *c, struct arena *a, const struct upload *up,
    enum ctl_state state, bool as_json)
{
	const struct file_info *info = &up->info;
	struct row *r = arena_alloc(a, sizeof(*r));

	*r = (struct row){ .id = arena_strdup(a, info->id),
		.state = state,
		.received = -1,
		.size = -1,
		.age = -1 };
	if (as_json)
		r->json = upload_to_json(up, state);
	if (state == STATE_DAMAGED)
		return r;
	r->received = info->offset;
	if (!info->size_deferred)
		r->size = info->size;
	r->age = c->now - info->created;
	r->owner = arena_strdup(a, info->owner);
	r->is_moved = info->moved != 0;
	r->name = copy_value(a,
	    r->is_moved ? find_pair(info->storage, "Path") :
			  find_pair(info->metadata, "filename"));
	return r;
}

/* Add a row.  The array doubles when it is full; the arena keeps the old ones,
 * which are together no larger than the new one. */
static void
remember(struct listing *l, struct row *r)
{
	struct row **larger;

	if (l->n == l->room) {
		l->room = l->room == 0 ? 256 : 2 * l->room;
		larger = arena_alloc(l->arena, l->room * sizeof(*larger));
		if (l->n > 0)
			memcpy(larger, l->rows, l->n * sizeof(*larger));
		l->rows = larger;
	}
	l->rows[l->n++] = r;
}

/* The row of an upload, in this arena; NULL if it is not to be listed. */
static struct row *
look(struct ctl *c, const char *id, const struct listing *l, struct arena *a)
{
	enum ctl_state state = STATE_DAMAGED;
	struct row *r = NULL;
	struct upload *up;
	enum err_code rc;
	struct err e;

	rc = c->store->core->get_upload(c->store, id, c->arena, &up, &e);
	if (rc == ERR_NOT_FOUND)
		return NULL;
	if (rc != ERR_OK && rc != ERR_CORRUPT) {
		ctl_warn(c, "%s: %s", id, e.text);
		return NULL;
	}
	if (rc == ERR_OK)
		state = state_of(up, c->now);
	if (l->wanted[state])
		r = make_row(c, a, up, state, l->as_json);
	c->store->core->close(up);
	return r;
}

static void
look_for_line(struct ctl *c, const char *id, const struct ctl_search *s)
{
	const struct row *r = look(c, id, s->arg, c->arena);

	if (r != NULL)
		ctl_found(c, s, format_row(c, r));
}

static void
print_line(struct ctl *c, const char *line, void *arg)
{
	(void)c;
	(void)arg;
	(void)puts(line);
}

static void
keep_row(struct ctl *c, const char *id, void *arg)
{
	struct listing *l = arg;
	struct row *r = look(c, id, l, l->arena);

	if (r != NULL)
		remember(l, r);
}

static void
print_in_order(struct ctl *c, struct listing *l)
{
	size_t i;

	if (l->n == 0)
		return;
	qsort(l->rows, l->n, sizeof(struct row *), l->compare);
	for (i = 0; i < l->n; i++) {
		(void)puts(
		    format_row(c, l->rows[l->is_reverse ? l->n - 1 - i : i]));
		arena_reset(c->arena);
	}
}

/* --- The command. --- */

const struct ctl_option ctl_list_options[] = {
	{ "unfinished", STATE_UNFINISHED, NULL, "only unfinished ones", NULL },
	{ "finished", STATE_FINISHED, NULL, "only finished ones", NULL },
	{ "expired", STATE_EXPIRED, NULL, "only expired ones", NULL },
	{ "sort", 's', "KEY", "in this order, or the reverse with a - before",
	    orders },
	{ "json", 'j', NULL, "one JSON object a line", NULL },
	{ 0 },
};

/* Returns CTL_OK, or the error, which has been printed. */
static int
read_options(struct ctl *c, int argc, char **argv, struct listing *l)
{
	bool all = true;
	int option, i;

	while ((option = ctl_option(c, argc, argv)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'j') {
			l->as_json = true;
		} else if (option == 's') {
			if (!set_order(l, optarg))
				return ctl_usage("list cannot --sort %s; see "
						 "tusctl list --help",
				    optarg);
		} else {
			l->wanted[option] = true;
			all = false;
		}
	}
	if (optind != argc)
		return ctl_usage("list takes no ids; see show");
	for (i = 0; all && i < STATE_MAX; i++)
		l->wanted[i] = true;
	/* Expired uploads are unfinished too. */
	l->wanted[STATE_EXPIRED] |= l->wanted[STATE_UNFINISHED];
	return CTL_OK;
}

int
ctl_list(struct ctl *c, int argc, char **argv)
{
	struct listing l = { 0 };
	struct ctl_search lines = { NULL, look_for_line, print_line, &l };
	int status = read_options(c, argc, argv, &l);

	if (status != CTL_OK)
		return status;
	l.arena = arena_new();
	if (!l.as_json)
		(void)printf("%-32s  %-10s  %8s  %8s  %5s  %-12s  %s\n", "ID",
		    "STATE", "RECEIVED", "SIZE", "AGE", "OWNER", "NAME");
	/* On a terminal the lines themselves show the progress. */
	if (!isatty(STDOUT_FILENO))
		lines.what = "uploads";
	if (l.compare == NULL)
		(void)ctl_search(c, &lines);
	else
		ctl_each(c, "uploads", keep_row, &l);
	print_in_order(c, &l);
	arena_free(l.arena);
	return ctl_status(c);
}
