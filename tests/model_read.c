#include "tests/model_run.h"

static void read_get(struct run *run, struct view *view, const struct model_table *table,
                     kv_table *handle)
{
	kv_slice key = run_key(run, table), value;
	const struct model_entry *entry = rows_get(table->rows, key);

	run->done[OP_GET]++;
	run_expect(run, kv_get(view->txn, handle, key, &value), entry ? KV_OK : KV_NOT_FOUND,
	           "kv_get");
	if (!entry)
		return;
	run_check_value(run, entry->value, value, "kv_get");
	if (!view->writer && view->held_count < RUN_HELD)
		view->held[view->held_count++] = (struct held){value, entry->value};
}

#define MANY 40

static void read_get_many(struct run *run, struct view *view, const struct model_table *table,
                          kv_table *handle)
{
	static struct place_key keys[MANY];
	kv_slice slices[MANY] = {0}, values[MANY];
	size_t count = random_below(&run->random, MANY + 1), found = 99, expected = 0;

	run->done[OP_GET_MANY]++;
	for (size_t i = 0; i < count; i++) {
		run_key_copy(run, table, &keys[i]);
		slices[i] = place_slice(&keys[i]);
	}
	if (count > 2 && random_one_in(&run->random, 2))
		slices[count - 1] = slices[0];
	run_expect(run, kv_get_many(view->txn, handle, count, slices, values, &found), KV_OK,
	           "kv_get_many");
	for (size_t i = 0; i < count; i++) {
		const struct model_entry *entry = rows_get(table->rows, slices[i]);

		if (!entry != !values[i].data)
			run_fail(run, "kv_get_many: key %zu of %zu is %s", i, count,
			         entry ? "missing" : "there");
		if (entry)
			run_check_value(run, entry->value, values[i], "kv_get_many");
		expected += entry != NULL;
	}
	if (found != expected)
		run_fail(run, "kv_get_many: found %zu instead of %zu", found, expected);
}

static void read_count(struct run *run, struct view *view, const struct model_table *table,
                       kv_table *handle)
{
	uint64_t count = UINT64_MAX;

	run->done[OP_COUNT]++;
	run_expect(run, kv_count(view->txn, handle, &count), KV_OK, "kv_count");
	run_expect_number(run, count, rows_count(table->rows), "kv_count");
}

static void read_count_range(struct run *run, struct view *view, const struct model_table *table,
                             kv_table *handle)
{
	static struct place_key keys[2];
	kv_slice bounds[2];
	const kv_slice *from = random_one_in(&run->random, 5) ? NULL : &bounds[0];
	const kv_slice *to = random_one_in(&run->random, 5) ? NULL : &bounds[1];
	uint64_t count = UINT64_MAX, first, end;

	run->done[OP_COUNT_RANGE]++;
	for (int i = 0; i < 2; i++) {
		run_key_copy(run, table, &keys[i]);
		bounds[i] = place_slice(&keys[i]);
	}
	rows_range(table->rows, from, to, &first, &end);
	run_expect(run, kv_count_range(view->txn, handle, from, to, &count), KV_OK,
	           "kv_count_range");
	run_expect_number(run, count, end - first, "kv_count_range");
}

static void read_rank(struct run *run, struct view *view, const struct model_table *table,
                      kv_table *handle)
{
	kv_slice key = run_key(run, table);
	uint64_t rank = UINT64_MAX;

	run->done[OP_RANK]++;
	run_expect(run, kv_rank(view->txn, handle, key, &rank), KV_OK, "kv_rank");
	run_expect_number(run, rank, rows_rank(table->rows, key, NULL), "kv_rank");
}

static void read_nth(struct run *run, struct view *view, const struct model_table *table,
                     kv_table *handle)
{
	uint64_t n = random_below(&run->random, rows_count(table->rows) + 2);
	const struct model_entry *entry = rows_at(table->rows, n);
	kv_slice key, value;
	bool want_key = !random_one_in(&run->random, 4),
	     want_value = !random_one_in(&run->random, 4);

	run->done[OP_NTH]++;
	run_expect(run,
	           kv_nth(view->txn, handle, n, want_key ? &key : NULL, want_value ? &value : NULL),
	           entry ? KV_OK : KV_NOT_FOUND, "kv_nth");
	if (entry && want_key && model_compare(key, model_key(entry)))
		run_fail(run, "kv_nth: wrong key at %llu", (unsigned long long)n);
	if (entry && want_value)
		run_check_value(run, entry->value, value, "kv_nth");
}

void run_read(struct run *run, struct view *view, struct model_table *table)
{
	kv_table *handle = run_handle(run, view, table);
	uint64_t choice = random_below(&run->random, 100);

	run->op++;
	if (choice < 70)
		read_get(run, view, table, handle);
	else if (choice < 75)
		read_get_many(run, view, table, handle);
	else if (choice < 79)
		read_count(run, view, table, handle);
	else if (choice < 86)
		read_count_range(run, view, table, handle);
	else if (choice < 93)
		read_rank(run, view, table, handle);
	else
		read_nth(run, view, table, handle);
}
