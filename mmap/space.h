/* The free-space map: which pages of the file are free.
 *
 * There are two maps. The `usable` one, in memory only, says what may be allocated now. The `tip`
 * one says what the newest committed state does not reach; checkpoints write it to the file. A page
 * that was replaced is free in `tip` at once, and becomes usable when the checkpoint that replaced
 * it is durable and no snapshot needs it (R1). So a usable page is always free in tip.
 *
 * On disk (R3): the map is cut into map pages of `bits` bits each (a set bit is a free page); map
 * page k covers file pages [k * bits, (k + 1) * bits). Each has two fixed places (a pair of
 * adjacent pages) chosen when it is first needed. Map root pages list them: an entry of 8 bytes per
 * map page, holding the pair's first page number, which of the two is current, and the tag of its
 * checksum. Root pages have two fixed places of their own; the meta page holds the same kind of
 * entry for each root (at most SPACE_ROOTS). A checkpoint writes changed map pages, then their
 * roots, each to its other place.
 *
 *	meta page: roots[]          root page             map page
 *	+-----------------+         +--------------+      +--------------------------+
 *	| entry of root 0 |-------->| entry of 0   |----->| bits of pages 0 .. bits-1 |
 *	| entry of root 1 |         | entry of 1   |      +--------------------------+
 *	| 0: none         |         | ...          |
 *
 * Entry:
 *
 *	bits  0-39  first page of the pair; 0 (with all other bits): no pair yet
 *	bits 40-55  tag: low 16 bits of the current page's checksum
 *	bit  56     which page of the pair is current
 *	bits 57-63  0
 *
 * The meta pages and the pairs are `fixed`: never free in either map, whatever the file says. */
#ifndef KV_MMAP_SPACE_H
#define KV_MMAP_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/bitmap.h"
#include "mmap/io.h"
#include "mmap/ledger.h"
#include "mmap/mem.h"

#define SPACE_ROOTS 32

struct space {
	struct mem mem;
	uint32_t page_size;
	uint64_t bits;       /* pages covered by one map page, a multiple of 64 */
	uint64_t per_root;   /* entries in one root page */
	uint64_t max_pages;  /* pages that the bitmaps have room for */
	uint64_t pages;      /* pages in the file */
	bitmap_word *usable; /* set: may be allocated. Written by the writer, read by anybody */
	bitmap_word *tip;    /* set: free in the newest committed state */
	bitmap_word *fixed;  /* set: meta page or in a pair. Read by anybody */
	bitmap_word *groups; /* bit per SPACE_GROUP pages, clear: none of them is usable */
	_Atomic uint64_t usable_count, tip_count;
	uint64_t lowest;     /* no usable page below this one */
	uint64_t miss_count; /* no run of this many usable pages (0: not known) ... */
	uint64_t miss_below; /* ... begins below this page */
	uint8_t *dirty;      /* byte per map page: differs from the disk */
	uint64_t *entries;   /* entry per map page, as on disk */
	uint64_t *next;      /* the same as the checkpoint under way would have it */
	size_t map_pages, map_room;
	uint64_t roots[SPACE_ROOTS]; /* entries of the root pages, as on disk */
	uint64_t next_roots[SPACE_ROOTS];
};

#define SPACE_GROUP 4096
#define SPACE_BATCH 16

/* ---- in memory: space.c -------------------------------------------------------------------- */

/* An empty map of no pages, for a file of at most max_pages. bits: pages per map page, 0 for as
 * many as fit (fewer are for tests). KV_NOMEM. */
int space_open(struct space *space, const struct mem *mem, uint32_t page_size, uint64_t bits,
               uint64_t max_pages);
void space_close(struct space *space);

/* Most pages that the format can describe. */
uint64_t space_limit(uint32_t page_size, uint64_t bits);

/* The file has grown to this many pages: the new ones are free in both maps. The first two are the
 * meta pages. KV_NOMEM. */
int space_grow(struct space *space, uint64_t pages);

/* Finds the first run of count usable pages. */
bool space_find(struct space *space, uint64_t count, uint64_t *first);

/* Where a search for long runs stands: see space_find_long. Zero it to begin. */
struct space_search {
	uint64_t want;     /* shortest run that is looked for now; 0: not begun */
	uint64_t position; /* no such run begins below */
};

/* Has the search come down to runs of any length? */
static inline bool space_search_is_short(const struct space_search *search)
{
	return search->want == 1;
}

/* Finds a run of at most count usable pages, to be taken before the next call: one of at least
 * min(count, 512) if there is such a run, or else of at least 16, or else any. Over one search,
 * runs come lowest first within each of these classes, and the map is gone through at most three
 * times. False if nothing is usable. */
bool space_find_long(struct space *space, struct space_search *search, uint64_t count,
                     struct run *run);

/* [first, first + count) is no longer usable. */
void space_take(struct space *space, uint64_t first, uint64_t count);

/* It is usable (again), save for fixed pages. It must be free in tip. */
void space_give(struct space *space, uint64_t first, uint64_t count);

/* A commit has taken [first, first + count): what of it is not usable again is in use in tip. */
void space_tip_take(struct space *space, uint64_t first, uint64_t count);

/* It is free in tip. Returns how many pages of it were so already, or are fixed: an honest caller
 * gets 0. */
uint64_t space_tip_give(struct space *space, uint64_t first, uint64_t count);

/* ---- on disk: space_file.c ----------------------------------------------------------------- */

/* Loads the map of a file of the given number of pages, every page being usable that is free.
 * KV_CORRUPT with the page's number, KV_IO, KV_NOMEM. */
int space_load(struct space *space, struct io *io, const struct io_file *file, uint64_t database_id,
               uint64_t pages, const uint64_t roots[SPACE_ROOTS]);

/* True if a map page or a root has no pair yet. */
bool space_lacks_pair(const struct space *space);

/* Pages that pairs will take when the file has grown to so many pages. May be a few too many. */
uint64_t space_pages_for_pairs(const struct space *space, uint64_t pages);

/* Makes two adjacent pages, taken before, the first missing pair. */
void space_assign_pair(struct space *space, uint64_t first);

/* Writes changed map pages and their roots to their other places, not synced. next_roots is what
 * the meta page is to say. images has room for SPACE_BATCH pages. On failure nothing is changed. */
int space_write(struct space *space, struct io *io, const struct io_file *file,
                uint64_t database_id, uint64_t txn, uint8_t *images);

/* What was written is durable, meta page included. */
void space_written(struct space *space);

/* Pages that the file could be cut to: all from there on are free in both maps, pairs included that
 * would not be needed any more. */
uint64_t space_end(const struct space *space);

/* The least number of pages, at least this many, that holds the pairs of all the map pages that
 * such a file has. */
uint64_t space_with_pairs(const struct space *space, uint64_t pages);

/* Cuts the map to that many pages, from space_with_pairs, before it is written. space_written makes
 * the pairs usable that are not needed any more. */
void space_shrink(struct space *space, uint64_t pages);

#endif
