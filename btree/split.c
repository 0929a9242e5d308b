/* Inserting where there may be no room: choosing where to split, and telling the parents.
 *
 * In the middle, by bytes, with a preference for short separators. But where inserts come in order,
 * in the whole tree or in one group of keys among others, the split goes to the place of insertion,
 * so that the nodes behind it stay full:
 *
 *	ascending    [a b c d] + e   ->  [a b c d] [e]        [a b x y] + c  ->  [a b c] [x y]
 *	descending   [b c d e] + a   ->  [a] [b c d e]
 *
 * The heap tells the order of inserts: it grows downward, so the newest entry is the lowest. */
#include <assert.h>

#include "btree/node_heap.h"
#include "btree/tree_internal.h"

/* Entries [from, count) move to the right. The new one goes to the end of the left node, or to
 * where it belongs in the right one. */
struct split {
	uint32_t from;
	bool left;
};

/* An entry that is going to be inserted. */
struct newcomer {
	uint32_t index, bytes; /* bytes: of heap */
	uint32_t head;
};

/* ---- choosing ------------------------------------------------------------------------------- */

/* Is entry i the newest one, and its neighbour (if it is there) the one before? */
static bool newest(const uint8_t *page, uint32_t i, uint32_t neighbour)
{
	uint32_t start = node_entry_start(page, i);

	return node_entry_size(page, i) && start == page_header_of(page)->heap &&
	       (neighbour >= node_count(page) ||
	        node_entry_start(page, neighbour) == start + node_entry_size(page, i));
}

static bool inserts_ascend(const uint8_t *page, uint32_t i)
{
	return i > 0 && newest(page, i - 1, i - 2); /* wraps to a number beyond the count */
}

static bool inserts_descend(const uint8_t *page, uint32_t i)
{
	return i < node_count(page) && newest(page, i, i + 1);
}

/* Bytes that [from, to) and one more entry of the given size would take in a node of their own. */
static uint32_t bytes_with(const uint8_t *page, uint32_t from, uint32_t to, uint32_t extra)
{
	uint32_t bytes = node_arrays_end(page, node_capacity_for(page, to - from + 1)) + extra;

	for (uint32_t i = from; i < to; i++)
		bytes += node_entry_size(page, i);
	return bytes;
}

/* Bytes beyond the prefix of the separator if the right node began with entry v of those with the
 * newcomer among them. */
static uint32_t separator_bytes(const uint8_t *page, uint32_t v, const struct newcomer *new)
{
	const uint32_t *heads = node_heads(page);
	uint32_t left, right;

	if (node_is_branch(page)) {
		uint32_t bytes = node_entry_size(page, v < new->index ? v : v - 1) - 2;
		uint32_t prefix = page_header_of(page)->prefix;

		return bytes > prefix ? bytes - prefix : 0;
	}
	left = v - 1 == new->index ? new->head : heads[v - 1 < new->index ? v - 1 : v - 2];
	right = v == new->index ? new->head : heads[v < new->index ? v : v - 1];
	return left == right ? 5 : (uint32_t)__builtin_clz(left ^ right) / 8 + 1;
}

/* About the middle: the best of all places where both sides fit. A separator's byte weighs as
 * much as a 64th of a page of imbalance. A branch's newcomer never becomes the first of the
 * right node. */
static struct split split_middle(const uint8_t *page, uint32_t page_size,
                                 const struct newcomer *new)
{
	uint32_t count = node_count(page), width = node_width(page), left = 0, best = UINT32_MAX;
	uint32_t total = (count + 1) * width + page_size - page_header_of(page)->heap -
	                 page_header_of(page)->dead + new->bytes;
	/* One entry's width less, as the capacity of branches is rounded up. */
	uint32_t room = page_size - NODE_HEADER - (node_is_branch(page) ? width : 0);
	struct split split = {count, false};

	for (uint32_t v = 1; v <= count; v++) {
		uint32_t last = v - 1, right, score;

		left += width +
		        (last == new->index
		                 ? new->bytes
		                 : node_entry_size(page, last < new->index ? last : last - 1));
		right = total - left;
		if (left > room || right > room || (v == new->index &&node_is_branch(page)))
			continue;
		score = (left > right ? left - right : right - left) +
		        separator_bytes(page, v, new) * (page_size / 64);
		if (score < best) {
			best = score;
			split.left = v > new->index;
			split.from = split.left ? v - 1 : v;
		}
	}
	assert(best != UINT32_MAX);
	return split;
}

/* at_end: nothing in the tree sorts after the newcomer. */
static struct split choose_split(const uint8_t *page, uint32_t page_size,
                                 const struct newcomer *new, bool at_end)
{
	uint32_t i = new->index, count = node_count(page);

	if (i == count && (at_end || inserts_ascend(page, i)))
		return (struct split){count, false};
	if (i < count && inserts_ascend(page, i) && bytes_with(page, 0, i, new->bytes) <= page_size)
		return (struct split){i, true};
	if (!node_is_branch(page) && inserts_descend(page, i)) {
		if (i == 0)
			return (struct split){0, true};
		if (bytes_with(page, i, count, new->bytes) <= page_size)
			return (struct split){i, false};
	}
	return split_middle(page, page_size, new);
}

/* ---- leaves --------------------------------------------------------------------------------- */

/* Is the node path[level] the last of its level? */
static bool is_last(const struct tree *tree, const struct kv_level *path, uint32_t level)
{
	while (++level < tree->height)
		if (path[level].index + 1 < node_count(path[level].page))
			return false;
	return true;
}

static void count_split(struct tree *tree)
{
	if (tree->stats)
		atomic_fetch_add_explicit(&tree->stats->splits, 1, memory_order_relaxed);
}

static int split_leaf(struct tree *tree, const struct kv_level *path, kv_slice key, kv_slice value,
                      bool large, uint8_t **place)
{
	uint8_t *left = tree_frame(tree, path->page), *right;
	uint32_t page_size = tree->store->page_size, i = path->index;
	struct newcomer new = {
	        .index = i,
	        .bytes = node_leaf_entry_size(left, key.size, value.size),
	        .head = node_head(key, page_header(left)->prefix),
	};
	struct split split = choose_split(left, page_size, &new, is_last(tree, path, 0));
	struct tree_child child;
	int rc = tree_node_new(tree, 0, &child.id, &right);

	if (rc)
		return rc;
	count_split(tree);
	if (split.from < node_count(left))
		node_split(left, right, page_size, split.from);
	if (split.left)
		node_leaf_insert(left, page_size, i, key, value, large, place);
	else
		node_leaf_insert(right, page_size, i - split.from, key, value, large, place);
	child.separator = node_key(right, 0);
	child.separator.size = node_separator(node_key(left, node_count(left) - 1),
	                                      child.separator);
	child.count = node_count(right);
	return tree_insert_child(tree, path, 1, child, node_count(left), 1);
}

int tree_insert(struct tree *tree, const struct kv_level *path, kv_slice key, kv_slice value,
                bool large, uint8_t **place, bool *split)
{
	uint8_t *leaf = tree_frame(tree, path->page);
	uint32_t page_size = tree->store->page_size;

	*split = !node_leaf_has_room(leaf, page_size, key.size, value.size);
	if (*split)
		return split_leaf(tree, path, key, value, large, place);
	node_leaf_insert(leaf, page_size, path->index, key, value, large, place);
	tree_add_counts(tree, path, 1, 1);
	return KV_OK;
}

/* ---- branches ------------------------------------------------------------------------------- */

static uint64_t sum_counts(const uint8_t *branch)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < node_count(branch); i++)
		sum += node_counts(branch)[i];
	return sum;
}

/* Splits a full branch and inserts *child at index i; *child becomes the right half. buffer keeps
 * its separator. */
static int split_branch(struct tree *tree, uint8_t *left, uint32_t i, bool at_end,
                        struct tree_child *child, uint8_t *buffer)
{
	uint32_t page_size = tree->store->page_size;
	struct newcomer new = {.index = i, .bytes = (uint32_t)(2 + child->separator.size)};
	struct split split = choose_split(left, page_size, &new, at_end);
	kv_slice separator = child->separator;
	page_id id;
	uint8_t *right;
	int rc = tree_node_new(tree, page_header(left)->level, &id, &right);

	if (rc)
		return rc;
	count_split(tree);
	if (split.from < node_count(left))
		separator = node_key(left, split.from);
	memcpy(buffer, separator.data, separator.size);
	separator.data = buffer;
	if (split.from < node_count(left))
		node_split(left, right, page_size, split.from);
	if (split.left)
		node_branch_insert(left, page_size, i, child->separator, child->id, child->count);
	else
		node_branch_insert(right, page_size, i - split.from, child->separator, child->id,
		                   child->count);
	*child = (struct tree_child){separator, id, sum_counts(right)};
	return KV_OK;
}

/* A new root above the old one and its new neighbour. */
static int grow_root(struct tree *tree, const struct tree_child *child, uint64_t left_count)
{
	uint32_t page_size = tree->store->page_size;
	uint8_t *root;
	page_id id;
	int rc;

	if (tree->height == KV_MAX_LEVELS)
		return status_fail(KV_FULL, "a tree of %u levels cannot grow", tree->height);
	rc = tree_node_new(tree, tree->height, &id, &root);
	if (rc)
		return rc;
	node_branch_insert(root, page_size, 0, kv_bytes(NULL, 0), tree->root, left_count);
	node_branch_insert(root, page_size, 1, child->separator, child->id, child->count);
	tree->root = id;
	tree->height++;
	return KV_OK;
}

int tree_insert_child(struct tree *tree, const struct kv_level *path, uint32_t level,
                      struct tree_child child, uint64_t left_count, int64_t added)
{
	/* The separator on its way up lies in one buffer while the next one is put into the
	 * other. */
	uint8_t buffers[2][KV_MAX_KEY(KV_MAX_PAGE_SIZE)];
	uint32_t page_size = tree->store->page_size, height = tree->height;

	for (; level < height; level++) {
		uint8_t *branch = tree_frame(tree, path[level].page);
		uint32_t i = path[level].index + 1;
		int rc;

		node_set_count(branch, i - 1, left_count);
		if (node_branch_has_room(branch, page_size, child.separator.size)) {
			node_branch_insert(branch, page_size, i, child.separator, child.id,
			                   child.count);
			tree_add_counts(tree, path, level + 1, added);
			return KV_OK;
		}
		rc = split_branch(tree, branch, i, is_last(tree, path, level), &child,
		                  buffers[level % 2]);
		if (rc)
			return rc;
		left_count = sum_counts(branch);
	}
	return grow_root(tree, &child, left_count);
}
