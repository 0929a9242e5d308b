/* Changes to a closed file that its checksums do not betray. */
#ifndef TESTS_FORGE_H
#define TESTS_FORGE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "mmap/meta.h"
#include "mmap/page.h"

struct forge {
	const char *path;
	uint8_t *data; /* the whole file */
	size_t size;   /* bytes */
	uint32_t page_size;
};

/* Reads the file; it must have been closed cleanly. path is not copied. */
void forge_begin(struct forge *forge, const char *path);

/* Writes it, with both meta pages summed anew, and frees the memory. */
void forge_end(struct forge *forge);

struct meta *forge_meta(struct forge *forge, unsigned page); /* page: 0 or 1 */
uint8_t *forge_page(struct forge *forge, uint64_t number);

/* Sums a page anew; returns its new id, which whatever leads to it must be given. */
page_id forge_sum(struct forge *forge, uint64_t number);

/* Numbers of up to room pages of the type that are whole, from the lowest on; returns how many. */
size_t forge_find(struct forge *forge, uint8_t type, uint64_t *numbers, size_t room);

/* The catalog, of any height. */
void forge_set_catalog(struct forge *forge, page_id root, uint32_t height);

/* The record of a table, in a catalog that is one leaf; the test fails if it is not there. After a
 * change forge_sum_catalog makes the catalog reachable again. */
struct table_record *forge_record(struct forge *forge, uint8_t id);
void forge_sum_catalog(struct forge *forge);

#endif
