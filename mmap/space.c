#include "mmap/space.h"

#include <assert.h>
#include <inttypes.h>

#include "mmap/number.h"
#include "mmap/page.h"
#include "mmap/status.h"

enum { LONG_RUN = 512, MIDDLE_RUN = 16 };

static uint64_t divide_up(uint64_t n, uint64_t unit)
{
	return n / unit + (n % unit != 0);
}

/* ---- opening and growing ------------------------------------------------------------------- */

static uint64_t bits_per_page(uint32_t page_size)
{
	return (page_size - sizeof(struct page_header)) * UINT64_C(8);
}

static uint64_t entries_per_root(uint32_t page_size)
{
	return (page_size - sizeof(struct page_header)) / sizeof(uint64_t);
}

uint64_t space_limit(uint32_t page_size, uint64_t bits)
{
	uint64_t each = bits ? bits : bits_per_page(page_size);

	return minimum(SPACE_ROOTS * entries_per_root(page_size) * each, PAGE_NUMBER_MASK);
}

int space_open(struct space *space, const struct mem *mem, uint32_t page_size, uint64_t bits,
               uint64_t max_pages)
{
	int rc;

	*space = (struct space){.mem = *mem, .page_size = page_size, .max_pages = max_pages};
	space->bits = bits ? bits : bits_per_page(page_size);
	space->per_root = entries_per_root(page_size);
	rc = bitmap_open(&space->usable, max_pages);
	if (!rc)
		rc = bitmap_open(&space->tip, max_pages);
	if (!rc)
		rc = bitmap_open(&space->fixed, max_pages);
	if (!rc)
		rc = bitmap_open(&space->groups, max_pages / SPACE_GROUP + 1);
	if (rc)
		space_close(space);
	return rc;
}

void space_close(struct space *space)
{
	bitmap_close(space->usable, space->max_pages);
	bitmap_close(space->tip, space->max_pages);
	bitmap_close(space->fixed, space->max_pages);
	bitmap_close(space->groups, space->max_pages / SPACE_GROUP + 1);
	mem_free(&space->mem, space->dirty, space->map_room);
	mem_free(&space->mem, space->entries, space->map_room * sizeof *space->entries);
	mem_free(&space->mem, space->next, space->map_room * sizeof *space->next);
	*space = (struct space){0};
}

/* Room for the entries of as many map pages: replaces all three arrays, or none. */
static int grow_entries(struct space *space, size_t room)
{
	size_t bytes = room * sizeof *space->entries, old = space->map_room;
	uint64_t *entries = mem_new(&space->mem, bytes), *next = mem_new(&space->mem, bytes);
	uint8_t *dirty = mem_new(&space->mem, room);

	if (!entries || !next || !dirty) {
		mem_free(&space->mem, entries, bytes);
		mem_free(&space->mem, next, bytes);
		mem_free(&space->mem, dirty, room);
		return status_fail(KV_NOMEM, "no memory for the entries of %zu map pages", room);
	}
	if (old) {
		memcpy(entries, space->entries, old * sizeof *entries);
		memcpy(dirty, space->dirty, old);
	}
	mem_free(&space->mem, space->entries, old * sizeof *entries);
	mem_free(&space->mem, space->next, old * sizeof *next);
	mem_free(&space->mem, space->dirty, old);
	space->entries = entries;
	space->next = next;
	space->dirty = dirty;
	space->map_room = room;
	return KV_OK;
}

static void mark_dirty(struct space *space, uint64_t first, uint64_t count)
{
	uint64_t last = minimum((first + count - 1) / space->bits, space->map_pages - 1);

	for (uint64_t k = first / space->bits; k <= last; k++)
		space->dirty[k] = 1;
}

int space_grow(struct space *space, uint64_t pages)
{
	uint64_t old = space->pages;
	size_t map_pages = (size_t)divide_up(pages, space->bits);
	int rc;

	assert(pages >= old && pages <= space->max_pages);
	if (map_pages > space->map_room) {
		rc = grow_entries(space, map_pages < 8 ? 8 : map_pages * 2);
		if (rc)
			return rc;
	}
	if (pages == old)
		return KV_OK;
	space->pages = pages;
	space->map_pages = map_pages;
	if (old == 0)
		bitmap_set(space->fixed, 0, minimum(2, pages));
	space_tip_give(space, old, pages - old);
	space_give(space, old, pages - old);
	return KV_OK;
}

/* ---- searching ----------------------------------------------------------------------------- */

/* The first usable page at or after from, or space->pages. */
static uint64_t next_usable(struct space *space, uint64_t from)
{
	uint64_t end = space->pages, group_end = divide_up(end, SPACE_GROUP);

	while (from < end) {
		uint64_t group = bitmap_next_set(space->groups, from / SPACE_GROUP, group_end);
		uint64_t start = group * SPACE_GROUP, stop = minimum(start + SPACE_GROUP, end);
		uint64_t page;

		if (group == group_end)
			return end;
		if (from < start)
			from = start;
		page = bitmap_next_set(space->usable, from, stop);
		if (page < stop)
			return page;
		if (from == start)
			bitmap_clear(space->groups, group, 1);
		from = stop;
	}
	return end;
}

/* The first run of at least want pages from *position on that effort allows to be found: each run
 * that is too short takes one from it. Runs are cut at most pages. */
static bool next_run(struct space *space, uint64_t *position, uint64_t want, uint64_t most,
                     uint64_t effort, struct run *run)
{
	for (;;) {
		uint64_t first = next_usable(space, *position), end;

		if (first == space->pages)
			return false;
		end = bitmap_next_clear(space->usable, first, minimum(space->pages, first + most));
		*position = end;
		if (end - first >= want) {
			*run = (struct run){first, end - first};
			return true;
		}
		if (effort-- == 0)
			return false;
	}
}

bool space_find(struct space *space, uint64_t count, uint64_t *first)
{
	uint64_t position;
	struct run run;
	bool found;

	space->lowest = next_usable(space, space->lowest);
	position = space->lowest;
	if (space->miss_count && count >= space->miss_count && position < space->miss_below)
		position = space->miss_below;
	found = next_run(space, &position, count, count, UINT64_MAX, &run);
	if (count > 1) {
		space->miss_count = count;
		space->miss_below = found ? run.first : space->pages;
	}
	if (found)
		*first = run.first;
	return found;
}

bool space_find_long(struct space *space, struct space_search *search, uint64_t count,
                     struct run *run)
{
	/* For a few pages it is not worth going through a large map. */
	uint64_t effort = 1024 + 16 * count;

	if (!search->want)
		*search = (struct space_search){.want = LONG_RUN};
	for (;;) {
		uint64_t want = minimum(search->want, count);

		if (next_run(space, &search->position, want, count, want > 1 ? effort : UINT64_MAX,
		             run))
			return true;
		if (search->want == 1)
			return false;
		search->want = search->want > MIDDLE_RUN ? MIDDLE_RUN : 1;
		search->position = 0;
	}
}

/* ---- changing ------------------------------------------------------------------------------ */

void space_take(struct space *space, uint64_t first, uint64_t count)
{
	space->usable_count -= bitmap_clear(space->usable, first, count);
}

/* Sets the bits of a range in a map, save for those of fixed pages. Returns how many it set. */
static uint64_t set_unfixed(struct space *space, bitmap_word *map, uint64_t first, uint64_t count)
{
	uint64_t end = first + count, changed = 0;

	while (first < end) {
		uint64_t stop = bitmap_next_set(space->fixed, first, end);

		if (stop > first)
			changed += bitmap_set(map, first, stop - first);
		first = stop + 1;
	}
	return changed;
}

void space_give(struct space *space, uint64_t first, uint64_t count)
{
	uint64_t group = first / SPACE_GROUP, start;

	space->usable_count += set_unfixed(space, space->usable, first, count);
	bitmap_set(space->groups, group, (first + count - 1) / SPACE_GROUP - group + 1);
	if (first < space->lowest)
		space->lowest = first;
	/* Runs in front were too short: one that this makes long enough begins at most so far
	 * back. */
	start = first > space->miss_count ? first - space->miss_count : 0;
	if (start < space->miss_below)
		space->miss_below = start;
}

void space_tip_take(struct space *space, uint64_t first, uint64_t count)
{
	uint64_t end = first + count;

	mark_dirty(space, first, count);
	while (first < end) {
		uint64_t taken = bitmap_next_clear(space->usable, first, end);
		uint64_t stop = bitmap_next_set(space->usable, taken, end);

		if (stop > taken)
			space->tip_count -= bitmap_clear(space->tip, taken, stop - taken);
		first = stop;
	}
}

uint64_t space_tip_give(struct space *space, uint64_t first, uint64_t count)
{
	uint64_t changed = set_unfixed(space, space->tip, first, count);

	mark_dirty(space, first, count);
	space->tip_count += changed;
	return count - changed;
}
