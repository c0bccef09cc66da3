/*
 * http.c - a hook is a URL that events are POSTed to.
 *
 * No proxy, no redirect, no password from a file: the event goes to the
 * configured URL and nowhere else.  After a connection failure or a 5xx the
 * request is repeated as long as hooks.timeout allows.
 */
#include "config.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http.h"
#include "base/log.h"
#include "hook/parts.h"

static const struct http_lib *lib;

struct hook_client {
	CURL *curl;
	/* The process that opened the connection: a child must not use it. */
	pid_t owner;
	char error[CURL_ERROR_SIZE];
};

static enum err_code
load_library(struct err *e)
{
	return http_load("hooks.url", &lib, e);
}

/* The variables that curl(1) and OpenSSL read; libcurl alone reads none. */
static const char *
certificates(void)
{
	return getenv("SSL_CERT_FILE");
}

static void
http_needs(const struct conf *conf, need_ear *ear, void *arg)
{
	(void)conf;
	ear(arg, NEED_HOSTS, NULL, NULL);
	if (certificates() != NULL)
		ear(arg, NEED_READ, "SSL_CERT_FILE", certificates());
}

static enum err_code
http_check(const struct conf *conf, struct err *e)
{
	(void)conf;
	(void)e;
	return ERR_OK;
}

static bool
http_wants(struct hook *h, enum hook_point hook)
{
	(void)h;
	(void)hook;
	return true;
}

/* --- Headers. --- */

static void
add_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = lib->slist_append(*list, line);

	if (longer == NULL)
		out_of_memory();
	*list = longer;
}

/* Lower-case hexadecimal, as the other senders of such headers do. */
static void
add_signature(struct curl_slist **list, struct arena *a, const char *secret,
    const struct hook_message *m)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned i, len = 0;
	const char *line = "X-Hook-Signature: sha256=";

	if (*secret == '\0')
		return;
	if (HMAC(EVP_sha256(), secret, (int)strlen(secret),
		(const unsigned char *)m->text, m->len, mac, &len) == NULL)
		out_of_memory();
	for (i = 0; i < len; i++)
		line = arena_printf(a, "%s%02x", line, mac[i]);
	add_header(list, line);
}

/* These headers describe our request, not that of the client. */
static bool
is_ours_alone(const char *name)
{
	static const char *const names[] = { "Host", "Content-Type",
		"Content-Length", "Transfer-Encoding", "Connection", "Expect",
		"TE", "Trailer", "Upgrade", "Accept-Encoding" };
	size_t i;

	for (i = 0; i < NITEMS(names); i++)
		if (strcasecmp(names[i], name) == 0)
			return true;
	return false;
}

static bool
is_printable(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' ? *s != '\t' : *s == 0x7f)
			return false;
	return true;
}

static void
add_values(struct curl_slist **list, struct arena *a, const char *name,
    const json_t *values)
{
	const char *value;
	json_t *v;
	size_t i;

	json_array_foreach (values, i, v) {
		value = json_string_value(v);
		if (value == NULL || !is_printable(value))
			continue;
		/* The form in which libcurl sends a header without a value. */
		add_header(list,
		    *value == '\0' ? arena_printf(a, "%s;", name) :
				     arena_printf(a, "%s: %s", name, value));
	}
}

static bool
has_name(const char *const *names, const char *name)
{
	while (*names != NULL && strcasecmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

/* Forward the headers in hooks.forward_headers that the client sent. */
static void
add_forwarded(struct curl_slist **list, struct arena *a, struct hook *h,
    const struct hook_message *m)
{
	const char *key;
	json_t *headers = NULL, *values;

	(void)json_unpack(m->json, "{s:{s:{s:o}}}", "Event", "HTTPRequest",
	    "Header", &headers);
	json_object_foreach (headers, key, values) {
		if (has_name(h->conf->hooks.forward_headers, key) &&
		    !is_ours_alone(key))
			add_values(list, a, key, values);
	}
}

static struct curl_slist *
make_headers(struct hook *h, const struct hook_message *m)
{
	struct curl_slist *list = NULL;
	struct arena *a = arena_new();

	add_header(&list, "Content-Type: application/json");
	add_header(&list, "Expect:");
	add_header(&list, arena_printf(a, "X-Tus-Event-Id: %s", m->event_id));
	if (m->request_id != NULL && is_printable(m->request_id))
		add_header(
		    &list, arena_printf(a, "X-Request-Id: %s", m->request_id));
	add_signature(&list, a, h->conf->hooks.secret, m);
	add_forwarded(&list, a, h, m);
	arena_free(a);
	return list;
}

/* --- The request. --- */

/* The first words of an answer that may be a refusal are kept for the log. */
struct answer {
	struct hook *h;
	char words[161];
	size_t len;
};

static size_t
take(char *buf, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	size_t len = size * n, room = sizeof(a->words) - 1 - a->len;

	memcpy(a->words + a->len, buf, len < room ? len : room);
	a->len += len < room ? len : room;
	return hook_take_answer(a->h, buf, len) ? len : 0;
}

/* The first line with text; "" if the answer is an HTML page. */
static const char *
reason(struct answer *a)
{
	char *words;

	a->words[a->len] = '\0';
	words = a->words + strspn(a->words, " \t\r\n");
	words[strcspn(words, "\r\n")] = '\0';
	return *words == '<' ? "" : words;
}

static struct hook_client *
client(struct hook *h)
{
	struct hook_client *c = h->client;

	if (c != NULL && c->owner == getpid())
		return c;
	c = must_alloc(sizeof(*c));
	c->curl = lib->easy_init();
	if (c->curl == NULL)
		out_of_memory();
	c->owner = getpid();
	h->client = c;
	return c;
}

static void
set_up(struct answer *answer, const struct hook_message *m,
    struct hook_client *c, int64_t timeout)
{
	struct hook *h = answer->h;
	CURL *curl = c->curl;

	/* Resets the options and keeps the connection. */
	lib->easy_reset(curl);
	c->error[0] = '\0';
	(void)lib->easy_setopt(curl, CURLOPT_ERRORBUFFER, c->error);
	(void)lib->easy_setopt(curl, CURLOPT_URL, h->conf->hooks.url);
	(void)lib->easy_setopt(
	    curl, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
	(void)lib->easy_setopt(curl, CURLOPT_POSTFIELDS, m->text);
	(void)lib->easy_setopt(
	    curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)m->len);
	(void)lib->easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	(void)lib->easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	(void)lib->easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout);
	(void)lib->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)lib->easy_setopt(curl, CURLOPT_PROXY, "");
	(void)lib->easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	(void)lib->easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	(void)lib->easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (certificates() != NULL)
		(void)lib->easy_setopt(curl, CURLOPT_CAINFO, certificates());
}

/* Send the request once.  *again: another try may succeed. */
static enum err_code
post(struct hook *h, const struct hook_message *m, int64_t timeout, bool *again,
    struct err *e)
{
	struct hook_client *c = client(h);
	struct curl_slist *headers = make_headers(h, m);
	struct answer answer = { .h = h };
	long status = 0;
	const char *why;
	CURLcode code;

	set_up(&answer, m, c, timeout);
	(void)lib->easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	code = lib->easy_perform(c->curl);
	(void)lib->easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
	(void)lib->easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	lib->slist_free_all(headers);
	*again = !h->answer_is_too_long && (code != CURLE_OK || status >= 500);
	if (h->answer_is_too_long)
		return err_set(e, ERR_SYSTEM,
		    "hook %s: the answer is longer than %d bytes", m->type,
		    HOOK_ANSWER_MAX);
	if (code != CURLE_OK)
		return err_set(e, ERR_SYSTEM, "hook %s: %s", m->type,
		    c->error[0] != '\0' ? c->error : lib->easy_strerror(code));
	if (status >= 200 && status <= 299)
		return ERR_OK;
	why = reason(&answer);
	return err_set(e, ERR_SYSTEM, "hook %s: HTTP status %ld%s%s", m->type,
	    status, *why != '\0' ? ": " : "", why);
}

static void
sleep_ms(int64_t ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) == -1)
		continue;
}

/*
 * The last try gets the time that is left.  That may be 0, which libcurl would
 * take for no limit.
 */
static enum err_code
http_send(struct hook *h, const struct hook_message *m, struct err *e)
{
	int64_t until = clock_ms() + h->timeout, left = h->timeout;
	int64_t backoff = h->conf->hooks.backoff;
	int64_t tries = 1 + h->conf->hooks.retries;
	enum err_code rc;
	bool again;

	for (;;) {
		h->answer_len = 0;
		rc = post(h, m, left, &again, e);
		if (rc == ERR_OK || !again || --tries == 0 ||
		    clock_ms() + backoff >= until)
			return rc;
		sleep_ms(backoff);
		backoff *= 2;
		if ((left = until - clock_ms()) <= 0)
			return rc;
	}
}

static void
http_shutdown(struct hook *h)
{
	if (h->client == NULL)
		return;
	lib->easy_cleanup(h->client->curl);
	free(h->client);
	h->client = NULL;
}

const struct hook_way hook_http = {
	HOOK_KEY(url),
	.needs = http_needs,
	.check = http_check,
	.load = load_library,
	.wants = http_wants,
	.send = http_send,
	.shutdown = http_shutdown,
};
