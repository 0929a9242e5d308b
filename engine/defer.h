/* Deferred writes (R21): a transaction's blind puts and deletes of one table, collected and later
 * applied in key order.
 *
 * Operations are copied into chunks of memory in the order of the calls. When the transaction's
 * tables have used up its budget, the operations of one are sorted and set aside as a run in an
 * unlinked temporary file beside the database (one file per transaction); when they are wanted,
 * memory and runs are merged: for each key the last call wins. Operations that came in key order
 * need no sorting.
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
	uint64_t head; /* first 8 key bytes, as a number that compares like them */
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
	bool scattered;         /* what is in memory does not continue the tree */
	struct defer_run *runs; /* oldest first */
	size_t run_count, run_room;
};

/* What the tables of one transaction share. */
struct defer_pool {
	size_t bytes;              /* of memory in all its tables */
	struct defer_chunk *spare; /* chunks to be used again */
	struct io_file file;
	bool has_file;
	uint64_t end;  /* where the next run begins in the file */
	uint64_t runs; /* in the file that are still wanted */
};

/* Runs of one table beyond which they are better applied than kept: merging each takes memory. */
#define DEFER_MANY_RUNS 64

static inline bool defer_pending(const struct defer *defer)
{
	return defer->count || defer->run_count;
}

/* Memory that the operations of one table take, in bytes. */
static inline size_t defer_bytes(const struct defer *defer)
{
	return defer->bytes + defer->count * sizeof(struct defer_entry);
}

/* The key of the first operation in memory; there must be one. */
kv_slice defer_first(const struct defer *defer);

enum defer_kind { DEFER_PUT = 0, DEFER_PUT_LARGE = 1, DEFER_DELETE = 2 };

/* Collects one operation, in memory. KV_NOMEM. */
int defer_add(struct defer *defer, struct defer_pool *pool, const struct mem *mem, kv_slice key,
              kv_slice value, enum defer_kind kind);

/* Sorts what is in memory and moves it to the file. KV_NOMEM, KV_FULL, KV_IO. */
int defer_set_aside(struct defer *defer, struct defer_pool *pool, struct store *store);

/* Applies everything to the tree and is empty after, whatever happens. */
int defer_apply(struct defer *defer, struct defer_pool *pool, struct tree *tree);

/* Forgets everything. Large values are the ledger's business then. */
void defer_drop(struct defer *defer, struct defer_pool *pool, const struct mem *mem);

/* Closes the file and frees the memory, at the end of the transaction. */
void defer_pool_close(struct defer_pool *pool, struct store *store);

#endif
