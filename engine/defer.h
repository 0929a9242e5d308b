/* Deferred writes (R21): a transaction's blind puts and deletes of one table, collected and later
 * applied in key order.
 *
 * Operations are copied into chunks of memory in the order of the calls. When the budget is used
 * up, they are sorted and set aside as a run in an unlinked temporary file beside the database;
 * when they are wanted, memory and runs are merged: for each key the last call wins. Operations
 * that came in key order need no sorting.
 *
 * Large values are in the file already when they come here: the operation carries a struct
 * node_large, and one that loses to a later call is given back. */
#ifndef KV_ENGINE_DEFER_H
#define KV_ENGINE_DEFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "btree/tree.h"
#include "mmap/io.h"
#include "mmap/mem.h"

struct defer_chunk;

struct defer_entry {
	uint64_t head;       /* first 8 key bytes, as a number that compares like them */
	const uint8_t *record;
};

struct defer_run { /* sorted records in the temporary file */
	uint64_t offset, size, count;
};

struct defer {
	struct defer_chunk *chunks; /* newest first */
	uint8_t *next, *end;        /* free part of the newest chunk */
	size_t bytes;               /* in chunks */
	struct defer_entry *entries;
	size_t count, room;
	bool unsorted;
	struct defer_run *runs;     /* oldest first */
	size_t run_count, run_room;
	uint64_t run_end;           /* where the next run begins in the file */
	struct io_file file;        /* fd -1: none yet */
	bool has_file;
};

static inline bool defer_pending(const struct defer *defer)
{
	return defer->count || defer->run_count;
}

/* Has it reached its budget? The next defer_add sets a run aside then. */
static inline bool defer_full(const struct defer *defer, size_t budget)
{
	return defer->bytes + defer->count * sizeof(struct defer_entry) >= budget;
}

/* The key of the first operation in memory; there must be one. */
kv_slice defer_first(const struct defer *defer);

enum defer_kind { DEFER_PUT = 0, DEFER_PUT_LARGE = 1, DEFER_DELETE = 2 };

/* Collects one operation. budget: bytes of memory before a run is set aside. directory: for the temporary
 * file, NULL for an in-memory one. KV_NOMEM, KV_FULL, KV_IO. */
int defer_add(struct defer *defer, struct store *store, size_t budget, kv_slice key, kv_slice value,
              enum defer_kind kind);

/* Applies everything to the tree and is empty after, whatever happens. */
int defer_apply(struct defer *defer, struct tree *tree);

/* Forgets everything. Large values are the ledger's business then. */
void defer_drop(struct defer *defer, struct store *store);

/* The same, and gives back the memory that defer_drop keeps for the next time. */
void defer_free(struct defer *defer, struct store *store);

#endif
