/* Many lookups at once, in groups that go down the tree in lockstep: while one key's next node is
 * on its way from memory, the others are searched. A round per level loads the nodes that the round
 * before asked for, routes, and asks for the next ones; at the leaves one round finds candidates by
 * their heads and asks for the entries, and the last compares keys. */
#include "btree/heads.h"
#include "btree/tree.h"
#include "mmap/prefetch.h"

#define GROUP 32u /* keys in lockstep: more than the memory system can have under way */
#define LINE 64u  /* bytes */
#define NO_ENTRY UINT32_MAX

struct group {
	size_t n;
	page_id id[GROUP];
	const uint8_t *leaf[GROUP];
	uint32_t entry[GROUP]; /* candidate in the leaf, or NO_ENTRY */
};

/* Asks for the first lines of a node. Of a leaf these are header, heads and, unless entries are
 * small, slots. Branches are mostly in the cache, and asking for all of their heads costs as much
 * as it saves. */
static void prefetch_node(const struct tree *tree, page_id id, uint32_t level)
{
	uint32_t size = level ? 2 * LINE : tree->store->page_size / 16;
	const uint8_t *page;

	if (!store_trusted(tree->store, id))
		return;
	page = store_at(tree->store, id);
	for (uint32_t i = 0; i < size; i += LINE)
		prefetch_line(page + i);
}

/* One level down for the whole group. */
static int route_group(const struct tree *tree, struct group *group, const kv_slice *keys,
                       uint32_t level)
{
	for (size_t k = 0; k < group->n; k++) {
		const uint8_t *node;
		int rc = tree_load(tree, group->id[k], level, &node);

		if (rc)
			return rc;
		if (!node_count(node))
			return status_fail(KV_CORRUPT, "page %llu: branch without children",
			                   (unsigned long long)page_number(group->id[k]));
		group->id[k] = node_child(node, node_route(node, keys[k]));
		prefetch_node(tree, group->id[k], level - 1);
	}
	return KV_OK;
}

/* The first entry of a leaf that may have this key, by its head alone: the heap is not touched. */
static uint32_t candidate(const uint8_t *leaf, kv_slice key)
{
	const uint32_t *heads = node_heads(leaf);
	uint32_t count = node_count(leaf), head = node_head(key, page_header_of(leaf)->prefix);
	uint32_t i = heads_below(heads, count, head);

	return i < count && heads[i] == head ? i : NO_ENTRY;
}

/* At the leaves: finds the candidates and asks for their entries. */
static int find_candidates(const struct tree *tree, struct group *group, const kv_slice *keys)
{
	for (size_t k = 0; k < group->n; k++) {
		const uint8_t *leaf, *entry;
		int rc = tree_load(tree, group->id[k], 0, &leaf);

		if (rc)
			return rc;
		group->leaf[k] = leaf;
		group->entry[k] = candidate(leaf, keys[k]);
		if (group->entry[k] == NO_ENTRY)
			continue;
		entry = leaf + node_slots(leaf)[group->entry[k]];
		for (uint32_t i = 0; i < 3 * LINE; i += LINE)
			prefetch_line(entry + i);
	}
	return KV_OK;
}

/* The value of a candidate, if its key is the one. */
static int take_value(const struct tree *tree, const uint8_t *leaf, uint32_t i, kv_slice key,
                      kv_slice *value, size_t *found)
{
	bool large;

	*value = kv_bytes(NULL, 0);
	if (i == NO_ENTRY)
		return KV_OK;
	if (node_compare(node_key(leaf, i), key) != 0) {
		i = node_find(leaf, key); /* others may have the same head */
		if (i == NO_ENTRY)
			return KV_OK;
	}
	++*found;
	*value = node_value(leaf, i, &large);
	return large ? tree_value(tree, leaf, i, value) : KV_OK;
}

static int get_group(const struct tree *tree, size_t n, const kv_slice *keys, kv_slice *values,
                     size_t *found)
{
	struct group group = {.n = n};
	int rc = KV_OK;

	for (size_t k = 0; k < n; k++)
		group.id[k] = tree->root;
	for (uint32_t level = tree->height - 1; level && !rc; level--)
		rc = route_group(tree, &group, keys, level);
	if (!rc)
		rc = find_candidates(tree, &group, keys);
	for (size_t k = 0; k < n && !rc; k++)
		rc = take_value(tree, group.leaf[k], group.entry[k], keys[k], values + k, found);
	return rc;
}

int tree_get_many(const struct tree *tree, size_t n, const kv_slice *keys, kv_slice *values,
                  size_t *found)
{
	size_t present = 0;
	int rc = KV_OK;

	if (!tree->height)
		memset(values, 0, n * sizeof(*values));
	else
		for (size_t at = 0; at < n && !rc; at += GROUP)
			rc = get_group(tree, n - at < GROUP ? n - at : GROUP, keys + at,
			               values + at, &present);
	if (found)
		*found = present;
	return rc;
}
