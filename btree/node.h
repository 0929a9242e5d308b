/* One page of a B+tree: a slotted node.
 *
 *	 0  page header (mmap/page.h)
 *	32  the first 16 bytes of the prefix that all keys share (header: prefix, its length)
 *	48  heads     u32 x capacity   4 key bytes after the prefix, as a number, zero-padded
 *	    children  u64 x capacity   branches only: page ids, 8-byte aligned, accessed atomically
 *	    counts    u64 x capacity   branches only: entries in the child's subtree
 *	    slots     u16 x capacity   offset of the entry in the heap
 *	    (gap)
 *	    heap      entries, growing downward from the page's end
 *
 * A leaf's heap entry: u16 key size, u16 value size (NODE_LARGE set: the value is a struct
 * node_large that says where the large value is), key, value. Keys are stored whole, prefix
 * included, so that a slice of it can be handed out. In PAGE_CATALOG leaves the value begins at a
 * multiple of 8.
 * A branch's heap entry: u16 key size, separator. Child i holds the keys >= separator i and <
 * separator i + 1; separator 0 stands for minus infinity: its head is 0, its slot 0, it has no heap
 * entry and takes no part in the prefix.
 *
 * A search sweeps the heads: they are contiguous and sit in the page's first cache lines; the heap
 * is touched for the one entry (seldom more) whose head equals the key's. The prefix is that of the
 * keys that were there when the node was last rebuilt; an insert without it shortens it.
 *
 * All functions trust the page: node_check has accepted it, or we made it. */
#ifndef KV_BTREE_NODE_H
#define KV_BTREE_NODE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <kv/types.h>

#include "mmap/page.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file format is little endian");

#define NODE_HEADER 48u
#define NODE_PREFIX_BYTES 16u
#define NODE_LARGE 0x8000u

/* A large value, as the leaf keeps it. */
struct node_large {
	uint64_t first;    /* file page, without tag */
	uint64_t birth;    /* transaction that wrote it */
	uint64_t checksum; /* of all its bytes: page_run_checksum */
	uint32_t size;     /* bytes */
	uint32_t zero;
};
_Static_assert(sizeof(struct node_large) == 32, "large value");

/* Bytes that one entry may take, arrays included: two entries of a leaf always fit, four separators
 * of a branch. */
static inline uint32_t node_max_entry(uint32_t page_size)
{
	return (page_size - NODE_HEADER) / 2;
}

#define NODE_LEAF_OVERHEAD (4u + 2u + 4u)             /* head, slot, sizes */
#define NODE_BRANCH_OVERHEAD (4u + 8u + 8u + 2u + 2u) /* head, child, count, slot, size */

/* Largest key and value together that stay in a leaf, in bytes. (14: padding in a catalog.) */
static inline uint32_t node_max_inline(uint32_t page_size)
{
	return node_max_entry(page_size) - NODE_LEAF_OVERHEAD - 14;
}

/* Does the value stay in the leaf? */
static inline bool node_fits_inline(uint32_t page_size, size_t key_size, size_t value_size)
{
	return value_size < NODE_LARGE && key_size + value_size <= node_max_inline(page_size);
}

static inline bool node_is_branch(const void *page)
{
	return page_header_of(page)->type == PAGE_BRANCH;
}

static inline uint32_t node_count(const void *page)
{
	return page_header_of(page)->count;
}

static inline const uint32_t *node_heads(const uint8_t *page)
{
	return (const uint32_t *)(const void *)(page + NODE_HEADER);
}

static inline uint32_t node_capacity(const uint8_t *page)
{
	return page_header_of(page)->capacity;
}

static inline const uint64_t *node_children(const uint8_t *page)
{
	return (const uint64_t *)(const void *)(page + NODE_HEADER +
	                                        4 * (size_t)node_capacity(page));
}

static inline const uint64_t *node_counts(const uint8_t *page)
{
	return node_children(page) + node_capacity(page);
}

static inline const uint16_t *node_slots(const uint8_t *page)
{
	size_t width = node_is_branch(page) ? 20 : 4;

	return (const uint16_t *)(const void *)(page + NODE_HEADER + width * node_capacity(page));
}

static inline page_id node_child(const uint8_t *page, uint32_t i)
{
	return __atomic_load_n(node_children(page) + i, __ATOMIC_ACQUIRE);
}

static inline void node_set_child(uint8_t *page, uint32_t i, page_id id)
{
	__atomic_store_n(
	        (uint64_t *)(void *)(page + NODE_HEADER + 4 * (size_t)node_capacity(page)) + i, id,
	        __ATOMIC_RELEASE);
}

static inline void node_set_count(uint8_t *page, uint32_t i, uint64_t count)
{
	((uint64_t *)(void *)(page + NODE_HEADER + 12 * (size_t)node_capacity(page)))[i] = count;
}

static inline uint16_t node_u16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

/* The key of a leaf's entry, or a branch's separator. */
static inline kv_slice node_key(const uint8_t *page, uint32_t i)
{
	uint32_t slot = node_slots(page)[i];
	const uint8_t *entry = page + slot;

	if (node_is_branch(page))
		return slot ? kv_bytes(entry + 2, node_u16(entry)) : kv_bytes(page, 0);
	return kv_bytes(entry + 4, node_u16(entry));
}

/* The bytes of a leaf's value as stored: the value, or a struct node_large. */
static inline kv_slice node_value(const uint8_t *leaf, uint32_t i, bool *large)
{
	const uint8_t *entry = leaf + node_slots(leaf)[i];
	uint16_t size = node_u16(entry + 2);

	*large = size & NODE_LARGE;
	return kv_bytes(entry + 4 + node_u16(entry), size & (NODE_LARGE - 1));
}

/* The four bytes of key after skip, as a number that compares like them; zero-padded. */
static inline uint32_t node_head(kv_slice key, size_t skip)
{
	uint32_t v = 0;

	if (key.size >= skip + 4)
		memcpy(&v, (const uint8_t *)key.data + skip, 4);
	else if (key.size > skip)
		memcpy(&v, (const uint8_t *)key.data + skip, key.size - skip);
	return __builtin_bswap32(v);
}

static inline int node_compare(kv_slice a, kv_slice b)
{
	size_t n = a.size < b.size ? a.size : b.size;
	int c = n ? memcmp(a.data, b.data, n) : 0;

	return c ? c : (a.size > b.size) - (a.size < b.size);
}

/* ---- searching ----------------------------------------------------------------------------- */

/* Index of the first entry of a leaf whose key is >= key; count if there is none. */
uint32_t node_lower_bound(const uint8_t *leaf, kv_slice key, bool *equal);

/* Index of the entry of a leaf with just this key, or UINT32_MAX. Touches fewer lines than
 * node_lower_bound. */
uint32_t node_find(const uint8_t *leaf, kv_slice key);

/* Index of the child of a branch that holds key: the last one whose separator is <= key. */
uint32_t node_route(const uint8_t *branch, kv_slice key);

/* ---- building and changing (the page is a frame of the current transaction) ------------------ */

/* An empty node. capacity: entries to make room for at first (rounded up; 0 is fine). */
void node_init(uint8_t *page, uint32_t page_size, uint8_t type, uint8_t level, uint64_t birth,
               uint32_t capacity);

/* Bytes in use if the node were packed: to decide on splits and merges. */
uint32_t node_used(const uint8_t *page, uint32_t page_size);

/* Could an entry of this size be added (after packing, if need be)? */
bool node_leaf_has_room(const uint8_t *leaf, uint32_t page_size, size_t key_size,
                        size_t value_size);
bool node_branch_has_room(const uint8_t *branch, uint32_t page_size, size_t key_size);

/* Adds an entry at index i; there must be room. *value, if not NULL, is where the value's bytes are
 * (to be filled in when the value's data is NULL). large: value is a struct node_large. */
void node_leaf_insert(uint8_t *leaf, uint32_t page_size, uint32_t i, kv_slice key, kv_slice value,
                      bool large, uint8_t **place);
/* Replaces entry i's value; false if there is no room for it (the node is unchanged then). */
bool node_leaf_replace(uint8_t *leaf, uint32_t page_size, uint32_t i, kv_slice value, bool large,
                       uint8_t **place);
void node_branch_insert(uint8_t *branch, uint32_t page_size, uint32_t i, kv_slice separator,
                        page_id child, uint64_t count);
/* Removes entry i (of a branch: when i is 0, the next one's separator becomes minus infinity). */
void node_remove(uint8_t *page, uint32_t page_size, uint32_t i);
/* Removes entries [from, to). */
void node_remove_range(uint8_t *page, uint32_t page_size, uint32_t from, uint32_t to);

/* Moves entries [from, count) of left to the end of right (an empty node of the same kind). For
 * branches the first moved separator becomes minus infinity. Both are packed after. */
void node_split(uint8_t *left, uint8_t *right, uint32_t page_size, uint32_t from);

/* Appends all entries of right to left, if they fit; false and nothing changed if not. separator:
 * of a branch, what stood before right in the parent. */
bool node_merge(uint8_t *left, const uint8_t *right, uint32_t page_size, kv_slice separator);

/* Appends at the end while building in key order: keeps arrays tight. False when full. No head or
 * prefix upkeep until node_finish, which must be called before the node is searched. */
bool node_append_leaf(uint8_t *leaf, uint32_t page_size, kv_slice key, kv_slice value, bool large);
bool node_append_branch(uint8_t *branch, uint32_t page_size, kv_slice separator, page_id child,
                        uint64_t count);
void node_finish(uint8_t *page, uint32_t page_size);

/* The shortest separator s with left < s <= right: a prefix of right. Returns its size. */
size_t node_separator(kv_slice left, kv_slice right);

/* ---- verifying ----------------------------------------------------------------------------- */

/* Is the page a node whose every offset and size stays inside it? Cheap enough for first touch.
 * *what says what is wrong. Order of keys is not looked at: tree_check does. */
bool node_check(const uint8_t *page, uint32_t page_size, const char **what);

#endif
