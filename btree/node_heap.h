/* What the files about single nodes share: sizes and places of entries, room, heads and prefix. */
#ifndef KV_BTREE_NODE_HEAP_H
#define KV_BTREE_NODE_HEAP_H

#include "btree/node.h"

/* Bytes in the arrays per entry. */
static inline uint32_t node_width(const uint8_t *page)
{
	return node_is_branch(page) ? 22 : 6;
}

/* The least capacity for count entries: even in branches, so that children stay 8-aligned. */
static inline uint32_t node_capacity_for(const uint8_t *page, uint32_t count)
{
	return node_is_branch(page) ? (count + 1) & ~1u : count;
}

static inline uint32_t node_arrays_end(const uint8_t *page, uint32_t capacity)
{
	return NODE_HEADER + node_width(page) * capacity;
}

static inline uint32_t node_round8(size_t size)
{
	return (uint32_t)(size + 7) & ~7u;
}

/* Bytes of heap that a leaf's entry takes. In a catalog its two halves are rounded up, so that the
 * heap's lower end stays a multiple of 8 and with it the value's place. */
static inline uint32_t node_leaf_entry_size(const uint8_t *leaf, size_t key_size, size_t value_size)
{
	if (page_header_of(leaf)->type == PAGE_CATALOG)
		return node_round8(4 + key_size) + node_round8(value_size);
	return (uint32_t)(4 + key_size + value_size);
}

/* The same for an entry that is there. */
static inline uint32_t node_entry_size(const uint8_t *page, uint32_t i)
{
	uint32_t slot = node_slots(page)[i];

	if (node_is_branch(page))
		return slot ? 2u + node_u16(page + slot) : 0;
	return node_leaf_entry_size(page, node_u16(page + slot),
	                            node_u16(page + slot + 2) & (NODE_LARGE - 1));
}

/* Where the bytes of an entry that is there begin: in a catalog, up to 7 before the slot. */
static inline uint32_t node_entry_start(const uint8_t *page, uint32_t i)
{
	uint32_t slot = node_slots(page)[i];

	return page_header_of(page)->type == PAGE_CATALOG ? slot & ~7u : slot;
}

static inline uint32_t *node_heads_of(uint8_t *page)
{
	return (uint32_t *)(void *)(page + NODE_HEADER);
}

static inline uint64_t *node_children_of(uint8_t *page)
{
	return (uint64_t *)(void *)(page + NODE_HEADER + 4 * (size_t)node_capacity(page));
}

static inline uint64_t *node_counts_of(uint8_t *page)
{
	return node_children_of(page) + node_capacity(page);
}

static inline uint16_t *node_slots_of(uint8_t *page)
{
	size_t width = node_is_branch(page) ? 20 : 4;

	return (uint16_t *)(void *)(page + NODE_HEADER + width * node_capacity(page));
}

/* Entries before the first one with a key: 1 in branches. */
static inline uint32_t node_first_key(const uint8_t *page)
{
	return node_is_branch(page) ? 1 : 0;
}

/* Bytes that a and b share at their beginnings. */
size_t node_common_prefix(kv_slice a, kv_slice b);

/* Moves the arrays so that they have room for capacity entries; the gap must allow it. */
void node_set_capacity(uint8_t *page, uint32_t capacity);

/* Makes room for one more entry with bytes of heap. It must fit when everything is packed. */
void node_reserve(uint8_t *page, uint32_t page_size, uint32_t bytes);

/* Packs the heap, in key order, and sets the capacity. */
void node_pack(uint8_t *page, uint32_t page_size, uint32_t capacity);

/* Takes the longest prefix that the first and the last key share, and computes all heads. */
void node_rebuild_heads(uint8_t *page);

/* Write an entry into the heap, for which there is room. Return its slot. */
uint16_t node_place_leaf(uint8_t *leaf, kv_slice key, kv_slice value, bool large, uint8_t **place);
uint16_t node_place_separator(uint8_t *branch, kv_slice separator);

#endif
