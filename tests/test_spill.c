/* Transactions that outgrow the arena or the file, and commits that are not yet durable. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fixture.h"

#define SMALL_ARENA (UINT64_C(1) << 20) /* bytes: 256 frames */
#define BIG (UINT64_C(1) << 20)         /* bytes of a large value */

static const char value[1000] = {1};

/* ---- shorthands ---------------------------------------------------------------------------- */

static kv_txn *begin_none(kv_db *db)
{
	kv_txn *txn = NULL;

	assert_status(kv_begin_write(db, UINT64_MAX, KV_NONE, &txn), KV_OK);
	return txn;
}

static void put_sized(kv_txn *txn, kv_table *table, unsigned from, unsigned to, size_t size)
{
	for (unsigned i = from; i < to; i++)
		assert_status(kv_put(txn, table, text(number_key(i)), kv_bytes(value, size)),
		              KV_OK);
}

static kv_info info_of(kv_db *db)
{
	kv_info info;

	assert_status(kv_info_get(db, &info), KV_OK);
	return info;
}

static void reopen_small(struct fixture *f)
{
	kv_options options = {.arena_size = SMALL_ARENA};

	fixture_reopen(f, &options);
}

/* ---- spilling ------------------------------------------------------------------------------ */

/* Its frames are of an earlier commit; the spill writes them, and the commit must know. */
static void a_table_that_was_only_read_survives_a_spill(void **state)
{
	struct fixture *f = *state;
	kv_table *other;
	kv_txn *txn;

	reopen_small(f);
	other = open_table(f->db, "other");
	txn = begin_none(f->db);
	put_sized(txn, f->table, 0, 1000, 100);
	assert_status(kv_commit(txn), KV_OK);
	txn = begin_none(f->db);
	assert_status(kv_get(txn, f->table, text(number_key(5)), NULL), KV_OK);
	for (unsigned i = 0; i < 20000; i++)
		assert_status(kv_append(txn, other, text(number_key(i)), kv_bytes(value, 100)),
		              KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_true(info_of(f->db).spills > 0);
	for (int round = 0; round < 3; round++) {
		txn = begin_none(f->db);
		put_sized(txn, other, 0, 100, 1);
		assert_status(kv_commit(txn), KV_OK);
	}
	assert_sound(f->db);
	reopen_small(f);
	assert_int_equal(count_of(f->db, f->table), 1000);
	assert_sound(f->db);
}

/* Applying what was deferred for one table spills the other: records are written after all that. */
static void a_commit_of_two_tables_that_spills_leaks_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;
	kv_table *other;
	kv_txn *txn;
	uint64_t before;

	reopen_small(f);
	other = open_table(f->db, "other");
	txn = begin_write(f->db);
	put_sized(txn, other, 0, 800, 1000); /* four to a page */
	assert_status(kv_commit(txn), KV_OK);
	txn = begin_write(f->db);
	while (info_of(f->db).arena_frames < 248)
		assert_status(kv_put_if_absent(txn, f->table, text(number_key(n++)),
		                               kv_bytes(value, 100), NULL),
		              KV_OK);
	before = info_of(f->db).spills;
	for (unsigned i = 10; i-- > 0;) /* too few for a spill while they are applied */
		assert_status(kv_delete(txn, other, text(number_key(i * 40))), KV_OK);
	assert_int_equal(info_of(f->db).spills, before);
	assert_status(kv_commit(txn), KV_OK);
	assert_true(info_of(f->db).spills > before);
	assert_sound(f->db);
	assert_int_equal(count_of(f->db, f->table), n);
	assert_int_equal(count_of(f->db, other), 790);
}

/* Sparse changes to one table, while the frames of another fill the arena. */
static void a_full_arena_does_not_mean_a_spill_per_change(void **state)
{
	struct fixture *f = *state;
	kv_table *other;
	kv_txn *txn;

	reopen_small(f);
	other = open_table(f->db, "other");
	txn = begin_write(f->db);
	put_sized(txn, other, 0, 40000, 100);
	assert_status(kv_commit(txn), KV_OK);
	for (unsigned fill = 200; fill <= 1100; fill += 100) {
		uint64_t before, count;

		txn = begin_write(f->db);
		for (unsigned i = 0; i < fill; i++)
			assert_status(kv_put_if_absent(txn, f->table, text(number_key(i)),
			                               kv_bytes(value, 900), NULL),
			              KV_OK);
		before = info_of(f->db).spills;
		for (unsigned i = 0; i < 1000; i++)
			assert_status(kv_put(txn, other, text(number_key(i * 37 % 40000)),
			                     kv_bytes(value, 100)),
			              KV_OK);
		assert_status(kv_count(txn, other, &count), KV_OK);
		assert_int_equal(count, 40000);
		assert_true(info_of(f->db).spills - before <= 100);
		kv_abort(txn);
	}
	assert_sound(f->db);
}

/* ---- a file without room ------------------------------------------------------------------- */

/* Commits until it is refused; transactions get smaller. Returns the status of the last. */
static int fill_up(struct fixture *f, int durability)
{
	unsigned key = 0;
	int rc = KV_OK;

	for (unsigned round = 0; !rc && round < 100000; round++) {
		unsigned n = round < 30 ? 300 : round < 300 ? 20 : 1;
		kv_txn *txn;

		rc = kv_begin_write(f->db, UINT64_MAX, durability, &txn);
		if (rc)
			return rc;
		for (unsigned i = 0; i < n; i++)
			kv_put(txn, f->table, text(number_key(key++)), kv_bytes(value, 200));
		rc = kv_commit(txn);
	}
	return rc;
}

/* The catalog takes what room the last pages have left. */
static void fill_with_tables(struct fixture *f)
{
	char name[201];
	int rc = KV_OK;

	for (int i = 0; !rc && i < 1000; i++) {
		kv_txn *txn = begin_write(f->db);
		kv_table *table;

		snprintf(name, sizeof name, "%0200d", i);
		rc = kv_table_open(txn, name, KV_CREATE, &table);
		if (!rc)
			kv_put(txn, table, text("k"), kv_bytes(value, 100));
		rc = kv_commit(txn);
	}
	assert_int_equal(rc, KV_FULL);
}

static void assert_can_be_emptied(struct fixture *f, int durability, uint64_t arena)
{
	kv_options options = {.arena_size = arena, .size_limit = UINT64_C(2) << 20};
	kv_txn *txn;

	fixture_reopen(f, &options);
	assert_status(fill_up(f, durability), KV_FULL);
	if (durability == KV_IMMEDIATE)
		fill_with_tables(f);
	assert_status(kv_sync(f->db), KV_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_status(kv_begin_write(f->db, UINT64_MAX, durability, &txn), KV_OK);
		assert_status(kv_remove(txn, f->table, text(number_key(i * 400))), KV_OK);
		assert_status(kv_commit(txn), KV_OK);
	}
	assert_status(kv_begin_write(f->db, UINT64_MAX, durability, &txn), KV_OK);
	assert_status(kv_clear(txn, f->table), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_sound(f->db);
	assert_status(kv_sync(f->db), KV_OK); /* what was cleared can be used from here on */
	assert_status(kv_begin_write(f->db, UINT64_MAX, durability, &txn), KV_OK);
	put_sized(txn, f->table, 0, 1000, 200);
	assert_status(kv_commit(txn), KV_OK);
	fixture_reopen(f, &options);
	assert_int_equal(count_of(f->db, f->table), 1000);
	assert_sound(f->db);
}

static void a_full_database_can_be_emptied(void **state)
{
	assert_can_be_emptied(*state, KV_IMMEDIATE, SMALL_ARENA);
}

/* What is accepted without being durable a checkpoint must be able to write. The arena holds more
 * than the file may: it is not what refuses. */
static void a_commit_that_would_not_fit_is_refused_before_it_is_durable(void **state)
{
	assert_can_be_emptied(*state, KV_NONE, 16 * SMALL_ARENA);
}

/* ---- what is replaced comes free ----------------------------------------------------------- */

static void assert_overwriting_is_bounded(kv_db *db, kv_table *table, uint64_t limit)
{
	char *big = calloc(1, BIG);

	assert_non_null(big);
	for (int i = 0; i < 300; i++) {
		kv_txn *txn = begin_none(db);

		assert_status(kv_put(txn, table, text("k"), kv_bytes(big, BIG)), KV_OK);
		assert_status(kv_commit(txn), KV_OK);
	}
	free(big);
	assert_true(info_of(db).file_size <= limit);
	assert_sound(db);
}

static void large_values_overwritten_without_durability_do_not_pile_up(void **state)
{
	struct fixture *f = *state;

	assert_overwriting_is_bounded(f->db, f->table, 64 * BIG);
}

static void large_values_overwritten_in_memory_do_not_pile_up(void **state)
{
	kv_options options = {.flags = KV_IN_MEMORY};
	kv_db *db;

	(void)state;
	assert_status(kv_open(NULL, &options, &db), KV_OK);
	assert_overwriting_is_bounded(db, open_table(db, "t"), 8 * BIG);
	assert_status(kv_close(db), KV_OK);
}

static void spilled_commits_without_durability_do_not_pile_up(void **state)
{
	struct fixture *f = *state;
	uint64_t size = 0;

	reopen_small(f);
	for (int round = 0; round < 40; round++) {
		kv_txn *txn = begin_none(f->db);

		put_sized(txn, f->table, 0, 20000, 200);
		assert_status(kv_commit(txn), KV_OK);
		if (round == 9)
			size = info_of(f->db).file_size;
	}
	assert_true(info_of(f->db).spills > 0);
	assert_true(info_of(f->db).file_size <= 2 * size);
	assert_true(size <= 64 << 20);
	assert_sound(f->db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(a_table_that_was_only_read_survives_a_spill),
	        fixture_test(a_commit_of_two_tables_that_spills_leaks_nothing),
	        fixture_test(a_full_arena_does_not_mean_a_spill_per_change),
	        fixture_test(a_full_database_can_be_emptied),
	        fixture_test(a_commit_that_would_not_fit_is_refused_before_it_is_durable),
	        fixture_test(large_values_overwritten_without_durability_do_not_pile_up),
	        fixture_test(large_values_overwritten_in_memory_do_not_pile_up),
	        fixture_test(spilled_commits_without_durability_do_not_pile_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
