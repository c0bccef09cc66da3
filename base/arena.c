/*
 * arena.c - blocks that are filled from the front and freed together.
 */
#include "config.h"

#ifdef HAVE_MALLOC_TRIM
#include <malloc.h>
#endif

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/digits.h"

/* Enough for an ordinary request with its headers, in two pages. */
#define BLOCK_SIZE ((size_t)8192)

struct block {
	struct block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) char data[];
};

struct arena {
	/* The newest block first; the last is the one that is kept. */
	struct block *blocks;
};

void
out_of_memory(void)
{
	static const char text[] = "tusfcgi: out of memory, giving up; "
				   "uploads stay as they are\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

void *
must_alloc(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

char *
must_strdup(const char *s)
{
	size_t len = strlen(s) + 1;

	return memcpy(must_alloc(len), s, len);
}

void
memory_give_back(void)
{
#ifdef HAVE_MALLOC_TRIM
	(void)malloc_trim(0);
#endif
}

static struct block *
add_block(struct arena *a, size_t size)
{
	struct block *b;

	if (size > SIZE_MAX - sizeof(*b))
		out_of_memory();
	b = malloc(sizeof(*b) + size);
	if (b == NULL)
		out_of_memory();
	b->size = size;
	b->used = 0;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

struct arena *
arena_new(void)
{
	struct arena *a = must_alloc(sizeof(*a));

	(void)add_block(a, BLOCK_SIZE - sizeof(struct block));
	return a;
}

static void
free_blocks(struct arena *a, const struct block *last)
{
	struct block *b;

	while ((b = a->blocks) != last) {
		a->blocks = b->next;
		free(b);
	}
}

void
arena_free(struct arena *a)
{
	free_blocks(a, NULL);
	free(a);
}

void
arena_reset(struct arena *a)
{
	struct block *first = a->blocks;

	while (first->next != NULL)
		first = first->next;
	free_blocks(a, first);
	first->used = 0;
}

static size_t
aligned(size_t size)
{
	const size_t align = alignof(max_align_t);

	if (size > SIZE_MAX - align)
		out_of_memory();
	return (size + align - 1) / align * align;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	struct block *b = a->blocks;
	void *p;

	size = aligned(size);
	if (size > b->size - b->used)
		b = add_block(a, size > BLOCK_SIZE ? size : BLOCK_SIZE);
	p = b->data + b->used;
	b->used += size;
	return memset(p, 0, size);
}

char *
arena_memdup(struct arena *a, const void *src, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		out_of_memory();
	copy = arena_alloc(a, len + 1);
	if (len > 0)
		memcpy(copy, src, len);
	return copy;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return s == NULL ? NULL : arena_memdup(a, s, strlen(s));
}

char *
arena_join(struct arena *a, const char *const parts[])
{
	size_t i, len = 0;
	char *s, *end;

	for (i = 0; parts[i] != NULL; i++)
		len += strlen(parts[i]);
	s = end = arena_alloc(a, len + 1);
	for (i = 0; parts[i] != NULL; i++)
		end = stpcpy(end, parts[i]);
	return s;
}

char *
arena_int(struct arena *a, int64_t number)
{
	char text[DIGITS_MAX];
	char *end = text + sizeof(text);
	const char *p = digits_before(end, number);

	return arena_memdup(a, p, (size_t)(end - p));
}

/* Print into the rest of the block if the text fits there, as nearly all
 * does. */
char *
arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	struct block *b = a->blocks;
	size_t room = b->size - b->used;
	va_list again;
	char *s;
	int len;

	va_copy(again, ap);
	len = vsnprintf(b->data + b->used, room, fmt, again);
	va_end(again);
	if (len < 0)
		out_of_memory();
	if (aligned((size_t)len + 1) <= room) {
		s = b->data + b->used;
		b->used += aligned((size_t)len + 1);
		return s;
	}
	s = arena_alloc(a, (size_t)len + 1);
	(void)vsnprintf(s, (size_t)len + 1, fmt, ap);
	return s;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}
