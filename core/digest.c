/*
 * digest.c - the digests that a client may send with its bytes, and those of
 * all bytes of an upload.
 *
 * The cryptographic ones are libcrypto's, crc32 is zlib's.  A CRC is sent as
 * four bytes, the most significant first; the specification is silent.
 */
#include "config.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "base/compat.h"
#include "core/digest.h"

enum {
	CRC_LEN = 4
};

struct digest {
	const struct algorithm *how;
	EVP_MD_CTX *ctx;
	uint32_t crc;
};

struct algorithm {
	const char *name;
	/* NULL for a CRC. */
	const EVP_MD *(*md)(void);
	uint32_t (*crc)(uint32_t, const unsigned char *, size_t);
};

static uint32_t
update_crc32(uint32_t crc, const unsigned char *p, size_t len)
{
	return (uint32_t)crc32_z(crc, p, len);
}

/* Castagnoli's polynomial, reflected, a nibble at a time: no library of ours
 * has it, and sixteen numbers are easier to trust than 256. */
static uint32_t
update_crc32c(uint32_t crc, const unsigned char *p, size_t len)
{
	static const uint32_t nibble[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede,
		0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4,
		0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };
	size_t i;

	crc = ~crc;
	for (i = 0; i < len; i++) {
		crc ^= p[i];
		crc = (crc >> 4) ^ nibble[crc & 15];
		crc = (crc >> 4) ^ nibble[crc & 15];
	}
	return ~crc;
}

static const struct algorithm algorithms[] = {
	{ "sha1", EVP_sha1, NULL },
	{ "sha256", EVP_sha256, NULL },
	{ "sha512", EVP_sha512, NULL },
	{ "md5", EVP_md5, NULL },
	{ "crc32", NULL, update_crc32 },
	{ "crc32c", NULL, update_crc32c },
};

const char *
digest_name(size_t n)
{
	return n < NITEMS(algorithms) ? algorithms[n].name : NULL;
}

static const struct algorithm *
find_algorithm(const char *name)
{
	size_t i;

	for (i = 0; i < NITEMS(algorithms); i++)
		if (strcmp(algorithms[i].name, name) == 0)
			return &algorithms[i];
	return NULL;
}

/* A hardened libcrypto may refuse MD5. */
bool
digest_works(const char *name)
{
	const struct algorithm *how = find_algorithm(name);
	EVP_MD_CTX *ctx;
	bool works;

	if (how == NULL || how->md == NULL)
		return how != NULL;
	if ((ctx = EVP_MD_CTX_new()) == NULL)
		out_of_memory();
	works = EVP_DigestInit_ex(ctx, how->md(), NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return works;
}

struct digest *
digest_new(struct arena *a, const char *name)
{
	const struct algorithm *how = find_algorithm(name);
	struct digest *d;

	if (how == NULL)
		return NULL;
	d = arena_alloc(a, sizeof(*d));
	d->how = how;
	if (how->md == NULL)
		return d;
	d->ctx = EVP_MD_CTX_new();
	if (d->ctx == NULL || EVP_DigestInit_ex(d->ctx, how->md(), NULL) != 1)
		out_of_memory();
	return d;
}

void
digest_update(struct digest *d, const void *buf, size_t len)
{
	if (d->how->crc != NULL)
		d->crc = d->how->crc(d->crc, buf, len);
	else if (EVP_DigestUpdate(d->ctx, buf, len) != 1)
		out_of_memory();
}

static size_t
finish_digest(struct digest *d, unsigned char out[DIGEST_MAX])
{
	unsigned int len = 0;
	size_t i;

	if (d->how->crc == NULL) {
		if (EVP_DigestFinal_ex(d->ctx, out, &len) != 1)
			out_of_memory();
		return len;
	}
	for (i = 0; i < CRC_LEN; i++)
		out[i] = (unsigned char)(d->crc >> (24 - 8 * i));
	return CRC_LEN;
}

_Static_assert(DIGEST_MAX >= EVP_MAX_MD_SIZE, "room for each");

size_t
digest_take(struct digest *d, unsigned char out[DIGEST_MAX])
{
	size_t len = finish_digest(d, out);

	EVP_MD_CTX_free(d->ctx);
	d->ctx = NULL;
	return len;
}

bool
digest_end(struct digest *d, const struct sum *sum)
{
	unsigned char out[DIGEST_MAX];
	bool same = false;
	size_t len;

	if (sum != NULL) {
		len = finish_digest(d, out);
		same = len == sum->len &&
		    CRYPTO_memcmp(out, sum->digest, len) == 0;
	}
	EVP_MD_CTX_free(d->ctx);
	d->ctx = NULL;
	return same;
}

/* --- Of all bytes of an upload. --- */

#define PIECE (64 * 1024)

const char *
whole_format(struct arena *a, const char *before, const char *algorithm,
    const void *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = bytes;
	char *text = arena_alloc(a, 2 * len + 1);
	size_t i;

	for (i = 0; i < len; i++) {
		text[2 * i] = hex[p[i] >> 4];
		text[2 * i + 1] = hex[p[i] & 15];
	}
	return arena_printf(a, "%s%s%s=%s", before != NULL ? before : "",
	    before != NULL ? "," : "", algorithm, text);
}

enum err_code
whole_digest(struct upload *up, const char *algorithm, struct arena *a,
    unsigned char *bytes, size_t *len, struct err *e)
{
	const struct store_reader *reader = up->store->reader;
	char *piece = arena_alloc(a, PIECE);
	int64_t left = up->info.offset;
	struct digest *d;
	struct stream *s;
	enum err_code rc;
	ssize_t n = 0;

	if ((rc = reader->open(up, 0, a, &s, e)) != ERR_OK)
		return rc;
	d = digest_new(a, algorithm);
	while (left > 0 && (n = reader->read(s, piece, PIECE, e)) > 0) {
		digest_update(d, piece, (size_t)n);
		left -= n;
	}
	reader->close(s);
	*len = digest_take(d, bytes);
	if (n < 0)
		return e->code;
	return left == 0 ?
	    ERR_OK :
	    err_set(e, ERR_SYSTEM, "%s: bytes are missing", up->info.id);
}

/* The name at the beginning of a member; NULL if it is unknown. */
static const char *
algorithm_of(const char *member)
{
	size_t i, len = strcspn(member, "=");

	for (i = 0; digest_name(i) != NULL; i++)
		if (strlen(digest_name(i)) == len &&
		    memcmp(digest_name(i), member, len) == 0)
			return digest_name(i);
	return NULL;
}

static bool
is_same(const char *member, const char *ours)
{
	size_t len = strcspn(member, ",");

	return strlen(ours) == len && memcmp(member, ours, len) == 0;
}

enum err_code
whole_check(
    struct upload *up, struct arena *a, const char **wrong, struct err *e)
{
	const char *member = up->info.digest, *algorithm;
	unsigned char bytes[DIGEST_MAX];
	enum err_code rc;
	size_t len;

	*wrong = NULL;
	while (member != NULL && up->store->reads_unfinished) {
		algorithm = algorithm_of(member);
		if (algorithm != NULL) {
			rc = whole_digest(up, algorithm, a, bytes, &len, e);
			if (rc != ERR_OK)
				return rc;
			if (!is_same(member,
				whole_format(a, NULL, algorithm, bytes, len)))
				*wrong = algorithm;
		}
		member = strchr(member, ',');
		if (member != NULL)
			member++;
	}
	return ERR_OK;
}
