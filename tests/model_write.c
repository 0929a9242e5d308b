#include <string.h>

#include "tests/model_run.h"

/* Mostly small, sometimes around the limit of what a page takes, rarely several MB. */
static uint32_t value_size(struct run *run, const struct table_info *info)
{
	uint64_t page = run->options.page_size;
	uint64_t choice = random_below(&run->random, 100000);

	if (choice < 5)
		return (uint32_t)random_below(&run->random, 4u << 20);
	if (choice < 400)
		return (uint32_t)random_below(&run->random, 8 * page);
	if (choice < 2900)
		return (uint32_t)random_below(&run->random, 2 * page);
	if (choice < 12000)
		return (uint32_t)random_below(&run->random, 600);
	return (uint32_t)random_below(&run->random, info->usual_size + 1);
}

static struct model_value value_new(struct run *run, const struct model_table *table)
{
	return model_value_new(&run->random, value_size(run, &run->infos[table->id]));
}

static void put(struct run *run, struct model_table *table, kv_table *handle, kv_slice key)
{
	struct model_value value = value_new(run, table);

	run->done[OP_PUT]++;
	run_expect(run, kv_put(run->writer.txn, handle, key, model_value_bytes(value)), KV_OK,
	           "kv_put");
	rows_put(&table->rows, key, value);
}

static void delete_blind(struct run *run, struct model_table *table, kv_table *handle, kv_slice key)
{
	run->done[OP_DELETE]++;
	run_expect(run, kv_delete(run->writer.txn, handle, key), KV_OK, "kv_delete");
	rows_delete(&table->rows, key);
}

static void delete_now(struct run *run, struct model_table *table, kv_table *handle, kv_slice key)
{
	bool there = rows_delete(&table->rows, key);

	run->done[OP_REMOVE]++;
	run_expect(run, kv_remove(run->writer.txn, handle, key), there ? KV_OK : KV_NOT_FOUND,
	           "kv_remove");
}

static void put_if_absent(struct run *run, struct model_table *table, kv_table *handle,
                          kv_slice key)
{
	struct model_value value = value_new(run, table);
	const struct model_entry *entry = rows_get(table->rows, key);
	bool want_old = random_one_in(&run->random, 2);
	kv_slice old;

	run->done[OP_PUT_IF_ABSENT]++;
	run_expect(run,
	           kv_put_if_absent(run->writer.txn, handle, key, model_value_bytes(value),
	                            want_old ? &old : NULL),
	           entry ? KV_EXISTS : KV_OK, "kv_put_if_absent");
	if (!entry)
		rows_put(&table->rows, key, value);
	else if (want_old)
		run_check_value(run, entry->value, old, "kv_put_if_absent");
}

/* A key that sorts after all others of the table is hard to meet: made from the last one. */
static void append(struct run *run, struct model_table *table, kv_table *handle, kv_slice key)
{
	struct model_value value = value_new(run, table);
	const struct model_entry *last = rows_at(table->rows, rows_count(table->rows) - 1);

	if (last && model_compare(key, model_key(last)) <= 0) {
		if (last->key_size == run->max_key)
			return;
		memcpy(run->key, last->key, last->key_size);
		run->key[last->key_size] = (unsigned char)random_next(&run->random);
		key = kv_bytes(run->key, last->key_size + 1);
	}
	run->done[OP_APPEND]++;
	run_expect(run, kv_append(run->writer.txn, handle, key, model_value_bytes(value)), KV_OK,
	           "kv_append");
	rows_put(&table->rows, key, value);
}

static void reserve(struct run *run, struct model_table *table, kv_table *handle, kv_slice key)
{
	struct model_value value = value_new(run, table);
	void *data = NULL;

	run->done[OP_RESERVE]++;
	run_expect(run, kv_reserve(run->writer.txn, handle, key, value.size, &data), KV_OK,
	           "kv_reserve");
	if (value.size)
		memcpy(data, model_value_bytes(value).data, value.size);
	rows_put(&table->rows, key, value);
}

/* Bounds for a deletion: usually some entries in a row, sometimes two keys anywhere. */
static void choose_range(struct run *run, const struct model_table *table, struct place_key *keys)
{
	const struct model_entry *last;
	uint64_t first;

	run_key_copy(run, table, &keys[0]);
	run_key_copy(run, table, &keys[1]);
	first = rows_rank(table->rows, place_slice(&keys[0]), NULL);
	last = rows_at(table->rows, first + random_below(&run->random, 200));
	if (last && !random_one_in(&run->random, 500)) {
		keys[1].size = last->key_size;
		memcpy(keys[1].bytes, last->key, last->key_size);
	}
}

static void delete_range(struct run *run, struct model_table *table, kv_table *handle)
{
	static struct place_key keys[2];
	kv_slice bounds[2];
	const kv_slice *from = random_one_in(&run->random, 500) ? NULL : &bounds[0];
	const kv_slice *to = random_one_in(&run->random, 500) ? NULL : &bounds[1];
	uint64_t first, end, removed = UINT64_MAX;

	choose_range(run, table, keys);
	bounds[0] = place_slice(&keys[0]);
	bounds[1] = place_slice(&keys[1]);
	run->done[OP_DELETE_RANGE]++;
	rows_range(table->rows, from, to, &first, &end);
	run_expect(run, kv_delete_range(run->writer.txn, handle, from, to, &removed), KV_OK,
	           "kv_delete_range");
	run_expect_number(run, removed, end - first, "kv_delete_range");
	for (; end > first; end--)
		rows_delete_at(&table->rows, end - 1);
}

static void clear(struct run *run, struct model_table *table, kv_table *handle)
{
	run->done[OP_CLEAR]++;
	run_expect(run, kv_clear(run->writer.txn, handle), KV_OK, "kv_clear");
	rows_free(table->rows);
	table->rows = rows_new();
}

static void delete_some(struct run *run, struct model_table *table, kv_table *handle)
{
	uint64_t choice = random_below(&run->random, 10000);

	if (choice < 1 && random_one_in(&run->random, 3))
		clear(run, table, handle);
	else if (choice < 60)
		delete_range(run, table, handle);
	else if (choice < 4000)
		delete_now(run, table, handle, run_key(run, table));
	else
		delete_blind(run, table, handle, run_key(run, table));
}

static void put_some(struct run *run, struct model_table *table, kv_table *handle)
{
	uint64_t choice = random_below(&run->random, 100);

	if (choice < 70)
		put(run, table, handle, run_key(run, table));
	else if (choice < 80)
		put_if_absent(run, table, handle, run_key(run, table));
	else if (choice < 90)
		append(run, table, handle, run_key(run, table));
	else
		reserve(run, table, handle, run_key(run, table));
}

void run_write(struct run *run, struct model_table *table)
{
	kv_table *handle = run_handle(run, &run->writer, table);
	struct table_info *info = &run->infos[table->id];

	run->op++;
	if (random_one_in(&run->random, 20000))
		info->shrinking = !info->shrinking;
	run_cursors_written(&run->writer, table->id);
	if (random_below(&run->random, 100) < (info->shrinking ? 80u : 20u))
		delete_some(run, table, handle);
	else
		put_some(run, table, handle);
	if (rows_count(table->rows) > run->largest_table)
		run->largest_table = rows_count(table->rows);
}

void run_burst(struct run *run, struct model_table *table)
{
	kv_table *handle = run_handle(run, &run->writer, table);
	struct table_info *info = &run->infos[table->id];
	uint64_t count = random_below(&run->random, random_one_in(&run->random, 10) ? 30000 : 1000);
	uint64_t number = random_below(&run->random, info->domain);
	kv_slice key;

	run_cursors_written(&run->writer, table->id);
	for (; count; count--) {
		run->op++;
		key = kv_bytes(run->key, key_make(info->keys, number++, run->max_key, run->key));
		if (info->shrinking)
			delete_blind(run, table, handle, key);
		else
			put(run, table, handle, key);
	}
}

/* Makes one call that must be refused; returns what it should have returned. */
static int refused_call(struct run *run, const struct model_table *table, kv_table *handle)
{
	kv_txn *txn = run->writer.txn;
	const struct model_entry *entry = rows_at(table->rows, 0);
	kv_slice value = kv_bytes("v", 1);
	kv_cursor cursor;

	if (entry && random_one_in(&run->random, 3)) {
		run_expect(run, kv_append(txn, handle, model_key(entry), value), KV_ORDER,
		           "kv_append");
		return KV_ORDER;
	}
	if (random_one_in(&run->random, 2)) {
		run_expect(run, kv_cursor_open(txn, handle, &cursor), KV_OK, "kv_cursor_open");
		run_expect(run, kv_cursor_delete(&cursor), KV_INVALID, "kv_cursor_delete");
		return KV_INVALID;
	}
	memset(run->key, 'x', run->max_key + 1);
	run_expect(run, kv_put(txn, handle, kv_bytes(run->key, run->max_key + 1), value),
	           KV_TOO_BIG, "kv_put");
	return KV_TOO_BIG;
}

/* After an error every call and the commit return it, and nothing remains. */
void run_refused(struct run *run, struct model_table *table)
{
	kv_txn *txn = run->writer.txn;
	kv_table *handle = run_handle(run, &run->writer, table);
	kv_slice key = kv_bytes("k", 1);
	int rc = refused_call(run, table, handle);

	run->op++;
	run->done[OP_REFUSED]++;
	run_expect(run, kv_put(txn, handle, key, key), rc, "kv_put after an error");
	run_expect(run, kv_get(txn, handle, key, NULL), rc, "kv_get after an error");
	run_end_refused(run, rc);
}
