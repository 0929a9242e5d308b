/* Turning frames into file pages, children before parents and leaves in key order, so that what is
 * read together lies together. */
#include "btree/tree.h"

struct writeback {
	struct store *store;
	struct store_flush *flush;
	tree_flushed on_flushed;
	void *arg;
	/* Per level, the places of a branch's children, until all are known. */
	page_id *places[KV_MAX_LEVELS];
};

static size_t places_bytes(const struct store *store)
{
	return store->page_size / 2; /* a child takes 22 bytes of the page */
}

/* Queues a finished image of a frame. */
static int add(struct writeback *w, page_id frame, uint8_t *image, page_id *place)
{
	uint64_t number, birth = page_header(image)->birth;
	int rc = store_flush_place(w->flush, &number);

	if (!rc)
		rc = store_flush_add(w->flush, number, image, place);
	if (!rc && w->on_flushed)
		rc = w->on_flushed(w->arg, frame, *place, birth);
	return rc;
}

/* Asks for the first lines of the next child, if it is a frame: its turn comes after this one's. */
static void prefetch_child(const struct writeback *w, const uint8_t *branch, uint32_t i)
{
	page_id id = i < node_count(branch) ? node_child(branch, i) : PAGE_NONE;
	const uint8_t *page = store_at(w->store, id);

	if (!page_is_frame(id))
		return;
	for (uint32_t offset = 0; offset < 512; offset += 64)
		__builtin_prefetch(page + offset);
}

static int write_node(struct writeback *w, page_id id, uint32_t level, page_id *place);

static int write_branch(struct writeback *w, page_id id, uint32_t level, page_id *place)
{
	struct store *store = w->store;
	const uint8_t *branch = store_at(store, id);
	uint32_t count = node_count(branch), page_size = store->page_size;
	page_id *places = w->places[level];
	void *image;
	int rc = KV_OK;

	if (!places)
		places = w->places[level] = mem_new(&store->mem, places_bytes(store));
	if (!places)
		return status_fail(KV_NOMEM, "no memory to write a tree back");
	for (uint32_t i = 0; i < count && !rc; i++) {
		prefetch_child(w, branch, i + 1);
		rc = write_node(w, node_child(branch, i), level - 1, &places[i]);
	}
	if (!rc)
		rc = store_flush_image(w->flush, &image);
	if (rc)
		return rc;
	memcpy(image, branch, page_size);
	for (uint32_t i = 0; i < count; i++)
		node_set_child(image, i, places[i]);
	return add(w, id, image, place);
}

static int write_node(struct writeback *w, page_id id, uint32_t level, page_id *place)
{
	const struct page_header *h = page_header_of(store_at(w->store, id));

	*place = id;
	if (!page_is_frame(id))
		return KV_OK;
	if (h->level != level || level >= KV_MAX_LEVELS)
		return status_fail(KV_CORRUPT, "frame %llu: level %u where %u belongs",
		                   (unsigned long long)page_number(id), h->level, level);
	if (level)
		return write_branch(w, id, level, place);
	return add(w, id, store_frame(w->store, id), place);
}

int tree_write_back(struct store *store, struct store_flush *flush, page_id root,
                    tree_flushed on_flushed, void *arg, page_id *place)
{
	struct writeback w = {store, flush, on_flushed, arg, {NULL}};
	int rc;

	*place = root;
	if (!page_is_frame(root))
		return KV_OK;
	rc = write_node(&w, root, page_header_of(store_at(store, root))->level, place);
	for (uint32_t level = 0; level < KV_MAX_LEVELS; level++)
		mem_free(&store->mem, w.places[level], places_bytes(store));
	return rc;
}
