/* The builder: makes a tree from its entries, or from whole subtrees of an older one, in key order.
 * On every level one node is open; a full one is finished and handed to the level above. Nodes
 * become frames, or, with a flush, file pages as soon as they are finished, so that a tree of any
 * size is built in little memory. */
#ifndef KV_BTREE_BUILD_H
#define KV_BTREE_BUILD_H

#include "btree/tree.h"
#include "btree/tree_internal.h"

struct build_level {
	uint8_t *node;      /* open, being appended to; NULL: none */
	page_id id;         /* of its frame */
	uint64_t entries;   /* below it */
	uint8_t *separator; /* what will stand before it in its parent */
	size_t separator_size;
	uint8_t *buffer; /* branches that go to the file are built here */
};

struct builder {
	struct tree *tree;         /* for store, ledger, stats; its root is not touched */
	struct store_flush *flush; /* NULL: nodes become frames */
	uint32_t fill;             /* bytes of a leaf to use at most */
	uint32_t used;             /* bytes used in the open leaf */
	struct build_level level[KV_MAX_LEVELS];
	uint8_t *boundary; /* all keys before are < it (fence), or <= it */
	size_t boundary_size;
	bool boundary_is_fence;
	uint64_t entries; /* added in all */
};

/* fill: per cent of a leaf's bytes to use. KV_NOMEM. */
int builder_open(struct builder *builder, struct tree *tree, struct store_flush *flush,
                 uint32_t fill);

/* Adds one entry, or a subtree whose root is at the given level; separator is its lower fence. */
int builder_entry(struct builder *builder, kv_slice key, kv_slice value, bool large);
int builder_subtree(struct builder *builder, uint32_t level, kv_slice separator, page_id id,
                    uint64_t entries);

/* The next entry comes from a node with this lower fence. */
int builder_fence(struct builder *builder, kv_slice separator);

/* Bytes that the open leaf has left; UINT32_MAX if none is open. */
uint32_t builder_room(const struct builder *builder);

/* Finishes what is open; gives the root (PAGE_NONE: there is nothing) and the number of levels. */
int builder_finish(struct builder *builder, page_id *root, uint32_t *height);
void builder_close(struct builder *builder);

#endif
