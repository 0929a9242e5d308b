/* Values too big for a leaf: contiguous pages of the file without headers, written once when they
 * are put. The leaf keeps a struct node_large. */
#include "btree/tree.h"

static uint64_t run_pages(const struct store *store, uint64_t size)
{
	return (size + store->page_size - 1) >> store->page_shift;
}

int large_write(struct tree *tree, kv_slice value, struct node_large *large)
{
	struct store *store = tree->store;
	int rc;

	*large = (struct node_large){.birth = tree->ledger->txn, .size = (uint32_t)value.size};
	rc = store_run_new(store, tree->ledger, run_pages(store, value.size), &large->first);
	if (rc)
		return rc;
	large->checksum = page_run_checksum(value.data, value.size, store->database_id,
	                                    large->first);
	return store_write_run(store, large->first, value.data, value.size);
}

int large_read(const struct tree *tree, const struct node_large *large, kv_slice *value)
{
	const void *data;
	int rc = store_load_run(tree->store, large->first, large->size, large->checksum, &data);

	if (!rc)
		*value = kv_bytes(data, large->size);
	return rc;
}

int large_retire(struct tree *tree, const struct node_large *large)
{
	struct store *store = tree->store;
	uint64_t count = run_pages(store, large->size);
	uint64_t pages = atomic_load_explicit(&store->file_pages, memory_order_relaxed);

	/* The reference comes from the file, and nobody need have read the value. */
	if (large->first < 2 || large->first >= pages || count > pages - large->first)
		return status_fail(KV_CORRUPT, "page %llu: a large value outside the file",
		                   (unsigned long long)large->first);
	return store_retire(store, tree->ledger, large->first, count, large->birth);
}
