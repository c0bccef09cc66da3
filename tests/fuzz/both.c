/*
 * both.c - conversations in which tus and the IETF's protocol take turns on the
 * same uploads.
 *
 * Each request is made of a few bytes of the input.  After each of them both
 * protocols must say the same of every upload: its offset, its length, whether
 * it is complete; the offset never falls, what is complete never changes, and
 * its content is what was accepted.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "rufh/rufh.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/server.h"

#define UPLOADS	     3
#define ROOM	     2048
#define MAX_SIZE     150
#define MAX_REQUESTS 50

struct model {
	/* "/ID", NULL if there is none. */
	const char *path;
	int64_t offset;
	bool is_complete;
	char content[ROOM];
};

static const struct web_protocol *const protocols[] = { &tus_protocol,
	&rufh_protocol, NULL };
static struct model models[UPLOADS];

static struct body
next_body(void)
{
	static const enum body_end ends[] = { END_COMPLETE, END_COMPLETE,
		END_COMPLETE, END_CLIENT_GONE, END_TIMED_OUT };
	size_t len = next_byte() % 60;
	const char *bytes = new_bytes(len);

	return (struct body){ bytes, len, next_byte() % 20 + 1,
		ends[next_byte() % NITEMS(ends)] };
}

static struct web_request
request(const char *method, const char *path, bool is_tus)
{
	struct web_request r = {
		.method = method, .base = "/files", .path = path, .max_size = -1
	};

	if (is_tus)
		r.tus_resumable = TUS_VERSION;
	else
		r.interop_version = "8";
	return r;
}

static struct answer
ask(const char *method, const char *path, bool is_tus)
{
	const struct web_request r = request(method, path, is_tus);

	return server_look(&r);
}

static bool
says_complete(const struct answer *a)
{
	const char *value = answer_header(a, "Upload-Complete");

	return value != NULL && strcmp(value, "?1") == 0;
}

/* Both HEADs; false if the upload is gone, to both of them. */
static bool
look(struct model *m, int64_t *offset, bool *is_complete)
{
	struct answer t = ask("HEAD", m->path, true);
	struct answer r = ask("HEAD", m->path, false);
	int64_t length = answer_number(&t, "Upload-Length");

	if ((t.status == 404) != (r.status == 404))
		fuzz_bug("%d and %d", t.status, r.status);
	if (t.status == 404)
		return false;
	if (t.status != 200 || r.status != 204)
		fuzz_bug("HEAD: %d and %d", t.status, r.status);
	*offset = answer_number(&t, "Upload-Offset");
	*is_complete = says_complete(&r);
	if (answer_number(&r, "Upload-Offset") != *offset ||
	    answer_number(&r, "Upload-Length") != length)
		fuzz_bug("%s is another to each protocol", m->path);
	if (*is_complete != (length == *offset))
		fuzz_bug("%" PRId64 " of %" PRId64 " is complete: %d", *offset,
		    length, *is_complete);
	return true;
}

static void
check_content(const struct model *m)
{
	struct answer a = ask("GET", m->path, false);

	if (!m->is_complete) {
		if (a.status != 204)
			fuzz_bug("%d for what is not complete", a.status);
		return;
	}
	if (a.status != 200 || (int64_t)a.len != m->offset ||
	    memcmp(a.body, m->content, a.len) != 0)
		fuzz_bug(
		    "%d, %zu bytes of %" PRId64, a.status, a.len, m->offset);
}

/* At most these bytes are there now.  may_go: the upload may have been
 * removed. */
static void
follow(struct model *m, const struct body *b, bool may_go)
{
	int64_t offset;
	bool is_complete;

	if (m->path == NULL)
		return;
	if (!look(m, &offset, &is_complete)) {
		if (!may_go || (m->is_complete && b != NULL))
			fuzz_bug("%s is gone", m->path);
		m->path = NULL;
		return;
	}
	if (offset < m->offset ||
	    offset > m->offset + (b != NULL ? (int64_t)b->len : 0))
		fuzz_bug("from %" PRId64 " to %" PRId64, m->offset, offset);
	if (m->is_complete && (!is_complete || offset != m->offset))
		fuzz_bug("%s was complete", m->path);
	if (offset > m->offset)
		memcpy(m->content + m->offset, b->bytes,
		    (size_t)(offset - m->offset));
	m->offset = offset;
	m->is_complete = is_complete;
	check_content(m);
}

static void
check_words(const struct answer *a, bool is_tus)
{
	bool is_complete = says_complete(a);

	if (is_tus != (answer_header(a, "Tus-Resumable") != NULL) ||
	    (is_tus && answer_header(a, "Upload-Complete") != NULL))
		fuzz_bug("%d in the words of another", a->status);
	if (a->status >= 400 && is_complete)
		fuzz_bug("%d and complete", a->status);
}

static void
announce(struct web_request *r, const struct body *b, bool is_tus)
{
	unsigned int how = next_byte() % 8;

	r->content_type = is_tus ? "application/offset+octet-stream" :
				   "application/partial-upload";
	r->content_length = how == 0 ? "" :
	    how == 1		     ? to_decimal(next_byte() % 70) :
				       to_decimal((int64_t)b->len);
	if (!is_tus)
		r->upload_complete = next_byte() % 2 == 0 ? "?1" : "?0";
	if (next_byte() % 16 == 0)
		r->upload_complete = "?2";
}

static void
post(struct model *m, bool is_tus)
{
	struct web_request r = request("POST", "/", is_tus);
	struct body b = next_body();
	struct model new = { .path = NULL };
	unsigned int how = next_byte() % 4;
	struct answer a;

	announce(&r, &b, is_tus);
	if (how != 0)
		r.upload_length = to_decimal(next_byte() % 160);
	else if (is_tus)
		r.upload_defer_length = "1";
	a = server_ask(&r, &b);
	check_words(&a, is_tus);
	if (a.status != 201)
		return;
	new.path = answer_header(&a, "Location") + strlen("/files");
	*m = new;
	follow(m, &b, false);
	if (!is_tus && says_complete(&a) != m->is_complete)
		fuzz_bug("the answer says %d", says_complete(&a));
}

static void
patch(struct model *m, bool is_tus)
{
	struct web_request r =
	    request("PATCH", m->path != NULL ? m->path : "/unknown", is_tus);
	struct body b = next_body();
	bool was_complete = m->is_complete;
	struct answer a;

	announce(&r, &b, is_tus);
	r.upload_offset =
	    to_decimal(next_byte() % 8 != 0 ? m->offset : next_byte() % 40);
	if (next_byte() % 8 == 0)
		r.upload_length = to_decimal(next_byte() % 160);
	a = server_ask(&r, &b);
	check_words(&a, is_tus);
	if (m->path == NULL) {
		if (a.status < 400)
			fuzz_bug("%d for nothing", a.status);
		return;
	}
	follow(m, &b, !is_tus && a.status == 400);
	if (a.status < 300 && !is_tus && says_complete(&a) != m->is_complete)
		fuzz_bug("the answer says %d", says_complete(&a));
	if (was_complete && a.status < 300 && m->path == NULL)
		fuzz_bug("a complete upload is gone");
}

static void
drop(struct model *m, bool is_tus)
{
	struct answer a;

	if (m->path == NULL)
		return;
	a = ask("DELETE", m->path, is_tus);
	if (a.status != 204)
		fuzz_bug("DELETE: %d", a.status);
	follow(m, NULL, true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static void (*const requests[])(
	    struct model *, bool) = { post, patch, patch, patch, drop };
	unsigned int i, k, which;

	input = (struct input){ bytes, len };
	server_open();
	server.protocols = protocols;
	server.core.max_size = MAX_SIZE;
	memset(models, 0, sizeof(models));
	for (i = 0; i < MAX_REQUESTS && input.left > 0; i++) {
		which = next_byte();
		play.busy = which % 64 == 0 ? 2 : 0;
		play.wanted = which % 32 == 1;
		requests[which / 2 % NITEMS(requests)](
		    &models[next_byte() % UPLOADS], which % 2 == 0);
		for (k = 0; k < UPLOADS; k++)
			follow(&models[k], NULL, false);
	}
	return 0;
}
