/* The free-space map: which pages of the file are free.
 *
 * There are two maps. The `usable` one, in memory only, says what may be allocated now. The `tip`
 * one says what the newest committed state does not reach; checkpoints write it to the file. A page
 * that was replaced is free in `tip` at once, and becomes usable when the checkpoint that replaced
 * it is durable and no snapshot needs it (R1).
 *
 * On disk (R3): the map is cut into map pages of `bits` bits each (a set bit is a free page); map
 * page k covers file pages [k * bits, (k + 1) * bits). Each has two fixed places (a pair of adjacent
 * pages) chosen when it is first needed. Map root pages list them: an entry of 8 bytes per map page,
 * holding the pair's first page number, which of the two is current, and the tag of its checksum.
 * Root pages have two fixed places of their own; the meta page holds the same kind of entry for each
 * root (at most SPACE_ROOTS). A checkpoint writes changed map pages, then their roots, each to its
 * other place. */
#ifndef KV_MMAP_SPACE_H
#define KV_MMAP_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/ledger.h"
#include "mmap/mem.h"

#define SPACE_ROOTS 32

struct space {
	struct mem mem;
	uint32_t page_size;
	uint64_t bits;           /* pages covered by one map page */
	uint64_t pages;          /* pages in the file */
	uint64_t *usable;        /* bit per page, set: may be allocated */
	uint64_t *tip;           /* bit per page, set: free in the newest committed state */
	size_t words;            /* room of both, in words */
	uint64_t usable_count, tip_count;
	uint64_t lowest;         /* no usable page below this one */
	uint8_t *dirty;          /* byte per map page: differs from the disk */
	uint64_t *entries;       /* entry per map page */
	size_t map_pages, map_room;
	uint64_t roots[SPACE_ROOTS]; /* entries of the root pages */
};

/* The rest of this interface belongs to the folder: see space.c, datafile.c. */
#endif
