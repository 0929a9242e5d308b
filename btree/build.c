#include "btree/build.h"

#include <string.h>

#include "mmap/status.h"

/* Leaves of fewer, large entries are filled as far as it goes. */
#define MIN_ENTRIES 10

static size_t key_room(const struct builder *b)
{
	return KV_MAX_KEY(b->tree->store->page_size);
}

int builder_open(struct builder *b, struct tree *tree, struct store_flush *flush, uint32_t fill)
{
	uint32_t page_size = tree->store->page_size;

	memset(b, 0, sizeof *b);
	b->tree = tree;
	b->flush = flush;
	b->fill = NODE_HEADER + (page_size - NODE_HEADER) / 100 * fill;
	if (fill == 100)
		b->fill = page_size;
	b->boundary = mem_resize(&tree->store->mem, NULL, 0, key_room(b));
	return b->boundary ? KV_OK : status_fail(KV_NOMEM, "no memory to build a tree");
}

void builder_close(struct builder *b)
{
	const struct mem *mem = &b->tree->store->mem;

	mem_free(mem, b->boundary, key_room(b));
	for (uint32_t i = 0; i < KV_MAX_LEVELS; i++) {
		mem_free(mem, b->level[i].separator, key_room(b));
		mem_free(mem, b->level[i].buffer, b->tree->store->page_size);
	}
}

static void set_boundary(struct builder *b, kv_slice key, bool fence)
{
	if (key.size)
		memcpy(b->boundary, key.data, key.size);
	b->boundary_size = key.size;
	b->boundary_is_fence = fence;
}

/* ---- opening and finishing nodes ----------------------------------------------------------- */

/* Memory for a new node of the level. Leaves that go to the file are built right in the flush's
 * image, which is written soon after; branches stay open for long and have their own buffer. */
static int node_memory(struct builder *b, uint32_t level)
{
	struct build_level *l = &b->level[level];
	struct store *store = b->tree->store;
	void *memory = NULL;
	int rc = KV_OK;

	if (!b->flush) {
		rc = store_frame_new(store, b->tree->ledger, &l->id, &memory);
	} else if (!level) {
		rc = store_flush_image(b->flush, &memory);
	} else {
		if (!l->buffer)
			l->buffer = mem_resize(&store->mem, NULL, 0, store->page_size);
		memory = l->buffer;
		if (!memory)
			rc = status_fail(KV_NOMEM, "no memory for a branch");
	}
	l->node = rc ? NULL : memory;
	return rc;
}

static int open_node(struct builder *b, uint32_t level, kv_slice separator)
{
	struct build_level *l = &b->level[level];
	struct store *store = b->tree->store;
	int rc;

	if (level >= KV_MAX_LEVELS)
		return status_fail(KV_FULL, "the tree is higher than %d levels", KV_MAX_LEVELS);
	if (!l->separator) {
		l->separator = mem_resize(&store->mem, NULL, 0, key_room(b));
		if (!l->separator)
			return status_fail(KV_NOMEM, "no memory for a separator");
	}
	rc = node_memory(b, level);
	if (rc)
		return rc;
	if (separator.size)
		memcpy(l->separator, separator.data, separator.size);
	l->separator_size = separator.size;
	l->entries = 0;
	node_init(l->node, store->page_size, level ? PAGE_BRANCH : b->tree->leaf_type,
	          (uint8_t)level, b->tree->ledger->txn, 0);
	if (!level)
		b->used = NODE_HEADER;
	return KV_OK;
}

/* Gives the open node its place and id. */
static int settle_node(struct builder *b, uint32_t level, page_id *id)
{
	struct build_level *l = &b->level[level];
	uint32_t page_size = b->tree->store->page_size;
	uint64_t place;
	void *image = l->node;
	int rc = KV_OK;

	node_finish(l->node, page_size);
	*id = l->id;
	if (b->flush) {
		rc = store_flush_place(b->flush, &place);
		if (!rc && level)
			rc = store_flush_image(b->flush, &image);
		if (!rc && level)
			memcpy(image, l->node, page_size);
		if (!rc)
			rc = store_flush_add(b->flush, place, image, id);
	}
	l->node = NULL;
	return rc;
}

static int add_child(struct builder *b, uint32_t level, kv_slice separator, page_id id,
                     uint64_t entries);

static int finish_node(struct builder *b, uint32_t level)
{
	struct build_level *l = &b->level[level];
	page_id id;
	int rc = settle_node(b, level, &id);

	if (rc)
		return rc;
	if (level + 1 >= KV_MAX_LEVELS)
		return status_fail(KV_FULL, "the tree is higher than %d levels", KV_MAX_LEVELS);
	return add_child(b, level + 1, kv_bytes(l->separator, l->separator_size), id, l->entries);
}

/* Adds a child to the open branch of the level; opens the next one when it is full. */
static int add_child(struct builder *b, uint32_t level, kv_slice separator, page_id id,
                     uint64_t entries)
{
	struct build_level *l = &b->level[level];
	uint32_t page_size = b->tree->store->page_size;
	kv_slice first = kv_bytes(NULL, 0); /* a branch's first separator is minus infinity */
	int rc;

	if (l->node && node_append_branch(l->node, page_size, separator, id, entries)) {
		l->entries += entries;
		return KV_OK;
	}
	if (l->node) {
		rc = finish_node(b, level);
		if (rc)
			return rc;
	}
	rc = open_node(b, level, separator);
	if (rc)
		return rc;
	node_append_branch(l->node, page_size, first, id, entries);
	l->entries = entries;
	return KV_OK;
}

/* ---- adding -------------------------------------------------------------------------------- */

/* The separator of the leaf that begins with key, from what came before. */
static kv_slice next_separator(const struct builder *b, kv_slice key)
{
	kv_slice boundary = kv_bytes(b->boundary, b->boundary_size);

	if (!b->entries || b->boundary_is_fence)
		return boundary;
	return kv_bytes(key.data, node_separator(boundary, key));
}

int builder_entry(struct builder *b, kv_slice key, kv_slice value, bool large)
{
	struct build_level *l = &b->level[0];
	uint32_t page_size = b->tree->store->page_size;
	uint32_t bytes = (uint32_t)(NODE_LEAF_OVERHEAD + key.size + value.size);
	int rc;

	if (!l->node || (b->used + bytes > b->fill && node_count(l->node) >= MIN_ENTRIES) ||
	    !node_append_leaf(l->node, page_size, key, value, large)) {
		if (l->node) {
			uint32_t last = node_count(l->node) - 1;

			set_boundary(b, node_key(l->node, last), false);
			rc = finish_node(b, 0);
			if (rc)
				return rc;
		}
		rc = open_node(b, 0, next_separator(b, key));
		if (rc)
			return rc;
		if (!node_append_leaf(l->node, page_size, key, value, large))
			return status_fail(KV_CORRUPT,
			                   "an entry of %u bytes does not fit into an empty leaf",
			                   bytes);
	}
	b->used += bytes;
	l->entries++;
	b->entries++;
	return KV_OK;
}

int builder_fence(struct builder *b, kv_slice separator)
{
	if (!b->level[0].node)
		set_boundary(b, separator, true);
	return KV_OK;
}

uint32_t builder_room(const struct builder *b)
{
	if (!b->level[0].node)
		return UINT32_MAX;
	return b->used < b->fill ? b->fill - b->used : 0;
}

int builder_subtree(struct builder *b, uint32_t level, kv_slice separator, page_id id,
                    uint64_t entries)
{
	for (uint32_t i = 0; i <= level; i++) {
		int rc = b->level[i].node ? finish_node(b, i) : KV_OK;

		if (rc)
			return rc;
	}
	b->entries += entries;
	return add_child(b, level + 1, separator, id, entries);
}

static bool is_top(const struct builder *b, uint32_t level)
{
	for (uint32_t i = level + 1; i < KV_MAX_LEVELS; i++)
		if (b->level[i].node)
			return false;
	return true;
}

int builder_finish(struct builder *b, page_id *root, uint32_t *height)
{
	*root = PAGE_NONE;
	*height = 0;
	for (uint32_t i = 0; i < KV_MAX_LEVELS; i++) {
		int rc;

		if (!b->level[i].node)
			continue;
		if (is_top(b, i)) {
			*height = i + 1;
			return settle_node(b, i, root);
		}
		rc = finish_node(b, i);
		if (rc)
			return rc;
	}
	return KV_OK;
}
