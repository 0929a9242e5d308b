/* Bitmaps with a bit for every page that the file could ever have. They reserve address space only:
 * memory is taken where bits are touched. Bits are read and changed atomically, in no particular
 * order; whoever needs an order says so where it is used. */
#ifndef KV_MMAP_BITMAP_H
#define KV_MMAP_BITMAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t bitmap_word;

/* All bits clear. KV_NOMEM. */
int bitmap_open(bitmap_word **map, uint64_t bits);
void bitmap_close(bitmap_word *map, uint64_t bits);

static inline uint64_t bitmap_load(const bitmap_word *map, uint64_t word)
{
	return atomic_load_explicit(&map[word], memory_order_relaxed);
}

static inline bool bitmap_test(const bitmap_word *map, uint64_t bit)
{
	return bitmap_load(map, bit / 64) >> (bit % 64) & 1;
}

/* Set or clear bits [first, first + count). Return how many were different before. */
uint64_t bitmap_set(bitmap_word *map, uint64_t first, uint64_t count);
uint64_t bitmap_clear(bitmap_word *map, uint64_t first, uint64_t count);

/* The first bit in [from, end) that is set (clear), or end. */
uint64_t bitmap_next_set(const bitmap_word *map, uint64_t from, uint64_t end);
uint64_t bitmap_next_clear(const bitmap_word *map, uint64_t from, uint64_t end);

/* The part of a word that lies in [first, end): for going through a range word by word. */
static inline uint64_t bitmap_mask(uint64_t word, uint64_t first, uint64_t end)
{
	uint64_t mask = UINT64_MAX;

	if (word == first / 64)
		mask <<= first % 64;
	if (word == end / 64)
		mask &= (UINT64_C(1) << end % 64) - 1;
	return mask;
}

#endif
