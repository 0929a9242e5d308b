/* Cursors: where they stand, where they go, and what writes do to them. */
#include <string.h>

#include "tests/fixture.h"

static void assert_on(const kv_cursor *cursor, const char *key)
{
	assert_int_equal(cursor->status, KV_OK);
	assert_slice(cursor->key, key);
	assert_non_null(cursor->value.data);
}

/* Five entries: b d f h j, each with itself as value. */
static kv_txn *begin_with_letters(struct fixture *f)
{
	static const char letters[] = "bdfhj";
	kv_txn *txn = begin_write(f->db);

	for (int i = 0; i < 5; i++)
		assert_status(
		        kv_put(txn, f->table, kv_bytes(&letters[i], 1), kv_bytes(&letters[i], 1)),
		        KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	return begin_write(f->db);
}

static kv_cursor cursor_on(kv_txn *txn, kv_table *table)
{
	kv_cursor cursor;

	assert_status(kv_cursor_open(txn, table, &cursor), KV_OK);
	return cursor;
}

static void an_empty_table_has_nothing_to_stand_on(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_read(f->db);
	kv_cursor c = cursor_on(txn, f->table);

	assert_status(kv_cursor_next(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_prev(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_first(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_last(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_seek(&c, text("")), KV_NOT_FOUND);
	assert_status(kv_cursor_seek_back(&c, text("x")), KV_NOT_FOUND);
	assert_int_equal(c.status, KV_NOT_FOUND);
	assert_status(kv_end(txn), KV_OK);
}

static void from_nowhere_next_is_first_and_prev_is_last(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_letters(f);
	kv_cursor c = cursor_on(txn, f->table);

	assert_status(kv_cursor_next(&c), KV_OK);
	assert_on(&c, "b");
	c = cursor_on(txn, f->table);
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_on(&c, "j");
	kv_abort(txn);
}

static void seeks_land_at_or_beside_the_key(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_letters(f);
	kv_cursor c = cursor_on(txn, f->table);
	const struct {
		const char *key, *at_or_after, *at_or_before;
	} cases[] = {
	        {"", "b", NULL}, {"a", "b", NULL}, {"b", "b", "b"}, {"bb", "d", "b"},
	        {"e", "f", "d"}, {"i", "j", "h"},  {"j", "j", "j"}, {"k", NULL, "j"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_status(kv_cursor_seek(&c, text(cases[i].key)),
		              cases[i].at_or_after ? KV_OK : KV_NOT_FOUND);
		if (cases[i].at_or_after)
			assert_on(&c, cases[i].at_or_after);
		assert_status(kv_cursor_seek_back(&c, text(cases[i].key)),
		              cases[i].at_or_before ? KV_OK : KV_NOT_FOUND);
		if (cases[i].at_or_before)
			assert_on(&c, cases[i].at_or_before);
	}
	kv_abort(txn);
}

static void past_an_end_one_can_turn_back(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_letters(f);
	kv_cursor c = cursor_on(txn, f->table);

	assert_status(kv_cursor_last(&c), KV_OK);
	assert_status(kv_cursor_next(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_next(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_on(&c, "j");
	assert_status(kv_cursor_first(&c), KV_OK);
	assert_status(kv_cursor_prev(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_prev(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_next(&c), KV_OK);
	assert_on(&c, "b");
	assert_status(kv_cursor_seek(&c, text("z")), KV_NOT_FOUND);
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_on(&c, "j");
	assert_status(kv_cursor_seek_back(&c, text("a")), KV_NOT_FOUND);
	assert_status(kv_cursor_next(&c), KV_OK);
	assert_on(&c, "b");
	kv_abort(txn);
}

static void walks_meet_every_entry_in_order(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	kv_cursor c;

	put_numbers(txn, f->table, 20000);
	assert_status(kv_commit(txn), KV_OK);
	txn = begin_read(f->db);
	c = cursor_on(txn, f->table);
	for (unsigned i = 0; i < 20000; i++) {
		assert_status(kv_cursor_next(&c), KV_OK);
		assert_on(&c, number_key(i));
		assert_slice(c.value, number_key(i));
	}
	assert_status(kv_cursor_next(&c), KV_NOT_FOUND);
	for (unsigned i = 20000; i-- > 0;) {
		assert_status(kv_cursor_prev(&c), KV_OK);
		assert_on(&c, number_key(i));
	}
	assert_status(kv_cursor_prev(&c), KV_NOT_FOUND);
	assert_status(kv_end(txn), KV_OK);
}

/* ---- bounds -------------------------------------------------------------------------------- */

static void a_range_confines_the_cursor(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_letters(f);
	kv_cursor c = cursor_on(txn, f->table);
	kv_slice from = text("d"), to = text("h");

	assert_status(kv_cursor_range(&c, &from, &to), KV_OK);
	assert_status(kv_cursor_first(&c), KV_OK);
	assert_on(&c, "d");
	assert_status(kv_cursor_next(&c), KV_OK);
	assert_on(&c, "f");
	assert_status(kv_cursor_next(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_on(&c, "f");
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_status(kv_cursor_prev(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_next(&c), KV_OK);
	assert_on(&c, "d");
	assert_status(kv_cursor_last(&c), KV_OK);
	assert_on(&c, "f");
	assert_status(kv_cursor_seek(&c, text("a")), KV_OK);
	assert_on(&c, "d");
	assert_status(kv_cursor_seek(&c, text("g")), KV_NOT_FOUND);
	assert_status(kv_cursor_seek_back(&c, text("z")), KV_OK);
	assert_on(&c, "f");
	assert_status(kv_cursor_seek_back(&c, text("c")), KV_NOT_FOUND);
	kv_abort(txn);
}

static void an_inside_out_range_is_empty(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_letters(f);
	kv_cursor c = cursor_on(txn, f->table);
	kv_slice from = text("h"), to = text("d");

	assert_status(kv_cursor_range(&c, &from, &to), KV_OK);
	assert_status(kv_cursor_first(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_last(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_range(&c, &from, &from), KV_OK);
	assert_status(kv_cursor_first(&c), KV_NOT_FOUND);
	assert_status(kv_cursor_range(&c, NULL, NULL), KV_OK);
	assert_status(kv_cursor_first(&c), KV_OK);
	assert_on(&c, "b");
	kv_abort(txn);
}

static void a_prefix_confines_the_cursor(void **state)
{
	struct fixture *f = *state;
	static const char *const keys[] = {"a",  "ab",   "aba",      "abb",
	                                   "ac", "\xff", "\xff\xff", "\xff\xff\x01"};
	kv_txn *txn = begin_write(f->db);
	const struct {
		const char *prefix, *first, *last;
	} cases[] = {
	        {"ab", "ab", "abb"},
	        {"a", "a", "ac"},
	        {"abb", "abb", "abb"},
	        {"abc", NULL, NULL},
	        {"", "a", "\xff\xff\x01"},
	        {"\xff", "\xff", "\xff\xff\x01"},
	        {"\xff\xff", "\xff\xff", "\xff\xff\x01"},
	        {"b", NULL, NULL},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_status(kv_put(txn, f->table, text(keys[i]), text("v")), KV_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kv_cursor c = cursor_on(txn, f->table);

		assert_status(kv_cursor_prefix(&c, text(cases[i].prefix)), KV_OK);
		assert_status(kv_cursor_first(&c), cases[i].first ? KV_OK : KV_NOT_FOUND);
		if (cases[i].first)
			assert_on(&c, cases[i].first);
		assert_status(kv_cursor_prev(&c), KV_NOT_FOUND);
		assert_status(kv_cursor_last(&c), cases[i].last ? KV_OK : KV_NOT_FOUND);
		if (cases[i].last)
			assert_on(&c, cases[i].last);
		assert_status(kv_cursor_next(&c), KV_NOT_FOUND);
	}
	kv_abort(txn);
}

/* ---- writes -------------------------------------------------------------------------------- */

static void deleting_moves_on_to_the_neighbours(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_letters(f);
	kv_cursor c = cursor_on(txn, f->table);

	assert_status(kv_cursor_seek(&c, text("f")), KV_OK);
	assert_status(kv_cursor_delete(&c), KV_OK);
	assert_value(txn, f->table, "f", NULL);
	assert_status(kv_cursor_next(&c), KV_OK);
	assert_on(&c, "h");
	assert_status(kv_cursor_delete(&c), KV_OK);
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_on(&c, "d");
	assert_status(kv_cursor_first(&c), KV_OK);
	assert_status(kv_cursor_delete(&c), KV_OK);
	assert_status(kv_cursor_prev(&c), KV_NOT_FOUND);
	assert_status(kv_commit(txn), KV_OK);
	assert_int_equal(count_of(f->db, f->table), 2);
}

static void nothing_under_the_cursor_cannot_be_changed(void **state)
{
	struct fixture *f = *state;

	for (int way = 0; way < 4; way++) {
		kv_txn *txn = begin_with_letters(f);
		kv_cursor c = cursor_on(txn, f->table);

		if (way == 1)
			assert_status(kv_cursor_seek(&c, text("z")), KV_NOT_FOUND);
		if (way >= 2)
			assert_status(kv_cursor_first(&c), KV_OK);
		if (way >= 2)
			assert_status(kv_cursor_delete(&c), KV_OK);
		if (way == 3)
			assert_status(kv_cursor_replace(&c, text("v")), KV_INVALID);
		else
			assert_status(kv_cursor_delete(&c), KV_INVALID);
		assert_status(kv_commit(txn), KV_INVALID);
	}
}

static void replacing_keeps_the_place(void **state)
{
	struct fixture *f = *state;
	static const char large[40000] = "large";
	kv_txn *txn = begin_with_letters(f);
	kv_cursor c = cursor_on(txn, f->table);
	kv_slice got;

	assert_status(kv_cursor_seek(&c, text("d")), KV_OK);
	assert_status(kv_cursor_replace(&c, text("a longer value than before")), KV_OK);
	assert_value(txn, f->table, "d", "a longer value than before");
	assert_status(kv_cursor_replace(&c, kv_bytes(large, sizeof(large))), KV_OK);
	assert_status(kv_get(txn, f->table, text("d"), &got), KV_OK);
	assert_int_equal(got.size, sizeof(large));
	assert_status(kv_cursor_replace(&c, text("")), KV_OK);
	assert_value(txn, f->table, "d", "");
	assert_status(kv_cursor_next(&c), KV_OK);
	assert_on(&c, "f");
	kv_abort(txn);
	assert_sound(f->db);
}

static void a_cursor_survives_writes_around_it(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_letters(f);
	kv_cursor c = cursor_on(txn, f->table), far = c;

	assert_status(kv_cursor_seek(&c, text("f")), KV_OK);
	assert_status(kv_cursor_last(&far), KV_OK);
	assert_status(kv_put(txn, f->table, text("g"), text("new")), KV_OK);
	assert_status(kv_put(txn, f->table, text("e"), text("new")), KV_OK);
	assert_status(kv_delete(txn, f->table, text("f")), KV_OK);
	assert_status(kv_cursor_next(&c), KV_OK);
	assert_on(&c, "g");
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_on(&c, "e");
	put_numbers(txn, f->table, 5000); /* all before the letters: the tree grows */
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_on(&c, "d");
	assert_status(kv_cursor_prev(&far), KV_OK);
	assert_on(&far, "h");
	assert_status(kv_clear(txn, f->table), KV_OK);
	assert_status(kv_cursor_next(&c), KV_NOT_FOUND);
	assert_status(kv_put(txn, f->table, text("a"), text("new")), KV_OK);
	assert_status(kv_cursor_prev(&c), KV_OK);
	assert_on(&c, "a");
	kv_abort(txn);
}

/* One cursor deletes what the other stands on. */
static void cursors_do_not_trip_over_each_other(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_with_letters(f);
	kv_cursor a = cursor_on(txn, f->table), b = a;

	assert_status(kv_cursor_seek(&a, text("f")), KV_OK);
	assert_status(kv_cursor_seek(&b, text("f")), KV_OK);
	assert_status(kv_cursor_delete(&a), KV_OK);
	assert_status(kv_cursor_next(&b), KV_OK);
	assert_on(&b, "h");
	assert_status(kv_cursor_prev(&a), KV_OK);
	assert_on(&a, "d");
	kv_abort(txn);
}

static void deleting_in_a_walk_empties_the_table(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	kv_cursor c;
	unsigned count = 0;

	put_numbers(txn, f->table, 20000);
	assert_status(kv_commit(txn), KV_OK);
	txn = begin_write(f->db);
	c = cursor_on(txn, f->table);
	while (kv_cursor_next(&c) == KV_OK) {
		assert_on(&c, number_key(count++));
		if (count % 5)
			assert_status(kv_cursor_delete(&c), KV_OK);
	}
	assert_int_equal(count, 20000);
	while (kv_cursor_prev(&c) == KV_OK)
		assert_status(kv_cursor_delete(&c), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_int_equal(count_of(f->db, f->table), 0);
	assert_sound(f->db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(an_empty_table_has_nothing_to_stand_on),
	        fixture_test(from_nowhere_next_is_first_and_prev_is_last),
	        fixture_test(seeks_land_at_or_beside_the_key),
	        fixture_test(past_an_end_one_can_turn_back),
	        fixture_test(walks_meet_every_entry_in_order),
	        fixture_test(a_range_confines_the_cursor),
	        fixture_test(an_inside_out_range_is_empty),
	        fixture_test(a_prefix_confines_the_cursor),
	        fixture_test(deleting_moves_on_to_the_neighbours),
	        fixture_test(nothing_under_the_cursor_cannot_be_changed),
	        fixture_test(replacing_keeps_the_place),
	        fixture_test(a_cursor_survives_writes_around_it),
	        fixture_test(cursors_do_not_trip_over_each_other),
	        fixture_test(deleting_in_a_walk_empties_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
