/* The data file as such: creating, opening, locking, closing it, and writing its meta pages (R7).
 * What lies behind them is the free-space map's and the trees' business. */
#ifndef KV_MMAP_DATAFILE_H
#define KV_MMAP_DATAFILE_H

#include <stdbool.h>

#include "mmap/store.h"

/* Opens and locks the file of the options, or the nameless beginning of a new one (*created).
 * Sets store->file; for an existing one also store->meta and clean. Errors as store_open, with
 * files left open for datafile_close. */
int datafile_open(struct store *store, const struct store_options *options, bool *created);

/* Gives a new file its first content, from the store's fields and its free-space map, and its name.
 * Durable when it returns. */
int datafile_finish(struct store *store);

/* Closes whatever is open. Removes a new file that was not finished, unless it is abandoned. */
int datafile_close(struct store *store, bool abandon);

/* Writes *state, the file's size and the map's next_roots as the next meta page, then syncs. */
int datafile_write_meta(struct store *store, const struct store_state *state);

/* Makes sure, before the first change, that no clean meta page can outlive what is coming. */
int datafile_mark_open(struct store *store);

/* Writes both meta pages alike, and marked clean. */
int datafile_mark_clean(struct store *store);

#endif
