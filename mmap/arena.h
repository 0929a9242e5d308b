/* The arena: one large anonymous mapping cut into frames of a page each, for pages changed since
 * the last checkpoint. Used by the holder of the writer lock only; readers merely read frames. */
#ifndef KV_MMAP_ARENA_H
#define KV_MMAP_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/mem.h"

struct arena {
	struct mem mem;
	uint8_t *base;
	size_t mapped; /* bytes of address space */
	uint32_t page_size;
	uint64_t limit;        /* frames in use at which the arena counts as full */
	uint64_t room;         /* frames in all, the reserve included */
	_Atomic uint64_t used; /* frames in use; atomic for those who only want to know */
	uint64_t high;         /* frames ever touched since the last trim: [0, high) */
	uint64_t *taken;       /* bit per frame below known */
	uint64_t *free; /* stack of free frames below high: the last freed is warm in the cache */
	size_t free_count;
	uint64_t known; /* frames that taken and free have room for, a multiple of 64 */
};

/* Reserves address space; memory is taken when frames are first touched. Huge pages are advised
 * only beyond the first 2 MiB, so that an idle database stays small. KV_NOMEM. */
int arena_open(struct arena *arena, const struct mem *mem, uint32_t page_size, uint64_t limit_bytes,
               uint64_t reserve_bytes);

/* Closing an arena that was never opened, but zeroed, is fine. */
void arena_close(struct arena *arena);

/* Takes the frame freed last, else an untouched one. KV_NOMEM when all frames (the reserve
 * included) are in use, or when there is no memory for the books. */
int arena_take(struct arena *arena, uint64_t *frame);

/* Idempotent: a frame that is free already stays so. Never fails: arena_take made room. */
void arena_give(struct arena *arena, uint64_t frame);

/* True for a frame in use. Any number may be asked for. */
bool arena_is_taken(const struct arena *arena, uint64_t frame);

/* Gives memory above the highest frame in use, and free huge pages below it, back to the system. */
void arena_trim(struct arena *arena);

#endif
