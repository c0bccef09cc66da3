/*
 * cred.c - find the keys that are written down, in the places where other
 * programs look as well.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/s3/cred.h"

static bool
is_there(const char *s)
{
	return s != NULL && *s != '\0';
}

static bool
from_environment(struct arena *a, struct s3_keys *keys)
{
	const char *access = getenv("AWS_ACCESS_KEY_ID");
	const char *secret = getenv("AWS_SECRET_ACCESS_KEY");
	const char *token = getenv("AWS_SESSION_TOKEN");

	if (!is_there(access) || !is_there(secret))
		return false;
	keys->access = arena_strdup(a, access);
	keys->secret = arena_strdup(a, secret);
	keys->token = is_there(token) ? arena_strdup(a, token) : NULL;
	return true;
}

/* --- The file. --- */

static char *
trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s + strspn(s, " \t");
}

/* "[default]" or "[profile default]" */
static bool
is_section(const char *line, const char *profile)
{
	size_t len = strlen(profile);

	line += strncmp(line, "[profile ", 9) == 0 ? 9 : 1;
	return strncmp(line, profile, len) == 0 && line[len] == ']';
}

static void
take_line(struct arena *a, char *line, struct s3_keys *keys)
{
	char *value = strchr(line, '=');

	if (value == NULL)
		return;
	*value++ = '\0';
	line = trim(line);
	value = arena_strdup(a, trim(value));
	if (strcmp(line, "aws_access_key_id") == 0)
		keys->access = value;
	else if (strcmp(line, "aws_secret_access_key") == 0)
		keys->secret = value;
	else if (strcmp(line, "aws_session_token") == 0)
		keys->token = value;
}

static const char *
file_name(struct arena *a)
{
	const char *name = getenv("AWS_SHARED_CREDENTIALS_FILE");
	const char *home = getenv("HOME");

	if (is_there(name))
		return name;
	return is_there(home) ? arena_printf(a, "%s/.aws/credentials", home) :
				NULL;
}

static bool
from_file(struct arena *a, const char *profile, struct s3_keys *keys)
{
	const char *name = file_name(a);
	FILE *f = name != NULL ? fopen(name, "re") : NULL;
	bool is_ours = false;
	char *line = NULL, *text;
	size_t room = 0;

	if (f == NULL)
		return false;
	while (getline(&line, &room, f) != -1) {
		text = trim(line);
		if (*text == '[')
			is_ours = is_section(text, profile);
		else if (is_ours && *text != '#' && *text != ';')
			take_line(a, text, keys);
	}
	if (line != NULL)
		memset(line, 0, room);
	free(line);
	(void)fclose(f);
	return is_there(keys->access) && is_there(keys->secret);
}

enum err_code
s3_find_keys(const struct conf *conf, struct arena *a, struct s3_keys *keys,
    struct err *e)
{
	const char *profile = conf->s3.profile;

	keys->access = arena_strdup(a, conf->s3.access_key);
	keys->secret = arena_strdup(a, conf->s3.secret_key);
	keys->token = NULL;
	if (is_there(keys->access))
		return ERR_OK;
	if (*profile == '\0' && from_environment(a, keys))
		return ERR_OK;
	if (*profile == '\0')
		profile = is_there(getenv("AWS_PROFILE")) ?
		    getenv("AWS_PROFILE") :
		    "default";
	if (from_file(a, profile, keys))
		return ERR_OK;
	return err_set(
	    e, ERR_NOT_FOUND, "profile \"%.40s\" has no keys", profile);
}
