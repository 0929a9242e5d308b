/* Copy on write: making nodes and paths writable. */
#include "btree/tree_internal.h"

int tree_node_new(struct tree *tree, uint32_t level, page_id *id, uint8_t **node)
{
	void *page;
	int rc = store_frame_new(tree->store, tree->ledger, id, &page);

	if (rc)
		return rc;
	*node = page;
	node_init(*node, tree->store->page_size, level ? PAGE_BRANCH : tree->leaf_type,
	          (uint8_t)level, tree->ledger->txn, 0);
	return KV_OK;
}

int tree_node_retire(struct tree *tree, page_id id, const uint8_t *node)
{
	return store_retire(tree->store, tree->ledger, id, 1, page_header_of(node)->birth);
}

/* Copies what is in use of a node: header, arrays, heap. */
static void copy_node(uint8_t *to, const uint8_t *from, uint32_t page_size)
{
	const struct page_header *h = page_header_of(from);
	size_t width = h->type == PAGE_BRANCH ? 22 : 6;

	memcpy(to, from, NODE_HEADER + width * h->capacity);
	memcpy(to + h->heap, from + h->heap, page_size - h->heap);
}

/* Makes a loaded node writable. */
static int make_writable(struct tree *tree, page_id *id, const uint8_t *page, uint8_t **node)
{
	page_id old = *id;
	void *frame;
	int rc;

	if (tree_is_writable(tree, old, page)) {
		*node = tree_frame(tree, page);
		return KV_OK;
	}
	rc = store_frame_new(tree->store, tree->ledger, id, &frame);
	if (rc)
		return rc;
	*node = frame;
	copy_node(*node, page, tree->store->page_size);
	page_header(*node)->birth = tree->ledger->txn;
	return tree_node_retire(tree, old, page);
}

int tree_writable(struct tree *tree, page_id *id, uint32_t level, uint8_t **node)
{
	const uint8_t *page;
	int rc = tree_load(tree, *id, level, &page);

	return rc ? rc : make_writable(tree, id, page, node);
}

int tree_writable_path(struct tree *tree, struct kv_level *path)
{
	page_id id = tree->root;
	uint8_t *parent = NULL, *node;

	for (uint32_t level = tree->height - 1;; level--) {
		page_id old = id;
		int rc = make_writable(tree, &id, path[level].page, &node);

		if (rc)
			return rc;
		path[level].page = node;
		if (!parent)
			tree->root = id;
		else if (id != old)
			node_set_child(parent, path[level + 1].index, id);
		if (!level)
			return KV_OK;
		parent = node;
		id = node_child(node, path[level].index);
	}
}

void tree_add_counts(struct tree *tree, const struct kv_level *path, uint32_t level, int64_t delta)
{
	for (; level < tree->height; level++) {
		uint8_t *branch = tree_frame(tree, path[level].page);
		uint32_t i = path[level].index;

		node_set_count(branch, i, node_counts(branch)[i] + (uint64_t)delta);
	}
}

int tree_plant(struct tree *tree)
{
	uint8_t *leaf;
	int rc = tree_node_new(tree, 0, &tree->root, &leaf);

	if (rc)
		return rc;
	tree->height = 1;
	return KV_OK;
}

void tree_set_empty(struct tree *tree)
{
	tree->root = PAGE_NONE;
	tree->height = 0;
	tree->count = 0;
	tree->has_large = false;
	tree->empty_since = tree->ledger->txn;
	tree->finger_height = 0;
}
