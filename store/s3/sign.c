/*
 * sign.c - Signature Version 4: what is signed is the request, put in order.
 */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/compat.h"
#include "store/s3/sign.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

/* The most fields of a query; ours have six, a presigned one six more. */
#define MAX_FIELDS 24

static void
to_hex(const unsigned char *bytes, size_t n, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * n] = '\0';
}

void
s3_digest(const void *bytes, size_t len, char hex[S3_DIGEST_MAX])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(bytes, len, sum, &n, EVP_sha256(), NULL) != 1)
		out_of_memory();
	to_hex(sum, n, hex);
}

void
s3_set_time(struct s3_signer *s, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(s->stamp, sizeof(s->stamp), "%Y%m%dT%H%M%SZ", &tm);
}

static char *
encode(struct arena *a, const char *text, const char *also)
{
	static const char digits[] = "0123456789ABCDEF";
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";
	char *out = arena_alloc(a, 3 * strlen(text) + 1), *p = out;

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (strchr(plain, c) != NULL || strchr(also, c) != NULL) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '%';
		*p++ = digits[c >> 4];
		*p++ = digits[c & 15];
	}
	return out;
}

char *
s3_encode(struct arena *a, const char *text)
{
	return encode(a, text, "");
}

char *
s3_encode_path(struct arena *a, const char *text)
{
	return encode(a, text, "/");
}

static int
by_name(const void *a, const void *b)
{
	const struct s3_field *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : strcmp(x->value, y->value);
}

char *
s3_query(struct arena *a, const struct s3_field *fields, size_t n)
{
	struct s3_field sorted[MAX_FIELDS];
	char *query = arena_strdup(a, "");
	size_t i;

	assert(n <= MAX_FIELDS);
	for (i = 0; i < n; i++) {
		sorted[i].name = s3_encode(a, fields[i].name);
		sorted[i].value = s3_encode(a, fields[i].value);
	}
	qsort(sorted, n, sizeof(sorted[0]), by_name);
	for (i = 0; i < n; i++)
		query = arena_printf(a, "%s%s%s=%s", query,
		    *query != '\0' ? "&" : "", sorted[i].name, sorted[i].value);
	return query;
}

/* Blanks around a value do not count, and several are one. */
static char *
fold(struct arena *a, const char *value)
{
	char *out = arena_alloc(a, strlen(value) + 1), *p = out;

	for (value += strspn(value, " "); *value != '\0'; value++)
		if (*value != ' ' || (value[1] != ' ' && value[1] != '\0'))
			*p++ = *value;
	return out;
}

/* "host;x-amz-date" */
static char *
names_of(struct arena *a, const struct s3_field *sorted, size_t n)
{
	char *names = arena_strdup(a, sorted[0].name);
	size_t i;

	for (i = 1; i < n; i++)
		names = arena_printf(a, "%s;%s", names, sorted[i].name);
	return names;
}

static char *
canonical_request(struct arena *a, const struct s3_signed *r,
    const struct s3_field *sorted, const char *names)
{
	char *lines = arena_strdup(a, "");
	size_t i;

	for (i = 0; i < r->n_headers; i++)
		lines = arena_printf(a, "%s%s:%s\n", lines, sorted[i].name,
		    fold(a, sorted[i].value));
	return arena_printf(a, "%s\n%s\n%s\n%s\n%s\n%s", r->method, r->path,
	    r->query, lines, names, r->payload);
}

static void
hmac(const void *key, size_t key_len, const char *text,
    unsigned char mac[EVP_MAX_MD_SIZE])
{
	unsigned n = 0;

	if (HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text,
		strlen(text), mac, &n) == NULL)
		out_of_memory();
}

static char *
scope_of(struct arena *a, const struct s3_signer *s)
{
	return arena_printf(a, "%.8s/%s/s3/aws4_request", s->stamp, s->region);
}

/* Most requests of a process have the same one. */
static const unsigned char *
key_of_day(struct arena *a, struct s3_signer *s)
{
	const char *words[] = { s->day, s->region, "s3", "aws4_request" };
	const char *secret;
	unsigned char next[EVP_MAX_MD_SIZE];
	size_t i;

	if (strncmp(s->day, s->stamp, sizeof(s->day) - 1) == 0)
		return s->key;
	secret = arena_printf(a, "AWS4%s", s->keys->secret);
	memcpy(s->day, s->stamp, sizeof(s->day) - 1);
	for (i = 0; i < NITEMS(words); i++) {
		hmac(i > 0 ? (const void *)s->key : secret,
		    i > 0 ? sizeof(s->key) : strlen(secret), words[i], next);
		memcpy(s->key, next, sizeof(s->key));
	}
	return s->key;
}

static char *
sign(struct arena *a, struct s3_signer *s, const char *request)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	char digest[S3_DIGEST_MAX];
	char *hex = arena_alloc(a, S3_DIGEST_MAX);

	s3_digest(request, strlen(request), digest);
	hmac(key_of_day(a, s), sizeof(s->key),
	    arena_printf(
		a, ALGORITHM "\n%s\n%s\n%s", s->stamp, scope_of(a, s), digest),
	    mac);
	to_hex(mac, sizeof(s->key), hex);
	return hex;
}

char *
s3_authorization(
    struct arena *a, struct s3_signer *s, const struct s3_signed *r)
{
	struct s3_field sorted[S3_MAX_HEADERS];
	char *names;

	assert(r->n_headers > 0 && r->n_headers <= S3_MAX_HEADERS);
	memcpy(sorted, r->headers, r->n_headers * sizeof(sorted[0]));
	qsort(sorted, r->n_headers, sizeof(sorted[0]), by_name);
	names = names_of(a, sorted, r->n_headers);
	return arena_printf(a,
	    ALGORITHM " Credential=%s/%s,SignedHeaders=%s,Signature=%s",
	    s->keys->access, scope_of(a, s), names,
	    sign(a, s, canonical_request(a, r, sorted, names)));
}

char *
s3_presigned_query(struct arena *a, struct s3_signer *s,
    const struct s3_signed *r, const struct s3_field *fields, size_t n,
    int64_t seconds)
{
	struct s3_field all[MAX_FIELDS];
	struct s3_signed request = *r;

	assert(r->n_headers == 1 && n + 6 <= MAX_FIELDS);
	if (n > 0)
		memcpy(all, fields, n * sizeof(all[0]));
	all[n++] = (struct s3_field){ "X-Amz-Algorithm", ALGORITHM };
	all[n++] = (struct s3_field){ "X-Amz-Credential",
		arena_printf(a, "%s/%s", s->keys->access, scope_of(a, s)) };
	all[n++] = (struct s3_field){ "X-Amz-Date", s->stamp };
	all[n++] = (struct s3_field){ "X-Amz-Expires",
		arena_printf(a, "%lld", (long long)seconds) };
	all[n++] = (struct s3_field){ "X-Amz-SignedHeaders", "host" };
	if (s->keys->token != NULL)
		all[n++] =
		    (struct s3_field){ "X-Amz-Security-Token", s->keys->token };
	request.query = s3_query(a, all, n);
	request.payload = S3_UNSIGNED;
	return arena_printf(a, "%s&X-Amz-Signature=%s", request.query,
	    sign(
		a, s, canonical_request(a, &request, request.headers, "host")));
}
