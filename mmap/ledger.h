/* The ledger of one write transaction (or checkpoint): which frames and file pages it took, and
 * which older ones it replaced. Commit hands the replaced ones to the reclaimer; abort gives back
 * what was taken. */
#ifndef KV_MMAP_LEDGER_H
#define KV_MMAP_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/mem.h"
#include "mmap/page.h"

struct run { /* file pages */
	uint64_t first, count;
};

/* Pages or frames from id on, born at birth, replaced by the ledger's transaction. */
struct retired {
	page_id id; /* without tag: of a file page, its number */
	uint64_t count;
	uint64_t birth;
};

/* Lists are in order of events. Entries of frames and runs may have been freed (and even taken
 * again) since: giving back is idempotent, see store_ledger_undo. */
struct ledger {
	uint64_t txn;
	uint64_t spill_at; /* frames in use, by anybody, at which trees go to the file early */
	bool reserve;      /* may use the pages kept for deletes and checkpoints (R6) */
	bool applied;      /* store_ledger_apply has been here */
	uint64_t *frames;
	size_t frame_count, frame_room;
	struct run *runs;
	size_t run_count, run_room;
	struct retired *retired;
	size_t retired_count, retired_room;
};

#endif
