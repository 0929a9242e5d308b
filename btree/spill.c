#include "btree/tree.h"
#include "btree/tree_internal.h"
#include "mmap/status.h"

/* Frames that have been written; retired when the writing is over. */
struct spilled {
	const struct mem *mem;
	struct retired *frames;
	size_t count, room;
};

static int note(void *arg, page_id frame, page_id place, uint64_t birth)
{
	struct spilled *s = arg;

	(void)place;
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 256;
		struct retired *grown = mem_resize(s->mem, s->frames, s->room * sizeof *grown, room * sizeof *grown);

		if (!grown)
			return status_fail(KV_NOMEM, "no memory to list %zu written pages", room);
		s->frames = grown;
		s->room = room;
	}
	s->frames[s->count++] = (struct retired){.id = frame, .count = 1, .birth = birth};
	return KV_OK;
}

int tree_spill(struct tree *tree)
{
	struct store *store = tree->store;
	struct spilled spilled = {.mem = &store->mem};
	struct store_flush flush;
	page_id root = tree->root;
	int rc;

	if (!page_is_frame(root))
		return KV_OK;
	rc = store_flush_begin(store, &flush, tree->ledger, store->arena.used);
	if (rc)
		return rc;
	rc = tree_write_back(store, &flush, tree->root, note, &spilled, &root);
	rc = store_flush_end(&flush, rc);
	for (size_t i = 0; i < spilled.count && !rc; i++)
		rc = store_retire(store, tree->ledger, spilled.frames[i].id, 1, spilled.frames[i].birth);
	mem_free(&store->mem, spilled.frames, spilled.room * sizeof *spilled.frames);
	if (rc)
		return rc;
	tree->root = root;
	tree->finger_height = 0;
	tree->generation++;
	return KV_OK;
}
