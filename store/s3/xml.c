/*
 * xml.c - read the answers of S3, with expat.
 */
#include "config.h"

#include <dlfcn.h>
#include <expat.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/compat.h"
#include "store/s3/xml.h"

#define MAX_DEPTH 8
#define MAX_NAME  48

/* Upload ids have up to a thousand bytes, keys too. */
#define MAX_TEXT 8192

/* Functions of expat, by their names without "XML_". */
static struct {
	__typeof__(&XML_ParserCreate) ParserCreate;
	__typeof__(&XML_ParserFree) ParserFree;
	__typeof__(&XML_Parse) Parse;
	__typeof__(&XML_StopParser) StopParser;
	__typeof__(&XML_SetUserData) SetUserData;
	__typeof__(&XML_SetElementHandler) SetElementHandler;
	__typeof__(&XML_SetCharacterDataHandler) SetCharacterDataHandler;
	__typeof__(&XML_SetStartDoctypeDeclHandler) SetStartDoctypeDeclHandler;
} lib;

#define FUNCTION(name)                                                         \
	{                                                                      \
		"XML_" #name, &lib.name                                        \
	}

static const struct {
	const char *name;
	void *where;
} functions[] = {
	FUNCTION(ParserCreate),
	FUNCTION(ParserFree),
	FUNCTION(Parse),
	FUNCTION(StopParser),
	FUNCTION(SetUserData),
	FUNCTION(SetElementHandler),
	FUNCTION(SetCharacterDataHandler),
	FUNCTION(SetStartDoctypeDeclHandler),
};

struct reading {
	XML_Parser parser;
	s3_xml_seen *seen;
	s3_xml_ended *ended;
	void *arg;
	char names[MAX_DEPTH][MAX_NAME];
	size_t depth;
	/* The element that is open has no elements in it so far. */
	bool is_leaf;
	bool is_bad;
	size_t len;
	char text[MAX_TEXT];
};

enum err_code
s3_xml_load(struct err *e)
{
	void *handle, *function;
	size_t i;

	if (lib.ParserCreate != NULL)
		return ERR_OK;
	if ((handle = dlopen("libexpat.so.1", RTLD_NOW)) == NULL)
		return err_set(e, ERR_SYSTEM,
		    "store.type s3 needs expat (Debian: libexpat1): %s",
		    dlerror());
	for (i = 0; i < NITEMS(functions); i++) {
		if ((function = dlsym(handle, functions[i].name)) == NULL) {
			lib.ParserCreate = NULL;
			return err_set(e, ERR_SYSTEM, "expat has no %s",
			    functions[i].name);
		}
		memcpy(functions[i].where, &function, sizeof(function));
	}
	return ERR_OK;
}

static void
give_up(struct reading *r)
{
	r->is_bad = true;
	(void)lib.StopParser(r->parser, XML_FALSE);
}

static void
on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = arg;

	(void)attributes;
	if (r->depth == MAX_DEPTH || strlen(name) >= MAX_NAME) {
		give_up(r);
		return;
	}
	memcpy(r->names[r->depth++], name, strlen(name) + 1);
	r->len = 0;
	r->is_leaf = true;
}

static void
on_end(void *arg, const XML_Char *name)
{
	struct reading *r = arg;
	struct s3_xml_text t = { .parent = "", .name = name, .text = r->text };

	if (r->is_bad)
		return;
	r->text[r->len] = '\0';
	if (--r->depth > 0)
		t.parent = r->names[r->depth - 1];
	if (r->is_leaf)
		r->seen(r->arg, &t);
	else
		r->ended(r->arg, name);
	r->is_leaf = false;
	r->len = 0;
}

static void
on_text(void *arg, const XML_Char *text, int len)
{
	struct reading *r = arg;

	if ((size_t)len >= sizeof(r->text) - r->len) {
		give_up(r);
		return;
	}
	memcpy(r->text + r->len, text, (size_t)len);
	r->len += (size_t)len;
}

static void
on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
    const XML_Char *public, int has_subset)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_subset;
	give_up(arg);
}

/* AWS sends blanks, to keep a connection open, before anything else. */
static size_t
blanks(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && strchr(" \t\r\n", text[n]) != NULL && text[n] != '\0')
		n++;
	return n;
}

enum err_code
s3_xml_read(const char *text, size_t len, s3_xml_seen *seen,
    s3_xml_ended *ended, void *arg, struct err *e)
{
	struct reading *r = must_alloc(sizeof(*r));
	size_t skip = blanks(text, len);
	enum XML_Status status;

	r->seen = seen;
	r->ended = ended;
	r->arg = arg;
	r->depth = r->len = 0;
	r->is_leaf = r->is_bad = false;
	if ((r->parser = lib.ParserCreate(NULL)) == NULL)
		out_of_memory();
	lib.SetUserData(r->parser, r);
	lib.SetElementHandler(r->parser, on_start, on_end);
	lib.SetCharacterDataHandler(r->parser, on_text);
	lib.SetStartDoctypeDeclHandler(r->parser, on_doctype);
	status = lib.Parse(r->parser, text + skip, (int)(len - skip), 1);
	lib.ParserFree(r->parser);
	free(r);
	if (status != XML_STATUS_OK)
		return err_set(e, ERR_UNAVAILABLE,
		    "the answer of S3 is no XML: %.60s", text);
	return ERR_OK;
}
