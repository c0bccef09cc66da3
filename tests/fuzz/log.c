/*
 * log.c - any bytes as a message and a field: one line, plain ASCII, and when
 * it is JSON, JSON.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "tests/fuzz/fuzz.h"

static int fd = -1;

static void
open_log(const char *format)
{
	struct conf *c = conf_new();
	char path[32];
	struct err e;

	if (fd == -1)
		fd = fileno(tmpfile());
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (conf_set(c, "log.target", path, &e) != ERR_OK ||
	    conf_set(c, "log.format", format, &e) != ERR_OK ||
	    log_open(c, &e) != ERR_OK)
		fuzz_bug("%s", e.text);
	conf_free(c);
}

static size_t
read_line(char *line, size_t size)
{
	ssize_t n = pread(fd, line, size, 0);

	if (n <= 0 || n > LOG_LINE_MAX || ftruncate(fd, 0) == -1)
		fuzz_bug("%ld bytes were logged", (long)n);
	return (size_t)n;
}

static void
check_line(const char *line, size_t len)
{
	size_t i;

	for (i = 0; i + 1 < len; i++)
		if (line[i] < ' ' || line[i] > '~')
			fuzz_bug("byte %#x in a line", (unsigned)line[i]);
	if (line[i] != '\n')
		fuzz_bug("a line without an end");
}

static void
check_json(const char *line, size_t len)
{
	json_error_t e;
	json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);

	if (j == NULL)
		fuzz_bug("%s: %.*s", e.text, (int)len, line);
	json_decref(j);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char line[2 * LOG_LINE_MAX], *text;
	struct log_field f[3] = { { "a", NULL, 0 }, { "b", NULL, -1 },
		{ "c", NULL, 0 } };
	size_t n;

	text = malloc(len + 1);
	if (text == NULL)
		return 0;
	if (len > 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	f[0].text = text;
	f[2].text = text;
	open_log("text");
	log_event(LOG_LEVEL_INFO, text, f, NITEMS(f));
	n = read_line(line, sizeof(line));
	check_line(line, n);
	open_log("json");
	log_event(LOG_LEVEL_INFO, text, f, NITEMS(f));
	n = read_line(line, sizeof(line));
	check_line(line, n);
	/* U+0000 cannot come: the text ends there. */
	check_json(line, n);
	free(text);
	return 0;
}
