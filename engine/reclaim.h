/* The reclaimer: decides when retired pages and frames may be used again.
 *
 * The interval rule (R1): what was born at b and replaced at r is needed by a snapshot s if and
 * only if b <= s < r. It is free once r <= visible, no reader has such an s, and, for file pages, a
 * checkpoint at or beyond r is durable.
 *
 * Something that is needed is filed under one pin that needs it and looked at again only when that
 * pin is gone, so a reader held for hours costs nothing per commit. Under the writer lock only. */
#ifndef KV_ENGINE_RECLAIM_H
#define KV_ENGINE_RECLAIM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/snapshot.h"
#include "mmap/store.h"

struct reclaim_entry {
	page_id id;
	uint64_t count, birth, replaced;
};

struct reclaim_list {
	struct reclaim_entry *entries;
	size_t count, room;
};

struct reclaim_bucket { /* what the snapshot `pin` needs */
	uint64_t pin;
	struct reclaim_list list;
};

struct reclaim {
	struct mem mem;
	struct store *store;
	struct snapshots *snapshots;
	struct reclaim_list fresh;      /* not looked at yet */
	struct reclaim_list undurable;  /* file pages whose replacement is not durable yet */
	uint64_t settled_durable;       /* `durable` of the last run */
	struct reclaim_bucket *buckets; /* by pin, ascending */
	size_t bucket_count, bucket_room;
	uint64_t *pins;
	size_t pin_count, pin_room;
	uint64_t pages;           /* held in all lists: frames and file pages */
	uint64_t frames;          /* frames among them */
	uint64_t undurable_pages; /* file pages among them that wait for a checkpoint only */
	uint64_t pinned;          /* file pages among them that readers hold */
};

void reclaim_open(struct reclaim *reclaim, const struct mem *mem, struct store *store,
                  struct snapshots *snapshots);
void reclaim_close(struct reclaim *reclaim);

/* Makes sure that the next reclaim_add of this many entries cannot fail. KV_NOMEM. */
int reclaim_reserve(struct reclaim *reclaim, size_t count);
/* Takes over what transaction `replaced` retired. */
void reclaim_add(struct reclaim *reclaim, const struct retired *retired, size_t count,
                 uint64_t replaced);

/* Frees what may be freed, given that everything retired is visible and everything up to `durable`
 * is durable. Short of memory it frees less, and loses nothing. */
void reclaim_run(struct reclaim *reclaim, uint64_t durable);

#endif
