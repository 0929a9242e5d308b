/* Changing a tree, one step each: what the writing files of this folder are made of. All of it is
 * for a tree with a ledger. A node is writable if it is a frame born in the ledger's transaction;
 * the parent of a writable node is writable too. */
#ifndef KV_BTREE_TREE_INTERNAL_H
#define KV_BTREE_TREE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "btree/tree.h"

/* Below a third, a node is merged with a neighbour where both fit into one. */
static inline bool tree_underfull(const struct tree *tree, const uint8_t *node)
{
	return node_used(node, tree->store->page_size) < tree->store->page_size / 3;
}

static inline bool tree_is_writable(const struct tree *tree, page_id id, const void *page)
{
	return page_is_frame(id) && page_header_of(page)->birth == tree->ledger->txn;
}

/* A writable node's memory, for writing. */
static inline uint8_t *tree_frame(const struct tree *tree, const void *page)
{
	uint8_t *arena = tree->store->base[1];

	return arena + ((const uint8_t *)page - arena);
}

/* ---- write.c: nodes and paths --------------------------------------------------------------- */

/* Loads the node that *id names, at the given level, and makes it writable: itself if it is a frame
 * of the ledger's transaction, else a copy in a new frame, with the old page retired. *id becomes
 * the writable frame's; the caller repoints the parent (or tree->root), which must be writable
 * already. Errors of tree_load, KV_NOMEM, and those of store_retire. */
int tree_writable(struct tree *tree, page_id *id, uint32_t level, uint8_t **node);

/* Makes all nodes of a path writable, repointing root and children. In a branch, path[level].index
 * is the child that comes next. */
int tree_writable_path(struct tree *tree, struct kv_level *path);

/* An empty node in a new frame. KV_NOMEM. */
int tree_node_new(struct tree *tree, uint32_t level, page_id *id, uint8_t **node);

/* Gives up a node that nothing points to any more. */
int tree_node_retire(struct tree *tree, page_id id, const uint8_t *node);

/* Adds delta to the counts in the branches of a writable path, from the given level (1 or more)
 * up. */
void tree_add_counts(struct tree *tree, const struct kv_level *path, uint32_t level, int64_t delta);

/* Gives an empty tree a root leaf without entries. */
int tree_plant(struct tree *tree);

/* Forgets the root: the tree is empty as of now. Retires nothing. */
void tree_set_empty(struct tree *tree);

/* ---- tree.c --------------------------------------------------------------------------------- */

/* tree_put of what the leaf is to hold: a value that fits, or (large) a struct node_large whose run
 * has been written. Neither slice may lie in the tree. */
int tree_put_stored(struct tree *tree, kv_slice key, kv_slice value, bool large);

/* ---- split.c -------------------------------------------------------------------------------- */

/* Inserts an entry into the writable leaf path[0], at its index, and keeps all counts. *split: the
 * leaf was full, so the path is void now. place: see node_leaf_insert. */
int tree_insert(struct tree *tree, const struct kv_level *path, kv_slice key, kv_slice value,
                bool large, uint8_t **place, bool *split);

/* A node that is new in the tree: all keys at or after separator, up to the next one, are below
 * it. */
struct tree_child {
	kv_slice separator;
	page_id id;
	uint64_t count; /* entries */
};

/* Puts a new right neighbour of the writable node path[level - 1] into its parent, splitting upward
 * as need be, up to a new root. left_count: entries below the node itself. added: entries that the
 * two have more than the node had, for the counts further up. The separator must not lie in a
 * branch. The path is void after. KV_FULL beyond KV_MAX_LEVELS. */
int tree_insert_child(struct tree *tree, const struct kv_level *path, uint32_t level,
                      struct tree_child child, uint64_t left_count, int64_t added);

/* ---- merge.c -------------------------------------------------------------------------------- */

/* After removals from the writable node path[level]: drops it if it is empty, merges it with a
 * sibling if it is underfull and both fit into one; and so on upward. *changed: the path is
 * void. */
int tree_rebalance(struct tree *tree, const struct kv_level *path, uint32_t level, bool *changed);

/* Lowers the tree while its root has only one child; empties it when the root has nothing. */
int tree_collapse(struct tree *tree);

#endif
