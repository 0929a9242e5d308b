/* Room in the file: taking and giving back pages, growing and cutting. */
#include "mmap/store_inner.h"

#include <assert.h>
#include <inttypes.h>

#include "mmap/number.h"

#define LARGE_FLUSH 1024 /* pages for which it is worth growing the file */
#define GROW_AT_ONCE 8192

#define MIB ((uint64_t)1 << 20)

/* Pages that a new file has at the least: meta pages, a root and a map page, a small tree. */
enum { FIRST_PAGES = 8 };

/* Pages by which the file grows at the least: a 64th of it, so that growing is rare. */
static uint64_t growth_unit(const struct store *store)
{
	return clamp(store->space.pages / 64, MIB / 16 >> store->page_shift,
	             32 * MIB >> store->page_shift);
}

/* Usable pages that only deletes and checkpoints may use, so that a full database can be emptied.
 * They lie in the file already: a full disk must not take them away. */
static uint64_t reserve_pages(const struct store *store)
{
	return minimum(clamp(store->space.pages / 64, 16, 1024), store->limit_pages / 8);
}

/* A page that somebody has trusted is part of a tree: then the free-space map lies, and to write to
 * it would change a node under its readers. */
static int claim(struct store *store, uint64_t first, uint64_t count)
{
	space_take(&store->space, first, count);
	bitmap_clear(store->summed, first, count);
	if (bitmap_clear(store->trusted, first, count))
		return status_fail(KV_CORRUPT,
		                   "a page in use is free in the free-space map, among %" PRIu64
		                   " to %" PRIu64,
		                   first, first + count - 1);
	return KV_OK;
}

/* ---- growing ------------------------------------------------------------------------------- */

/* New map pages get their pairs here, low in the file: later they would land behind what is now
 * written, and keep the file from being cut. */
static int assign_pairs_at_hand(struct store *store)
{
	uint64_t first;
	int rc = KV_OK;

	while (!rc && space_lacks_pair(&store->space) && space_find(&store->space, 2, &first)) {
		rc = claim(store, first, 2);
		if (!rc)
			space_assign_pair(&store->space, first);
	}
	return rc;
}

static int grow_by(struct store *store, uint64_t pages)
{
	struct io *io = store->io;
	uint64_t old = store->space.pages;
	int rc;

	/* Disk space is reserved now: running out of it later, when the kernel writes the page
	 * cache back, would be a failed sync. */
	rc = io->ops->allocate(io, &store->file, old << store->page_shift,
	                       pages << store->page_shift);
	if (!rc)
		rc = space_grow(&store->space, old + pages);
	if (rc)
		return rc;
	if (old + pages > store->disk_pages)
		store->disk_pages = old + pages;
	atomic_store_explicit(&store->file_pages, old + pages, memory_order_release);
	return assign_pairs_at_hand(store);
}

/* Adds at least need pages, besides what its map pages take. KV_FULL, with nothing changed. */
static int grow(struct store *store, uint64_t need)
{
	uint64_t unit = growth_unit(store), left = store->limit_pages - store->space.pages;
	uint64_t want;
	int rc;

	need += space_pages_for_pairs(&store->space, store->space.pages + need);
	if (store->limit_pages < store->space.pages || need > left)
		return status_fail(KV_FULL,
		                   "%" PRIu64 " more pages would make the file larger than its "
		                   "limit of %" PRIu64 " pages of %" PRIu32 " bytes",
		                   need, store->limit_pages, store->page_size);
	assert(unit);
	want = minimum((need + unit - 1) / unit * unit, left);
	rc = grow_by(store, want);
	return rc == KV_FULL && want > need ? grow_by(store, need) : rc;
}

int store_begin_file(struct store *store)
{
	return grow(store, FIRST_PAGES);
}

/* ---- taking and giving back ---------------------------------------------------------------- */

/* Length of the usable run that ends with the file, as far as it helps towards count. */
static uint64_t tail_run(const struct store *store, uint64_t count)
{
	uint64_t pages = store->space.pages, length = 0;

	while (length < count && length < pages &&
	       bitmap_test(store->space.usable, pages - 1 - length))
		length++;
	return length;
}

int store_take(struct store *store, uint64_t count, bool reserve, uint64_t *first)
{
	struct space *space = &store->space;
	uint64_t keep = reserve ? 0 : reserve_pages(store);
	uint64_t missing = 0;
	int rc = KV_OK;

	if (count > store->limit_pages)
		return status_fail(KV_FULL, "%" PRIu64 " pages at once are more than the limit",
		                   count);
	if (space->usable_count < count + keep)
		missing = count + keep - space->usable_count;
	if (missing == 0 && space_find(space, count, first))
		return claim(store, *first, count);
	if (missing < count - tail_run(store, count) && !space_find(space, count, first))
		missing = count - tail_run(store, count);
	if (missing > 0)
		rc = grow(store, missing);
	if (rc)
		return rc;
	if (!space_find(space, count, first))
		return status_fail(KV_FULL, "no %" PRIu64 " free pages side by side", count);
	return claim(store, *first, count);
}

int store_ensure_usable(struct store *store, uint64_t pages, bool reserve)
{
	uint64_t need = pages + (reserve ? 0 : reserve_pages(store));
	uint64_t usable = store->space.usable_count;
	int rc;

	if (usable >= need)
		return KV_OK;
	rc = store_begin_writing(store);
	return rc ? rc : grow(store, need - usable);
}

/* Single free pages all over the file make a large flush slow, and what it writes is read slowly
 * after. Rather than fill them it may grow the file, as long as that stays within one and a half
 * times what will be live in it. Failing to grow is no error: there are pages. */
static void avoid_scatter(struct store *store, struct space_search *search, uint64_t count)
{
	uint64_t live = store->space.pages - store->space.tip_count + count;
	uint64_t more = minimum(count, GROW_AT_ONCE);

	if (!space_search_is_short(search) || count < LARGE_FLUSH ||
	    store->space.pages + more > live + live / 2 || grow(store, more))
		return;
	*search = (struct space_search){0};
}

int store_take_run(struct store *store, struct space_search *search, uint64_t count,
                   uint64_t before, bool reserve, struct run *run)
{
	uint64_t keep = reserve ? 0 : reserve_pages(store);
	uint64_t usable = store->space.usable_count;

	if (usable <= keep) {
		uint64_t need = keep - usable + 1;
		int rc = grow(store, need + minimum(count - 1, before / 4));

		if (rc == KV_FULL && before >= 4)
			rc = grow(store, need);
		if (rc)
			return rc;
	}
	avoid_scatter(store, search, count);
	usable = store->space.usable_count;
	if (!space_find_long(&store->space, search, minimum(count, usable - keep), run)) {
		/* Pages below where the search stands have become usable meanwhile. */
		*search = (struct space_search){0};
		if (!space_find_long(&store->space, search, minimum(count, usable - keep), run))
			return status_fail(KV_FULL, "no free page");
	}
	return claim(store, run->first, run->count);
}

void store_give(struct store *store, uint64_t first, uint64_t count)
{
	bitmap_clear(store->trusted, first, count);
	bitmap_clear(store->summed, first, count);
	space_give(&store->space, first, count);
}

int store_assign_pairs(struct store *store)
{
	/* Where growing found no two pages side by side. It may take yet another map page to hold
	 * the pair. */
	while (space_lacks_pair(&store->space)) {
		uint64_t first;
		int rc = store_take(store, 2, true, &first);

		if (rc)
			return rc;
		space_assign_pair(&store->space, first);
	}
	return KV_OK;
}

/* ---- cutting ------------------------------------------------------------------------------- */

void store_plan_cut(struct store *store)
{
	struct space *space = &store->space;
	uint64_t slack = 2 * growth_unit(store) + reserve_pages(store);
	/* With the slack a map page may be needed again that space_end could do without. */
	uint64_t end = space_with_pairs(space, space_end(space) + slack);

	/* Not for a little, or the file would be cut and grown again all the time. */
	if (end >= space->pages || space->pages - end < space->pages / 8 + slack)
		return;
	/* First the number goes down, then store_cut looks for readers: see there. */
	atomic_store(&store->file_pages, end);
	bitmap_clear(store->summed, end, space->pages - end);
	space_shrink(space, end);
}

void store_cut(struct store *store)
{
	struct io *io = store->io;
	uint64_t pages = store->space.pages;

	if (store->disk_pages <= pages)
		return;
	/* A reader says that it verifies, and then reads file_pages; here file_pages was written,
	 * and now is asked who verifies. Both in the one order of all such operations: either it
	 * sees the new number, or it is seen here. */
	if (atomic_load(&store->verifying) > 0)
		return;
	/* A file that could not be cut is only longer than it need be. */
	if (io->ops->truncate(io, &store->file, pages << store->page_shift) == KV_OK)
		store->disk_pages = pages;
}
