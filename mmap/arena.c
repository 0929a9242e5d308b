#include "mmap/arena.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "mmap/status.h"

#define HUGE_PAGE ((size_t)2 << 20)

static size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* A reservation of bytes (a multiple of HUGE_PAGE) that begins at a multiple of HUGE_PAGE. */
static uint8_t *reserve_aligned(size_t bytes)
{
	uint8_t *start, *base;
	size_t before;

	start = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE,
	             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	before = (HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE;
	base = start + before;
	if (before)
		munmap(start, before);
	munmap(base + bytes, HUGE_PAGE - before);
	return base;
}

int arena_open(struct arena *arena, const struct mem *mem, uint32_t page_size, uint64_t limit_bytes,
               uint64_t reserve_bytes)
{
	*arena = (struct arena){.mem = *mem, .page_size = page_size};
	arena->limit = limit_bytes / page_size;
	arena->room = arena->limit + reserve_bytes / page_size;
	arena->mapped = round_up((size_t)(arena->room * page_size), HUGE_PAGE);
	arena->base = reserve_aligned(arena->mapped);
	if (!arena->base)
		return status_fail_errno(
		        errno, "reserving %zu bytes of address space for the arena", arena->mapped);
	/* Both are mere advice. The first covers systems where huge pages are always on. */
	madvise(arena->base, HUGE_PAGE, MADV_NOHUGEPAGE);
	if (arena->mapped > HUGE_PAGE)
		madvise(arena->base + HUGE_PAGE, arena->mapped - HUGE_PAGE, MADV_HUGEPAGE);
	return KV_OK;
}

void arena_close(struct arena *arena)
{
	if (arena->base)
		munmap(arena->base, arena->mapped);
	mem_free(&arena->mem, arena->taken, (size_t)arena->known / 8);
	mem_free(&arena->mem, arena->free, (size_t)arena->known * sizeof *arena->free);
	*arena = (struct arena){0};
}

/* Doubles the room in both books, or in neither: known is the size of both. */
static int grow_books(struct arena *arena)
{
	size_t old = (size_t)arena->known, known = old ? old * 2 : 64;
	uint64_t *taken, *free_stack;

	taken = mem_resize(&arena->mem, NULL, 0, known / 8);
	free_stack = mem_resize(&arena->mem, NULL, 0, known * sizeof *free_stack);
	if (!taken || !free_stack) {
		mem_free(&arena->mem, taken, known / 8);
		mem_free(&arena->mem, free_stack, known * sizeof *free_stack);
		return status_fail(KV_NOMEM, "no memory for the books of %zu frames", known);
	}
	memset(taken, 0, known / 8);
	if (old) {
		memcpy(taken, arena->taken, old / 8);
		memcpy(free_stack, arena->free, arena->free_count * sizeof *free_stack);
	}
	mem_free(&arena->mem, arena->taken, old / 8);
	mem_free(&arena->mem, arena->free, old * sizeof *free_stack);
	arena->taken = taken;
	arena->free = free_stack;
	arena->known = known;
	return KV_OK;
}

static void count_used(struct arena *arena, uint64_t change)
{
	uint64_t used = atomic_load_explicit(&arena->used, memory_order_relaxed);

	atomic_store_explicit(&arena->used, used + change, memory_order_relaxed);
}

int arena_take(struct arena *arena, uint64_t *frame)
{
	if (arena->free_count) {
		*frame = arena->free[--arena->free_count];
	} else {
		if (arena->high == arena->room)
			return status_fail(KV_NOMEM,
			                   "all %" PRIu64 " frames of the arena are in use",
			                   arena->room);
		if (arena->high == arena->known) {
			int rc = grow_books(arena);

			if (rc)
				return rc;
		}
		*frame = arena->high++;
	}
	arena->taken[*frame / 64] |= UINT64_C(1) << *frame % 64;
	count_used(arena, 1);
	return KV_OK;
}

bool arena_is_taken(const struct arena *arena, uint64_t frame)
{
	return frame < arena->high && arena->taken[frame / 64] >> frame % 64 & 1;
}

void arena_give(struct arena *arena, uint64_t frame)
{
	if (!arena_is_taken(arena, frame))
		return;
	arena->taken[frame / 64] &= ~(UINT64_C(1) << frame % 64);
	arena->free[arena->free_count++] = frame;
	count_used(arena, UINT64_MAX);
}

/* ---- trimming ------------------------------------------------------------------------------ */

static uint64_t highest_taken(const struct arena *arena)
{
	uint64_t high = arena->high;

	while (high > 0 && !arena_is_taken(arena, high - 1))
		high--;
	return high;
}

static bool range_is_free(const struct arena *arena, uint64_t first, uint64_t end)
{
	while (first < end && !arena_is_taken(arena, first))
		first++;
	return first == end;
}

/* Lowest on top, so that the next frames taken are the low ones and the rest can go again. */
static void rebuild_stack(struct arena *arena)
{
	arena->free_count = 0;
	for (uint64_t frame = arena->high; frame-- > 0;)
		if (!arena_is_taken(arena, frame))
			arena->free[arena->free_count++] = frame;
}

void arena_trim(struct arena *arena)
{
	uint64_t per_huge = HUGE_PAGE / arena->page_size, old = arena->high;
	size_t touched = round_up((size_t)(old * arena->page_size), HUGE_PAGE);
	size_t kept;

	arena->high = highest_taken(arena);
	kept = (size_t)arena->high * arena->page_size;
	if (kept < touched)
		madvise(arena->base + kept, touched - kept, MADV_DONTNEED);
	for (uint64_t first = 0; first + per_huge <= arena->high; first += per_huge)
		if (range_is_free(arena, first, first + per_huge))
			madvise(arena->base + first * arena->page_size, HUGE_PAGE, MADV_DONTNEED);
	rebuild_stack(arena);
}
