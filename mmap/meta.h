/* The meta page: what a data file begins with, twice. */
#ifndef KV_MMAP_META_H
#define KV_MMAP_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/io.h"
#include "mmap/space.h"

/* The bytes ff 6b 76 66 69 6c 65 0a, "kvfile" between two that text tools would change. */
#define META_MAGIC UINT64_C(0x0a656c6966766bff)
#define META_VERSION 1

/* Features that a reader must know: none so far. Compatible ones need no mask: they are ignored. */
#define META_INCOMPATIBLE UINT64_C(0)

enum meta_condition { META_CLEAN = 1, META_OPEN = 2 };

/* A meta page's content: one sector, so that a write of it is whole or did not happen. Fields are
 * little endian. The rest of the page is zero and means nothing: it is never read. */
struct meta {
	uint64_t magic;              /*   0  META_MAGIC */
	uint32_t version;            /*   8  META_VERSION; higher ones are refused */
	uint32_t page_size;          /*  12  bytes */
	uint64_t compatible;         /*  16  feature bits that may be ignored */
	uint64_t incompatible;       /*  24  feature bits that must be known */
	uint64_t database_id;        /*  32  random, not 0 */
	uint64_t sequence;           /*  40  number of this meta write */
	uint32_t condition;          /*  48  enum meta_condition */
	uint32_t map_bits;           /*  52  file pages per map page; 0: as many as fit */
	uint64_t file_pages;         /*  56  pages in the file */
	uint64_t txn;                /*  64  newest transaction contained */
	uint64_t catalog_root;       /*  72  page id; 0: empty */
	uint64_t catalog_count;      /*  80  entries */
	uint32_t catalog_height;     /*  88  levels; 0: empty */
	uint32_t reserved;           /*  92  0 */
	uint64_t system_root;        /*  96  page id; 0: none */
	uint64_t next_table;         /* 104  next table id to hand out */
	uint64_t log_incarnation;    /* 112  of the log that goes on from here; 0: none */
	uint64_t log_position;       /* 120  first position to replay */
	uint64_t roots[SPACE_ROOTS]; /* 128  the free-space map's root pages, see space.h */
	uint8_t zero[120];           /* 384  0 */
	uint64_t checksum;           /* 504  XXH3-64 of bytes 0 to 503, seed META_MAGIC */
};
_Static_assert(sizeof(struct meta) == 512, "meta page: one sector");
_Static_assert(offsetof(struct meta, condition) == 48, "meta page");
_Static_assert(offsetof(struct meta, catalog_height) == 88, "meta page");
_Static_assert(offsetof(struct meta, roots) == 128, "meta page");
_Static_assert(offsetof(struct meta, checksum) == 504, "meta page");

uint64_t meta_checksum(const struct meta *meta);

/* Reads both meta pages of a file of size bytes and decides which one counts (R7). *meta becomes a
 * copy whose sequence has the parity of the page it is in, so that the next write, at
 * sequence + 1, goes to the other one. *alike: both were good and equal.
 * KV_NOT_A_DATABASE, KV_VERSION, KV_CORRUPT, KV_IO. */
int meta_choose(struct io *io, const struct io_file *file, uint64_t size, struct meta *meta,
                bool *alike);

#endif
