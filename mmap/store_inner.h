/* What the files of the store share, and nobody else may use. */
#ifndef KV_MMAP_STORE_INNER_H
#define KV_MMAP_STORE_INNER_H

#include "mmap/store.h"

/* ---- store.c ------------------------------------------------------------------------------- */

/* Before anything is changed: KV_READ_ONLY, or KV_FAILED, or marks the file open. */
int store_begin_writing(struct store *store);

/* A write or sync has failed: no more of them (R6). Returns rc. */
int store_fail(struct store *store, int rc);

/* ---- room.c -------------------------------------------------------------------------------- */

/* Gives a new file its first pages. KV_FULL, KV_IO, KV_NOMEM. */
int store_begin_file(struct store *store);

/* Takes count contiguous pages, growing the file if need be. reserve: all usable pages may be used.
 * KV_FULL, KV_CORRUPT (a page that is read as part of a tree is said to be free), KV_IO,
 * KV_NOMEM. */
int store_take(struct store *store, uint64_t count, bool reserve, uint64_t *first);

/* Takes at most count pages in one run, see space_find_long. Only if no page is usable it grows the
 * file, by about a quarter of `before` or by the least that files grow by, but at most by count:
 * count may be a guess. Errors as store_take. */
int store_take_run(struct store *store, struct space_search *search, uint64_t count,
                   uint64_t before, bool reserve, struct run *run);

/* [first, first + count) is usable, and not verified. */
void store_give(struct store *store, uint64_t first, uint64_t count);

/* Takes pairs for all map pages and roots that lack one. */
int store_assign_pairs(struct store *store);

/* Decides how far the file can be cut and shrinks the free-space map, before that is written. */
void store_plan_cut(struct store *store);

/* Cuts the file to what a durable meta page says, unless somebody is verifying pages right now:
 * then the next one does it. */
void store_cut(struct store *store);

/* ---- flush.c ------------------------------------------------------------------------------- */

/* Frees what flushes have kept. */
void store_flush_close(struct store *store);

/* ---- checkpoint.c -------------------------------------------------------------------------- */

/* Writes what has changed of the free-space map, which must not lack pairs; not synced. cut: plans
 * to cut the file first. KV_NOMEM: nothing has happened. */
int store_write_map(struct store *store, uint64_t txn, bool cut);

/* ---- verify.c ------------------------------------------------------------------------------ */

void store_verify_open(struct store *store);

#endif
