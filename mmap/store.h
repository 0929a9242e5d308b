/* The store: the face of this folder to the floors above. A store is an open data file, its
 * mapping, the arena of frames, and the free-space map.
 *
 * Threads: resolving, loading and trusting are for everybody, at once. Everything that takes a
 * ledger, and store_checkpoint, is for the one holder of the writer lock. */
#ifndef KV_MMAP_STORE_H
#define KV_MMAP_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/arena.h"
#include "mmap/io.h"
#include "mmap/ledger.h"
#include "mmap/mem.h"
#include "mmap/meta.h"
#include "mmap/page.h"
#include "mmap/space.h"
#include "mmap/status.h"

struct store_options {
	const char *path; /* NULL: in memory */
	struct io *io;    /* owned by the store from store_open on, whatever it returns */
	struct mem mem;
	uint32_t page_size; /* for a new file */
	uint32_t file_mode;
	uint64_t size_limit;    /* bytes; UINT64_MAX: none */
	uint64_t map_size;      /* bytes of address space for the file, halved until it can be had;
	                            0: up to 1 TiB, or four times the file, leaving room for a
	                            thousand other databases */
	uint64_t arena_size;    /* bytes of frames at which it is full */
	uint64_t arena_reserve; /* bytes beyond, for readers' old frames, checkpoints and deletes */
	bool read_only;
	bool existing;     /* never create */
	bool accept_empty; /* an existing empty file becomes a database */
	uint32_t map_bits; /* for tests: file pages per map page in a new file; 0: all that fit */
};

/* What a checkpoint makes durable, besides pages: kept in the meta page. All ids are file ids. */
struct store_state {
	uint64_t txn; /* newest transaction contained */
	page_id catalog_root;
	uint64_t catalog_count;
	uint32_t catalog_height; /* levels; 0: empty */
	uint32_t reserved;
	page_id system_root;
	uint64_t next_table; /* next table id to hand out */
};

struct store {
	uint8_t *base[2]; /* [0] mapping of the file, [1] arena */
	uint32_t page_size, page_shift;
	uint64_t database_id;
	bitmap_word *trusted;        /* bit per file page: checksum and node structure verified */
	bitmap_word *summed;         /* bit per file page: checksum verified */
	_Atomic uint64_t file_pages; /* pages that exist in the file, all mapped */
	_Atomic uint64_t verified_count;

	struct mem mem;
	struct io *io;
	struct io_file file;
	struct arena arena;
	struct space space;
	struct store_state state; /* as of the last durable checkpoint */
	uint64_t opened_txn;      /* the same when it was opened: no page in the file is younger */
	struct meta meta;         /* the newest meta page, as on disk */
	uint64_t map_pages;       /* pages that the mapping has room for */
	uint64_t limit_pages;     /* pages that the file may have (size limit, map, format) */
	uint64_t disk_pages; /* pages that the file takes up: more than file_pages when a cut is
	                            still to be made */
	bool read_only, in_memory;
	_Atomic bool clean; /* both meta pages on disk are alike and marked clean */
	bool marked;        /* the file is marked open, by this store */
	_Atomic int failed; /* status of the write or sync that failed: no more writes (R6) */
	char *path;
	size_t mapped_bytes; /* of base[0], for unmapping */

	/* Verification, see verify.c. */
	_Atomic uint64_t sequential; /* the page after the run verified last */
	_Atomic uint32_t verifying;  /* threads at it: the file must not be cut meanwhile */
	bool residency;              /* mincore tells the truth */
	_Atomic bool no_populate;    /* the kernel has no MADV_POPULATE_READ */

	/* Creation and flushes. */
	char *creating;       /* name under which the file is being created, or NULL */
	struct io_file empty; /* locked: the empty file that it will replace */
	uint8_t *images;      /* small: kept from one flush to the next */
};

/* Opens or creates the file, locks it, chooses the meta page (R7), maps, loads the free-space map.
 * KV_BUSY, KV_NO_FILE, KV_NOT_A_DATABASE, KV_VERSION, KV_CORRUPT, KV_FULL, KV_IO, KV_NOMEM. */
int store_open(const struct store_options *options, struct store **store);

/* Closes. mark_clean: writes both meta pages alike and marks them clean (only after a successful
 * checkpoint of everything, and not after a failure). In a forked child: pass abandon to release
 * memory and descriptors without touching the file. The store is gone, whatever is returned. */
int store_close(struct store *store, bool mark_clean, bool abandon);

/* ---- reading ------------------------------------------------------------------------------- */

/* The page's memory. The id must be of a frame in use, or of a file page that has been loaded. */
static inline const uint8_t *store_at(const struct store *store, page_id id)
{
	return store->base[id >> 63] + ((id & PAGE_NUMBER_MASK) << store->page_shift);
}

static inline bool store_trusted(const struct store *store, page_id id)
{
	uint64_t n = page_number(id);

	/* Relaxed is enough: the page's content was there before the snapshot that led to it. */
	return page_is_frame(id) ||
	       (n < atomic_load_explicit(&store->file_pages, memory_order_relaxed) &&
	        bitmap_test(store->trusted, n));
}

/* Makes a file page safe to touch: in bounds, in use, faulted in without SIGBUS, checksum and tag
 * right. Neighbours that are in the page cache already are verified along with it, in runs of up to
 * 2 MiB. An id that is not of a file page is damage as well: a page of the file never names a
 * frame. KV_CORRUPT with the page's number, KV_IO, KV_NOMEM. */
int store_load(struct store *store, page_id id);

/* Remembers that the node's structure has been checked. Only while a snapshot holds the page. */
void store_trust(struct store *store, page_id id);

/* The same for a large value of size bytes (not 0) in pages from first on, whose checksum is known.
 * Bounds are checked every time, the checksum the first time. *data points into the mapping. */
int store_load_run(struct store *store, uint64_t first, uint64_t size, uint64_t checksum,
                   const void **data);

/* ---- writing ------------------------------------------------------------------------------- */

/* A frame of unspecified content, except that the header's birth is the ledger's transaction.
 * KV_NOMEM when the arena and its reserve are used up. */
int store_frame_new(struct store *store, struct ledger *ledger, page_id *id, void **page);

/* A frame's memory, for writing. Only frames of the current transaction are ever written, save
 * for the atomic repointing of child ids by a checkpoint. */
static inline void *store_frame(struct store *store, page_id id)
{
	return store->base[1] + ((id & PAGE_NUMBER_MASK) << store->page_shift);
}

/* Takes count contiguous file pages (growing the file if need be); lowest addresses first. Some
 * usable pages are kept back from ledgers that do not have `reserve` set (R6).
 * KV_FULL beyond the size limit, the mapping or the disk, with nothing changed. */
int store_run_new(struct store *store, struct ledger *ledger, uint64_t count, uint64_t *first);

/* Sees to it that this many pages are usable, growing the file if need be: before something is
 * promised that only a later checkpoint writes. KV_FULL, with nothing changed. */
int store_ensure_usable(struct store *store, uint64_t pages, bool reserve);

/* Gives up count pages or frames from id on, born at birth: at once if the ledger's own
 * transaction made them (birth equals its id), else they are noted for the reclaimer.
 * KV_CORRUPT if the file holds no such pages in use: a damaged tree names them. KV_NOMEM. */
int store_retire(struct store *store, struct ledger *ledger, page_id id, uint64_t count,
                 uint64_t birth);

/* Abort: gives back all frames and file pages that the ledger still has, forgets its retired.
 * Undoes store_ledger_apply as well, as long as no checkpoint has written it. */
void store_ledger_undo(struct store *store, struct ledger *ledger);

/* Commit: the free-space map of the tip takes over what the ledger took and retired. The caller
 * moves the retired list to the reclaimer before it empties the ledger. KV_CORRUPT, with nothing
 * changed, if a page was retired that is free already: two parents name it. */
int store_ledger_apply(struct store *store, struct ledger *ledger);

/* Forgets all entries, keeps a little memory. */
void store_ledger_empty(struct store *store, struct ledger *ledger);
void store_ledger_free(struct store *store, struct ledger *ledger);

/* The reclaimer's verdict: nobody needs these any more. */
void store_free(struct store *store, page_id id, uint64_t count);

/* Writes pages to their places in large sequential batches. One flush is open at a time.
 *
 *	store_flush_begin(store, &flush, ledger, pages expected: a guess, rather too high)
 *	for each page, children first:
 *		store_flush_place(&flush, &number)    a place in the file, next to the last if it
 *		                                      can be
 *		store_flush_image(&flush, &image)     page_size bytes to build the image in; or use
 *		                                      the frame itself
 *		store_flush_add(&flush, number, image, &id)
 *		                                      sets the checksum in the image, queues the
 *		                                      write, gives the file id
 *	store_flush_end(&flush, rc)                   waits for the writes, gives back unused places
 *
 * An image is added before the next one is asked for. Images and frames must stay untouched until
 * store_flush_end. Written pages are readable through the mapping after store_flush_end (not:
 * durable). Place and begin: KV_FULL, KV_NOMEM leave the store as it was; an error of a write sets
 * store->failed. end returns rc if that is an error, else the first error of the flush. */
struct store_flush {
	struct store *store;
	struct ledger *ledger;
	uint64_t expected; /* pages that are still to be placed, at a guess */
	struct run places; /* taken, but not placed yet */
	struct space_search search;
	uint8_t *images;      /* two halves: one being filled, one being written */
	uint32_t half_images; /* images in a half */
	uint32_t half, image_next;
	struct io_write *writes; /* of the half being filled */
	size_t write_count, write_room;
	uint64_t written;                  /* pages in all */
	uint64_t batch_offset, batch_size; /* in the file, of the batch under way; size 0: it is not
	                                      in one piece */
	int failed;                        /* first error of a write */
};
int store_flush_begin(struct store *store, struct store_flush *flush, struct ledger *ledger,
                      uint64_t expected);
int store_flush_place(struct store_flush *flush, uint64_t *number);
int store_flush_image(struct store_flush *flush, void **image);
int store_flush_add(struct store_flush *flush, uint64_t number, void *image, page_id *id);
int store_flush_end(struct store_flush *flush, int rc);

/* Writes size bytes of a large value into its run, now, unsynced. */
int store_write_run(struct store *store, uint64_t first, const void *data, uint64_t size);

/* Makes *state durable: marks the file open if this is the first write since opening (R7), writes
 * the changed pages of the free-space map to their other place, syncs, writes the older meta page,
 * syncs (R3). After an error of write or sync store->failed is set (R6); KV_FULL before anything of
 * the meta page was written leaves the old state and lets the caller go on. */
int store_checkpoint(struct store *store, const struct store_state *state);

/* Hands unused arena memory back to the system. Frames in use stay. */
void store_trim(struct store *store);

#endif
