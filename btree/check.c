/* Checks everything that a tree promises, node by node, and goes on after faults: what lies below a
 * node that cannot be read is skipped, the rest is still looked at. A file with forged checksums
 * may hold anything that node_check lets through; levels fall on the way down, so the walk ends. */
#include <stdio.h>

#include "btree/node_heap.h"
#include "btree/tree.h"

struct checker {
	const struct tree *tree;
	struct tree_check *check;
};

/* A node and what its parent says about it. */
struct visit {
	page_id id;
	uint32_t level;
	kv_slice from, to; /* fences: from <= key < to */
	bool has_to;
	uint64_t birth; /* of the parent */
};

static void fault(struct checker *c, page_id id, const char *what)
{
	uint64_t page = id == PAGE_NONE || page_is_frame(id) ? UINT64_MAX : page_number(id);

	c->check->faults++;
	if (c->check->fault)
		c->check->fault(c->check->arg, page, what);
}

/* ---- one node ------------------------------------------------------------------------------- */

/* The prefix and the heads that the keys should give. */
static const char *check_heads(const uint8_t *node)
{
	const struct page_header *h = page_header_of(node);
	uint32_t first = node_first_key(node), inlined;

	if (first && node_heads(node)[0] != 0)
		return "the first head of a branch is not 0";
	if (first >= h->count)
		return NULL;
	inlined = h->prefix < NODE_PREFIX_BYTES ? h->prefix : NODE_PREFIX_BYTES;
	if (inlined && memcmp(node + sizeof(*h), node_key(node, first).data, inlined) != 0)
		return "the prefix is not that of the keys";
	for (uint32_t i = first; i < h->count; i++) {
		if (node_common_prefix(node_key(node, first), node_key(node, i)) < h->prefix)
			return "a key without the node's prefix";
		if (node_heads(node)[i] != node_head(node_key(node, i), h->prefix))
			return "a head that is not its key's";
	}
	return NULL;
}

static const char *check_order(const uint8_t *node, const struct visit *visit)
{
	uint32_t first = node_first_key(node), count = node_count(node);
	int c;

	if (first >= count)
		return NULL;
	for (uint32_t i = first + 1; i < count; i++)
		if (node_compare(node_key(node, i - 1), node_key(node, i)) >= 0)
			return "keys out of order";
	/* A branch's first separator lies behind the fence, or the child before it would have no
	 * room. */
	c = node_compare(node_key(node, first), visit->from);
	if (c < 0 || (c == 0 && first))
		return "a key before the node's lower fence";
	if (visit->has_to && node_compare(node_key(node, count - 1), visit->to) >= 0)
		return "a key behind the node's upper fence";
	return NULL;
}

static void check_node(struct checker *c, const uint8_t *node, const struct visit *visit)
{
	uint64_t birth = page_header_of(node)->birth;
	const char *what = check_heads(node);

	if (what)
		fault(c, visit->id, what);
	what = check_order(node, visit);
	if (what)
		fault(c, visit->id, what);
	if (birth > visit->birth)
		fault(c, visit->id, "a node that is younger than its parent");
	if (birth < c->tree->empty_since)
		fault(c, visit->id, "a node older than the time when the tree was last empty");
}

/* ---- values --------------------------------------------------------------------------------- */

static int check_large(struct checker *c, const struct visit *visit, uint64_t leaf_birth,
                       const struct node_large *large)
{
	const struct store *store = c->tree->store;
	uint64_t pages = ((uint64_t)large->size + store->page_size - 1) >> store->page_shift;

	if (!c->tree->has_large)
		fault(c, visit->id, "a large value in a tree that is said to have none");
	if (large->birth > leaf_birth || large->birth < c->tree->empty_since)
		fault(c, visit->id, "a large value from another time than its leaf");
	return c->check->visit ? c->check->visit(c->check->arg, large->first, pages) : KV_OK;
}

/* *bad: there is no value to show. */
static int check_value(struct checker *c, const struct visit *visit, const uint8_t *leaf,
                       uint32_t i, kv_slice *value, bool *bad)
{
	struct node_large where;
	bool large;
	int rc;

	*value = node_value(leaf, i, &large);
	if (!large)
		return KV_OK;
	memcpy(&where, value->data, sizeof(where));
	rc = check_large(c, visit, page_header_of(leaf)->birth, &where);
	*bad = rc == KV_CORRUPT;
	if (rc)
		return *bad ? KV_OK : rc;
	rc = large_read(c->tree, &where, value);
	*bad = rc == KV_CORRUPT || rc == KV_IO;
	if (*bad)
		fault(c, page_number(where.first), kv_detail());
	return *bad ? KV_OK : rc;
}

static int check_leaf(struct checker *c, const uint8_t *leaf, const struct visit *visit,
                      uint64_t *entries)
{
	struct tree_check *check = c->check;

	*entries = node_count(leaf);
	check->entries += *entries;
	for (uint32_t i = 0; i < node_count(leaf); i++) {
		kv_slice value;
		bool bad = false;
		int rc = check_value(c, visit, leaf, i, &value, &bad);

		if (!rc && !bad && check->value)
			rc = check->value(check->arg, node_key(leaf, i), value);
		if (rc)
			return rc;
	}
	return KV_OK;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static int check_subtree(struct checker *c, const struct visit *visit, uint64_t *entries);

static int check_branch(struct checker *c, const uint8_t *branch, const struct visit *visit,
                        uint64_t *entries)
{
	uint32_t count = node_count(branch);

	for (uint32_t i = 0; i < count; i++) {
		struct visit below = {
		        .id = node_child(branch, i),
		        .level = visit->level - 1,
		        .from = i ? node_key(branch, i) : visit->from,
		        .to = i + 1 < count ? node_key(branch, i + 1) : visit->to,
		        .has_to = i + 1 < count || visit->has_to,
		        .birth = page_header_of(branch)->birth,
		};
		uint64_t found = 0, faults = c->check->faults;
		int rc = check_subtree(c, &below, &found);

		if (rc)
			return rc;
		if (found != node_counts(branch)[i] && faults == c->check->faults)
			fault(c, visit->id, "a branch whose count of entries is wrong");
		*entries += found;
	}
	return KV_OK;
}

/* Checks a node and all below it. Errors other than damage end the walk. */
static int check_subtree(struct checker *c, const struct visit *visit, uint64_t *entries)
{
	struct tree_check *check = c->check;
	const uint8_t *node;
	int rc;

	if (!page_is_frame(visit->id) && check->visit) {
		rc = check->visit(check->arg, page_number(visit->id), 1);
		if (rc)
			return rc == KV_CORRUPT ? KV_OK : rc;
	}
	rc = tree_load(c->tree, visit->id, visit->level, &node);
	if (rc == KV_CORRUPT || rc == KV_IO) {
		fault(c, visit->id, kv_detail());
		return KV_OK;
	}
	if (rc)
		return rc;
	check->pages++;
	check_node(c, node, visit);
	return visit->level ? check_branch(c, node, visit, entries)
	                    : check_leaf(c, node, visit, entries);
}

int tree_check(const struct tree *tree, struct tree_check *check)
{
	struct checker c = {tree, check};
	struct visit root = {.id = tree->root, .level = tree->height - 1, .birth = UINT64_MAX};
	uint64_t entries = 0, faults = check->faults;
	int rc = KV_OK;

	if (tree->height > KV_MAX_LEVELS || !tree->height != (tree->root == PAGE_NONE))
		fault(&c, tree->root, "a tree whose height cannot be right");
	else if (tree->height)
		rc = check_subtree(&c, &root, &entries);
	if (!rc && faults == check->faults && entries != tree->count)
		fault(&c, tree->root, "a tree whose count of entries is wrong");
	return rc;
}
