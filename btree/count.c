/* Counting by position: branches know how many entries each child's subtree has, so ranks and the
 * nth entry cost one descent. */
#include "btree/tree.h"

/* Entries below the children [0, end) of a branch. */
static uint64_t count_before(const uint8_t *branch, uint32_t end)
{
	const uint64_t *counts = node_counts(branch);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < end; i++)
		sum += counts[i];
	return sum;
}

static int no_children(page_id id)
{
	return status_fail(KV_CORRUPT, "page %llu: branch without children",
	                   (unsigned long long)page_number(id));
}

int tree_rank(const struct tree *tree, kv_slice key, uint64_t *rank)
{
	const uint8_t *node;
	page_id id = tree->root;
	bool equal;
	int rc;

	*rank = 0;
	for (uint32_t level = tree->height; level-- > 0;) {
		uint32_t i;

		rc = tree_load(tree, id, level, &node);
		if (rc)
			return rc;
		if (!level) {
			*rank += node_lower_bound(node, key, &equal);
			break;
		}
		if (!node_count(node))
			return no_children(id);
		i = node_route(node, key);
		*rank += count_before(node, i);
		id = node_child(node, i);
	}
	return KV_OK;
}

int tree_count_range(const struct tree *tree, const kv_slice *from, const kv_slice *to,
                     uint64_t *count)
{
	uint64_t begin = 0, end = tree->count;
	int rc = KV_OK;

	if (from)
		rc = tree_rank(tree, *from, &begin);
	if (!rc && to)
		rc = tree_rank(tree, *to, &end);
	*count = !rc && end > begin ? end - begin : 0;
	return rc;
}

int tree_nth(const struct tree *tree, uint64_t n, struct kv_level *path)
{
	const uint8_t *node;
	page_id id = tree->root;

	if (n >= tree->count || !tree->height)
		return KV_NOT_FOUND;
	for (uint32_t level = tree->height; level-- > 0;) {
		uint32_t i = 0, count;
		int rc = tree_load(tree, id, level, &node);

		if (rc)
			return rc;
		count = node_count(node);
		if (level)
			for (const uint64_t *counts = node_counts(node);
			     i < count && n >= counts[i]; i++)
				n -= counts[i];
		else
			i = n < count ? (uint32_t)n : count;
		if (i == count)
			return status_fail(KV_CORRUPT,
			                   "page %llu: fewer entries than its parent says",
			                   (unsigned long long)page_number(id));
		path[level] = (struct kv_level){.page = node, .index = i, .count = count};
		if (level)
			id = node_child(node, i);
	}
	return KV_OK;
}
