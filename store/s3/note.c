/*
 * note.c - R + .store: what all hosts that use the bucket agree on.
 *
 * It is written by the first start with a lock service: an id of the uploads
 * here, for which lock.prefix is claimed, and which locks they have.  Hosts
 * with other locks would not keep each other's requests apart.  There is no
 * lock on an object, so that nobody knows who uses the bucket: tusctl settle
 * removes it.
 */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "store/s3/s3.h"

static const char *
key_of(const struct s3_store *s, struct arena *a)
{
	return arena_printf(a, "%s.store", s->record_prefix);
}

static const char *
member(const json_t *note, const char *name)
{
	const char *text = json_string_value(json_object_get(note, name));

	return text != NULL ? text : "";
}

/* Set id if the note is ours. */
static enum err_code
compare(const json_t *note, const struct conf_lock *lock, const char *key,
    char id[ID_MAX + 1], struct err *e)
{
	const char *type = member(note, "Locks");
	const char *prefix = member(note, "Prefix");

	if (!id_is_valid(member(note, "ID")))
		return err_set(e, ERR_CONFLICT,
		    "the object %s of the bucket is damaged: stop all who use "
		    "the bucket, and remove it",
		    key);
	if (strcmp(type, lock->type) != 0 || strcmp(prefix, lock->prefix) != 0)
		return err_set(e, ERR_CONFLICT,
		    "the bucket is in use with lock.type = \"%.20s\" and "
		    "lock.prefix = \"%.40s\", not \"%.20s\" and \"%.40s\": "
		    "take the configuration of its users, or stop them and run "
		    "tusctl settle with it",
		    type, prefix, lock->type, lock->prefix);
	(void)stpcpy(id, member(note, "ID"));
	return ERR_OK;
}

static enum err_code
read_note(struct s3_store *s, const char *key, json_t **note, struct err *e)
{
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "GET", key);
	if ((rc = s3_call(s, &c, e)) != ERR_OK)
		return rc;
	*note = json_loadb(s->answer.text, s->answer.len, 0, NULL);
	return ERR_OK;
}

/* Of two that write at once, the first counts where the engine has conditions,
 * else the last. */
static enum err_code
write_note(struct s3_store *s, const char *key, const struct conf_lock *lock,
    struct err *e)
{
	char id[ID_MAX + 1];
	enum err_code rc;
	struct s3_call c;
	json_t *note;
	char *text;

	id_new(id);
	note = json_pack("{s:s,s:s,s:s}", "ID", id, "Locks", lock->type,
	    "Prefix", lock->prefix);
	text = json_dumps(note, JSON_COMPACT);
	json_decref(note);
	if (text == NULL)
		return err_set(e, ERR_INVALID, "lock.prefix is not in UTF-8");
	s3_call_init(&c, "PUT", key);
	s3_call_header(&c, "content-type", "application/json");
	s3_call_header(&c, "if-none-match", "*");
	c.body = text;
	c.len = strlen(text);
	rc = s3_call(s, &c, e);
	free(text);
	return rc == ERR_CONFLICT ? ERR_OK : rc;
}

enum err_code
s3_agree(struct s3_store *s, const struct conf_lock *lock, bool may_write,
    char id[ID_MAX + 1], struct err *e)
{
	struct arena *a = arena_new();
	const char *key = key_of(s, a);
	json_t *note = NULL;
	enum err_code rc;

	rc = read_note(s, key, &note, e);
	if (rc == ERR_NOT_FOUND && may_write &&
	    (rc = write_note(s, key, lock, e)) == ERR_OK)
		rc = read_note(s, key, &note, e);
	if (rc == ERR_OK)
		rc = compare(note, lock, key, id, e);
	json_decref(note);
	arena_free(a);
	return rc;
}

enum err_code
s3_end_agreement(struct s3_store *s, struct err *e)
{
	struct arena *a = arena_new();
	enum err_code rc;
	struct s3_call c;

	s3_call_init(&c, "DELETE", key_of(s, a));
	rc = s3_call(s, &c, e);
	arena_free(a);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}
