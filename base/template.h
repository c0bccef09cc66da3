/*
 * template.h - paths made of what strangers say, as in finish.move_to.
 *
 * "/srv/in/{owner}/{id}-{filename}": the directories before the first
 * component with a placeholder are the root, which the administrator made.
 * What follows is put together anew for each upload, and whatever the values
 * are, it leads to a place below the root: no component is hidden, "." or
 * "..", and only {meta:relativePath} may be more than one.
 */
#ifndef BASE_TEMPLATE_H
#define BASE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/* What file systems take, in bytes. */
#define TEMPLATE_NAME_MAX 255

/*
 * An absolute path, without empty components, "." and "..", that ends in a
 * name and has at least one placeholder: {id}, {owner}, {filename}, {year},
 * {month}, {day} or {meta:KEY}.  A brace has no other use, and no component
 * behind the root begins with a dot.
 */
bool template_is_valid(const char *);

/* The root of a valid template; and what follows it, without the slash. */
char *template_root(struct arena *, const char *);
const char *template_rest(const char *);

/* The value of a placeholder: len bytes of any kind; NULL if there is none. */
typedef const char *template_value(
    const void *arg, const char *name, size_t name_len, size_t *len);

/*
 * Fill in the rest of a template.  In a value, what is a slash, a control
 * character or no UTF-8 becomes '_', and so does a value that is empty or
 * missing, and a dot that a component would begin with.  A component that is
 * too long loses the end of what comes before its extension.
 *
 * {meta:relativePath} says where a file was in a folder that was uploaded: its
 * slashes stay, and each name between them is treated as above.  Where it has
 * no folder, it means {filename}.
 */
char *template_fill(
    struct arena *, const char *rest, template_value *, const void *arg);

/* The names that a file system takes. */
struct template_names {
	/* Bytes of the longest, at most TEMPLATE_NAME_MAX. */
	size_t max;

	/* As Windows wants them: without < > : " | ? * and backslash, without a
	 * blank or dot at the end, and no name of a device. */
	bool is_windows;
};

/*
 * The path that template_fill() made, with names that can be had: what they may
 * not consist of becomes '_', a name that they may not be gets one in front,
 * and what is too long is cut as above.
 */
char *template_suit(
    struct arena *, const char *path, const struct template_names *);

/* "name-2.txt" of "name.txt" and 2; not too long, either. */
char *template_number(struct arena *, const char *name, unsigned n,
    const struct template_names *);

/* Could template_fill() have made this path? */
bool template_is_filled(const char *);

#endif
