/*
 * tusctl.c - the operator's tool: which command, which configuration.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/become.h"
#include "base/clock.h"
#include "base/fs.h"
#include "ctl/ctl.h"

static const struct command {
	const char *name;
	/* The command works on the store, not only on the configuration. */
	bool wants_store;
	/* It may find out that others have yet to be told of something. */
	bool wants_hooks;
	ctl_run *run;
	const char *arguments;
	const char *purpose;
} commands[] = {
	{ "list", true, false, ctl_list,
	    "[--unfinished|--finished|--expired] [--json]", "ls for uploads" },
	{ "show", true, false, ctl_show, "ID [--json]",
	    "everything known about one, and who has it locked" },
	{ "rm", true, false, ctl_rm, "ID...", "terminate uploads" },
	{ "sweep", true, true, ctl_sweep,
	    "[--dry-run] [--older-than 7d] [--force]",
	    "remove expired uploads and leftovers" },
	{ "check", true, false, ctl_check, "[--repair]",
	    "read every record, compare sizes, report damage" },
	{ "settle", true, true, ctl_settle, "",
	    "make the progress of every unfinished upload durable" },
	{ "adopt", true, false, ctl_adopt, "",
	    "take over a directory that tusd has written to" },
	{ "doctor", false, false, ctl_doctor, "URL",
	    "try what the web server does to uploads" },
};

static void
print_usage(FILE *f)
{
	size_t i;

	(void)fputs("usage: tusctl [-c FILE] COMMAND ...\n", f);
	for (i = 0; i < NITEMS(commands); i++)
		(void)fprintf(f, "  %s%s%s\n      %s\n", commands[i].name,
		    *commands[i].arguments != '\0' ? " " : "",
		    commands[i].arguments, commands[i].purpose);
	(void)fputs("  -c FILE  configuration   -V  version   -h  this\n"
		    "See tusctl(8).\n",
	    f);
}

static const struct command *
find_command(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* The file that was asked for must be there; the usual one need not. */
static enum err_code
read_conf(struct conf *conf, const char *file, struct err *e)
{
	static const char usual[] = SYSCONFDIR "/tusfcgi.conf";

	if (file == NULL)
		file = getenv("TUSFCGI_CONF");
	if (file == NULL && access(usual, F_OK) == -1 && errno == ENOENT)
		return ERR_OK;
	return conf_read(conf, file != NULL ? file : usual, e);
}

static int
open_store(struct ctl *c, const struct command *command, struct err *e)
{
	enum err_code rc;

	fs_take_umask();
	rc = become_owner_of(store_home(c->conf), c->conf, e);
	if (rc == ERR_OK)
		rc = store_hold(
		    c->conf, STORE_KEPT, locker_is_for_one_pool(c->conf), e);
	if (rc == ERR_OK)
		rc = store_open(c->conf, &c->store, e);
	if (rc == ERR_OK)
		rc = locker_start(c->conf, e);
	if (rc == ERR_OK)
		rc = locker_open(c->conf, &c->locker, e);
	if (rc == ERR_OK && command->wants_hooks)
		rc = hook_open(c->conf, &c->hooks, e);
	if (rc == ERR_OK)
		return CTL_OK;
	return rc == ERR_INVALID ? CTL_USAGE : CTL_FAILED;
}

static void
close_store(struct ctl *c)
{
	if (c->hooks != NULL)
		c->hooks->ops->shutdown(c->hooks);
	if (c->locker != NULL)
		c->locker->ops->shutdown(c->locker);
	locker_stop();
	if (c->store != NULL)
		c->store->core->shutdown(c->store);
	store_let_go(c->conf);
}

static int
run_command(struct ctl *c, const struct command *command, int argc, char **argv)
{
	char name[32];
	struct err e;
	int status = CTL_OK;

	/* What getopt() calls us when it complains. */
	(void)snprintf(name, sizeof(name), "tusctl %s", command->name);
	argv[0] = name;
	optind = 0;
	if (command->wants_store &&
	    (status = open_store(c, command, &e)) != CTL_OK)
		ctl_note("%s", e.text);
	if (status == CTL_OK)
		status = command->run(c, argc, argv);
	close_store(c);
	if ((fflush(stdout) == EOF || ferror(stdout)) && status == CTL_OK) {
		ctl_note("cannot write the result: %s", strerror(errno));
		status = CTL_FAILED;
	}
	return status;
}

static int
begin(const char *file, int argc, char **argv)
{
	const struct command *command = find_command(argv[0]);
	struct ctl c = { .now = clock_now() };
	int status = CTL_USAGE;
	struct err e;

	if (command == NULL) {
		ctl_note("there is no command %s; see tusctl -h", argv[0]);
		return CTL_USAGE;
	}
	c.conf = conf_new();
	c.arena = arena_new();
	if (!command->wants_store || read_conf(c.conf, file, &e) == ERR_OK)
		status = run_command(&c, command, argc, argv);
	else
		ctl_note("%s", e.text);
	arena_free(c.arena);
	conf_free(c.conf);
	return status;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	const char *file = NULL;
	int option;

	(void)setlocale(LC_CTYPE, "");
	while ((option = getopt_long(argc, argv, "+c:hV", options, NULL)) != -1)
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 'h':
			print_usage(stdout);
			return CTL_OK;
		case 'V':
			(void)puts("tusctl " PACKAGE_VERSION);
			return CTL_OK;
		default:
			return CTL_USAGE;
		}
	if (optind == argc) {
		print_usage(stderr);
		return CTL_USAGE;
	}
	return begin(file, argc - optind, argv + optind);
}
