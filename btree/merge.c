/* After removals: empty nodes go, underfull ones are merged with a sibling, and a root with a
 * single child gives way to it. */
#include "btree/tree_internal.h"

/* Siblings are merged only if this much of the page stays free, so that the next insert does not
 * split them again. */
static uint32_t slack(uint32_t page_size)
{
	return page_size / 8;
}

static bool would_fit(const uint8_t *left, const uint8_t *right, uint32_t page_size,
                      kv_slice separator)
{
	uint32_t bytes = node_used(left, page_size) + node_used(right, page_size) - NODE_HEADER;

	return bytes + separator.size + slack(page_size) <= page_size;
}

/* Merges child right of a writable parent into child right - 1, if they fit into one. */
static int merge_into_left(struct tree *tree, uint8_t *parent, uint32_t right, uint32_t level,
                           bool *merged)
{
	uint32_t page_size = tree->store->page_size;
	page_id left_id = node_child(parent, right - 1), right_id = node_child(parent, right);
	kv_slice separator = node_key(parent, right);
	const uint8_t *left_page, *right_page;
	uint8_t *left;
	int rc = tree_load(tree, left_id, level, &left_page);

	if (!rc)
		rc = tree_load(tree, right_id, level, &right_page);
	if (rc || !would_fit(left_page, right_page, page_size, separator))
		return rc;
	rc = tree_writable(tree, &left_id, level, &left);
	if (rc)
		return rc;
	node_set_child(parent, right - 1, left_id);
	*merged = node_merge(left, right_page, page_size, separator);
	if (!*merged)
		return KV_OK;
	node_set_count(parent, right - 1,
	               node_counts(parent)[right - 1] + node_counts(parent)[right]);
	node_remove(parent, page_size, right);
	if (tree->stats)
		atomic_fetch_add_explicit(&tree->stats->merges, 1, memory_order_relaxed);
	return tree_node_retire(tree, right_id, right_page);
}

/* Is child i of the branch in memory, and of this transaction? Then merging with it is cheapest. */
static bool child_is_writable(const struct tree *tree, const uint8_t *branch, uint32_t i)
{
	page_id id = node_child(branch, i);

	return page_is_frame(id) && tree_is_writable(tree, id, store_at(tree->store, id));
}

/* Merges child i of a writable parent with the sibling before or behind it. */
static int merge_child(struct tree *tree, uint8_t *parent, uint32_t i, uint32_t level, bool *merged)
{
	uint32_t count = node_count(parent);
	bool before = i > 0, behind = i + 1 < count;
	bool behind_first = behind && (!before || (child_is_writable(tree, parent, i + 1) &&
	                                           !child_is_writable(tree, parent, i - 1)));
	int rc = KV_OK;

	if (behind_first)
		rc = merge_into_left(tree, parent, i + 1, level, merged);
	if (!rc && !*merged && before)
		rc = merge_into_left(tree, parent, i, level, merged);
	if (!rc && !*merged && behind && !behind_first)
		rc = merge_into_left(tree, parent, i + 1, level, merged);
	return rc;
}

int tree_rebalance(struct tree *tree, const struct kv_level *path, uint32_t level, bool *changed)
{
	bool lost = true; /* the node path[level] has become smaller */
	int rc = KV_OK;

	*changed = false;
	for (; lost && level + 1 < tree->height; level++) {
		uint8_t *node = tree_frame(tree, path[level].page);
		uint8_t *parent = tree_frame(tree, path[level + 1].page);
		uint32_t i = path[level + 1].index;

		lost = false;
		if (!node_count(node)) {
			page_id id = node_child(parent, i);

			node_remove(parent, tree->store->page_size, i);
			rc = tree_node_retire(tree, id, node);
			lost = true;
		} else if (tree_underfull(tree, node)) {
			rc = merge_child(tree, parent, i, level, &lost);
		}
		if (rc)
			return rc;
		*changed = *changed || lost;
	}
	if (lost && level + 1 == tree->height) {
		bool branch = level > 0;
		uint32_t count = node_count(tree_frame(tree, path[level].page));

		if (count == 0 || (branch && count == 1)) {
			*changed = true;
			return tree_collapse(tree);
		}
	}
	return KV_OK;
}

int tree_collapse(struct tree *tree)
{
	while (tree->height) {
		const uint8_t *root;
		page_id old = tree->root;
		int rc = tree_load(tree, old, tree->height - 1, &root);

		if (rc)
			return rc;
		if (!node_count(root))
			tree_set_empty(tree);
		else if (tree->height > 1 && node_count(root) == 1) {
			tree->root = node_child(root, 0);
			tree->height--;
		} else
			break;
		rc = tree_node_retire(tree, old, root);
		if (rc)
			return rc;
	}
	return KV_OK;
}
