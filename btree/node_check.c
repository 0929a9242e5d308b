/* Is a page from the file a node that the rest of this folder can trust? What is checked here is
 * what memory safety rests on, in readers and in the writer who changes a copy of it: all entries
 * lie inside the page, none overlaps another, and the bytes in use add up, so that packing fits. */
#include "btree/node.h"

#include "btree/node_heap.h"

/* A bit per byte of the page: owned by an entry that has been looked at. */
struct owned {
	uint64_t words[KV_MAX_PAGE_SIZE / 64 + 1];
};

/* Takes [from, from + size); false if somebody has part of it. size is at least 1. */
static bool take(struct owned *owned, uint32_t from, uint32_t size)
{
	uint32_t to = from + size, first = from / 64, last = to / 64;
	uint64_t clash = 0, mask = ~UINT64_C(0) << from % 64, rest = (UINT64_C(1) << to % 64) - 1;

	for (uint32_t w = first; w < last; w++, mask = ~UINT64_C(0)) {
		clash |= owned->words[w] & mask;
		owned->words[w] |= mask;
	}
	mask &= rest;
	clash |= owned->words[last] & mask;
	owned->words[last] |= mask;
	return !clash;
}

static bool entries_disjoint(const uint8_t *page, uint32_t page_size)
{
	uint32_t count = node_count(page);
	struct owned owned;

	memset(&owned, 0, page_size / 8 + 8);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = node_entry_size(page, i);

		if (size && !take(&owned, node_entry_start(page, i), size))
			return false;
	}
	return true;
}

static const char *check_header(const struct page_header *h, uint32_t page_size)
{
	bool branch = h->type == PAGE_BRANCH;
	uint32_t width = branch ? 22 : 6;

	if (!branch && h->type != PAGE_LEAF && h->type != PAGE_CATALOG)
		return "not a page of a tree";
	if (branch ? h->level == 0 || h->level >= KV_MAX_LEVELS : h->level != 0)
		return "level and type do not agree";
	if (h->count > h->capacity || (branch && (h->capacity % 2 || !h->count)))
		return "bad entry count";
	if (h->heap > page_size || NODE_HEADER + width * h->capacity > h->heap)
		return "arrays and heap overlap";
	if (h->dead > page_size || (h->type == PAGE_CATALOG && h->heap % 8))
		return "bad heap";
	return NULL;
}

static const char *check_leaf_entry(const uint8_t *leaf, uint32_t page_size, uint32_t slot)
{
	const struct page_header *h = page_header_of(leaf);
	uint32_t key_size, value_size, stored, end;

	if (slot < h->heap || slot + 4 > page_size)
		return "an entry outside the heap";
	key_size = node_u16(leaf + slot);
	stored = node_u16(leaf + slot + 2);
	value_size = stored & (NODE_LARGE - 1);
	end = slot + 4 + key_size + value_size;
	if (h->type == PAGE_CATALOG) {
		if ((slot + 4 + key_size) % 8)
			return "a value that is not aligned";
		end = node_round8(end);
	}
	if (end > page_size)
		return "an entry beyond the page";
	if (key_size > KV_MAX_KEY(page_size) || key_size < h->prefix)
		return "bad key size";
	if (stored & NODE_LARGE) {
		struct node_large large;

		if (value_size != sizeof(large))
			return "bad reference to a large value";
		memcpy(&large, leaf + slot + 4 + key_size, sizeof(large));
		if (!large.size || large.birth > h->birth)
			return "bad reference to a large value";
	}
	return NULL;
}

static const char *check_branch_entry(const uint8_t *branch, uint32_t page_size, uint32_t i,
                                      uint32_t slot)
{
	const struct page_header *h = page_header_of(branch);
	uint32_t key_size;

	if (i == 0)
		return slot ? "a separator before the first child" : NULL;
	if (slot < h->heap || slot + 2 > page_size)
		return "a separator outside the heap";
	key_size = node_u16(branch + slot);
	if (slot + 2 + key_size > page_size)
		return "a separator beyond the page";
	if (key_size > KV_MAX_KEY(page_size) || key_size < h->prefix)
		return "bad separator size";
	return NULL;
}

/* Two entries that both fit on a page: what splits rely on. */
static bool entry_too_big(const uint8_t *page, uint32_t page_size, uint32_t size)
{
	return size + node_width(page) > node_max_entry(page_size);
}

bool node_check(const uint8_t *page, uint32_t page_size, const char **what)
{
	const struct page_header *h = page_header_of(page);
	uint32_t sum = 0, expected = page_size;
	bool branch, in_order = true;

	*what = check_header(h, page_size);
	if (*what)
		return false;
	branch = h->type == PAGE_BRANCH;
	for (uint32_t i = 0; i < h->count; i++) {
		uint32_t slot = node_slots(page)[i], size;

		*what = branch ? check_branch_entry(page, page_size, i, slot)
		               : check_leaf_entry(page, page_size, slot);
		if (*what)
			return false;
		size = node_entry_size(page, i);
		if (entry_too_big(page, page_size, size)) {
			*what = "an entry that is too big";
			return false;
		}
		/* Packed nodes have their entries one below the other: nothing else to look at. */
		expected -= size;
		in_order = in_order && (!size || node_entry_start(page, i) == expected);
		sum += size;
	}
	if (sum + h->dead != page_size - h->heap)
		*what = "bytes of the heap do not add up";
	else if (!in_order && !entries_disjoint(page, page_size))
		*what = "entries overlap";
	return !*what;
}
