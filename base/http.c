/*
 * http.c - load libcurl.
 */
#include "config.h"

#include <dlfcn.h>
#include <string.h>

#include "base/compat.h"
#include "base/http.h"

static struct http_lib lib;

#define FUNCTION(name)                                                         \
	{                                                                      \
		"curl_" #name, &lib.name                                       \
	}

static const struct {
	const char *name;
	void *where;
} functions[] = {
	FUNCTION(global_init),
	FUNCTION(easy_init),
	FUNCTION(easy_reset),
	FUNCTION(easy_setopt),
	FUNCTION(easy_perform),
	FUNCTION(easy_getinfo),
	FUNCTION(easy_strerror),
	FUNCTION(easy_cleanup),
	FUNCTION(multi_init),
	FUNCTION(multi_setopt),
	FUNCTION(multi_add_handle),
	FUNCTION(multi_remove_handle),
	FUNCTION(multi_socket_action),
	FUNCTION(multi_info_read),
	FUNCTION(multi_cleanup),
	FUNCTION(slist_append),
	FUNCTION(slist_free_all),
};

static void *
open_library(void)
{
	static const char *const names[] = { "libcurl.so.4",
		"libcurl-gnutls.so.4" };
	void *handle = NULL;
	size_t i;

	for (i = 0; i < NITEMS(names) && handle == NULL; i++)
		handle = dlopen(names[i], RTLD_NOW);
	return handle;
}

static enum err_code
load(const char *key, struct err *e)
{
	void *handle, *function;
	size_t i;

	if ((handle = open_library()) == NULL)
		return err_set(e, ERR_SYSTEM,
		    "%s needs libcurl (Debian: libcurl4): %s", key, dlerror());
	for (i = 0; i < NITEMS(functions); i++) {
		if ((function = dlsym(handle, functions[i].name)) == NULL)
			break;
		memcpy(functions[i].where, &function, sizeof(function));
	}
	if (i == NITEMS(functions) &&
	    lib.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		return ERR_OK;
	lib.global_init = NULL;
	(void)dlclose(handle);
	return err_set(e, ERR_SYSTEM, "%s: libcurl does not start", key);
}

enum err_code
http_load(const char *key, const struct http_lib **functions_of, struct err *e)
{
	enum err_code rc = lib.global_init != NULL ? ERR_OK : load(key, e);

	if (rc == ERR_OK)
		*functions_of = &lib;
	return rc;
}
