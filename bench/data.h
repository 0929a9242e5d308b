/* The data: the same for every engine, made from a seed.
 *
 * Entry number i has a key of 24 random bytes, computed from i whenever it is needed, and a value
 * of 150 random bytes, a window into a pool at a place computed from i. Both take nanoseconds, and
 * no memory traffic that would push an engine's pages out of the caches. */
#ifndef BENCH_DATA_H
#define BENCH_DATA_H

#include <stdint.h>
#include <string.h>

#include "bench/engine.h"

#define DATA_KEY_SIZE 24u
#define DATA_VALUE_SIZE 150u
#define DATA_LARGE_SIZE 2000000u
#define DATA_WINDOWS 65536u /* different places of a value in the pool; a power of two */

struct data {
	uint64_t seed;
	uint8_t *pool; /* DATA_WINDOWS + DATA_LARGE_SIZE bytes */
};

struct data_key {
	uint8_t bytes[DATA_KEY_SIZE];
};

void data_open(struct data *data, uint64_t seed);
void data_close(struct data *data);

/* Fills order with numbers below limit, drawn with replacement. The stream tells draws apart. */
void data_order(const struct data *data, uint64_t stream, uint32_t *order, uint64_t n,
                uint64_t limit);

/* A mixing of all bits (the finalizer of SplitMix64). */
static inline uint64_t data_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* The j-th random word of entry i. */
static inline uint64_t data_word(const struct data *data, uint64_t i, uint64_t j)
{
	return data_mix(data->seed + (i * 4 + j + 1) * 0x9e3779b97f4a7c15u);
}

static inline struct data_key data_key(const struct data *data, uint64_t i)
{
	struct data_key key;

	for (size_t j = 0; j < 3; j++) {
		uint64_t word = data_word(data, i, j);
		memcpy(key.bytes + 8 * j, &word, 8);
	}
	return key;
}

/* The i-th of n keys in ascending order: as random as the others, save for their order. */
static inline struct data_key data_sorted_key(const struct data *data, uint64_t i, uint64_t n)
{
	struct data_key key = data_key(data, i);
	uint64_t step = UINT64_MAX / n;
	uint64_t head = __builtin_bswap64(i * step + data_word(data, i, 0) % step);

	memcpy(key.bytes, &head, 8);
	return key;
}

static inline struct engine_bytes data_key_bytes(const struct data_key *key)
{
	return (struct engine_bytes){.data = key->bytes, .size = DATA_KEY_SIZE};
}

/* The value of the given size of entry i. */
static inline struct engine_bytes data_value(const struct data *data, uint64_t i, size_t size)
{
	uint64_t window = data_word(data, i, 3) % DATA_WINDOWS;

	return (struct engine_bytes){.data = data->pool + window, .size = size};
}

static inline uint64_t data_head(struct engine_bytes bytes)
{
	uint64_t word = 0;

	memcpy(&word, bytes.data, bytes.size < 8 ? bytes.size : 8);
	return word;
}

/* How a get is consumed: the whole value is read, as the sum of its words. */
static inline uint64_t data_sum(struct engine_bytes value)
{
	const uint8_t *p = value.data;
	uint64_t sum = value.size, word;

	for (; value.size >= 8; value.size -= 8, p += 8) {
		memcpy(&word, p, 8);
		sum += word;
	}
	word = 0;
	memcpy(&word, p, value.size);
	return sum + word;
}

/* How a step of a scan is consumed: the first word of key and value, and their sizes. */
static inline uint64_t data_glance(struct engine_bytes key, struct engine_bytes value)
{
	return data_head(key) + data_head(value) + key.size + (value.size << 32);
}

#endif
