/*
 * replay.c - run a fuzz target on its seeds, without a fuzzer.
 *
 * usage: NAME [FILE...]
 *
 * Without files, those in tests/fuzz/corpus/NAME below $srcdir, each of them
 * also cut short at every byte.  No seed at all is a failure, and so is one
 * that takes long.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/compat.h"
#include "tests/fuzz/fuzz.h"

/* Generous: the machine may be busy, and sanitizers are slow. */
#define TOO_LONG_MS 2000

/* Of larger seeds only some beginnings are tried. */
#define MAX_CUTS ((size_t)300)

static NORETURN void
stop(const char *what, const char *name)
{
	(void)fprintf(stderr, "%s: %s\n", name, what);
	exit(1);
}

static uint8_t *
read_file(const char *name, size_t *len)
{
	FILE *f = fopen(name, "rb");
	uint8_t *bytes;
	long size;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0)
		stop(strerror(errno), name);
	rewind(f);
	*len = (size_t)size;
	bytes = malloc(*len + 1);
	if (bytes == NULL || fread(bytes, 1, *len, f) != *len)
		stop("cannot be read", name);
	(void)fclose(f);
	return bytes;
}

/* In memory of its exact size, so that reading beyond it is noticed. */
static void
run(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		stop("out of memory", "replay");
	if (len > 0)
		memcpy(copy, bytes, len);
	(void)LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void
replay(const char *name)
{
	int64_t start = clock_ms();
	size_t cut, len, step;
	uint8_t *bytes = read_file(name, &len);

	(void)fprintf(stderr, "%s\n", name);
	run(bytes, len);
	if (clock_ms() - start > TOO_LONG_MS)
		stop("takes too long", name);
	step = len / MAX_CUTS + 1;
	for (cut = 0; cut < len; cut += step)
		run(bytes, cut);
	free(bytes);
}

static void
replay_corpus(const char *target)
{
	const char *srcdir = getenv("srcdir");
	char dir[PATH_MAX], file[PATH_MAX + NAME_MAX + 2];
	struct dirent *entry;
	size_t n = 0;
	DIR *d;

	(void)snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s",
	    srcdir != NULL ? srcdir : ".", target);
	d = opendir(dir);
	if (d == NULL)
		stop(strerror(errno), dir);
	while ((entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(file, sizeof(file), "%s/%s", dir, entry->d_name);
		replay(file);
		n++;
	}
	(void)closedir(d);
	if (n == 0)
		stop("no seeds", dir);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	int i;

	for (i = 1; i < argc; i++)
		replay(argv[i]);
	if (argc < 2)
		replay_corpus(slash != NULL ? slash + 1 : argv[0]);
	return 0;
}
