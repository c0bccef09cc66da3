/*
 * conf_test.c - every key has a default, every mistake has a line.
 */
#include "config.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"
#include "base/conf_key.h"
#include "tests/base/conf_kit.h"

/* --- Without a file.  --- */

static void
every_key_has_the_promised_default(void **state)
{
	(void)state;
	assert_string_equal(conf_str(conf, "base_path"), "");
	assert_string_equal(conf_str(conf, "location"), "path");
	assert_int_equal(conf_int(conf, "max_size"), 0);
	assert_int_equal(conf_int(conf, "max_metadata"), 4096);
	assert_string_equal(conf_str(conf, "store.type"), "file");
	assert_string_equal(conf_str(conf, "store.path"), "/var/lib/tusfcgi");
	assert_string_equal(conf_str(conf, "store.durability"), "data");
	assert_int_equal(conf_int(conf, "store.dir_mode"), 0770);
	assert_int_equal(conf_int(conf, "store.file_mode"), 0660);
	assert_int_equal(conf_int(conf, "store.min_free"), 64 << 20);
	assert_int_equal(conf_ms(conf, "lock.timeout"), 5000);
	assert_true(conf_bool(conf, "extensions.download"));
	assert_true(conf_bool(conf, "concatenation.keep_parts"));
	assert_int_equal(conf_ms(conf, "expiration.after"), 0);
	assert_int_equal(conf_ms(conf, "expiration.sweep"), 3600000);
	assert_string_equal(conf_item(conf, "checksum.algorithms", 0), "sha1");
	assert_string_equal(
	    conf_item(conf, "checksum.algorithms", 5), "crc32c");
	assert_null(conf_item(conf, "checksum.algorithms", 6));
	assert_null(conf_item(conf, "cors.origins", 0));
	assert_int_equal(conf_int(conf, "cors.max_age"), 86400);
	assert_int_equal(conf_int(conf, "pool.max_workers"), 256);
	assert_int_equal(conf_int(conf, "pool.min_spare"), 4);
	assert_int_equal(conf_int(conf, "pool.reserve"), 4);
	assert_int_equal(conf_ms(conf, "hooks.timeout"), 15000);
	assert_string_equal(conf_str(conf, "log.target"), "stderr");
	assert_string_equal(conf_str(conf, "metrics.prefix"), "tusd");
	assert_string_equal(
	    conf_item(conf, "hooks.events", 6), "post-terminate");
}

static const char *
key_name(size_t n)
{
	return n < conf_key_count() ? conf_key(n)->name : NULL;
}

static void
nothing_is_set_until_somebody_sets_it(void **state)
{
	const char *name;
	size_t i;

	(void)state;
	for (i = 0; (name = key_name(i)) != NULL; i++)
		assert_false(conf_key_is_set(conf, name));
	assert_true(i > 60);
	must_read("log:{level=\"info\";};");
	assert_true(conf_key_is_set(conf, "log.level"));
	assert_int_equal(conf_set(conf, "lock.timeout", "5s", &err), ERR_OK);
	assert_true(conf_key_is_set(conf, "lock.timeout"));
	assert_false(conf_key_is_set(conf, "log.format"));
}

static void
an_empty_file_changes_nothing(void **state)
{
	(void)state;
	must_read("");
	must_read("# only a comment");
	must_read("store: { };");
	assert_false(conf_key_is_set(conf, "store.path"));
}

static void
a_second_file_goes_over_the_first(void **state)
{
	(void)state;
	must_read("max_size = 1; max_metadata = 2;");
	must_read("max_size = 3;");
	assert_int_equal(conf_int(conf, "max_size"), 3);
	assert_int_equal(conf_int(conf, "max_metadata"), 2);
}

/* --- The sample. --- */

/* "	#key = value;" becomes live, "	# prose" stays a comment. */
static void
uncomment(const char *from, const char *to)
{
	char line[512];
	FILE *in, *out;
	size_t n;

	in = fopen(from, "r");
	assert_non_null(in);
	out = fopen(to, "w");
	assert_non_null(out);
	while (fgets(line, sizeof(line), in) != NULL) {
		n = strspn(line, "\t");
		if (line[n] == '#' && line[n + 1] >= 'a' && line[n + 1] <= 'z')
			line[n] = ' ';
		assert_true(fputs(line, out) >= 0);
	}
	assert_int_equal(fclose(in), 0);
	assert_int_equal(fclose(out), 0);
}

static void
check_items(const struct conf *a, const struct conf *b, const char *key)
{
	const char *item;
	size_t i;

	for (i = 0; (item = conf_item(a, key, i)) != NULL; i++)
		assert_string_equal(item, conf_item(b, key, i));
	assert_null(conf_item(b, key, i));
}

static void
check_same(const struct conf *a, const struct conf *b, const struct conf_key *k)
{
	switch (k->kind) {
	case CONF_BOOL:
		assert_int_equal(conf_bool(a, k->name), conf_bool(b, k->name));
		break;
	case CONF_DURATION:
		assert_int_equal(conf_ms(a, k->name), conf_ms(b, k->name));
		break;
	case CONF_STRING:
		assert_string_equal(conf_str(a, k->name), conf_str(b, k->name));
		break;
	case CONF_LIST:
		check_items(a, b, k->name);
		break;
	default:
		assert_int_equal(conf_int(a, k->name), conf_int(b, k->name));
	}
}

static void
the_sample_is_accepted_and_sets_nothing(void **state)
{
	const char *name;
	size_t i;

	(void)state;
	if (conf_read(conf, temp_source("etc/tusfcgi.conf"), &err) != ERR_OK)
		fail_msg("%s", err.text);
	for (i = 0; (name = key_name(i)) != NULL; i++)
		if (conf_key_is_set(conf, name))
			fail_msg("the sample sets %s", name);
}

static void
the_sample_shows_every_key_at_its_default(void **state)
{
	struct conf *defaults = conf_new(), *sample = conf_new();
	const char *name;
	size_t i;

	(void)state;
	uncomment(temp_source("etc/tusfcgi.conf"), "live.conf");
	if (conf_read(sample, "live.conf", &err) != ERR_OK)
		fail_msg("%s", err.text);
	for (i = 0; (name = key_name(i)) != NULL; i++) {
		if (!conf_key_is_set(sample, name))
			fail_msg("the sample lacks %s", name);
		check_same(defaults, sample, conf_key(i));
	}
	conf_free(defaults);
	conf_free(sample);
}

/* ".Ql max_size = \(dq20G\(dq;\&" is mdoc for: max_size = "20G"; */
static void
unescape(char *text)
{
	static const char *const escapes[][2] = { { "\\(dq", "\"" },
		{ "\\&", "" } };
	char *at;
	size_t i, len;

	for (i = 0; i < NITEMS(escapes); i++)
		while ((at = strstr(text, escapes[i][0])) != NULL) {
			len = strlen(escapes[i][1]);
			memcpy(at, escapes[i][1], len);
			memmove(at + len, at + strlen(escapes[i][0]),
			    strlen(at + strlen(escapes[i][0])) + 1);
		}
}

/* The line behind the first ".Ql " behind "Example:" behind the key's name. */
static char *
find_example(const char *manual, const char *key)
{
	char entry[128];
	const char *at;

	(void)snprintf(entry, sizeof(entry), "\n.It Ic %s\n", key);
	at = strstr(manual, entry);
	if (at != NULL)
		at = strstr(at, "\nExample:\n.Ql ");
	if (at == NULL)
		fail_msg("the manual lacks %s or its example", key);
	at += strlen("\nExample:\n.Ql ");
	return strndup(at, strcspn(at, "\n"));
}

static void
the_manual_has_a_working_example_of_every_key(void **state)
{
	char *example, *manual;
	const char *name;
	size_t i;

	(void)state;
	manual = temp_read(temp_source("man/tusfcgi.conf.5"));
	for (i = 0; (name = key_name(i)) != NULL; i++) {
		example = find_example(manual, name);
		assert_non_null(example);
		unescape(example);
		conf_free(conf);
		conf = conf_new();
		must_read(example);
		if (!conf_key_is_set(conf, name))
			fail_msg("%s does not set %s", example, name);
		free(example);
	}
	free(manual);
}

/* --- Refusals and their messages.  --- */

struct refusal {
	const char *text;
	const char *message;
};

static const struct refusal refusals[] = {
	/* Names. */
	{ "store: { pth = \"x\"; };",
	    "t.conf:1: unknown key \"store.pth\"; did you mean "
	    "\"store.path\"?" },
	{ "\nstroe: {\n path = \"x\"; };",
	    "t.conf:3: unknown key \"stroe.path\"; did you mean "
	    "\"store.path\"?" },
	{ "maxsize = 1;",
	    "t.conf:1: unknown key \"maxsize\"; did you mean \"max_size\"?" },
	{ "\n\nnonsense: { };", "t.conf:3: unknown key \"nonsense\"; did" },
	{ "store: { path: { x = 1; }; };",
	    "t.conf:1: store.path cannot be a group: expected" },
	{ "store: { x: { path = 1; }; };",
	    "t.conf:1: unknown key \"store.x\"; did" },
	{ "store = \"x\";", "t.conf:1: store is a group: write store: {" },
	{ "store = ( );", "t.conf:1: store is a group: write store: {" },
	/* Types. */
	{ "extensions: { checksum = 1; };",
	    "t.conf:1: extensions.checksum cannot be 1: expected true or "
	    "false" },
	{ "extensions: { checksum = \"true\"; };", "true or false" },
	{ "pool: { backlog = \"7\"; };", "a whole number from 1 to 65535" },
	{ "pool: { backlog = 7.5; };", "pool.backlog cannot be 7.5" },
	{ "pool: { backlog = true; };", "pool.backlog cannot be true" },
	{ "max_size = 1.5;", "max_size cannot be 1.5" },
	{ "store: { dir_mode = 0770; };",
	    "store.dir_mode cannot be 770: expected an octal mode such as "
	    "\"0770\"" },
	{ "base_path = 5;", "base_path cannot be 5" },
	{ "cors: { origins = \"*\"; };",
	    "cors.origins cannot be *: expected a list of strings" },
	{ "cors: { origins = ( 5 ); };", "cors.origins cannot be 5" },
	{ "cors: { origins = ( ( \"*\" ) ); };", "cannot be a list" },
	/* Ranges. */
	{ "pool: { backlog = 0; };", "a whole number from 1 to 65535" },
	{ "pool: { backlog = 65536; };", "cannot be 65536" },
	{ "pool: { backlog = -1; };", "cannot be -1" },
	{ "pool: { backlog = 4294967297; };", "cannot be 4294967297" },
	{ "max_size = -1;", "max_size cannot be -1" },
	{ "max_size = 9223372036854775807;", "max_size cannot be 92233" },
	{ "max_size = 9223372036854775808;", "t.conf:1: this number is too" },
	{ "max_size = 99999999999999999999;", "t.conf:1: this number is too" },
	{ "max_size = 99999999999999999999L;", "this number is too large" },
	{ "max_size = 0xfffffffffffffffff;", "this number is too large" },
	{ "max_size = 000000000000000000000000000000000000000000000000000000"
	  "0000000000000;",
	    "this number is too long" },
	{ "max_size = \"4194304T\";", "max_size cannot be 4194304T" },
	{ "max_size = \"9999999999999999G\";", "cannot be 9999999999999999G" },
	{ "max_size = \"99999999999999999999\";", "cannot be 99999999999" },
	{ "max_size = \"18446744073709551621\";", "cannot be 184467440737" },
	{ "max_metadata = 65537;",
	    "a size such as 4096 or \"10M\" from 0 to "
	    "64K" },
	{ "lock: { timeout = \"61m\"; };",
	    "a duration such as 30 or \"5m\" from 0 to 1h" },
	{ "lock: { timeout = 1e400; };", "lock.timeout cannot be inf" },
	{ "lock: { timeout = -0.5; };", "lock.timeout cannot be -0.5" },
	{ "lock: { timeout = 0.00001; };", "lock.timeout cannot be 1e-05" },
	{ "timeouts: { read = 0.05; };", "from 100ms to 1d" },
	{ "store: { dir_mode = \"0777\"; };", "no bits but 2775" },
	{ "store: { dir_mode = \"0070\"; };", "at least 0700" },
	/* Syntax of values. */
	{ "max_size = \"\";", "max_size cannot be : expected" },
	{ "max_size = \"M\";", "cannot be M" },
	{ "max_size = \"1MB\";", "cannot be 1MB" },
	{ "max_size = \"1 M\";", "cannot be 1 M" },
	{ "max_size = \"0.1M\";", "cannot be 0.1M" },
	{ "max_size = \"1m\";", "cannot be 1m" },
	{ "max_size = \"+1\";", "cannot be +1" },
	{ "lock: { timeout = \"5S\"; };", "cannot be 5S" },
	{ "lock: { timeout = \"5.\"; };", "cannot be 5." },
	{ "lock: { timeout = \"1.2345s\"; };", "cannot be 1.2345s" },
	{ "lock: { timeout = \"0.5ms\"; };", "cannot be 0.5ms" },
	{ "store: { dir_mode = \"rwx\"; };", "cannot be rwx" },
	{ "store: { dir_mode = \"770x\"; };", "cannot be 770x" },
	{ "store: { dir_mode = \"000770\"; };", "cannot be 000770" },
	{ "store: { durability = \"fast\"; };",
	    "t.conf:1: store.durability cannot be \"fast\": expected one of "
	    "\"none\", \"data\", \"full\"" },
	{ "log: { level = \"INFO\"; };", "\"error\", \"warn\", \"info\", " },
	{ "checksum: { algorithms = ( \"sha1\",\n\"sha3\" ); };",
	    "t.conf:2: checksum.algorithms cannot be \"sha3\": expected a "
	    "list out of \"sha1\"" },
	{ "hooks: { events = [ \"pre-creat\" ]; };", "\"pre-creat\"" },
	{ "base_path = \"files\";", "base_path cannot be \"files\"" },
	{ "base_path = \"//files\";", "beginning with one /" },
	{ "base_path = \"/fi les\";", "beginning with one /" },
	{ "base_path = \"/files?x\";", "beginning with one /" },
	{ "location = \"relative\";", "\"path\", \"absolute\", or a URL" },
	{ "location = \"https://\";", "location cannot be" },
	{ "location = \"http:///x\";", "location cannot be" },
	{ "location = \"ftp://example.org\";", "location cannot be" },
	{ "location = \"https://example.org/?x\";", "location cannot be" },
	{ "location = \"https://ex ample.org\";", "location cannot be" },
	{ "cors: { origins = ( \"https://example.org/\" ); };",
	    "an origin such as" },
	{ "cors: { origins = ( \"example.org\" ); };", "an origin such as" },
	{ "cors: { origins = ( \"https://*.example.org\" ); };",
	    "an origin such as" },
	{ "cors: { origins = ( \"\" ); };", "an origin such as" },
	{ "cors: { extra_headers = ( \"X Y\" ); };", "the name of a header" },
	{ "owner: { param = \"REMOTE-USER\"; };", "a FastCGI parameter" },
	{ "metrics: { prefix = \"9tus\"; };", "letters, digits, _ and :" },
	{ "metrics: { path = \"\"; };", "beginning with one /" },
	{ "log: { target = \"sylog\"; };", "a file name with a / in it" },
	{ "hooks: { url = \"example.org\"; };", "http:// or https://" },
	{ "hooks: { dir = \"hooks\"; };", "a path that begins with /" },
	{ "finish: { move_to = \"in/{id}\"; };", "an absolute path with {id}" },
	{ "\nfinish: { move_to = \"/srv/{ip}\"; };",
	    "t.conf:2: finish.move_to cannot be \"/srv/{ip}\": expected an" },
	{ "finish: { move_to = \"/srv/{id\"; };",
	    "an absolute path with {id}" },
	{ "finish: { move_to = \"/srv/in\"; };", "an absolute path with {id}" },
	{ "store: { path = \"\"; };", "a string that is not empty" },
	/* Syntax of the file. */
	{ "max_size = 1; @include \"t.conf\"", "t.conf:1: syntax error" },
	{ "max_size = = 1;", "t.conf:1: syntax error" },
	{ "\n\nmax_size = 1;\nmax_size = 2;", "t.conf:4: duplicate setting" },
	{ "\nbase_path = \"x\n\n", "t.conf:2: this string is never closed" },
	{ "\n/* x\n\n", "t.conf:2: this comment is never closed" },
	{ "store: {", "t.conf:1: syntax error at the end of the file" },
	{ "store: {\n", "t.conf:1: syntax error at the end of the file" },
	{ "\nstore: {\n# x\n", "t.conf:3: syntax error at the end" },
	/* Numbers that only some versions of libconfig take. */
	{ "max_size = 0b11;", "t.conf:1: this is not a number" },
	{ "max_size = 0o17;", "t.conf:1: this is not a number" },
	{ "max_size = 0x;", "t.conf:1: this is not a number" },
	{ "max_size = 10M;", "t.conf:1: this is not a number" },
	/* Between keys. */
	{ "\npool: {\n min_spare = 9;\n max_workers = 8; };",
	    "t.conf:3: pool.min_spare cannot be more than pool.max_workers" },
	{ "pool: { max_workers = 8;\n reserve = 8; };",
	    "t.conf:2: pool.reserve must be less than pool.max_workers" },
	{ "cors: { origins = ( \"https://a.b\", \"*\" );\n"
	  "credentials = true; };",
	    "t.conf:2: cors.credentials = true needs exact origins" },
	{ "expiration: { after = \"999ms\"; };",
	    "t.conf:1: expiration.after must be 0 or at least 1s" },
	{ "download: { sendfile = \"x-accel\"; };",
	    "t.conf:1: download.sendfile = \"x-accel\" needs" },
};

static void
every_mistake_is_refused_with_its_line(void **state)
{
	const struct refusal *r;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(refusals); i++) {
		r = &refusals[i];
		conf_free(conf);
		conf = conf_new();
		if (read_text(r->text) != ERR_INVALID)
			fail_msg("accepted: %s", r->text);
		if (strstr(err.text, r->message) == NULL)
			fail_msg("%s: said \"%s\", not \"%s\"", r->text,
			    err.text, r->message);
		if (strncmp(err.text, "t.conf:", 7) != 0)
			fail_msg("no file in \"%s\"", err.text);
	}
}

static void
a_nul_byte_is_refused(void **state)
{
	FILE *f;

	(void)state;
	f = fopen("nul.conf", "w");
	assert_non_null(f);
	assert_int_equal(fwrite("# x\nmax_size\0= 1;", 1, 17, f), 17);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(conf_read(conf, "nul.conf", &err), ERR_INVALID);
	assert_string_equal(err.text, "nul.conf:2: there is a NUL byte here");
}

static void
a_file_that_cannot_be_read_is_a_system_error(void **state)
{
	(void)state;
	assert_int_equal(conf_read(conf, "none.conf", &err), ERR_SYSTEM);
	assert_string_equal(err.text, "none.conf: No such file or directory");
	assert_int_equal(mkdir("dir", 0700), 0);
	assert_int_equal(conf_read(conf, "dir", &err), ERR_SYSTEM);
	assert_string_equal(err.text, "dir: Is a directory");
}

static void
a_huge_file_is_refused(void **state)
{
	FILE *f;
	int i;

	(void)state;
	f = fopen("huge.conf", "w");
	assert_non_null(f);
	for (i = 0; i < 20000; i++)
		assert_true(fputs("# configuration\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(conf_read(conf, "huge.conf", &err), ERR_INVALID);
	assert_non_null(strstr(err.text, "the configuration is too large"));
}

static void
deep_nesting_is_refused(void **state)
{
	char *text = malloc(200001);

	(void)state;
	assert_non_null(text);
	memset(text, '(', 200000);
	text[200000] = '\0';
	memcpy(text, "x = ", 4);
	assert_int_equal(read_text(text), ERR_INVALID);
	free(text);
}

/* --- Our own bugs. --- */

static void
ask_for_nothing(void)
{
	(void)conf_int(conf, "max_sise");
}

static void
ask_for_another_type(void)
{
	(void)conf_int(conf, "lock.timeout");
}

static bool
aborts(void (*ask)(void))
{
	const struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		if (freopen("/dev/null", "w", stderr) != NULL)
			ask();
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid &&
	    WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void
asking_for_what_is_not_there_stops_the_program(void **state)
{
	(void)state;
	assert_true(aborts(ask_for_nothing));
	assert_true(aborts(ask_for_another_type));
	conf_free(NULL);
}

static void
check_list(const char *const *list, const char *name)
{
	size_t i;

	for (i = 0; list[i] != NULL; i++)
		assert_string_equal(list[i], conf_item(conf, name, i));
	assert_null(conf_item(conf, name, i));
}

/* How many bytes of the struct it has. */
static size_t
check_member(const struct conf_key *k)
{
	const void *at = (const char *)conf + k->offset;

	switch (k->kind) {
	case CONF_BOOL:
		assert_int_equal(*(const bool *)at, conf_bool(conf, k->name));
		return sizeof(bool);
	case CONF_STRING:
		assert_ptr_equal(
		    *(const char *const *)at, conf_str(conf, k->name));
		return sizeof(char *);
	case CONF_LIST:
		check_list(*(const char *const *const *)at, k->name);
		return sizeof(char *);
	case CONF_DURATION:
		assert_int_equal(*(const int64_t *)at, conf_ms(conf, k->name));
		return sizeof(int64_t);
	default:
		assert_int_equal(*(const int64_t *)at, conf_int(conf, k->name));
		return sizeof(int64_t);
	}
}

static void
each_member_has_a_key_and_its_value(void **state)
{
	unsigned char seen[sizeof(struct conf)] = { 0 };
	const struct conf_key *k;
	size_t i;

	(void)state;
	assert_int_equal(conf_set(conf, "store.min_free", "5M", &err), ERR_OK);
	assert_int_equal(conf_set(conf, "cors.origins", "null", &err), ERR_OK);
	assert_int_equal(
	    conf_put(conf, &conf->store.path, "/else", &err), ERR_OK);
	assert_true(conf_is_set(conf, &conf->store.path));
	assert_false(conf_is_set(conf, &conf->store.type));
	assert_int_equal(conf->store.min_free, 5 << 20);
	assert_string_equal(conf->store.path, "/else");
	for (i = 0; (k = conf_key(i)) != NULL; i++)
		memset(seen + k->offset, 1, check_member(k));
	/* Eight bytes that no key has filled are a member without a key. */
	for (i = 0; i + 8 <= sizeof(seen); i += 8)
		assert_non_null(memchr(seen + i, 1, 8));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(every_key_has_the_promised_default),
		TEST(nothing_is_set_until_somebody_sets_it),
		TEST(an_empty_file_changes_nothing),
		TEST(a_second_file_goes_over_the_first),
		TEST(the_sample_is_accepted_and_sets_nothing),
		TEST(the_sample_shows_every_key_at_its_default),
		TEST(the_manual_has_a_working_example_of_every_key),
		TEST(every_mistake_is_refused_with_its_line),
		TEST(a_nul_byte_is_refused),
		TEST(a_file_that_cannot_be_read_is_a_system_error),
		TEST(a_huge_file_is_refused),
		TEST(deep_nesting_is_refused),
		TEST(asking_for_what_is_not_there_stops_the_program),
		TEST(each_member_has_a_key_and_its_value),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
