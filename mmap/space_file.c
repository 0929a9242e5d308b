/* The free-space map on disk. See space.h for the format. */
#include <assert.h>
#include <inttypes.h>

#include "mmap/page.h"
#include "mmap/space.h"
#include "mmap/status.h"

#define ENTRY_CURRENT_SHIFT 56
#define ENTRY_UNUSED_BITS (UINT64_MAX << 57)

/* Which file, and what its pages are stamped with. */
struct map_file {
	struct io *io;
	const struct io_file *file;
	uint64_t database_id;
	uint64_t txn;
	uint32_t page_size;
};

static uint64_t entry_page(uint64_t entry)
{
	return page_number(entry) + (entry >> ENTRY_CURRENT_SHIFT & 1);
}

static size_t root_count(const struct space *space, size_t map_pages)
{
	return (map_pages + space->per_root - 1) / space->per_root;
}

static uint64_t *page_words(void *page)
{
	return (uint64_t *)((uint8_t *)page + sizeof(struct page_header));
}

/* ---- loading ------------------------------------------------------------------------------- */

static int check_entry(const struct space *space, uint64_t entry, const char *what, size_t index)
{
	uint64_t first = page_number(entry);

	if (entry & ENTRY_UNUSED_BITS || first < 2 || first + 2 > space->pages)
		return status_fail(KV_CORRUPT,
		                   "%s %zu of the free-space map has no legal place: %#" PRIx64,
		                   what, index, entry);
	if (bitmap_test(space->fixed, first) || bitmap_test(space->fixed, first + 1))
		return status_fail(KV_CORRUPT,
		                   "two pages of the free-space map lie at page %" PRIu64, first);
	return KV_OK;
}

static int read_page(const struct map_file *file, uint64_t entry, enum page_type type, void *page)
{
	uint64_t number = entry_page(entry);
	size_t got;
	int rc = file->io->ops->read(file->io, file->file, page, file->page_size,
	                             number * file->page_size, &got);

	if (rc)
		return rc;
	if (got < file->page_size)
		return status_fail(KV_CORRUPT,
		                   "page %" PRIu64 ", of the free-space map, is cut off", number);
	if (page_header(page)->checksum !=
	            page_checksum(page, file->page_size, file->database_id, number) ||
	    (page_header(page)->checksum & 0xffff) != page_tag(entry) ||
	    page_header(page)->type != type)
		return status_fail(KV_CORRUPT,
		                   "page %" PRIu64 ", of the free-space map, is damaged", number);
	return KV_OK;
}

/* Checks the entry, makes its pair fixed and reads the current page. */
static int load_page(struct space *space, const struct map_file *file, uint64_t entry,
                     enum page_type type, size_t index, void *page)
{
	int rc = check_entry(space, entry, type == PAGE_MAP ? "page" : "root", index);

	if (rc)
		return rc;
	rc = read_page(file, entry, type, page);
	if (!rc)
		bitmap_set(space->fixed, page_number(entry), 2);
	return rc;
}

static void load_words(struct space *space, size_t index, const uint64_t *words)
{
	uint64_t first = index * space->bits / 64;

	for (uint64_t w = 0; w < space->bits / 64 && (first + w) * 64 < space->pages; w++)
		atomic_store_explicit(&space->tip[first + w],
		                      words[w] & bitmap_mask(first + w, 0, space->pages),
		                      memory_order_relaxed);
}

static int load_map_pages(struct space *space, const struct map_file *file, uint8_t *buffer)
{
	size_t roots = root_count(space, space->map_pages);

	for (size_t r = 0; r < roots; r++) {
		size_t first = r * space->per_root;
		int rc = load_page(space, file, space->roots[r], PAGE_MAP_ROOT, r, buffer);

		if (rc)
			return rc;
		for (size_t k = first; k < space->map_pages && k < first + space->per_root; k++)
			space->entries[k] = page_words(buffer)[k - first];
	}
	for (size_t k = 0; k < space->map_pages; k++) {
		int rc = load_page(space, file, space->entries[k], PAGE_MAP, k, buffer);

		if (rc)
			return rc;
		load_words(space, k, page_words(buffer));
	}
	return KV_OK;
}

static uint64_t count_bits(const bitmap_word *map, uint64_t bits)
{
	uint64_t count = 0;

	for (uint64_t w = 0; w * 64 < bits; w++)
		count += (uint64_t)__builtin_popcountll(bitmap_load(map, w));
	return count;
}

/* After loading: fixed pages are in use, whatever the map said, and all that is free is usable. */
static void settle(struct space *space)
{
	uint64_t end = space->pages;

	for (uint64_t p = bitmap_next_set(space->fixed, 0, end); p < end;
	     p = bitmap_next_set(space->fixed, p + 1, end))
		bitmap_clear(space->tip, p, 1);
	for (uint64_t w = 0; w * 64 < end; w++)
		atomic_store_explicit(&space->usable[w], bitmap_load(space->tip, w),
		                      memory_order_relaxed);
	bitmap_set(space->groups, 0, end / SPACE_GROUP + 1);
	space->tip_count = count_bits(space->tip, end);
	space->usable_count = space->tip_count;
	memset(space->dirty, 0, space->map_pages);
}

int space_load(struct space *space, struct io *io, const struct io_file *file, uint64_t database_id,
               uint64_t pages, const uint64_t roots[SPACE_ROOTS])
{
	struct map_file map = {io, file, database_id, 0, space->page_size};
	uint8_t *buffer;
	int rc = space_grow(space, pages);

	if (rc)
		return rc;
	buffer = mem_new(&space->mem, space->page_size);
	if (!buffer)
		return status_fail(KV_NOMEM, "no memory for a page");
	memcpy(space->roots, roots, sizeof space->roots);
	rc = load_map_pages(space, &map, buffer);
	if (!rc)
		settle(space);
	mem_free(&space->mem, buffer, space->page_size);
	return rc;
}

/* ---- pairs --------------------------------------------------------------------------------- */

/* The first entry or root without a pair; NULL if there is none. */
static uint64_t *missing_pair(uint64_t *roots, size_t root_number, uint64_t *entries, size_t count)
{
	for (size_t r = 0; r < root_number; r++)
		if (!roots[r])
			return &roots[r];
	for (size_t k = 0; k < count; k++)
		if (!entries[k])
			return &entries[k];
	return NULL;
}

bool space_lacks_pair(const struct space *space)
{
	size_t roots = root_count(space, space->map_pages);

	/* Pairs are given out in order, so the last ones tell. */
	return !space->roots[roots - 1] || !space->entries[space->map_pages - 1];
}

uint64_t space_pages_for_pairs(const struct space *space, uint64_t pages)
{
	size_t map_pages = (size_t)(pages / space->bits + 1);
	size_t roots = root_count(space, map_pages);

	if (map_pages <= space->map_pages)
		return 0;
	/* One more of each, should the pairs themselves pass the next boundary. */
	return 2 *
	       (map_pages - space->map_pages + 1 + roots - root_count(space, space->map_pages) + 1);
}

void space_assign_pair(struct space *space, uint64_t first)
{
	uint64_t *entry = missing_pair(space->roots, root_count(space, space->map_pages),
	                               space->entries, space->map_pages);

	assert(entry && first >= 2 && first + 2 <= space->pages);
	space_tip_take(space, first, 2);
	bitmap_set(space->fixed, first, 2);
	*entry = first;
	/* Also when it is a root's: it is written with its map pages. */
	space->dirty[space->map_pages - 1] = 1;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Pages on their way to the file, SPACE_BATCH at a time. */
struct batch {
	const struct map_file *file;
	uint8_t *images;
	struct io_write writes[SPACE_BATCH];
	size_t count;
};

static int batch_write(struct batch *batch)
{
	const struct map_file *file = batch->file;
	int rc, flushed;

	rc = file->io->ops->submit(file->io, file->file, batch->writes, batch->count);
	flushed = file->io->ops->flush(file->io, file->file);
	batch->count = 0;
	return rc ? rc : flushed;
}

/* A zeroed image, of the given type. The batch must not be full. */
static void *batch_image(struct batch *batch, enum page_type type)
{
	void *image = batch->images + batch->count * batch->file->page_size;

	memset(image, 0, batch->file->page_size);
	page_header(image)->birth = batch->file->txn;
	page_header(image)->type = (uint8_t)type;
	return image;
}

/* Sends the image just made to the place of the pair that is not current; *entry then says so. */
static int batch_add(struct batch *batch, void *image, uint64_t *entry)
{
	const struct map_file *file = batch->file;
	uint64_t first = page_number(*entry);
	uint64_t current = ~(*entry >> ENTRY_CURRENT_SHIFT) & 1;
	uint64_t checksum = page_checksum(image, file->page_size, file->database_id,
	                                  first + current);

	page_header(image)->checksum = checksum;
	*entry = page_file_id(first, checksum) | current << ENTRY_CURRENT_SHIFT;
	batch->writes[batch->count++] = (struct io_write){image, file->page_size,
	                                                  (first + current) * file->page_size};
	return batch->count == SPACE_BATCH ? batch_write(batch) : KV_OK;
}

static int write_map_page(struct space *space, struct batch *batch, size_t index)
{
	void *image = batch_image(batch, PAGE_MAP);
	uint64_t first = index * space->bits / 64, *words = page_words(image);

	for (uint64_t w = 0; w < space->bits / 64 && (first + w) * 64 < space->pages; w++)
		words[w] = bitmap_load(space->tip, first + w) &
		           bitmap_mask(first + w, 0, space->pages);
	return batch_add(batch, image, &space->next[index]);
}

static int write_root(struct space *space, struct batch *batch, size_t root)
{
	void *image = batch_image(batch, PAGE_MAP_ROOT);
	size_t first = root * space->per_root, end = first + space->per_root;

	for (size_t k = first; k < end && k < space->map_pages; k++)
		page_words(image)[k - first] = space->next[k];
	return batch_add(batch, image, &space->next_roots[root]);
}

static int write_changed(struct space *space, struct batch *batch)
{
	bool dirty_root = false;

	for (size_t k = 0; k < space->map_pages; k++) {
		bool last = k + 1 == space->map_pages || (k + 1) % space->per_root == 0;
		int rc = KV_OK;

		if (space->dirty[k]) {
			rc = write_map_page(space, batch, k);
			dirty_root = true;
		}
		if (!rc && last && dirty_root) {
			rc = write_root(space, batch, k / space->per_root);
			dirty_root = false;
		}
		if (rc)
			return rc;
	}
	return batch_write(batch);
}

int space_write(struct space *space, struct io *io, const struct io_file *file,
                uint64_t database_id, uint64_t txn, uint8_t *images)
{
	struct map_file map = {io, file, database_id, txn, space->page_size};
	struct batch batch = {.file = &map, .images = images};
	size_t roots = root_count(space, space->map_pages);

	assert(!space_lacks_pair(space));
	memcpy(space->next, space->entries, space->map_pages * sizeof *space->next);
	memset(space->next_roots, 0, sizeof space->next_roots);
	memcpy(space->next_roots, space->roots, roots * sizeof *space->roots);
	return write_changed(space, &batch);
}

/* A pair that the map just made durable does without. */
static void release_pair(struct space *space, uint64_t *entry)
{
	uint64_t first = page_number(*entry);

	*entry = 0;
	for (uint64_t page = first; page < first + 2 && page < space->pages; page++) {
		bitmap_clear(space->fixed, page, 1);
		space_give(space, page, 1);
	}
}

void space_written(struct space *space)
{
	memcpy(space->entries, space->next, space->map_pages * sizeof *space->next);
	memset(space->dirty, 0, space->map_pages);
	for (size_t k = space->map_pages; k < space->map_room && space->entries[k]; k++)
		release_pair(space, &space->entries[k]);
	for (size_t r = root_count(space, space->map_pages); r < SPACE_ROOTS && space->roots[r];
	     r++)
		release_pair(space, &space->roots[r]);
	memcpy(space->roots, space->next_roots, sizeof space->roots);
}

/* ---- shrinking ----------------------------------------------------------------------------- */

static bool in_pair(uint64_t entry, uint64_t page)
{
	return page - page_number(entry) < 2;
}

/* Would nothing need the page, which is not usable, if the map had only this many map pages? */
static bool is_droppable(const struct space *space, uint64_t page, size_t map_pages)
{
	if (!bitmap_test(space->fixed, page))
		return false;
	for (size_t k = map_pages; k < space->map_pages; k++)
		if (in_pair(space->entries[k], page))
			return true;
	for (size_t r = root_count(space, map_pages); r < root_count(space, space->map_pages); r++)
		if (in_pair(space->roots[r], page))
			return true;
	return false;
}

/* The lowest page from which on all pages below end are usable or droppable. */
static uint64_t end_with(const struct space *space, uint64_t end, size_t map_pages)
{
	for (;;) {
		if (end % 64 == 0 && end > 0 &&
		    bitmap_load(space->usable, end / 64 - 1) == UINT64_MAX)
			end -= 64;
		else if (end > 0 && (bitmap_test(space->usable, end - 1) ||
		                     is_droppable(space, end - 1, map_pages)))
			end--;
		else
			return end;
	}
}

uint64_t space_end(const struct space *space)
{
	size_t map_pages = space->map_pages;
	uint64_t end = end_with(space, space->pages, map_pages);

	/* Without its last map page the map ends earlier; does the file then, too? */
	while (map_pages > 1) {
		uint64_t shorter = end_with(space, end, map_pages - 1);

		if (shorter > (map_pages - 1) * space->bits)
			break;
		end = shorter;
		map_pages--;
	}
	return end;
}

static uint64_t pair_end(uint64_t entry)
{
	return page_number(entry) ? page_number(entry) + 2 : 0;
}

uint64_t space_with_pairs(const struct space *space, uint64_t pages)
{
	uint64_t end = pages, before;

	do {
		size_t map_pages = (size_t)((end + space->bits - 1) / space->bits);

		before = end;
		for (size_t k = 0; k < map_pages && k < space->map_pages; k++)
			if (pair_end(space->entries[k]) > end)
				end = pair_end(space->entries[k]);
		for (size_t r = 0; r < root_count(space, map_pages); r++)
			if (pair_end(space->roots[r]) > end)
				end = pair_end(space->roots[r]);
	} while (end != before);
	return end;
}

/* The pages of a pair that is not needed any more are free in tip, but not usable before
 * space_written: the state on disk needs them. */
static void drop_pair(struct space *space, uint64_t entry)
{
	for (uint64_t page = page_number(entry); page < page_number(entry) + 2; page++) {
		if (page < space->pages) {
			space->tip_count += bitmap_set(space->tip, page, 1);
			space->dirty[page / space->bits] = 1;
		} else {
			bitmap_clear(space->fixed, page, 1);
		}
	}
}

void space_shrink(struct space *space, uint64_t pages)
{
	size_t old = space->map_pages,
	       map_pages = (size_t)((pages + space->bits - 1) / space->bits);
	uint64_t cut = space->pages - pages;

	space->usable_count -= bitmap_clear(space->usable, pages, cut);
	space->tip_count -= bitmap_clear(space->tip, pages, cut);
	space->pages = pages;
	space->map_pages = map_pages;
	space->dirty[map_pages - 1] = 1;
	for (size_t k = map_pages; k < old; k++)
		drop_pair(space, space->entries[k]);
	for (size_t r = root_count(space, map_pages); r < root_count(space, old); r++)
		drop_pair(space, space->roots[r]);
}
