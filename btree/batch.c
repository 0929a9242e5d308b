/* Applying operations in key order.
 *
 * A sparse batch goes through tree_put and tree_remove: the finger makes the way from one key to
 * the next short. A dense one, or one into an empty tree, is a merge: old leaves and operations are
 * read side by side, entries that remain go to the builder, subtrees that no operation touches are
 * passed on whole. Every node is then written once, in key order, however much of it changes. */
#include <string.h>

#include "btree/build.h"
#include "btree/tree.h"
#include "btree/tree_internal.h"
#include "mmap/status.h"

/* Leaves filled by random keys keep some room for the next ones. */
#define FILL_IN_ORDER 100
#define FILL_RANDOM 92

struct rebuild {
	struct tree *tree;
	struct tree_ops *ops;
	struct tree_op op; /* the next one */
	bool has_op;
	struct builder builder;
	uint64_t entries; /* of the tree, as it becomes */
};

static int next_op(struct rebuild *r)
{
	int rc = r->ops->next(r->ops, &r->op);

	r->has_op = !rc;
	return rc < 0 ? rc : KV_OK;
}

/* ---- sparse -------------------------------------------------------------------------------- */

static int apply_one(struct tree *tree, const struct tree_op *op)
{
	int rc;

	if (!op->remove)
		return tree_put_stored(tree, op->key, op->value, op->large);
	rc = tree_remove(tree, op->key);
	return rc < 0 ? rc : KV_OK;
}

/* A spill is worth it only if this tree has taken some frames since the last one: others may hold
 * the rest. The arena has a reserve. */
static bool should_spill(const struct arena *arena, const struct ledger *ledger, uint64_t before)
{
	return arena->used >= ledger->spill_at && arena->used >= before + arena->limit / 16;
}

static int apply_each(struct rebuild *r)
{
	const struct arena *arena = &r->tree->store->arena;
	uint64_t before = arena->used;
	int rc = KV_OK;

	while (!rc && r->has_op) {
		rc = apply_one(r->tree, &r->op);
		if (!rc && should_spill(arena, r->tree->ledger, before)) {
			rc = tree_spill(r->tree);
			before = arena->used;
		}
		if (!rc)
			rc = next_op(r);
	}
	return rc;
}

/* ---- dense --------------------------------------------------------------------------------- */

/* The current operation as an entry. */
static int emit_op(struct rebuild *r)
{
	int rc = KV_OK;

	if (!r->op.remove) {
		rc = builder_entry(&r->builder, r->op.key, r->op.value, r->op.large);
		r->tree->has_large |= r->op.large;
		r->entries++;
	}
	return rc ? rc : next_op(r);
}

/* An old entry that an operation replaces or removes. */
static int drop_entry(struct rebuild *r, const uint8_t *leaf, uint32_t i)
{
	struct node_large large;
	bool is_large;
	kv_slice value = node_value(leaf, i, &is_large);

	r->entries--;
	if (!is_large)
		return KV_OK;
	memcpy(&large, value.data, sizeof large);
	return large_retire(r->tree, &large);
}

static int merge_leaf(struct rebuild *r, const uint8_t *leaf, const kv_slice *upper)
{
	uint32_t count = node_count(leaf);
	int rc = KV_OK;

	for (uint32_t i = 0; i < count && !rc; i++) {
		kv_slice key = node_key(leaf, i);
		bool large;
		kv_slice value;
		int c = -1;

		while (!rc && r->has_op && (c = node_compare(key, r->op.key)) > 0)
			rc = emit_op(r);
		if (rc)
			break;
		if (r->has_op && !c) {
			rc = drop_entry(r, leaf, i);
			if (!rc)
				rc = emit_op(r);
			continue;
		}
		value = node_value(leaf, i, &large);
		rc = builder_entry(&r->builder, key, value, large);
	}
	while (!rc && r->has_op && (!upper || node_compare(r->op.key, *upper) < 0))
		rc = emit_op(r);
	return rc;
}

/* An untouched leaf after a small open one is taken into it if it fits: mends underfull leaves. */
static bool worth_absorbing(const struct rebuild *r, page_id id, const uint8_t **leaf)
{
	uint32_t page_size = r->tree->store->page_size;
	uint32_t room = builder_room(&r->builder);

	if (room == UINT32_MAX || room < page_size - page_size / 3 ||
	    tree_load(r->tree, id, 0, leaf))
		return false;
	return node_used(*leaf, page_size) - NODE_HEADER <= room;
}

static int pass_child(struct rebuild *r, uint32_t level, kv_slice separator, page_id id,
                      uint64_t entries)
{
	const uint8_t *leaf;
	int rc;

	if (level || !worth_absorbing(r, id, &leaf))
		return builder_subtree(&r->builder, level, separator, id, entries);
	rc = KV_OK;
	for (uint32_t i = 0; i < node_count(leaf) && !rc; i++) {
		bool large;
		kv_slice value = node_value(leaf, i, &large);

		rc = builder_entry(&r->builder, node_key(leaf, i), value, large);
	}
	return rc ? rc : tree_node_retire(r->tree, id, leaf);
}

/* Merges the subtree with the operations below upper. lower: its separator in the old parent. */
static int merge_node(struct rebuild *r, page_id id, uint32_t level, kv_slice lower,
                      const kv_slice *upper)
{
	const uint8_t *node;
	uint32_t count;
	int rc = tree_load(r->tree, id, level, &node);

	if (rc)
		return rc;
	count = node_count(node);
	if (!level) {
		rc = builder_fence(&r->builder, lower);
		if (!rc)
			rc = merge_leaf(r, node, upper);
	}
	for (uint32_t i = 0; level && i < count && !rc; i++) {
		kv_slice separator = i ? node_key(node, i) : lower;
		kv_slice next = i + 1 < count ? node_key(node, i + 1) : kv_bytes(NULL, 0);
		const kv_slice *end = i + 1 < count ? &next : upper;

		if (r->has_op && (!end || node_compare(r->op.key, *end) < 0))
			rc = merge_node(r, node_child(node, i), level - 1, separator, end);
		else
			rc = pass_child(r, level - 1, separator, node_child(node, i),
			                node_counts(node)[i]);
	}
	return rc ? rc : tree_node_retire(r->tree, id, node);
}

static int rebuild_tree(struct rebuild *r, struct store_flush *flush)
{
	struct tree *tree = r->tree;
	page_id root;
	uint32_t height;
	int rc = builder_open(&r->builder, tree, flush,
	                      r->ops->in_order ? FILL_IN_ORDER : FILL_RANDOM);

	r->entries = tree->count;
	if (!rc && tree->height)
		rc = merge_node(r, tree->root, tree->height - 1, kv_bytes(NULL, 0), NULL);
	while (!rc && r->has_op)
		rc = emit_op(r);
	if (!rc)
		rc = builder_finish(&r->builder, &root, &height);
	if (r->builder.tree)
		builder_close(&r->builder);
	if (rc)
		return rc;
	if (root == PAGE_NONE) {
		tree_set_empty(tree);
		return KV_OK;
	}
	tree->root = root;
	tree->height = height;
	tree->count = r->entries;
	return KV_OK;
}

/* Builds into frames, or straight into the file when the arena would not hold the result. */
static int merge_all(struct rebuild *r, uint64_t pages)
{
	struct store *store = r->tree->store;
	struct store_flush flush;
	int rc;

	if (store->arena.used + 2 * pages < r->tree->ledger->spill_at)
		return rebuild_tree(r, NULL);
	/* Branches in the file may only point into it: untouched subtrees must be there first. */
	rc = tree_spill(r->tree);
	if (!rc)
		rc = store_flush_begin(store, &flush, r->tree->ledger, pages);
	if (rc)
		return rc;
	r->tree->spilled = true;
	if (r->tree->stats)
		atomic_fetch_add_explicit(&r->tree->stats->spills, 1, memory_order_relaxed);
	return store_flush_end(&flush, rebuild_tree(r, &flush));
}

int tree_apply(struct tree *tree, struct tree_ops *ops)
{
	struct rebuild r = {.tree = tree, .ops = ops};
	uint64_t leaves = tree->count / 8 + 1; /* a guess on the high side */
	uint64_t touched = ops->count < leaves ? ops->count : leaves;
	bool dense = !tree->height || (ops->count >= 64 && ops->count >= leaves / 4);
	int rc = next_op(&r);

	if (!r.has_op)
		return rc;
	rc = dense ? merge_all(&r, touched + ops->bytes / tree->store->page_size + 1)
	           : apply_each(&r);
	if (!rc && dense && tree->height)
		rc = tree_collapse(tree);
	tree->finger_height = 0;
	tree->generation++;
	return rc;
}
