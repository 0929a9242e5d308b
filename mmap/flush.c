/* Writing pages in batches: while one half of the images is being written, the other is filled. */
#include "mmap/store_inner.h"

#include <assert.h>

#include "mmap/ledger_inner.h"

/* Bytes in a batch: enough for the kernel to make large folios of, and for the disk to be busy. */
#define BATCH_BYTES ((uint32_t)2 << 20)

/* Most flushes are small: they share one small buffer of images, which the store keeps. */
#define SMALL_BYTES ((uint32_t)64 << 10)

static uint32_t batch_pages(const struct store *store)
{
	return BATCH_BYTES >> store->page_shift;
}

static uint32_t small_pages(const struct store *store)
{
	uint32_t pages = SMALL_BYTES >> store->page_shift;

	return pages < 4 ? 4 : pages;
}

int store_flush_begin(struct store *store, struct store_flush *flush, struct ledger *ledger,
                      uint64_t expected)
{
	*flush = (struct store_flush){.store = store, .ledger = ledger, .expected = expected};
	flush->failed = store_begin_writing(store);
	if (flush->failed)
		return flush->failed;
	flush->write_room = batch_pages(store);
	flush->writes = mem_resize(&store->mem, NULL, 0, flush->write_room * sizeof *flush->writes);
	return flush->writes ? KV_OK : status_fail(KV_NOMEM, "no memory for a batch of writes");
}

int store_flush_place(struct store_flush *flush, uint64_t *number)
{
	int rc;

	if (flush->places.count == 0) {
		uint64_t count = flush->expected ? flush->expected : 8;

		rc = ledger_room_for_run(flush->store, flush->ledger);
		if (!rc)
			rc = store_take_run(flush->store, &flush->search, count, flush->written,
			                    flush->ledger->reserve, &flush->places);
		if (rc)
			return rc;
		ledger_add_run(flush->ledger, &flush->places);
	}
	*number = flush->places.first++;
	flush->places.count--;
	flush->expected -= flush->expected > 0;
	return KV_OK;
}

/* ---- images -------------------------------------------------------------------------------- */

static size_t image_bytes(const struct store *store, uint32_t half_images)
{
	return (size_t)2 * half_images << store->page_shift;
}

static int images_new(const struct store *store, uint32_t half_images, uint8_t **images)
{
	size_t bytes = image_bytes(store, half_images);

	*images = mem_resize(&store->mem, NULL, 0, bytes);
	return *images ? KV_OK
	               : status_fail(KV_NOMEM, "no memory for %zu bytes of page images", bytes);
}

static int use_small_images(struct store_flush *flush)
{
	struct store *store = flush->store;
	int rc = KV_OK;

	flush->half_images = small_pages(store);
	if (!store->images)
		rc = images_new(store, flush->half_images, &store->images);
	flush->images = store->images;
	return rc;
}

/* From the small buffer, of which half has been submitted and the other half is free, to a large
 * one. The small one stays untouched until the end, as it must. */
static int use_large_images(struct store_flush *flush)
{
	uint8_t *images;
	int rc = images_new(flush->store, batch_pages(flush->store), &images);

	if (rc)
		return rc;
	flush->images = images;
	flush->half_images = batch_pages(flush->store);
	return KV_OK;
}

static void images_free(struct store_flush *flush)
{
	struct store *store = flush->store;

	if (flush->images != store->images)
		mem_free(&store->mem, flush->images, image_bytes(store, flush->half_images));
	flush->images = NULL;
}

void store_flush_close(struct store *store)
{
	mem_free(&store->mem, store->images, image_bytes(store, small_pages(store)));
	store->images = NULL;
}

/* A large flush has its batches written to the disk while it goes on; a small one is over soon. */
#define WRITE_OUT_BATCHES 4

/* The batch that was submitted last is in the page cache now. */
static void write_out(struct store_flush *flush)
{
	struct store *store = flush->store;

	if (flush->batch_size && flush->written > WRITE_OUT_BATCHES * flush->write_room &&
	    !store->in_memory)
		store->io->ops->write_out(store->io, &store->file, flush->batch_offset,
		                          flush->batch_size);
}

static void note_batch(struct store_flush *flush)
{
	const struct io_write *first = flush->writes, *last = first + flush->write_count - 1;
	uint64_t size = last->offset + last->size - first->offset;

	flush->batch_offset = first->offset;
	flush->batch_size = size == (uint64_t)flush->write_count << flush->store->page_shift ? size
	                                                                                     : 0;
}

/* Starts to write what is queued, after waiting for the other half, which is then free again. */
static int push(struct store_flush *flush)
{
	struct store *store = flush->store;
	struct io *io = store->io;
	int rc = flush->failed;

	if (!rc)
		rc = io->ops->flush(io, &store->file);
	if (!rc) {
		write_out(flush);
		note_batch(flush);
		rc = io->ops->submit(io, &store->file, flush->writes, flush->write_count);
	}
	flush->write_count = 0;
	flush->half ^= 1;
	flush->image_next = 0;
	if (rc && !flush->failed)
		flush->failed = store_fail(store, rc);
	return rc;
}

int store_flush_image(struct store_flush *flush, void **image)
{
	uint64_t index;
	int rc = KV_OK;

	if (!flush->images) {
		rc = use_small_images(flush);
	} else if (flush->image_next == flush->half_images) {
		rc = push(flush);
		if (!rc && flush->images == flush->store->images)
			rc = use_large_images(flush);
	}
	if (rc)
		return rc;
	index = (uint64_t)flush->half * flush->half_images + flush->image_next++;
	*image = flush->images + (index << flush->store->page_shift);
	return KV_OK;
}

/* Batches end where the file has a multiple of their size, so that the kernel can keep each in one
 * large folio, and map it with one huge page. */
static bool ends_folio(const struct store_flush *flush, uint64_t number)
{
	return (number + 1) % flush->write_room == 0;
}

int store_flush_add(struct store_flush *flush, uint64_t number, void *image, page_id *id)
{
	struct store *store = flush->store;
	uint64_t checksum = page_checksum(image, store->page_size, store->database_id, number);

	assert(flush->write_count < flush->write_room);
	page_header(image)->checksum = checksum;
	*id = page_file_id(number, checksum);
	flush->writes[flush->write_count++] = (struct io_write){image, store->page_size,
	                                                        number << store->page_shift};
	flush->written++;
	/* What we have just made need not be verified when it is first read: no snapshot leads to
	 * it before it is written, and if that fails, or it is given back, the bits are cleared. */
	bitmap_set(store->summed, number, 1);
	return flush->write_count == flush->write_room || ends_folio(flush, number) ? push(flush)
	                                                                            : KV_OK;
}

int store_flush_end(struct store_flush *flush, int rc)
{
	struct store *store = flush->store;
	struct io *io = store->io;
	int flushed;

	if (!rc && !flush->failed && flush->write_count)
		rc = push(flush);
	flushed = flush->written ? io->ops->flush(io, &store->file) : KV_OK;
	if (flushed && !flush->failed)
		flush->failed = store_fail(store, flushed);
	if (flush->places.count)
		store_give(store, flush->places.first, flush->places.count);
	images_free(flush);
	mem_free(&store->mem, flush->writes, flush->write_room * sizeof *flush->writes);
	flush->writes = NULL;
	return rc ? rc : flush->failed;
}

int store_write_run(struct store *store, uint64_t first, const void *data, uint64_t size)
{
	struct io *io = store->io;
	int rc = store_begin_writing(store);

	if (rc)
		return rc;
	rc = io->ops->write(io, &store->file, data, (size_t)size, first << store->page_shift);
	if (rc)
		return store_fail(store, rc);
	bitmap_set(store->summed, first, 1); /* as for pages, see store_flush_add */
	return KV_OK;
}
