/*
 * http.h - libcurl, loaded when it is first needed.
 *
 * libcurl needs two dozen libraries: a program that sends no HTTP requests
 * starts three times as fast without them, and an idle pool needs half the
 * memory.
 */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include <curl/curl.h>

#include "base/err.h"

/* Functions of libcurl, by their names without "curl_". */
struct http_lib {
	__typeof__(&curl_global_init) global_init;
	__typeof__(&curl_easy_init) easy_init;
	__typeof__(&curl_easy_reset) easy_reset;
	/* libcurl's header defines macros of these names too. */
	CURLcode (*easy_setopt)(CURL *, CURLoption, ...);
	__typeof__(&curl_easy_perform) easy_perform;
	CURLcode (*easy_getinfo)(CURL *, CURLINFO, ...);
	__typeof__(&curl_easy_strerror) easy_strerror;
	__typeof__(&curl_easy_cleanup) easy_cleanup;
	__typeof__(&curl_multi_init) multi_init;
	CURLMcode (*multi_setopt)(CURLM *, CURLMoption, ...);
	__typeof__(&curl_multi_add_handle) multi_add_handle;
	__typeof__(&curl_multi_remove_handle) multi_remove_handle;
	__typeof__(&curl_multi_socket_action) multi_socket_action;
	__typeof__(&curl_multi_info_read) multi_info_read;
	__typeof__(&curl_multi_cleanup) multi_cleanup;
	__typeof__(&curl_slist_append) slist_append;
	__typeof__(&curl_slist_free_all) slist_free_all;
};

/*
 * Load the functions; they stay valid for the lifetime of this process and
 * those that it forks.  ERR_SYSTEM if the library cannot be loaded; the text
 * names the configuration key that needs it.
 */
MUST_CHECK enum err_code http_load(
    const char *key, const struct http_lib **, struct err *);

#endif
