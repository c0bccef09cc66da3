/*
 * agent_conf.c - what the agent needs of the configuration.
 */
#include "config.h"

#include <inttypes.h>

#include "base/arena.h"
#include "base/conf.h"
#include "lock/agent.h"

/* The elements of lock.hosts, in the form that conf_set() accepts. */
static const char *
join_hosts(const struct conf *conf, struct arena *a)
{
	const char *hosts = "", *host;
	size_t i;

	for (i = 0; (host = conf->lock.hosts[i]) != NULL; i++)
		hosts =
		    arena_printf(a, "%s%s%s", hosts, i > 0 ? ", " : "", host);
	return hosts;
}

enum err_code
agent_copy_conf(const struct conf *conf, struct conf **copy, struct err *e)
{
	struct arena *a = arena_new();
	const struct {
		const char *key, *value;
	} rows[] = {
		{ "lock.type", conf->lock.type },
		{ "lock.hosts", join_hosts(conf, a) },
		{ "lock.prefix", conf->lock.prefix },
		{ "lock.session",
		    arena_printf(a, "%" PRId64 "ms", conf->lock.session) },
		{ "lock.reply",
		    arena_printf(a, "%" PRId64 "ms", conf->lock.reply) },
		{ "lock.user", conf->lock.user },
		{ "lock.password_file", conf->lock.password_file },
		{ "log.target", conf->log.target },
		{ "pool.sandbox", conf->pool.sandbox ? "true" : "false" },
		{ "lock.tls", conf->lock.tls ? "true" : "" },
		{ "lock.ca_file", conf->lock.ca_file },
		{ "lock.cert_file", conf->lock.cert_file },
		{ "lock.key_file", conf->lock.key_file },
		{ "lock.sentinel", conf->lock.sentinel },
	};
	enum err_code rc = ERR_OK;
	size_t i;

	*copy = conf_new();
	for (i = 0; i < NITEMS(rows) && rc == ERR_OK; i++)
		if (*rows[i].value != '\0')
			rc = conf_set(*copy, rows[i].key, rows[i].value, e);
	arena_free(a);
	return rc;
}

void
agent_needs(const struct conf *conf, need_ear *ear, void *arg)
{
	const struct {
		const char *key, *file;
	} rows[] = {
		{ "lock.password_file", conf->lock.password_file },
		{ "lock.ca_file", conf->lock.ca_file },
		{ "lock.cert_file", conf->lock.cert_file },
		{ "lock.key_file", conf->lock.key_file },
	};
	size_t i;

	ear(arg, NEED_HOSTS, NULL, NULL);
	for (i = 0; i < NITEMS(rows); i++)
		if (*rows[i].file != '\0')
			ear(arg, NEED_READ, rows[i].key, rows[i].file);
}
