/*
 * trust.c - the certificates that are trusted, read once for all workers.
 *
 * A worker that reads Debian's bundle itself has six megabytes of its own for
 * it.  A master reads it before it forks, and libcurl is handed what it made:
 * that works where libcurl uses OpenSSL, and elsewhere libcurl reads the file.
 */
#include "config.h"

#include <openssl/x509_vfy.h>

#include <sys/stat.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "store/s3/s3.h"

/* Where libcurl looks on Debian. */
static const char usual_file[] = "/etc/ssl/certs/ca-certificates.crt";

static struct {
	X509_STORE *store;
	/* The file that it was read from. */
	dev_t dev;
	ino_t ino;
	struct timespec changed;
	/* SSL_CTX_set1_cert_store(), for libcurl's own library. */
	void (*use)(void *, X509_STORE *);
} trust;

static bool
is_known(const struct stat *st)
{
	return trust.store != NULL && trust.dev == st->st_dev &&
	    trust.ino == st->st_ino &&
	    trust.changed.tv_sec == st->st_mtim.tv_sec &&
	    trust.changed.tv_nsec == st->st_mtim.tv_nsec;
}

/* The library that libcurl has brought along; none is loaded for this. */
static bool
find_use(void)
{
	void *library = dlopen("libssl.so.3", RTLD_NOW | RTLD_NOLOAD), *found;

	if (library == NULL)
		return false;
	if ((found = dlsym(library, "SSL_CTX_set1_cert_store")) != NULL)
		memcpy(&trust.use, &found, sizeof(found));
	return found != NULL;
}

void
s3_read_trust(const char *ca_file)
{
	const char *file = *ca_file != '\0' ? ca_file : usual_file;
	X509_STORE *store;
	struct stat st;

	if (stat(file, &st) == -1 || is_known(&st) || !find_use())
		return;
	store = X509_STORE_new();
	if (store == NULL ||
	    X509_STORE_load_locations(store, file, NULL) != 1) {
		X509_STORE_free(store);
		return;
	}
	X509_STORE_free(trust.store);
	trust.store = store;
	trust.dev = st.st_dev;
	trust.ino = st.st_ino;
	trust.changed = st.st_mtim;
}

static CURLcode
use_trust(CURL *curl, void *context, void *arg)
{
	(void)curl;
	(void)arg;
	trust.use(context, trust.store);
	return CURLE_OK;
}

bool
s3_share_trust(const struct http_lib *http, CURL *curl)
{
	if (trust.store == NULL ||
	    http->easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, use_trust) !=
		CURLE_OK)
		return false;
	/* Otherwise libcurl would read its own certificates as well. */
	(void)http->easy_setopt(curl, CURLOPT_CAINFO, NULL);
	(void)http->easy_setopt(curl, CURLOPT_CAPATH, NULL);
	return true;
}
