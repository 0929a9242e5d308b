#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/model_run.h"

/* ---- expectations -------------------------------------------------------------------------- */

void run_fail(const struct run *run, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "model test: seed %llu, segment %llu, operation %llu: ",
	        (unsigned long long)run->seed, (unsigned long long)run->segment,
	        (unsigned long long)run->op);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr,
	        "\n(page size %u, arena %llu, batch %llu; latest detail: %s; files in %s)\n",
	        run->options.page_size, (unsigned long long)run->options.arena_size,
	        (unsigned long long)run->options.batch_size, kv_detail(), run->dir.path);
	exit(1);
}

void run_expect(const struct run *run, int got, int want, const char *call)
{
	if (got != want)
		run_fail(run, "%s: %s (%d) instead of %s (%d)", call, kv_strerror(got), got,
		         kv_strerror(want), want);
}

void run_expect_number(const struct run *run, uint64_t got, uint64_t want, const char *call)
{
	if (got != want)
		run_fail(run, "%s: %llu instead of %llu", call, (unsigned long long)got,
		         (unsigned long long)want);
}

void run_check_value(const struct run *run, struct model_value want, kv_slice got, const char *call)
{
	if (!got.data)
		run_fail(run, "%s: a value without data", call);
	if (!model_value_is(want, got))
		run_fail(run, "%s: wrong value of %zu bytes instead of %u", call, got.size,
		         want.size);
}

/* ---- comparing everything ------------------------------------------------------------------ */

static void compare_table(struct run *run, struct view *view, const struct model_table *table)
{
	kv_cursor cursor;
	uint64_t count = rows_count(table->rows);
	bool forward = random_one_in(&run->random, 2);
	int (*move)(kv_cursor *) = forward ? kv_cursor_next : kv_cursor_prev;

	run_expect(run, kv_cursor_open(view->txn, run_handle(run, view, table), &cursor), KV_OK,
	           "kv_cursor_open");
	for (uint64_t i = 0; i < count; i++) {
		const struct model_entry *entry = rows_at(table->rows, forward ? i : count - 1 - i);

		run_expect(run, move(&cursor), KV_OK, "a walk");
		if (model_compare(cursor.key, model_key(entry)))
			run_fail(run, "a walk: another key at %llu of %llu", (unsigned long long)i,
			         (unsigned long long)count);
		run_check_value(run, entry->value, cursor.value, "a walk");
	}
	run_expect(run, move(&cursor), KV_NOT_FOUND, "the end of a walk");
	run->entries_compared += count;
}

struct listing {
	struct run *run;
	struct model *model;
	uint32_t seen;
	char last[MODEL_NAME];
};

static int compare_listed(void *arg, const char *name, uint64_t entries)
{
	struct listing *listing = arg;
	const struct model_table *table = model_named(listing->model, name);

	if (!table)
		run_fail(listing->run, "kv_table_list: a table %s", name);
	if (strcmp(listing->last, name) >= 0)
		run_fail(listing->run, "kv_table_list: %s after %s", name, listing->last);
	run_expect_number(listing->run, entries, rows_count(table->rows), "kv_table_list");
	snprintf(listing->last, sizeof(listing->last), "%s", name);
	listing->seen++;
	return 0;
}

static void compare_all(struct run *run, struct view *view)
{
	struct listing listing = {.run = run, .model = &view->model};

	run->done[OP_COMPARE]++;
	run_expect(run, kv_table_list(view->txn, compare_listed, &listing), KV_OK, "kv_table_list");
	run_expect_number(run, listing.seen, view->model.count, "kv_table_list");
	for (uint32_t i = 0; i < view->model.count; i++)
		compare_table(run, view, &view->model.tables[i]);
}

void run_compare_committed(struct run *run)
{
	static struct view view;

	model_copy(&view.model, &run->committed);
	run_expect(run, kv_begin(run->db, KV_READ, &view.txn), KV_OK, "kv_begin");
	compare_all(run, &view);
	run_expect(run, kv_end(view.txn), KV_OK, "kv_end");
	model_free(&view.model);
}

static void forget_handles(struct run *run)
{
	for (uint32_t i = 0; i < run->info_count; i++)
		run->infos[i].handle = NULL;
}

static void check(struct run *run)
{
	unsigned faults = 0;
	int rc = kv_check(run->db, fault_print, NULL, &faults);

	if (rc || faults)
		run_fail(run, "kv_check: %s, %u faults", kv_strerror(rc), faults);
}

/* A copy of the database has the same entries. */
static void compare_copy(struct run *run)
{
	kv_db *original = run->db;
	kv_options options = run->options;
	char path[sizeof(run->dir.file) + 8];

	snprintf(path, sizeof(path), "%s.copy", run->dir.file);
	run_expect(run, kv_copy(run->db, path, NULL, NULL), KV_OK, "kv_copy");
	options.flags = KV_EXISTING | KV_READ_ONLY_DB;
	run_expect(run, kv_open(path, &options, &run->db), KV_OK, "kv_open of a copy");
	forget_handles(run);
	run_compare_committed(run);
	run_expect(run, kv_close(run->db), KV_OK, "kv_close of a copy");
	run->db = original;
	forget_handles(run);
	unlink(path);
}

/* ---- opening and closing ------------------------------------------------------------------- */

void run_open(struct run *run)
{
	kv_info info;

	run->op++;
	run->done[OP_REOPEN]++;
	run_expect(run, kv_open(run->dir.file, &run->options, &run->db), KV_OK, "kv_open");
	forget_handles(run);
	run_expect(run, kv_info_get(run->db, &info), KV_OK, "kv_info_get");
	run_expect_number(run, info.max_key, KV_MAX_KEY(info.page_size), "max_key");
	run_expect_number(run, info.tables, run->committed.count, "tables");
	run->max_key = info.max_key;
	check(run);
	run_compare_committed(run);
}

void run_close(struct run *run)
{
	kv_info info;

	if (run->writer.txn)
		run_end_write(run, true);
	run_end_readers(run, true);
	if (random_one_in(&run->random, 2)) {
		check(run);
		compare_copy(run);
	}
	run_expect(run, kv_info_get(run->db, &info), KV_OK, "kv_info_get");
	run->splits += info.splits;
	run->merges += info.merges;
	run->spills += info.spills;
	run->checkpoints += info.checkpoints;
	run_expect(run, kv_close(run->db), KV_OK, "kv_close");
}

void run_sync(struct run *run)
{
	run->op++;
	run->done[OP_SYNC]++;
	if (random_one_in(&run->random, 2))
		run_expect(run, kv_checkpoint(run->db), KV_OK, "kv_checkpoint");
	else
		run_expect(run, kv_sync(run->db), KV_OK, "kv_sync");
}

/* ---- transactions -------------------------------------------------------------------------- */

static uint64_t writer_length(struct run *run)
{
	uint64_t choice = random_below(&run->random, 1000);

	if (choice < 3)
		return random_below(&run->random, 50000);
	if (choice < 40)
		return random_below(&run->random, 3000);
	return random_below(&run->random, 150);
}

static void view_begin(struct view *view, const struct model *model)
{
	model_copy(&view->model, model);
	for (unsigned i = 0; i < RUN_PLACES; i++)
		view->places[i].open = false;
	view->held_count = 0;
}

void run_begin_write(struct run *run)
{
	struct view *view = &run->writer;
	bool immediate = random_below(&run->random, 100) < run->immediate_percent;
	int durability = immediate ? KV_IMMEDIATE : KV_NONE;
	int rc = kv_begin_write(run->db, UINT64_MAX, durability, &view->txn);

	run->op++;
	run->done[OP_BEGIN]++;
	if (rc == KV_READERS) {
		run->readers_refused++;
		run_end_readers(run, true);
		rc = kv_begin_write(run->db, UINT64_MAX, durability, &view->txn);
	}
	run_expect(run, rc, KV_OK, "kv_begin_write");
	view->writer = true;
	view->ends_at = run->op + writer_length(run);
	view_begin(view, &run->committed);
}

void run_end_write(struct run *run, bool commit)
{
	struct view *view = &run->writer;
	kv_txn *txn = view->txn;

	run->op++;
	run->done[commit ? OP_COMMIT : OP_ABORT]++;
	view->txn = NULL;
	if (!commit) {
		kv_abort(txn);
		model_free(&view->model);
		return;
	}
	run_expect(run, kv_commit(txn), KV_OK, "kv_commit");
	model_free(&run->committed);
	run->committed = view->model;
}

void run_end_refused(struct run *run, int rc)
{
	run_expect(run, kv_commit(run->writer.txn), rc, "kv_commit after an error");
	run->writer.txn = NULL;
	model_free(&run->writer.model);
}

void run_begin_reader(struct run *run)
{
	struct view *view = run->readers;
	uint64_t length = random_one_in(&run->random, 5) ? 100000 : 2000;

	while (view->txn)
		view++;
	run->op++;
	run->done[OP_READER]++;
	run_expect(run, kv_begin(run->db, KV_READ, &view->txn), KV_OK, "kv_begin");
	view->ends_at = run->op + random_below(&run->random, length);
	view_begin(view, &run->committed);
}

/* What the reader was given must still be there. */
static void end_reader(struct run *run, struct view *view)
{
	if (random_one_in(&run->random, 20))
		compare_all(run, view);
	for (unsigned i = 0; i < view->held_count; i++)
		run_check_value(run, view->held[i].value, view->held[i].slice, "a slice kept");
	run_expect(run, kv_end(view->txn), KV_OK, "kv_end");
	view->txn = NULL;
	model_free(&view->model);
}

void run_end_readers(struct run *run, bool all)
{
	for (unsigned i = 0; i < RUN_READERS; i++)
		if (run->readers[i].txn && (all || run->op >= run->readers[i].ends_at))
			end_reader(run, &run->readers[i]);
}
