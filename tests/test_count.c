/* Counts, ranks, and deleting by range. */
#include "tests/fixture.h"

#define ENTRIES 10000u

static kv_slice bound(const char *key)
{
	return text(key);
}

/* Every second number below 2 * ENTRIES. */
static kv_txn *begin_with_even_numbers(struct fixture *f)
{
	kv_txn *txn = begin_write(f->db);

	for (unsigned i = 0; i < ENTRIES; i++)
		assert_status(kv_put(txn, f->table, text(number_key(2 * i)), text("v")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	return begin_write(f->db);
}

static uint64_t count_in(kv_txn *txn, kv_table *table, const kv_slice *from, const kv_slice *to)
{
	uint64_t count = UINT64_MAX;

	assert_status(kv_count_range(txn, table, from, to, &count), KV_OK);
	return count;
}

static void an_empty_table_counts_nothing(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	kv_slice key = text("k");
	uint64_t n = 99;

	assert_status(kv_count(txn, f->table, &n), KV_OK);
	assert_int_equal(n, 0);
	assert_int_equal(count_in(txn, f->table, NULL, NULL), 0);
	assert_int_equal(count_in(txn, f->table, &key, NULL), 0);
	assert_status(kv_rank(txn, f->table, key, &n), KV_OK);
	assert_int_equal(n, 0);
	assert_status(kv_nth(txn, f->table, 0, NULL, NULL), KV_NOT_FOUND);
	assert_status(kv_delete_range(txn, f->table, &key, NULL, &n), KV_OK);
	assert_int_equal(n, 0);
	assert_status(kv_clear(txn, f->table), KV_OK);
	kv_abort(txn);
}

static void counts_include_what_is_deferred(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_even_numbers(f);
	uint64_t n;

	assert_status(kv_put(txn, f->table, text(number_key(1)), text("new")), KV_OK);
	assert_status(kv_put(txn, f->table, text(number_key(2)), text("old key")), KV_OK);
	assert_status(kv_delete(txn, f->table, text(number_key(4))), KV_OK);
	assert_status(kv_delete(txn, f->table, text(number_key(5))), KV_OK);
	assert_status(kv_delete(txn, f->table, text(number_key(6))), KV_OK);
	assert_status(kv_count(txn, f->table, &n), KV_OK);
	assert_int_equal(n, ENTRIES - 1);
	assert_status(kv_rank(txn, f->table, text(number_key(8)), &n), KV_OK);
	assert_int_equal(n, 3);
	kv_abort(txn);
}

static void ranges_are_half_open(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_even_numbers(f);
	kv_slice ten = bound("000010"), eleven = bound("000011"), twenty = bound("000020");

	assert_int_equal(count_in(txn, f->table, &ten, &twenty), 5);
	assert_int_equal(count_in(txn, f->table, &eleven, &twenty), 4);
	assert_int_equal(count_in(txn, f->table, &ten, &ten), 0);
	assert_int_equal(count_in(txn, f->table, &ten, &eleven), 1);
	assert_int_equal(count_in(txn, f->table, &twenty, &ten), 0);
	assert_int_equal(count_in(txn, f->table, NULL, &ten), 5);
	assert_int_equal(count_in(txn, f->table, &ten, NULL), ENTRIES - 5);
	assert_int_equal(count_in(txn, f->table, NULL, NULL), ENTRIES);
	kv_abort(txn);
}

static void rank_and_nth_are_each_others_inverse(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_even_numbers(f);
	kv_slice key, value;
	uint64_t n;

	for (unsigned i = 0; i < ENTRIES; i += 7) {
		assert_status(kv_nth(txn, f->table, i, &key, &value), KV_OK);
		assert_slice(key, number_key(2 * i));
		assert_slice(value, "v");
		assert_status(kv_rank(txn, f->table, key, &n), KV_OK);
		assert_int_equal(n, i);
		assert_status(kv_rank(txn, f->table, text(number_key(2 * i + 1)), &n), KV_OK);
		assert_int_equal(n, i + 1);
	}
	assert_status(kv_nth(txn, f->table, 3, NULL, &value), KV_OK);
	assert_status(kv_nth(txn, f->table, 3, &key, NULL), KV_OK);
	assert_status(kv_nth(txn, f->table, ENTRIES, &key, &value), KV_NOT_FOUND);
	assert_status(kv_nth(txn, f->table, UINT64_MAX, &key, &value), KV_NOT_FOUND);
	kv_abort(txn);
}

/* The first and the last of each kind of edge: nothing, one entry, in a page, across pages, all. */
static void deleting_a_range_takes_exactly_that(void **state)
{
	struct fixture *f = *state;
	const struct {
		unsigned from, to; /* UINT32_MAX: no bound */
	} cases[] = {
	        {0, 0},
	        {1, 1},
	        {1, 2},
	        {2, 3},
	        {0, 40},
	        {101, 5001},
	        {19000, UINT32_MAX},
	        {UINT32_MAX, 1000},
	        {9000, 3000},
	        {UINT32_MAX, UINT32_MAX},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kv_txn *txn = begin_with_even_numbers(f);
		kv_slice from = text(number_key(cases[i].from % 1000000));
		kv_slice to = text(number_key(cases[i].to % 1000000));
		const kv_slice *low = cases[i].from == UINT32_MAX ? NULL : &from;
		const kv_slice *high = cases[i].to == UINT32_MAX ? NULL : &to;
		uint64_t expected = count_in(txn, f->table, low, high), removed = 0, n = 0;

		assert_status(kv_delete_range(txn, f->table, low, high, &removed), KV_OK);
		assert_int_equal(removed, expected);
		assert_int_equal(count_in(txn, f->table, low, high), 0);
		assert_status(kv_count(txn, f->table, &n), KV_OK);
		assert_int_equal(n, ENTRIES - expected);
		assert_status(kv_commit(txn), KV_OK);
		assert_sound(f->db);
		assert_int_equal(count_of(f->db, f->table), ENTRIES - expected);
	}
}

static void deleting_a_range_includes_what_is_deferred(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_even_numbers(f);
	kv_slice from = bound("000010"), to = bound("000020");
	uint64_t removed;

	assert_status(kv_put(txn, f->table, text(number_key(11)), text("new")), KV_OK);
	assert_status(kv_delete(txn, f->table, text(number_key(12))), KV_OK);
	assert_status(kv_delete_range(txn, f->table, &from, &to, &removed), KV_OK);
	assert_int_equal(removed, 5);
	assert_status(kv_put(txn, f->table, text(number_key(13)), text("after")), KV_OK);
	assert_int_equal(count_in(txn, f->table, &from, &to), 1);
	assert_status(kv_delete_range(txn, f->table, &from, &to, NULL), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_int_equal(count_of(f->db, f->table), ENTRIES - 5);
}

static void clearing_empties_the_table_whole(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_even_numbers(f), *old = begin_read(f->db);
	uint64_t n;

	assert_status(kv_put(txn, f->table, text("deferred"), text("v")), KV_OK);
	assert_status(kv_clear(txn, f->table), KV_OK);
	assert_status(kv_count(txn, f->table, &n), KV_OK);
	assert_int_equal(n, 0);
	assert_status(kv_put(txn, f->table, text("k"), text("v")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_int_equal(count_of(f->db, f->table), 1);
	assert_status(kv_count(old, f->table, &n), KV_OK);
	assert_int_equal(n, ENTRIES);
	assert_value(old, f->table, number_key(2), "v");
	assert_status(kv_end(old), KV_OK);
	assert_sound(f->db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(an_empty_table_counts_nothing),
	        fixture_test(counts_include_what_is_deferred),
	        fixture_test(ranges_are_half_open),
	        fixture_test(rank_and_nth_are_each_others_inverse),
	        fixture_test(deleting_a_range_takes_exactly_that),
	        fixture_test(deleting_a_range_includes_what_is_deferred),
	        fixture_test(clearing_empties_the_table_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
