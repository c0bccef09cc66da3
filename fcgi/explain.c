/*
 * explain.c - tusfcgi -t: show what a configuration means.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "fcgi/explain.h"
#include "hook/hook.h"
#include "lock/lock.h"
#include "store/store.h"
#include "tus/tus.h"

/* tus 1.0.0, Checksum, requires SHA-1. */
static bool
lacks_sha1(const struct settings *s)
{
	const char *const *name = s->server.core.checksums;

	if (!s->server.core.allow_checksum || name == NULL || *name == NULL)
		return false;
	while (*name != NULL && strcmp(*name, "sha1") != 0)
		name++;
	return *name == NULL;
}

static void
explain_warnings(const struct settings *s, const char *address, FILE *out)
{
	const struct conf *c = s->conf;
	const char *durability = c->store.durability;

	if (address != NULL && strchr(address, '/') == NULL &&
	    strncmp(address, "127.", 4) != 0 &&
	    strncmp(address, "[::1]", 5) != 0 &&
	    strncmp(address, "localhost:", 10) != 0 && *address != ':' &&
	    strchr(address, ':') != NULL)
		fprintf(out,
		    "warning: %s is not loopback: FastCGI has no "
		    "authentication, so a firewall must keep others away\n",
		    address);
	if (strcmp(durability, "none") == 0)
		fprintf(out,
		    "warning: store.durability = \"none\": a power failure "
		    "can take acknowledged bytes back\n");
	if (store_caution(c) != NULL)
		fprintf(out, "warning: store.type = \"%s\": %s\n",
		    c->store.type, store_caution(c));
	if (lacks_sha1(s))
		fprintf(out,
		    "warning: checksum.algorithms without \"sha1\": the "
		    "protocol asks for it, and clients count on it\n");
	if (s->server.max_metadata > 7900)
		fprintf(out,
		    "warning: max_metadata above 7900 bytes: Apache answers "
		    "500 to HEAD of an upload that has more\n");
	if (s->server.core.owner_required && *s->owner_param == '\0')
		fprintf(out,
		    "warning: owner.require = true without owner.param: only "
		    "requests for which the web server passes TUS_OWNER are "
		    "served\n");
	if (settings_has_quota(s) && *s->owner_param == '\0')
		fprintf(out,
		    "warning: quota without owner.param: only requests for "
		    "which the web server passes TUS_OWNER have a quota\n");
	if (strcmp(s->owner_param, "REMOTE_USER") == 0)
		fprintf(out,
		    "warning: owner.param = \"REMOTE_USER\" proves something "
		    "only where the web server itself asks for the password; "
		    "nginx without auth_basic passes on what the client "
		    "claims\n");
}

/* In the largest unit that divides it; 0 is never. */
static const char *
duration(const struct settings *s, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *suffix;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" },
		{ 1000, "s" }, { 1, "ms" } };
	size_t i = 0;

	if (ms == 0)
		return "never";
	while (ms % units[i].ms != 0)
		i++;
	return arena_printf(
	    s->arena, "%" PRId64 "%s", ms / units[i].ms, units[i].suffix);
}

static void
explain_fixed(FILE *out)
{
	size_t i;

	fprintf(out, "fixed        ");
	for (i = 0; conf_fixed_key(i) != NULL; i++)
		fprintf(out, " %s", conf_fixed_key(i));
	fprintf(out, ": until a restart\n");
}

static void
explain_owners(const struct settings *s, FILE *out)
{
	const struct store_quota *q = &s->server.core.quota;

	if (*s->owner_param != '\0')
		fprintf(out, "owners        %s%s\n", s->owner_param,
		    s->server.core.owner_required ? ", required" : "");
	if (q->uploads > 0)
		fprintf(out, "quota         %" PRId64 " uploads per owner\n",
		    q->uploads);
	if (q->bytes > 0)
		fprintf(out, "quota         %" PRId64 " bytes per owner\n",
		    q->bytes);
}

/* Where finished uploads go. */
static void
explain_moving(const struct settings *s, FILE *out)
{
	struct template_names names;
	struct err e;

	if (*s->conf->finish.move_to == '\0')
		return;
	fprintf(out, "moves to      %s\n", s->conf->finish.move_to);
	if (settings_try_names(s, &names, &e))
		fprintf(out, "names there   %s, of at most %zu bytes\n",
		    names.is_windows ? "as Windows takes them" : "any",
		    names.max);
}

static void
explain_keeping(const struct settings *s, FILE *out)
{
	const struct conf *c = s->conf;
	int64_t after = c->expiration.after;
	const char *hooks = hook_target(c);

	fprintf(out, "expire        %s%s\n", duration(s, after),
	    after == 0			      ? "" :
		s->server.core.expire_sliding ? " after the last byte" :
						" after the creation");
	fprintf(out, "keep          %s\n",
	    s->conf->retention.after == 0 ?
		"finished uploads for ever" :
		duration(s, s->conf->retention.after));
	fprintf(out, "sweeps        %s%s\n", s->sweep_every > 0 ? "every " : "",
	    duration(s, s->sweep_every));
	fprintf(out, "hooks         %s\n", *hooks != '\0' ? hooks : "none");
	if (*hooks != '\0')
		fprintf(
		    out, "events wait   %s\n", hook_spool_path(c, s->arena));
	if (s->metrics_path != NULL)
		fprintf(out, "metrics       %s\n", s->metrics_path);
	if (s->status_path != NULL)
		fprintf(out, "status        %s\n", s->status_path);
	if (s->slow > 0)
		fprintf(out, "slow          %s and longer is logged\n",
		    duration(s, s->slow));
}

void
explain(const struct settings *s, const char *address, FILE *out)
{
	const struct web_protocol *const *p;
	const struct conf *c = s->conf;
	const char *lock_path = c->lock.path;
	const char *store_path = c->store.path;
	const char *extensions = s->server.core.store != NULL ?
	    tus_extensions(&s->server.core, s->arena) :
	    "known when there is a store";

	fprintf(out, "listens on    %s\n",
	    address != NULL ? address :
			      "what systemd or a web server passes to it; here "
			      "that is nothing: see -s");
	fprintf(out, "base path     %s\n",
	    *s->base_path != '\0' ? s->base_path :
				    "what REQUEST_URI has before PATH_INFO");
	fprintf(out, "store         %s %s\n", c->store.type,
	    *c->s3.bucket != '\0' ? c->s3.bucket : store_path);
	if (*lock_path == '\0')
		lock_path = store_path;
	if (locker_is_for_one_pool(c))
		lock_path = "of this pool alone";
	else if (locker_is_far(c) && c->lock.hosts[0] != NULL)
		lock_path = c->lock.hosts[0];
	fprintf(out, "locks         %s %s\n", c->lock.type, lock_path);
	explain_fixed(out);
	fprintf(out, "durability    %s\n", c->store.durability);
	explain_moving(s, out);
	fprintf(out, "protocols    ");
	for (p = s->server.protocols; *p != NULL; p++)
		fprintf(out, " %s%s", web_protocol_name(*p),
		    p[1] != NULL ? "," : "\n");
	fprintf(out, "extensions    %s\n",
	    *extensions != '\0' ? extensions : "none");
	if (s->server.core.max_size > 0)
		fprintf(out, "largest       %" PRId64 " bytes\n",
		    s->server.core.max_size);
	explain_owners(s, out);
	explain_keeping(s, out);
	if (s->fixed && s->max_workers == 1)
		fprintf(out, "workers       1, this process\n");
	else
		fprintf(out,
		    "workers       %s %d, %d of them never take a body\n",
		    s->fixed ? "always" : "up to", s->max_workers, s->reserve);
	explain_warnings(s, address, out);
}
