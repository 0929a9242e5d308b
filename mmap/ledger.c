/* The ledger's operations on a store: taking, giving up, abort, commit. */
#include "mmap/ledger_inner.h"

#include <assert.h>
#include <inttypes.h>

#include "mmap/store_inner.h"

/* Entries that an emptied ledger keeps room for. */
enum { KEPT_ENTRIES = 1024 };

/* ---- lists --------------------------------------------------------------------------------- */

/* Doubles the room of a list: *list has *room entries of size bytes. */
static int grow_list(const struct mem *mem, void **list, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 32;
	void *grown = mem_resize(mem, *list, *room * size, more * size);

	if (!grown)
		return status_fail(KV_NOMEM, "no memory for the transaction's ledger");
	*list = grown;
	*room = more;
	return KV_OK;
}

static int room_for_frame(struct store *store, struct ledger *ledger)
{
	void *list = ledger->frames;
	int rc;

	if (ledger->frame_count < ledger->frame_room)
		return KV_OK;
	rc = grow_list(&store->mem, &list, &ledger->frame_room, sizeof *ledger->frames);
	ledger->frames = list;
	return rc;
}

int ledger_room_for_run(struct store *store, struct ledger *ledger)
{
	void *list = ledger->runs;
	int rc;

	if (ledger->run_count < ledger->run_room)
		return KV_OK;
	rc = grow_list(&store->mem, &list, &ledger->run_room, sizeof *ledger->runs);
	ledger->runs = list;
	return rc;
}

static int room_for_retired(struct store *store, struct ledger *ledger)
{
	void *list = ledger->retired;
	int rc;

	if (ledger->retired_count < ledger->retired_room)
		return KV_OK;
	rc = grow_list(&store->mem, &list, &ledger->retired_room, sizeof *ledger->retired);
	ledger->retired = list;
	return rc;
}

void ledger_add_run(struct ledger *ledger, const struct run *run)
{
	struct run *last = ledger->run_count ? &ledger->runs[ledger->run_count - 1] : NULL;

	assert(ledger->runs && ledger->run_count < ledger->run_room);
	if (last && last->first + last->count == run->first)
		last->count += run->count;
	else
		ledger->runs[ledger->run_count++] = *run;
}

/* ---- taking -------------------------------------------------------------------------------- */

int store_frame_new(struct store *store, struct ledger *ledger, page_id *id, void **page)
{
	uint64_t frame;
	int rc = room_for_frame(store, ledger);

	if (!rc)
		rc = arena_take(&store->arena, &frame);
	if (rc)
		return rc;
	ledger->frames[ledger->frame_count++] = frame;
	*id = page_frame_id(frame);
	*page = store_frame(store, *id);
	page_header(*page)->birth = ledger->txn;
	return KV_OK;
}

int store_run_new(struct store *store, struct ledger *ledger, uint64_t count, uint64_t *first)
{
	struct run run = {.count = count};
	int rc = store_begin_writing(store);

	if (!rc)
		rc = ledger_room_for_run(store, ledger);
	if (!rc)
		rc = store_take(store, count, ledger->reserve, &run.first);
	if (rc)
		return rc;
	ledger_add_run(ledger, &run);
	*first = run.first;
	return KV_OK;
}

/* ---- giving up ----------------------------------------------------------------------------- */

/* Notes [id, id + count), which directly behind the newest entry makes that one longer. */
static int add_retired(struct store *store, struct ledger *ledger, page_id id, uint64_t count,
                       uint64_t birth)
{
	struct retired *last = NULL;
	int rc;

	if (ledger->retired_count)
		last = &ledger->retired[ledger->retired_count - 1];
	if (last && last->id + last->count == id && last->birth == birth) {
		last->count += count;
		return KV_OK;
	}
	rc = room_for_retired(store, ledger);
	if (rc)
		return rc;
	assert(ledger->retired && ledger->retired_count < ledger->retired_room);
	ledger->retired[ledger->retired_count++] = (struct retired){id, count, birth};
	return KV_OK;
}

static int retire_frames(struct store *store, struct ledger *ledger, page_id id, uint64_t count,
                         uint64_t birth)
{
	/* Frames are named by our own code only: pages of the file cannot. */
	assert(arena_is_taken(&store->arena, page_number(id)));
	if (birth != ledger->txn)
		return add_retired(store, ledger, id, count, birth);
	for (uint64_t i = 0; i < count; i++)
		arena_give(&store->arena, page_number(id) + i);
	return KV_OK;
}

/* A damaged or forged tree may name any pages, and state any birth for them. What a ledger took is
 * still free in tip until it is applied, but not usable. */
static bool may_retire(const struct space *space, uint64_t first, uint64_t count, bool own)
{
	uint64_t end = first + count;

	if (first < 2 || first >= space->pages || count > space->pages - first)
		return false;
	if (own && bitmap_next_clear(space->tip, first, end) < end)
		return false;
	return bitmap_next_set(space->usable, first, end) == end &&
	       bitmap_next_set(space->fixed, first, end) == end;
}

int store_retire(struct store *store, struct ledger *ledger, page_id id, uint64_t count,
                 uint64_t birth)
{
	uint64_t first = page_number(id);
	bool own = birth == ledger->txn;

	if (count == 0)
		return KV_OK;
	if (page_is_frame(id))
		return retire_frames(store, ledger, id, count, birth);
	if (!may_retire(&store->space, first, count, own))
		return status_fail(KV_CORRUPT,
		                   "pages %" PRIu64 " to %" PRIu64 " were to be given up, but "
		                   "are not in use",
		                   first, first + count - 1);
	if (!own)
		return add_retired(store, ledger, first, count, birth);
	store_give(store, first, count);
	return KV_OK;
}

void store_free(struct store *store, page_id id, uint64_t count)
{
	if (!page_is_frame(id)) {
		store_give(store, page_number(id), count);
		return;
	}
	for (uint64_t i = 0; i < count; i++)
		arena_give(&store->arena, page_number(id) + i);
}

/* ---- abort and commit ---------------------------------------------------------------------- */

/* Takes back what store_ledger_apply did with the first retired entries, and with all runs. */
static void unapply(struct store *store, struct ledger *ledger, size_t retired)
{
	for (size_t i = 0; i < retired; i++)
		if (!page_is_frame(ledger->retired[i].id))
			space_tip_take(&store->space, ledger->retired[i].id,
			               ledger->retired[i].count);
	for (size_t i = 0; i < ledger->run_count; i++)
		space_tip_give(&store->space, ledger->runs[i].first, ledger->runs[i].count);
	ledger->applied = false;
}

void store_ledger_undo(struct store *store, struct ledger *ledger)
{
	if (ledger->applied)
		unapply(store, ledger, ledger->retired_count);
	for (size_t i = 0; i < ledger->run_count; i++)
		store_give(store, ledger->runs[i].first, ledger->runs[i].count);
	for (size_t i = 0; i < ledger->frame_count; i++)
		arena_give(&store->arena, ledger->frames[i]);
	store_ledger_empty(store, ledger);
}

int store_ledger_apply(struct store *store, struct ledger *ledger)
{
	struct space *space = &store->space;

	assert(!ledger->applied);
	for (size_t i = 0; i < ledger->run_count; i++)
		space_tip_take(space, ledger->runs[i].first, ledger->runs[i].count);
	for (size_t i = 0; i < ledger->retired_count; i++) {
		const struct retired *retired = &ledger->retired[i];
		uint64_t end = retired->id + retired->count;

		if (page_is_frame(retired->id))
			continue;
		if (bitmap_next_set(space->tip, retired->id, end) < end) {
			unapply(store, ledger, i);
			return status_fail(KV_CORRUPT, "page %" PRIu64 " has two parents",
			                   retired->id);
		}
		space_tip_give(space, retired->id, retired->count);
	}
	ledger->applied = true;
	return KV_OK;
}

static void shrink_list(const struct mem *mem, void **list, size_t *room, size_t size)
{
	void *smaller;

	if (*room <= KEPT_ENTRIES)
		return;
	smaller = mem_resize(mem, *list, *room * size, KEPT_ENTRIES * size);
	if (!smaller)
		return;
	*list = smaller;
	*room = KEPT_ENTRIES;
}

void store_ledger_empty(struct store *store, struct ledger *ledger)
{
	void *frames = ledger->frames, *runs = ledger->runs, *retired = ledger->retired;

	shrink_list(&store->mem, &frames, &ledger->frame_room, sizeof *ledger->frames);
	shrink_list(&store->mem, &runs, &ledger->run_room, sizeof *ledger->runs);
	shrink_list(&store->mem, &retired, &ledger->retired_room, sizeof *ledger->retired);
	ledger->frames = frames;
	ledger->runs = runs;
	ledger->retired = retired;
	ledger->frame_count = ledger->run_count = ledger->retired_count = 0;
	ledger->applied = false;
}

void store_ledger_free(struct store *store, struct ledger *ledger)
{
	mem_free(&store->mem, ledger->frames, ledger->frame_room * sizeof *ledger->frames);
	mem_free(&store->mem, ledger->runs, ledger->run_room * sizeof *ledger->runs);
	mem_free(&store->mem, ledger->retired, ledger->retired_room * sizeof *ledger->retired);
	*ledger = (struct ledger){0};
}
