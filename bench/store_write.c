/* Workloads that write with one thread. All times run until the data is durable. */
#include "bench/store.h"

static double ms_since(uint64_t start)
{
	return harness_ms(start, harness_now());
}

/* The database that the rest of the suite works on; the one of the last run stays. */
void store_bulk_load(struct turn *turn)
{
	struct store *store = turn->store;
	uint64_t n = store->options->entries;

	files_renew(turn->main);
	struct engine_db *db = turn_open(turn, turn->main, ENGINE_DURABLE);
	uint64_t start = harness_now();
	struct engine_txn txn = turn_begin(turn, db, ENGINE_WRITE);
	turn_put(turn, &txn, 0, n);
	turn_commit(turn, &txn);
	turn_report(turn, "bulk load", "ms", ms_since(start),
	            turn_limit_write(turn, store_bytes(n)), n, "random pairs, 1 transaction");
	turn_expect_count(turn, db, n);
	turn_must(turn, turn->engine->checkpoint(db), "checkpoint");
	turn_report(turn, "file after bulk load", "MiB", (double)files_size(turn->main) / (1 << 20),
	            (double)store_bytes(n) / (1 << 20), 0, "file bytes after a checkpoint");
	turn_close(turn, db);
}

void store_sorted_load(struct turn *turn)
{
	const struct data *data = &turn->store->data;
	uint64_t n = turn->store->sorted, sum;
	struct engine_db *db = turn_open(turn, turn->scratch, ENGINE_DURABLE);
	uint64_t start = harness_now();
	struct engine_txn txn = turn_begin(turn, db, ENGINE_WRITE);

	for (uint64_t i = 0; i < n; i++) {
		struct data_key key = data_sorted_key(data, i, n);
		turn_must(turn,
		          turn->engine->append(&txn, data_key_bytes(&key),
		                               data_value(data, i, DATA_VALUE_SIZE)),
		          "append");
	}
	turn_commit(turn, &txn);
	turn_report(turn, "sorted load", "ms", ms_since(start),
	            turn_limit_write(turn, store_bytes(n)), n, "pairs in key order, 1 transaction");
	turn_expect_count(turn, db, n);
	txn = turn_begin(turn, db, ENGINE_READ);
	turn_scan(turn, &txn, &sum);
	turn_check(turn, "sorted load", sum);
	turn_must(turn, turn->engine->end(&txn), "end");
	turn_close(turn, db);
}

/* Commits `transactions` times `pairs` new pairs. */
static void write_transactions(const struct turn *turn, struct engine_db *db, uint64_t transactions,
                               uint64_t pairs)
{
	for (uint64_t i = 0; i < transactions; i++) {
		struct engine_txn txn = turn_begin(turn, db, ENGINE_WRITE);
		turn_put(turn, &txn, turn->store->filled + i * pairs, pairs);
		turn_commit(turn, &txn);
	}
}

void store_individual_writes(struct turn *turn)
{
	uint64_t n = turn->store->singles;
	struct engine_db *db = turn_open_warm(turn, turn->main, ENGINE_DURABLE);
	uint64_t start = harness_now();

	write_transactions(turn, db, n, 1);
	turn_report(turn, "individual writes", "ms", ms_since(start), turn_limit_flushes(turn, n),
	            n, "durable transactions of 1 pair");
	turn_expect_count(turn, db, turn->store->filled + n);
	turn_close(turn, db);
}

void store_batch_writes(struct turn *turn)
{
	uint64_t n = turn->store->batches;
	struct engine_db *db = turn_open_warm(turn, turn->main, ENGINE_DURABLE);
	uint64_t start = harness_now();

	write_transactions(turn, db, n, 1000);
	turn_report(turn, "batch writes", "ms", ms_since(start),
	            turn_limit_flushes(turn, n) + turn_limit_write(turn, store_bytes(n * 1000)), n,
	            "durable transactions of 1,000 pairs");
	turn_expect_count(turn, db, turn->store->filled + n * 1000);
	turn_close(turn, db);
}

void store_nosync_writes(struct turn *turn)
{
	uint64_t n = turn->store->unsynced;
	struct engine_db *db = turn_open_warm(turn, turn->main, ENGINE_NOSYNC);
	uint64_t start = harness_now();

	write_transactions(turn, db, n, 1);
	double committed = ms_since(start);
	turn_must(turn, turn->engine->sync(db), "sync");
	turn_report(turn, "nosync writes", "ms", ms_since(start),
	            turn_limit_write(turn, store_bytes(n)), n,
	            "transactions of 1 pair, then 1 sync");
	turn_report(turn, "nosync writes, before the sync", "ms", committed, 0, n,
	            "transactions of 1 pair");
	turn_expect_count(turn, db, turn->store->filled + n);
	turn_close(turn, db);
}

void store_removals(struct turn *turn)
{
	const struct store *store = turn->store;
	uint64_t n = store->filled / 2;

	files_copy(turn->main, turn->scratch);
	struct engine_db *db = turn_open_warm(turn, turn->scratch, ENGINE_DURABLE);
	uint64_t start = harness_now();
	struct engine_txn txn = turn_begin(turn, db, ENGINE_WRITE);
	for (uint64_t i = 0; i < n; i++) {
		struct data_key key = data_key(&store->data, 2 * i);
		turn_must(turn, turn->engine->remove(&txn, data_key_bytes(&key)), "remove");
	}
	turn_commit(turn, &txn);
	turn_report(turn, "removals", "ms", ms_since(start), 0, n,
	            "of the entries (half), random order, 1 transaction");
	turn_expect_count(turn, db, store->filled - n);
	store_report_size(turn, db, turn->scratch, "after removals", store->filled - n);
	turn_close(turn, db);
}
