/* Threads: readers against the writer, the queue for the writer lock. Run under ThreadSanitizer. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fixture.h"
#include "tests/random.h"

/* cmocka's assertions jump, which only its own thread may do. */
#define REQUIRE(condition)                                                              \
	do {                                                                            \
		if (!(condition)) {                                                     \
			print_error("%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, \
			            kv_detail());                                       \
			abort();                                                        \
		}                                                                       \
	} while (0)

static void run_threads(unsigned count, void *(*fn)(void *), void *args, size_t arg_size)
{
	pthread_t threads[16];

	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fn, (char *)args + i * arg_size),
		                 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- readers against the writer ------------------------------------------------------------ */

#define KEYS 400u
#define READERS 3u

struct shared {
	struct fixture *f;
	unsigned rounds;
	_Atomic uint64_t published; /* newest round whose commit has returned */
	_Atomic bool over;
};

/* Every transaction gives all keys the same number, so a reader must see one number only. */
static void write_round(struct shared *shared, uint64_t round, struct random *random)
{
	int durability = random_one_in(random, 4) ? KV_IMMEDIATE : KV_NONE;
	kv_table *table = shared->f->table;
	kv_txn *txn;
	static const char padding[3000];

	REQUIRE(!kv_begin_write(shared->f->db, UINT64_MAX, durability, &txn));
	for (unsigned i = 0; i < KEYS; i++)
		REQUIRE(!kv_put(txn, table, text(number_key(i)), kv_bytes(&round, sizeof(round))));
	REQUIRE(!kv_put(txn, table, text("z"), kv_bytes(padding, random_below(random, 3000))));
	if (random_one_in(random, 10)) {
		kv_abort(txn);
		return;
	}
	REQUIRE(!kv_commit(txn));
	atomic_store(&shared->published, round);
}

static void *write_rounds(void *arg)
{
	struct shared *shared = arg;
	struct random random = {1};

	for (uint64_t round = 1; round <= shared->rounds; round++)
		write_round(shared, round, &random);
	atomic_store(&shared->over, true);
	return NULL;
}

static uint64_t number_in(kv_slice value)
{
	uint64_t number;

	REQUIRE(value.size == sizeof(number));
	memcpy(&number, value.data, sizeof(number));
	return number;
}

/* The number that the snapshot holds, by three ways of reading. */
static uint64_t read_round(struct shared *shared, kv_txn *txn, struct random *random)
{
	kv_table *table = shared->f->table;
	kv_slice prefix = text("0"), key = text(number_key((unsigned)random_below(random, KEYS)));
	kv_slice value, values[1];
	uint64_t number, count = 0, entries;
	kv_cursor cursor;

	REQUIRE(!kv_get(txn, table, key, &value));
	number = number_in(value);
	REQUIRE(!kv_get_many(txn, table, 1, &key, values, NULL));
	REQUIRE(number_in(values[0]) == number);
	REQUIRE(!kv_count(txn, table, &entries));
	REQUIRE(entries == KEYS + 1);
	REQUIRE(!kv_cursor_open(txn, table, &cursor));
	REQUIRE(!kv_cursor_prefix(&cursor, prefix));
	while (kv_cursor_next(&cursor) == KV_OK) {
		REQUIRE(number_in(cursor.value) == number);
		count++;
	}
	REQUIRE(count == KEYS);
	REQUIRE(number_in(value) == number); /* what was read first is still there */
	return number;
}

static void *read_rounds(void *arg)
{
	struct shared *shared = arg;
	struct random random = {seed_from_clock()};
	uint64_t newest = 0, number, floor;
	kv_txn *txn;

	while (!atomic_load(&shared->over)) {
		floor = atomic_load(&shared->published);
		REQUIRE(!kv_begin(shared->f->db, KV_READ, &txn));
		number = read_round(shared, txn, &random);
		REQUIRE(number >= floor && number >= newest);
		newest = number;
		if (random_one_in(&random, 4)) {
			usleep((useconds_t)random_below(&random, 3000));
			REQUIRE(read_round(shared, txn, &random) == number);
		}
		REQUIRE(!kv_end(txn));
	}
	return NULL;
}

struct role {
	struct shared *shared;
	bool writer;
};

static void *start_role(void *arg)
{
	struct role *role = arg;

	return role->writer ? write_rounds(role->shared) : read_rounds(role->shared);
}

static void read_while_written(struct fixture *f, unsigned rounds)
{
	struct shared shared = {.f = f, .rounds = rounds};
	struct random random = {2};
	struct role roles[READERS + 1];

	write_round(&shared, 0, &random);
	for (unsigned i = 0; i <= READERS; i++)
		roles[i] = (struct role){&shared, i == 0};
	run_threads(READERS + 1, start_role, roles, sizeof(roles[0]));
	assert_sound(f->db);
}

static void readers_see_whole_transactions(void **state)
{
	read_while_written(*state, SUPPORT_SANITIZED ? 150 : 1500);
}

/* The same where every transaction is larger than the arena. */
static void readers_see_whole_transactions_that_spill(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.arena_size = 1 << 20, .batch_size = 1 << 14, .durability = KV_NONE};

	fixture_reopen(f, &options);
	read_while_written(f, SUPPORT_SANITIZED ? 100 : 1000);
}

static void readers_see_whole_transactions_in_memory(void **state)
{
	struct fixture *f = *state;
	kv_options options = {.flags = KV_IN_MEMORY};

	fixture_reopen(f, &options);
	read_while_written(f, SUPPORT_SANITIZED ? 150 : 1500);
}

/* More readers than anybody would expect, all at once. */
static void readers_are_unlimited(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 3000 };
	kv_txn **readers = calloc(COUNT, sizeof(*readers));
	kv_info info;

	assert_non_null(readers);
	for (unsigned i = 0; i < COUNT; i++) {
		if (i % 100 == 0)
			commit_pair(f->db, f->table, "k", number_key(i));
		readers[i] = begin_read(f->db);
	}
	assert_status(kv_info_get(f->db, &info), KV_OK);
	assert_int_equal(info.readers, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_value(readers[i], f->table, "k", number_key(i / 100 * 100));
		assert_status(kv_end(readers[i]), KV_OK);
	}
	free(readers);
	assert_sound(f->db);
}

/* ---- the writer lock ----------------------------------------------------------------------- */

#define WRITERS 4u
#define TURNS 50u

struct writer {
	struct fixture *f;
	uint64_t increments;
};

/* Reads a number and writes it back one higher: lost updates would show. */
static void *increment(void *arg)
{
	struct writer *writer = arg;
	kv_table *table = writer->f->table;
	kv_slice value;
	uint64_t number;
	kv_txn *txn;

	for (unsigned i = 0; i < TURNS; i++) {
		REQUIRE(!kv_begin(writer->f->db, KV_WRITE, &txn));
		REQUIRE(!kv_get(txn, table, text("n"), &value));
		number = number_in(value) + 1;
		REQUIRE(!kv_put(txn, table, text("n"), kv_bytes(&number, sizeof(number))));
		REQUIRE(!kv_set_durability(txn, i % 10 ? KV_NONE : KV_IMMEDIATE));
		REQUIRE(!kv_commit(txn));
	}
	return NULL;
}

static void writers_take_turns(void **state)
{
	struct fixture *f = *state;
	struct writer writers[WRITERS];
	uint64_t number = 0;
	kv_txn *txn = begin_write(f->db);
	kv_slice value;

	assert_status(kv_put(txn, f->table, text("n"), kv_bytes(&number, sizeof(number))), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	for (unsigned i = 0; i < WRITERS; i++)
		writers[i].f = f;
	run_threads(WRITERS, increment, writers, sizeof(writers[0]));
	txn = begin_read(f->db);
	assert_status(kv_get(txn, f->table, text("n"), &value), KV_OK);
	assert_int_equal(number_in(value), WRITERS * TURNS);
	assert_status(kv_end(txn), KV_OK);
}

struct queue {
	struct fixture *f;
	unsigned place;
	_Atomic unsigned *order; /* next number to hand out */
	unsigned served;
};

static void *wait_in_line(void *arg)
{
	struct queue *queue = arg;
	kv_txn *txn;

	usleep(queue->place * 60000); /* they arrive one after another */
	REQUIRE(!kv_begin(queue->f->db, KV_WRITE, &txn));
	queue->served = atomic_fetch_add(queue->order, 1);
	usleep(1000);
	kv_abort(txn);
	return NULL;
}

struct holder {
	struct fixture *f;
	useconds_t time;
	_Atomic bool *holding;
};

static void *hold_the_lock(void *arg)
{
	struct holder *holder = arg;
	kv_txn *txn;

	REQUIRE(!kv_begin(holder->f->db, KV_WRITE, &txn));
	if (holder->holding)
		atomic_store(holder->holding, true);
	usleep(holder->time);
	kv_abort(txn);
	return NULL;
}

static void first_come_first_served(void **state)
{
	struct fixture *f = *state;
	kv_txn *txn = begin_write(f->db);
	_Atomic unsigned order = 0;
	struct queue queue[5];
	pthread_t threads[5];

	for (unsigned i = 0; i < 5; i++) {
		queue[i] = (struct queue){.f = f, .place = i + 1, .order = &order};
		assert_int_equal(pthread_create(&threads[i], NULL, wait_in_line, &queue[i]), 0);
	}
	usleep(500000);
	kv_abort(txn);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(queue[i].served, i);
}

static void waiting_has_a_limit(void **state)
{
	struct fixture *f = *state;
	_Atomic bool holding = false;
	struct holder holder = {f, 400000, &holding};
	pthread_t thread;
	double start;
	kv_txn *txn;

	assert_int_equal(pthread_create(&thread, NULL, hold_the_lock, &holder), 0);
	while (!atomic_load(&holding))
		usleep(1000);
	start = seconds_now();
	assert_status(kv_begin(f->db, KV_WRITE | KV_TRY, &txn), KV_TIMEOUT);
	assert_status(kv_begin_write(f->db, 0, KV_NONE, &txn), KV_TIMEOUT);
	assert_true(seconds_now() - start < 0.05 || SUPPORT_SANITIZED);
	assert_status(kv_begin_write(f->db, 100000, KV_NONE, &txn), KV_TIMEOUT);
	assert_true(seconds_now() - start >= 0.1);
	/* Readers do not care. */
	assert_committed(f->db, f->table, "k", NULL);
	assert_status(kv_begin_write(f->db, UINT64_MAX, KV_NONE, &txn), KV_OK);
	kv_abort(txn);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* Who gave up waiting is not served later: the lock is free. */
	assert_status(kv_begin(f->db, KV_WRITE | KV_TRY, &txn), KV_OK);
	kv_abort(txn);
}

/* ---- moving about -------------------------------------------------------------------------- */

struct moved {
	struct fixture *f;
	kv_txn *writer, *reader;
};

static void *commit_for_another(void *arg)
{
	struct moved *moved = arg;

	REQUIRE(kv_get(moved->reader, moved->f->table, text("k"), NULL) == KV_NOT_FOUND);
	REQUIRE(!kv_end(moved->reader));
	REQUIRE(!kv_put(moved->writer, moved->f->table, text("l"), text("v")));
	REQUIRE(!kv_commit(moved->writer));
	return NULL;
}

static void transactions_move_between_threads(void **state)
{
	struct fixture *f = *state;
	struct moved moved = {f, begin_write(f->db), begin_read(f->db)};
	kv_txn *txn;

	assert_status(kv_put(moved.writer, f->table, text("k"), text("v")), KV_OK);
	run_threads(1, commit_for_another, &moved, sizeof(moved));
	assert_status(kv_begin(f->db, KV_WRITE | KV_TRY, &txn), KV_OK);
	kv_abort(txn);
	assert_committed(f->db, f->table, "k", "v");
	assert_committed(f->db, f->table, "l", "v");
}

static void *fail_elsewhere(void *arg)
{
	struct fixture *f = arg;
	kv_db *db;

	REQUIRE(!strcmp(kv_detail(), ""));
	REQUIRE(kv_open(f->dir.file, NULL, &db) == KV_BUSY);
	REQUIRE(strcmp(kv_detail(), ""));
	return NULL;
}

static void each_thread_has_its_own_detail(void **state)
{
	struct fixture *f = *state;
	char mine[600];
	kv_db *db;

	assert_status(kv_open("/missing directory/x.kv", NULL, &db) < 0, 1);
	strncpy(mine, kv_detail(), sizeof(mine) - 1);
	mine[sizeof(mine) - 1] = 0;
	run_threads(1, fail_elsewhere, f, 0);
	assert_string_equal(kv_detail(), mine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(readers_see_whole_transactions),
	        fixture_test(readers_see_whole_transactions_that_spill),
	        fixture_test(readers_see_whole_transactions_in_memory),
	        fixture_test(readers_are_unlimited),
	        fixture_test(writers_take_turns),
	        fixture_test(first_come_first_served),
	        fixture_test(waiting_has_a_limit),
	        fixture_test(transactions_move_between_threads),
	        fixture_test(each_thread_has_its_own_detail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
