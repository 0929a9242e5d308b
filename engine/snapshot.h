/* Snapshots and their readers.
 *
 * Publishing: a ring of the newest snapshots and `visible`, the sequence number of the newest one.
 * The writer fills the next ring entry and then moves `visible` on. A reader copies the entry that
 * `visible` names, pins it by writing its transaction id into its slot, and looks at `visible`
 * again: if it has not moved, then (a) the entry was not being overwritten while it was copied, for
 * that takes SNAPSHOT_RING further publications, and (b) the pin came in time (R1): the reclaimer
 * reads `visible` first and the slots after, so either it sees the pin or the reader sees the newer
 * `visible`. Store and load on both sides are separated by a sequentially consistent fence.
 *
 * Readers never wait: a publication between the two looks makes them look once more. */
#ifndef KV_ENGINE_SNAPSHOT_H
#define KV_ENGINE_SNAPSHOT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/mem.h"
#include "mmap/page.h"

struct snapshot {
	uint64_t txn;
	page_id catalog_root;
	uint64_t catalog_count;
	uint64_t catalog_height;
	uint64_t next_table;
	page_id system_root;
};
#define SNAPSHOT_WORDS (sizeof(struct snapshot) / sizeof(uint64_t))
#define SNAPSHOT_RING 16

#define READER_IDLE 0 /* pin: no snapshot. Transaction ids begin at 2. */

/* A reader's slot has its cache line to itself. */
struct reader {
	_Alignas(64) _Atomic uint64_t pin; /* the snapshot's transaction, or READER_IDLE */
	_Atomic uint32_t taken;
	struct kv_txn *txn; /* made on first use, kept */
};

#define READER_BLOCK 32
struct reader_block {
	struct reader readers[READER_BLOCK];
	_Atomic(struct reader_block *) next;
};

struct snapshots {
	_Atomic uint64_t visible; /* sequence number: the entry is ring[visible % SNAPSHOT_RING] */
	_Atomic uint64_t ring[SNAPSHOT_RING][SNAPSHOT_WORDS];
	_Atomic(struct reader_block *) blocks; /* grows, is freed at close */
	_Atomic uint64_t slots_used;           /* slots ever taken: bounds the scan */
	struct mem mem;
};

void snapshots_open(struct snapshots *snapshots, const struct mem *mem);
void snapshots_free_blocks(struct snapshots *snapshots);

/* Writer only. */
void snapshot_publish(struct snapshots *snapshots, const struct snapshot *snapshot);

/* Takes a slot (any thread, never waits): NULL when out of memory. */
struct reader *reader_take(struct snapshots *snapshots);
/* Pins and copies the newest visible snapshot. Gives its sequence number. */
uint64_t reader_pin(struct snapshots *snapshots, struct reader *reader, struct snapshot *snapshot);
void reader_release(struct reader *reader);

/* The transaction ids pinned now, ascending and without duplicates, into *pins (grown as needed).
 * Call after `visible` has been published or read. KV_NOMEM. */
int snapshot_pins(struct snapshots *snapshots, uint64_t **pins, size_t *count, size_t *room);
uint32_t snapshot_readers(struct snapshots *snapshots, uint64_t *oldest);

#endif
