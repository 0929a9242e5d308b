/* Workloads with several threads in one process. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "bench/store.h"

#define OVERWRITES 100

struct worker {
	struct turn *turn;
	struct engine_db *db;
	pthread_barrier_t *start;
	void (*work)(struct worker *worker);
	pthread_t thread;
	unsigned number;
	uint64_t from, n;        /* writers: entries to put */
	uint64_t sum;            /* readers: of the values */
	uint64_t started, ended; /* harness_now() */
};

static void read_randomly(struct worker *w)
{
	w->sum = store_read_order(w->turn, w->db, w->turn->store->orders[w->number]);
}

static void write_durably(struct worker *w)
{
	for (uint64_t i = 0; i < w->n; i++) {
		struct engine_txn txn = turn_begin(w->turn, w->db, ENGINE_WRITE);
		turn_put(w->turn, &txn, w->from + i, 1);
		turn_commit(w->turn, &txn);
	}
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(w->start);
	w->started = harness_now();
	w->work(w);
	w->ended = harness_now();
	return NULL;
}

/* Runs the workers side by side; milliseconds from the first start to the last end. */
static double run_workers(struct worker *workers, unsigned n)
{
	pthread_barrier_t barrier;
	uint64_t started = UINT64_MAX, ended = 0;

	pthread_barrier_init(&barrier, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		workers[i].start = &barrier;
		if (pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]))
			harness_fail("cannot start a thread");
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		started = workers[i].started < started ? workers[i].started : started;
		ended = workers[i].ended > ended ? workers[i].ended : ended;
	}
	pthread_barrier_destroy(&barrier);
	return harness_ms(started, ended);
}

double store_threaded_reads(struct turn *turn, struct engine_db *db, unsigned n)
{
	const struct store *store = turn->store;
	struct worker workers[STORE_MAX_THREADS];

	for (unsigned i = 0; i < n; i++)
		workers[i] = (struct worker){
		        .turn = turn, .db = db, .work = read_randomly, .number = i};
	double ms = run_workers(workers, n);
	for (unsigned i = 0; i < n; i++)
		store_expect_sum(turn, store->orders[i], store->gets, workers[i].sum);
	return ms;
}

/* n threads share the entries filled .. filled + durable - 1. */
static double threaded_writes(struct turn *turn, struct engine_db *db, unsigned n)
{
	uint64_t total = turn->store->durable, filled = turn->store->filled;
	struct worker workers[STORE_MAX_THREADS];

	for (unsigned i = 0; i < n; i++) {
		uint64_t from = total * i / n, to = total * (i + 1) / n;
		workers[i] = (struct worker){.turn = turn,
		                             .db = db,
		                             .work = write_durably,
		                             .from = filled + from,
		                             .n = to - from};
	}
	return run_workers(workers, n);
}

/* Each number of threads works on a fresh copy, so that all find the same database. */
void store_concurrent_writers(struct turn *turn)
{
	const unsigned *writers = turn->store->options->writers;
	uint64_t n = turn->store->durable;

	for (; *writers; writers++) {
		char name[64];
		files_copy(turn->main, turn->scratch);
		struct engine_db *db = turn_open_warm(turn, turn->scratch, ENGINE_DURABLE);
		double ms = threaded_writes(turn, db, *writers);
		snprintf(name, sizeof(name), "durable writers, %u thread%s", *writers,
		         *writers > 1 ? "s" : "");
		/* At best, all waiting threads share each flush. */
		turn_report(turn, name, "ms", ms, turn_limit_flushes(turn, n / *writers), n,
		            "transactions of 1 pair in all");
		turn_expect_count(turn, db, turn->store->filled + n);
		turn_close(turn, db);
		files_renew(turn->scratch);
	}
}

struct restless {
	struct turn *turn;
	struct engine_db *db;
	atomic_bool stop;
	uint64_t transactions;
};

/* Overwrites entries with the values that they have, until stopped: readers' sums stay right. */
static void *write_restlessly(void *arg)
{
	struct restless *r = arg;
	const struct store *store = r->turn->store;
	const uint32_t *order = store->orders[1];
	uint64_t at = 0;

	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		struct engine_txn txn = turn_begin(r->turn, r->db, ENGINE_WRITE);
		for (unsigned i = 0; i < OVERWRITES; i++, at++)
			turn_put(r->turn, &txn, order[at % store->gets], 1);
		turn_commit(r->turn, &txn);
		r->transactions++;
	}
	return NULL;
}

void store_reads_beside_writer(struct turn *turn)
{
	struct restless r = {.turn = turn, .db = turn_open_warm(turn, turn->main, ENGINE_DURABLE)};
	pthread_t thread;

	if (pthread_create(&thread, NULL, write_restlessly, &r))
		harness_fail("cannot start a thread");
	double ms = store_threaded_reads(turn, r.db, 1);
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	turn_report(turn, "reads beside a writer", "ms", ms, 0, turn->store->gets,
	            "gets, 1 thread");
	turn_report_rate(turn, "writer beside the reads", "txn/s",
	                 (double)r.transactions / ms * 1e3,
	                 "durable transactions of 100 overwrites");
	turn_expect_count(turn, r.db, turn->store->filled);
	turn_close(turn, r.db);
}
