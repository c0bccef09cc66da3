/*
 * main.c - the command line of tusfcgi(8).
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/become.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/sink.h"
#include "core/digest.h"
#include "fcgi/board.h"
#include "fcgi/explain.h"
#include "fcgi/hook_count.h"
#include "fcgi/listen.h"
#include "fcgi/lock_agent.h"
#include "fcgi/look.h"
#include "fcgi/notify.h"
#include "fcgi/os_read.h"
#include "fcgi/pool.h"
#include "fcgi/sandbox.h"
#include "fcgi/settings.h"
#include "fcgi/stop.h"
#include "fcgi/worker.h"
#include "hook/hook.h"
#include "lock/lock.h"
#include "store/store.h"
#include "tus/tus.h"

enum {
	EXIT_STOPPED = 0,
	EXIT_BROKEN = 1,
	EXIT_USAGE = 2
};

struct options {
	const char *address;
	struct settings_source source;
	bool check, verbose, is_agent;
};

static const char usage_text[] =
    "usage: tusfcgi [-c FILE] [-s ADDRESS] [-w N] [-t] [-v] [-V] [-h]\n"
    "       tusfcgi lock-agent [-c FILE] [-v]\n"
    "  -c FILE     configuration\n"
    "  -s ADDRESS  listen on /path/to/socket or HOST:PORT\n"
    "  -w N        fixed number of workers; 1 serves in this process\n"
    "  -t          check configuration, store and lock directory, then exit\n"
    "  -v          log debug messages\n"
    "  -V          print the version and the back ends built in\n"
    "  -h          print this\n"
    "lock-agent keeps the locks of processes that the web server starts, see "
    "lock.agent.\n"
    "See tusfcgi(8) and tusfcgi.conf(5).\n";

static void
print_names(const char *what, const char *(*name)(size_t))
{
	size_t i;

	printf("%s", what);
	for (i = 0; name(i) != NULL; i++)
		printf(" %s", name(i));
	printf("\n");
}

static void
print_version(void)
{
	printf("tusfcgi %s (tus %s)\n", PACKAGE_VERSION, TUS_VERSION);
	print_names("stores:   ", store_name);
	print_names("locks:    ", locker_name);
	print_names("checksums:", digest_name);
	printf("body:      %s\n", os_read_describe());
}

static int
parse_workers(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	return *end == '\0' && n >= 1 && n <= BOARD_SLOTS / 2 ? (int)n : -1;
}

/* Returns -1, or the status to exit with. */
static int
parse_options(int argc, char **argv, struct options *o)
{
	int ch;

	o->is_agent = argc > 1 && strcmp(argv[1], "lock-agent") == 0;
	if (o->is_agent)
		optind = 2;
	while ((ch = getopt(argc, argv, "c:s:w:tvVh")) != -1)
		switch (ch) {
		case 'c':
			o->source.file = optarg;
			break;
		case 's':
			o->address = optarg;
			break;
		case 'w':
			o->source.workers = parse_workers(optarg);
			if (o->source.workers > 0)
				break;
			fprintf(stderr,
			    "tusfcgi: -w wants a number from 1 to %d\n",
			    BOARD_SLOTS / 2);
			return EXIT_USAGE;
		case 't':
			o->check = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'V':
			print_version();
			return EXIT_STOPPED;
		case 'h':
			fputs(usage_text, stdout);
			return EXIT_STOPPED;
		default:
			fputs(usage_text, stderr);
			return EXIT_USAGE;
		}
	if (o->is_agent && (o->check || o->address || o->source.workers)) {
		fprintf(stderr, "tusfcgi: lock-agent takes -c and -v\n");
		return EXIT_USAGE;
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "tusfcgi: unexpected argument \"%s\"\n%s", argv[optind],
	    usage_text);
	return EXIT_USAGE;
}

/* The folder that the program was called from, absolute if possible. */
static char *
folder_of(struct arena *a, const char *program)
{
	const char *slash = strrchr(program, '/');
	char *dir = slash == NULL ?
	    arena_strdup(a, ".") :
	    arena_memdup(a, program, (size_t)(slash - program) + 1);
	char *real = realpath(dir, NULL);

	if (real == NULL)
		return dir;
	dir = arena_strdup(a, real);
	free(real);
	return dir;
}

/* Fill in what the command line leaves out. */
static void
find_defaults(const char *program, struct arena *a, struct options *o)
{
	static const char system[] = SYSCONFDIR "/tusfcgi.conf";
	static const char suffix[] = ".fcgi";
	const char *slash = strrchr(program, '/');
	const char *name = slash != NULL ? slash + 1 : program;
	const char *env = getenv("TUSFCGI_CONF");
	const char *folder, *beside = NULL;
	size_t stem = strlen(name);

	if (stem > strlen(suffix) &&
	    strcmp(name + stem - strlen(suffix), suffix) == 0) {
		stem -= strlen(suffix);
		folder = folder_of(a, program);
		beside =
		    arena_printf(a, "%s/%.*s.conf", folder, (int)stem, name);
		o->source.default_store = arena_printf(a, "%s/uploads", folder);
		if (o->source.workers == 0 && listen_is_inherited())
			o->source.workers = 1;
	}
	if (o->source.file != NULL)
		return;
	if (env != NULL && *env != '\0')
		o->source.file = env;
	else if (beside != NULL && access(beside, F_OK) == 0)
		o->source.file = beside;
	else if (access(system, F_OK) == 0)
		o->source.file = system;
}

/* Make sure that no file opened later becomes standard input or output. */
static void
fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) != -1);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

static int
complain(const struct err *e)
{
	log_error("%s", e->text);
	return e->code == ERR_INVALID ? EXIT_USAGE : EXIT_BROKEN;
}

/* A store that does not work is no mistake in the configuration. */
static enum err_code
no_mistake(enum err_code rc, struct err *e)
{
	return rc == ERR_INVALID ? e->code = ERR_SYSTEM : rc;
}

/* A service that does not answer now may do so when it is needed. */
static enum err_code
try_service(struct settings *s, struct err *e)
{
	enum err_code rc = store_try_out(s->conf, s->server.core.store, e);

	if (rc != ERR_UNAVAILABLE)
		return rc;
	log_warn("%s", e->text);
	return ERR_OK;
}

/* Open the store and the locker once, so that errors are reported at the
 * start. */
static enum err_code
try_store(struct settings *s, struct err *e)
{
	enum err_code rc = settings_try_store(s, e);
	const char *read_only, *method;
	struct err why;

	/* In spite of this error, uploads that can be read are served. */
	if (rc == ERR_OK && look_at_needs(s->conf, &read_only, &why) != ERR_OK)
		log_error("%s", why.text);
	else if (rc == ERR_OK && read_only != NULL)
		log_warn("%s" LOOK_READ_ONLY, read_only);
	if ((method = look_at_method(s->conf, s->arena)) != NULL)
		log_warn("%s", method);
	if (rc != ERR_OK)
		return no_mistake(rc, e);
	rc = look_at_locks(s->conf, s->server.core.locker, e);
	if (rc != ERR_OK && rc != ERR_UNAVAILABLE)
		return rc;
	if (rc == ERR_UNAVAILABLE)
		log_warn("%s", e->text);
	return try_service(s, e);
}

/* Become the user to whom the uploads belong or would belong.  ERR_NOT_FOUND:
 * there is no store yet. */
static enum err_code
become_checker(const struct conf *conf, struct err *e)
{
	enum err_code rc = look_for_store(conf, e);

	if (rc == ERR_OK)
		return core_become_owner(conf, e);
	rc = become_pool_user(conf, e);
	return rc == ERR_OK ? look_for_store(conf, e) : rc;
}

/* For -t.  A start comes after a stop, so a pool that runs now does not
 * matter. */
static enum err_code
look_at_note(const struct conf *conf, struct err *e)
{
	enum err_code rc =
	    store_attach(conf, STORE_CHECKED, locker_is_for_one_pool(conf), e);

	if (rc != ERR_CONFLICT)
		return rc;
	printf("warning: %s\n", e->text);
	return ERR_OK;
}

static enum err_code
start_locker(const struct conf *conf, struct err *e)
{
	locker_know_store(store_id(conf), false);
	return locker_start(conf, e);
}

/* Make the checks of a start in the same order, without creating anything. */
static enum err_code
look(struct settings *s, const struct options *o, const char **read_only,
    struct err *e)
{
	enum err_code rc = look_at_address(o->address, s->conf, e);
	bool is_new;

	if (rc == ERR_OK)
		rc = become_checker(s->conf, e);
	is_new = rc == ERR_NOT_FOUND;
	if (is_new || rc == ERR_OK)
		rc = log_check(s->conf, e);
	if (rc == ERR_OK)
		rc = look_at_needs(s->conf, read_only, e);
	if (rc == ERR_OK && !is_new)
		rc = look_at_note(s->conf, e);
	if (rc == ERR_OK)
		rc = start_locker(s->conf, e);
	if (rc == ERR_OK)
		rc = no_mistake(
		    is_new ? hook_check(s->conf, e) : settings_try_store(s, e),
		    e);
	if (rc == ERR_OK && !is_new)
		rc = try_service(s, e);
	return rc;
}

/* Must be called before the first fork: the processes share what it opens. */
static enum err_code
hold_store(struct settings *s, struct err *e)
{
	return no_mistake(store_attach(s->conf, STORE_SERVED,
			      locker_is_for_one_pool(s->conf), e),
	    e);
}

static int
check(struct settings *s, const struct options *o)
{
	const char *read_only = NULL, *method;
	enum err_code rc;
	struct err e;

	if (look(s, o, &read_only, &e) != ERR_OK)
		return complain(&e);
	printf("configuration %s\n",
	    o->source.file != NULL ? o->source.file : "built-in defaults");
	explain(s, listen_address(o->address, s->conf), stdout);
	if (s->server.core.store == NULL)
		printf("warning: %s does not exist; the start creates it\n",
		    store_home(s->conf));
	if (read_only != NULL)
		printf("warning: %s" LOOK_READ_ONLY "\n", read_only);
	if ((method = look_at_method(s->conf, s->arena)) != NULL)
		printf("warning: %s\n", method);
	look_at_conf(o->source.file, stdout);
	look_at_uploads(s->conf, stdout);
	rc = s->server.core.locker == NULL ?
	    ERR_OK :
	    look_at_locks(s->conf, s->server.core.locker, &e);
	if (rc == ERR_UNAVAILABLE)
		printf("warning: %s\n", e.text);
	settings_close_store(s);
	locker_stop();
	store_detach(s->conf);
	return rc == ERR_OK || rc == ERR_UNAVAILABLE ? EXIT_STOPPED :
						       complain(&e);
}

/* Reload in a process without a master. */
static void
reload_alone(struct settings *s, const struct settings_source *source,
    struct metrics *metrics)
{
	notify_reloading();
	if (settings_reload(s, source)) {
		s->server.core.hooks =
		    hook_count(metrics, s->server.core.hooks);
		log_info("configuration read");
	}
	notify_send("READY=1");
}

/* Serve with -w 1: no master, no pool. */
static int
serve_alone(struct settings *s, const struct settings_source *source,
    const struct listener *l)
{
	struct sweeper sweeper = { 0 };
	struct worker w = { s, l->fd, -1, -1, board_new(), 0, true, &sweeper };
	enum worker_end end;
	struct err e;

	if (w.board == NULL)
		return EXIT_BROKEN;
	work_listen(&w.board->past);
	worker_prepare();
	stop_install(true);
	if (settings_open_store(s, &e) != ERR_OK)
		return complain(&e);
	s->server.core.hooks =
	    hook_count(&w.board->metrics, s->server.core.hooks);
	sandbox_enter(s->conf, true);
	log_info("listening on %s", l->name);
	notify_send("READY=1");
	while ((end = worker_run(&w)) == WORKER_RELOAD)
		reload_alone(s, source, &w.board->metrics);
	notify_send("STOPPING=1");
	sweeper_stop(&sweeper);
	settings_close_store(s);
	return end == WORKER_LEFT ? EXIT_STOPPED : EXIT_BROKEN;
}

/* Block the signals until their handlers are installed. */
static void
hold_signals(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	sigset_t set;
	size_t i;

	(void)sigemptyset(&set);
	for (i = 0; i < NITEMS(signals); i++)
		(void)sigaddset(&set, signals[i]);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

/* tusfcgi lock-agent */
static int
lock_agent(const struct settings *s)
{
	struct listener l;
	struct err e;

	hold_signals();
	if (*s->conf->lock.agent == '\0') {
		log_error("lock-agent: lock.agent has to say where its socket "
			  "is, like "
			  "\"/run/tusfcgi-lock/agent.sock\"");
		return EXIT_USAGE;
	}
	sink_prepare();
	if (listen_for_locks(s->conf, &l, &e) != ERR_OK)
		return complain(&e);
	if (become_pool_user(s->conf, &e) != ERR_OK ||
	    log_open(s->conf, &e) != ERR_OK ||
	    locker_serve(s->conf, l.fd, &e) != ERR_OK) {
		listen_close(&l);
		return complain(&e);
	}
	log_info("lock agent, listening on %s", l.name);
	notify_send("READY=1");
	lock_agent_wait(s->conf);
	notify_send("STOPPING=1");
	locker_stop();
	listen_close(&l);
	return EXIT_STOPPED;
}

/* The socket comes first: only root may be allowed to write to its
 * directory. */
static int
run(struct settings *s, const struct options *o)
{
	struct listener l;
	struct err e;
	int status;

	hold_signals();
	sink_prepare();
	if (listen_open(o->address, s->conf, &l, &e) != ERR_OK)
		return complain(&e);
	if (become_pool_user(s->conf, &e) != ERR_OK ||
	    log_open(s->conf, &e) != ERR_OK || hold_store(s, &e) != ERR_OK ||
	    start_locker(s->conf, &e) != ERR_OK || try_store(s, &e) != ERR_OK) {
		locker_stop();
		listen_close(&l);
		return complain(&e);
	}
	settings_close_store(s);
	status = s->fixed && s->max_workers == 1 ?
	    serve_alone(s, &o->source, &l) :
	    pool_run(s, &o->source, &l);
	locker_stop();
	listen_close(&l);
	store_detach(s->conf);
	return status;
}

int
main(int argc, char **argv)
{
	struct options o = { .address = NULL };
	struct settings s;
	struct arena *a;
	struct err e;
	int status;

	fs_take_umask();
	fill_standard_descriptors();
	status = parse_options(argc, argv, &o);
	if (status != -1)
		return status;
	if (o.verbose)
		log_verbose();
	locker_confine_agent(sandbox_enter_agent);
	a = arena_new();
	find_defaults(argv[0], a, &o);
	if (settings_load(&s, &o.source, &e) == ERR_OK) {
		status = o.is_agent ? lock_agent(&s) :
		    o.check	    ? check(&s, &o) :
				      run(&s, &o);
		settings_free(&s);
	} else {
		status = complain(&e);
	}
	arena_free(a);
	return status;
}
