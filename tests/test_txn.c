/* Transactions: isolation, durability, ends, and every way to misuse them. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fixture.h"

/* ---- isolation ----------------------------------------------------------------------------- */

static void a_writer_reads_its_own_writes_and_others_do_not(void **state)
{
	struct fixture *f = *state;
	kv_txn *writer = begin_write(f->db), *reader;

	assert_status(kv_put(writer, f->table, text("k"), text("v")), KV_OK);
	assert_value(writer, f->table, "k", "v");
	reader = begin_read(f->db);
	assert_value(reader, f->table, "k", NULL);
	assert_status(kv_commit(writer), KV_OK);
	assert_value(reader, f->table, "k", NULL);
	assert_status(kv_end(reader), KV_OK);
	assert_committed(f->db, f->table, "k", "v");
}

static void an_abort_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn;

	commit_pair(f->db, f->table, "k", "old");
	txn = begin_write(f->db);
	assert_status(kv_put(txn, f->table, text("k"), text("new")), KV_OK);
	assert_status(kv_put(txn, f->table, text("l"), text("new")), KV_OK);
	assert_value(txn, f->table, "l", "new");
	kv_abort(txn);
	assert_committed(f->db, f->table, "k", "old");
	assert_committed(f->db, f->table, "l", NULL);
	txn = begin_write(f->db);
	assert_status(kv_delete(txn, f->table, text("k")), KV_OK);
	assert_status(kv_end(txn), KV_OK); /* of a writer: an abort */
	assert_committed(f->db, f->table, "k", "old");
	assert_sound(f->db);
}

/* What a reader was given stays in place while the world changes. */
static void a_reader_keeps_its_slices(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db), *reader;
	kv_slice values[100];

	put_numbers(txn, f->table, 100);
	assert_status(kv_commit(txn), KV_OK);
	reader = begin_read(f->db);
	for (unsigned i = 0; i < 100; i++)
		assert_status(kv_get(reader, f->table, text(number_key(i)), &values[i]), KV_OK);
	for (unsigned round = 0; round < 30; round++) {
		txn = begin_write(f->db);
		for (unsigned i = 0; i < 100; i++)
			assert_status(kv_put(txn, f->table, text(number_key(i)), text("changed")),
			              KV_OK);
		if (round % 2)
			assert_status(kv_set_durability(txn, KV_NONE), KV_OK);
		assert_status(kv_commit(txn), KV_OK);
	}
	for (unsigned i = 0; i < 100; i++)
		assert_slice(values[i], number_key(i));
	assert_status(kv_end(reader), KV_OK);
}

static void ids_grow_and_name_snapshots(void **state)
{
	struct fixture *f = *state;
	kv_txn *writer = begin_write(f->db), *reader = begin_read(f->db);
	uint64_t first = kv_txn_id(writer);
	kv_info info;

	assert_true(kv_txn_id(reader) < first);
	assert_status(kv_put(writer, f->table, text("k"), text("v")), KV_OK);
	assert_status(kv_commit(writer), KV_OK);
	assert_true(kv_txn_id(reader) < first);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_int_equal(info.oldest_reader, kv_txn_id(reader));
	assert_int_equal(info.readers, 1);
	assert_true(info.last_txn >= first);
	assert_status(kv_end(reader), KV_OK);
	reader = begin_read(f->db);
	assert_int_equal(kv_txn_id(reader), info.last_txn);
	assert_status(kv_end(reader), KV_OK);
	writer = begin_write(f->db);
	assert_true(kv_txn_id(writer) > first);
	kv_abort(writer);
}

/* ---- durability ---------------------------------------------------------------------------- */

static void none_is_visible_at_once_and_durable_later(void **state)
{
	struct fixture *f = *state;
	kv_info before, after;
	kv_txn *txn;

	for (int way = 0; way < 4; way++) {
		assert_status(kv_begin_write(f->db, UINT64_MAX, KV_NONE, &txn), KV_OK);
		assert_status(kv_put(txn, f->table, text("k"), text(number_key((unsigned)way))),
		              KV_OK);
		assert_status(kv_commit(txn), KV_OK);
		assert_committed(f->db, f->table, "k", number_key((unsigned)way));
		assert_status(kv_info_get(f->db, &before), KV_OK);
		assert_true(before.durable_txn < before.last_txn);
		if (way == 0)
			assert_status(kv_sync(f->db), KV_OK);
		else if (way == 1)
			assert_status(kv_checkpoint(f->db), KV_OK);
		else if (way == 2)
			commit_pair(f->db, f->table, "l", "durable");
		else
			fixture_reopen(f, NULL);
		assert_status(kv_info_get(f->db, &after), KV_OK);
		assert_true(after.durable_txn >= before.last_txn);
		assert_committed(f->db, f->table, "k", number_key((unsigned)way));
	}
}

static void immediate_is_durable_when_commit_returns(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.durability = KV_NONE};
	kv_info info;
	kv_txn *txn;

	fixture_reopen(f, &options);
	assert_status(kv_begin_write(f->db, 0, KV_IMMEDIATE, &txn), KV_OK);
	assert_status(kv_put(txn, f->table, text("a"), text("b")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_int_equal(info.durable_txn, info.last_txn);
	commit_pair(f->db, f->table, "a", "c");
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_true(info.durable_txn < info.last_txn);
	txn = begin_write(f->db);
	assert_status(kv_set_durability(txn, KV_IMMEDIATE), KV_OK);
	assert_status(kv_put(txn, f->table, text("a"), text("d")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_int_equal(info.durable_txn, info.last_txn);
}

/* ---- helpers of the interface -------------------------------------------------------------- */

static int put_and_return(kv_txn *txn, void *arg)
{
	struct fixture *f = ((void **)arg)[0];
	const int *rc = ((void **)arg)[1];

	assert_status(kv_put(txn, f->table, text("k"), text(*rc < 0 ? "bad" : "good")), KV_OK);
	return *rc;
}

static void update_commits_unless_the_function_fails(void **state)
{
	struct fixture *f = *state;
	int codes[] = {KV_OK, KV_NOT_FOUND, KV_EXISTS, KV_CORRUPT, -1000};

	for (int i = 0; i < 5; i++) {
		void *arg[] = {f, &codes[i]};
		int rc;

		commit_pair(f->db, f->table, "k", "before");
		rc = kv_update(f->db, put_and_return, arg);
		assert_int_equal(rc < 0 ? rc : 0, codes[i] < 0 ? codes[i] : 0);
		assert_committed(f->db, f->table, "k", codes[i] < 0 ? "before" : "good");
	}
}

static int ignore_an_error(kv_txn *txn, void *arg)
{
	struct fixture *f = arg;

	kv_put(txn, f->table, text("k"), text("v"));
	kv_append(txn, f->table, text("a"), text("v"));
	return KV_OK;
}

static void update_returns_an_error_that_the_function_overlooked(void **state)
{
	struct fixture *f = *state;

	assert_status(kv_update(f->db, ignore_an_error, f), KV_ORDER);
	assert_committed(f->db, f->table, "k", NULL);
}

static int look(kv_txn *txn, void *arg)
{
	struct fixture *f = arg;

	return kv_get(txn, f->table, text("k"), NULL);
}

static void view_returns_what_the_function_returns(void **state)
{
	struct fixture *f = *state;
	kv_info info;

	assert_status(kv_view(f->db, look, f), KV_NOT_FOUND);
	commit_pair(f->db, f->table, "k", "v");
	assert_status(kv_view(f->db, look, f), KV_OK);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_int_equal(info.readers, 0);
}

/* ---- misuse -------------------------------------------------------------------------------- */

static void a_reader_cannot_write(void **state)
{
	struct fixture *f = *state;
	kv_slice k = text("k"), v = text("v");
	kv_cursor cursor;
	kv_table *table;
	kv_txn *txn;
	void *data;

	commit_pair(f->db, f->table, "k", "v");
	txn = begin_read(f->db);
	assert_status(kv_put(txn, f->table, k, v), KV_READ_ONLY);
	assert_status(kv_delete(txn, f->table, k), KV_READ_ONLY);
	assert_status(kv_put_if_absent(txn, f->table, k, v, NULL), KV_READ_ONLY);
	assert_status(kv_remove(txn, f->table, k), KV_READ_ONLY);
	assert_status(kv_append(txn, f->table, text("z"), v), KV_READ_ONLY);
	assert_status(kv_reserve(txn, f->table, k, 1, &data), KV_READ_ONLY);
	assert_status(kv_delete_range(txn, f->table, NULL, NULL, NULL), KV_READ_ONLY);
	assert_status(kv_clear(txn, f->table), KV_READ_ONLY);
	assert_status(kv_table_open(txn, "new", KV_CREATE, &table), KV_READ_ONLY);
	assert_status(kv_table_rename(txn, f->table, "new"), KV_READ_ONLY);
	assert_status(kv_table_drop(txn, f->table), KV_READ_ONLY);
	assert_status(kv_set_durability(txn, KV_NONE), KV_READ_ONLY);
	assert_status(kv_cursor_open(txn, f->table, &cursor), KV_OK);
	assert_status(kv_cursor_first(&cursor), KV_OK);
	assert_status(kv_cursor_delete(&cursor), KV_READ_ONLY);
	assert_status(kv_cursor_replace(&cursor, v), KV_READ_ONLY);
	/* None of this disturbs the reader. */
	assert_status(kv_table_open(txn, "t", KV_CREATE, &table), KV_OK);
	assert_value(txn, f->table, "k", "v");
	assert_status(kv_commit(txn), KV_OK);
}

static void the_first_error_sticks(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	char *key = calloc(1, KV_MAX_KEY(4096) + 1);
	kv_cursor cursor;
	uint64_t count;

	assert_non_null(key);
	assert_status(kv_put(txn, f->table, text("k"), text("v")), KV_OK);
	assert_status(kv_cursor_open(txn, f->table, &cursor), KV_OK);
	assert_status(kv_put(txn, f->table, kv_bytes(key, KV_MAX_KEY(4096) + 1), text("v")),
	              KV_TOO_BIG);
	assert_status(kv_put(txn, f->table, text("l"), text("v")), KV_TOO_BIG);
	assert_status(kv_get(txn, f->table, text("k"), NULL), KV_TOO_BIG);
	assert_status(kv_count(txn, f->table, &count), KV_TOO_BIG);
	assert_status(kv_cursor_first(&cursor), KV_TOO_BIG);
	assert_status(kv_append(txn, f->table, text("a"), text("v")), KV_TOO_BIG);
	assert_status(kv_commit(txn), KV_TOO_BIG);
	assert_committed(f->db, f->table, "k", NULL);
	free(key);
}

/* Each of these spoils the transaction: the commit says so. */
static void refusals_stick_in_a_writer(void **state)
{
	struct fixture *f = *state;
	kv_slice hole = {NULL, 3};
	kv_table *dropped;
	kv_txn *txn = begin_write(f->db);

	assert_status(kv_table_open(txn, "dropped", KV_CREATE, &dropped), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	txn = begin_write(f->db);
	assert_status(kv_table_drop(txn, dropped), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	commit_pair(f->db, f->table, "m", "v");
	for (int way = 0; way < 5; way++) {
		const int expected[] = {KV_ORDER, KV_INVALID, KV_DROPPED, KV_INVALID, KV_INVALID};
		int rc = 0;

		txn = begin_write(f->db);
		assert_status(kv_put(txn, f->table, text("k"), text("v")), KV_OK);
		if (way == 0)
			rc = kv_append(txn, f->table, text("m"), text("v"));
		else if (way == 1)
			rc = kv_put(txn, f->table, hole, text("v"));
		else if (way == 2)
			rc = kv_put(txn, dropped, text("k"), text("v"));
		else if (way == 3)
			rc = kv_put(txn, NULL, text("k"), text("v"));
		else
			rc = kv_set_durability(txn, 17);
		assert_status(rc, expected[way]);
		assert_status(kv_commit(txn), expected[way]);
		assert_committed(f->db, f->table, "k", NULL);
	}
}

static void an_ended_transaction_says_so(void **state)
{
	struct fixture *f = *state;
	kv_cursor cursor;
	kv_slice value;

	for (int way = 0; way < 4; way++) {
		kv_txn *txn = way < 2 ? begin_write(f->db) : begin_read(f->db);

		assert_status(kv_cursor_open(txn, f->table, &cursor), KV_OK);
		if (way == 1)
			kv_abort(txn);
		else if (way == 3)
			assert_status(kv_end(txn), KV_OK);
		else
			assert_status(kv_commit(txn), KV_OK);
		assert_status(kv_get(txn, f->table, text("k"), &value), KV_ENDED);
		assert_status(kv_put(txn, f->table, text("k"), text("v")), KV_ENDED);
		assert_status(kv_cursor_first(&cursor), KV_ENDED);
		assert_status(kv_commit(txn), KV_ENDED);
		assert_status(kv_end(txn), KV_ENDED);
		kv_abort(txn);
	}
	assert_status(kv_commit(NULL), KV_OK);
	kv_abort(NULL);
}

static void a_thread_cannot_wait_for_itself(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db), *second = NULL;
	int ok = KV_OK;
	void *arg[] = {f, &ok};

	assert_status(kv_begin(f->db, KV_WRITE, &second), KV_DEADLOCK);
	assert_status(kv_begin_write(f->db, 1000, KV_NONE, &second), KV_DEADLOCK);
	assert_status(kv_update(f->db, put_and_return, arg), KV_DEADLOCK);
	assert_status(kv_sync(f->db), KV_DEADLOCK);
	assert_status(kv_checkpoint(f->db), KV_DEADLOCK);
	assert_status(kv_check(f->db, NULL, NULL, NULL), KV_DEADLOCK);
	assert_null(second);
	/* The one that is open is none the worse for it. */
	assert_status(kv_put(txn, f->table, text("k"), text("v")), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_committed(f->db, f->table, "k", "v");
}

static void null_is_refused(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_read(f->db);
	kv_table *table;
	kv_info info;
	kv_db *db;

	assert_status(kv_begin(NULL, KV_READ, &txn), KV_INVALID);
	assert_status(kv_begin(f->db, KV_READ, NULL), KV_INVALID);
	assert_status(kv_begin(f->db, 1u << 20, &txn), KV_INVALID);
	assert_status(kv_begin_write(f->db, 0, 9, &txn), KV_INVALID);
	assert_status(kv_info_get(NULL, &info), KV_INVALID);
	assert_status(kv_info_get(f->db, NULL), KV_INVALID);
	assert_status(kv_sync(NULL), KV_INVALID);
	assert_status(kv_open(NULL, NULL, &db), KV_INVALID);
	assert_status(kv_table_open(txn, NULL, 0, &table), KV_INVALID);
	assert_status(kv_table_open(txn, "t", 0, NULL), KV_INVALID);
	assert_status(kv_get(txn, NULL, text("k"), NULL), KV_INVALID);
	assert_status(kv_get(NULL, f->table, text("k"), NULL), KV_INVALID);
	assert_status(kv_end(txn), KV_OK);
}

/* A table's handle is good for its own database only. */
static void a_table_of_another_database_is_refused(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.flags = KV_IN_MEMORY};
	kv_db *other;
	kv_txn *txn;

	assert_status(kv_open(NULL, &options, &other), KV_OK);
	txn = begin_read(other);
	assert_status(kv_get(txn, f->table, text("k"), NULL), KV_INVALID);
	assert_status(kv_end(txn), KV_OK);
	assert_status(kv_close(other), KV_OK);
}

/* ---- after fork ---------------------------------------------------------------------------- */

#define REQUIRE(call, status)                      \
	do {                                       \
		if ((call) != (status))            \
			_exit(__LINE__ % 250 + 1); \
	} while (0)

static _Noreturn void use_in_child(struct fixture *f, kv_txn *reader, kv_txn *writer)
{
	kv_txn *txn;
	kv_info info;

	REQUIRE(kv_get(reader, f->table, text("k"), NULL), KV_FORKED);
	REQUIRE(kv_put(writer, f->table, text("k"), text("child")), KV_FORKED);
	REQUIRE(kv_commit(writer), KV_FORKED);
	REQUIRE(kv_end(reader), KV_FORKED);
	REQUIRE(kv_begin(f->db, KV_READ, &txn), KV_FORKED);
	REQUIRE(kv_begin(f->db, KV_WRITE, &txn), KV_FORKED);
	REQUIRE(kv_sync(f->db), KV_FORKED);
	REQUIRE(kv_info_get(f->db, &info), KV_FORKED);
	kv_close(f->db);
	_exit(0);
}

static void in_a_forked_child_everything_is_refused(void **state)
{
	struct fixture *f = *state;
	kv_txn *reader, *writer;
	int status;
	pid_t child;
	kv_db *db;

	commit_pair(f->db, f->table, "k", "v");
	reader = begin_read(f->db);
	writer = begin_write(f->db);
	assert_status(kv_put(writer, f->table, text("k"), text("parent")), KV_OK);
	child = fork();
	if (!child)
		use_in_child(f, reader, writer);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_value(reader, f->table, "k", "v");
	assert_status(kv_end(reader), KV_OK);
	assert_status(kv_commit(writer), KV_OK);
	assert_committed(f->db, f->table, "k", "parent");
	assert_status(kv_open(f->dir.file, NULL, &db),
	              KV_BUSY); /* the child has not let go the lock */
	assert_sound(f->db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(a_writer_reads_its_own_writes_and_others_do_not),
	        fixture_test(an_abort_leaves_nothing),
	        fixture_test(a_reader_keeps_its_slices),
	        fixture_test(ids_grow_and_name_snapshots),
	        fixture_test(none_is_visible_at_once_and_durable_later),
	        fixture_test(immediate_is_durable_when_commit_returns),
	        fixture_test(update_commits_unless_the_function_fails),
	        fixture_test(update_returns_an_error_that_the_function_overlooked),
	        fixture_test(view_returns_what_the_function_returns),
	        fixture_test(a_reader_cannot_write),
	        fixture_test(the_first_error_sticks),
	        fixture_test(refusals_stick_in_a_writer),
	        fixture_test(an_ended_transaction_says_so),
	        fixture_test(a_thread_cannot_wait_for_itself),
	        fixture_test(null_is_refused),
	        fixture_test(a_table_of_another_database_is_refused),
	        fixture_test(in_a_forked_child_everything_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
