/* The suite `store`: what its workloads share.
 *
 * Every engine has a main database, whose entries are the numbers 0 .. filled - 1. It is closed
 * between workloads: each opens it anew, so that "first pass" means the same for all and no engine
 * holds memory while another is measured. Workloads that destroy something work on a copy of it in
 * the engine's scratch directory. */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/data.h"
#include "bench/files.h"
#include "bench/harness.h"
#include "bench/report.h"

#define STORE_MAX_THREADS 64
#define STORE_MAX_LIST 16
#define STORE_MAX_CHECKS 4096

struct store_options {
	uint64_t entries;
	uint64_t seed;
	uint64_t large;                   /* number of large values */
	unsigned repeat;                  /* runs of a short workload */
	unsigned repeat_long;             /* runs of a long one */
	unsigned threads[STORE_MAX_LIST]; /* numbers of reading threads, ended by 0 */
	unsigned writers[STORE_MAX_LIST]; /* numbers of durably writing threads, ended by 0 */
	const char *only;                 /* comma-separated names of workloads, or NULL */
	const char *skip;
	bool reuse; /* take the main databases that are there */
};

/* A sum that all engines must agree on, as the first of them gave it. */
struct store_check {
	char what[64];
	unsigned repeat;
	uint64_t sum;
};

struct store {
	const struct store_options *options;
	const char *directory;
	struct report *report;
	struct data data;
	uint64_t filled; /* entries in every main database */
	/* Numbers that workloads are made of, scaled down for few entries. */
	uint64_t gets, seeks, sorted, singles, batches, unsynced, durable, pinned;
	uint32_t *orders[STORE_MAX_THREADS]; /* gets random entries for each reading thread */
	unsigned check_count;
	struct store_check checks[STORE_MAX_CHECKS];
	volatile sig_atomic_t *stop; /* set from outside to end after the current run */
};

/* One engine's turn at one workload. */
struct turn {
	struct store *store;
	const struct engine *engine;
	unsigned index; /* of the engine in the report */
	unsigned repeat;
	char main[FILES_MAX_PATH];    /* directory of its main database */
	char scratch[FILES_MAX_PATH]; /* directory that is empty at the start, removed at the end */
};

struct workload {
	const char *name;
	const char *about;
	void (*run)(struct turn *turn);
	/* Entries that a run adds to the main database; NULL: none. */
	uint64_t (*adds)(const struct store *store);
	bool is_long;    /* repeated repeat_long times */
	bool memory;     /* reports its peak of private memory */
	bool warm;       /* allocates or writes much: memory is warmed before each turn */
	bool needs_main; /* the main database must be there */
};

/* Ended by a workload without name. */
extern const struct workload store_workloads[];

/* Runs what the options select, in the order of the table, into the report. */
void store_run(const struct store_options *options, const char *directory, struct report *report,
               volatile sig_atomic_t *stop);

/* ---- for the workloads (store_turn.c) ------------------------------------------------------- */

/* Ends the program unless rc is ENGINE_OK. */
void turn_failed(const struct turn *turn, int rc, const char *what);
static inline void turn_must(const struct turn *turn, int rc, const char *what)
{
	if (__builtin_expect(rc != ENGINE_OK, 0))
		turn_failed(turn, rc, what);
}

/* Opens and closes a database of the turn's engine; begins its transactions. */
struct engine_db *turn_open(const struct turn *turn, const char *directory,
                            enum engine_durability durability);
void turn_close(const struct turn *turn, struct engine_db *db);
struct engine_txn turn_begin(const struct turn *turn, struct engine_db *db,
                             enum engine_access access);
void turn_commit(const struct turn *turn, struct engine_txn *txn);

/* Puts the entries from .. from + n - 1 with the data of their numbers. */
void turn_put(const struct turn *turn, struct engine_txn *txn, uint64_t from, uint64_t n);

/* Fails unless the database has n entries. */
void turn_expect_count(const struct turn *turn, struct engine_db *db, uint64_t n);

/* Reads every entry once: their number, and the sum of data_glance(). */
uint64_t turn_scan(const struct turn *turn, struct engine_txn *txn, uint64_t *sum);

/* Fails unless a scan finds exactly the entries 0 .. n - 1. */
void turn_expect_entries(const struct turn *turn, uint64_t n, uint64_t seen, uint64_t sum);

/* Opens the main database, or a copy of it, and reads it once, so that a workload finds it as in a
 * process that has been running for a while. */
struct engine_db *turn_open_warm(const struct turn *turn, const char *directory,
                                 enum engine_durability durability);

/* Fails unless this sum is the same for every engine. */
void turn_check(struct turn *turn, const char *what, uint64_t sum);

/* Adds a sample to a row. limit is in the row's unit, 0 if there is none. The detail says what was
 * counted, with n in front of it unless that is 0. */
void turn_report(struct turn *turn, const char *name, const char *unit, double value, double limit,
                 uint64_t n, const char *detail);

/* The same, where more is better. */
void turn_report_rate(struct turn *turn, const char *name, const char *unit, double value,
                      const char *detail);

/* Limits in ms: of so many flushes, and of writing so many bytes, durably. */
double turn_limit_flushes(const struct turn *turn, uint64_t flushes);
double turn_limit_write(const struct turn *turn, uint64_t bytes);

/* Sizes of the entries' keys and values in bytes. */
static inline uint64_t store_bytes(uint64_t entries)
{
	return entries * (DATA_KEY_SIZE + DATA_VALUE_SIZE);
}

/* ---- the workloads -------------------------------------------------------------------------- */

/* store_write.c */
void store_bulk_load(struct turn *turn);
void store_sorted_load(struct turn *turn);
void store_individual_writes(struct turn *turn);
void store_batch_writes(struct turn *turn);
void store_nosync_writes(struct turn *turn);
void store_removals(struct turn *turn);

/* store_read.c */
void store_len(struct turn *turn);
void store_random_reads(struct turn *turn);
void store_get_many(struct turn *turn);
void store_range_reads(struct turn *turn);
void store_full_scan(struct turn *turn);

/* store_threads.c */
void store_concurrent_writers(struct turn *turn);
void store_reads_beside_writer(struct turn *turn);
/* Milliseconds that n threads take for store->gets random reads each. */
double store_threaded_reads(struct turn *turn, struct engine_db *db, unsigned n);

/* store_space.c */
void store_size(struct turn *turn);
void store_pinned_reader(struct turn *turn);
void store_large_values(struct turn *turn);
void store_reopen(struct turn *turn);
/* Rows of the file's size, the time of its compaction, and the size then. */
void store_report_size(struct turn *turn, struct engine_db *db, const char *directory,
                       const char *when, uint64_t entries);

/* The random gets of one thread in one transaction: the sum of their values. */
uint64_t store_read_order(const struct turn *turn, struct engine_db *db, const uint32_t *order);
/* Fails unless that is the sum of the values of the first n entries of the order. */
void store_expect_sum(const struct turn *turn, const uint32_t *order, uint64_t n, uint64_t sum);

#endif
