/* The kill test: a child process commits transactions until it is killed, at any moment; then the
 * database must hold exactly a prefix of what was committed, every acknowledged durable transaction
 * included.
 *
 * Transaction number i of a round writes what follows from (seed, round, i), and i itself under the
 * key "last". The parent reads "last", applies the same transactions to its model and compares. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/keys.h"
#include "tests/model.h"
#include "tests/support.h"

#define LAST "last" /* sorts after all other keys, which begin with a zero byte */
#define NUMBERS 4000u

/* Written by the child, read by the parent after its death. */
struct progress {
	_Atomic uint64_t begun;     /* newest transaction that may have been committed */
	_Atomic uint64_t committed; /* newest one whose commit returned */
	_Atomic uint64_t durable;   /* newest one that must survive */
	_Atomic bool closed;        /* the child closed the database and went */
};

struct test {
	uint64_t rounds, seed, max_us, page_size;
	const char *parent;
	struct temp_dir dir;
	struct progress *progress;
	uint64_t round, last; /* last: number of the newest transaction in the file */
	struct model_rows *rows;
	uint64_t lost, survived, clean, unborn;
};

/* ---- what a transaction does --------------------------------------------------------------- */

struct plan {
	struct random random;
	uint64_t writes;
	bool abort_first, range, durable, sync;
};

static struct plan plan_make(const struct test *test, uint64_t number)
{
	struct plan plan = {
	        .random = {random_mix(test->seed) ^ random_mix(test->round << 32 | number)}};
	struct random *random = &plan.random;

	plan.writes = random_one_in(random, 40) ? 6000 : 1 + random_below(random, 60);
	plan.abort_first = random_one_in(random, 8);
	plan.range = random_one_in(random, 10);
	plan.durable = random_one_in(random, 3);
	plan.sync = random_one_in(random, 20);
	return plan;
}

struct change {
	unsigned char key[256];
	size_t key_size;
	bool delete;
	struct model_value value;
};

static void change_make(struct random *random, struct change *change)
{
	uint64_t size = random_below(random, 300);

	if (random_one_in(random, 100))
		size = random_below(random, 20000);
	if (random_one_in(random, 2000))
		size = random_below(random, 2000000);
	change->key_size = key_make(KEY_DENSE, random_below(random, NUMBERS), 256, change->key);
	change->delete = random_one_in(random, 4);
	change->value = model_value_new(random, (uint32_t)size);
}

/* The keys that a transaction with a range deletes first. */
static void range_make(struct random *random, unsigned char *from, unsigned char *to)
{
	uint64_t number = random_below(random, NUMBERS);

	key_make(KEY_DENSE, number, 256, from);
	key_make(KEY_DENSE, number + random_below(random, 300), 256, to);
}

/* ---- in the child -------------------------------------------------------------------------- */

/* The child has no other way to complain than its exit status. */
static void must(int rc, const char *call)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "kill test: %s: %s (%s)\n", call, kv_strerror(rc), kv_detail());
	_exit(3);
}

static void child_write(kv_txn *txn, kv_table *table, struct plan *plan)
{
	unsigned char low[256], high[256];
	kv_slice from = kv_bytes(low, 4), to = kv_bytes(high, 4);
	struct change change;

	if (plan->range) {
		range_make(&plan->random, low, high);
		must(kv_delete_range(txn, table, &from, &to, NULL), "kv_delete_range");
	}
	for (uint64_t i = 0; i < plan->writes; i++) {
		kv_slice key;

		change_make(&plan->random, &change);
		key = kv_bytes(change.key, change.key_size);
		if (change.delete)
			must(kv_delete(txn, table, key), "kv_delete");
		else
			must(kv_put(txn, table, key, model_value_bytes(change.value)), "kv_put");
	}
}

static void child_abort_one(kv_db *db, kv_table *table, struct plan plan)
{
	kv_txn *txn;

	plan.random.state++;
	must(kv_begin(db, KV_WRITE, &txn), "kv_begin");
	child_write(txn, table, &plan);
	kv_abort(txn);
}

static void child_commit(struct test *test, kv_db *db, kv_table *table, uint64_t number)
{
	struct progress *progress = test->progress;
	struct plan plan = plan_make(test, number);
	bool durable = plan.durable, sync = plan.sync;
	kv_txn *txn;

	if (plan.abort_first)
		child_abort_one(db, table, plan);
	must(kv_begin_write(db, UINT64_MAX, durable ? KV_IMMEDIATE : KV_NONE, &txn),
	     "kv_begin_write");
	child_write(txn, table, &plan);
	must(kv_put(txn, table, text(LAST), kv_bytes(&number, sizeof(number))), "kv_put");
	atomic_store(&progress->begun, number);
	must(kv_commit(txn), "kv_commit");
	atomic_store(&progress->committed, number);
	if (sync)
		must(kv_sync(db), "kv_sync");
	if (durable || sync)
		atomic_store(&progress->durable, number);
}

static kv_options open_options(const struct test *test)
{
	return (kv_options){.flags = KV_CREATE,
	                    .page_size = (uint32_t)test->page_size,
	                    .arena_size = 1u << 20,
	                    .batch_size = 1u << 16};
}

/* At once: what the killed process had under way must not keep the database locked. */
static int open_again(const struct test *test, kv_db **db)
{
	kv_options options = open_options(test);

	return kv_open(test->dir.file, &options, db);
}

/* Opens the database and its table; the caller closes. */
static kv_db *open_all(const struct test *test, kv_table **table)
{
	kv_txn *txn;
	kv_db *db;

	must(open_again(test, &db), "kv_open");
	must(kv_begin(db, KV_WRITE, &txn), "kv_begin");
	must(kv_table_open(txn, "t", KV_CREATE, table), "kv_table_open");
	must(kv_commit(txn), "kv_commit");
	return db;
}

/* Commits one after another; now and then ends by itself. */
static _Noreturn void child_run(struct test *test)
{
	struct random random = {random_mix(test->seed + test->round)};
	uint64_t end = random_one_in(&random, 10) ? random_below(&random, 20) : UINT64_MAX;
	kv_table *table;
	kv_db *db = open_all(test, &table);

	for (uint64_t i = 0; i < end; i++)
		child_commit(test, db, table, test->last + 1 + i);
	must(kv_close(db), "kv_close");
	atomic_store(&test->progress->closed, true);
	_exit(0);
}

/* ---- in the parent ------------------------------------------------------------------------- */

static _Noreturn void fail(const struct test *test, const char *what)
{
	fprintf(stderr,
	        "kill test: seed %llu, round %llu: %s (begun %llu, committed %llu, durable %llu, "
	        "in the file %llu; detail: %s; files in %s)\n",
	        (unsigned long long)test->seed, (unsigned long long)test->round, what,
	        (unsigned long long)test->progress->begun,
	        (unsigned long long)test->progress->committed,
	        (unsigned long long)test->progress->durable, (unsigned long long)test->last,
	        kv_detail(), test->dir.path);
	exit(1);
}

static void model_apply(struct test *test, uint64_t number)
{
	struct plan plan = plan_make(test, number);
	unsigned char low[256], high[256];
	kv_slice from = kv_bytes(low, 4), to = kv_bytes(high, 4);
	struct change change;
	uint64_t first, end;

	if (plan.range) {
		range_make(&plan.random, low, high);
		rows_range(test->rows, &from, &to, &first, &end);
		for (; end > first; end--)
			rows_delete_at(&test->rows, end - 1);
	}
	for (uint64_t i = 0; i < plan.writes; i++) {
		kv_slice key;

		change_make(&plan.random, &change);
		key = kv_bytes(change.key, change.key_size);
		if (change.delete)
			rows_delete(&test->rows, key);
		else
			rows_put(&test->rows, key, change.value);
	}
}

/* Every entry but "last", which is the last one. */
static void compare(struct test *test, kv_txn *txn, kv_table *table)
{
	const struct model_entry *entry;
	kv_cursor cursor;

	must(kv_cursor_open(txn, table, &cursor), "kv_cursor_open");
	for (uint64_t i = 0; i < rows_count(test->rows); i++) {
		entry = rows_at(test->rows, i);
		if (kv_cursor_next(&cursor) != KV_OK)
			fail(test, "an entry is missing");
		if (model_compare(cursor.key, model_key(entry)))
			fail(test, "another key");
		if (!model_value_is(entry->value, cursor.value))
			fail(test, "another value");
	}
	if (test->last &&
	    (kv_cursor_next(&cursor) != KV_OK || model_compare(cursor.key, text(LAST))))
		fail(test, "an entry too many");
	if (kv_cursor_next(&cursor) != KV_NOT_FOUND)
		fail(test, "an entry behind the last");
}

static uint64_t read_last(struct test *test, kv_txn *txn, kv_table *table)
{
	uint64_t last = 0;
	kv_slice value;
	int rc = kv_get(txn, table, text(LAST), &value);

	if (rc < 0 || (rc == KV_OK && value.size != sizeof(last)))
		fail(test, "the number of the last transaction cannot be read");
	if (rc == KV_OK)
		memcpy(&last, value.data, sizeof(last));
	return last;
}

/* Opens what the child has left and compares it with the model. */
static void verify(struct test *test)
{
	struct progress *progress = test->progress;
	uint64_t before = test->last;
	unsigned faults = 0;
	kv_table *table;
	kv_txn *txn;
	kv_db *db = open_all(test, &table);

	if (kv_check(db, fault_print, NULL, &faults) != KV_OK || faults)
		fail(test, "kv_check is not content");
	must(kv_begin(db, KV_READ, &txn), "kv_begin");
	test->last = read_last(test, txn, table);
	if (test->last < progress->durable || test->last < before)
		fail(test, "a durable transaction is lost");
	if (test->last > progress->begun)
		fail(test, "a transaction from the future");
	if (progress->closed && test->last != progress->committed)
		fail(test, "a transaction is lost though the database was closed");
	for (uint64_t i = before + 1; i <= test->last; i++)
		model_apply(test, i);
	compare(test, txn, table);
	must(kv_end(txn), "kv_end");
	must(kv_close(db), "kv_close");
	test->survived += test->last - before;
	test->lost += progress->committed > test->last ? progress->committed - test->last : 0;
}

static void run_round(struct test *test, struct random *random)
{
	uint64_t delay = random_below(random, random_one_in(random, 5) ? 5000 : test->max_us);
	int status;
	pid_t child;

	*test->progress = (struct progress){0};
	atomic_store(&test->progress->begun, test->last);
	atomic_store(&test->progress->committed, test->last);
	atomic_store(&test->progress->durable, test->last);
	child = fork();
	if (child < 0)
		fail(test, "fork");
	if (!child)
		child_run(test);
	usleep((useconds_t)delay);
	kill(child, SIGKILL);
	if (waitpid(child, &status, 0) != child)
		fail(test, "waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status))
		fail(test, "the child met an error");
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		fail(test, "the child crashed");
	test->clean += test->progress->closed;
	test->unborn += test->progress->begun == test->last;
	verify(test);
}

int main(int argc, char **argv)
{
	struct test test = {.rounds = 200, .seed = seed_from_clock(), .max_us = 150000};
	const struct option_spec specs[] = {
	        {"rounds", &test.rounds, NULL, "kills"},
	        {"seed", &test.seed, NULL, "of the random numbers"},
	        {"max-us", &test.max_us, NULL, "longest life of a child, microseconds"},
	        {"page-size", &test.page_size, NULL, "bytes, 0: the default"},
	        {"dir", NULL, &test.parent, "where the database goes; default $TMPDIR or /tmp"},
	        {0},
	};
	struct random random;

	options_parse(argc, argv, specs);
	printf("kill test: seed %llu, %llu rounds\n", (unsigned long long)test.seed,
	       (unsigned long long)test.rounds);
	fflush(stdout);
	random.state = test.seed;
	test.progress = mmap(NULL, sizeof(*test.progress), PROT_READ | PROT_WRITE,
	                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (test.progress == MAP_FAILED)
		return 2;
	temp_dir_make(&test.dir, test.parent);
	test.rows = rows_new();
	model_value_bytes((struct model_value){0, 0}); /* made before the children need it */
	for (test.round = 1; test.round <= test.rounds; test.round++)
		run_round(&test, &random);
	printf("%llu transactions survived, %llu committed but not durable ones were lost; %llu "
	       "children closed the database, %llu died before their first commit\n",
	       (unsigned long long)test.survived, (unsigned long long)test.lost,
	       (unsigned long long)test.clean, (unsigned long long)test.unborn);
	rows_free(test.rows);
	temp_dir_remove(&test.dir);
	return 0;
}
