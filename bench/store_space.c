/* Workloads about files: their size, growth, large values, opening. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/store.h"

#define MIB (1 << 20)
#define OVERWRITES 100       /* per transaction */
#define CHECKPOINT_EVERY 100 /* transactions, in the nosync run of the pinned reader */
#define LARGE_PER_COMMIT 10

void store_report_size(struct turn *turn, struct engine_db *db, const char *directory,
                       const char *when, uint64_t entries)
{
	double limit = (double)store_bytes(entries) / MIB;
	char copy[FILES_MAX_PATH], name[64];

	turn_must(turn, turn->engine->checkpoint(db), "checkpoint");
	snprintf(name, sizeof(name), "file %s", when);
	turn_report(turn, name, "MiB", (double)files_size(directory) / MIB, limit, 0,
	            "file bytes after a checkpoint");

	files_join(copy, turn->scratch, "compact");
	files_renew(copy);
	uint64_t start = harness_now();
	turn_must(turn, turn->engine->compact(db, copy), "compact");
	files_sync(copy);
	snprintf(name, sizeof(name), "compaction %s", when);
	turn_report(turn, name, "ms", harness_ms(start, harness_now()),
	            turn_limit_write(turn, store_bytes(entries)), 0,
	            "into a new file, until durable");
	snprintf(name, sizeof(name), "compact file %s", when);
	turn_report(turn, name, "MiB", (double)files_size(copy) / MIB, limit, 0, "file bytes");

	struct engine_db *compact = turn_open(turn, copy, ENGINE_DURABLE);
	turn_expect_count(turn, compact, entries);
	turn_close(turn, compact);
	files_remove(copy);
}

void store_size(struct turn *turn)
{
	struct engine_db *db = turn_open(turn, turn->main, ENGINE_DURABLE);

	store_report_size(turn, db, turn->main, "after writes", turn->store->filled);
	turn_close(turn, db);
}

/* ---- a reader that stays ------------------------------------------------------------------- */

/* One transaction of overwrites with values of another version. */
static void overwrite(const struct turn *turn, struct engine_db *db, uint64_t version)
{
	const struct store *store = turn->store;
	struct engine_txn txn = turn_begin(turn, db, ENGINE_WRITE);

	for (uint64_t i = 0; i < OVERWRITES; i++) {
		uint64_t n = data_word(&store->data, version * OVERWRITES + i, 0) % store->pinned;
		struct data_key key = data_key(&store->data, n);
		struct engine_bytes value = data_value(&store->data, n + (version << 40),
		                                       DATA_VALUE_SIZE);
		turn_must(turn, turn->engine->put(&txn, data_key_bytes(&key), value), "put");
	}
	turn_commit(turn, &txn);
}

/* How many times larger the file is after the overwrites than before, the reader still open. */
static double pinned_growth(struct turn *turn, enum engine_durability durability,
                            uint64_t transactions)
{
	uint64_t n = turn->store->pinned, sum;

	files_renew(turn->scratch);
	struct engine_db *db = turn_open(turn, turn->scratch, durability);
	struct engine_txn txn = turn_begin(turn, db, ENGINE_WRITE);
	turn_put(turn, &txn, 0, n);
	turn_commit(turn, &txn);
	turn_must(turn, turn->engine->checkpoint(db), "checkpoint");
	uint64_t before = files_size(turn->scratch);

	struct engine_txn reader = turn_begin(turn, db, ENGINE_READ);
	for (uint64_t i = 1; i <= transactions; i++) {
		overwrite(turn, db, i);
		if (durability == ENGINE_NOSYNC && i % CHECKPOINT_EVERY == 0)
			turn_must(turn, turn->engine->checkpoint(db), "checkpoint");
	}
	turn_must(turn, turn->engine->checkpoint(db), "checkpoint");
	uint64_t after = files_size(turn->scratch);

	uint64_t seen = turn_scan(turn, &reader, &sum);
	turn_expect_entries(turn, n, seen, sum);
	turn_must(turn, turn->engine->end(&reader), "end");
	turn_close(turn, db);
	return (double)after / (double)before;
}

void store_pinned_reader(struct turn *turn)
{
	turn_report(turn, "pinned reader, durable", "times",
	            pinned_growth(turn, ENGINE_DURABLE, 500), 0, turn->store->pinned,
	            "entries, 500 x 100 overwrites");
	turn_report(turn, "pinned reader, nosync", "times",
	            pinned_growth(turn, ENGINE_NOSYNC, 2000), 0, turn->store->pinned,
	            "entries, 2,000 x 100, 20 checkpoints");
}

/* ---- large values --------------------------------------------------------------------------- */

static void put_large(const struct turn *turn, struct engine_txn *txn, uint64_t i)
{
	const struct data *data = &turn->store->data;
	struct data_key key = data_key(data, i);

	turn_must(
	        turn,
	        turn->engine->put(txn, data_key_bytes(&key), data_value(data, i, DATA_LARGE_SIZE)),
	        "put");
}

static void write_large(const struct turn *turn, struct engine_db *db, uint64_t n)
{
	for (uint64_t i = 0; i < n;) {
		struct engine_txn txn = turn_begin(turn, db, ENGINE_WRITE);
		for (unsigned j = 0; j < LARGE_PER_COMMIT && i < n; j++, i++)
			put_large(turn, &txn, i);
		turn_commit(turn, &txn);
	}
}

static uint64_t read_large(const struct turn *turn, struct engine_db *db, uint64_t n)
{
	struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
	struct engine_bytes value;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct data_key key = data_key(&turn->store->data, i);
		turn_must(turn, turn->engine->get(&txn, data_key_bytes(&key), &value), "get");
		sum += data_sum(value);
	}
	turn_must(turn, turn->engine->end(&txn), "end");
	return sum;
}

void store_large_values(struct turn *turn)
{
	const struct store *store = turn->store;
	uint64_t n = store->options->large, bytes = n * DATA_LARGE_SIZE, expected = 0;

	struct engine_db *db = turn_open(turn, turn->scratch, ENGINE_DURABLE);
	uint64_t start = harness_now();
	write_large(turn, db, n);
	turn_report(turn, "large values, write", "ms", harness_ms(start, harness_now()),
	            turn_limit_write(turn, bytes), n, "values of 2 MB, durable every 10");
	turn_close(turn, db);

	db = turn_open(turn, turn->scratch, ENGINE_DURABLE);
	start = harness_now();
	uint64_t sum = read_large(turn, db, n);
	turn_report(turn, "large values, read", "ms", harness_ms(start, harness_now()),
	            (double)bytes / store->report->limits.read_gb_s / 1e6, n,
	            "values, every byte, freshly opened");
	turn_close(turn, db);
	for (uint64_t i = 0; i < n; i++)
		expected += data_sum(data_value(&store->data, i, DATA_LARGE_SIZE));
	if (sum != expected)
		harness_fail("%s: wrong answer: large values read differ from those written",
		             turn->engine->name);
}

/* ---- opening -------------------------------------------------------------------------------- */

/* Milliseconds to open the database and get one entry that must be there. */
static double time_open(const struct turn *turn, const char *directory, struct engine_db **db)
{
	const struct store *store = turn->store;
	uint32_t entry = store->orders[0][turn->repeat];
	struct data_key key = data_key(&store->data, entry);
	struct engine_bytes value;
	uint64_t start = harness_now();

	*db = turn_open(turn, directory, ENGINE_DURABLE);
	struct engine_txn txn = turn_begin(turn, *db, ENGINE_READ);
	turn_must(turn, turn->engine->get(&txn, data_key_bytes(&key), &value), "get");
	uint64_t sum = data_sum(value);
	turn_must(turn, turn->engine->end(&txn), "end");
	double ms = harness_ms(start, harness_now());
	if (sum != data_sum(data_value(&store->data, entry, DATA_VALUE_SIZE)))
		harness_fail("%s: wrong answer after opening", turn->engine->name);
	return ms;
}

/* A process that commits without syncing and is killed in the middle of its work. */
static void write_and_die(const struct turn *turn, uint64_t n)
{
	pid_t child = fork();

	if (child == 0) {
		struct engine_db *db = turn_open(turn, turn->scratch, ENGINE_NOSYNC);
		for (uint64_t i = 0; i < n; i++) {
			struct engine_txn txn = turn_begin(turn, db, ENGINE_WRITE);
			turn_put(turn, &txn, turn->store->filled + i, 1);
			turn_commit(turn, &txn);
		}
		raise(SIGKILL);
	}
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
		harness_fail("the process that was to be killed ended by itself");
}

void store_reopen(struct turn *turn)
{
	uint64_t n = turn->store->unsynced, filled = turn->store->filled, count;
	struct engine_db *db;

	turn_report(turn, "reopen after a close", "ms", time_open(turn, turn->main, &db), 0, 0,
	            "open, until the first get");
	turn_close(turn, db);

	files_copy(turn->main, turn->scratch);
	write_and_die(turn, n);
	turn_report(turn, "reopen after kill -9", "ms", time_open(turn, turn->scratch, &db), 0, n,
	            "unsynced transactions before");
	struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
	turn_must(turn, turn->engine->count(&txn, &count), "count");
	turn_must(turn, turn->engine->end(&txn), "end");
	if (count < filled || count > filled + n)
		harness_fail("%s: wrong answer: %llu entries after a kill", turn->engine->name,
		             (unsigned long long)count);
	turn_close(turn, db);
}
