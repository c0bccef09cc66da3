/*
 * conf.c - any bytes as a configuration file, and as the value of every key.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/conf_key.h"
#include "tests/fuzz/fuzz.h"

/* A file without a name, and the name by which it can be opened again. */
static const char *
write_temp(const uint8_t *bytes, size_t len)
{
	static char path[32];
	static int fd = -1;

	if (fd == -1) {
		fd = fileno(tmpfile());
		(void)snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	}
	if (ftruncate(fd, 0) == -1 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
		fuzz_bug("cannot write the file");
	return path;
}

static void
check_number(const struct conf_key *k, int64_t n)
{
	if (k->kind == CONF_MODE ?
		(n & k->min) != k->min || (n & ~k->max) != 0 :
		n < k->min || n > k->max)
		fuzz_bug("%s is %lld", k->name, (long long)n);
}

static void
check_key(const struct conf *c, const struct conf_key *k)
{
	size_t i;

	switch (k->kind) {
	case CONF_BOOL:
		(void)conf_bool(c, k->name);
		break;
	case CONF_DURATION:
		check_number(k, conf_ms(c, k->name));
		break;
	case CONF_STRING:
		if (!conf_key_takes(k, conf_str(c, k->name)))
			fuzz_bug("%s", k->name);
		break;
	case CONF_LIST:
		for (i = 0; conf_item(c, k->name, i) != NULL; i++)
			if (!conf_key_takes(k, conf_item(c, k->name, i)))
				fuzz_bug("%s", k->name);
		break;
	default:
		/* These two make way for a small pool. */
		if (strcmp(k->name, "pool.min_spare") != 0 &&
		    strcmp(k->name, "pool.reserve") != 0)
			check_number(k, conf_int(c, k->name));
	}
}

/* Accepted: every value is within its bounds.  Refused: it is said where. */
static void
try_file(const uint8_t *bytes, size_t len)
{
	const char *path = write_temp(bytes, len);
	const struct conf_key *k;
	struct conf *c = conf_new();
	enum err_code rc;
	struct err e;
	size_t i;

	rc = conf_read(c, path, &e);
	for (i = 0; rc == ERR_OK && (k = conf_key(i)) != NULL; i++)
		check_key(c, k);
	if (rc == ERR_OK && conf_check(c, &e) != ERR_OK)
		fuzz_bug("read and not checked: %s", e.text);
	if (rc != ERR_OK && (rc != ERR_INVALID || strchr(e.text, ':') == NULL))
		fuzz_bug("code %d: %s", rc, e.text);
	conf_free(c);
}

static void
try_values(const uint8_t *bytes, size_t len)
{
	struct conf *c = conf_new();
	const struct conf_key *k;
	char text[256] = "";
	struct err e;
	size_t i;

	if (len > 0)
		memcpy(text, bytes, len);
	for (i = 0; (k = conf_key(i)) != NULL; i++)
		if (conf_set(c, k->name, text, &e) == ERR_OK)
			check_key(c, k);
		else if (strstr(e.text, k->name) == NULL)
			fuzz_bug("%s: %s", k->name, e.text);
	if (conf_key_find(text) == conf_key_count() &&
	    conf_set(c, text, "1", &e) != ERR_INVALID)
		fuzz_bug("set \"%s\"", text);
	conf_free(c);
}

/* libconfig forgets a string that stands where none may; it is not ours. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	/* What it would include does not repeat. */
	if (memmem(bytes, len, "@include", 8) == NULL ||
	    memmem(bytes, len, "/dev/", 5) == NULL)
		try_file(bytes, len);
	if (len < 256)
		try_values(bytes, len);
	return 0;
}
