/*
 * advice.c - how each web server calls the directives that matter.
 */
#include "config.h"

#include <stddef.h>
#include <string.h>

#include "ctl/advice.h"

static const struct {
	/* To be found in the Server header; the first match counts. */
	const char *token;
	enum front_end front_end;
} tokens[] = {
	{ "nginx", FRONT_NGINX },
	{ "lighttpd", FRONT_LIGHTTPD },
	{ "mod_fcgid", FRONT_APACHE_FCGID },
	{ "Apache", FRONT_APACHE },
};

static const char *const names[FRONT_MAX] = {
	[FRONT_UNKNOWN] = "the web server",
	[FRONT_NGINX] = "nginx",
	[FRONT_LIGHTTPD] = "lighttpd",
	[FRONT_APACHE] = "Apache",
	[FRONT_APACHE_FCGID] = "Apache with mod_fcgid",
};

#define FCGID_CANNOT                                                           \
	"it cannot; use mod_proxy_fcgi (tusfcgi-proxy.conf), or have clients " \
	"send pieces: chunkSize of some MiB, or 131072 where the host limits " \
	"a request to 128 KiB"
#define APACHE_SPOOLS                                                          \
	"with mod_security2 SecRequestBodyAccess Off, see "                    \
	"tusfcgi-proxy.conf; "                                                 \
	"with mod_fcgid " FCGID_CANNOT
#define FCGID_SIZE                                                             \
	"FcgidMaxRequestLen (server or virtual host) and LimitRequestBody 0; " \
	"where that is not yours to set, clients must send pieces: chunkSize " \
	"131072"

#define NO_OVERRIDE                                                            \
	"tusfcgi does no such thing since 0.1.0: update it, and see that "     \
	"nothing in front of it changes the method"
#define APACHE_LOGIN                                                           \
	"AuthType Basic and, in a <RequireAny>, Require method OPTIONS and "   \
	"Require valid-user: see tusfcgi-proxy.conf"
#define APACHE_FILES                                                           \
	"take the .htaccess that comes with tusfcgi; where that is not read "  \
	"(AllowOverride None), store.path, log.target and hooks.dir must be "  \
	"outside of what the web server shows"
#define FILES                                                                  \
	"this server reads no .htaccess: store.path, log.target, hooks.dir "   \
	"and the configuration must be outside of what it shows"

static const char *const advices[ADVICE_MAX][FRONT_MAX] = {
	[ADVICE_STREAM] = { "turn off the buffering of requests",
	    "fastcgi_request_buffering off;", "server.stream-request-body = 1",
	    APACHE_SPOOLS, FCGID_CANNOT },
	[ADVICE_BODY_SIZE] = { "raise its limit for request bodies",
	    "client_max_body_size 0;", "server.max-request-size = 0",
	    "LimitRequestBody 0; with mod_security2 SecRequestBodyAccess Off; "
	    "with "
	    "mod_fcgid FcgidMaxRequestLen too",
	    FCGID_SIZE },
	[ADVICE_UNKNOWN_LENGTH] = { "bodies without Content-Length are refused",
	    "turn chunked_transfer_encoding on",
	    "it cannot while it streams; server.stream-request-body = 0 can, "
	    "but then nothing is kept of a broken connection",
	    "with mod_security2 SecRequestBodyAccess Off; no directive of "
	    "Apache's "
	    "own is known to forbid it",
	    FCGID_SIZE },
	[ADVICE_REQUEST_HEADER] = { "raise its limit for a request header",
	    "large_client_header_buffers 4 32k; (in the default server)",
	    "server.max-request-field-size = 32768",
	    "LimitRequestFieldSize 16360 (in the first virtual host)",
	    "LimitRequestFieldSize 32768 (in the first virtual host)" },
	[ADVICE_REPLY_HEADER] = { "raise its limit for the header of an answer",
	    "fastcgi_buffer_size 32k; fastcgi_buffers 8 32k;",
	    "no directive is known; lower max_metadata in tusfcgi.conf",
	    "no directive is known; lower max_metadata in tusfcgi.conf",
	    "no directive is known; lower max_metadata in tusfcgi.conf" },
	[ADVICE_OWN_ERRORS] = { "let it pass on the error answers of FastCGI "
				"programs",
	    "fastcgi_intercept_errors off;",
	    "server.error-intercept = \"disable\"", "ProxyErrorOverride Off",
	    "no ErrorDocument for this location" },
	[ADVICE_SENDFILE] = { "download.sendfile = \"none\" in tusfcgi.conf",
	    "download.sendfile = \"x-accel\" in tusfcgi.conf",
	    "\"x-sendfile\" => \"enable\" and x-sendfile-docroot",
	    "a2enmod xsendfile, XSendFile On, XSendFilePath; or "
	    "download.sendfile = \"none\" in tusfcgi.conf",
	    "a2enmod xsendfile, XSendFile On, XSendFilePath; or "
	    "download.sendfile = \"none\" in tusfcgi.conf" },
	[ADVICE_LENGTH] = { "Content-Length is taken away",
	    "Content-Length is taken away", "Content-Length is taken away",
	    "SetEnv ap_trust_cgilike_cl 1", "SetEnv ap_trust_cgilike_cl 1" },
	[ADVICE_REACH] = { "is tusfcgi running, and may the web server open "
			   "its socket?",
	    "is tusfcgi running, and may nginx's user open the socket that "
	    "fastcgi_pass names?",
	    "is tusfcgi running, and may lighttpd's user open the socket that "
	    "fastcgi.server names?",
	    "is tusfcgi running, and may Apache's user open the socket that "
	    "ProxyPass names?",
	    "Apache's error log has what tusfcgi said when it was started" },
	[ADVICE_OVERRIDE] = { NO_OVERRIDE, NO_OVERRIDE, NO_OVERRIDE,
	    NO_OVERRIDE, NO_OVERRIDE },
	[ADVICE_LOGIN] = { "ask for a password for every method but OPTIONS",
	    "limit_except OPTIONS { auth_basic ...; }, and REMOTE_USER only "
	    "beside that",
	    "auth.require for this path, where the method is not OPTIONS",
	    APACHE_LOGIN, APACHE_LOGIN },
	[ADVICE_FILES] = { FILES, FILES, FILES, APACHE_FILES, APACHE_FILES },
};

enum front_end
front_end_of(const char *server)
{
	size_t i;

	for (i = 0; server != NULL && i < sizeof(tokens) / sizeof(tokens[0]);
	     i++)
		if (strstr(server, tokens[i].token) != NULL)
			return tokens[i].front_end;
	return FRONT_UNKNOWN;
}

const char *
front_end_name(enum front_end f)
{
	return names[f];
}

const char *
advice_for(enum advice a, enum front_end f)
{
	return advices[a][f];
}
