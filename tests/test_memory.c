/* The application's allocator: everything goes through it, everything comes back, and the failure
 * of any single allocation is an ordinary error. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fixture.h"

/* What the hook sees. Not thread-safe: these tests have one thread. */
struct allocator {
	uint64_t calls;   /* that asked for memory */
	uint64_t fail_at; /* number of the call to refuse, 0: none */
	bool fail_after;  /* refuse all later ones as well */
	uint64_t held;    /* bytes */
};

/* Each block carries its size in front, so that old_size can be checked. */
#define FRONT 16

static void *counting_resize(void *arg, void *ptr, size_t old_size, size_t new_size)
{
	struct allocator *allocator = arg;
	unsigned char *block = ptr ? (unsigned char *)ptr - FRONT : NULL;
	size_t known = 0;

	if (block)
		memcpy(&known, block, sizeof(known));
	assert_int_equal(known, old_size);
	if (!new_size) {
		allocator->held -= old_size;
		free(block);
		return NULL;
	}
	allocator->calls++;
	if (allocator->fail_at &&
	    (allocator->calls == allocator->fail_at ||
	     (allocator->fail_after && allocator->calls > allocator->fail_at)))
		return NULL;
	block = realloc(block, new_size + FRONT);
	assert_non_null(block);
	memcpy(block, &new_size, sizeof(new_size));
	allocator->held += new_size - old_size;
	return block + FRONT;
}

/* ---- a scenario that takes many paths ------------------------------------------------------ */

static int write_some(kv_txn *txn, kv_table *table, unsigned from)
{
	static const char large[30000];
	kv_slice large_value = kv_bytes(large, sizeof(large));
	kv_cursor cursor;
	int rc = KV_OK;

	for (unsigned i = from; i < from + 300 && rc >= 0; i++)
		rc = kv_put(txn, table, text(number_key(i)), text(number_key(i)));
	if (rc >= 0)
		rc = kv_put(txn, table, text("large"), large_value);
	if (rc >= 0)
		rc = kv_put_if_absent(txn, table, text("absent"), text("v"), NULL);
	if (rc >= 0)
		rc = kv_delete_range(txn, table, &(kv_slice){"0000", 4}, &(kv_slice){"00001", 5},
		                     NULL);
	if (rc >= 0)
		rc = kv_cursor_open(txn, table, &cursor);
	if (rc >= 0)
		rc = kv_cursor_last(&cursor);
	if (rc >= 0)
		rc = kv_cursor_replace(&cursor, text("replaced"));
	return rc < 0 ? rc : KV_OK;
}

static int write_transaction(kv_db *db, unsigned from, int durability)
{
	kv_txn *txn;
	kv_table *table;
	int rc = kv_begin_write(db, UINT64_MAX, durability, &txn);

	if (rc)
		return rc;
	rc = kv_table_open(txn, "t", KV_CREATE, &table);
	if (!rc)
		rc = write_some(txn, table, from);
	if (rc) {
		kv_abort(txn);
		return rc;
	}
	return kv_commit(txn);
}

static int read_transaction(kv_db *db)
{
	kv_txn *txn;
	kv_table *table;
	kv_cursor cursor;
	int rc = kv_begin(db, KV_READ, &txn);

	if (rc)
		return rc;
	rc = kv_table_open(txn, "t", 0, &table);
	if (!rc)
		rc = kv_cursor_open(txn, table, &cursor);
	while (!rc)
		rc = kv_cursor_next(&cursor);
	kv_end(txn);
	return rc < 0 && rc != KV_NO_TABLE ? rc : KV_OK;
}

/* Opens, writes, reads, checks, closes. Returns the first error; *durable is the number of
 * transactions that must be there afterwards. */
static int scenario(const char *path, const kv_options *options, unsigned *durable)
{
	kv_db *db;
	unsigned committed = 0;
	int rc = kv_open(path, options, &db), closed;

	*durable = 0;
	if (rc)
		return rc;
	for (unsigned i = 0; i < 4 && !rc; i++) {
		rc = write_transaction(db, i * 100, i % 2 ? KV_NONE : KV_IMMEDIATE);
		committed += !rc;
		if (!rc && i % 2 == 0)
			*durable = committed;
	}
	if (!rc)
		rc = read_transaction(db);
	if (!rc)
		rc = kv_check(db, NULL, NULL, NULL);
	closed = kv_close(db);
	if (!closed)
		*durable = committed;
	return rc ? rc : closed;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void all_memory_comes_back(void **state)
{
	struct fixture *f = *state;
	struct allocator allocator = {0};
	kv_options options = {.resize = counting_resize, .resize_arg = &allocator};
	unsigned durable;

	strcat(f->dir.file, "2");
	assert_status(scenario(f->dir.file, &options, &durable), KV_OK);
	assert_int_equal(durable, 4);
	assert_true(allocator.calls > 0);
	assert_int_equal(allocator.held, 0);
}

/* The file after a failed run is sound and holds whole transactions, the durable ones included. */
static void assert_whole(const char *path, unsigned durable)
{
	kv_table *table;
	kv_db *db;
	uint64_t count;
	unsigned whole = 0;

	assert_status(kv_open(path, NULL, &db), KV_OK);
	assert_sound(db);
	table = open_table(db, "t");
	count = count_of(db, table);
	/* Transaction i adds the keys i * 100 to i * 100 + 299; "0000" to "00001" are gone. */
	for (unsigned i = 0; i < 4; i++)
		if (count == 300 + i * 100 - 10 + 2)
			whole = i + 1;
	assert_true(count == 0 || whole > 0);
	assert_true(whole >= durable);
	assert_status(kv_close(db), KV_OK);
}

static void fail_each(struct fixture *f, unsigned flags, bool fail_after)
{
	struct allocator allocator = {0};
	kv_options options = {.flags = flags, .resize = counting_resize, .resize_arg = &allocator};
	unsigned durable, failures = 0;
	int rc = KV_NOMEM;

	strcat(f->dir.file, "2");
	for (uint64_t n = 1; n < 100000; n++) {
		allocator = (struct allocator){.fail_at = n, .fail_after = fail_after};
		rc = scenario(f->dir.file, &options, &durable);
		assert_int_equal(allocator.held, 0);
		if (allocator.calls < n)
			break;
		failures += rc != KV_OK;
		if (rc != KV_OK)
			assert_status(rc, KV_NOMEM);
		if (access(f->dir.file, F_OK) == 0) {
			assert_whole(f->dir.file, durable);
			assert_int_equal(unlink(f->dir.file), 0);
		}
	}
	assert_status(rc, KV_OK);
	assert_true(failures > 0);
}

static void any_single_allocation_may_fail(void **state)
{
	fail_each(*state, 0, false);
}

static void memory_may_run_out_for_good(void **state)
{
	fail_each(*state, 0, true);
}

static void any_single_allocation_may_fail_in_memory(void **state)
{
	fail_each(*state, KV_IN_MEMORY, false);
}

/* ---- the log callback ---------------------------------------------------------------------- */

static void count_line(void *arg, int level, const char *line)
{
	unsigned *lines = arg;

	assert_in_range(level, KV_LOG_ERROR, KV_LOG_INFO);
	assert_non_null(line);
	assert_null(strchr(line, '\n'));
	assert_string_not_equal(line, "");
	(*lines)++;
}

static void log_lines_are_well_formed(void **state)
{
	struct fixture *f = *state;
	unsigned lines = 0, durable;
	kv_options options = {.log = count_line, .log_arg = &lines, .size_limit = 300000};

	strcat(f->dir.file, "2");
	assert_status(scenario(f->dir.file, &options, &durable), KV_OK);
	assert_status(scenario(f->dir.file, &options, &durable), KV_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(all_memory_comes_back),
	        fixture_test(any_single_allocation_may_fail),
	        fixture_test(memory_may_run_out_for_good),
	        fixture_test(any_single_allocation_may_fail_in_memory),
	        fixture_test(log_lines_are_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
