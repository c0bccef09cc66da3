/*
 * idset.c - a hash table of numbers, searched from the place of the number on.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/idset.h"

/* The places of a new table; a power of two, as all later sizes. */
#define FIRST_SIZE ((size_t)1024)

/* The bits of a place that hold the mark. */
#define MARK UINT64_C(3)

struct id_set {
	/* 0 is a free place. */
	uint64_t *places;
	size_t size, used, most;
	uint64_t seed;
};

struct id_set *
id_set_new(size_t most)
{
	struct id_set *s = must_alloc(sizeof(*s));

	s->most = most;
	s->size = FIRST_SIZE;
	s->places = must_alloc(s->size * sizeof(*s->places));
	/* Ids that collide today do not collide tomorrow. */
	s->seed = (uint64_t)clock_ns();
	return s;
}

void
id_set_free(struct id_set *s)
{
	free(s->places);
	free(s);
}

/* FNV-1a, and the last steps of MurmurHash3, because FNV mixes the upper bits
 * badly. */
static uint64_t
number_of(const struct id_set *s, const char *id)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ s->seed;

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return (h ^ h >> 33) & ~MARK;
}

/* The place of the number, or the free one where it belongs. */
static uint64_t *
find(uint64_t *places, size_t size, uint64_t number)
{
	size_t i = (size_t)(number >> 2) & (size - 1);

	while (places[i] != 0 && (places[i] & ~MARK) != number)
		i = (i + 1) & (size - 1);
	return &places[i];
}

static void
grow(struct id_set *s)
{
	size_t i, size = 2 * s->size;
	uint64_t *places = must_alloc(size * sizeof(*places));

	for (i = 0; i < s->size; i++)
		if (s->places[i] != 0)
			*find(places, size, s->places[i] & ~MARK) =
			    s->places[i];
	free(s->places);
	s->places = places;
	s->size = size;
}

void
id_set_add(struct id_set *s, const char *id, unsigned mark)
{
	uint64_t number = number_of(s, id);

	if (s->used == s->most)
		return;
	if (s->used >= s->size / 4 * 3)
		grow(s);
	*find(s->places, s->size, number) = number | mark;
	s->used++;
}

unsigned
id_set_mark(const struct id_set *s, const char *id)
{
	return (unsigned)(*find(s->places, s->size, number_of(s, id)) & MARK);
}
