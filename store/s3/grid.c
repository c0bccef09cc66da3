/*
 * grid.c - which bytes are in which part, and how far they go.
 */
#include "config.h"

#include "store/s3/s3.h"

#define MIB ((int64_t)1 << 20)

/* Five GiB: what S3 takes. */
#define PART_MAX (5 * 1024 * MIB)

/* After so many parts of one size the next ones have this size. */
static int64_t
grown(int64_t size)
{
	return size <= PART_MAX / 2 ? 2 * size : PART_MAX;
}

int64_t
s3_part_size(const struct s3_upload *u, size_t n)
{
	int64_t size = u->part_size;

	if (!u->part_growth)
		return size;
	n -= n < u->adopted_parts ? n : u->adopted_parts;
	for (; n > S3_GROWS_EACH; n -= S3_GROWS_EACH)
		size = grown(size);
	return size;
}

/* How many bytes the parts before number n + 1 have. */
static int64_t
grid_line(const struct s3_upload *u, size_t n)
{
	int64_t line = u->adopted, size = u->part_size;

	n -= n < u->adopted_parts ? n : u->adopted_parts;
	if (!u->part_growth)
		return line + (int64_t)n * size;
	for (; n > S3_GROWS_EACH; n -= S3_GROWS_EACH) {
		line += S3_GROWS_EACH * size;
		size = grown(size);
	}
	return line + (int64_t)n * size;
}

void
s3_limit_size(struct s3_upload *u)
{
	int64_t *max = &u->base.info.max_size;
	int64_t most = grid_line(u, S3_PARTS_MAX);

	if (!u->base.info.size_deferred)
		return;
	most = most < S3_SIZE_MAX ? most : S3_SIZE_MAX;
	if (*max == 0 || *max > most)
		*max = most;
}

int64_t
s3_part_end(const struct s3_upload *u, size_t n)
{
	const struct file_info *info = &u->base.info;
	int64_t line = grid_line(u, n);

	return !info->size_deferred && info->size < line ? info->size : line;
}

int64_t
s3_choose_part_size(const struct s3_store *s, const struct file_info *info)
{
	int64_t least = (info->size + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

	if (info->size_deferred)
		return s->part_size;
	least = (least + MIB - 1) / MIB * MIB;
	if (info->size > S3_SIZE_MAX || least > PART_MAX)
		return 0;
	return info->size <= s->part_size * S3_PARTS_MAX ? s->part_size : least;
}

int64_t
s3_choose_rest_size(const struct s3_upload *u)
{
	int64_t left = S3_PARTS_MAX - (int64_t)u->adopted_parts;
	int64_t size = u->part_size > 0 ? u->part_size : u->s->part_size;
	int64_t least;

	if (u->base.info.size_deferred || left <= 0)
		return size;
	least = (u->base.info.size - u->adopted + left - 1) / left;
	least = (least + MIB - 1) / MIB * MIB;
	return (u->base.info.size - u->adopted) / size < left ? size : least;
}

/* Adopted parts have any size, and none is missing. */
static size_t
count_adopted(struct s3_upload *u)
{
	int64_t sum = 0;
	size_t n;

	for (n = 0; n < u->adopted_parts && n < u->n_parts; n++)
		sum += u->parts[n].size;
	if (n < u->adopted_parts || sum != u->adopted)
		return 0;
	u->prefix = sum;
	return n;
}

static void
find_prefix(struct s3_upload *u)
{
	size_t n;

	u->prefix = 0;
	n = count_adopted(u);
	for (; n >= u->adopted_parts && n < u->n_parts; n++) {
		if (u->parts[n].size == 0 ||
		    u->parts[n].size != s3_part_end(u, n + 1) - u->prefix)
			break;
		u->prefix += u->parts[n].size;
	}
	u->has_stray_parts = n < u->n_parts;
	u->n_parts = n;
}

/* The segment that leads farthest from here. */
static struct s3_segment *
next_in_chain(struct s3_upload *u, int64_t offset)
{
	struct s3_segment *best = NULL, *g;
	size_t i;

	for (i = 0; i < u->n_segments; i++) {
		g = &u->segments[i];
		if (g->start <= offset && offset < g->end &&
		    (best == NULL || g->end > best->end))
			best = g;
	}
	return best;
}

void
s3_judge(struct s3_upload *u)
{
	struct file_info *info = &u->base.info;
	struct s3_segment *g;
	int64_t offset;

	find_prefix(u);
	offset = u->prefix;
	while ((g = next_in_chain(u, offset)) != NULL) {
		g->is_used = true;
		offset = g->end;
	}
	/* Bytes beyond the length that the client announced do not count. */
	if (!info->size_deferred && offset > info->size)
		offset = info->size;
	info->offset = offset;
}
