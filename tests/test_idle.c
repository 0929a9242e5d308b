/* Memory goes back to the system when a database has not been written to for a while. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fixture.h"

#define MIB ((uint64_t)1 << 20)

/* Private memory of this process, in bytes: what is resident and not shared. */
static uint64_t private_bytes(void)
{
	char text[128], *rest = text;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	uint64_t resident;

	assert_true(n > 0);
	close(fd);
	text[n] = '\0';
	strtoull(rest, &rest, 10);
	resident = strtoull(rest, &rest, 10);
	return (resident - strtoull(rest, &rest, 10)) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Fills the arena: single inserts in random order, so that nothing goes straight to the file. */
static void fill_arena(struct fixture *f)
{
	static const char value[500];
	kv_txn *txn;

	assert_status(kv_begin_write(f->db, UINT64_MAX, KV_NONE, &txn), KV_OK);
	for (unsigned i = 0; i < 60000; i++)
		assert_status(kv_put_if_absent(txn, f->table, text(number_key(i * 7919 % 60000)),
		                               kv_bytes(value, sizeof(value)), NULL),
		              KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	assert_status(kv_sync(f->db), KV_OK);
}

static void frames_go_back_after_a_while_without_writes(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.idle_ms = 500};
	uint64_t before, filled, half;

	fixture_reopen(f, &options);
	f->table = open_table(f->db, "t");
	before = private_bytes();
	fill_arena(f);
	filled = private_bytes();
	assert_true(filled > before + 24 * MIB);
	half = before + (filled - before) / 2;
	for (int i = 0; i < 100 && private_bytes() > half; i++)
		usleep(100000);
	assert_true(private_bytes() <= half);
	assert_sound(f->db);
	commit_pair(f->db, f->table, "later", "v");
	assert_committed(f->db, f->table, "later", "v");
}

static void a_database_can_be_closed_while_the_thread_waits(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.idle_ms = 3600000};

	fixture_reopen(f, &options);
	f->table = open_table(f->db, "t");
	fill_arena(f);
	assert_status(kv_close(f->db), KV_OK);
	f->db = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(frames_go_back_after_a_while_without_writes),
	        fixture_test(a_database_can_be_closed_while_the_thread_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
