/*
 * list.c - tusctl list: ls for uploads.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/format.h"

struct listing {
	bool as_json;
	/* Only those in one of these states. */
	bool wanted[STATE_MAX];
};

static void
print_row(struct ctl *c, const struct upload *up, enum ctl_state state)
{
	const struct file_info *info = &up->info;
	const struct pair *name = find_pair(info->metadata, "filename");
	const char *size = "?", *arrow = "";

	if (info->moved != 0) {
		name = find_pair(info->storage, "Path");
		arrow = "-> ";
	}
	if (!info->size_deferred)
		size = format_size(c->arena, info->size);
	(void)printf("%-32s  %-10s  %8s  %8s  %5s  %s%s\n", info->id,
	    format_state(state), format_size(c->arena, info->offset), size,
	    format_age(c->arena, info->created, c->now), arrow,
	    name == NULL ? "-" :
			   format_text(c->arena, name->value, name->value_len));
}

static void
print_damaged_row(const struct upload *up)
{
	(void)printf("%-32s  %-10s  %8s  %8s  %5s  -\n", up->info.id,
	    format_state(STATE_DAMAGED), "?", "?", "?");
}

static void
list_one(struct ctl *c, const char *id, void *arg)
{
	const struct listing *l = arg;
	enum ctl_state state = STATE_DAMAGED;
	struct upload *up;
	enum err_code rc;
	struct err e;

	rc = c->store->core->get_upload(c->store, id, c->arena, &up, &e);
	if (rc == ERR_NOT_FOUND)
		return;
	if (rc != ERR_OK && rc != ERR_CORRUPT) {
		ctl_warn(c, "%s: %s", id, e.text);
		return;
	}
	if (rc == ERR_OK)
		state = state_of(up, c->now);
	if (!l->wanted[state])
		;
	else if (l->as_json)
		print_json(upload_to_json(up, state));
	else if (state == STATE_DAMAGED)
		print_damaged_row(up);
	else
		print_row(c, up, state);
	c->store->core->close(up);
}

int
ctl_list(struct ctl *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "unfinished", no_argument, NULL, STATE_UNFINISHED },
		{ "finished", no_argument, NULL, STATE_FINISHED },
		{ "expired", no_argument, NULL, STATE_EXPIRED },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	struct listing l = { 0 };
	bool all = true;
	int option, i;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'j') {
			l.as_json = true;
			continue;
		}
		l.wanted[option] = true;
		all = false;
	}
	if (optind != argc)
		return ctl_usage("list takes no ids; see show");
	for (i = 0; all && i < STATE_MAX; i++)
		l.wanted[i] = true;
	/* What has expired is not finished either. */
	l.wanted[STATE_EXPIRED] |= l.wanted[STATE_UNFINISHED];
	if (!l.as_json)
		(void)printf("%-32s  %-10s  %8s  %8s  %5s  %s\n", "ID", "STATE",
		    "RECEIVED", "SIZE", "AGE", "NAME");
	/* On a terminal the lines themselves say how far it got. */
	ctl_each(c, isatty(STDOUT_FILENO) ? NULL : "uploads", list_one, &l);
	return ctl_status(c);
}
