/*
 * cred.h - the keys with which S3 is asked.
 */
#ifndef STORE_S3_CRED_H
#define STORE_S3_CRED_H

#include "base/conf.h"
#include "store/s3/sign.h"

/*
 * The first that is there: s3.access_key and s3.secret_key, AWS_ACCESS_KEY_ID
 * and its sisters, the file ~/.aws/credentials (AWS_SHARED_CREDENTIALS_FILE).
 * ERR_INVALID if there are none, or only half; no text has a secret in it.
 */
MUST_CHECK enum err_code s3_find_keys(
    const struct conf *, struct arena *, struct s3_keys *, struct err *);

#endif
