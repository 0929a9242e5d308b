/* Layout C: the classic slotted page (LMDB's): 2-byte offsets, keys only in the heap, searched by
 * halving.
 *
 * Entry: u64 value size, or child, u64 count (branches only), u16 key size, key, value. */
#ifndef BENCH_LAYOUT_PLAIN_H
#define BENCH_LAYOUT_PLAIN_H

#include "bench/layout/layout.h"

static inline uint16_t *plain_slots(const uint8_t *page)
{
	return (uint16_t *)((uintptr_t)page + NODE_HEADER);
}

static inline kv_slice plain_key(const uint8_t *page, uint32_t i)
{
	const uint8_t *size = page + plain_slots(page)[i] + (page_header_of(page)->level ? 16 : 6);

	return kv_bytes(size + 2, node_u16(size));
}

/* Makes an entry with room for fixed bytes before the key's size; NULL if the page is full. */
static uint8_t *plain_push(uint8_t *page, size_t fixed, kv_slice key, size_t value_size)
{
	uint8_t *entry = layout_push(page, 2, fixed + 2 + key.size + value_size);
	uint16_t size = (uint16_t)key.size;

	if (!entry)
		return NULL;
	plain_slots(page)[node_count(page) - 1] = (uint16_t)(entry - page);
	memcpy(entry + fixed, &size, 2);
	if (key.size)
		memcpy(entry + fixed + 2, key.data, key.size);
	return entry;
}

static bool plain_append_leaf(uint8_t *leaf, uint32_t page_size, kv_slice key, kv_slice value)
{
	uint8_t *entry = plain_push(leaf, 6, key, value.size);
	uint32_t size = (uint32_t)value.size;

	(void)page_size;
	if (!entry)
		return false;
	memset(entry, 0, 6);
	memcpy(entry, &size, 4);
	memcpy(entry + 8 + key.size, value.data, value.size);
	return true;
}

static bool plain_append_branch(uint8_t *branch, uint32_t page_size, kv_slice separator,
                                uint64_t child, uint64_t count)
{
	uint8_t *entry = plain_push(branch, 16, separator, 0);

	(void)page_size;
	if (!entry)
		return false;
	memcpy(entry, &child, 8);
	memcpy(entry + 8, &count, 8);
	return true;
}

static void plain_finish(uint8_t *page, uint32_t page_size)
{
	(void)page;
	(void)page_size;
}

/* Index of the first entry in [from, count) whose key is >= key. */
static inline uint32_t plain_search(const uint8_t *page, kv_slice key, uint32_t from, bool *equal)
{
	uint32_t to = node_count(page);

	*equal = false;
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		int c = node_compare(plain_key(page, middle), key);

		if (c == 0) {
			*equal = true;
			return middle;
		}
		if (c < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static uint64_t plain_route(const uint8_t *branch, kv_slice key)
{
	uint64_t child;
	bool equal;
	uint32_t i = plain_search(branch, key, 1, &equal);

	memcpy(&child, branch + plain_slots(branch)[equal ? i : i - 1], 8);
	return child;
}

static const uint8_t *plain_find(const uint8_t *leaf, kv_slice key)
{
	bool equal;
	uint32_t i = plain_search(leaf, key, 0, &equal);

	return equal ? leaf + plain_slots(leaf)[i] + 8 + key.size : NULL;
}

static const struct layout layout_plain = {
        .name = "C: plain slots, halved",
        .init = layout_init,
        .append_leaf = plain_append_leaf,
        .append_branch = plain_append_branch,
        .finish = plain_finish,
        .route = plain_route,
        .find = plain_find,
        .leaf_lines = 2,
        .branch_lines = 6,
};

#endif
