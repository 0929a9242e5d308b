/* Opening and closing: files, options, locks, limits. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fixture.h"

static int open_with(const char *path, unsigned flags, kv_db **db)
{
	kv_options options = {.flags = flags};

	return kv_open(path, &options, db);
}

/* ---- files --------------------------------------------------------------------------------- */

static void a_new_file_belongs_to_its_owner_alone(void **state)
{
	struct fixture *f = *state;
	struct stat info;

	assert_int_equal(stat(f->dir.file, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
}

static void file_mode_sets_the_permissions(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.file_mode = 0644};
	mode_t mask = umask(0);
	struct stat info;
	kv_db *db;

	strcat(f->dir.file, "2");
	assert_status(kv_open(f->dir.file, &options, &db), KV_OK);
	umask(mask);
	assert_int_equal(stat(f->dir.file, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0644);
	assert_status(kv_close(db), KV_OK);
}

static void at_rest_a_database_is_one_file(void **state)
{
	struct fixture *f = *state;
	char command[SUPPORT_PATH * 2];

	commit_pair(f->db, f->table, "k", "v");
	assert_status(kv_close(f->db), KV_OK);
	f->db = NULL;
	snprintf(command, sizeof(command), "test $(ls -A '%s' | wc -l) = 1", f->dir.path);
	assert_int_equal(system(command), 0);
}

static void a_missing_file_is_not_created_when_it_should_exist(void **state)
{
	struct fixture *f = *state;
	kv_db *db;

	strcat(f->dir.file, "2");
	assert_status(open_with(f->dir.file, KV_EXISTING, &db), KV_NO_FILE);
	assert_status(open_with(f->dir.file, KV_READ_ONLY_DB, &db), KV_NO_FILE);
	assert_int_not_equal(access(f->dir.file, F_OK), 0);
}

static void a_missing_directory_is_an_error(void **state)
{
	struct fixture *f = *state;
	kv_db *db;
	int rc;

	strcat(f->dir.file, "2/x.kv");
	rc = kv_open(f->dir.file, NULL, &db);
	assert_true(rc == KV_IO || rc == KV_NO_FILE);
	assert_string_not_equal(kv_detail(), "");
}

static void an_empty_file_becomes_a_database_only_on_request(void **state)
{
	struct fixture *f = *state;
	kv_db *db;

	strcat(f->dir.file, "2");
	file_write(f->dir.file, "", 0);
	assert_status(kv_open(f->dir.file, NULL, &db), KV_NOT_A_DATABASE);
	assert_status(open_with(f->dir.file, KV_EXISTING, &db), KV_NOT_A_DATABASE);
	assert_status(open_with(f->dir.file, KV_CREATE, &db), KV_OK);
	assert_status(kv_close(db), KV_OK);
	assert_status(kv_open(f->dir.file, NULL, &db), KV_OK);
	assert_status(kv_close(db), KV_OK);
}

static void a_file_of_another_kind_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	const size_t sizes[] = {1, 100, 4096, 70000};
	unsigned char *data = malloc(70000), *after;
	size_t size;
	kv_db *db;

	assert_non_null(data);
	memset(data, 'x', 70000);
	strcat(f->dir.file, "2");
	for (int i = 0; i < 4; i++) {
		file_write(f->dir.file, data, sizes[i]);
		assert_status(kv_open(f->dir.file, NULL, &db), KV_NOT_A_DATABASE);
		assert_status(open_with(f->dir.file, KV_CREATE, &db), KV_NOT_A_DATABASE);
		after = file_read(f->dir.file, &size);
		assert_int_equal(size, sizes[i]);
		assert_memory_equal(after, data, size);
		free(after);
	}
	free(data);
}

static void a_directory_is_no_database(void **state)
{
	struct fixture *f = *state;
	kv_db *db;

	assert_true(kv_open(f->dir.path, NULL, &db) < 0);
	assert_true(open_with(f->dir.path, KV_READ_ONLY_DB, &db) < 0);
}

/* ---- options ------------------------------------------------------------------------------- */

static void senseless_options_are_refused(void **state)
{
	struct fixture *f = *state;
	const kv_options wrong[] = {
	        {.page_size = 1},          {.page_size = 2048}, {.page_size = 5000},
	        {.page_size = 1u << 17},   {.durability = 3},   {.flags = 1u << 20},
	        {.flags = KV_READ_COPIES},
	};
	kv_db *db;

	strcat(f->dir.file, "2");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_status(kv_open(f->dir.file, &wrong[i], &db), KV_INVALID);
		assert_int_not_equal(access(f->dir.file, F_OK), 0);
	}
	assert_status(kv_open(NULL, NULL, &db), KV_INVALID);
	assert_status(kv_open(f->dir.file, NULL, NULL), KV_INVALID);
}

static void the_file_remembers_its_page_size(void **state)
{
	struct fixture *f = *state;
	kv_options options = {0};
	kv_info info;
	kv_db *db;

	for (uint32_t size = KV_MIN_PAGE_SIZE; size <= KV_MAX_PAGE_SIZE; size *= 2) {
		strcat(f->dir.file, "+");
		options.page_size = size;
		assert_status(kv_open(f->dir.file, &options, &db), KV_OK);
		assert_status(kv_close(db), KV_OK);
		options.page_size = size == 4096 ? 8192 : 4096;
		assert_status(kv_open(f->dir.file, &options, &db), KV_OK);
		assert_status(kv_info_get(db, &info), KV_OK);
		assert_int_equal(info.page_size, size);
		assert_int_equal(info.max_key, KV_MAX_KEY(size));
		assert_true(info.max_key >= 700);
		assert_int_equal(info.file_size % size, 0);
		assert_status(kv_close(db), KV_OK);
	}
}

static void without_uring_everything_works_the_same(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.flags = KV_NO_URING};
	kv_info info;

	commit_pair(f->db, f->table, "k", "v");
	fixture_reopen(f, &options);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_false(info.uring);
	assert_committed(f->db, f->table, "k", "v");
	commit_pair(f->db, f->table, "k", "w");
	fixture_reopen(f, NULL);
	assert_committed(f->db, f->table, "k", "w");
}

/* ---- in memory ----------------------------------------------------------------------------- */

static void databases_in_memory_are_separate_and_leave_nothing(void **state)
{
	kv_options options = {.flags = KV_IN_MEMORY};
	kv_table *table[2];
	kv_db *db[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_status(kv_open(i ? "ignored" : NULL, &options, &db[i]), KV_OK);
		table[i] = open_table(db[i], "t");
		assert_int_equal(count_of(db[i], table[i]), 0);
		commit_pair(db[i], table[i], "k", i ? "one" : "zero");
	}
	for (int i = 0; i < 2; i++) {
		assert_committed(db[i], table[i], "k", i ? "one" : "zero");
		assert_status(kv_sync(db[i]), KV_OK);
		assert_sound(db[i]);
		assert_status(kv_close(db[i]), KV_OK);
	}
	assert_int_not_equal(access("ignored", F_OK), 0);
}

/* ---- several openers ----------------------------------------------------------------------- */

static void a_second_opener_is_turned_away_at_once(void **state)
{
	struct fixture *f = *state;
	double start = seconds_now();
	kv_db *db;

	assert_status(kv_open(f->dir.file, NULL, &db), KV_BUSY);
	assert_string_not_equal(kv_detail(), "");
	assert_status(open_with(f->dir.file, KV_READ_ONLY_DB, &db), KV_BUSY);
	assert_true(seconds_now() - start < 1);
	commit_pair(f->db, f->table, "k", "v");
}

static void another_process_is_turned_away_at_once(void **state)
{
	struct fixture *f = *state;
	pid_t child = fork();
	kv_db *db;
	int status;

	if (!child)
		_exit(kv_open(f->dir.file, NULL, &db) == KV_BUSY ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void read_only_openers_share_the_file(void **state)
{
	struct fixture *f = *state;
	kv_db *db[2], *writer;
	kv_table *table;
	kv_txn *txn;

	commit_pair(f->db, f->table, "k", "v");
	assert_status(kv_close(f->db), KV_OK);
	f->db = NULL;
	for (int i = 0; i < 2; i++)
		assert_status(open_with(f->dir.file, KV_READ_ONLY_DB, &db[i]), KV_OK);
	assert_status(kv_open(f->dir.file, NULL, &writer), KV_BUSY);
	for (int i = 0; i < 2; i++) {
		txn = begin_read(db[i]);
		assert_status(kv_table_open(txn, "t", 0, &table), KV_OK);
		assert_value(txn, table, "k", "v");
		assert_status(kv_end(txn), KV_OK);
		assert_status(kv_begin(db[i], KV_WRITE, &txn), KV_READ_ONLY);
		assert_status(kv_close(db[i]), KV_OK);
	}
}

static void read_only_needs_no_right_to_write(void **state)
{
	struct fixture *f = *state;
	size_t size_before, size_after;
	unsigned char *before, *after;
	kv_db *db;

	commit_pair(f->db, f->table, "k", "v");
	assert_status(kv_close(f->db), KV_OK);
	f->db = NULL;
	assert_int_equal(chmod(f->dir.file, 0400), 0);
	before = file_read(f->dir.file, &size_before);
	assert_status(open_with(f->dir.file, KV_READ_ONLY_DB, &db), KV_OK);
	assert_status(kv_close(db), KV_OK);
	after = file_read(f->dir.file, &size_after);
	assert_int_equal(size_before, size_after);
	assert_memory_equal(before, after, size_before);
	free(before);
	free(after);
}

/* ---- closing ------------------------------------------------------------------------------- */

static void closing_waits_for_nobody(void **state)
{
	struct fixture *f = *state;
	kv_txn *reader = begin_read(f->db);

	assert_status(kv_close(NULL), KV_OK);
	assert_status(kv_close(f->db), KV_BUSY);
	assert_value(reader, f->table, "k", NULL);
	assert_status(kv_end(reader), KV_OK);
	reader = begin_write(f->db);
	assert_status(kv_close(f->db), KV_BUSY);
	assert_status(kv_put(reader, f->table, text("k"), text("v")), KV_OK);
	assert_status(kv_commit(reader), KV_OK);
}

static void a_clean_close_makes_everything_durable(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.durability = KV_NONE};
	kv_options read_only = {.flags = KV_READ_ONLY_DB};
	kv_info info;

	fixture_reopen(f, &options);
	commit_pair(f->db, f->table, "k", "u");
	assert_status(kv_sync(f->db), KV_OK);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_false(info.clean);
	commit_pair(f->db, f->table, "k", "v");
	fixture_reopen(f, &read_only);
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_true(info.clean);
	assert_int_equal(info.last_txn, info.durable_txn);
	fixture_reopen(f, NULL);
	assert_committed(f->db, f->table, "k", "v");
}

/* A process that dies without closing. */
static void what_was_durable_survives_a_sudden_end(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child;

	assert_status(kv_close(f->db), KV_OK);
	f->db = NULL;
	child = fork();
	if (!child) {
		if (kv_open(f->dir.file, NULL, &f->db))
			_exit(1);
		f->table = open_table(f->db, "t");
		commit_pair(f->db, f->table, "k", "v");
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_status(kv_open(f->dir.file, NULL, &f->db), KV_OK);
	f->table = open_table(f->db, "t");
	assert_sound(f->db);
	assert_committed(f->db, f->table, "k", "v");
}

/* ---- limits -------------------------------------------------------------------------------- */

/* Commits values of 10 KB until that fails; returns how many went in. */
static unsigned fill(struct fixture *f, int *rc)
{
	static const char value[10000];
	unsigned count = 0;
	kv_txn *txn;

	for (; count < 10000; count++) {
		*rc = kv_begin(f->db, KV_WRITE, &txn);
		if (*rc)
			break;
		kv_put(txn, f->table, text(number_key(count)), kv_bytes(value, sizeof(value)));
		*rc = kv_commit(txn);
		if (*rc)
			break;
	}
	return count;
}

/* Full is an ordinary state: what is there stays, room can be made, and it is used again. */
static void live_at_the_limit(struct fixture *f, const kv_options *options)
{
	unsigned count, again;
	struct stat info;
	kv_txn *txn;
	int rc;

	fixture_reopen(f, options);
	count = fill(f, &rc);
	assert_int_equal(rc, KV_FULL);
	assert_in_range(count, 100, 9999);
	assert_int_equal(count_of(f->db, f->table), count);
	assert_sound(f->db);
	txn = begin_write(f->db);
	assert_status(kv_clear(txn, f->table), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_int_equal(count_of(f->db, f->table), 0);
	assert_status(kv_checkpoint(f->db), KV_OK);
	again = fill(f, &rc);
	assert_int_equal(rc, KV_FULL);
	assert_in_range(again, count * 8 / 10, count * 12 / 10);
	assert_int_equal(stat(f->dir.file, &info), 0);
	assert_in_range(info.st_size, 0, 4 << 20);
	fixture_reopen(f, NULL);
	assert_int_equal(count_of(f->db, f->table), again);
	assert_sound(f->db);
}

static void the_size_limit_holds(void **state)
{
	kv_options options = {.size_limit = 4 << 20};

	live_at_the_limit(*state, &options);
}

static void the_map_size_is_a_limit_too(void **state)
{
	kv_options options = {.map_size = 4 << 20};

	live_at_the_limit(*state, &options);
}

/* ---- many ---------------------------------------------------------------------------------- */

#define MANY 300

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	char line[128], *resident;

	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	resident = strchr(line, ' '); /* after the total */
	assert_non_null(resident);
	return strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void many_databases_can_be_open(void **state)
{
	struct fixture *f = *state;
	static kv_db *dbs[MANY];
	static kv_table *tables[MANY];
	char path[SUPPORT_PATH * 2];
	uint64_t before = resident_bytes();

	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "%s%d", f->dir.file, i);
		assert_status(kv_open(path, NULL, &dbs[i]), KV_OK);
	}
	/* An idle database costs at most 1 MiB; a sanitizer's shadow memory is not its fault. */
	if (!SUPPORT_SANITIZED)
		assert_in_range(resident_bytes() - before, 0, (uint64_t)MANY << 20);
	for (int i = 0; i < MANY; i++) {
		tables[i] = open_table(dbs[i], "t");
		commit_pair(dbs[i], tables[i], "k", number_key((unsigned)i));
	}
	for (int i = 0; i < MANY; i++) {
		assert_committed(dbs[i], tables[i], "k", number_key((unsigned)i));
		assert_status(kv_close(dbs[i]), KV_OK);
	}
}

/* ---- texts --------------------------------------------------------------------------------- */

static void versions_and_codes_have_texts(void **state)
{
	char version[32];

	(void)state;
	snprintf(version, sizeof(version), "%d.%d.%d", KV_VERSION_MAJOR, KV_VERSION_MINOR,
	         KV_VERSION_PATCH);
	assert_string_equal(kv_version(), version);
	for (int rc = KV_CANCELLED; rc <= KV_EXISTS; rc++) {
		assert_string_not_equal(kv_strerror(rc), "");
		assert_string_not_equal(kv_strerror(rc), "unknown status");
		for (int other = KV_CANCELLED; other < rc; other++)
			assert_string_not_equal(kv_strerror(rc), kv_strerror(other));
	}
	assert_string_equal(kv_strerror(-12345), "unknown status");
}

static void every_refusal_has_a_detail(void **state)
{
	struct fixture *f = *state;
	kv_db *db;

	assert_status(kv_open(f->dir.file, NULL, &db), KV_BUSY);
	assert_non_null(strstr(kv_detail(), f->dir.file));
	assert_null(strchr(kv_detail(), '\n'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(a_new_file_belongs_to_its_owner_alone),
	        fixture_test(file_mode_sets_the_permissions),
	        fixture_test(at_rest_a_database_is_one_file),
	        fixture_test(a_missing_file_is_not_created_when_it_should_exist),
	        fixture_test(a_missing_directory_is_an_error),
	        fixture_test(an_empty_file_becomes_a_database_only_on_request),
	        fixture_test(a_file_of_another_kind_is_refused_and_left_alone),
	        fixture_test(a_directory_is_no_database),
	        fixture_test(senseless_options_are_refused),
	        fixture_test(the_file_remembers_its_page_size),
	        fixture_test(without_uring_everything_works_the_same),
	        fixture_test(databases_in_memory_are_separate_and_leave_nothing),
	        fixture_test(a_second_opener_is_turned_away_at_once),
	        fixture_test(another_process_is_turned_away_at_once),
	        fixture_test(read_only_openers_share_the_file),
	        fixture_test(read_only_needs_no_right_to_write),
	        fixture_test(closing_waits_for_nobody),
	        fixture_test(a_clean_close_makes_everything_durable),
	        fixture_test(what_was_durable_survives_a_sudden_end),
	        fixture_test(the_size_limit_holds),
	        fixture_test(the_map_size_is_a_limit_too),
	        fixture_test(many_databases_can_be_open),
	        fixture_test(versions_and_codes_have_texts),
	        fixture_test(every_refusal_has_a_detail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
