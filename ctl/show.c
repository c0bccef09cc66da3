/*
 * show.c - tusctl show: all data of one upload.
 */
#include "config.h"

#include <unistd.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "ctl/ctl.h"
#include "ctl/format.h"

static void
show_text(struct ctl *c, const char *name, const char *value)
{
	if (value != NULL)
		(void)printf("%-10s %s\n", name,
		    format_text(c->arena, value, strlen(value)));
}

static void
show_size(struct ctl *c, const char *name, int64_t size)
{
	(void)printf("%-10s %lld (%s)\n", name, (long long)size,
	    format_size(c->arena, size));
}

static void
show_time(struct ctl *c, const char *name, int64_t when)
{
	if (when != 0)
		(void)printf("%-10s %s\n", name, format_time(c->arena, when));
}

static void
show_pairs(struct ctl *c, const char *name, const struct pair *p)
{
	for (; p != NULL; p = p->next) {
		(void)printf("%-10s %s = %s\n", name, p->key,
		    format_text(c->arena, p->value, p->value_len));
		name = "";
	}
}

static void
show_lock(const struct lock_holder *holder, bool is_held)
{
	(void)printf("%-10s %s", "locked",
	    is_held		   ? "" :
		holder->is_unknown ? "not known: the lock service does not "
				     "answer" :
				     "no");
	if (is_held && holder->pid == -1 && *holder->host == '\0')
		(void)printf("yes");
	if (is_held && holder->pid != -1)
		(void)printf("by process %ld", (long)holder->pid);
	if (is_held && *holder->host != '\0')
		(void)printf(
		    "%son %s", holder->pid != -1 ? " " : "", holder->host);
	(void)putchar('\n');
}

static void
show_kind(const struct file_info *info)
{
	size_t n = 0;

	while (info->parts != NULL && info->parts[n] != NULL)
		n++;
	if (info->is_partial)
		(void)printf("%-10s partial\n", "kind");
	if (info->is_final)
		(void)printf("%-10s final, of %zu parts\n", "kind", n);
}

/* Until when a finished upload is kept; for an unfinished one, for how long. */
static void
show_retention(struct ctl *c, const struct file_info *info)
{
	int64_t kept = info->retention > 0 ? info->retention :
					     c->conf->retention.after / 1000;

	if (kept == 0 || info->moved != 0)
		return;
	if (kept == KEPT_FOR_EVER)
		show_text(c, "kept", "for ever");
	else if (info->finished == 0)
		show_text(c, "kept",
		    arena_printf(c->arena, "for %s after its finish",
			format_age(c->arena, 1, 1 + kept)));
	else
		show_text(c, "kept",
		    arena_printf(c->arena, "until %s",
			format_time(c->arena, info->finished + kept)));
}

static void
show_info(struct ctl *c, const struct upload *up)
{
	const struct file_info *info = &up->info;

	show_size(c, "received", info->offset);
	if (info->size_deferred)
		(void)printf("%-10s not declared yet\n", "size");
	else
		show_size(c, "size", info->size);
	show_time(c, "created", info->created);
	if (c->store->expirer != NULL)
		show_time(c, "changed",
		    c->store->expirer->last_change((struct upload *)up));
	show_time(c, "finished", info->finished);
	show_retention(c, info);
	show_time(c, "moved", info->moved);
	show_time(c, "forgotten", info->forget);
	show_time(c, "expires", info->expires);
	show_kind(info);
	show_text(c, "owner", info->owner);
	show_text(c, "protocol", format_protocol(info));
	show_pairs(c, "metadata", info->metadata);
	show_pairs(c, "storage", info->storage);
}

static void
show_upload(struct ctl *c, struct upload *up, const char *damage, bool as_json)
{
	struct lock_holder holder;
	bool is_held = c->locker->ops->holder(c->locker, up->info.id, &holder);
	enum ctl_state state = STATE_DAMAGED;
	json_t *object;

	if (damage == NULL)
		state = state_of(up, c->now);
	if (as_json) {
		object = upload_to_json(up, state);
		(void)json_object_set_new(object, "locked",
		    holder.is_unknown ? json_null() : json_boolean(is_held));
		(void)json_object_set_new(object, "lock_pid",
		    holder.pid > 0 ? json_integer(holder.pid) : json_null());
		(void)json_object_set_new(object, "lock_host",
		    *holder.host != '\0' ? json_string(holder.host) :
					   json_null());
		(void)puts(format_json(c->arena, object));
		return;
	}
	show_text(c, "id", up->info.id);
	show_text(c, "state", format_state(state));
	show_text(c, "damage", damage);
	if (damage != NULL)
		show_text(
		    c, "advice", ctl_damage_advice(c, up->info.id, false));
	if (damage == NULL)
		show_info(c, up);
	show_lock(&holder, is_held);
}

const struct ctl_option ctl_show_options[] = {
	{ "json", 'j', NULL, "as a JSON object", NULL },
	{ 0 },
};

int
ctl_show(struct ctl *c, int argc, char **argv)
{
	struct upload *up;
	bool as_json = false;
	enum err_code rc;
	struct err e;
	int option;

	while ((option = ctl_option(c, argc, argv)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		as_json = true;
	}
	if (optind != argc - 1)
		return ctl_usage("show takes the id of one upload");
	if (!id_is_valid(argv[optind]))
		return ctl_usage("%s is not an upload id", argv[optind]);
	rc = c->store->core->get_upload(
	    c->store, argv[optind], c->arena, &up, &e);
	if (rc == ERR_NOT_FOUND)
		ctl_warn(c, "%s: no such upload", argv[optind]);
	else if (rc != ERR_OK && rc != ERR_CORRUPT)
		ctl_warn(c, "%s: %s", argv[optind], e.text);
	if (rc != ERR_OK && rc != ERR_CORRUPT)
		return CTL_FAILED;
	show_upload(c, up, rc == ERR_OK ? NULL : e.text, as_json);
	c->store->core->close(up);
	return CTL_OK;
}
