/* The pinned reader: while one old reader stays open, overwriting must not make the file grow
 * beyond the two versions that somebody can still see. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/random.h"
#include "tests/support.h"

struct test {
	uint64_t entries, overwrites, immediate, none, every, limit_percent, seed;
	const char *parent;
	kv_db *db;
	kv_table *table;
};

#define KEY_SIZE 24
#define VALUE_SIZE 150

static void must(int rc, const char *call)
{
	if (!rc)
		return;
	fprintf(stderr, "pinned reader: %s: %s (%s)\n", call, kv_strerror(rc), kv_detail());
	exit(1);
}

static void key_of(uint64_t number, unsigned char *key)
{
	for (uint64_t i = 0; i < KEY_SIZE / 8; i++)
		memcpy(key + 8 * i, &(uint64_t){random_mix(number + i)}, 8);
}

static void put(const struct test *test, kv_txn *txn, uint64_t number, unsigned char fill)
{
	unsigned char key[KEY_SIZE], value[VALUE_SIZE];

	key_of(number, key);
	memset(value, fill, sizeof(value));
	must(kv_put(txn, test->table, kv_bytes(key, KEY_SIZE), kv_bytes(value, VALUE_SIZE)),
	     "kv_put");
}

static uint64_t file_size(const struct test *test)
{
	kv_info info;

	must(kv_info_get(test->db, &info), "kv_info_get");
	return info.file_size;
}

static void load(struct test *test)
{
	kv_txn *txn;

	must(kv_begin(test->db, KV_WRITE, &txn), "kv_begin");
	must(kv_table_open(txn, "t", KV_CREATE, &test->table), "kv_table_open");
	for (uint64_t i = 0; i < test->entries; i++)
		put(test, txn, i, 'o');
	must(kv_commit(txn), "kv_commit");
	must(kv_checkpoint(test->db), "kv_checkpoint");
}

static void overwrite(struct test *test, uint64_t transactions, int durability, uint64_t every)
{
	struct random random = {test->seed};
	kv_txn *txn;

	for (uint64_t i = 0; i < transactions; i++) {
		must(kv_begin_write(test->db, UINT64_MAX, durability, &txn), "kv_begin_write");
		for (uint64_t n = 0; n < test->overwrites; n++)
			put(test, txn, random_below(&random, test->entries), (unsigned char)i);
		must(kv_commit(txn), "kv_commit");
		if (every && i % every == every - 1)
			must(kv_checkpoint(test->db), "kv_checkpoint");
	}
}

/* The old reader still sees what it saw. */
static void look_back(const struct test *test, kv_txn *reader)
{
	unsigned char expected[VALUE_SIZE];
	kv_cursor cursor;
	uint64_t count = 0;

	memset(expected, 'o', sizeof(expected));
	must(kv_cursor_open(reader, test->table, &cursor), "kv_cursor_open");
	while (kv_cursor_next(&cursor) == KV_OK) {
		if (cursor.value.size != VALUE_SIZE ||
		    memcmp(cursor.value.data, expected, VALUE_SIZE) != 0) {
			fprintf(stderr, "pinned reader: sees a newer value\n");
			exit(1);
		}
		count++;
	}
	must(kv_end(reader), "kv_end");
	if (count != test->entries) {
		fprintf(stderr, "pinned reader: sees %llu entries\n", (unsigned long long)count);
		exit(1);
	}
}

/* One run; returns whether the file stayed within the limit. */
static bool run(struct test *test, uint64_t transactions, int durability, uint64_t every)
{
	struct temp_dir dir;
	uint64_t before, after;
	unsigned faults = 0;
	double start = seconds_now(), ratio;
	kv_txn *reader;

	temp_dir_make(&dir, test->parent);
	must(kv_open(dir.file, NULL, &test->db), "kv_open");
	load(test);
	before = file_size(test);
	must(kv_begin(test->db, KV_READ, &reader), "kv_begin");
	overwrite(test, transactions, durability, every);
	after = file_size(test);
	look_back(test, reader);
	must(kv_check(test->db, fault_print, NULL, &faults), "kv_check");
	must(kv_close(test->db), "kv_close");
	ratio = (double)after / (double)before;
	printf("%5llu %s transactions of %llu overwrites: %.1f -> %.1f MB, %.2f times (%.1f s)\n",
	       (unsigned long long)transactions, durability == KV_NONE ? "NONE" : "IMMEDIATE",
	       (unsigned long long)test->overwrites, (double)before / 1e6, (double)after / 1e6,
	       ratio, seconds_now() - start);
	temp_dir_remove(&dir);
	return ratio * 100 <= (double)test->limit_percent;
}

int main(int argc, char **argv)
{
	struct test test = {.entries = 100000,
	                    .overwrites = 100,
	                    .immediate = 500,
	                    .none = 2000,
	                    .every = 100,
	                    .limit_percent = 220,
	                    .seed = 1};
	const struct option_spec specs[] = {
	        {"entries", &test.entries, NULL, "in the table"},
	        {"overwrites", &test.overwrites, NULL, "per transaction"},
	        {"immediate", &test.immediate, NULL, "transactions of the first run"},
	        {"none", &test.none, NULL, "transactions of the second run"},
	        {"every", &test.every, NULL, "transactions between checkpoints in the second run"},
	        {"limit", &test.limit_percent, NULL, "percent of its size that the file may reach"},
	        {"seed", &test.seed, NULL, "of the random numbers"},
	        {"dir", NULL, &test.parent, "where the database goes; default $TMPDIR or /tmp"},
	        {0},
	};
	bool good;

	options_parse(argc, argv, specs);
	good = run(&test, test.immediate, KV_IMMEDIATE, 0);
	good = run(&test, test.none, KV_NONE, test.every) && good;
	if (!good)
		fprintf(stderr, "pinned reader: the file has grown too far\n");
	return good ? 0 : 1;
}
