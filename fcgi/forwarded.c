/*
 * forwarded.c - the headers in which a proxy before the web server describes
 * the client's request.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "fcgi/forwarded.h"

#define OWS " \t"

/* The first element of a list; NULL if it is empty. */
static const char *
first_of(struct arena *a, const char *list)
{
	size_t len;

	if (list == NULL)
		return NULL;
	list += strspn(list, OWS);
	len = strcspn(list, "," OWS);
	return len > 0 ? arena_memdup(a, list, len) : NULL;
}

static const char *
known_scheme(const char *text)
{
	if (text != NULL && strcasecmp(text, "https") == 0)
		return "https";
	return text != NULL && strcasecmp(text, "http") == 0 ? "http" : NULL;
}

/* Parse a token or a quoted string and advance *s past it. */
static const char *
parse_value(struct arena *a, const char **s)
{
	const char *p = *s;
	char *out = arena_alloc(a, strlen(p) + 1);
	size_t n = 0;

	if (*p == '"') {
		for (p++; *p != '\0' && *p != '"'; p++) {
			if (*p == '\\' && p[1] != '\0')
				p++;
			out[n++] = *p;
		}
		if (*p == '"')
			p++;
	} else {
		for (; *p != '\0' && strchr(",;" OWS, *p) == NULL; p++)
			out[n++] = *p;
	}
	out[n] = '\0';
	*s = p;
	return out;
}

/* Parse "for=192.0.2.60;proto=http;host=example.org, for=..." */
static void
parse_forwarded(
    struct arena *a, const char *s, const char **host, const char **scheme)
{
	const char *name, *value;
	size_t len;

	while (s != NULL && *s != '\0' && *s != ',') {
		s += strspn(s, ";" OWS);
		name = s;
		len = strcspn(s, "=,;");
		s += len;
		if (*s != '=')
			continue;
		s++;
		value = parse_value(a, &s);
		if (len == 4 && strncasecmp(name, "host", len) == 0 &&
		    *value != '\0')
			*host = value;
		if (len == 5 && strncasecmp(name, "proto", len) == 0 &&
		    known_scheme(value) != NULL)
			*scheme = known_scheme(value);
		s += strcspn(s, ",;");
	}
}

static const char *
without_port(struct arena *a, const char *host, const char *port)
{
	size_t len = strlen(host), plen = strlen(port);

	if (len <= plen || strcmp(host + len - plen, port) != 0)
		return host;
	return arena_memdup(a, host, len - plen);
}

void
forwarded_apply(const struct forwarded *f, struct arena *a, const char **host,
    const char **scheme)
{
	const char *x_host = first_of(a, f->x_host);
	const char *x_scheme = known_scheme(first_of(a, f->x_proto));

	if (x_host != NULL)
		*host = x_host;
	if (x_scheme != NULL)
		*scheme = x_scheme;
	parse_forwarded(a, f->forwarded, host, scheme);
	if (*host != NULL)
		*host = without_port(a, *host,
		    *scheme != NULL && strcmp(*scheme, "https") == 0 ? ":443" :
								       ":80");
}

const char *
forwarded_prefix(const struct forwarded *f, struct arena *a)
{
	static const char allowed[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789-._~!$&'()*+;=:@%/";
	const char *prefix = first_of(a, f->x_prefix);
	size_t len = prefix != NULL ? strlen(prefix) : 0;

	/* A browser reads "//x" and "/\x" as a host. */
	if (len == 0 || prefix[0] != '/' || prefix[1] == '/' ||
	    strspn(prefix, allowed) != len || strstr(prefix, "..") != NULL)
		return NULL;
	while (len > 0 && prefix[len - 1] == '/')
		len--;
	return arena_memdup(a, prefix, len);
}
