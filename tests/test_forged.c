/* Files that somebody made up: every checksum is right, the content is not. Answers are KV_CORRUPT,
 * never a crash, a loop, or pages that change under a reader. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "btree/node.h"
#include "tests/fixture.h"
#include "tests/forge.h"

#define FUTURE (UINT64_C(1) << 60) /* a transaction that nobody will live to see */
#define TABLE 1                    /* id of the fixture's table */
#define PATIENCE 1.0               /* seconds; what goes in circles takes minutes */
#define ALARM 30                   /* seconds, then the program is killed */

/* ---- shorthands ---------------------------------------------------------------------------- */

static void begin_forgery(struct fixture *f, struct forge *forge)
{
	assert_status(kv_close(f->db), KV_OK);
	f->db = NULL;
	forge_begin(forge, f->dir.file);
}

/* Opens the forged file, and its table by name. */
static kv_txn *end_forgery(struct fixture *f, struct forge *forge)
{
	kv_txn *txn;

	forge_end(forge);
	assert_status(kv_open(f->dir.file, NULL, &f->db), KV_OK);
	txn = begin_read(f->db);
	assert_status(kv_table_open(txn, "t", 0, &f->table), KV_OK);
	return txn;
}

static void put_some(struct fixture *f, unsigned n)
{
	kv_txn *txn = begin_write(f->db);

	put_numbers(txn, f->table, n);
	assert_status(kv_commit(txn), KV_OK);
}

/* ---- the catalog --------------------------------------------------------------------------- */

/* Once the catalog's leaf has been copied into a frame, a root that is a frame looks possible. */
static void a_record_that_names_a_frame_is_refused(void **state)
{
	struct fixture *f = *state;
	struct forge forge;
	kv_table *other;
	kv_txn *txn;

	put_some(f, 1);
	begin_forgery(f, &forge);
	forge_record(&forge, TABLE)->root = PAGE_FRAME | 0x3fffffff;
	forge_sum_catalog(&forge);
	forge_end(&forge);
	assert_status(kv_open(f->dir.file, NULL, &f->db), KV_OK);
	txn = begin_write(f->db);
	kv_table_open(txn, "other", KV_CREATE, &other);
	kv_table_open(txn, "t", 0, &f->table);
	assert_status(kv_get(txn, f->table, text(number_key(0)), NULL), KV_CORRUPT);
	assert_status(kv_commit(txn), KV_CORRUPT);
}

static void a_catalog_higher_than_any_tree_is_refused(void **state)
{
	struct fixture *f = *state;
	struct forge forge;

	put_some(f, 1);
	begin_forgery(f, &forge);
	forge_set_catalog(&forge, forge_meta(&forge, 0)->catalog_root, KV_MAX_LEVELS + 1);
	forge_end(&forge);
	assert_status(kv_open(f->dir.file, NULL, &f->db), KV_CORRUPT);
}

/* ---- births -------------------------------------------------------------------------------- */

static void a_database_at_the_end_of_time_is_refused(void **state)
{
	struct fixture *f = *state;
	const size_t fields[] = {offsetof(struct meta, txn), offsetof(struct meta, sequence),
	                         offsetof(struct meta, next_table)};
	const uint64_t end = UINT64_MAX - 1;

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		uint64_t before = 0;
		struct forge forge;

		begin_forgery(f, &forge);
		for (unsigned page = 0; page < 2; page++) {
			uint8_t *field = (uint8_t *)forge_meta(&forge, page) + fields[i];

			memcpy(&before, field, sizeof before);
			memcpy(field, &end, sizeof end);
		}
		forge_end(&forge);
		assert_status(kv_open(f->dir.file, NULL, &f->db), KV_CORRUPT);
		forge_begin(&forge, f->dir.file);
		for (unsigned page = 0; page < 2; page++)
			memcpy((uint8_t *)forge_meta(&forge, page) + fields[i], &before,
			       sizeof before);
		kv_end(end_forgery(f, &forge));
	}
}

static void a_leaf_from_the_future_is_refused(void **state)
{
	struct fixture *f = *state;
	struct table_record *record;
	struct forge forge;
	kv_txn *txn;

	put_some(f, 1);
	begin_forgery(f, &forge);
	record = forge_record(&forge, TABLE);
	page_header(forge_page(&forge, page_number(record->root)))->birth = FUTURE;
	record->root = forge_sum(&forge, page_number(record->root));
	forge_sum_catalog(&forge);
	txn = end_forgery(f, &forge);
	assert_status(kv_get(txn, f->table, text(number_key(0)), NULL), KV_CORRUPT);
	assert_status(kv_end(txn), KV_CORRUPT);
}

static unsigned key_number(kv_slice key)
{
	char digits[7] = "";

	assert_int_equal(key.size, 6);
	memcpy(digits, key.data, 6);
	return (unsigned)strtoul(digits, NULL, 10);
}

/* Leaves are verified along with their neighbours: that must not let one slip through. */
static void a_neighbour_from_the_future_is_refused(void **state)
{
	struct fixture *f = *state;
	struct table_record *record;
	struct forge forge;
	uint8_t *branch;
	uint64_t leaf;
	unsigned n;
	kv_txn *txn;

	put_some(f, 1000);
	begin_forgery(f, &forge);
	record = forge_record(&forge, TABLE);
	assert_int_equal(record->height, 2);
	branch = forge_page(&forge, page_number(record->root));
	leaf = page_number(node_child(branch, 1));
	page_header(forge_page(&forge, leaf))->birth = FUTURE;
	node_set_child(branch, 1, forge_sum(&forge, leaf));
	record->root = forge_sum(&forge, page_number(record->root));
	forge_sum_catalog(&forge);
	n = key_number(node_key(forge_page(&forge, leaf), 0));
	txn = end_forgery(f, &forge);
	assert_value(txn, f->table, number_key(0), number_key(0));
	assert_value(txn, f->table, number_key(999), number_key(999));
	assert_status(kv_get(txn, f->table, text(number_key(n)), NULL), KV_CORRUPT);
	assert_status(kv_end(txn), KV_CORRUPT);
}

static void a_table_emptied_in_the_future_is_refused(void **state)
{
	struct fixture *f = *state;
	struct forge forge;
	kv_txn *txn;

	put_some(f, 1000);
	begin_forgery(f, &forge);
	forge_record(&forge, TABLE)->empty_since = FUTURE;
	forge_sum_catalog(&forge);
	txn = end_forgery(f, &forge);
	assert_status(kv_get(txn, f->table, text(number_key(0)), NULL), KV_CORRUPT);
	assert_status(kv_end(txn), KV_CORRUPT);
	txn = begin_write(f->db);
	assert_status(kv_delete_range(txn, f->table, NULL, NULL, NULL), KV_CORRUPT);
	assert_status(kv_commit(txn), KV_CORRUPT);
}

static void a_large_value_from_the_future_is_refused(void **state)
{
	struct fixture *f = *state;
	struct table_record *record;
	struct node_large where;
	struct forge forge;
	kv_slice value;
	uint8_t *leaf;
	bool large;
	char *big = calloc(1, 9000);
	kv_txn *txn = begin_write(f->db);

	assert_non_null(big);
	assert_status(kv_put(txn, f->table, text("k"), kv_bytes(big, 9000)), KV_OK);
	assert_status(kv_commit(txn), KV_OK);
	free(big);
	begin_forgery(f, &forge);
	record = forge_record(&forge, TABLE);
	leaf = forge_page(&forge, page_number(record->root));
	value = node_value(leaf, 0, &large);
	assert_true(large);
	memcpy(&where, value.data, sizeof where);
	where.birth = FUTURE;
	memcpy(leaf + ((const uint8_t *)value.data - leaf), &where, sizeof where);
	record->root = forge_sum(&forge, page_number(record->root));
	forge_sum_catalog(&forge);
	txn = end_forgery(f, &forge);
	assert_status(kv_get(txn, f->table, text("k"), NULL), KV_CORRUPT);
	assert_status(kv_end(txn), KV_CORRUPT);
	txn = begin_write(f->db);
	assert_status(kv_put(txn, f->table, text("k"), text("small")), KV_OK);
	assert_status(kv_commit(txn), KV_CORRUPT);
}

/* ---- pages that are reached many times ----------------------------------------------------- */

/* Pages to build a tree from, all of which the file had in use. */
struct pool {
	struct forge *forge;
	uint64_t numbers[16];
	size_t count;
};

static uint8_t *take(struct pool *pool, uint8_t type, uint8_t level, uint64_t *number)
{
	uint8_t *page;

	assert_true(pool->count > 0);
	*number = pool->numbers[--pool->count];
	page = forge_page(pool->forge, *number);
	memset(page, 0, pool->forge->page_size);
	node_init(page, pool->forge->page_size, type, level, 2, 0);
	return page;
}

static page_id forge_leaf(struct pool *pool, uint8_t type, kv_slice key, kv_slice value)
{
	uint64_t number;
	uint8_t *leaf = take(pool, type, 0, &number);

	if (value.data)
		assert_true(node_append_leaf(leaf, pool->forge->page_size, key, value, false));
	node_finish(leaf, pool->forge->page_size);
	return forge_sum(pool->forge, number);
}

#define FANOUT 90u
#define LEVELS 4u /* FANOUT to the power of it: hours to walk */

/* A branch whose children are all the same page, then another (if it is not PAGE_NONE). */
static page_id forge_branch(struct pool *pool, uint8_t level, unsigned fanout, page_id child,
                            page_id last)
{
	uint32_t page_size = pool->forge->page_size;
	uint64_t number;
	uint8_t *branch = take(pool, PAGE_BRANCH, level, &number);

	for (unsigned i = 0; i < fanout; i++) {
		char separator[16];

		snprintf(separator, sizeof separator, "N%02u", i);
		assert_true(node_append_branch(branch, page_size, text(separator), child, 1));
	}
	if (last)
		assert_true(node_append_branch(branch, page_size, text("T"), last, 1));
	node_finish(branch, page_size);
	return forge_sum(pool->forge, number);
}

static page_id forge_maze(struct pool *pool, page_id leaf)
{
	for (uint8_t level = 1; level <= LEVELS; level++)
		leaf = forge_branch(pool, level, FANOUT, leaf, PAGE_NONE);
	return leaf;
}

/* Makes the fixture's table a maze over one leaf with one entry, or with none. */
static kv_txn *open_maze(struct fixture *f, bool with_entry)
{
	struct table_record *record;
	struct forge forge;
	struct pool pool = {.forge = &forge};
	kv_slice nothing = {NULL, 0};

	put_some(f, 4000);
	begin_forgery(f, &forge);
	pool.count = forge_find(&forge, PAGE_LEAF, pool.numbers, 16);
	record = forge_record(&forge, TABLE);
	record->root = forge_maze(
	        &pool, forge_leaf(&pool, PAGE_LEAF, text("N"), with_entry ? text("v") : nothing));
	record->height = LEVELS + 1;
	forge_sum_catalog(&forge);
	return end_forgery(f, &forge);
}

static void assert_scan_ends(struct fixture *f, bool with_entry, bool back)
{
	kv_txn *txn = open_maze(f, with_entry);
	double began = seconds_now();
	kv_cursor cursor;
	int rc;

	alarm(ALARM);
	assert_status(kv_cursor_open(txn, f->table, &cursor), KV_OK);
	rc = back ? kv_cursor_last(&cursor) : kv_cursor_first(&cursor);
	while (!rc)
		rc = back ? kv_cursor_prev(&cursor) : kv_cursor_next(&cursor);
	alarm(0);
	assert_status(rc, KV_CORRUPT);
	assert_true(seconds_now() - began < PATIENCE);
	assert_status(kv_end(txn), KV_CORRUPT);
}

static void a_scan_of_one_leaf_reached_many_times_ends(void **state)
{
	assert_scan_ends(*state, true, false);
}

static void a_scan_backward_of_one_leaf_reached_many_times_ends(void **state)
{
	assert_scan_ends(*state, true, true);
}

static void a_scan_of_one_empty_leaf_reached_many_times_ends(void **state)
{
	assert_scan_ends(*state, false, false);
}

static void a_scan_backward_of_one_empty_leaf_reached_many_times_ends(void **state)
{
	assert_scan_ends(*state, false, true);
}

static int ignore_name(void *arg, const char *name, uint64_t entries)
{
	(void)arg;
	(void)name;
	(void)entries;
	return 0;
}

/* Makes the catalog a maze of one name, and a record for it at the end. */
static void open_catalog_maze(struct fixture *f)
{
	struct table_record record = {.root = PAGE_NONE};
	const uint8_t key[9] = {'T', 0, 0, 0, 0, 0, 0, 0, TABLE};
	const uint64_t id = TABLE;
	struct forge forge;
	struct pool pool = {.forge = &forge};
	page_id names, records;

	put_some(f, 4000);
	begin_forgery(f, &forge);
	pool.count = forge_find(&forge, PAGE_LEAF, pool.numbers, 16);
	names = forge_maze(&pool,
	                   forge_leaf(&pool, PAGE_CATALOG, text("Nt"), kv_bytes(&id, sizeof id)));
	records = forge_leaf(&pool, PAGE_CATALOG, kv_bytes(key, sizeof key),
	                     kv_bytes(&record, sizeof record));
	for (uint8_t level = 1; level <= LEVELS; level++)
		records = forge_branch(&pool, level, 1, records, PAGE_NONE);
	forge_set_catalog(&forge, forge_branch(&pool, LEVELS + 1, 1, names, records), LEVELS + 2);
	forge_end(&forge);
	assert_status(kv_open(f->dir.file, NULL, &f->db), KV_OK);
}

static void listing_one_name_reached_many_times_ends(void **state)
{
	struct fixture *f = *state;
	double began;
	kv_txn *txn;

	open_catalog_maze(f);
	began = seconds_now();
	txn = begin_read(f->db);
	alarm(ALARM);
	assert_status(kv_table_list(txn, ignore_name, NULL), KV_CORRUPT);
	alarm(0);
	assert_true(seconds_now() - began < PATIENCE);
	assert_status(kv_end(txn), KV_CORRUPT);
}

static void facts_about_one_name_reached_many_times_end(void **state)
{
	struct fixture *f = *state;
	double began;
	kv_info info;

	open_catalog_maze(f);
	began = seconds_now();
	alarm(ALARM);
	assert_status(kv_info_get(f->db, &info), KV_CORRUPT);
	alarm(0);
	assert_true(seconds_now() - began < PATIENCE);
}

static void count_fault(void *arg, uint64_t page, const char *what)
{
	(void)page;
	(void)what;
	++*(unsigned *)arg;
}

static void the_checker_finds_a_leaf_reached_many_times(void **state)
{
	struct fixture *f = *state;
	unsigned faults = 0;
	double began;

	assert_status(kv_end(open_maze(f, true)), KV_OK);
	began = seconds_now();
	alarm(ALARM);
	assert_status(kv_check(f->db, count_fault, NULL, &faults), KV_CORRUPT);
	alarm(0);
	assert_true(seconds_now() - began < PATIENCE);
	assert_true(faults > 0);
}

static void emptying_a_leaf_reached_many_times_ends(void **state)
{
	struct fixture *f = *state;
	double began;
	kv_txn *txn;

	assert_status(kv_end(open_maze(f, true)), KV_OK);
	began = seconds_now();
	txn = begin_write(f->db);
	alarm(ALARM);
	assert_status(kv_clear(txn, f->table), KV_CORRUPT);
	alarm(0);
	assert_true(seconds_now() - began < PATIENCE);
	assert_status(kv_commit(txn), KV_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        fixture_test(a_record_that_names_a_frame_is_refused),
	        fixture_test(a_catalog_higher_than_any_tree_is_refused),
	        fixture_test(a_database_at_the_end_of_time_is_refused),
	        fixture_test(a_leaf_from_the_future_is_refused),
	        fixture_test(a_neighbour_from_the_future_is_refused),
	        fixture_test(a_table_emptied_in_the_future_is_refused),
	        fixture_test(a_large_value_from_the_future_is_refused),
	        fixture_test(a_scan_of_one_leaf_reached_many_times_ends),
	        fixture_test(a_scan_backward_of_one_leaf_reached_many_times_ends),
	        fixture_test(a_scan_of_one_empty_leaf_reached_many_times_ends),
	        fixture_test(a_scan_backward_of_one_empty_leaf_reached_many_times_ends),
	        fixture_test(listing_one_name_reached_many_times_ends),
	        fixture_test(facts_about_one_name_reached_many_times_end),
	        fixture_test(the_checker_finds_a_leaf_reached_many_times),
	        fixture_test(emptying_a_leaf_reached_many_times_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
