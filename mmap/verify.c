/* First-touch verification: making pages of the file safe to read through the mapping.
 *
 * To fault in and checksum a page costs mostly system calls when done page by page, so it is done
 * in windows of 2 MiB: what lies in the page cache around the page asked for is verified with it.
 * What does not is read only when pages are asked for one after the other. */
#include "mmap/store_inner.h"

#include <inttypes.h>
#include <sys/mman.h>

#include "mmap/map.h"

#define WINDOW ((uint64_t)2 << 20)
#define SYSTEM_PAGE 4096 /* the smallest there is; larger ones are a multiple */

/* Pages in one window, cut at the end of the file. */
struct window {
	uint64_t first, end;
};

static const struct page_header *header_at(const struct store *store, uint64_t page)
{
	return page_header_of(store->base[0] + (page << store->page_shift));
}

void store_verify_open(struct store *store)
{
	uint64_t offset = store->mapped_bytes - SYSTEM_PAGE;
	unsigned char resident = 1;

	/* Of files that the process may neither own nor write, mincore says that all is resident.
	 * So it says, then, of a page that cannot be: one behind the end of the file. */
	store->residency = offset >= store->space.pages << store->page_shift &&
	                   mincore(store->base[0] + offset, 1, &resident) == 0 && !(resident & 1);
}

/* ---- single pages -------------------------------------------------------------------------- */

static bool is_intact(const struct store *store, uint64_t page)
{
	const struct page_header *header = header_at(store, page);

	return header->checksum ==
	       page_checksum(header, store->page_size, store->database_id, page);
}

/* Is the page, which is faulted in, one that trees are made of, and intact? Pages that are free are
 * left out: the writer may take and write them at this moment. One that it takes between this check
 * and the setting of its bit would later be read without a checksum; but then this process has
 * written it, and its tag is compared in any case. */
static bool is_good_neighbour(const struct store *store, uint64_t page)
{
	uint8_t type = header_at(store, page)->type;

	if (bitmap_test(store->space.usable, page) || bitmap_test(store->space.fixed, page))
		return false;
	return (type == PAGE_LEAF || type == PAGE_BRANCH || type == PAGE_CATALOG) &&
	       header_at(store, page)->birth <= store->opened_txn && is_intact(store, page);
}

/* Verifies pages that are faulted in. Those that are not good may be free, or part of a large
 * value: nobody has asked for them. Returns how many were verified. */
static uint64_t verify_neighbours(struct store *store, uint64_t first, uint64_t end)
{
	uint64_t verified = 0;

	for (uint64_t page = first; page < end; page++)
		if (!bitmap_test(store->summed, page) && is_good_neighbour(store, page))
			verified += bitmap_set(store->summed, page, 1);
	return verified;
}

static int verify_one(struct store *store, uint64_t page)
{
	if (!is_intact(store, page))
		return status_fail(KV_CORRUPT, "page %" PRIu64 " is damaged: its checksum is wrong",
		                   page);
	/* What this process writes is not verified, so the page was there at the opening. A birth
	 * in the future would let it be freed while a reader needs it (R1). */
	if (header_at(store, page)->birth > store->opened_txn)
		return status_fail(KV_CORRUPT, "page %" PRIu64 " is younger than the database",
		                   page);
	atomic_fetch_add(&store->verified_count, bitmap_set(store->summed, page, 1));
	return KV_OK;
}

/* ---- windows ------------------------------------------------------------------------------- */

/* Which system pages of a window are in the page cache. False if that cannot be known. */
static bool find_resident(const struct store *store, const struct window *window,
                          unsigned char *resident)
{
	size_t bytes = (size_t)((window->end - window->first) << store->page_shift);
	uint8_t *start = store->base[0] + (window->first << store->page_shift);

	return store->residency && mincore(start, bytes, resident) == 0;
}

static bool is_resident(const struct store *store, const struct window *window,
                        const unsigned char *resident, uint64_t page)
{
	uint32_t parts = store->page_size / SYSTEM_PAGE;
	uint64_t first = (page - window->first) * parts;

	for (uint32_t i = 0; i < parts; i++)
		if (!(resident[first + i] & 1))
			return false;
	return true;
}

/* Verifies the runs of resident pages in the window. */
static void verify_resident(struct store *store, const struct window *window)
{
	unsigned char resident[WINDOW / SYSTEM_PAGE];
	uint64_t page = window->first, verified = 0;

	if (!find_resident(store, window, resident))
		return;
	while (page < window->end) {
		uint64_t first = page;

		while (page < window->end && !bitmap_test(store->summed, page) &&
		       is_resident(store, window, resident, page))
			page++;
		if (page > first && map_populate(store, first, page - first) == KV_OK)
			verified += verify_neighbours(store, first, page);
		if (page == first)
			page++;
	}
	atomic_fetch_add(&store->verified_count, verified);
}

/* Reads and verifies the window from the page on. */
static int verify_rest(struct store *store, const struct window *window, uint64_t page)
{
	uint8_t *start = store->base[0] + (page << store->page_shift);
	uint64_t count = window->end - page;
	int rc;

	madvise(start, (size_t)(count << store->page_shift), MADV_WILLNEED);
	rc = map_populate(store, page, count);
	if (rc) {
		/* Perhaps it is only the others that cannot be had. */
		rc = map_populate(store, page, 1);
		return rc ? rc : verify_one(store, page);
	}
	rc = verify_one(store, page);
	atomic_fetch_add(&store->verified_count, verify_neighbours(store, page + 1, window->end));
	return rc;
}

static int verify_window(struct store *store, uint64_t page, uint64_t file_pages)
{
	uint64_t per_window = WINDOW >> store->page_shift, first = page / per_window * per_window;
	struct window window = {first, first + per_window};
	uint64_t expected = atomic_load_explicit(&store->sequential, memory_order_relaxed);
	int rc;

	if (window.end > file_pages)
		window.end = file_pages;
	if (page == expected) {
		rc = verify_rest(store, &window, page);
	} else {
		rc = map_populate(store, page, 1);
		if (!rc)
			rc = verify_one(store, page);
		if (!rc)
			verify_resident(store, &window);
	}
	/* A mere guess: whichever thread is last says where sequential reading goes on. */
	atomic_store_explicit(&store->sequential,
	                      bitmap_next_clear(store->summed, page + 1, window.end),
	                      memory_order_relaxed);
	return rc;
}

/* ---- the interface ------------------------------------------------------------------------- */

static int check_place(const struct store *store, uint64_t page, uint64_t count)
{
	uint64_t end = atomic_load_explicit(&store->file_pages, memory_order_acquire);

	if (page < 2 || page >= end || count > end - page)
		return status_fail(KV_CORRUPT,
		                   "page %" PRIu64 " is named, of %" PRIu64 " there are",
		                   page < 2 || page >= end ? page : page + count - 1, end);
	if (bitmap_next_set(store->space.usable, page, page + count) < page + count ||
	    bitmap_next_set(store->space.fixed, page, page + count) < page + count)
		return status_fail(KV_CORRUPT,
		                   "page %" PRIu64 " is used, but is free or belongs to the "
		                   "free-space map",
		                   page);
	return KV_OK;
}

static int verify(struct store *store, uint64_t page)
{
	int rc;

	/* In this order, see store_cut. */
	atomic_fetch_add(&store->verifying, 1);
	rc = verify_window(store, page, atomic_load(&store->file_pages));
	atomic_fetch_sub(&store->verifying, 1);
	return rc;
}

int store_load(struct store *store, page_id id)
{
	uint64_t page = page_number(id);
	int rc;

	if (id >> (PAGE_TAG_SHIFT + 16))
		return status_fail(KV_CORRUPT, "%#" PRIx64 " is not the id of a page in the file",
		                   id);
	rc = check_place(store, page, 1);
	if (!rc && !bitmap_test(store->summed, page))
		rc = verify(store, page);
	if (rc)
		return rc;
	if ((header_at(store, page)->checksum & 0xffff) != page_tag(id))
		return status_fail(KV_CORRUPT,
		                   "page %" PRIu64
		                   " is not the one that its parent knew: a write was lost "
		                   "or went astray",
		                   page);
	return KV_OK;
}

void store_trust(struct store *store, page_id id)
{
	if (!page_is_frame(id))
		bitmap_set(store->trusted, page_number(id), 1);
}

static int verify_run(struct store *store, uint64_t first, uint64_t pages, uint64_t size,
                      uint64_t checksum)
{
	const void *data = store->base[0] + (first << store->page_shift);
	int rc;

	/* As in verify: the place is looked at again when store_cut can see that we are here. */
	atomic_fetch_add(&store->verifying, 1);
	rc = check_place(store, first, pages);
	if (!rc)
		rc = map_populate(store, first, pages);
	if (!rc && page_run_checksum(data, size, store->database_id, first) != checksum)
		rc = status_fail(KV_CORRUPT, "the large value at page %" PRIu64 " is damaged",
		                 first);
	if (!rc)
		bitmap_set(store->summed, first, 1);
	atomic_fetch_sub(&store->verifying, 1);
	return rc;
}

int store_load_run(struct store *store, uint64_t first, uint64_t size, uint64_t checksum,
                   const void **data)
{
	uint64_t pages = (size >> store->page_shift) + ((size & (store->page_size - 1)) != 0);
	int rc = check_place(store, first, pages);

	*data = NULL;
	if (!rc && !bitmap_test(store->summed, first))
		rc = verify_run(store, first, pages, size, checksum);
	if (!rc)
		*data = store->base[0] + (first << store->page_shift);
	return rc;
}
