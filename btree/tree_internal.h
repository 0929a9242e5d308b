/* What the writing files of this folder (tree.c, range.c, batch.c) share. */
#ifndef KV_BTREE_TREE_INTERNAL_H
#define KV_BTREE_TREE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "btree/tree.h"

/* Below a quarter, a node is merged with a neighbour where both fit into one. */
static inline bool tree_underfull(const struct tree *tree, const uint8_t *node)
{
	return node_used(node, tree->store->page_size) < tree->store->page_size / 4;
}

/* Loads the node that *id names, at the given level, and makes it writable: itself if it is a frame
 * of the ledger's transaction, else a copy in a new frame, with the old page retired. *id becomes the
 * writable frame's; the caller repoints the parent (or tree->root), which must be writable already.
 * Errors of tree_load, KV_NOMEM, and those of store_retire. tree.c. */
int tree_writable(struct tree *tree, page_id *id, uint32_t level, uint8_t **node);

#endif
