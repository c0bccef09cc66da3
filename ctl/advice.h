/*
 * advice.h - the directives of web servers that tusctl doctor advises to
 * change.
 */
#ifndef CTL_ADVICE_H
#define CTL_ADVICE_H

enum front_end {
	FRONT_UNKNOWN,
	FRONT_NGINX,
	FRONT_LIGHTTPD,
	FRONT_APACHE,
	/* Known only if the Server header says it: ServerTokens may hide it. */
	FRONT_APACHE_FCGID,
	FRONT_MAX
};

enum advice {
	ADVICE_STREAM,
	ADVICE_BODY_SIZE,
	ADVICE_UNKNOWN_LENGTH,
	ADVICE_REQUEST_HEADER,
	ADVICE_REPLY_HEADER,
	ADVICE_OWN_ERRORS,
	ADVICE_SENDFILE,
	ADVICE_LENGTH,
	ADVICE_REACH,
	ADVICE_OVERRIDE,
	ADVICE_LOGIN,
	ADVICE_FILES,
	ADVICE_MAX
};

/* The web server named in a Server header; the name of one, NULL if unknown. */
enum front_end front_end_of(const char *server);
const char *front_end_name(enum front_end);

/* A sentence that names the directive. */
const char *advice_for(enum advice, enum front_end);

#endif
