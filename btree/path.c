/* Standing on an entry: the path from the root to it, found by order or by key, and moved along.
 *
 * A path holds pages and counts, so it is good only for the tree value it was made from. Leaves may
 * be empty and branches may have one child (a damaged or hostile file); a branch without children
 * and endless rows of empty leaves are refused, so every move ends. */
#include "btree/path.h"

#include <string.h>

#include "btree/heads.h"

#define PATH_MAX_EMPTY 1024u /* empty leaves to pass in one step */
#define SEEK_AHEAD (PATH_AHEAD + 2u)

/* The neighbour of path's leaf under the same parent, if it is there and may be touched. */
static const uint8_t *sibling(const struct tree *tree, const struct kv_level *path, bool back)
{
	const struct kv_level *parent = path + 1;
	page_id id;

	if (tree->height < 2 || parent->index == (back ? 0 : parent->count - 1))
		return NULL;
	id = node_child(parent->page, back ? parent->index - 1 : parent->index + 1);
	return store_trusted(tree->store, id) ? store_at(tree->store, id) : NULL;
}

/* Asks for what path_prefetch_sibling reads later: the neighbour's header, and its slots where
 * those of this leaf are, for neighbours are alike. */
static void prefetch_sibling_slots(const struct tree *tree, const struct kv_level *path, bool back)
{
	const uint8_t *page = sibling(tree, path, back);
	size_t slots;

	if (!page)
		return;
	slots = (size_t)((const uint8_t *)node_slots(path->page) - (const uint8_t *)path->page);
	if (back && path->count > PATH_AHEAD)
		slots += 2 * (size_t)(path->count - PATH_AHEAD);
	prefetch_line(page);
	prefetch_line(page + slots);
	prefetch_line(page + slots + 2 * (size_t)PATH_AHEAD);
}

static void prefetch_entries(const uint8_t *page, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		path_prefetch_entry(page, i);
}

/* Asks for the entries at which a move into the page begins. */
static void prefetch_edge(const uint8_t *page, bool back)
{
	uint32_t count = node_count(page);
	uint32_t n = count < PATH_AHEAD ? count : PATH_AHEAD;

	if (back)
		prefetch_entries(page, count - n, count);
	else
		prefetch_entries(page, 0, n);
}

void path_prefetch_sibling(const struct tree *tree, const struct kv_level *path, bool back)
{
	const uint8_t *page = sibling(tree, path, back);

	if (page)
		prefetch_edge(page, back);
}

/* Loads the node at the given level into path. A branch has at least one child then. */
static int load(const struct tree *tree, struct kv_level *path, page_id id, uint32_t level)
{
	const uint8_t *page;
	int rc = tree_load(tree, id, level, &page);

	if (rc)
		return rc;
	path[level] = (struct kv_level){.page = page, .count = node_count(page)};
	if (level && !path[level].count)
		return status_fail(KV_CORRUPT, "page %llu: branch without children",
		                   (unsigned long long)page_number(id));
	return KV_OK;
}

/* Fills path[level..0] with the first (last) nodes below id. path[0] may turn out to be empty. */
static int descend_edge(const struct tree *tree, struct kv_level *path, page_id id, uint32_t level,
                        bool last)
{
	for (;; level--) {
		int rc = load(tree, path, id, level);

		if (rc)
			return rc;
		if (last && path[level].count)
			path[level].index = path[level].count - 1;
		if (!level)
			return KV_OK;
		id = node_child(path[level].page, path[level].index);
	}
}

/* Asks for a node's first lines, which every search reads. The page need not be loaded. */
static void prefetch_node(const struct tree *tree, page_id id)
{
	const uint8_t *page = store_at(tree->store, id);

	prefetch_line(page);
	prefetch_line(page + 64);
	prefetch_line(page + 128);
}

/* Fills path down to the leaf that holds key, or would; path[0].index is 0. */
static int descend_key(const struct tree *tree, struct kv_level *path, kv_slice key)
{
	page_id id = tree->root;

	for (uint32_t level = tree->height - 1;; level--) {
		int rc = load(tree, path, id, level);

		if (rc || !level)
			return rc;
		path[level].index = node_route(path[level].page, key);
		id = node_child(path[level].page, path[level].index);
		prefetch_node(tree, id);
	}
}

/* Moves to the neighbouring leaf, empty or not. KV_NOT_FOUND, with path untouched: none there. */
static int step_any_leaf(const struct tree *tree, struct kv_level *path, bool back)
{
	uint32_t level = 1;

	while (level < tree->height && path[level].index == (back ? 0 : path[level].count - 1))
		level++;
	if (level >= tree->height)
		return KV_NOT_FOUND;
	path[level].index += back ? UINT32_MAX : 1;
	return descend_edge(tree, path, node_child(path[level].page, path[level].index), level - 1,
	                    back);
}

/* Keys must rise from leaf to leaf and within each, or a damaged file could lead in circles, or
 * along the same pages again and again. from: the leaf that the step began in; it may be empty. */
static bool follows(const uint8_t *from, const uint8_t *to, bool back)
{
	kv_slice first = node_key(to, 0), last = node_key(to, node_count(to) - 1);
	uint32_t count = node_count(from);

	if (node_compare(first, last) > 0)
		return false;
	if (!count)
		return true;
	return back ? node_compare(last, node_key(from, 0)) < 0
	            : node_compare(node_key(from, count - 1), first) < 0;
}

int path_step_leaf(const struct tree *tree, struct kv_level *path, bool back)
{
	struct kv_level moved[KV_MAX_LEVELS];
	size_t size = tree->height * sizeof(*path);
	int rc;

	memcpy(moved, path, size);
	for (uint32_t i = 0; i < PATH_MAX_EMPTY; i++) {
		rc = step_any_leaf(tree, moved, back);
		if (rc)
			return rc;
		if (moved->count && !follows(path->page, moved->page, back))
			return status_fail(KV_CORRUPT, "keys are out of order from leaf to leaf");
		if (moved->count) {
			memcpy(path, moved, size);
			prefetch_edge(path->page, back);
			prefetch_sibling_slots(tree, path, back);
			return KV_OK;
		}
	}
	return status_fail(KV_CORRUPT, "more than %u empty leaves in a row", PATH_MAX_EMPTY);
}

static int to_edge(const struct tree *tree, struct kv_level *path, bool last)
{
	int rc;

	if (!tree->height)
		return KV_NOT_FOUND;
	rc = descend_edge(tree, path, tree->root, tree->height - 1, last);
	if (rc)
		return rc;
	if (!path->count)
		return path_step_leaf(tree, path, last);
	prefetch_edge(path->page, last);
	prefetch_sibling_slots(tree, path, last);
	return KV_OK;
}

int tree_first(const struct tree *tree, struct kv_level *path)
{
	return to_edge(tree, path, false);
}

int tree_last(const struct tree *tree, struct kv_level *path)
{
	return to_edge(tree, path, true);
}

/* Asks for the entries that a seek and the steps after it will read, all at once: short ranges are
 * common. Where the key lies among them is told by its head, without waiting for the first one. */
static void prefetch_range(const uint8_t *leaf, kv_slice key, bool back)
{
	uint32_t count = node_count(leaf), head = node_head(key, page_header_of(leaf)->prefix);
	uint32_t i = heads_below(node_heads(leaf), count, head);

	if (back)
		prefetch_entries(leaf, i < SEEK_AHEAD ? 0 : i - SEEK_AHEAD,
		                 i < count ? i + 1 : count);
	else
		prefetch_entries(leaf, i, i + SEEK_AHEAD < count ? i + SEEK_AHEAD : count);
}

/* Descends to the leaf of key; *bound is its lower bound there. KV_NOT_FOUND: an empty tree. */
static int seek_leaf(const struct tree *tree, kv_slice key, struct kv_level *path, bool back,
                     uint32_t *bound, bool *equal)
{
	int rc;

	*equal = false;
	if (!tree->height)
		return KV_NOT_FOUND;
	rc = descend_key(tree, path, key);
	if (rc)
		return rc;
	prefetch_range(path->page, key, back);
	prefetch_sibling_slots(tree, path, back);
	*bound = node_lower_bound(path->page, key, equal);
	return KV_OK;
}

int tree_seek(const struct tree *tree, kv_slice key, struct kv_level *path, bool *equal)
{
	uint32_t bound;
	int rc = seek_leaf(tree, key, path, false, &bound, equal);

	if (rc)
		return rc;
	if (bound >= path->count)
		return path_step_leaf(tree, path, false);
	path->index = bound;
	return KV_OK;
}

int tree_seek_back(const struct tree *tree, kv_slice key, struct kv_level *path, bool *equal)
{
	uint32_t bound;
	int rc = seek_leaf(tree, key, path, true, &bound, equal);

	if (rc)
		return rc;
	if (!bound && !*equal)
		return path_step_leaf(tree, path, true);
	path->index = *equal ? bound : bound - 1;
	return KV_OK;
}

int tree_next(const struct tree *tree, struct kv_level *path)
{
	return path_next(tree, path);
}

int tree_prev(const struct tree *tree, struct kv_level *path)
{
	return path_prev(tree, path);
}
