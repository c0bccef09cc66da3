/*
 * doors.c - tusctl doctor: is anything open that should be closed?
 *
 * A web server asks for passwords by path and by method, so every way is tried
 * in which tusfcgi would read another path or method out of a request; and the
 * files beside the endpoint, where a web space has the program, its
 * configuration and the uploads.
 */
#include "config.h"

#include <string.h>

#include "base/compat.h"
#include "ctl/doctor.h"

static const char *const safe_methods[] = { "OPTIONS", "GET", "HEAD" };

static void
open_door(struct doctor *d, const char *method, const char *stands_for)
{
	doctor_bad(d, ADVICE_OVERRIDE,
	    "%s with X-HTTP-Method-Override: %s does what %s does: where no "
	    "password is asked for %s, this is open to everybody",
	    method, stands_for, stands_for, method);
}

static bool
creates(struct doctor *d, const char *method)
{
	static const char *const headers[] = { "Upload-Length: 1",
		"X-HTTP-Method-Override: POST", NULL };

	return doctor_created(d, doctor_send(d, method, d->url, headers)) !=
	    NULL;
}

static bool
removes(struct doctor *d, const char *method)
{
	static const char *const headers[] = { "X-HTTP-Method-Override: DELETE",
		NULL };
	const char *url = doctor_must_create(d, 1);

	if (url == NULL || doctor_send(d, method, url, headers)->status != 204)
		return false;
	d->n_uploads--;
	return true;
}

void
doctor_check_overrides(struct doctor *d)
{
	int problems = d->problems;
	size_t i;

	for (i = 0; i < NITEMS(safe_methods); i++) {
		if (creates(d, safe_methods[i]))
			open_door(d, safe_methods[i], "POST");
		if (doctor_offers(d, "termination") &&
		    removes(d, safe_methods[i]))
			open_door(d, safe_methods[i], "DELETE");
	}
	if (d->problems == problems)
		doctor_good("no safe method can be made into one that writes");
}

/* Is an upload created with the user and password of this URL? */
static bool
lets_in(struct doctor *d, const char *url)
{
	static const char *const headers[] = { "Upload-Length: 1", NULL };

	return doctor_created(d, doctor_send(d, "POST", url, headers)) != NULL;
}

void
doctor_check_login(struct doctor *d)
{
	const char *nobody = probe_login(d->probe, d->url, NULL);
	const char *liar = probe_login(d->probe, d->url, "tusfcgi-doctor");

	if (nobody == NULL)
		doctor_good("no password is asked for: anybody may upload");
	else if (lets_in(d, nobody))
		doctor_bad(d, ADVICE_LOGIN,
		    "an upload is created without the password, too: this is "
		    "open to everybody");
	else if (lets_in(d, liar))
		doctor_bad(d, ADVICE_LOGIN,
		    "an upload is created with a wrong password, too: this is "
		    "open to everybody who knows a name");
	else
		doctor_good("nothing is created without the password");
}

/* The answer to GET for a file beside the endpoint. */
static const struct probe_reply *
beside(struct doctor *d, const char *name)
{
	size_t len = strlen(d->url);
	const char *base, *url;

	while (len > 0 && d->url[len - 1] == '/')
		len--;
	base = arena_printf(d->arena, "%.*s/", (int)len, d->url);
	url = probe_resolve(
	    d->probe, base, arena_printf(d->arena, "../%s", name));
	return url != NULL ? doctor_send(d, "GET", url, NULL) : NULL;
}

static bool
is_file(const struct probe_reply *r)
{
	return r != NULL && r->status == 200 && !r->is_tus;
}

static bool
is_handed_out(struct doctor *d, const char *name)
{
	if (!is_file(beside(d, name)))
		return false;
	doctor_bad(d, ADVICE_FILES,
	    "%s, which is beside the endpoint, is open to everybody", name);
	return true;
}

/* The files that a web space has there; an upload's file is tried in the folder
 * of tus.conf. */
void
doctor_check_files(struct doctor *d)
{
	static const char *const names[] = { "tus.conf", "tus.conf~",
		"tus.conf.bak", "tus.log", ".htaccess", "hooks/pre-create",
		"hooks/post-finish" };
	const char *url = d->n_uploads > 0 ? d->uploads[0] : NULL;
	const struct probe_reply *r = beside(d, "tusfcgi-doctor.none");
	bool is_public = false;
	size_t i;

	/* Some sites answer 200 to every path; without an answer nothing is
	 * known. */
	if (r == NULL || r->status == 0 || is_file(r))
		return;
	for (i = 0; i < NITEMS(names); i++)
		is_public |= is_handed_out(d, names[i]);
	if (url != NULL && (url = strrchr(url, '/')) != NULL)
		is_public |= is_handed_out(
				 d, arena_printf(d->arena, "uploads%s", url)) ||
		    is_handed_out(
			d, arena_printf(d->arena, "uploads%s.info", url));
	r = beside(d, "tus.fcgi/");
	if (r != NULL && r->is_tus) {
		is_public = true;
		doctor_bad(d, ADVICE_FILES,
		    "tus.fcgi/ beside the endpoint is another one, which a "
		    "login for this one does not cover");
	}
	is_public |= is_handed_out(d, "tus.fcgi");
	if (!is_public)
		doctor_good("nothing of tusfcgi's own can be fetched");
}
