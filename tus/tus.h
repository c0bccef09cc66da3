/*
 * tus.h - the tus 1.0.0 protocol.
 */
#ifndef TUS_TUS_H
#define TUS_TUS_H

#include "web/web.h"

#define TUS_VERSION "1.0.0"

/* To be listed in web_server.protocols. */
extern const struct web_protocol tus_protocol;

/*
 * The extensions that this server offers, for tusfcgi -t and the log: the value
 * of Tus-Extension, "" if there is none.
 */
const char *tus_extensions(const struct core *, struct arena *);

#endif
