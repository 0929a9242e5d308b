/* Changing a node, entry by entry. The room between arrays and heap serves both; what removals
 * leave behind in the heap is only counted, and won back by packing when the room runs out. */
#include "btree/node.h"

#include <assert.h>

#include "btree/node_heap.h"

#define LEAF_STEP 8u /* entries that the arrays grow by */
#define BRANCH_STEP 16u

void node_init(uint8_t *page, uint32_t page_size, uint8_t type, uint8_t level, uint64_t birth,
               uint32_t capacity)
{
	struct page_header *h = page_header(page);

	memset(page, 0, NODE_HEADER);
	h->birth = birth;
	h->type = type;
	h->level = level;
	h->heap = page_size;
	h->capacity = (uint16_t)node_capacity_for(page, capacity);
}

/* ---- room ----------------------------------------------------------------------------------- */

uint32_t node_used(const uint8_t *page, uint32_t page_size)
{
	const struct page_header *h = page_header_of(page);

	return node_arrays_end(page, node_capacity_for(page, h->count)) + page_size - h->heap -
	       h->dead;
}

static bool has_room(const uint8_t *page, uint32_t page_size, uint32_t bytes)
{
	const struct page_header *h = page_header_of(page);
	uint32_t arrays = node_arrays_end(page, node_capacity_for(page, h->count + 1u));

	return arrays + (page_size - h->heap - h->dead) + bytes <= page_size;
}

bool node_leaf_has_room(const uint8_t *leaf, uint32_t page_size, size_t key_size, size_t value_size)
{
	return has_room(leaf, page_size, node_leaf_entry_size(leaf, key_size, value_size));
}

bool node_branch_has_room(const uint8_t *branch, uint32_t page_size, size_t key_size)
{
	return has_room(branch, page_size, (uint32_t)(2 + key_size));
}

void node_set_capacity(uint8_t *page, uint32_t capacity)
{
	struct page_header *h = page_header(page);
	size_t count = h->count, old = h->capacity, now = capacity;
	uint8_t *arrays = page + NODE_HEADER;

	/* The array that has the furthest to go moves first when growing, last when shrinking. */
	if (h->type != PAGE_BRANCH) {
		memmove(arrays + 4 * now, arrays + 4 * old, 2 * count);
	} else if (now > old) {
		memmove(arrays + 20 * now, arrays + 20 * old, 2 * count);
		memmove(arrays + 12 * now, arrays + 12 * old, 8 * count);
		memmove(arrays + 4 * now, arrays + 4 * old, 8 * count);
	} else {
		memmove(arrays + 4 * now, arrays + 4 * old, 8 * count);
		memmove(arrays + 12 * now, arrays + 12 * old, 8 * count);
		memmove(arrays + 20 * now, arrays + 20 * old, 2 * count);
	}
	h->capacity = (uint16_t)capacity;
}

/* The capacity to take when space bytes are there for the arrays and at least count entries must
 * find room: somewhat more than that, if possible. */
static uint32_t roomy_capacity(const uint8_t *page, uint32_t count, uint32_t space)
{
	uint32_t least = node_capacity_for(page, count), most = space / node_width(page);
	uint32_t wanted = least + (node_is_branch(page) ? BRANCH_STEP : LEAF_STEP);

	if (node_is_branch(page))
		most &= ~1u;
	return most < least ? least : most < wanted ? most : wanted;
}

void node_reserve(uint8_t *page, uint32_t page_size, uint32_t bytes)
{
	struct page_header *h = page_header(page);
	uint32_t count = h->count + 1u, space;

	assert(has_room(page, page_size, bytes));
	if (count <= h->capacity && node_arrays_end(page, h->capacity) + bytes <= h->heap)
		return;
	if (node_arrays_end(page, node_capacity_for(page, count)) + bytes <= h->heap) {
		space = h->heap - NODE_HEADER - bytes;
		node_set_capacity(page, roomy_capacity(page, count, space));
	} else {
		space = h->heap + h->dead - NODE_HEADER - bytes;
		node_pack(page, page_size, roomy_capacity(page, count, space));
	}
}

/* ---- the heap ------------------------------------------------------------------------------- */

static uint16_t place_entry(uint8_t *page, uint32_t bytes)
{
	struct page_header *h = page_header(page);

	assert(node_arrays_end(page, h->capacity) + bytes <= h->heap);
	h->heap -= bytes;
	return (uint16_t)h->heap;
}

static void store_u16(uint8_t *p, size_t v)
{
	uint16_t n = (uint16_t)v;

	memcpy(p, &n, 2);
}

/* Writes an entry's value and its size, large flag included. */
static uint8_t *write_value(uint8_t *entry, kv_slice value, bool large)
{
	uint8_t *place = entry + 4 + node_u16(entry);

	store_u16(entry + 2, value.size | (large ? NODE_LARGE : 0));
	if (!value.data)
		memset(place, 0, value.size);
	else if (value.size)
		memcpy(place, value.data, value.size);
	return place;
}

uint16_t node_place_leaf(uint8_t *leaf, kv_slice key, kv_slice value, bool large, uint8_t **place)
{
	uint16_t slot = place_entry(leaf, node_leaf_entry_size(leaf, key.size, value.size));
	uint8_t *entry, *at;

	/* The value of a catalog's entry begins at a multiple of 8, as the heap's end does. */
	if (page_header(leaf)->type == PAGE_CATALOG)
		slot = (uint16_t)(slot + node_round8(4 + key.size) - 4 - key.size);
	entry = leaf + slot;
	store_u16(entry, key.size);
	if (key.size)
		memcpy(entry + 4, key.data, key.size);
	at = write_value(entry, value, large);
	if (place)
		*place = at;
	return slot;
}

uint16_t node_place_separator(uint8_t *branch, kv_slice separator)
{
	uint16_t slot = place_entry(branch, (uint32_t)(2 + separator.size));

	store_u16(branch + slot, separator.size);
	if (separator.size)
		memcpy(branch + slot + 2, separator.data, separator.size);
	return slot;
}

/* Entry i's bytes in the heap belong to nobody from now on. */
static void release(uint8_t *page, uint32_t i)
{
	struct page_header *h = page_header(page);
	uint32_t size = node_entry_size(page, i);

	if (size && node_entry_start(page, i) == h->heap)
		h->heap += size;
	else
		h->dead += size;
}

void node_pack(uint8_t *page, uint32_t page_size, uint32_t capacity)
{
	struct page_header *h = page_header(page);
	_Alignas(8) uint8_t old[KV_MAX_PAGE_SIZE];
	uint16_t *slots = node_slots_of(page);

	memcpy(old, page, page_size);
	h->heap = page_size;
	h->dead = 0;
	for (uint32_t i = 0; i < h->count; i++) {
		uint32_t size = node_entry_size(old, i), start = node_entry_start(old, i);

		h->heap -= size;
		memcpy(page + h->heap, old + start, size);
		if (size)
			slots[i] = (uint16_t)(h->heap + slots[i] - start);
	}
	node_set_capacity(page, capacity);
}

/* ---- prefix and heads ----------------------------------------------------------------------- */

size_t node_common_prefix(kv_slice a, kv_slice b)
{
	const uint8_t *p = a.data, *q = b.data;
	size_t n = a.size < b.size ? a.size : b.size, i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t v, w;

		memcpy(&v, p + i, 8);
		memcpy(&w, q + i, 8);
		if (v != w)
			return i + (size_t)__builtin_ctzll(v ^ w) / 8;
	}
	while (i < n && p[i] == q[i])
		i++;
	return i;
}

/* Takes size bytes, which all keys share, as the prefix. */
static void set_prefix(uint8_t *page, size_t size)
{
	struct page_header *h = page_header(page);
	uint32_t *heads = node_heads_of(page), i = node_first_key(page);
	size_t inlined = size < NODE_PREFIX_BYTES ? size : NODE_PREFIX_BYTES;

	h->prefix = (uint16_t)size;
	memset(page + sizeof(*h), 0, NODE_PREFIX_BYTES);
	if (inlined)
		memcpy(page + sizeof(*h), node_key(page, i).data, inlined);
	for (; i < h->count; i++)
		heads[i] = node_head(node_key(page, i), size);
}

void node_rebuild_heads(uint8_t *page)
{
	uint32_t first = node_first_key(page), count = node_count(page);

	if (node_is_branch(page) && count)
		node_heads_of(page)[0] = 0;
	set_prefix(page, first < count ? node_common_prefix(node_key(page, first),
	                                                    node_key(page, count - 1))
	                               : 0);
}

/* Shortens the prefix to what a key that is going to be inserted shares of it. */
static void share_prefix(uint8_t *page, kv_slice key)
{
	struct page_header *h = page_header(page);
	uint32_t first = node_first_key(page);
	kv_slice shared = kv_bytes(page + sizeof(*h), h->prefix);
	size_t common;

	if (first >= h->count) { /* the only key: all of it */
		h->prefix = (uint16_t)key.size;
		memset(page + sizeof(*h), 0, NODE_PREFIX_BYTES);
		if (key.size)
			memcpy(page + sizeof(*h), key.data,
			       key.size < NODE_PREFIX_BYTES ? key.size : NODE_PREFIX_BYTES);
		return;
	}
	if (h->prefix > NODE_PREFIX_BYTES)
		shared = node_key(page, first);
	common = node_common_prefix(shared, key);
	if (common < h->prefix)
		set_prefix(page, common);
}

/* ---- inserting and replacing ---------------------------------------------------------------- */

/* Opens entry i of an array for a new one. */
static void open_entry(void *array, size_t width, uint32_t i, uint32_t count)
{
	uint8_t *at = (uint8_t *)array + width * i;

	memmove(at + width, at, width * (count - i));
}

void node_leaf_insert(uint8_t *leaf, uint32_t page_size, uint32_t i, kv_slice key, kv_slice value,
                      bool large, uint8_t **place)
{
	struct page_header *h = page_header(leaf);
	uint16_t slot;

	assert(i <= h->count);
	node_reserve(leaf, page_size, node_leaf_entry_size(leaf, key.size, value.size));
	share_prefix(leaf, key);
	slot = node_place_leaf(leaf, key, value, large, place);
	open_entry(node_heads_of(leaf), 4, i, h->count);
	open_entry(node_slots_of(leaf), 2, i, h->count);
	node_heads_of(leaf)[i] = node_head(key, h->prefix);
	node_slots_of(leaf)[i] = slot;
	h->count++;
}

static void insert_first_child(uint8_t *branch, page_id child, uint64_t count)
{
	node_heads_of(branch)[0] = 0;
	node_slots_of(branch)[0] = 0;
	node_set_child(branch, 0, child);
	node_set_count(branch, 0, count);
	page_header(branch)->count = 1;
}

void node_branch_insert(uint8_t *branch, uint32_t page_size, uint32_t i, kv_slice separator,
                        page_id child, uint64_t count)
{
	struct page_header *h = page_header(branch);
	uint16_t slot;

	assert(i <= h->count && (i || !h->count));
	node_reserve(branch, page_size, i ? (uint32_t)(2 + separator.size) : 0);
	if (!i) {
		insert_first_child(branch, child, count);
		return;
	}
	share_prefix(branch, separator);
	slot = node_place_separator(branch, separator);
	open_entry(node_heads_of(branch), 4, i, h->count);
	open_entry(node_children_of(branch), 8, i, h->count);
	open_entry(node_counts_of(branch), 8, i, h->count);
	open_entry(node_slots_of(branch), 2, i, h->count);
	node_heads_of(branch)[i] = node_head(separator, h->prefix);
	node_slots_of(branch)[i] = slot;
	node_set_child(branch, i, child);
	node_set_count(branch, i, count);
	h->count++;
}

/* Takes the entry out and puts it in again, for when nothing less makes room. */
static void reinsert(uint8_t *leaf, uint32_t page_size, uint32_t i, kv_slice value, bool large,
                     uint8_t **place)
{
	uint8_t key[KV_MAX_KEY(KV_MAX_PAGE_SIZE)];
	kv_slice old = node_key(leaf, i);

	memcpy(key, old.data, old.size);
	node_remove(leaf, page_size, i);
	node_leaf_insert(leaf, page_size, i, kv_bytes(key, old.size), value, large, place);
}

bool node_leaf_replace(uint8_t *leaf, uint32_t page_size, uint32_t i, kv_slice value, bool large,
                       uint8_t **place)
{
	struct page_header *h = page_header(leaf);
	uint32_t old = node_entry_size(leaf, i);
	kv_slice key = node_key(leaf, i);
	uint32_t now = node_leaf_entry_size(leaf, key.size, value.size);
	uint8_t *at;

	if (now <= old) {
		at = write_value(leaf + node_slots(leaf)[i], value, large);
		h->dead += old - now;
		if (place)
			*place = at;
	} else if (node_arrays_end(leaf, h->capacity) + now <= h->heap) {
		uint16_t slot = node_place_leaf(leaf, key, value, large, place);

		release(leaf, i);
		node_slots_of(leaf)[i] = slot;
	} else if (node_used(leaf, page_size) - old + now <= page_size) {
		reinsert(leaf, page_size, i, value, large, place);
	} else {
		return false;
	}
	return true;
}

/* ---- removing ------------------------------------------------------------------------------- */

static void close_entries(void *array, size_t width, uint32_t from, uint32_t to, uint32_t count)
{
	uint8_t *base = array;

	memmove(base + width * from, base + width * to, width * (count - to));
}

void node_remove(uint8_t *page, uint32_t page_size, uint32_t i)
{
	node_remove_range(page, page_size, i, i + 1);
}

void node_remove_range(uint8_t *page, uint32_t page_size, uint32_t from, uint32_t to)
{
	struct page_header *h = page_header(page);
	uint32_t count = h->count;
	bool branch = node_is_branch(page);

	assert(from <= to && to <= count);
	if (from == to)
		return;
	if (branch && from == 0 && to < count) { /* the next child takes over minus infinity */
		node_set_child(page, 0, node_child(page, to));
		node_set_count(page, 0, node_counts(page)[to]);
		from++;
		to++;
	}
	for (uint32_t i = from; i < to; i++)
		release(page, i);
	close_entries(node_heads_of(page), 4, from, to, count);
	close_entries(node_slots_of(page), 2, from, to, count);
	if (branch) {
		close_entries(node_children_of(page), 8, from, to, count);
		close_entries(node_counts_of(page), 8, from, to, count);
	}
	h->count = (uint16_t)(count - (to - from));
	if (h->count <= node_first_key(page)) { /* no key is left */
		h->heap = page_size;
		h->dead = 0;
		h->prefix = 0;
	}
}
