/*
 * talk.c - whole conversations with the core, against a model of four uploads.
 *
 * Each request is made of a few bytes of the input; what they ask for is often
 * wrong.  After each of them every upload must be where the model says: the
 * offset never falls and never passes the length, what the answer did not
 * accept is not there, and the content is what was accepted.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include <zlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/server.h"

#define UPLOADS	     4
#define ROOM	     4096
#define MAX_SIZE     200
#define LIFETIME     100
#define MAX_REQUESTS 60

struct model {
	/* "/ID", NULL if there is none. */
	const char *path;
	int64_t offset;
	/* -1 while nobody has said. */
	int64_t size;
	int64_t touched;
	bool is_partial, is_final;
	char content[ROOM];
};

static struct model models[UPLOADS];

/* One of several, by the next byte. */
#define PICK(list) ((list)[next_byte() % NITEMS(list)])

static struct web_request
request(const char *method, const char *path)
{
	return (struct web_request){ .method = method,
		.base = "/files",
		.path = path,
		.tus_resumable = TUS_VERSION,
		.max_size = -1 };
}

/* --- Bodies -------------------------------------------------------------- */

static struct body
next_body(void)
{
	static const enum body_end ends[] = { END_COMPLETE, END_COMPLETE,
		END_COMPLETE, END_CLIENT_GONE, END_TIMED_OUT, END_SHUTDOWN };
	size_t len = next_byte() % 80;
	const char *bytes = new_bytes(len);

	return (struct body){ bytes, len, next_byte() % 20 + 1, PICK(ends) };
}

static const char *
crc(const struct body *b, size_t len)
{
	uint32_t sum = (uint32_t)crc32_z(0, (const Bytef *)b->bytes, len);
	uint8_t bytes[4] = { (uint8_t)(sum >> 24), (uint8_t)(sum >> 16),
		(uint8_t)(sum >> 8), (uint8_t)sum };

	return arena_printf(arena, "crc32 %s", to_base64(bytes, 4));
}

/* The headers that go with a body; most of the time they are right. */
static void
announce(struct web_request *r, const struct body *b)
{
	static const char *const sums[] = {
		"crc32 AAAAAA==", "sha1 YQ==", "crc32", "md9 AAAA", ""
	};
	unsigned int how = next_byte();

	r->content_type = how % 16 == 15 ? "text/plain" :
					   "Application/Offset+octet-stream; x";
	if (how / 16 % 4 == 0)
		r->content_length = "";
	else if (how / 16 % 4 == 1)
		r->content_length = to_decimal((int64_t)(next_byte() % 90));
	else
		r->content_length = to_decimal((int64_t)b->len);
	how = next_byte() % 8;
	if (how == 1)
		r->upload_checksum = PICK(sums);
	else if (how < 4)
		r->upload_checksum = crc(b, b->len);
	else if (how == 5)
		r->trailer = "Upload-Checksum";
}

/* How many of the body's bytes count as sent. */
static int64_t
sent(const struct web_request *r, const struct body *b)
{
	int64_t announced = -1;

	if (r->content_length != NULL && *r->content_length != '\0')
		announced = strtoll(r->content_length, NULL, 10);
	return announced >= 0 && announced < (int64_t)b->len ? announced :
							       (int64_t)b->len;
}

/* A request whose bytes were taken was valid. */
static void
check_taken(const struct web_request *r, const struct body *b)
{
	if (r->upload_checksum != NULL &&
	    strcmp(r->upload_checksum, crc(b, (size_t)sent(r, b))) != 0)
		fuzz_bug("taken with checksum %s", r->upload_checksum);
	if (strcmp(r->tus_resumable, TUS_VERSION) != 0)
		fuzz_bug("taken with version %s", r->tus_resumable);
}

/* --- The model ----------------------------------------------------------- */

static bool
is_whole(const struct model *m)
{
	return m->size >= 0 && m->offset == m->size;
}

static bool
is_expired(const struct model *m)
{
	return !is_whole(m) && m->touched + LIFETIME < play.now;
}

/* A body was sent to m: at most that much of it may be there now. */
static void
accept_bytes(struct model *m, int64_t offset, const struct body *b, int64_t max)
{
	if (offset < m->offset || offset > m->offset + max || offset > ROOM)
		fuzz_bug("offset %" PRId64 " after %" PRId64 " and %" PRId64,
		    offset, m->offset, max);
	if (offset > m->offset)
		memcpy(m->content + m->offset, b->bytes,
		    (size_t)(offset - m->offset));
	m->offset = offset;
}

static struct answer
ask(const char *method, const char *path)
{
	const struct web_request r = request(method, path);

	return server_look(&r);
}

static void
check_content(const struct model *m)
{
	struct answer a = ask("GET", m->path);

	if (!is_whole(m) || m->is_partial) {
		if (a.status != 404)
			fuzz_bug("%d for what is not to be had", a.status);
		return;
	}
	if (a.status != 200 || (int64_t)a.len != m->size ||
	    memcmp(a.body, m->content, a.len) != 0)
		fuzz_bug("%d, %zu bytes of %" PRId64, a.status, a.len, m->size);
}

/* HEAD must agree with the model in all that nobody changed. */
static void
check_upload(struct model *m)
{
	struct answer a;
	bool is_deferred;

	if (m->path == NULL)
		return;
	a = ask("HEAD", m->path);
	if (is_expired(m)) {
		if (a.status != 410)
			fuzz_bug("%d after the end", a.status);
		return;
	}
	is_deferred = answer_header(&a, "Upload-Defer-Length") != NULL;
	if (a.status != 200 || answer_number(&a, "Upload-Offset") != m->offset)
		fuzz_bug("%d, offset %" PRId64 " and not %" PRId64, a.status,
		    answer_number(&a, "Upload-Offset"), m->offset);
	if (is_deferred != (m->size < 0) ||
	    answer_number(&a, "Upload-Length") != m->size)
		fuzz_bug("length %" PRId64 " and not %" PRId64,
		    answer_number(&a, "Upload-Length"), m->size);
	if (m->size >= 0 && m->offset > m->size)
		fuzz_bug("%" PRId64 " of %" PRId64, m->offset, m->size);
	if ((answer_header(&a, "Upload-Concat") != NULL) !=
	    (m->is_partial || m->is_final))
		fuzz_bug("Upload-Concat");
	check_content(m);
}

/* --- Requests ------------------------------------------------------------ */

static struct model *
next_model(void)
{
	return &models[next_byte() % UPLOADS];
}

static const char *
path_of(const struct model *m)
{
	return m->path != NULL ? m->path : "/00000000000000000000000000000000";
}

/* Something wrong with any request, now and then. */
static void
spoil(struct web_request *r)
{
	static const char *const texts[] = { "", " 1", "-1", "99999999999",
		"9223372036854775807", "1,1", "x", "1.0.0", "a YQ==,a",
		"final;", "final;/files/x y", "FOO", " ", "bytes=0-1", "1" };
	const char **fields[] = { &r->tus_resumable, &r->upload_length,
		&r->upload_offset, &r->upload_metadata, &r->upload_concat,
		&r->upload_checksum, &r->content_length, &r->content_type,
		&r->range, &r->upload_defer_length, &r->trailer,
		&r->if_none_match };

	if (next_byte() % 8 == 0)
		*PICK(fields) = PICK(texts);
}

static void
add_final(struct web_request *r, struct model *m)
{
	const struct model *parts[3] = { next_model(), next_model(),
		next_model() };
	const char *list = "final;";
	size_t i, n = next_byte() % 3 + 1;

	m->is_final = true;
	m->offset = 0;
	for (i = 0; i < n; i++) {
		list =
		    arena_printf(arena, "%s /files%s", list, path_of(parts[i]));
		if (parts[i] == m || m->offset + parts[i]->offset > ROOM)
			continue;
		memcpy(m->content + m->offset, parts[i]->content,
		    (size_t)parts[i]->offset);
		m->offset += parts[i]->offset;
	}
	m->size = m->offset;
	r->upload_concat = list;
}

static void
post(struct model *m)
{
	struct web_request r = request("POST", "/");
	struct body b = next_body();
	struct model new = { .size = -1 };
	unsigned int kind = next_byte() % 8;
	struct answer a;

	announce(&r, &b);
	if (kind == 7)
		add_final(&r, &new);
	else if (kind == 6)
		r.upload_defer_length = "1";
	else
		r.upload_length = to_decimal(next_byte() % 250);
	if (kind == 4 || kind == 5)
		r.upload_concat = "partial";
	spoil(&r);
	a = server_ask(&r, &b);
	if (a.status != 201)
		return;
	check_taken(&r, &b);
	new.path = answer_header(&a, "Location") + strlen("/files");
	new.touched = play.now;
	new.is_partial =
	    r.upload_concat != NULL &&strcmp(r.upload_concat, "partial") == 0;
	new.is_final = r.upload_concat != NULL && !new.is_partial;
	a = ask("HEAD", new.path);
	if (!new.is_final) {
		new.size = answer_number(&a, "Upload-Length");
		accept_bytes(
		    &new, answer_number(&a, "Upload-Offset"), &b, sent(&r, &b));
	}
	*m = new;
}

/* May a PATCH with this answer have left bytes behind? */
static bool
may_keep(int status, const struct web_request *r)
{
	if (status == 204)
		return true;
	return r->upload_checksum == NULL &&
	    (status == 400 || status == 423 || status == 503);
}

/*
 * What arrived before the client was gone, too slow or robbed of its lock is
 * there, all of it; only the byte that would make it whole may be held back,
 * where nobody has said that it is the last.
 */
static void
check_kept(const struct model *m, const struct web_request *r, int64_t taken,
    int64_t offset)
{
	int64_t limit = m->size >= 0 ? m->size : MAX_SIZE;
	bool is_known = r->content_length != NULL && *r->content_length != '\0';

	if (m->size < 0 && r->upload_length != NULL)
		limit = strtoll(r->upload_length, NULL, 10);
	if (offset == m->offset + taken)
		return;
	if (is_known || offset != m->offset + taken - 1 || offset + 1 != limit)
		fuzz_bug("%" PRId64 " bytes were taken, %" PRId64 " are there",
		    taken, offset - m->offset);
}

static void
patch(struct model *m)
{
	struct web_request r = request("PATCH", path_of(m));
	struct body b = next_body();
	bool was_whole = is_whole(m), was_expired = is_expired(m);
	int64_t max, taken, size;
	struct answer a;

	announce(&r, &b);
	r.upload_offset =
	    to_decimal(next_byte() % 8 != 0 ? m->offset : next_byte() % 64);
	if (next_byte() % 8 == 0)
		r.upload_length = to_decimal(next_byte() % 250);
	spoil(&r);
	a = server_ask(&r, &b);
	if (m->path == NULL || was_expired) {
		if (a.status < 400)
			fuzz_bug("%d for nothing", a.status);
		return;
	}
	if (a.status == 204) {
		check_taken(&r, &b);
		if (strtoll(r.upload_offset, NULL, 10) != m->offset)
			fuzz_bug("taken at offset %s", r.upload_offset);
	}
	max = may_keep(a.status, &r) ? sent(&r, &b) : 0;
	if (a.status == 204 && (was_whole || m->is_final) && max > 0)
		fuzz_bug("%" PRId64 " bytes for a whole upload", max);
	if (a.status == 204 &&
	    answer_number(&a, "Upload-Offset") != m->offset + max)
		fuzz_bug("204 with another offset");
	if (a.status == 204 || (max > 0 && a.taken > 0))
		m->touched = play.now;
	taken = max < (int64_t)a.taken ? max : (int64_t)a.taken;
	a = ask("HEAD", m->path);
	if (taken > 0)
		check_kept(m, &r, taken, answer_number(&a, "Upload-Offset"));
	accept_bytes(m, answer_number(&a, "Upload-Offset"), &b, max);
	size = answer_number(&a, "Upload-Length");
	if (m->size < 0 && size >= 0 && r.upload_length != NULL &&
	    size == strtoll(r.upload_length, NULL, 10))
		m->size = size;
}

static void delete (struct model *m)
{
	struct web_request r = request("DELETE", path_of(m));
	struct body none = { "", 0, 1, END_COMPLETE };
	struct answer a;

	spoil(&r);
	a = server_ask(&r, &none);
	if (a.status != 204)
		return;
	if (m->path == NULL)
		fuzz_bug("deleted what is not there");
	if (ask("HEAD", m->path).status != 404)
		fuzz_bug("still there after DELETE");
	*m = (struct model){ .size = -1 };
}

static void
look(struct model *m)
{
	static const char *const methods[] = { "HEAD", "GET", "OPTIONS", "PUT",
		"POST" };
	struct web_request r = request(PICK(methods), path_of(m));
	struct body b = next_body();

	if (next_byte() % 4 == 0)
		r.method_override = PICK(methods);
	r.range = "bytes=1-3";
	spoil(&r);
	/* What leads to the collection is not for here. */
	if (strcmp(r.path, "/") != 0)
		(void)server_ask(&r, &b);
}

static void
next_request(void)
{
	static void (*const requests[])(struct model *) = { post, patch, patch,
		patch, patch, look, delete };
	unsigned int circumstances = next_byte();
	size_t i;

	play.now += circumstances % 4 == 3 ? next_byte() % 64 : 0;
	play.busy = circumstances / 4 % 8 == 7 ? (int)(next_byte() % 5) - 1 : 0;
	play.wanted = circumstances / 32 == 7;
	PICK(requests)(next_model());
	for (i = 0; i < UPLOADS; i++)
		check_upload(&models[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	int i;

	server_open();
	server.core.max_size = MAX_SIZE;
	server.core.expire_after = LIFETIME;
	for (i = 0; i < UPLOADS; i++)
		models[i] = (struct model){ .size = -1 };
	input = (struct input){ bytes, len };
	for (i = 0; i < MAX_REQUESTS && input.left > 0; i++)
		next_request();
	return 0;
}
