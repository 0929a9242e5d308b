/* Workloads that read. The first pass follows the opening of the database, so that it includes
 * what an engine does on first touch: page faults, and kv's verification of every page. The second
 * pass, with other keys, comes right after. */
#include <stdio.h>

#include "bench/store.h"

#define RANGE_ENTRIES 10
#define BATCH 32

static const char *const pass_names[] = {"1st pass", "2nd pass"};
#define PASSES 2u

/* Values that random reads of this order must add up to. */
static uint64_t expected_sum(const struct store *store, const uint32_t *order, uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += data_sum(data_value(&store->data, order[i], DATA_VALUE_SIZE));
	return sum;
}

void store_expect_sum(const struct turn *turn, const uint32_t *order, uint64_t n, uint64_t sum)
{
	if (sum != expected_sum(turn->store, order, n))
		harness_fail("%s: wrong answer: values read differ from values written",
		             turn->engine->name);
}

static void report_pass(struct turn *turn, const char *what, unsigned pass, double ms, double limit,
                        const char *detail, uint64_t n)
{
	char name[64];

	snprintf(name, sizeof(name), "%s, %s", what, pass_names[pass]);
	turn_report(turn, name, "ms", ms, limit, n, detail);
}

/* One memory access for each lookup, none overlapping. */
static double limit_misses(const struct turn *turn, uint64_t n)
{
	return turn->store->report->limits.miss_ns * (double)n / 1e6;
}

void store_len(struct turn *turn)
{
	struct engine_db *db = turn_open(turn, turn->main, ENGINE_DURABLE);
	struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
	uint64_t count, start = harness_now();

	turn_must(turn, turn->engine->count(&txn, &count), "count");
	double us = harness_ms(start, harness_now()) * 1e3;
	turn_report(turn, "len", "us", us, 0, 0, "number of entries");
	turn_must(turn, turn->engine->end(&txn), "end");
	turn_expect_count(turn, db, turn->store->filled);
	turn_close(turn, db);
}

static uint64_t read_all(const struct turn *turn, struct engine_txn *txn, const uint32_t *order)
{
	const struct store *store = turn->store;
	struct engine_bytes value;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < store->gets; i++) {
		struct data_key key = data_key(&store->data, order[i]);
		turn_must(turn, turn->engine->get(txn, data_key_bytes(&key), &value), "get");
		sum += data_sum(value);
	}
	return sum;
}

uint64_t store_read_order(const struct turn *turn, struct engine_db *db, const uint32_t *order)
{
	struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
	uint64_t sum = read_all(turn, &txn, order);

	turn_must(turn, turn->engine->end(&txn), "end");
	return sum;
}

void store_random_reads(struct turn *turn)
{
	const struct store *store = turn->store;
	struct engine_db *db = turn_open(turn, turn->main, ENGINE_DURABLE);
	const unsigned *threads = store->options->threads;

	for (unsigned pass = 0; pass < PASSES; pass++) {
		uint64_t start = harness_now();
		uint64_t sum = store_read_order(turn, db, store->orders[pass]);
		report_pass(turn, "random reads", pass, harness_ms(start, harness_now()),
		            limit_misses(turn, store->gets), "gets, 1 thread", store->gets);
		store_expect_sum(turn, store->orders[pass], store->gets, sum);
	}
	for (; *threads; threads++) {
		char name[64];
		if (*threads == 1)
			continue;
		snprintf(name, sizeof(name), "random reads, %u threads", *threads);
		turn_report(turn, name, "ms", store_threaded_reads(turn, db, *threads), 0,
		            store->gets, "gets by each thread");
	}
	turn_close(turn, db);
}

/* A batch by single gets, for engines that have no other way. */
static uint64_t read_batch_by_gets(const struct turn *turn, struct engine_txn *txn,
                                   const struct engine_bytes *keys)
{
	struct engine_bytes value;
	uint64_t sum = 0;

	for (unsigned i = 0; i < BATCH; i++) {
		turn_must(turn, turn->engine->get(txn, keys[i], &value), "get");
		sum += data_sum(value);
	}
	return sum;
}

static uint64_t read_batch(const struct turn *turn, struct engine_txn *txn,
                           const struct engine_bytes *keys)
{
	struct engine_bytes values[BATCH];
	uint64_t sum = 0;

	turn_must(turn, turn->engine->get_many(txn, BATCH, keys, values), "get_many");
	for (unsigned i = 0; i < BATCH; i++)
		sum += data_sum(values[i]);
	return sum;
}

static uint64_t read_batches(const struct turn *turn, struct engine_db *db, const uint32_t *order,
                             uint64_t batches)
{
	struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
	struct data_key keys[BATCH];
	struct engine_bytes slices[BATCH];
	uint64_t sum = 0;

	for (uint64_t b = 0; b < batches; b++) {
		for (unsigned i = 0; i < BATCH; i++) {
			keys[i] = data_key(&turn->store->data, order[b * BATCH + i]);
			slices[i] = data_key_bytes(&keys[i]);
		}
		sum += turn->engine->get_many ? read_batch(turn, &txn, slices)
		                              : read_batch_by_gets(turn, &txn, slices);
	}
	turn_must(turn, turn->engine->end(&txn), "end");
	return sum;
}

void store_get_many(struct turn *turn)
{
	const struct store *store = turn->store;
	uint64_t batches = store->gets / BATCH, n = batches * BATCH;
	struct engine_db *db = turn_open(turn, turn->main, ENGINE_DURABLE);

	for (unsigned pass = 0; pass < PASSES; pass++) {
		uint64_t start = harness_now();
		uint64_t sum = read_batches(turn, db, store->orders[pass], batches);
		report_pass(turn, "get_many", pass, harness_ms(start, harness_now()), 0,
		            "gets in batches of 32", n);
		store_expect_sum(turn, store->orders[pass], n, sum);
	}
	turn_close(turn, db);
}

static uint64_t read_range(const struct turn *turn, struct engine_cursor *cursor,
                           struct engine_bytes from)
{
	struct engine_bytes key, value;
	int rc = turn->engine->cursor_seek(cursor, from, &key, &value);
	uint64_t sum = 0;

	for (unsigned i = 0; rc == ENGINE_OK;
	     rc = turn->engine->cursor_next(cursor, &key, &value)) {
		sum += data_glance(key, value);
		if (++i == RANGE_ENTRIES)
			return sum;
	}
	if (rc != ENGINE_NOT_FOUND)
		turn_failed(turn, rc, "range read");
	return sum;
}

static uint64_t read_ranges(const struct turn *turn, struct engine_db *db, const uint32_t *order)
{
	struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
	struct engine_cursor cursor;
	uint64_t sum = 0;

	turn_must(turn, turn->engine->cursor_open(&txn, &cursor), "cursor");
	for (uint64_t i = 0; i < turn->store->seeks; i++) {
		struct data_key from = data_key(&turn->store->data, order[i]);
		sum += read_range(turn, &cursor, data_key_bytes(&from));
	}
	turn->engine->cursor_close(&cursor);
	turn_must(turn, turn->engine->end(&txn), "end");
	return sum;
}

void store_range_reads(struct turn *turn)
{
	const struct store *store = turn->store;
	struct engine_db *db = turn_open(turn, turn->main, ENGINE_DURABLE);

	for (unsigned pass = 0; pass < PASSES; pass++) {
		uint64_t start = harness_now();
		uint64_t sum = read_ranges(turn, db, store->orders[pass]);
		report_pass(turn, "random range reads", pass, harness_ms(start, harness_now()),
		            limit_misses(turn, store->seeks), "seeks, 10 entries each",
		            store->seeks);
		turn_check(turn, pass ? "range reads, pass 2" : "range reads, pass 1", sum);
	}
	turn_close(turn, db);
}

void store_full_scan(struct turn *turn)
{
	const struct store *store = turn->store;
	struct engine_db *db = turn_open(turn, turn->main, ENGINE_DURABLE);
	double limit = (double)store_bytes(store->filled) / store->report->limits.read_gb_s / 1e6;

	for (unsigned pass = 0; pass < PASSES; pass++) {
		uint64_t sum, start = harness_now();
		struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
		uint64_t seen = turn_scan(turn, &txn, &sum);
		turn_must(turn, turn->engine->end(&txn), "end");
		report_pass(turn, "full scan", pass, harness_ms(start, harness_now()), limit,
		            "entries", store->filled);
		turn_expect_entries(turn, store->filled, seen, sum);
	}
	turn_close(turn, db);
}
