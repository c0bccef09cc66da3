/*
 * send.c - deliver one event by whichever way, and collect the answer.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "hook/parts.h"

bool
hook_take_answer(struct hook *h, const void *buf, size_t len)
{
	if (!h->is_asked)
		return true;
	if (len > HOOK_ANSWER_MAX - h->answer_len) {
		h->answer_is_too_long = true;
		return false;
	}
	if (h->answer == NULL)
		h->answer = must_alloc(HOOK_ANSWER_MAX);
	memcpy(h->answer + h->answer_len, buf, len);
	h->answer_len += len;
	return true;
}

enum err_code
hook_send(struct hook *h, const struct hook_message *m, struct err *e)
{
	int64_t began = clock_ms();
	const struct log_field fields[] = {
		{ "hook", m->type, 0 },
		{ *m->id != '\0' ? "id" : NULL, m->id, 0 },
		{ "event", m->event_id, 0 },
		{ m->request_id != NULL ? "request_id" : NULL, m->request_id,
		    0 },
	};
	enum err_code rc;

	h->is_asked = m->is_asked;
	h->answer_len = 0;
	h->answer_is_too_long = false;
	log_event(LOG_LEVEL_DEBUG, "hook begins", fields, NITEMS(fields));
	rc = h->way->send(h, m, e);
	log_debug("hook %s took %" PRId64 " ms", m->type, clock_ms() - began);
	return rc;
}
