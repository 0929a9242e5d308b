#include <string.h>

#include "tests/model_run.h"

static void place_key_set(struct place_key *to, kv_slice key)
{
	to->size = key.size;
	if (key.size)
		memcpy(to->bytes, key.data, key.size);
}

/* ---- what the model says ------------------------------------------------------------------- */

/* The end of the range of keys that begin with the prefix. */
static uint64_t prefix_end(const struct model_rows *rows, const struct place_key *prefix)
{
	struct place_key after = *prefix;

	while (after.size && after.bytes[after.size - 1] == 0xff)
		after.size--;
	if (!after.size)
		return rows_count(rows);
	after.bytes[after.size - 1]++;
	return rows_rank(rows, place_slice(&after), NULL);
}

/* The index range that the cursor is confined to. */
static void place_bounds(const struct place *place, const struct model_rows *rows, uint64_t *first,
                         uint64_t *end)
{
	kv_slice from = place_slice(&place->from), to = place_slice(&place->to);

	rows_range(rows, place->has_from || place->has_prefix ? &from : NULL,
	           place->has_to ? &to : NULL, first, end);
	if (place->has_prefix)
		*end = prefix_end(rows, &place->from);
}

/* The index where next leads; may be outside of the bounds. */
static uint64_t place_next(const struct place *place, const struct model_rows *rows, uint64_t first,
                           uint64_t end)
{
	bool found;
	uint64_t rank;

	if (place->state == PLACE_NOWHERE || place->state == PLACE_BEFORE)
		return first;
	if (place->state == PLACE_AFTER)
		return end;
	rank = rows_rank(rows, place_slice(&place->at), &found);
	return rank + found;
}

/* One more than the index where prev leads. */
static uint64_t place_prev(const struct place *place, const struct model_rows *rows, uint64_t first,
                           uint64_t end)
{
	if (place->state == PLACE_NOWHERE || place->state == PLACE_AFTER)
		return end;
	if (place->state == PLACE_BEFORE)
		return first;
	return rows_rank(rows, place_slice(&place->at), NULL);
}

/* ---- comparing ----------------------------------------------------------------------------- */

/* The levels of the tree that the cursor has gone down, 1 for a single leaf. */
static uint32_t levels(const kv_cursor *cursor)
{
	uint32_t count = 0;

	while (count < KV_MAX_LEVELS && cursor->path[count].page)
		count++;
	return count;
}

/* The cursor has moved and should now stand on the entry, or past the end if that is NULL. */
static void place_arrive(struct run *run, struct place *place, const struct model_entry *entry,
                         bool forward, int rc, const char *call)
{
	run_expect(run, rc, entry ? KV_OK : KV_NOT_FOUND, call);
	run_expect(run, place->cursor.status, rc, "a cursor's status");
	place->moved_since_write = true;
	if (!entry) {
		place->state = forward ? PLACE_AFTER : PLACE_BEFORE;
		return;
	}
	if (model_compare(place->cursor.key, model_key(entry)))
		run_fail(run, "%s: stands on another key", call);
	run_check_value(run, entry->value, place->cursor.value, call);
	place->state = PLACE_ON;
	place_key_set(&place->at, model_key(entry));
	if (levels(&place->cursor) > run->highest)
		run->highest = levels(&place->cursor);
}

/* For moves forward, index is where it leads; for those back, one more. */
static void place_compare(struct run *run, struct place *place, const struct model_rows *rows,
                          uint64_t index, bool forward, int rc, const char *call)
{
	const struct model_entry *entry = NULL;
	uint64_t first, end;

	place_bounds(place, rows, &first, &end);
	if (forward) {
		if (index < first)
			index = first;
		if (index < end)
			entry = rows_at(rows, index);
	} else {
		if (index > end)
			index = end;
		if (index > first)
			entry = rows_at(rows, index - 1);
	}
	place_arrive(run, place, entry, forward, rc, call);
}

/* ---- moves --------------------------------------------------------------------------------- */

static void confine_to_prefix(struct run *run, struct place *place)
{
	place->from.size = random_below(&run->random, place->from.size + 1);
	place->has_prefix = true;
	run_expect(run, kv_cursor_prefix(&place->cursor, place_slice(&place->from)), KV_OK,
	           "kv_cursor_prefix");
}

static void confine_to_range(struct run *run, struct place *place)
{
	kv_slice from = place_slice(&place->from), to = place_slice(&place->to);

	place->has_from = !random_one_in(&run->random, 4);
	place->has_to = !random_one_in(&run->random, 4);
	run_expect(run,
	           kv_cursor_range(&place->cursor, place->has_from ? &from : NULL,
	                           place->has_to ? &to : NULL),
	           KV_OK, "kv_cursor_range");
}

static void cursor_open(struct run *run, struct view *view, struct place *place)
{
	struct model_table *table = run_table(run, view);

	if (!table)
		return;
	run->done[OP_CURSOR_OPEN]++;
	run_expect(run, kv_cursor_open(view->txn, run_handle(run, view, table), &place->cursor),
	           KV_OK, "kv_cursor_open");
	place->open = true;
	place->state = PLACE_NOWHERE;
	place->table = table->id;
	place->has_from = place->has_to = place->has_prefix = false;
	run_key_copy(run, table, &place->from);
	run_key_copy(run, table, &place->to);
	if (random_one_in(&run->random, 4))
		confine_to_prefix(run, place);
	else if (random_one_in(&run->random, 3))
		confine_to_range(run, place);
}

static void cursor_end(struct run *run, struct place *place, const struct model_rows *rows)
{
	run->done[OP_CURSOR_END]++;
	if (random_one_in(&run->random, 2))
		place_compare(run, place, rows, 0, true, kv_cursor_first(&place->cursor),
		              "kv_cursor_first");
	else
		place_compare(run, place, rows, UINT64_MAX, false, kv_cursor_last(&place->cursor),
		              "kv_cursor_last");
}

static void cursor_seek(struct run *run, struct place *place, const struct model_table *table)
{
	kv_slice key = run_key(run, table);
	bool found;
	uint64_t rank = rows_rank(table->rows, key, &found);

	run->done[OP_CURSOR_SEEK]++;
	if (random_one_in(&run->random, 2))
		place_compare(run, place, table->rows, rank, true,
		              kv_cursor_seek(&place->cursor, key), "kv_cursor_seek");
	else
		place_compare(run, place, table->rows, rank + found, false,
		              kv_cursor_seek_back(&place->cursor, key), "kv_cursor_seek_back");
}

/* At an edge, only the way back in is promised once the table has changed. */
static bool step_allowed(const struct place *place, bool forward)
{
	return place->moved_since_write || place->state != (forward ? PLACE_AFTER : PLACE_BEFORE);
}

static void cursor_step(struct run *run, struct place *place, const struct model_rows *rows,
                        bool forward)
{
	uint64_t first, end;

	if (!step_allowed(place, forward))
		return;
	run->op++;
	run->done[OP_CURSOR_STEP]++;
	place_bounds(place, rows, &first, &end);
	if (forward)
		place_compare(run, place, rows, place_next(place, rows, first, end), true,
		              kv_cursor_next(&place->cursor), "kv_cursor_next");
	else
		place_compare(run, place, rows, place_prev(place, rows, first, end), false,
		              kv_cursor_prev(&place->cursor), "kv_cursor_prev");
}

static void cursor_steps(struct run *run, struct place *place, const struct model_rows *rows)
{
	uint64_t steps = 1 + random_below(&run->random, random_one_in(&run->random, 20) ? 60 : 4);
	bool forward = random_one_in(&run->random, 2);

	while (steps--) {
		if (random_one_in(&run->random, 8))
			forward = !forward;
		cursor_step(run, place, rows, forward);
	}
}

/* ---- writes through a cursor --------------------------------------------------------------- */

static void cursor_write(struct run *run, struct view *view, struct place *place,
                         struct model_table *table)
{
	kv_slice key = place_slice(&place->at);
	struct model_value value;

	if (place->state != PLACE_ON || !rows_get(table->rows, key))
		return;
	run_cursors_written(view, table->id);
	if (random_one_in(&run->random, 2)) {
		run->done[OP_CURSOR_DELETE]++;
		run_expect(run, kv_cursor_delete(&place->cursor), KV_OK, "kv_cursor_delete");
		rows_delete(&table->rows, key);
		place->state = PLACE_GONE;
	} else {
		run->done[OP_CURSOR_REPLACE]++;
		value = model_value_new(&run->random, (uint32_t)random_below(&run->random, 300));
		run_expect(run, kv_cursor_replace(&place->cursor, model_value_bytes(value)), KV_OK,
		           "kv_cursor_replace");
		rows_put(&table->rows, key, value);
	}
}

void run_cursors_written(struct view *view, uint32_t table)
{
	for (unsigned i = 0; i < RUN_PLACES; i++)
		if (view->places[i].table == table)
			view->places[i].moved_since_write = false;
}

void run_cursors_drop(struct view *view, uint32_t table)
{
	for (unsigned i = 0; i < RUN_PLACES; i++)
		if (view->places[i].table == table)
			view->places[i].open = false;
}

void run_cursor(struct run *run, struct view *view)
{
	struct place *place = &view->places[random_below(&run->random, RUN_PLACES)];
	struct model_table *table;
	uint64_t choice = random_below(&run->random, 100);

	run->op++;
	if (!place->open || choice < 3) {
		cursor_open(run, view, place);
		return;
	}
	table = model_find(&view->model, place->table);
	if (choice < 8)
		cursor_end(run, place, table->rows);
	else if (choice < 30)
		cursor_seek(run, place, table);
	else if (choice < 45 && view->writer)
		cursor_write(run, view, place, table);
	else
		cursor_steps(run, place, table->rows);
}
