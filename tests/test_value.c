/* Keys and values of every size, and the calls for single keys. */
#include <stdlib.h>
#include <string.h>

#include "tests/fixture.h"
#include "tests/model.h"

static const uint32_t page_sizes[] = {4096, 16384, 65536};

/* ---- sizes --------------------------------------------------------------------------------- */

static void values_of_every_size(struct fixture *f, uint32_t page, uint32_t max_inline)
{
	const uint32_t sizes[] = {0,
	                          1,
	                          7,
	                          8,
	                          100,
	                          max_inline / 2,
	                          max_inline - 7,
	                          max_inline - 6,
	                          max_inline - 5,
	                          max_inline,
	                          max_inline + 1,
	                          page - 33,
	                          page - 32,
	                          page - 31,
	                          page,
	                          page + 1,
	                          3 * page,
	                          100000,
	                          1u << 20,
	                          8000000};
	const size_t count = sizeof(sizes) / sizeof(sizes[0]);
	struct random random = {1};
	struct model_value values[sizeof(sizes) / sizeof(sizes[0])];
	kv_txn *txn = begin_write(f->db);
	kv_slice got;

	for (unsigned i = 0; i < count; i++) {
		values[i] = model_value_new(&random, sizes[i]);
		assert_status(
		        kv_put(txn, f->table, text(number_key(i)), model_value_bytes(values[i])),
		        KV_OK);
	}
	for (unsigned i = 0; i < count; i++) {
		assert_status(kv_get(txn, f->table, text(number_key(i)), &got), KV_OK);
		assert_true(model_value_is(values[i], got));
	}
	assert_status(kv_commit(txn), KV_OK);
	for (int round = 0; round < 2; round++) {
		txn = begin_read(f->db);
		for (unsigned i = 0; i < count; i++) {
			assert_status(kv_get(txn, f->table, text(number_key(i)), &got), KV_OK);
			assert_non_null(got.data);
			assert_true(model_value_is(values[i], got));
		}
		assert_status(kv_end(txn), KV_OK);
		fixture_reopen(f, NULL);
		assert_sound(f->db);
	}
}

/* A database of another page size in place of the fixture's. */
static void reopen_with_pages(struct fixture *f, uint32_t page_size, kv_info *info)
{
	kv_options options = {.page_size = page_size};

	strcat(f->dir.file, "+");
	fixture_reopen(f, &options);
	assert_status(kv_info_get(f->db, info), KV_OK);
	assert_int_equal(info->page_size, page_size);
}

static void values_from_nothing_to_megabytes(void **state)
{
	struct fixture *f = *state;
	kv_info info;

	for (int i = 0; i < 3; i++) {
		reopen_with_pages(f, page_sizes[i], &info);
		values_of_every_size(f, page_sizes[i], info.max_inline);
	}
}

static void keys_from_nothing_to_the_limit(void **state)
{
	struct fixture *f = *state;
	static unsigned char key[KV_MAX_KEY(KV_MAX_PAGE_SIZE) + 1];
	kv_slice got;
	kv_info info;
	kv_txn *txn;

	for (int i = 0; i < 3; i++) {
		reopen_with_pages(f, page_sizes[i], &info);
		txn = begin_write(f->db);
		for (uint32_t size = 0; size <= info.max_key; size += 1 + size / 40)
			assert_status(kv_put(txn, f->table, kv_bytes(key, size),
			                     kv_bytes(&size, sizeof(size))),
			              KV_OK);
		assert_status(kv_put(txn, f->table, kv_bytes(key, info.max_key), text("last")),
		              KV_OK);
		assert_status(kv_commit(txn), KV_OK);
		txn = begin_read(f->db);
		for (uint32_t size = 0; size < info.max_key; size += 1 + size / 40) {
			assert_status(kv_get(txn, f->table, kv_bytes(key, size), &got), KV_OK);
			assert_int_equal(got.size, sizeof(size));
			assert_memory_equal(got.data, &size, sizeof(size));
		}
		assert_status(kv_get(txn, f->table, kv_bytes(key, info.max_key), &got), KV_OK);
		assert_slice(got, "last");
		assert_status(kv_end(txn), KV_OK);
		txn = begin_write(f->db);
		assert_status(kv_put(txn, f->table, kv_bytes(key, info.max_key + 1), text("v")),
		              KV_TOO_BIG);
		kv_abort(txn);
		assert_sound(f->db);
	}
}

/* Refused by its size alone: the bytes are not touched. */
static void a_value_beyond_4_gib_is_too_big(void **state)
{
	struct fixture *f = *state;
	size_t size = (size_t)KV_MAX_VALUE + 1;
	kv_txn *txn;
	void *data;

	txn = begin_write(f->db);
	assert_status(kv_put(txn, f->table, text("k"), kv_bytes("x", size)), KV_TOO_BIG);
	kv_abort(txn);
	txn = begin_write(f->db);
	assert_status(kv_reserve(txn, f->table, text("k"), size, &data), KV_TOO_BIG);
	kv_abort(txn);
	txn = begin_write(f->db);
	assert_status(kv_put_if_absent(txn, f->table, text("k"), kv_bytes("x", size), NULL),
	              KV_TOO_BIG);
	kv_abort(txn);
}

static void empty_key_and_empty_value_exist(void **state)
{
	struct fixture *f = *state;
	kv_slice nothing = {NULL, 0}, got = {"x", 9};
	size_t found;
	kv_txn *txn = begin_write(f->db);

	assert_status(kv_get(txn, f->table, nothing, &got), KV_NOT_FOUND);
	assert_status(kv_put(txn, f->table, nothing, nothing), KV_OK);
	assert_status(kv_get(txn, f->table, nothing, &got), KV_OK);
	assert_int_equal(got.size, 0);
	assert_non_null(got.data);
	assert_status(kv_commit(txn), KV_OK);
	txn = begin_read(f->db);
	assert_status(kv_get_many(txn, f->table, 1, &nothing, &got, &found), KV_OK);
	assert_int_equal(found, 1);
	assert_int_equal(got.size, 0);
	assert_non_null(got.data);
	assert_status(kv_end(txn), KV_OK);
}

/* ---- the calls ----------------------------------------------------------------------------- */

static void put_copies_what_it_is_given(void **state)
{
	struct fixture *f = *state;
	char key[] = "key", value[] = "value";
	kv_txn *txn = begin_write(f->db);

	assert_status(kv_put(txn, f->table, text(key), text(value)), KV_OK);
	memset(key, 'x', 3);
	memset(value, 'x', 5);
	assert_status(kv_commit(txn), KV_OK);
	assert_committed(f->db, f->table, "key", "value");
	assert_committed(f->db, f->table, "xxx", NULL);
}

/* Deferred writes of one key happen in the order of the calls. */
static void the_last_write_of_a_key_counts(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);

	assert_status(kv_put(txn, f->table, text("a"), text("1")), KV_OK);
	assert_status(kv_put(txn, f->table, text("a"), text("2")), KV_OK);
	assert_status(kv_put(txn, f->table, text("b"), text("1")), KV_OK);
	assert_status(kv_delete(txn, f->table, text("b")), KV_OK);
	assert_status(kv_delete(txn, f->table, text("c")), KV_OK);
	assert_status(kv_put(txn, f->table, text("c"), text("1")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_committed(f->db, f->table, "a", "2");
	assert_committed(f->db, f->table, "b", NULL);
	assert_committed(f->db, f->table, "c", "1");
}

/* The same over several sorted runs: a batch of 4 KB is full after some dozen writes. */
static void order_holds_across_batches(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.batch_size = 4096};
	kv_txn *txn;

	fixture_reopen(f, &options);
	txn = begin_write(f->db);
	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < 500; i++) {
			unsigned n = (i * 7919 + round) % 500;

			if ((n + round) % 3)
				assert_status(kv_put(txn, f->table, text(number_key(n)),
				                     text(number_key(round))),
				              KV_OK);
			else
				assert_status(kv_delete(txn, f->table, text(number_key(n))), KV_OK);
		}
	assert_status(kv_commit(txn), KV_OK);
	for (unsigned n = 0; n < 500; n++)
		assert_committed(f->db, f->table, number_key(n),
		                 (n + 19) % 3 ? number_key(19) : NULL);
	assert_sound(f->db);
}

static void put_if_absent_keeps_what_is_there(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	kv_slice old;

	assert_status(kv_put_if_absent(txn, f->table, text("k"), text("first"), &old), KV_OK);
	assert_status(kv_put_if_absent(txn, f->table, text("k"), text("second"), &old), KV_EXISTS);
	assert_slice(old, "first");
	assert_status(kv_put_if_absent(txn, f->table, text("k"), text("third"), NULL), KV_EXISTS);
	assert_status(kv_put(txn, f->table, text("d"), text("deferred")), KV_OK);
	assert_status(kv_put_if_absent(txn, f->table, text("d"), text("second"), &old), KV_EXISTS);
	assert_slice(old, "deferred");
	assert_status(kv_commit(txn), KV_OK);
	assert_committed(f->db, f->table, "k", "first");
}

static void remove_tells_whether_the_key_was_there(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);

	assert_status(kv_remove(txn, f->table, text("k")), KV_NOT_FOUND);
	assert_status(kv_put(txn, f->table, text("k"), text("v")), KV_OK);
	assert_status(kv_remove(txn, f->table, text("k")), KV_OK);
	assert_status(kv_remove(txn, f->table, text("k")), KV_NOT_FOUND);
	assert_status(kv_delete(txn, f->table, text("k")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
}

static void append_insists_on_the_order(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);

	for (unsigned i = 0; i < 2000; i++)
		assert_status(kv_append(txn, f->table, text(number_key(i)), text("v")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	txn = begin_write(f->db);
	assert_status(kv_append(txn, f->table, text(number_key(1999)), text("w")), KV_ORDER);
	kv_abort(txn);
	txn = begin_write(f->db);
	assert_status(kv_put(txn, f->table, text("zz"), text("deferred")), KV_OK);
	assert_status(kv_append(txn, f->table, text("z"), text("w")), KV_ORDER);
	assert_status(kv_commit(txn), KV_ORDER);
	assert_int_equal(count_of(f->db, f->table), 2000);
	assert_sound(f->db);
}

static void reserved_bytes_are_the_callers_to_fill(void **state)
{
	struct fixture *f = *state;
	const size_t sizes[] = {0, 5, 2000, 100000};
	kv_txn *txn = begin_write(f->db);
	kv_slice got;
	char *data;

	for (unsigned i = 0; i < 4; i++) {
		assert_status(kv_put(txn, f->table, text(number_key(i)), text("old contents")),
		              KV_OK);
		assert_status(
		        kv_reserve(txn, f->table, text(number_key(i)), sizes[i], (void **)&data),
		        KV_OK);
		if (sizes[i])
			data[sizes[i] / 2] = 'm';
	}
	assert_status(kv_commit(txn), KV_OK);
	fixture_reopen(f, NULL);
	txn = begin_read(f->db);
	for (unsigned i = 0; i < 4; i++) {
		assert_status(kv_get(txn, f->table, text(number_key(i)), &got), KV_OK);
		assert_int_equal(got.size, sizes[i]);
		for (size_t at = 0; at < got.size; at++)
			assert_int_equal(((const char *)got.data)[at],
			                 at == sizes[i] / 2 ? 'm' : 0);
	}
	assert_status(kv_end(txn), KV_OK);
	assert_sound(f->db);
}

static void get_many_answers_in_the_order_asked(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 3000 };
	kv_slice *keys = calloc(COUNT, sizeof(*keys)), *values = calloc(COUNT, sizeof(*values));
	static char texts[COUNT][8];
	kv_txn *txn = begin_write(f->db);
	size_t found = 0;

	assert_non_null(keys);
	assert_non_null(values);
	put_numbers(txn, f->table, COUNT / 2);
	assert_status(kv_commit(txn), KV_OK);
	for (unsigned i = 0; i < COUNT; i++) {
		strcpy(texts[i], number_key((i * 7919) % COUNT));
		keys[i] = text(texts[i]);
	}
	txn = begin_read(f->db);
	assert_status(kv_get_many(txn, f->table, COUNT, keys, values, &found), KV_OK);
	assert_int_equal(found, COUNT / 2);
	for (unsigned i = 0; i < COUNT; i++) {
		if ((i * 7919) % COUNT < COUNT / 2)
			assert_slice(values[i], texts[i]);
		else
			assert_null(values[i].data);
	}
	assert_status(kv_get_many(txn, f->table, 0, NULL, NULL, &found), KV_OK);
	assert_int_equal(found, 0);
	assert_status(kv_get_many(txn, f->table, 3, keys, values, NULL), KV_OK);
	assert_status(kv_end(txn), KV_OK);
	free(keys);
	free(values);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(values_from_nothing_to_megabytes),
	        fixture_test(keys_from_nothing_to_the_limit),
	        fixture_test(a_value_beyond_4_gib_is_too_big),
	        fixture_test(empty_key_and_empty_value_exist),
	        fixture_test(put_copies_what_it_is_given),
	        fixture_test(the_last_write_of_a_key_counts),
	        fixture_test(order_holds_across_batches),
	        fixture_test(put_if_absent_keeps_what_is_there),
	        fixture_test(remove_tells_whether_the_key_was_there),
	        fixture_test(append_insists_on_the_order),
	        fixture_test(reserved_bytes_are_the_callers_to_fill),
	        fixture_test(get_many_answers_in_the_order_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
