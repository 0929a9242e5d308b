/* kv_check and kv_copy: progress, cancelling, and what a copy is. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fixture.h"

static char *copy_path(struct fixture *f)
{
	static char path[sizeof(f->dir.file) + 8];

	strcpy(path, f->dir.file);
	strcat(path, ".copy");
	return path;
}

/* 50,000 entries and some large values, most of them deleted again. */
static void fill(struct fixture *f)
{
	static char large[100000];
	kv_slice from = text("001000"), to = text("049000");
	kv_txn *txn = begin_write(f->db);

	memset(large, 'L', sizeof(large));
	put_numbers(txn, f->table, 50000);
	for (unsigned i = 0; i < 10; i++)
		assert_status(kv_put(txn, f->table, text(number_key(i * 100)),
		                     kv_bytes(large, sizeof(large))),
		              KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	txn = begin_write(f->db);
	assert_status(kv_delete_range(txn, f->table, &from, &to, NULL), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
}

static void a_copy_holds_the_same_and_is_compact(void **state)
{
	struct fixture *f = *state;
	kv_slice a, b;
	kv_table *table;
	kv_txn *here, *there;
	kv_db *copy;
	kv_info info, copied;
	struct stat file;

	fill(f);
	here = begin_read(f->db);
	assert_status(kv_copy(f->db, copy_path(f), NULL, NULL), KV_OK);
	assert_int_equal(stat(copy_path(f), &file), 0);
	assert_int_equal(file.st_mode & 0777, 0600);
	assert_status(kv_open(copy_path(f), NULL, &copy), KV_OK);
	assert_sound(copy);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_status(kv_info_get(copy, &copied), KV_OK);
	assert_true(copied.file_size < info.file_size / 2 + (2 << 20));
	assert_true(copied.database_id != info.database_id);
	there = begin_read(copy);
	assert_status(kv_table_open(there, "t", 0, &table), KV_OK);
	for (unsigned i = 0; i < 50000; i += 50) {
		int rc = kv_get(here, f->table, text(number_key(i)), &a);

		assert_status(kv_get(there, table, text(number_key(i)), &b), rc);
		if (!rc)
			assert_int_equal(a.size, b.size);
		if (!rc)
			assert_memory_equal(a.data, b.data, a.size);
	}
	assert_status(kv_end(here), KV_OK);
	assert_status(kv_end(there), KV_OK);
	commit_pair(copy, table, "k", "v");
	assert_status(kv_close(copy), KV_OK);
}

static void a_copy_does_not_overwrite(void **state)
{
	struct fixture *f = *state;
	unsigned char *data;
	size_t size;

	file_write(copy_path(f), "precious", 8);
	assert_status(kv_copy(f->db, copy_path(f), NULL, NULL), KV_EXISTS);
	data = file_read(copy_path(f), &size);
	assert_int_equal(size, 8);
	free(data);
	assert_status(kv_copy(f->db, f->dir.file, NULL, NULL), KV_EXISTS);
	assert_status(kv_copy(f->db, NULL, NULL, NULL), KV_INVALID);
}

struct progress {
	unsigned calls;
	uint64_t last, cancel_after;
};

static int watch(void *arg, uint64_t done, uint64_t total)
{
	struct progress *progress = arg;

	assert_true(done >= progress->last);
	assert_true(total > 0);
	progress->last = done;
	return ++progress->calls == progress->cancel_after;
}

static void long_work_tells_progress_and_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	struct progress all = {0}, some = {.cancel_after = 1};

	kv_txn *txn = begin_write(f->db);

	put_numbers(txn, f->table, 300000); /* they are told every some thousand pages or entries */
	assert_status(kv_commit(txn), KV_OK);
	assert_status(kv_check(f->db, NULL, watch, &all), KV_OK);
	assert_true(all.calls > 0);
	assert_status(kv_check(f->db, NULL, watch, &some), KV_CANCELLED);
	some = (struct progress){.cancel_after = 1};
	assert_status(kv_copy(f->db, copy_path(f), watch, &some), KV_CANCELLED);
	assert_int_not_equal(access(copy_path(f), F_OK), 0);
	all = (struct progress){0};
	assert_status(kv_copy(f->db, copy_path(f), watch, &all), KV_OK);
	assert_true(all.calls > 0);
}

static void a_copy_from_memory_becomes_a_file(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.flags = KV_IN_MEMORY};

	fixture_reopen(f, &options);
	commit_pair(f->db, f->table, "k", "v");
	assert_status(kv_copy(f->db, copy_path(f), NULL, NULL), KV_OK);
	assert_status(kv_close(f->db), KV_OK);
	assert_status(kv_open(copy_path(f), NULL, &f->db), KV_OK);
	assert_committed(f->db, open_table(f->db, "t"), "k", "v");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(a_copy_holds_the_same_and_is_compact),
	        fixture_test(a_copy_does_not_overwrite),
	        fixture_test(long_work_tells_progress_and_can_be_cancelled),
	        fixture_test(a_copy_from_memory_becomes_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
