/* Single keys: loading nodes, get, put, remove. */
#include "btree/tree.h"

#include "btree/guess.h"
#include "btree/tree_internal.h"
#include "mmap/prefetch.h"

/* ---- loading -------------------------------------------------------------------------------- */

/* Children of a branch that came from the file are pages of the file. */
static bool children_in_file(const uint8_t *branch)
{
	for (uint32_t i = 0; i < node_count(branch); i++)
		if (node_child(branch, i) >> (PAGE_TAG_SHIFT + 16) ||
		    page_number(node_child(branch, i)) < 2)
			return false;
	return true;
}

/* So are the roots that a leaf of a catalog holds, in the first word of each value. Other values
 * there (ids of tables) are as small. */
static bool roots_in_file(const uint8_t *leaf)
{
	for (uint32_t i = 0; i < node_count(leaf); i++) {
		bool large;
		kv_slice value = node_value(leaf, i, &large);
		page_id root;

		if (large || value.size < sizeof(root))
			return false;
		memcpy(&root, value.data, sizeof(root));
		if (root >> (PAGE_TAG_SHIFT + 16))
			return false;
	}
	return true;
}

static int load_file_page(const struct tree *tree, page_id id)
{
	unsigned long long number = page_number(id);
	const uint8_t *page;
	const char *what;
	int rc = store_load(tree->store, id);

	if (rc)
		return rc;
	if (store_trusted(tree->store, id))
		return KV_OK;
	page = store_at(tree->store, id);
	if (!node_check(page, tree->store->page_size, &what))
		return status_fail(KV_CORRUPT, "page %llu: %s", number, what);
	if (node_is_branch(page) && !children_in_file(page))
		return status_fail(KV_CORRUPT, "page %llu: a child that is not a page of the file",
		                   number);
	if (page_header_of(page)->type == PAGE_CATALOG && !roots_in_file(page))
		return status_fail(KV_CORRUPT, "page %llu: a root that is not a page of the file",
		                   number);
	store_trust(tree->store, id);
	return KV_OK;
}

int tree_load_slow(const struct tree *tree, page_id id, uint32_t level, const uint8_t **node)
{
	const struct page_header *h;
	int rc = KV_OK;

	if (id == PAGE_NONE || (!page_is_frame(id) && id >> (PAGE_TAG_SHIFT + 16)))
		return status_fail(KV_CORRUPT, "%llx is not the id of a page",
		                   (unsigned long long)id);
	if (!page_is_frame(id))
		rc = load_file_page(tree, id);
	if (rc)
		return rc;
	*node = store_at(tree->store, id);
	h = page_header_of(*node);
	if (h->level != level || h->type != (level ? PAGE_BRANCH : tree->leaf_type))
		return status_fail(KV_CORRUPT,
		                   "page %llu: type %u at level %u where level %u belongs",
		                   (unsigned long long)page_number(id), h->type, h->level, level);
	return KV_OK;
}

int tree_value(const struct tree *tree, const uint8_t *leaf, uint32_t i, kv_slice *value)
{
	struct node_large where;
	bool large;

	*value = node_value(leaf, i, &large);
	if (!large)
		return KV_OK;
	memcpy(&where, value->data, sizeof(where));
	return large_read(tree, &where, value);
}

/* ---- get ------------------------------------------------------------------------------------ */

/* Asks for all of a leaf that is about to be copied. */
static inline void prefetch_leaf(const struct tree *tree, page_id id)
{
	const uint8_t *page = store_at(tree->store, id);
	uint32_t size = tree->store->page_size < 4096 ? tree->store->page_size : 4096;

	for (uint32_t i = 0; i < size; i += 64)
		prefetch_line(page + i);
}

int tree_get(const struct tree *tree, kv_slice key, kv_slice *value)
{
	page_id id = tree->root;
	const uint8_t *node;
	uint32_t i;
	int rc;

	if (!tree->height)
		return KV_NOT_FOUND;
	for (uint32_t level = tree->height - 1; level; level--) {
		rc = tree_load(tree, id, level, &node);
		if (rc)
			return rc;
		i = node_route(node, key);
		prefetch_descent(tree, node, i, key, level - 1);
		id = node_child(node, i);
	}
	rc = tree_load(tree, id, 0, &node);
	if (rc)
		return rc;
	i = node_find(node, key);
	if (i == UINT32_MAX)
		return KV_NOT_FOUND;
	return value ? tree_value(tree, node, i, value) : KV_OK;
}

/* ---- finding the place for a change --------------------------------------------------------- */

static int descend(struct tree *tree, kv_slice key, bool *equal)
{
	struct kv_level *path = tree->finger;
	page_id id = tree->root;
	const uint8_t *node;

	if (tree->height > KV_MAX_LEVELS)
		return status_fail(KV_CORRUPT, "a tree of %u levels", tree->height);
	for (uint32_t level = tree->height - 1;; level--) {
		int rc = tree_load(tree, id, level, &node);

		if (rc)
			return rc;
		path[level].page = node;
		path[level].count = node_count(node);
		if (!level)
			break;
		path[level].index = node_route(node, key);
		id = node_child(node, path[level].index);
		if (level == 1)
			prefetch_leaf(tree, id);
		else
			prefetch_node(tree, id);
	}
	path->index = node_lower_bound(node, key, equal);
	return KV_OK;
}

/* Does key, which sorts before all (after all, if last) of the finger's leaf, belong there? */
static bool finger_fences(const struct tree *tree, kv_slice key, bool last)
{
	const struct kv_level *path = tree->finger;

	for (uint32_t level = 1; level < tree->height; level++) {
		const uint8_t *branch = path[level].page;
		uint32_t i = path[level].index;

		if (last && i + 1 < node_count(branch))
			return node_compare(key, node_key(branch, i + 1)) < 0;
		if (!last && i > 0)
			return node_compare(node_key(branch, i), key) <= 0;
	}
	return true;
}

/* Does key belong into the leaf of the last change? Then the finger's path is the one to it. */
static bool finger_holds(struct tree *tree, kv_slice key, bool *equal)
{
	struct kv_level *leaf = tree->finger;
	uint32_t i, count;

	if (!tree->finger_height || tree->finger_height != tree->height ||
	    tree->finger_generation != tree->generation)
		return false;
	i = node_lower_bound(leaf->page, key, equal);
	count = node_count(leaf->page);
	if (!*equal && ((i == 0 && !finger_fences(tree, key, false)) ||
	                (i == count && !finger_fences(tree, key, true))))
		return false;
	leaf->index = i;
	leaf->count = count;
	return true;
}

/* Makes tree->finger the path to key's place: path[0].index is its lower bound in its leaf. Pages
 * on it are writable only if *writable. */
static int find_place(struct tree *tree, kv_slice key, bool *equal, bool *writable)
{
	int rc = KV_OK;

	*writable = finger_holds(tree, key, equal);
	tree->finger_height = 0;
	if (!*writable)
		rc = descend(tree, key, equal);
	return rc;
}

/* The finger's path is still good after a change. */
static void keep_finger(struct tree *tree)
{
	tree->finger[0].count = node_count(tree->finger[0].page);
	tree->finger_height = tree->height;
	tree->finger_generation = tree->generation;
}

/* ---- put ------------------------------------------------------------------------------------ */

static bool place_is_last(const struct tree *tree)
{
	const struct kv_level *path = tree->finger;
	bool last = path->index == node_count(path->page);

	for (uint32_t level = 1; level < tree->height && last; level++)
		last = path[level].index + 1 == node_count(path[level].page);
	return last;
}

/* What a leaf is to hold: the value itself, or the reference to its run. */
struct stored {
	kv_slice value;
	bool large;
};

static int write_large(struct tree *tree, kv_slice value, struct node_large *where,
                       struct stored *stored)
{
	int rc;

	if (!value.data)
		return status_fail(KV_TOO_BIG, "%zu bytes cannot be reserved inside a page",
		                   value.size);
	rc = large_write(tree, value, where);
	*stored = (struct stored){kv_bytes(where, sizeof(*where)), true};
	return rc;
}

static int retire_value(struct tree *tree, const uint8_t *leaf, uint32_t i)
{
	struct node_large where;
	bool large;
	kv_slice value = node_value(leaf, i, &large);

	if (!large)
		return KV_OK;
	memcpy(&where, value.data, sizeof(where));
	return large_retire(tree, &where);
}

static int insert(struct tree *tree, kv_slice key, struct stored stored, uint8_t **place)
{
	bool split;
	int rc = tree_insert(tree, tree->finger, key, stored.value, stored.large, place, &split);

	tree->generation++;
	if (rc)
		return rc;
	tree->count++;
	if (!split)
		keep_finger(tree);
	return KV_OK;
}

static int replace(struct tree *tree, kv_slice key, struct stored stored, uint8_t **place)
{
	uint8_t *leaf = tree_frame(tree, tree->finger->page);
	uint32_t i = tree->finger->index, page_size = tree->store->page_size;
	int rc = retire_value(tree, leaf, i);

	if (rc)
		return rc;
	if (node_leaf_replace(leaf, page_size, i, stored.value, stored.large, place)) {
		tree->generation++;
		keep_finger(tree);
		return KV_OK;
	}
	node_remove(leaf, page_size, i);
	tree_add_counts(tree, tree->finger, 1, -1);
	tree->count--;
	return insert(tree, key, stored, place);
}

/* Changes the entry at the finger's place, or makes one there. */
static int store_entry(struct tree *tree, kv_slice key, struct stored stored, bool equal,
                       bool writable, uint8_t **place)
{
	int rc = writable ? KV_OK : tree_writable_path(tree, tree->finger);

	if (rc)
		return rc;
	tree->has_large |= stored.large;
	return equal ? replace(tree, key, stored, place) : insert(tree, key, stored, place);
}

int tree_put_stored(struct tree *tree, kv_slice key, kv_slice value, bool large)
{
	bool equal, writable;
	int rc = tree->height ? KV_OK : tree_plant(tree);

	if (!rc)
		rc = find_place(tree, key, &equal, &writable);
	if (rc)
		return rc;
	return store_entry(tree, key, (struct stored){value, large}, equal, writable, NULL);
}

/* tree_put for slices that do not lie in frames. */
static int put(struct tree *tree, kv_slice key, kv_slice value, enum tree_put_mode mode,
               kv_slice *old, uint8_t **place)
{
	struct stored stored = {value, false};
	struct node_large where;
	bool equal, writable;
	int rc = tree->height ? KV_OK : tree_plant(tree);

	if (!rc)
		rc = find_place(tree, key, &equal, &writable);
	if (rc)
		return rc;
	if (equal && mode == TREE_PUT_ABSENT) {
		rc = old ? tree_value(tree, tree->finger->page, tree->finger->index, old) : KV_OK;
		return rc ? rc : KV_EXISTS;
	}
	if (mode == TREE_PUT_LAST && (equal || !place_is_last(tree)))
		return status_fail(KV_ORDER, "the key does not sort after the last one");
	if (!node_fits_inline(tree->store->page_size, key.size, value.size))
		rc = write_large(tree, value, &where, &stored);
	return rc ? rc : store_entry(tree, key, stored, equal, writable, place);
}

static bool in_arena(const struct store *store, kv_slice slice)
{
	return (uintptr_t)slice.data - (uintptr_t)store->base[1] < store->arena.mapped;
}

/* Key or value is a slice that came out of this tree: its frame is about to change. */
static int put_copied(struct tree *tree, kv_slice key, kv_slice value, enum tree_put_mode mode,
                      kv_slice *old, uint8_t **place)
{
	const struct mem *mem = &tree->store->mem;
	size_t size = key.size + (in_arena(tree->store, value) ? value.size : 0);
	uint8_t *copy = mem_new(mem, size + 1);
	int rc;

	if (!copy)
		return status_fail(KV_NOMEM, "no memory for a copy of %zu bytes", size);
	if (key.size)
		memcpy(copy, key.data, key.size);
	key.data = copy;
	if (in_arena(tree->store, value))
		value.data = memcpy(copy + key.size, value.data, value.size);
	rc = put(tree, key, value, mode, old, place);
	mem_free(mem, copy, size + 1);
	return rc;
}

int tree_put(struct tree *tree, kv_slice key, kv_slice value, enum tree_put_mode mode,
             kv_slice *old, void **place)
{
	uint32_t max = KV_MAX_KEY(tree->store->page_size);
	uint8_t *at = NULL;
	int rc;

	if (key.size > max)
		return status_fail(KV_TOO_BIG, "a key of %zu bytes; the limit is %u", key.size,
		                   max);
	if (value.size > KV_MAX_VALUE)
		return status_fail(KV_TOO_BIG, "a value of %zu bytes", value.size);
	if (in_arena(tree->store, key) || in_arena(tree->store, value))
		rc = put_copied(tree, key, value, mode, old, &at);
	else
		rc = put(tree, key, value, mode, old, &at);
	if (place)
		*place = at;
	return rc;
}

/* ---- remove --------------------------------------------------------------------------------- */

int tree_remove(struct tree *tree, kv_slice key)
{
	bool equal, writable, changed;
	uint8_t *leaf;
	int rc;

	if (!tree->height)
		return KV_NOT_FOUND;
	rc = find_place(tree, key, &equal, &writable);
	if (rc || !equal)
		return rc ? rc : KV_NOT_FOUND;
	rc = writable ? KV_OK : tree_writable_path(tree, tree->finger);
	if (rc)
		return rc;
	leaf = tree_frame(tree, tree->finger->page);
	rc = retire_value(tree, leaf, tree->finger->index);
	if (rc)
		return rc;
	node_remove(leaf, tree->store->page_size, tree->finger->index);
	tree_add_counts(tree, tree->finger, 1, -1);
	tree->count--;
	tree->generation++;
	rc = tree_rebalance(tree, tree->finger, 0, &changed);
	if (!rc && !changed)
		keep_finger(tree);
	return rc;
}
