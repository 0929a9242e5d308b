#include "tests/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fixture_assert_status(int got, int want, const char *call, const char *file, int line)
{
	if (got == want)
		return;
	print_error("%s: %s (%d) instead of %s (%d); detail: %s\n", call, kv_strerror(got), got,
	            kv_strerror(want), want, kv_detail());
	_fail(file, line);
}

int fixture_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	*state = fixture;
	temp_dir_make(&fixture->dir, NULL);
	if (kv_open(fixture->dir.file, NULL, &fixture->db))
		return -1;
	fixture->table = open_table(fixture->db, "t");
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;
	int rc = kv_close(fixture->db);

	temp_dir_remove(&fixture->dir);
	free(fixture);
	return rc;
}

void fixture_reopen(struct fixture *fixture, const kv_options *options)
{
	assert_status(kv_close(fixture->db), KV_OK);
	fixture->db = NULL;
	assert_status(kv_open(fixture->dir.file, options, &fixture->db), KV_OK);
	if (!options || !(options->flags & KV_READ_ONLY_DB))
		fixture->table = open_table(fixture->db, "t");
}

kv_txn *begin_write(kv_db *db)
{
	kv_txn *txn = NULL;

	assert_status(kv_begin(db, KV_WRITE, &txn), KV_OK);
	return txn;
}

kv_txn *begin_read(kv_db *db)
{
	kv_txn *txn = NULL;

	assert_status(kv_begin(db, KV_READ, &txn), KV_OK);
	return txn;
}

kv_table *open_table(kv_db *db, const char *name)
{
	kv_txn *txn = begin_write(db);
	kv_table *table = NULL;

	assert_status(kv_table_open(txn, name, KV_CREATE, &table), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	return table;
}

void commit_pair(kv_db *db, kv_table *table, const char *key, const char *value)
{
	kv_txn *txn = begin_write(db);

	assert_status(kv_put(txn, table, text(key), text(value)), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
}

void assert_slice(kv_slice slice, const char *string)
{
	assert_int_equal(slice.size, strlen(string));
	assert_non_null(slice.data);
	assert_memory_equal(slice.data, string, slice.size);
}

void assert_value(kv_txn *txn, kv_table *table, const char *key, const char *value)
{
	kv_slice got;

	assert_status(kv_get(txn, table, text(key), &got), value ? KV_OK : KV_NOT_FOUND);
	if (value)
		assert_slice(got, value);
}

void assert_committed(kv_db *db, kv_table *table, const char *key, const char *value)
{
	kv_txn *txn = begin_read(db);

	assert_value(txn, table, key, value);
	assert_status(kv_end(txn), KV_OK);
}

uint64_t count_of(kv_db *db, kv_table *table)
{
	kv_txn *txn = begin_read(db);
	uint64_t count = UINT64_MAX;

	assert_status(kv_count(txn, table, &count), KV_OK);
	assert_status(kv_end(txn), KV_OK);
	return count;
}

void assert_sound(kv_db *db)
{
	unsigned faults = 0;

	assert_status(kv_check(db, fault_print, NULL, &faults), KV_OK);
	assert_int_equal(faults, 0);
}

const char *number_key(unsigned n)
{
	static _Thread_local char keys[4][16];
	static _Thread_local unsigned turn;
	char *key = keys[turn++ % 4];

	snprintf(key, sizeof(keys[0]), "%06u", n);
	return key;
}

void put_numbers(kv_txn *txn, kv_table *table, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_status(kv_put(txn, table, text(number_key(i)), text(number_key(i))), KV_OK);
}
