/* What the layouts under comparison have in common: a node that is filled in key order, frozen, and
 * searched. The drivers in layout.c are inlined for each layout, so that no call through a pointer
 * is left in what is measured. */
#ifndef BENCH_LAYOUT_H
#define BENCH_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "btree/node.h"

struct layout {
	const char *name;
	void (*init)(uint8_t *page, uint32_t page_size, uint8_t level);
	/* False: the page is full. */
	bool (*append_leaf)(uint8_t *leaf, uint32_t page_size, kv_slice key, kv_slice value);
	bool (*append_branch)(uint8_t *branch, uint32_t page_size, kv_slice separator,
	                      uint64_t child, uint64_t count);
	void (*finish)(uint8_t *page, uint32_t page_size);
	uint64_t (*route)(const uint8_t *branch, kv_slice key); /* the child that holds key */
	/* The value's first byte, or NULL. */
	const uint8_t *(*find)(const uint8_t *leaf, kv_slice key);
	/* The same in two steps, with a cache miss between them: the entry that may have the key,
	 * without touching it, and the look at it. NULL: no such steps. */
	const uint8_t *(*candidate)(const uint8_t *leaf, kv_slice key);
	const uint8_t *(*confirm)(const uint8_t *entry, kv_slice key);
	uint32_t leaf_lines,
	        branch_lines; /* of 64 bytes that a search of a 4 KiB node reads, about */
};

/* Room for an array element of the given width and an entry in the heap; NULL if there is none. The
 * header's fields count and heap are used as in btree/. */
static inline uint8_t *layout_push(uint8_t *page, uint32_t width, size_t bytes)
{
	struct page_header *h = page_header(page);

	if (NODE_HEADER + (h->count + 1u) * width + bytes > h->heap)
		return NULL;
	h->count++;
	h->heap -= (uint32_t)bytes;
	return page + h->heap;
}

static inline void layout_init(uint8_t *page, uint32_t page_size, uint8_t level)
{
	memset(page, 0, NODE_HEADER);
	page_header(page)->level = level;
	page_header(page)->heap = page_size;
}

#endif
