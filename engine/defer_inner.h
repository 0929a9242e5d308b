/* What the files about deferred writes share: records and entries. */
#ifndef KV_ENGINE_DEFER_INNER_H
#define KV_ENGINE_DEFER_INNER_H

#include <string.h>

#include "engine/defer.h"

/* A record, in memory and in a run: sizes and kind, key, value. */
struct record_head {
	uint32_t value_size;
	uint16_t key_size;
	uint8_t kind;
	uint8_t zero;
};
#define RECORD_HEAD sizeof(struct record_head)

static inline struct record_head record_head(const uint8_t *record)
{
	struct record_head h;

	memcpy(&h, record, sizeof h);
	return h;
}

static inline kv_slice record_key(const uint8_t *record)
{
	return kv_bytes(record + RECORD_HEAD, record_head(record).key_size);
}

static inline size_t record_size(const uint8_t *record)
{
	struct record_head h = record_head(record);

	return RECORD_HEAD + h.key_size + h.value_size;
}

/* The first 8 bytes, as a number that compares like them; zero-padded. */
static inline uint64_t entry_head(kv_slice key)
{
	uint64_t v = 0;

	memcpy(&v, key.data ? key.data : "", key.size < 8 ? key.size : 8);
	return __builtin_bswap64(v);
}

static inline int entry_compare(const struct defer_entry *a, const struct defer_entry *b)
{
	if (a->head != b->head)
		return a->head < b->head ? -1 : 1;
	return node_compare(record_key(a->record), record_key(b->record));
}

/* Bytes read from a run at a time, and written to one. */
#define READ_BYTES (256u << 10)

/* ---- defer_sort.c -------------------------------------------------------------------------- */

/* Sorts what is in memory by key, calls on one key in their order. KV_NOMEM. */
int defer_sort(struct defer *defer, const struct mem *mem);

/* ---- defer.c ------------------------------------------------------------------------------- */

/* Forget the operations in memory, whose memory is kept for the next ones; and those in runs. */
void defer_reset(struct defer *defer, struct defer_pool *pool);
void defer_drop_runs(struct defer *defer, struct defer_pool *pool, const struct mem *mem);

#endif
