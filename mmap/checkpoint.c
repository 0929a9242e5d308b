/* Making a state durable. */
#include "mmap/datafile.h"
#include "mmap/store_inner.h"

int store_write_map(struct store *store, uint64_t txn, bool cut)
{
	size_t bytes = (size_t)SPACE_BATCH << store->page_shift;
	uint8_t *images = mem_resize(&store->mem, NULL, 0, bytes);
	int rc;

	if (!images)
		return status_fail(KV_NOMEM, "no memory to write the free-space map");
	if (cut)
		store_plan_cut(store);
	rc = space_write(&store->space, store->io, &store->file, store->database_id, txn, images);
	mem_free(&store->mem, images, bytes);
	return rc ? store_fail(store, rc) : KV_OK;
}

static int sync_pages(struct store *store)
{
	int rc = store->in_memory ? KV_OK : store->io->ops->sync(store->io, &store->file);

	return rc ? store_fail(store, rc) : KV_OK;
}

int store_checkpoint(struct store *store, const struct store_state *state)
{
	int rc = store_begin_writing(store);

	if (!rc)
		rc = store_assign_pairs(store);
	if (!rc)
		rc = store_write_map(store, state->txn, true);
	if (!rc)
		rc = sync_pages(store);
	if (!rc)
		rc = datafile_write_meta(store, state);
	if (rc)
		return rc;
	space_written(&store->space);
	store->state = *state;
	store_cut(store);
	return KV_OK;
}
