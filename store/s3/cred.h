/*
 * cred.h - the keys that sign requests to S3.
 *
 * Some are written down and stay valid, others are lent by a service and
 * expire.  Lent keys are in a page that a master shares with the processes that
 * it forks: the master renews the keys for all of them, or a thousand workers
 * would ask the service.
 */
#ifndef STORE_S3_CRED_H
#define STORE_S3_CRED_H

#include <stdbool.h>

#include "base/conf.h"
#include "base/http.h"
#include "base/need.h"
#include "store/s3/sign.h"

/*
 * The first that are written down: s3.access_key and s3.secret_key,
 * AWS_ACCESS_KEY_ID and its sisters, the file ~/.aws/credentials
 * (AWS_SHARED_CREDENTIALS_FILE).  ERR_NOT_FOUND if there are none.
 */
MUST_CHECK enum err_code s3_find_keys(
    const struct conf *, struct arena *, struct s3_keys *, struct err *);

/* Keys that were lent, since when and until when; seconds since the epoch. */
struct s3_lease {
	char access[160];
	char secret[160];
	char token[4096];
	int64_t since, until;
};

/*
 * Ask the service that the environment names: STS for a web identity, the one
 * of a container, or that of a machine of EC2.  ERR_INVALID: none of them is
 * there; the text says what can be set.  ERR_UNAVAILABLE: no answer, or none
 * that makes sense.  No text has a secret in it.
 */
MUST_CHECK enum err_code s3_borrow_keys(const struct http_lib *,
    const char *region, struct s3_lease *, struct err *);

/* The files that both read, as a store's needs. */
void s3_keys_need(need_ear *, void *arg);

/*
 * Have a page with keys that were lent: make it, unless this process or its
 * parent has done so, and fill it, unless there are good ones in it.  Errors as
 * of s3_borrow_keys().
 */
MUST_CHECK enum err_code s3_open_lease(
    const struct http_lib *, const char *region, struct err *);

/*
 * The keys that are good now, where *generation is not theirs already; true if
 * the lease was changed.  Without a master it renews them itself; if that
 * fails, the old ones stay.
 */
bool s3_read_lease(
    const struct http_lib *, struct s3_lease *, unsigned *generation);

/* For a master, once a second: have a child renew the keys before they end. */
void s3_tend_lease(void);

#endif
