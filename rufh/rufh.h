/*
 * rufh.h - Resumable Uploads for HTTP, the IETF's draft
 * draft-ietf-httpbis-resumable-upload, supported beside tus.
 */
#ifndef RUFH_RUFH_H
#define RUFH_RUFH_H

#include "web/web.h"

extern const struct web_protocol rufh_protocol;

#endif
