/* The read-only mapping of the data file, and faulting it in without SIGBUS. */
#ifndef KV_MMAP_MAP_H
#define KV_MMAP_MAP_H

#include <stdint.h>

#include "mmap/store.h"

/* Maps the file, with room for it to grow: want bytes, halved until the kernel agrees, but at least
 * need; want 0 chooses. Sets base[0], mapped_bytes and map_pages. KV_NOMEM. */
int map_open(struct store *store, uint64_t want, uint64_t need);
void map_close(struct store *store);

/* Faults in count pages from first on. They must be in bounds. KV_CORRUPT if the file ends before
 * them (somebody has cut it), KV_IO if they cannot be read, KV_NOMEM. */
int map_populate(struct store *store, uint64_t first, uint64_t count);

#endif
