/* Key distributions that give B+trees trouble. */
#ifndef TESTS_KEYS_H
#define TESTS_KEYS_H

#include <stddef.h>
#include <stdint.h>

enum key_kind {
	KEY_RANDOM,     /* 24 random bytes */
	KEY_DENSE,      /* small integers: almost every key of the range exists */
	KEY_PREFIX,     /* a long prefix that all share, then 8 digits */
	KEY_ZEROS,      /* 0 to 24 bytes, nearly all of them zero */
	KEY_ONE_BYTE,   /* 64 bytes, one of which differs */
	KEY_NESTED,     /* of any length, each a prefix of the longer ones */
	KEY_ASCENDING,  /* in order of the number */
	KEY_DESCENDING, /* against it */
	KEY_LIMIT,      /* as long as allowed, differing at the very end */
	KEY_MIXED,      /* any of these */
	KEY_KINDS
};

/* Writes key number `number` of a kind to buffer (max bytes, at least 256); returns its size. The
 * same number always gives the same key; different numbers may give the same key too. */
size_t key_make(enum key_kind kind, uint64_t number, size_t max, unsigned char *buffer);

/* How many numbers to draw from, so that keys meet and long ones do not fill the memory. */
uint64_t key_domain(enum key_kind kind, size_t max);

#endif
