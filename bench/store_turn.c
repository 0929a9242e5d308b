/* What the workloads are written in: engine calls that must succeed, checks, samples. */
#include <string.h>

#include "bench/store.h"

void turn_failed(const struct turn *turn, int rc, const char *what)
{
	harness_fail("%s: %s failed: %s", turn->engine->name, what, turn->engine->error(rc));
}

struct engine_db *turn_open(const struct turn *turn, const char *directory,
                            enum engine_durability durability)
{
	struct engine_db *db;

	turn_must(turn, turn->engine->open(directory, durability, &db), "open");
	return db;
}

void turn_close(const struct turn *turn, struct engine_db *db)
{
	turn_must(turn, turn->engine->close(db), "close");
}

struct engine_txn turn_begin(const struct turn *turn, struct engine_db *db,
                             enum engine_access access)
{
	struct engine_txn txn;

	turn_must(turn, turn->engine->begin(db, access, &txn), "begin");
	return txn;
}

void turn_commit(const struct turn *turn, struct engine_txn *txn)
{
	turn_must(turn, turn->engine->commit(txn), "commit");
}

void turn_put(const struct turn *turn, struct engine_txn *txn, uint64_t from, uint64_t n)
{
	const struct data *data = &turn->store->data;

	for (uint64_t i = from; i < from + n; i++) {
		struct data_key key = data_key(data, i);
		turn_must(turn,
		          turn->engine->put(txn, data_key_bytes(&key),
		                            data_value(data, i, DATA_VALUE_SIZE)),
		          "put");
	}
}

void turn_expect_count(const struct turn *turn, struct engine_db *db, uint64_t n)
{
	struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
	uint64_t count;

	turn_must(turn, turn->engine->count(&txn, &count), "count");
	turn_must(turn, turn->engine->end(&txn), "end");
	if (count != n)
		harness_fail("%s: wrong answer: %llu entries instead of %llu", turn->engine->name,
		             (unsigned long long)count, (unsigned long long)n);
}

uint64_t turn_scan(const struct turn *turn, struct engine_txn *txn, uint64_t *sum)
{
	const struct engine *engine = turn->engine;
	struct engine_bytes key = {"", 0}, value;
	struct engine_cursor cursor;
	uint64_t seen = 0, total = 0;

	turn_must(turn, engine->cursor_open(txn, &cursor), "cursor");
	int rc = engine->cursor_seek(&cursor, key, &key, &value);
	for (; rc == ENGINE_OK; rc = engine->cursor_next(&cursor, &key, &value)) {
		total += data_glance(key, value);
		seen++;
	}
	if (rc != ENGINE_NOT_FOUND)
		turn_failed(turn, rc, "scan");
	engine->cursor_close(&cursor);
	*sum = total;
	return seen;
}

void turn_expect_entries(const struct turn *turn, uint64_t n, uint64_t seen, uint64_t sum)
{
	const struct data *data = &turn->store->data;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct data_key key = data_key(data, i);
		expected += data_glance(data_key_bytes(&key), data_value(data, i, DATA_VALUE_SIZE));
	}
	if (seen != n || sum != expected)
		harness_fail("%s: wrong answer: a scan of %llu entries saw %llu, sum %s",
		             turn->engine->name, (unsigned long long)n, (unsigned long long)seen,
		             sum == expected ? "right" : "wrong");
}

struct engine_db *turn_open_warm(const struct turn *turn, const char *directory,
                                 enum engine_durability durability)
{
	struct engine_db *db = turn_open(turn, directory, durability);
	struct engine_txn txn = turn_begin(turn, db, ENGINE_READ);
	uint64_t sum, seen = turn_scan(turn, &txn, &sum);

	turn_must(turn, turn->engine->end(&txn), "end");
	turn_expect_entries(turn, turn->store->filled, seen, sum);
	return db;
}

void turn_check(struct turn *turn, const char *what, uint64_t sum)
{
	struct store *store = turn->store;

	for (unsigned i = 0; i < store->check_count; i++) {
		const struct store_check *check = &store->checks[i];
		if (check->repeat != turn->repeat || strcmp(check->what, what) != 0)
			continue;
		if (check->sum != sum)
			harness_fail("%s: wrong answer: %s differs from another engine's",
			             turn->engine->name, what);
		return;
	}
	if (store->check_count == STORE_MAX_CHECKS)
		harness_fail("too many checks");
	struct store_check *check = &store->checks[store->check_count++];
	snprintf(check->what, sizeof(check->what), "%s", what);
	check->repeat = turn->repeat;
	check->sum = sum;
}

void turn_report(struct turn *turn, const char *name, const char *unit, double value, double limit,
                 uint64_t n, const char *detail)
{
	struct report *report = turn->store->report;
	struct report_row *row = report_row(report, name, unit);
	char number[32] = "";

	if (n)
		report_count(number, sizeof(number), n);
	snprintf(row->detail, sizeof(row->detail), "%s%s%s", number, n ? " " : "", detail);
	row->limit = limit;
	report_add(report, row, turn->index, value);
}

void turn_report_rate(struct turn *turn, const char *name, const char *unit, double value,
                      const char *detail)
{
	struct report *report = turn->store->report;

	report_row(report, name, unit)->better = REPORT_HIGHER;
	turn_report(turn, name, unit, value, 0, 0, detail);
}

double turn_limit_flushes(const struct turn *turn, uint64_t flushes)
{
	return turn->store->report->limits.flush_us * (double)flushes / 1e3;
}

double turn_limit_write(const struct turn *turn, uint64_t bytes)
{
	return (double)bytes / turn->store->report->limits.write_gb_s / 1e6 +
	       turn_limit_flushes(turn, 1);
}
