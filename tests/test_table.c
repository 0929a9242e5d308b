/* Named tables: creating, renaming, dropping, listing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixture.h"

static void a_missing_table_is_created_only_on_request(void **state)
{
	struct fixture *f = *state;
	kv_table *table = NULL, *again = NULL;
	kv_txn *txn = begin_read(f->db);

	assert_status(kv_table_open(txn, "new", 0, &table), KV_NO_TABLE);
	assert_status(kv_table_open(txn, "new", KV_CREATE, &table), KV_READ_ONLY);
	assert_status(kv_end(txn), KV_OK);
	txn = begin_write(f->db);
	assert_status(kv_table_open(txn, "new", KV_CREATE, &table), KV_OK);
	assert_status(kv_table_open(txn, "new", KV_CREATE, &again), KV_OK);
	assert_ptr_equal(table, again);
	assert_status(kv_put(txn, table, text("k"), text("v")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_committed(f->db, table, "k", "v");
	assert_committed(f->db, f->table, "k", NULL);
}

static void creating_is_undone_by_abort(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	kv_table *table, *again;
	kv_info info;

	assert_status(kv_table_open(txn, "new", KV_CREATE, &table), KV_OK);
	assert_status(kv_put(txn, table, text("k"), text("v")), KV_OK);
	kv_abort(txn);
	txn = begin_read(f->db);
	assert_status(kv_table_open(txn, "new", 0, &again), KV_NO_TABLE);
	assert_status(kv_get(txn, table, text("k"), NULL), KV_NO_TABLE);
	assert_status(kv_end(txn), KV_OK);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_int_equal(info.tables, 1);
	/* The handle of what never was is no door to what comes after. */
	again = open_table(f->db, "new");
	assert_ptr_not_equal(again, table);
	commit_pair(f->db, again, "k", "v");
	txn = begin_read(f->db);
	assert_true(kv_get(txn, table, text("k"), NULL) < 0);
	assert_value(txn, again, "k", "v");
	assert_status(kv_end(txn), KV_OK);
}

static void names_have_limits(void **state)
{
	struct fixture *f = *state;
	char name[KV_MAX_TABLE_NAME + 2];
	kv_table *table, *same;
	kv_txn *txn;

	memset(name, 'n', sizeof(name));
	name[KV_MAX_TABLE_NAME + 1] = 0;
	txn = begin_write(f->db);
	assert_status(kv_table_open(txn, name, KV_CREATE, &table), KV_TOO_BIG);
	kv_abort(txn);
	txn = begin_write(f->db);
	assert_status(kv_table_open(txn, "", KV_CREATE, &table), KV_INVALID);
	kv_abort(txn);
	name[KV_MAX_TABLE_NAME] = 0;
	table = open_table(f->db, name);
	txn = begin_read(f->db);
	assert_status(kv_table_open(txn, name, 0, &same), KV_OK);
	assert_ptr_equal(table, same);
	assert_status(kv_end(txn), KV_OK);
	txn = begin_write(f->db);
	name[KV_MAX_TABLE_NAME] = 'n';
	assert_status(kv_table_rename(txn, f->table, name), KV_TOO_BIG);
	kv_abort(txn);
}

/* ---- renaming ------------------------------------------------------------------------------ */

static void a_handle_follows_its_table(void **state)
{
	struct fixture *f = *state;
	kv_txn *old = begin_read(f->db), *txn;
	kv_table *table;

	commit_pair(f->db, f->table, "k", "v");
	txn = begin_write(f->db);
	assert_status(kv_table_rename(txn, f->table, "renamed"), KV_OK);
	assert_value(txn, f->table, "k", "v");
	assert_status(kv_table_open(txn, "renamed", 0, &table), KV_OK);
	assert_ptr_equal(table, f->table);
	assert_status(kv_commit(txn), KV_OK);
	assert_committed(f->db, f->table, "k", "v");
	/* An old snapshot has the old name. */
	assert_status(kv_table_open(old, "renamed", 0, &table), KV_NO_TABLE);
	assert_status(kv_table_open(old, "t", 0, &table), KV_OK);
	assert_status(kv_end(old), KV_OK);
}

static void a_name_can_be_taken_only_once(void **state)
{
	struct fixture *f = *state;
	kv_table *other = open_table(f->db, "other");
	kv_txn *txn = begin_write(f->db);

	assert_status(kv_table_rename(txn, f->table, "other"), KV_EXISTS);
	assert_status(kv_table_rename(txn, f->table, "t2"), KV_OK);
	assert_status(kv_table_rename(txn, other, "t"), KV_OK);
	assert_status(kv_table_rename(txn, f->table, "other"), KV_OK);
	assert_status(kv_put(txn, f->table, text("k"), text("was t")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	fixture_reopen(f, NULL);
	other = open_table(f->db, "other");
	assert_committed(f->db, other, "k", "was t");
	assert_int_equal(count_of(f->db, f->table), 0);
}

static void renaming_is_undone_by_abort(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	kv_table *table;

	assert_status(kv_table_rename(txn, f->table, "renamed"), KV_OK);
	kv_abort(txn);
	txn = begin_read(f->db);
	assert_status(kv_table_open(txn, "renamed", 0, &table), KV_NO_TABLE);
	assert_status(kv_table_open(txn, "t", 0, &table), KV_OK);
	assert_ptr_equal(table, f->table);
	assert_status(kv_end(txn), KV_OK);
}

/* ---- dropping ------------------------------------------------------------------------------ */

static void a_dropped_table_says_so(void **state)
{
	struct fixture *f = *state;
	kv_cursor cursor;
	kv_table *again;
	kv_txn *txn, *old;

	commit_pair(f->db, f->table, "k", "v");
	old = begin_read(f->db);
	txn = begin_write(f->db);
	assert_status(kv_cursor_open(txn, f->table, &cursor), KV_OK);
	assert_status(kv_cursor_first(&cursor), KV_OK);
	assert_status(kv_table_drop(txn, f->table), KV_OK);
	assert_status(kv_cursor_next(&cursor), KV_DROPPED);
	kv_abort(txn);
	txn = begin_write(f->db);
	assert_status(kv_table_drop(txn, f->table), KV_OK);
	assert_status(kv_table_open(txn, "t", KV_CREATE, &again), KV_OK);
	assert_ptr_not_equal(again, f->table);
	assert_status(kv_put(txn, again, text("l"), text("v")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	/* The old handle is no door to the new table of the same name. */
	txn = begin_read(f->db);
	assert_status(kv_get(txn, f->table, text("k"), NULL), KV_DROPPED);
	assert_value(txn, again, "k", NULL);
	assert_value(txn, again, "l", "v");
	assert_status(kv_end(txn), KV_OK);
	/* An old snapshot still has the old table, and has never heard of the new one. */
	assert_value(old, f->table, "k", "v");
	assert_status(kv_get(old, again, text("l"), NULL), KV_NO_TABLE);
	assert_status(kv_end(old), KV_OK);
	txn = begin_write(f->db);
	assert_status(kv_put(txn, f->table, text("k"), text("v")), KV_DROPPED);
	assert_status(kv_commit(txn), KV_DROPPED);
	assert_sound(f->db);
}

static void dropping_is_undone_by_abort(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn;

	commit_pair(f->db, f->table, "k", "v");
	txn = begin_write(f->db);
	assert_status(kv_put(txn, f->table, text("l"), text("deferred")), KV_OK);
	assert_status(kv_table_drop(txn, f->table), KV_OK);
	kv_abort(txn);
	assert_committed(f->db, f->table, "k", "v");
	assert_committed(f->db, f->table, "l", NULL);
	assert_sound(f->db);
}

static uint64_t pages_in_use(kv_db *db)
{
	kv_info info;

	assert_status(kv_checkpoint(db), KV_OK);
	assert_status(kv_checkpoint(db), KV_OK);
	assert_status(kv_info_get(db, &info), KV_OK);
	return info.file_size / info.page_size - info.free_pages - info.held_pages;
}

/* Large values included. */
static void dropping_gives_all_pages_back(void **state)
{
	struct fixture *f = *state;
	static const char large[50000];
	uint64_t before = pages_in_use(f->db);
	kv_table *table;
	kv_txn *txn;

	for (int round = 0; round < 3; round++) {
		table = open_table(f->db, "big");
		txn = begin_write(f->db);
		put_numbers(txn, table, 20000);
		for (unsigned i = 0; i < 20; i++)
			assert_status(kv_put(txn, table, text(number_key(i * 1000)),
			                     kv_bytes(large, sizeof(large))),
			              KV_OK);
		assert_status(kv_commit(txn), KV_OK);
		assert_true(pages_in_use(f->db) > before + 200);
		txn = begin_write(f->db);
		if (round == 0)
			assert_status(kv_clear(txn, table), KV_OK);
		if (round == 1)
			assert_status(kv_delete_range(txn, table, NULL, NULL, NULL), KV_OK);
		assert_status(kv_table_drop(txn, table), KV_OK);
		assert_status(kv_commit(txn), KV_OK);
		assert_in_range(pages_in_use(f->db), before - 2, before + 2);
		assert_sound(f->db);
	}
}

/* ---- listing ------------------------------------------------------------------------------- */

struct listing {
	char names[200];
	uint64_t entries;
	int stop_after;
};

static int list_name(void *arg, const char *name, uint64_t entries)
{
	struct listing *listing = arg;

	strcat(listing->names, name);
	strcat(listing->names, " ");
	listing->entries += entries;
	return --listing->stop_after == 0 ? 77 : 0;
}

static void tables_are_listed_in_order_with_their_counts(void **state)
{
	struct fixture *f = *state;
	struct listing all = {.names = ""}, some = {.stop_after = 2}, none = {.names = ""};
	kv_txn *old = begin_read(f->db), *txn;

	commit_pair(f->db, open_table(f->db, "zebra"), "k", "v");
	commit_pair(f->db, open_table(f->db, "ant"), "k", "v");
	commit_pair(f->db, open_table(f->db, "antler"), "k", "v");
	txn = begin_write(f->db);
	assert_status(kv_put(txn, f->table, text("a"), text("deferred")), KV_OK);
	assert_status(kv_table_list(txn, list_name, &all), KV_OK);
	assert_string_equal(all.names, "ant antler t zebra ");
	assert_int_equal(all.entries, 4);
	assert_status(kv_table_list(txn, list_name, &some), 77);
	assert_string_equal(some.names, "ant antler ");
	kv_abort(txn);
	assert_status(kv_table_list(old, list_name, &none), KV_OK);
	assert_string_equal(none.names, "t ");
	assert_status(kv_end(old), KV_OK);
}

#define THOUSANDS 5000

static int count_name(void *arg, const char *name, uint64_t entries)
{
	unsigned *count = arg;

	(void)name;
	*count += entries == 1;
	return 0;
}

static void thousands_of_tables(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	kv_table *table;
	unsigned count = 0;
	kv_info info;

	for (unsigned i = 0; i < THOUSANDS; i++) {
		assert_status(kv_table_open(txn, number_key(i), KV_CREATE, &table), KV_OK);
		assert_status(kv_put(txn, table, text("k"), text(number_key(i))), KV_OK);
	}
	assert_status(kv_commit(txn), KV_OK);
	fixture_reopen(f, NULL);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_int_equal(info.tables, THOUSANDS + 1);
	txn = begin_read(f->db);
	assert_status(kv_table_list(txn, count_name, &count), KV_OK);
	assert_int_equal(count, THOUSANDS);
	for (unsigned i = 0; i < THOUSANDS; i++) {
		assert_status(kv_table_open(txn, number_key(i), 0, &table), KV_OK);
		assert_value(txn, table, "k", number_key(i));
	}
	assert_status(kv_end(txn), KV_OK);
	txn = begin_write(f->db);
	for (unsigned i = 0; i < THOUSANDS; i++) {
		assert_status(kv_table_open(txn, number_key(i), 0, &table), KV_OK);
		assert_status(kv_table_drop(txn, table), KV_OK);
	}
	assert_status(kv_commit(txn), KV_OK);
	fixture_reopen(f, NULL);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_int_equal(info.tables, 1);
	assert_sound(f->db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(a_missing_table_is_created_only_on_request),
	        fixture_test(creating_is_undone_by_abort),
	        fixture_test(names_have_limits),
	        fixture_test(a_handle_follows_its_table),
	        fixture_test(a_name_can_be_taken_only_once),
	        fixture_test(renaming_is_undone_by_abort),
	        fixture_test(a_dropped_table_says_so),
	        fixture_test(dropping_is_undone_by_abort),
	        fixture_test(dropping_gives_all_pages_back),
	        fixture_test(tables_are_listed_in_order_with_their_counts),
	        fixture_test(thousands_of_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
