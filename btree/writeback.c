/* Turning frames into file pages, children before parents and leaves in key order, so that what is
 * read together lies together. */
#include "btree/tree.h"
#include "mmap/prefetch.h"

struct writeback {
	struct store *store;
	struct store_flush *flush;
	struct tree_written *written;
	/* Per level, the places of a branch's children, until all are known. */
	page_id *places[KV_MAX_LEVELS];
};

static size_t places_bytes(const struct store *store)
{
	return store->page_size / 2; /* a child takes 22 bytes of the page */
}

static int note_written(struct writeback *w, page_id frame, uint64_t birth)
{
	struct tree_written *list = w->written;

	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct retired *grown = mem_resize(&w->store->mem, list->frames,
		                                   list->room * sizeof(*grown),
		                                   room * sizeof(*grown));

		if (!grown)
			return status_fail(KV_NOMEM, "no memory to list %zu written pages", room);
		list->frames = grown;
		list->room = room;
	}
	list->frames[list->count++] = (struct retired){.id = frame, .count = 1, .birth = birth};
	return KV_OK;
}

/* Queues a finished image of a frame. */
static int add(struct writeback *w, page_id frame, uint8_t *image, page_id *place)
{
	uint64_t number, birth = page_header(image)->birth;
	int rc = store_flush_place(w->flush, &number);

	if (!rc)
		rc = store_flush_add(w->flush, number, image, place);
	return rc ? rc : note_written(w, frame, birth);
}

/* Asks for the first lines of the next child, if it is a frame: its turn comes after this one's. */
static void prefetch_child(const struct writeback *w, const uint8_t *branch, uint32_t i)
{
	page_id id = i < node_count(branch) ? node_child(branch, i) : PAGE_NONE;
	const uint8_t *page = store_at(w->store, id);

	if (!page_is_frame(id))
		return;
	for (uint32_t offset = 0; offset < 512; offset += 64)
		prefetch_line(page + offset);
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
                    struct tree_written *written, page_id *place)
{
	struct writeback w = {store, flush, written, {NULL}};
	int rc;

	*place = root;
	if (!page_is_frame(root))
		return KV_OK;
	rc = write_node(&w, root, page_header_of(store_at(store, root))->level, place);
	for (uint32_t level = 0; level < KV_MAX_LEVELS; level++)
		mem_free(&store->mem, w.places[level], places_bytes(store));
	return rc;
}

int tree_retire_written(struct store *store, struct ledger *ledger, struct tree_written *written,
                        int rc)
{
	for (size_t i = 0; i < written->count && !rc; i++)
		rc = store_retire(store, ledger, written->frames[i].id, 1,
		                  written->frames[i].birth);
	mem_free(&store->mem, written->frames, written->room * sizeof(*written->frames));
	*written = (struct tree_written){NULL, 0, 0};
	return rc;
}

int tree_spill(struct tree *tree)
{
	struct store *store = tree->store;
	struct tree_written written = {NULL, 0, 0};
	struct store_flush flush;
	page_id root = tree->root;
	int rc;

	if (!page_is_frame(root))
		return KV_OK;
	rc = store_flush_begin(store, &flush, tree->ledger, tree->ledger->frame_count + 1);
	if (rc)
		return rc;
	rc = tree_write_back(store, &flush, tree->root, &written, &root);
	rc = store_flush_end(&flush, rc);
	rc = tree_retire_written(store, tree->ledger, &written, rc);
	if (rc)
		return rc;
	tree->root = root;
	tree->spilled = true;
	tree->finger_height = 0;
	tree->generation++;
	if (tree->stats)
		atomic_fetch_add_explicit(&tree->stats->spills, 1, memory_order_relaxed);
	return KV_OK;
}
