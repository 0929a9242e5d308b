/* Deleting many entries at once. Only the nodes on the two edges of the range are changed; what
 * lies between goes by whole subtrees, whose branches are read to learn what to retire, and whose
 * leaves are not, unless large values may hang on them.
 *
 *	          [ . | . . . | . ]              . stays   x goes   / cut
 *	         /     x x x       \
 *	   [ . . /]               [/ . . ]       edges: made writable, cut, their parents' counts
 *	   /     \                 /     \       adjusted, then merged where they are underfull
 *	 [. .] [. /]            [/ .]  [. .] */
#include "btree/tree_internal.h"

struct cut {
	struct tree *tree;
	uint64_t pages_left; /* pages that can exist: a damaged file may name one many times over */
};

static struct cut cut_of(struct tree *tree)
{
	struct store *store = tree->store;
	struct cut cut = {tree, atomic_load(&store->file_pages) + store->arena.room};

	return cut;
}

/* ---- retiring whole subtrees ----------------------------------------------------------------- */

static int retire(struct cut *cut, page_id id, uint64_t count, uint64_t birth)
{
	struct store *store = cut->tree->store;

	/* Leaves come here unread, by what their parent says. */
	if (!page_is_frame(id) && page_number(id) + count > atomic_load(&store->file_pages))
		return status_fail(KV_CORRUPT, "page %llu: beyond the end of the file",
		                   (unsigned long long)page_number(id));
	if (cut->pages_left < count)
		return status_fail(KV_CORRUPT,
		                   "page %llu: a tree reaches more pages than there are",
		                   (unsigned long long)page_number(id));
	cut->pages_left -= count;
	return store_retire(store, cut->tree->ledger, id, count, birth);
}

static int retire_values(struct cut *cut, const uint8_t *leaf, uint32_t from, uint32_t to)
{
	int rc = KV_OK;

	for (uint32_t i = from; i < to && !rc; i++) {
		struct node_large where;
		bool large;
		kv_slice value = node_value(leaf, i, &large);

		if (!large)
			continue;
		memcpy(&where, value.data, sizeof(where));
		rc = large_retire(cut->tree, &where);
	}
	return rc;
}

/* A leaf that may have large values. */
static int retire_full_leaf(struct cut *cut, page_id id)
{
	const uint8_t *leaf;
	int rc = tree_load(cut->tree, id, 0, &leaf);

	if (!rc)
		rc = retire_values(cut, leaf, 0, node_count(leaf));
	return rc ? rc : retire(cut, id, 1, page_header_of(leaf)->birth);
}

/* The leaves [from, to) of a branch of level 1. The births of file pages are not known without
 * reading them: none is older than the time when the tree was last empty (R17). Neighbours in the
 * file go together. */
static int retire_leaves(struct cut *cut, const uint8_t *branch, uint32_t from, uint32_t to)
{
	int rc = KV_OK;

	while (from < to && !rc) {
		page_id id = node_child(branch, from++);
		uint64_t count = 1;

		if (cut->tree->has_large) {
			rc = retire_full_leaf(cut, id);
		} else if (page_is_frame(id)) {
			rc = retire(cut, id, 1,
			            page_header_of(store_at(cut->tree->store, id))->birth);
		} else {
			id = page_number(id);
			for (; from < to; from++, count++) {
				page_id next = node_child(branch, from);

				if (page_is_frame(next) || page_number(next) != id + count)
					break;
			}
			rc = retire(cut, id, count, cut->tree->empty_since);
		}
	}
	return rc;
}

static int retire_children(struct cut *cut, const uint8_t *branch, uint32_t level, uint32_t from,
                           uint32_t to);

/* A node above the leaves, with all below it. */
static int retire_branch(struct cut *cut, page_id id, uint32_t level)
{
	const uint8_t *branch;
	int rc = tree_load(cut->tree, id, level, &branch);

	if (!rc)
		rc = retire_children(cut, branch, level, 0, node_count(branch));
	return rc ? rc : retire(cut, id, 1, page_header_of(branch)->birth);
}

/* Everything below the children [from, to) of a branch at the given level. */
static int retire_children(struct cut *cut, const uint8_t *branch, uint32_t level, uint32_t from,
                           uint32_t to)
{
	int rc = KV_OK;

	if (level == 1)
		return retire_leaves(cut, branch, from, to);
	for (uint32_t i = from; i < to && !rc; i++)
		rc = retire_branch(cut, node_child(branch, i), level - 1);
	return rc;
}

int tree_clear(struct tree *tree)
{
	struct cut cut = cut_of(tree);
	int rc = KV_OK;

	if (tree->height > 1)
		rc = retire_branch(&cut, tree->root, tree->height - 1);
	else if (tree->height)
		rc = retire_full_leaf(&cut, tree->root);
	if (rc)
		return rc;
	tree_set_empty(tree);
	tree->generation++;
	return KV_OK;
}

/* ---- mending the edges ----------------------------------------------------------------------- */

static int mend_child(struct tree *tree, uint8_t *branch, uint32_t level, uint32_t i);

/* Makes the merged node, and mends what lies at its seam: it had other neighbours until now. left
 * is writable already. */
static int merge_into(struct tree *tree, uint8_t *branch, uint32_t level, uint32_t i, uint8_t *left,
                      bool *merged)
{
	page_id right_id = node_child(branch, i + 1);
	uint32_t page_size = tree->store->page_size, seam = node_count(left);
	const uint8_t *right = store_at(tree->store, right_id);
	int rc;

	*merged = node_merge(left, right, page_size, node_key(branch, i + 1));
	if (!*merged)
		return KV_OK;
	node_set_count(branch, i, node_counts(branch)[i] + node_counts(branch)[i + 1]);
	node_remove(branch, page_size, i + 1);
	if (tree->stats)
		tree->stats->merges++;
	rc = tree_node_retire(tree, right_id, right);
	if (rc || level == 1)
		return rc;
	rc = mend_child(tree, left, level - 1, seam);
	return rc || !seam ? rc : mend_child(tree, left, level - 1, seam - 1);
}

/* Merges child i + 1 of a writable branch at the given level into child i, if they fit into one. */
static int merge_children(struct tree *tree, uint8_t *branch, uint32_t level, uint32_t i,
                          bool *merged)
{
	page_id left_id = node_child(branch, i);
	uint32_t page_size = tree->store->page_size;
	const uint8_t *left, *right;
	uint8_t *node;
	int rc = tree_load(tree, left_id, level - 1, &left);

	if (!rc)
		rc = tree_load(tree, node_child(branch, i + 1), level - 1, &right);
	if (rc || node_used(left, page_size) + node_used(right, page_size) > page_size)
		return rc;
	rc = tree_writable(tree, &left_id, level - 1, &node);
	if (rc)
		return rc;
	node_set_child(branch, i, left_id);
	return merge_into(tree, branch, level, i, node, merged);
}

/* Merges child i of a writable branch at the given level with neighbours while it is underfull. */
static int mend_child(struct tree *tree, uint8_t *branch, uint32_t level, uint32_t i)
{
	const uint8_t *child;
	bool merged;
	int rc;

	do {
		if (i >= node_count(branch))
			return KV_OK;
		rc = tree_load(tree, node_child(branch, i), level - 1, &child);
		if (rc || !tree_underfull(tree, child))
			return rc;
		merged = false;
		if (i > 0)
			rc = merge_children(tree, branch, level, i - 1, &merged);
		if (merged)
			i--;
		else if (!rc && i + 1 < node_count(branch))
			rc = merge_children(tree, branch, level, i, &merged);
	} while (merged && !rc);
	return rc;
}

/* ---- cutting the edges ----------------------------------------------------------------------- */

/* A part of a tree whose root is *id at level: entries from <= key < to are cut out of it (NULL: no
 * bound). *id becomes the node's new id; removed counts the entries. The node may end up empty. */
struct edge {
	page_id *id;
	uint32_t level;
	const kv_slice *from, *to;
	uint64_t removed;
};

static int cut_leaf(struct cut *cut, struct edge *edge)
{
	uint32_t begin, end;
	const uint8_t *leaf;
	uint8_t *node;
	bool equal;
	int rc = tree_load(cut->tree, *edge->id, 0, &leaf);

	if (rc)
		return rc;
	begin = edge->from ? node_lower_bound(leaf, *edge->from, &equal) : 0;
	end = edge->to ? node_lower_bound(leaf, *edge->to, &equal) : node_count(leaf);
	if (begin >= end)
		return KV_OK;
	rc = tree_writable(cut->tree, edge->id, 0, &node);
	if (!rc && cut->tree->has_large)
		rc = retire_values(cut, node, begin, end);
	if (rc)
		return rc;
	node_remove_range(node, cut->tree->store->page_size, begin, end);
	edge->removed = end - begin;
	return KV_OK;
}

static int cut_branch(struct cut *cut, struct edge *edge);

/* Cuts within child i of a writable branch. *empty: nothing is left of it, and it is retired. */
static int cut_child(struct cut *cut, struct edge *parent, uint8_t *branch, uint32_t i,
                     bool is_first, bool is_last, bool *empty)
{
	struct store *store = cut->tree->store;
	page_id id = node_child(branch, i);
	struct edge edge = {.id = &id, .level = parent->level - 1};
	int rc;

	edge.from = is_first ? parent->from : NULL;
	edge.to = is_last ? parent->to : NULL;
	rc = edge.level ? cut_branch(cut, &edge) : cut_leaf(cut, &edge);
	if (rc)
		return rc;
	node_set_child(branch, i, id);
	node_set_count(branch, i, node_counts(branch)[i] - edge.removed);
	parent->removed += edge.removed;
	*empty = !node_count(store_at(store, id));
	return *empty ? retire(cut, id, 1, page_header_of(store_at(store, id))->birth) : KV_OK;
}

/* Children first + 1 .. last - 1 go whole; first and last are edges where the range has a bound. */
static int cut_branch(struct cut *cut, struct edge *edge)
{
	struct tree *tree = cut->tree;
	uint32_t first, last, begin, end;
	bool first_empty = false, last_empty = false;
	uint8_t *node;
	int rc = tree_writable(tree, edge->id, edge->level, &node);

	if (rc)
		return rc;
	if (!node_count(node))
		return status_fail(KV_CORRUPT, "a branch without children");
	first = edge->from ? node_route(node, *edge->from) : 0;
	last = edge->to ? node_route(node, *edge->to) : node_count(node) - 1;
	if (first > last)
		return status_fail(KV_CORRUPT, "a branch whose separators are out of order");
	begin = edge->from ? first + 1 : 0;
	end = edge->to ? last : last + 1;
	if (edge->to && (last != first || !edge->from))
		rc = cut_child(cut, edge, node, last, false, true, &last_empty);
	if (!rc && edge->from)
		rc = cut_child(cut, edge, node, first, true, last == first, &first_empty);
	if (!rc && begin < end)
		rc = retire_children(cut, node, edge->level, begin, end);
	if (rc)
		return rc;
	for (uint32_t i = begin; i < end; i++)
		edge->removed += node_counts(node)[i];
	if (end < begin)
		end = begin; /* both bounds in one child */
	begin -= first_empty;
	end += last_empty;
	if (begin < end)
		node_remove_range(node, tree->store->page_size, begin, end);
	rc = mend_child(tree, node, edge->level, begin);
	return rc || !begin ? rc : mend_child(tree, node, edge->level, begin - 1);
}

int tree_delete_range(struct tree *tree, const kv_slice *from, const kv_slice *to,
                      uint64_t *removed)
{
	struct cut cut = cut_of(tree);
	struct edge edge = {.id = &tree->root, .level = tree->height - 1, .from = from, .to = to};
	int rc = tree_count_range(tree, from, to, removed);

	if (rc || !*removed)
		return rc;
	if (*removed == tree->count)
		return tree_clear(tree);
	tree->generation++;
	rc = edge.level ? cut_branch(&cut, &edge) : cut_leaf(&cut, &edge);
	if (rc)
		return rc;
	tree->count -= edge.removed;
	*removed = edge.removed;
	return tree_collapse(tree);
}
