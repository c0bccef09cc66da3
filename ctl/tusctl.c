/*
 * tusctl.c - main program of tusctl: options, configuration, dispatch.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl.h"

static const struct ctl_command commands[] = {
	{ "list", CTL_STORE_AND_LOCKS, CTL_ANY_CONF, false, ctl_list,
	    ctl_list_options, "", NULL, "ls for uploads",
	    "One line for each upload. Expired ones are unfinished, too." },
	{ "show", CTL_STORE_AND_LOCKS, CTL_ANY_CONF, false, ctl_show,
	    ctl_show_options, "ID", NULL,
	    "all that is known of one upload, and which process has its lock",
	    "" },
	{ "rm", CTL_STORE_AND_LOCKS, CTL_ANY_CONF, false, ctl_rm, NULL, "ID...",
	    NULL, "terminate uploads",
	    "Finished or not, damaged or not. No hook is run." },
	{ "sweep", CTL_STORE_TO_SWEEP, CTL_ANY_CONF, true, ctl_sweep,
	    ctl_sweep_options, "", NULL, "remove expired uploads and leftovers",
	    "The server does the same by itself, see expiration.sweep." },
	{ "check", CTL_STORE, CTL_ANY_CONF, false, ctl_check, ctl_check_options,
	    "", NULL, "read every record, compare sizes, report damage",
	    "Exits with 1 if there is any." },
	{ "settle", CTL_STORE_AND_LOCKS, CTL_ANY_CONF, true, ctl_settle,
	    ctl_settle_options, "", NULL,
	    "make the progress of every unfinished upload durable",
	    "After a clean stop, before another server takes over." },
	{ "adopt", CTL_STORE_AND_LOCKS, CTL_ANY_CONF, false, ctl_adopt, NULL,
	    "", NULL, "take over what tusd has written to",
	    "Names what it leaves alone, and exits with 1 then." },
	{ "doctor", CTL_NOTHING, CTL_NAMED_CONF, false, ctl_doctor, NULL, "URL",
	    NULL, "try what the web server does to uploads",
	    "Sends real requests to the place where uploads are created, and "
	    "with -c to the bucket." },
	{ "top", CTL_NOTHING, CTL_ANY_CONF, false, ctl_top, ctl_top_options, "",
	    NULL, "what the server is at, live",
	    "Asks the pool itself; status.path has to be set. q leaves." },
	{ "completion", CTL_NOTHING, CTL_NO_CONF, false, ctl_completion, NULL,
	    "SHELL", ctl_shells, "print what a shell completes tusctl with",
	    "For bash: eval \"$(tusctl completion bash)\"" },
	{ .name = NULL },
};

static const struct ctl_command *
find_command(const char *name)
{
	size_t i;

	for (i = 0; commands[i].name != NULL; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* A file given by -c must exist; the default file need not. */
static enum err_code
read_conf(
    struct conf *conf, enum ctl_conf which, const char *file, struct err *e)
{
	static const char usual[] = SYSCONFDIR "/tusfcgi.conf";

	if (file == NULL)
		file = getenv("TUSFCGI_CONF");
	if (which == CTL_NO_CONF || (which == CTL_NAMED_CONF && file == NULL))
		return ERR_OK;
	if (file == NULL && access(usual, F_OK) == -1 && errno == ENOENT)
		return ERR_OK;
	return conf_read(conf, file != NULL ? file : usual, e);
}

static int
open_all(struct ctl *c, const struct ctl_command *command)
{
	enum err_code rc = ERR_OK;
	struct err e;

	if (command->opens != CTL_NOTHING)
		rc = ctl_open_store(c, &e);
	if (rc == ERR_OK && command->opens >= CTL_STORE_AND_LOCKS)
		rc = ctl_open_locker(c, &e);
	if (rc == ERR_OK && command->wants_hooks)
		rc = hook_open(c->conf, &c->hooks, &e);
	return rc == ERR_OK ? CTL_OK : ctl_cannot_open(&e);
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
	store_detach(c->conf);
}

static int
run_command(
    struct ctl *c, const struct ctl_command *command, int argc, char **argv)
{
	char name[32];
	int status;

	/* getopt() prints this name in its messages. */
	(void)snprintf(name, sizeof(name), "tusctl %s", command->name);
	argv[0] = name;
	optind = 0;
	if ((status = open_all(c, command)) == CTL_OK)
		status = command->run(c, argc, argv);
	close_store(c);
	if ((fflush(stdout) == EOF || ferror(stdout)) && status == CTL_OK) {
		ctl_note("cannot write the result: %s", strerror(errno));
		status = CTL_FAILED;
	}
	return status;
}

/* Is --help among the arguments?  It works with anything else beside it, and
 * without a configuration. */
static bool
asks_for_help(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0)
			return true;
	return false;
}

static int
begin(const char *file, int argc, char **argv)
{
	const struct ctl_command *command = find_command(argv[0]);
	struct ctl c = {
		.command = command, .commands = commands, .now = clock_now()
	};
	int status = CTL_USAGE;
	struct err e;

	if (command == NULL) {
		ctl_note("there is no command %s; see tusctl -h", argv[0]);
		return CTL_USAGE;
	}
	if (asks_for_help(argc, argv)) {
		ctl_help(command);
		return CTL_OK;
	}
	c.conf = conf_new();
	c.arena = arena_new();
	if (read_conf(c.conf, command->conf, file, &e) == ERR_OK)
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
			ctl_help_all(stdout, commands);
			return CTL_OK;
		case 'V':
			(void)puts("tusctl " PACKAGE_VERSION);
			return CTL_OK;
		default:
			return CTL_USAGE;
		}
	if (optind == argc) {
		ctl_help_all(stderr, commands);
		return CTL_USAGE;
	}
	return begin(file, argc - optind, argv + optind);
}
