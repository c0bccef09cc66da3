/*
 * count.c - count the requests by operation, and their errors by code.
 */
#include "config.h"

#include <sys/mman.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "store/s3/count.h"

/* Codes of errors that are told apart. */
#define CODES 24

enum what {
	OF_BUCKET,
	OF_RECORD,
	OF_SEGMENT,
	OF_OBJECT
};

/* The first that fits, where query is the name of a field, and header too;
 * named as tusd names its requests, where it has the same. */
static const struct {
	const char *method;
	enum what what;
	const char *query, *header;
	const char *name;
} operations[] = {
	{ "GET", OF_BUCKET, "list-type", NULL, "list_objects" },
	{ "GET", OF_BUCKET, "uploads", NULL, "list_multipart_uploads" },
	{ "GET", OF_RECORD, NULL, NULL, "get_info_object" },
	{ "HEAD", OF_RECORD, NULL, NULL, "head_info_object" },
	{ "PUT", OF_RECORD, NULL, NULL, "put_info_object" },
	{ "DELETE", OF_RECORD, NULL, NULL, "delete_info_object" },
	{ "GET", OF_SEGMENT, NULL, NULL, "get_part_object" },
	{ "PUT", OF_SEGMENT, NULL, NULL, "put_part_object" },
	{ "DELETE", OF_SEGMENT, NULL, NULL, "delete_part_object" },
	{ "POST", OF_OBJECT, "uploads", NULL, "create_multipart_upload" },
	{ "PUT", OF_OBJECT, "partNumber", "x-amz-copy-source",
	    "upload_part_copy" },
	{ "PUT", OF_OBJECT, "partNumber", NULL, "upload_part" },
	{ "GET", OF_OBJECT, "uploadId", NULL, "list_parts" },
	{ "POST", OF_OBJECT, "uploadId", NULL, "complete_multipart_upload" },
	{ "DELETE", OF_OBJECT, "uploadId", NULL, "abort_multipart_upload" },
	{ "PUT", OF_OBJECT, NULL, NULL, "put_object" },
	{ "GET", OF_OBJECT, NULL, NULL, "get_object" },
	{ "HEAD", OF_OBJECT, NULL, NULL, "head_object" },
	{ "DELETE", OF_OBJECT, NULL, NULL, "delete_object" },
};

enum {
	CODE_FREE,
	CODE_CLAIMED,
	CODE_READY
};

struct counts {
	_Atomic uint64_t calls[NITEMS(operations)];
	_Atomic uint64_t us[NITEMS(operations)];
	_Atomic uint64_t retries, sent, received;
	struct {
		atomic_int state;
		char code[64];
		_Atomic uint64_t n;
	} errors[CODES];
};

static struct counts *counts;

enum err_code
s3_count_open(struct err *e)
{
	struct counts *c;

	if (counts != NULL)
		return ERR_OK;
	c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return err_sys(e, "a page for the counters of S3");
	counts = c;
	return ERR_OK;
}

/* --- The operation of a request. --- */

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && strcmp(text + len - n, end) == 0;
}

static enum what
what_of(const struct s3_store *s, const struct s3_call *c)
{
	size_t len = strlen(s->record_prefix);

	if (c->key == NULL)
		return OF_BUCKET;
	if (strncmp(c->key, s->record_prefix, len) != 0 ||
	    strchr(c->key + len, '/') != NULL)
		return OF_OBJECT;
	if (ends_with(c->key, ".info"))
		return OF_RECORD;
	return strstr(c->key + len, ".part") != NULL ? OF_SEGMENT : OF_OBJECT;
}

static bool
has(const struct s3_field *fields, size_t n, const char *name)
{
	size_t i;

	for (i = 0; name != NULL && i < n; i++)
		if (strcmp(fields[i].name, name) == 0)
			break;
	return name == NULL || i < n;
}

static size_t
operation_of(const struct s3_store *s, const struct s3_call *c)
{
	enum what what = what_of(s, c);
	size_t i;

	for (i = 0; i < NITEMS(operations) - 1; i++)
		if (strcmp(operations[i].method, c->method) == 0 &&
		    operations[i].what == what &&
		    has(c->query, c->n_query, operations[i].query) &&
		    has(c->headers, c->n_headers, operations[i].header))
			break;
	return i;
}

/* --- Counting. --- */

static void
add(_Atomic uint64_t *counter, int64_t n)
{
	if (n > 0)
		(void)atomic_fetch_add_explicit(
		    counter, (uint64_t)n, memory_order_relaxed);
}

/* Find the entry of this code, or take one; with too many codes the error is
 * not counted. */
static void
count_error(const char *code)
{
	size_t i;
	int state;

	for (i = 0; i < CODES; i++) {
		state = CODE_FREE;
		if (atomic_compare_exchange_strong(
			&counts->errors[i].state, &state, CODE_CLAIMED)) {
			(void)snprintf(counts->errors[i].code,
			    sizeof(counts->errors[i].code), "%s", code);
			atomic_store(&counts->errors[i].state, CODE_READY);
			state = CODE_READY;
		}
		if (state == CODE_READY &&
		    strncmp(counts->errors[i].code, code,
			sizeof(counts->errors[i].code) - 1) == 0) {
			add(&counts->errors[i].n, 1);
			return;
		}
	}
}

/* A code comes from the service: letters and digits, or it is none. */
static const char *
code_of(const struct s3_call *c, char buf[8])
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

	if (c->status == 0)
		return "none";
	if (*c->code != '\0' && c->code[strspn(c->code, good)] == '\0')
		return c->code;
	(void)snprintf(buf, 8, "%ld", c->status);
	return buf;
}

void
s3_count_call(const struct s3_store *s, const struct s3_call *c, int64_t us,
    bool is_retry)
{
	size_t i = operation_of(s, c);
	char buf[8];

	add(&counts->calls[i], 1);
	add(&counts->us[i], us);
	add(&counts->retries, is_retry);
	add(&counts->sent, c->sent);
	add(&counts->received, c->received);
	/* Looking for an object that does not exist is no error. */
	if ((c->status < 200 || c->status >= 300 || *c->code != '\0') &&
	    c->status != 404 && c->status != 412)
		count_error(code_of(c, buf));
}

void
s3_figures(store_figure *tell, void *arg)
{
	static const char duration[] = "s3_request_duration_ms";
	size_t i;

	if (counts == NULL)
		return;
	tell(arg, duration, "summary", "Requests to S3 by operation.", NULL,
	    NULL, 0);
	for (i = 0; i < NITEMS(operations); i++) {
		tell(arg, "s3_request_duration_ms_sum", NULL, NULL, "operation",
		    operations[i].name, (double)counts->us[i] / 1e3);
		tell(arg, "s3_request_duration_ms_count", NULL, NULL,
		    "operation", operations[i].name, (double)counts->calls[i]);
	}
	tell(arg, "s3_retries_total", "counter",
	    "Requests to S3 that were made again.", NULL, NULL,
	    (double)counts->retries);
	tell(arg, "s3_sent_bytes_total", "counter",
	    "Bytes of bodies that were sent to S3.", NULL, NULL,
	    (double)counts->sent);
	tell(arg, "s3_received_bytes_total", "counter",
	    "Bytes of bodies that came from S3.", NULL, NULL,
	    (double)counts->received);
	tell(arg, "s3_errors_total", "counter",
	    "Requests that S3 did not carry out, by its code.", "code", NULL,
	    0);
	for (i = 0; i < CODES; i++)
		if (atomic_load(&counts->errors[i].state) == CODE_READY)
			tell(arg, "s3_errors_total", NULL, NULL, "code",
			    counts->errors[i].code,
			    (double)counts->errors[i].n);
}
