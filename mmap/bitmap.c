#include "mmap/bitmap.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <sys/mman.h>

#include "mmap/status.h"

static size_t bitmap_bytes(uint64_t bits)
{
	return (size_t)(bits / 64 + 1) * sizeof(bitmap_word);
}

int bitmap_open(bitmap_word **map, uint64_t bits)
{
	void *words = mmap(NULL, bitmap_bytes(bits), PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (words == MAP_FAILED)
		return status_fail_errno(ENOMEM, "no address space for %" PRIu64 " bits", bits);
	/* A huge page would make the smallest database pay 2 MiB for each map. */
	madvise(words, bitmap_bytes(bits), MADV_NOHUGEPAGE);
	*map = words;
	return KV_OK;
}

void bitmap_close(bitmap_word *map, uint64_t bits)
{
	if (map)
		munmap(map, bitmap_bytes(bits));
}

uint64_t bitmap_set(bitmap_word *map, uint64_t first, uint64_t count)
{
	uint64_t end = first + count, changed = 0;

	for (uint64_t w = first / 64; w * 64 < end; w++) {
		uint64_t mask = bitmap_mask(w, first, end);
		uint64_t before = atomic_fetch_or_explicit(&map[w], mask, memory_order_relaxed);

		changed += (uint64_t)__builtin_popcountll(mask & ~before);
	}
	return changed;
}

uint64_t bitmap_clear(bitmap_word *map, uint64_t first, uint64_t count)
{
	uint64_t end = first + count, changed = 0;

	for (uint64_t w = first / 64; w * 64 < end; w++) {
		uint64_t mask = bitmap_mask(w, first, end);
		uint64_t before = bitmap_load(map, w) & mask;

		/* Clearing what is clear would still take memory for the word. */
		if (before)
			before = atomic_fetch_and_explicit(&map[w], ~mask, memory_order_relaxed);
		changed += (uint64_t)__builtin_popcountll(mask & before);
	}
	return changed;
}

/* The first bit in [from, end) that is set in map ^ flip, or end. */
static uint64_t next_bit(const bitmap_word *map, uint64_t from, uint64_t end, uint64_t flip)
{
	for (uint64_t w = from / 64; w * 64 < end; w++) {
		uint64_t word = (bitmap_load(map, w) ^ flip) & bitmap_mask(w, from, end);

		if (word)
			return w * 64 + (uint64_t)__builtin_ctzll(word);
	}
	return end;
}

uint64_t bitmap_next_set(const bitmap_word *map, uint64_t from, uint64_t end)
{
	return next_bit(map, from, end, 0);
}

uint64_t bitmap_next_clear(const bitmap_word *map, uint64_t from, uint64_t end)
{
	return next_bit(map, from, end, UINT64_MAX);
}
