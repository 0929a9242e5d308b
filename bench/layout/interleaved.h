/* Layout B: one array of 8-byte slots, each with the key's head, searched by halving.
 *
 * Leaf entry: u16 value size, key, value. Branch entry: u64 child, u64 count, separator. */
#ifndef BENCH_LAYOUT_INTERLEAVED_H
#define BENCH_LAYOUT_INTERLEAVED_H

#include "bench/layout/layout.h"

struct interleaved_slot {
	uint32_t head;
	uint16_t offset, key_size;
};

static inline struct interleaved_slot *interleaved_slots(const uint8_t *page)
{
	return (struct interleaved_slot *)((uintptr_t)page + NODE_HEADER);
}

static inline kv_slice interleaved_key(const uint8_t *page, uint32_t i)
{
	const struct interleaved_slot *slot = interleaved_slots(page) + i;

	return kv_bytes(page + slot->offset + (page_header_of(page)->level ? 16 : 2),
	                slot->key_size);
}

static uint8_t *interleaved_push(uint8_t *page, size_t key_size, size_t bytes)
{
	uint8_t *entry = layout_push(page, sizeof(struct interleaved_slot), bytes);

	if (entry)
		interleaved_slots(page)[node_count(page) - 1] = (struct interleaved_slot){
		        .offset = (uint16_t)(entry - page), .key_size = (uint16_t)key_size};
	return entry;
}

static bool interleaved_append_leaf(uint8_t *leaf, uint32_t page_size, kv_slice key, kv_slice value)
{
	uint8_t *entry = interleaved_push(leaf, key.size, 2 + key.size + value.size);
	uint16_t size = (uint16_t)value.size;

	(void)page_size;
	if (!entry)
		return false;
	memcpy(entry, &size, 2);
	memcpy(entry + 2, key.data, key.size);
	memcpy(entry + 2 + key.size, value.data, value.size);
	return true;
}

static bool interleaved_append_branch(uint8_t *branch, uint32_t page_size, kv_slice separator,
                                      uint64_t child, uint64_t count)
{
	uint8_t *entry = interleaved_push(branch, separator.size, 16 + separator.size);

	(void)page_size;
	if (!entry)
		return false;
	memcpy(entry, &child, 8);
	memcpy(entry + 8, &count, 8);
	if (separator.size)
		memcpy(entry + 16, separator.data, separator.size);
	return true;
}

/* Takes the prefix off the heads. Separator 0 of a branch, minus infinity, keeps out of it. */
static void interleaved_finish(uint8_t *page, uint32_t page_size)
{
	uint32_t count = node_count(page), first = page_header_of(page)->level > 0;
	struct page_header *h = page_header(page);
	kv_slice a, b;

	(void)page_size;
	if (count <= first)
		return;
	a = interleaved_key(page, first);
	b = interleaved_key(page, count - 1);
	while (h->prefix < NODE_PREFIX_BYTES && h->prefix < a.size && h->prefix < b.size &&
	       ((const uint8_t *)a.data)[h->prefix] == ((const uint8_t *)b.data)[h->prefix])
		h->prefix++;
	memcpy(page + sizeof(*h), a.data, h->prefix);
	for (uint32_t i = first; i < count; i++)
		interleaved_slots(page)[i].head = node_head(interleaved_key(page, i), h->prefix);
}

/* Index of the first slot in [from, count) whose key is >= key. */
static inline uint32_t interleaved_search(const uint8_t *page, kv_slice key, uint32_t from)
{
	const struct interleaved_slot *slots = interleaved_slots(page);
	uint32_t prefix = page_header_of(page)->prefix, n = node_count(page) - from, head;
	int c = prefix ? memcmp(key.data, page + sizeof(struct page_header), prefix) : 0;

	if (c)
		return c < 0 ? from : node_count(page);
	head = node_head(key, prefix);
	while (n > 0) {
		uint32_t half = n / 2;
		bool less = slots[from + half].head < head;

		if (__builtin_expect(slots[from + half].head == head, 0))
			less = node_compare(interleaved_key(page, from + half), key) < 0;
		from = less ? from + half + 1 : from;
		n = less ? n - half - 1 : half;
	}
	return from;
}

static uint64_t interleaved_route(const uint8_t *branch, kv_slice key)
{
	uint32_t i = interleaved_search(branch, key, 1);
	uint64_t child;

	if (i == node_count(branch) || node_compare(interleaved_key(branch, i), key) != 0)
		i--;
	memcpy(&child, branch + interleaved_slots(branch)[i].offset, 8);
	return child;
}

static const uint8_t *interleaved_find(const uint8_t *leaf, kv_slice key)
{
	uint32_t i = interleaved_search(leaf, key, 0);

	if (i == node_count(leaf) || node_compare(interleaved_key(leaf, i), key) != 0)
		return NULL;
	return leaf + interleaved_slots(leaf)[i].offset + 2 + key.size;
}

static const uint8_t *interleaved_candidate(const uint8_t *leaf, kv_slice key)
{
	const struct interleaved_slot *slots = interleaved_slots(leaf);
	uint32_t n = node_count(leaf), i = 0, head = node_head(key, page_header_of(leaf)->prefix);

	while (n > 0) {
		uint32_t half = n / 2;
		bool less = slots[i + half].head < head;

		i = less ? i + half + 1 : i;
		n = less ? n - half - 1 : half;
	}
	return i < node_count(leaf) && slots[i].head == head ? leaf + slots[i].offset : NULL;
}

static const uint8_t *interleaved_confirm(const uint8_t *entry, kv_slice key)
{
	return memcmp(entry + 2, key.data, key.size) ? NULL : entry + 2 + key.size;
}

static const struct layout layout_interleaved = {
        .name = "B: slots with heads, halved",
        .init = layout_init,
        .append_leaf = interleaved_append_leaf,
        .append_branch = interleaved_append_branch,
        .finish = interleaved_finish,
        .route = interleaved_route,
        .find = interleaved_find,
        .candidate = interleaved_candidate,
        .confirm = interleaved_confirm,
        .leaf_lines = 4,
        .branch_lines = 17,
};

#endif
