/* Moving entries between nodes, and building nodes in key order. */
#include "btree/node.h"

#include <assert.h>

#include "btree/node_heap.h"

/* Appends entries [from, to) of another node of the same kind; there is room, in the arrays too. A
 * branch's first moved entry gets the separator, unless it becomes the node's first. Heads and
 * prefix are left as they are. */
static void append_range(uint8_t *page, const uint8_t *other, uint32_t from, uint32_t to,
                         kv_slice separator)
{
	struct page_header *h = page_header(page);
	uint16_t *slots = node_slots_of(page);
	bool branch = node_is_branch(page);

	for (uint32_t i = from; i < to; i++) {
		uint32_t n = h->count++, size, start;

		if (branch) {
			node_set_child(page, n, node_child(other, i));
			node_set_count(page, n, node_counts(other)[i]);
			if (i == from) {
				slots[n] = n ? node_place_separator(page, separator) : 0;
				continue;
			}
		}
		size = node_entry_size(other, i);
		start = node_entry_start(other, i);
		h->heap -= size;
		memcpy(page + h->heap, other + start, size);
		slots[n] = (uint16_t)(h->heap + node_slots(other)[i] - start);
	}
}

/* Bytes of heap in use. */
static uint32_t live(const uint8_t *page, uint32_t page_size)
{
	const struct page_header *h = page_header_of(page);

	return page_size - h->heap - h->dead;
}

void node_split(uint8_t *left, uint8_t *right, uint32_t page_size, uint32_t from)
{
	uint32_t count = node_count(left);

	assert(from <= count && !node_count(right));
	node_set_capacity(right, node_capacity_for(right, count - from));
	append_range(right, left, from, count, kv_bytes(NULL, 0));
	node_rebuild_heads(right);
	node_remove_range(left, page_size, from, count);
	node_pack(left, page_size, node_capacity_for(left, from));
	node_rebuild_heads(left);
}

bool node_merge(uint8_t *left, const uint8_t *right, uint32_t page_size, kv_slice separator)
{
	uint32_t count = node_count(left) + node_count(right), bytes = live(right, page_size);
	uint32_t capacity = node_capacity_for(left, count), end = node_arrays_end(left, capacity);

	if (node_is_branch(left) && node_count(left) && node_count(right))
		bytes += (uint32_t)(2 + separator.size);
	if (end + live(left, page_size) + bytes > page_size)
		return false;
	if (end + bytes <= page_header(left)->heap)
		node_set_capacity(left, capacity);
	else
		node_pack(left, page_size, capacity);
	append_range(left, right, 0, node_count(right), separator);
	node_rebuild_heads(left);
	return true;
}

/* ---- building ------------------------------------------------------------------------------- */

bool node_append_leaf(uint8_t *leaf, uint32_t page_size, kv_slice key, kv_slice value, bool large)
{
	uint32_t n = node_count(leaf);

	if (!node_leaf_has_room(leaf, page_size, key.size, value.size))
		return false;
	node_reserve(leaf, page_size, node_leaf_entry_size(leaf, key.size, value.size));
	node_slots_of(leaf)[n] = node_place_leaf(leaf, key, value, large, NULL);
	page_header(leaf)->count++;
	return true;
}

bool node_append_branch(uint8_t *branch, uint32_t page_size, kv_slice separator, page_id child,
                        uint64_t count)
{
	uint32_t n = node_count(branch);

	if (!node_branch_has_room(branch, page_size, n ? separator.size : 0))
		return false;
	node_reserve(branch, page_size, n ? (uint32_t)(2 + separator.size) : 0);
	node_slots_of(branch)[n] = n ? node_place_separator(branch, separator) : 0;
	node_set_child(branch, n, child);
	node_set_count(branch, n, count);
	page_header(branch)->count++;
	return true;
}

void node_finish(uint8_t *page, uint32_t page_size)
{
	uint32_t capacity = node_capacity_for(page, node_count(page));
	uint32_t end = node_arrays_end(page, capacity), heap = page_header(page)->heap;

	(void)page_size;
	assert(heap <= page_size);
	node_set_capacity(page, capacity);
	node_rebuild_heads(page);
	memset(page + end, 0, heap - end); /* nothing of the memory's past goes to the file */
}

size_t node_separator(kv_slice left, kv_slice right)
{
	size_t common = node_common_prefix(left, right);

	return common < right.size ? common + 1 : right.size;
}
