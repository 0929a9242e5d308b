#include "engine/reclaim.h"

#include <string.h>

#include "mmap/status.h"

void reclaim_open(struct reclaim *r, const struct mem *mem, struct store *store,
                  struct snapshots *snapshots)
{
	memset(r, 0, sizeof *r);
	r->mem = *mem;
	r->store = store;
	r->snapshots = snapshots;
}

static void list_free(struct reclaim *r, struct reclaim_list *list)
{
	mem_free(&r->mem, list->entries, list->room * sizeof *list->entries);
	memset(list, 0, sizeof *list);
}

void reclaim_close(struct reclaim *r)
{
	list_free(r, &r->fresh);
	list_free(r, &r->undurable);
	for (size_t i = 0; i < r->bucket_count; i++)
		list_free(r, &r->buckets[i].list);
	mem_free(&r->mem, r->buckets, r->bucket_room * sizeof *r->buckets);
	mem_free(&r->mem, r->pins, r->pin_room * sizeof *r->pins);
}

static int list_reserve(struct reclaim *r, struct reclaim_list *list, size_t more)
{
	struct reclaim_entry *grown;
	size_t room = list->room ? list->room : 64;

	if (list->room - list->count >= more)
		return KV_OK;
	while (room - list->count < more)
		room *= 2;
	grown = mem_resize(&r->mem, list->entries, list->room * sizeof *grown,
	                   room * sizeof *grown);
	if (!grown)
		return status_fail(KV_NOMEM, "no memory to remember %zu replaced pages", room);
	list->entries = grown;
	list->room = room;
	return KV_OK;
}

int reclaim_reserve(struct reclaim *r, size_t count)
{
	return list_reserve(r, &r->fresh, count);
}

void reclaim_add(struct reclaim *r, const struct retired *retired, size_t count, uint64_t replaced)
{
	for (size_t i = 0; i < count; i++) {
		struct reclaim_entry *e = &r->fresh.entries[r->fresh.count++];

		e->id = retired[i].id;
		e->count = retired[i].count;
		e->birth = retired[i].birth;
		e->replaced = replaced;
		r->pages += e->count;
		r->frames += page_is_frame(e->id) ? e->count : 0;
	}
}

/* The newest pin in [birth, replaced), or READER_IDLE. The newest: of the readers that need the
 * entry it is likely to end last, so that the entry is filed once. */
static uint64_t needed_by(const struct reclaim *r, const struct reclaim_entry *e)
{
	size_t low = 0, high = r->pin_count; /* pins before low are < replaced */

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->pins[middle] < e->replaced)
			low = middle + 1;
		else
			high = middle;
	}
	return low && r->pins[low - 1] >= e->birth ? r->pins[low - 1] : READER_IDLE;
}

/* The bucket of a pin, made if there is none; NULL without memory. */
static struct reclaim_bucket *bucket_of(struct reclaim *r, uint64_t pin)
{
	size_t low = 0, high = r->bucket_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->buckets[middle].pin < pin)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < r->bucket_count && r->buckets[low].pin == pin)
		return &r->buckets[low];
	if (r->bucket_count == r->bucket_room) {
		size_t room = r->bucket_room ? 2 * r->bucket_room : 8;
		struct reclaim_bucket *grown = mem_resize(
		        &r->mem, r->buckets, r->bucket_room * sizeof *grown, room * sizeof *grown);

		if (!grown)
			return NULL;
		r->buckets = grown;
		r->bucket_room = room;
	}
	memmove(&r->buckets[low + 1], &r->buckets[low],
	        (r->bucket_count - low) * sizeof *r->buckets);
	memset(&r->buckets[low], 0, sizeof *r->buckets);
	r->buckets[low].pin = pin;
	r->bucket_count++;
	return &r->buckets[low];
}

/* Frees or files one entry; false when there was no memory to file it. */
static bool settle(struct reclaim *r, const struct reclaim_entry *e)
{
	uint64_t pin = needed_by(r, e);
	struct reclaim_bucket *bucket;

	if (pin == READER_IDLE) {
		store_free(r->store, e->id, e->count);
		r->pages -= e->count;
		r->frames -= page_is_frame(e->id) ? e->count : 0;
		return true;
	}
	bucket = bucket_of(r, pin);
	if (!bucket || list_reserve(r, &bucket->list, 1))
		return false;
	bucket->list.entries[bucket->list.count++] = *e;
	r->pinned += page_is_frame(e->id) ? 0 : e->count;
	return true;
}

static void settle_fresh(struct reclaim *r, uint64_t durable)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->fresh.count; i++) {
		struct reclaim_entry e = r->fresh.entries[i];
		bool wait = !page_is_frame(e.id) && e.replaced > durable;

		if (wait && !list_reserve(r, &r->undurable, 1)) {
			r->undurable.entries[r->undurable.count++] = e;
			r->undurable_pages += e.count;
		} else if (wait || !settle(r, &e)) {
			r->fresh.entries[kept++] = e;
		}
	}
	r->fresh.count = kept;
}

static void settle_undurable(struct reclaim *r, uint64_t durable)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->undurable.count; i++) {
		struct reclaim_entry e = r->undurable.entries[i];

		if (e.replaced > durable || !settle(r, &e))
			r->undurable.entries[kept++] = e;
		else
			r->undurable_pages -= e.count;
	}
	r->undurable.count = kept;
}

static bool is_pinned(const struct reclaim *r, uint64_t pin)
{
	for (size_t i = 0; i < r->pin_count && r->pins[i] <= pin; i++)
		if (r->pins[i] == pin)
			return true;
	return false;
}

/* Looks again at what a reader held that has ended. Settling may move the buckets, so the list is
 * taken out meanwhile; nothing new can be filed under a pin that is gone. */
static void settle_bucket(struct reclaim *r, uint64_t pin)
{
	struct reclaim_list list = bucket_of(r, pin)->list;
	struct reclaim_bucket *bucket;
	size_t kept = 0;

	memset(&bucket_of(r, pin)->list, 0, sizeof list);
	for (size_t i = 0; i < list.count; i++) {
		struct reclaim_entry e = list.entries[i];
		uint64_t pages = page_is_frame(e.id) ? 0 : e.count;

		r->pinned -= pages;
		if (settle(r, &e))
			continue;
		list.entries[kept++] = e;
		r->pinned += pages;
	}
	list.count = kept;
	bucket = bucket_of(r, pin);
	if (kept) {
		bucket->list = list;
		return;
	}
	list_free(r, &list);
	memmove(bucket, bucket + 1,
	        (size_t)(r->buckets + r->bucket_count - bucket - 1) * sizeof *bucket);
	r->bucket_count--;
}

void reclaim_run(struct reclaim *r, uint64_t durable)
{
	if (snapshot_pins(r->snapshots, &r->pins, &r->pin_count, &r->pin_room))
		return;
	for (size_t i = r->bucket_count; i-- > 0;)
		if (i < r->bucket_count && !is_pinned(r, r->buckets[i].pin))
			settle_bucket(r, r->buckets[i].pin);
	if (durable > r->settled_durable)
		settle_undurable(r, durable);
	r->settled_durable = durable;
	settle_fresh(r, durable);
}
