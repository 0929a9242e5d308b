/* Layout A: that of btree/node.h. Heads in one array, swept; slots in another. */
#ifndef BENCH_LAYOUT_HEADS_H
#define BENCH_LAYOUT_HEADS_H

#include "bench/layout/layout.h"
#include "btree/heads.h"

static void heads_init(uint8_t *page, uint32_t page_size, uint8_t level)
{
	node_init(page, page_size, level ? PAGE_BRANCH : PAGE_LEAF, level, 1, 0);
}

static bool heads_append_leaf(uint8_t *leaf, uint32_t page_size, kv_slice key, kv_slice value)
{
	return node_append_leaf(leaf, page_size, key, value, false);
}

static uint64_t heads_route(const uint8_t *branch, kv_slice key)
{
	return node_child(branch, node_route(branch, key));
}

static const uint8_t *heads_find(const uint8_t *leaf, kv_slice key)
{
	uint32_t i = node_find(leaf, key);
	bool large;

	return i == UINT32_MAX ? NULL : node_value(leaf, i, &large).data;
}

static const uint8_t *heads_candidate(const uint8_t *leaf, kv_slice key)
{
	const uint32_t *heads = node_heads(leaf);
	uint32_t count = node_count(leaf), head = node_head(key, page_header_of(leaf)->prefix);
	uint32_t i = heads_below(heads, count, head);

	return i < count && heads[i] == head ? leaf + node_slots(leaf)[i] : NULL;
}

static const uint8_t *heads_confirm(const uint8_t *entry, kv_slice key)
{
	bool same = node_u16(entry) == key.size && !memcmp(entry + 4, key.data, key.size);

	return same ? entry + 4 + key.size : NULL;
}

static const struct layout layout_heads = {
        .name = "A: heads, then slots; swept",
        .init = heads_init,
        .append_leaf = heads_append_leaf,
        .append_branch = node_append_branch,
        .finish = node_finish,
        .route = heads_route,
        .find = heads_find,
        .candidate = heads_candidate,
        .confirm = heads_confirm,
        .leaf_lines = 3,
        .branch_lines = 9,
};

#endif
