/*
 * no_s3.c - no store for buckets, for a program that cannot load libcurl.
 */
#include "config.h"

#include "store/store.h"

static enum err_code
refuse_keys(const struct conf *conf, struct err *e)
{
	(void)conf;
	return err_set(e, ERR_INVALID,
	    "store.type = \"s3\" is not in this program, which is in one file");
}

static enum err_code
refuse(const struct conf *conf, struct data_store **ds, struct err *e)
{
	*ds = NULL;
	return refuse_keys(conf, e);
}

const struct store_class store_s3 = {
	.name = "s3",
	.check_keys = refuse_keys,
	.open = refuse,
};
