/* The suite `store`: the table of its workloads, and running them with the engines in turn.
 *
 * For each workload, for each repetition, every engine has its turn on its own database; who
 * begins changes with the repetition. Before a turn the file system has written everything that it
 * owes, and for workloads that allocate or write much the memory is warmed. */
#include "bench/store.h"

#include <stdlib.h>
#include <string.h>

#include "bench/memory.h"

#define SMALL_DB_FRACTION 4 /* small runs: that part of the entries at most, per workload */

static uint64_t adds_singles(const struct store *store)
{
	return store->singles;
}

static uint64_t adds_batches(const struct store *store)
{
	return store->batches * 1000;
}

static uint64_t adds_unsynced(const struct store *store)
{
	return store->unsynced;
}

const struct workload store_workloads[] = {
        {"bulk", "all entries in one transaction", store_bulk_load, NULL, .is_long = true,
         .memory = true, .warm = true},
        {"individual", "durable transactions of one pair", store_individual_writes, adds_singles,
         .warm = true, .needs_main = true},
        {"batch", "durable transactions of 1,000 pairs", store_batch_writes, adds_batches,
         .warm = true, .needs_main = true},
        {"nosync", "transactions of one pair, then one sync", store_nosync_writes, adds_unsynced,
         .memory = true, .warm = true, .needs_main = true},
        {"len", "number of entries", store_len, NULL, .needs_main = true},
        {"random", "random gets, 1 thread and more", store_random_reads, NULL, .memory = true,
         .needs_main = true},
        {"many", "random gets in batches", store_get_many, NULL, .needs_main = true},
        {"range", "random seeks and 10 entries each", store_range_reads, NULL, .needs_main = true},
        {"scan", "every entry once", store_full_scan, NULL, .needs_main = true},
        {"sorted", "pairs in key order, one transaction", store_sorted_load, NULL, .memory = true,
         .warm = true},
        {"writers", "concurrent durable writers", store_concurrent_writers, NULL, .warm = true,
         .needs_main = true},
        {"beside", "random gets while another thread commits", store_reads_beside_writer, NULL,
         .warm = true, .needs_main = true},
        {"pinned", "file growth while a reader stays open", store_pinned_reader, NULL,
         .warm = true},
        {"large", "values of 2 MB", store_large_values, NULL, .is_long = true, .warm = true},
        {"reopen", "after a close, and after kill -9", store_reopen, NULL, .needs_main = true},
        {"size", "file bytes, compaction", store_size, NULL, .is_long = true, .warm = true,
         .needs_main = true},
        {"removals", "half of the entries, one transaction, and sizes then", store_removals, NULL,
         .is_long = true, .memory = true, .warm = true, .needs_main = true},
        {.name = NULL},
};

/* Whether name is an element of a comma-separated list. */
static bool listed(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (; list && *list; list += strcspn(list, ",")) {
		list += *list == ',';
		if (strncmp(list, name, length) == 0 && (list[length] == ',' || !list[length]))
			return true;
	}
	return false;
}

static bool selected(const struct store *store, const struct workload *w)
{
	const struct store_options *o = store->options;

	return (!o->only || listed(o->only, w->name)) && !listed(o->skip, w->name);
}

static uint64_t at_most(uint64_t n, uint64_t limit)
{
	return n < limit ? n : limit;
}

/* The numbers of the redb benchmark, and fewer for databases too small for them. */
static void scale(struct store *store)
{
	uint64_t n = store->options->entries, part = n / SMALL_DB_FRACTION;

	store->gets = at_most(1000000, n);
	store->seeks = at_most(500000, n);
	store->sorted = at_most(1000000, n);
	store->singles = at_most(1000, part);
	store->batches = at_most(100, part / 1000 + 1);
	store->unsynced = at_most(50000, part);
	store->durable = at_most(2048, part);
	store->pinned = at_most(100000, n);
}

static unsigned most_threads(const struct store_options *options)
{
	unsigned most = 2; /* the two passes of one thread */

	for (const unsigned *t = options->threads; *t; t++)
		most = *t > most ? *t : most;
	return most;
}

static void make_orders(struct store *store)
{
	for (unsigned i = 0; i < most_threads(store->options); i++) {
		store->orders[i] = harness_alloc(store->gets * sizeof(store->orders[i][0]));
		data_order(&store->data, i, store->orders[i], store->gets, store->options->entries);
	}
}

static struct turn make_turn(struct store *store, unsigned engine, unsigned repeat)
{
	struct turn turn = {.store = store,
	                    .index = engine,
	                    .repeat = repeat,
	                    .engine = store->report->engines[engine]};
	char own[FILES_MAX_PATH];

	files_join(own, store->directory, turn.engine->name);
	files_make(own);
	files_join(turn.main, own, "main");
	files_make(turn.main);
	files_join(turn.scratch, own, "scratch");
	files_renew(turn.scratch);
	return turn;
}

/* Memory that a turn may need: pages in the engine, its file, and a copy of that. */
static uint64_t working_set(const struct store *store)
{
	return store_bytes(store->filled ? store->filled : store->options->entries) * 5 +
	       store->options->large * DATA_LARGE_SIZE + ((uint64_t)256 << 20);
}

static void report_memory(struct turn *turn, const struct workload *w, uint64_t peak)
{
	char name[64];

	snprintf(name, sizeof(name), "private memory, %s", w->name);
	turn_report(turn, name, "MiB", (double)peak / (1 << 20), 0, 0,
	            "peak of RssAnon in that run");
}

static void take_turn(struct store *store, const struct workload *w, unsigned engine,
                      unsigned repeat)
{
	struct turn turn = make_turn(store, engine, repeat);

	files_settle(store->directory);
	if (w->warm)
		memory_warm(working_set(store));
	if (w->memory)
		memory_watch();
	w->run(&turn);
	if (w->memory)
		report_memory(&turn, w, memory_watched());
	files_remove(turn.scratch);
}

static void run_workload(struct store *store, const struct workload *w)
{
	const struct store_options *o = store->options;
	unsigned repeats = w->is_long ? o->repeat_long : o->repeat;
	unsigned n = store->report->engine_count;

	for (unsigned r = 0; r < repeats; r++) {
		for (unsigned e = 0; e < n; e++) {
			if (*store->stop)
				exit(130);
			take_turn(store, w, (e + r) % n, r);
		}
		store->filled += w->adds ? w->adds(store) : 0;
	}
}

/* Entries of an engine's main database, 0 if there is none. */
static uint64_t entries_there(struct store *store, unsigned engine)
{
	struct turn turn = make_turn(store, engine, 0);
	struct engine_db *db = turn_open(&turn, turn.main, ENGINE_DURABLE);
	struct engine_txn txn = turn_begin(&turn, db, ENGINE_READ);
	uint64_t count;

	turn_must(&turn, turn.engine->count(&txn, &count), "count");
	turn_must(&turn, turn.engine->end(&txn), "end");
	turn_close(&turn, db);
	return count;
}

/* With --reuse: whether all main databases are there, at the same number of entries. */
static bool found_main(struct store *store)
{
	uint64_t first = entries_there(store, 0);

	for (unsigned e = 1; e < store->report->engine_count; e++)
		if (entries_there(store, e) != first)
			return false;
	store->filled = first;
	return first >= store->options->entries;
}

static bool need_main(const struct store *store)
{
	for (const struct workload *w = store_workloads; w->name; w++)
		if (w->needs_main && selected(store, w))
			return true;
	return false;
}

/* Brings the main databases into being, unless nothing needs them. Loading them is the workload
 * `bulk`; if that was not asked for, it stays out of the report. */
static void prepare(struct store *store)
{
	const struct workload *bulk = &store_workloads[0];

	if (selected(store, bulk)) {
		run_workload(store, bulk);
	} else if (need_main(store) && !(store->options->reuse && found_main(store))) {
		for (unsigned e = 0; e < store->report->engine_count; e++)
			take_turn(store, bulk, e, 0);
		store->report->row_count = 0;
		memset(store->report->rows, 0, sizeof(store->report->rows));
	} else {
		return;
	}
	store->filled = store->options->entries;
}

void store_run(const struct store_options *options, const char *directory, struct report *report,
               volatile sig_atomic_t *stop)
{
	struct store *store = harness_alloc(sizeof(*store));

	store->options = options;
	store->directory = directory;
	store->report = report;
	store->stop = stop;
	data_open(&store->data, options->seed);
	scale(store);
	make_orders(store);
	prepare(store);
	for (const struct workload *w = store_workloads + 1; w->name; w++)
		if (selected(store, w))
			run_workload(store, w);
	data_close(&store->data);
	for (unsigned i = 0; i < STORE_MAX_THREADS; i++)
		free(store->orders[i]);
	free(store);
}
