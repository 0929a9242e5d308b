/* Single keys of a tree: put, get, remove against a model, in all page sizes, over commits and
 * write-backs; how full leaves become; large values; refusals; forged pages. The seed is printed;
 * give it as argument to run the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "btree/node_heap.h"
#include "btree/tree.h"
#include "tests/model.h"
#include "tests/support.h"
#include "tests/tree_model.h"

static const uint32_t page_sizes[] = {4096, 8192, 16384, 65536};
static uint64_t seed;

/* ---- checking ------------------------------------------------------------------------------- */

struct expected {
	const struct model_rows *rows;
	uint64_t next;
};

static int expect_entry(void *arg, kv_slice key, kv_slice value)
{
	struct expected *expected = arg;
	const struct model_entry *entry = rows_at(expected->rows, expected->next++);

	assert_non_null(entry);
	assert_int_equal(model_compare(key, model_key(entry)), 0);
	assert_true(model_value_is(entry->value, value));
	return KV_OK;
}

static void print_fault(void *arg, uint64_t page, const char *what)
{
	(void)arg;
	fprintf(stderr, "page %lld: %s\n", (long long)page, what);
}

/* The tree is sound and holds the rows. Returns its pages. */
static uint64_t check(const struct tree *tree, const struct model_rows *rows)
{
	struct expected expected = {rows, 0};
	struct tree_check check = {.fault = print_fault, .value = expect_entry, .arg = &expected};

	assert_int_equal(tree->count, rows_count(rows));
	assert_int_equal(tree_check(tree, &check), KV_OK);
	assert_int_equal(check.faults, 0);
	assert_int_equal(expected.next, rows_count(rows));
	return check.pages;
}

static void check_key(const struct tree *tree, const struct model_rows *rows, kv_slice key)
{
	const struct model_entry *entry = rows_get(rows, key);
	kv_slice value;

	assert_int_equal(tree_get(tree, key, &value), entry ? KV_OK : KV_NOT_FOUND);
	if (entry)
		assert_true(model_value_is(entry->value, value));
}

/* ---- random operations ---------------------------------------------------------------------- */

/* A tree, what it should hold, and what both were when the transaction began. */
struct pair {
	struct tree_model store;
	struct model_rows *rows;
	struct tree old_tree;
	struct model_rows *old_rows;
};

static void pair_open(struct pair *pair, uint32_t page_size)
{
	tree_model_open(&pair->store, page_size);
	pair->rows = rows_new();
	pair->old_tree = pair->store.tree;
	pair->old_rows = rows_share(pair->rows);
}

static void pair_close(struct pair *pair)
{
	rows_free(pair->rows);
	rows_free(pair->old_rows);
	tree_model_close(&pair->store);
}

/* What a reader sees has not changed; then goes on in a new transaction. */
static void next_transaction(struct pair *pair, bool write_back)
{
	check(&pair->old_tree, pair->old_rows);
	if (write_back)
		tree_model_flush(&pair->store);
	else
		tree_model_commit(&pair->store);
	rows_free(pair->old_rows);
	pair->old_tree = pair->store.tree;
	pair->old_tree.ledger = NULL;
	pair->old_rows = rows_share(pair->rows);
}

static uint32_t value_size(struct random *random, uint32_t page_size)
{
	switch (random_below(random, 40)) {
	case 0: return (uint32_t)random_below(random, (uint64_t)4 * page_size);
	case 1: return (uint32_t)random_below(random, page_size / 2);
	case 2: return 0;
	default: return (uint32_t)random_below(random, 200);
	}
}

static void put(struct pair *pair, struct random *random, kv_slice key)
{
	uint32_t page_size = pair->store.store->page_size;
	struct model_value value = model_value_new(random, value_size(random, page_size));
	kv_slice bytes = model_value_bytes(value), old;
	const struct model_entry *entry = rows_get(pair->rows, key);
	uint64_t generation = pair->store.tree.generation;
	int rc;

	if (!random_one_in(random, 4)) {
		assert_int_equal(tree_put(&pair->store.tree, key, bytes, TREE_PUT, NULL, NULL),
		                 KV_OK);
		rows_put(&pair->rows, key, value);
		return;
	}
	rc = tree_put(&pair->store.tree, key, bytes, TREE_PUT_ABSENT, &old, NULL);
	assert_int_equal(rc, entry ? KV_EXISTS : KV_OK);
	if (entry) {
		assert_true(model_value_is(entry->value, old));
		assert_int_equal(pair->store.tree.generation, generation);
	} else {
		rows_put(&pair->rows, key, value);
	}
}

static void run(struct random *random, uint32_t page_size, enum key_kind kind, int steps)
{
	uint8_t buffer[1024];
	uint64_t domain = key_domain(kind, 700), narrow = random_below(random, 6);
	bool shrinking = false;
	struct pair pair;

	pair_open(&pair, page_size);
	domain = (domain >> (2 * narrow)) + 1;
	for (int step = 0; step < steps; step++) {
		kv_slice key = kv_bytes(buffer,
		                        key_make(kind, random_below(random, domain), 700, buffer));
		int rc;

		if (random_one_in(random, (uint64_t)steps / 6))
			shrinking = !shrinking;
		if (random_one_in(random, shrinking ? 4 : 3) == !shrinking) {
			if (shrinking && rows_count(pair.rows))
				key = model_key(rows_at(
				        pair.rows, random_below(random, rows_count(pair.rows))));
			memmove(buffer, key.data, key.size);
			key.data = buffer;
			rc = tree_remove(&pair.store.tree, key);
			assert_int_equal(rc, rows_delete(&pair.rows, key) ? KV_OK : KV_NOT_FOUND);
		} else {
			put(&pair, random, key);
		}
		check_key(&pair.store.tree, pair.rows, key);
		if (random_one_in(random, 400))
			check(&pair.store.tree, pair.rows);
		if (random_one_in(random, 300))
			next_transaction(&pair, random_one_in(random, 2));
	}
	check(&pair.store.tree, pair.rows);
	if (!rows_count(pair.rows)) /* it may have been emptied in an earlier transaction */
		put(&pair, random, kv_bytes("last", 4));
	while (rows_count(pair.rows)) {
		const struct model_entry *entry = rows_at(
		        pair.rows, random_below(random, rows_count(pair.rows)));

		assert_int_equal(tree_remove(&pair.store.tree, model_key(entry)), KV_OK);
		rows_delete(&pair.rows, model_key(entry));
	}
	assert_int_equal(pair.store.tree.root, PAGE_NONE);
	assert_int_equal(pair.store.tree.height, 0);
	assert_int_equal(pair.store.tree.empty_since, pair.store.ledger.txn);
	assert_false(pair.store.tree.has_large);
	pair_close(&pair);
}

static void trees_hold_what_was_put_into_them(void **state)
{
	struct random random = {seed};

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		for (int kind = 0; kind < KEY_KINDS; kind++)
			run(&random, page_sizes[i], (enum key_kind)kind, 3000);
}

/* ---- how full leaves become ----------------------------------------------------------------- */

struct order {
	uint32_t groups; /* of keys, inserted in turn */
	int direction;   /* within a group: 1 ascending, -1 descending, 0 random */
};

/* Puts count entries of 24 + 150 bytes in some order; returns how many a page has on average. */
static double fill(struct order order, uint32_t count)
{
	struct tree_model model;
	struct tree_check check = {.faults = 0};
	uint8_t value[150] = {0};
	double result;

	tree_model_open(&model, 4096);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t n = order.direction < 0 ? count - i : i;
		char key[32];

		if (!order.direction)
			n = random_mix(i + seed);
		snprintf(key, sizeof(key), "%04u%020llu", i % order.groups, (unsigned long long)n);
		assert_int_equal(tree_put(&model.tree, kv_bytes(key, 24), kv_bytes(value, 150),
		                          TREE_PUT, NULL, NULL),
		                 KV_OK);
	}
	assert_int_equal(tree_check(&model.tree, &check), KV_OK);
	result = (double)check.entries / (double)check.pages;
	tree_model_close(&model);
	return result;
}

static void inserts_in_order_fill_leaves(void **state)
{
	double ascending = fill((struct order){1, 1}, 20000);
	double descending = fill((struct order){1, -1}, 20000);
	double in_groups = fill((struct order){50, 1}, 20000);
	double down_in_groups = fill((struct order){50, -1}, 20000);
	double random = fill((struct order){1, 0}, 20000);

	(void)state;
	printf("entries per page, of 22: ascending %.1f, descending %.1f, groups %.1f and %.1f, "
	       "random %.1f\n",
	       ascending, descending, in_groups, down_in_groups, random);
	assert_true(ascending > 21.5);
	assert_true(descending > 21);
	assert_true(in_groups > 20);
	assert_true(down_in_groups > 20);
	assert_true(random > 14.5);
}

static void removals_merge_leaves(void **state)
{
	struct tree_model model;
	struct tree_check check = {.faults = 0};
	struct random random = {seed};

	(void)state;
	tree_model_open(&model, 4096);
	tree_model_fill(&model, &random, KEY_RANDOM, 20000, SHAPE_PUT, false);
	for (size_t i = 0; i < model.count; i++)
		if (i % 16)
			assert_int_equal(tree_remove(&model.tree, model.entries[i].key), KV_OK);
	assert_int_equal(tree_check(&model.tree, &check), KV_OK);
	assert_true(check.entries / check.pages > 12);
	assert_true(model.stats.merges > 100);
	tree_model_close(&model);
}

/* ---- single behaviours ---------------------------------------------------------------------- */

static void refusals_change_nothing(void **state)
{
	struct tree_model model;
	struct tree before;
	uint8_t long_key[961] = {0};
	void *place;

	(void)state;
	tree_model_open(&model, 4096);
	assert_int_equal(tree_put(&model.tree, text("b"), text("1"), TREE_PUT, NULL, NULL), KV_OK);
	tree_model_flush(&model);
	before = model.tree;
	assert_int_equal(tree_put(&model.tree, text("a"), text("2"), TREE_PUT_LAST, NULL, NULL),
	                 KV_ORDER);
	assert_int_equal(tree_put(&model.tree, text("b"), text("2"), TREE_PUT_LAST, NULL, NULL),
	                 KV_ORDER);
	assert_int_equal(tree_put(&model.tree, text("b"), text("2"), TREE_PUT_ABSENT, NULL, NULL),
	                 KV_EXISTS);
	assert_int_equal(tree_remove(&model.tree, text("c")), KV_NOT_FOUND);
	assert_int_equal(
	        tree_put(&model.tree, kv_bytes(long_key, 961), text(""), TREE_PUT, NULL, NULL),
	        KV_TOO_BIG);
	assert_int_equal(
	        tree_put(&model.tree, text("c"), kv_bytes(NULL, 4000), TREE_PUT, NULL, &place),
	        KV_TOO_BIG);
	assert_int_equal(model.tree.root, before.root);
	assert_int_equal(model.tree.generation, before.generation);
	assert_int_equal(model.ledger.retired_count, 0);
	assert_int_equal(tree_put(&model.tree, text("c"), text("3"), TREE_PUT_LAST, NULL, NULL),
	                 KV_OK);
	tree_model_close(&model);
}

static void reserved_values_are_filled_in_place(void **state)
{
	struct tree_model model;
	kv_slice value;
	void *place;

	(void)state;
	tree_model_open(&model, 4096);
	for (int round = 0; round < 3; round++) { /* new, the same size, smaller */
		size_t size = round < 2 ? 100 : 50;

		assert_int_equal(tree_put(&model.tree, text("key"), kv_bytes(NULL, size), TREE_PUT,
		                          NULL, &place),
		                 KV_OK);
		assert_int_equal(tree_get(&model.tree, text("key"), &value), KV_OK);
		assert_ptr_equal(value.data, place);
		assert_int_equal(value.size, size);
		assert_int_equal(((const uint8_t *)value.data)[7], 0);
		memset(place, 'x', size);
	}
	tree_model_close(&model);
}

/* A slice that came out of the tree may be put back, although its frame changes meanwhile. */
static void slices_of_the_tree_may_be_put(void **state)
{
	struct tree_model model;
	uint8_t bytes[500];
	kv_slice value;
	char key[8];

	(void)state;
	tree_model_open(&model, 4096);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(
	        tree_put(&model.tree, text("k00"), kv_bytes(bytes, 500), TREE_PUT, NULL, NULL),
	        KV_OK);
	for (int i = 1; i < 60; i++) {
		assert_int_equal(tree_get(&model.tree, text("k00"), &value), KV_OK);
		snprintf(key, sizeof(key), "k%02d", 60 - i);
		assert_int_equal(tree_put(&model.tree, text(key), value, TREE_PUT, NULL, NULL),
		                 KV_OK);
		assert_int_equal(tree_get(&model.tree, text(key), &value), KV_OK);
		assert_int_equal(value.size, 500);
		assert_memory_equal(value.data, bytes, 500);
	}
	tree_model_close(&model);
}

static void large_values_come_back_whole_and_are_retired(void **state)
{
	struct tree_model model;
	struct random random = {seed};
	struct model_value value = model_value_new(&random, 1000000);
	kv_slice found;

	(void)state;
	tree_model_open(&model, 4096);
	assert_int_equal(
	        tree_put(&model.tree, text("k"), model_value_bytes(value), TREE_PUT, NULL, NULL),
	        KV_OK);
	assert_true(model.tree.has_large);
	tree_model_flush(&model);
	assert_int_equal(tree_get(&model.tree, text("k"), &found), KV_OK);
	assert_true(model_value_is(value, found));
	assert_int_equal(tree_put(&model.tree, text("k"), text("small"), TREE_PUT, NULL, NULL),
	                 KV_OK);
	assert_int_equal(model.ledger.retired_count, 2);
	assert_int_equal(model.ledger.retired[0].count + model.ledger.retired[1].count, 1 + 245);
	tree_model_close(&model);
}

/* ---- write-back ----------------------------------------------------------------------------- */

struct places {
	const struct store *store;
	uint64_t last; /* page of the leaf before */
};

static int expect_later_leaf(void *arg, uint64_t first, uint64_t count)
{
	struct places *places = arg;

	(void)count;
	if (node_is_branch(store_at(places->store, first)))
		return KV_OK;
	assert_true(first > places->last);
	places->last = first;
	return KV_OK;
}

static void write_back_places_leaves_in_key_order(void **state)
{
	struct tree_model model;
	struct random random = {seed};
	struct tree_check before = {.faults = 0}, after = {.visit = expect_later_leaf};
	struct tree_written written = {NULL, 0, 0};
	struct places places = {NULL, 0};
	struct store_flush flush;
	page_id place;

	(void)state;
	tree_model_open(&model, 4096);
	tree_model_fill(&model, &random, KEY_RANDOM, 5000, SHAPE_PUT, false);
	assert_int_equal(tree_check(&model.tree, &before), KV_OK);
	assert_int_equal(store_flush_begin(model.store, &flush, &model.ledger, before.pages),
	                 KV_OK);
	assert_int_equal(tree_write_back(model.store, &flush, model.tree.root, &written, &place),
	                 KV_OK);
	assert_int_equal(store_flush_end(&flush, KV_OK), KV_OK);
	assert_int_equal(written.count, before.pages);
	tree_model_check(&model); /* the frames are as they were */
	assert_int_equal(tree_retire_written(model.store, &model.ledger, &written, KV_OK), KV_OK);
	model.tree.root = place;
	tree_model_check(&model);
	places.store = model.store;
	after.arg = &places;
	assert_int_equal(tree_check(&model.tree, &after), KV_OK);
	assert_int_equal(after.faults, 0);
	tree_model_close(&model);
}

/* ---- forged pages --------------------------------------------------------------------------- */

/* Damages bytes of some leaves (anywhere) and branches (anywhere but where write-back looks). */
static void forge(const struct tree *tree, struct random *random, page_id id, uint32_t level)
{
	uint8_t *node = store_frame(tree->store, id);
	uint64_t page_size = tree->store->page_size;

	for (uint32_t i = 0; level && i < node_count(node); i++)
		forge(tree, random, node_child(node, i), level - 1);
	if (!random_one_in(random, 4))
		return;
	for (uint64_t n = random_below(random, 3) + 1; n; n--) {
		uint64_t at = random_below(random, random_one_in(random, 2) ? 200 : page_size);
		uint64_t arrays = NODE_HEADER + 20u * node_capacity(node);

		if (at < 20 || (level && (at < 30 || (at >= NODE_HEADER && at < arrays))))
			continue;
		node[at] = (uint8_t)(random_one_in(random, 3) ? node[at] + 1u
		                                              : random_next(random));
	}
}

/* Whatever the pages hold: every call gives an answer or KV_CORRUPT. */
static void forged_pages_do_no_harm(void **state)
{
	struct random random = {seed};

	(void)state;
	for (int round = 0; round < 150; round++) {
		struct tree_model model;
		struct tree_check check = {.faults = 0};

		tree_model_open(&model, 4096);
		tree_model_fill(&model, &random, KEY_RANDOM, 300, SHAPE_PUT, true);
		forge(&model.tree, &random, model.tree.root, model.tree.height - 1);
		tree_model_flush(&model);
		assert_int_equal(tree_check(&model.tree, &check), KV_OK);
		for (int i = 0; i < 300; i++) {
			kv_slice key = model.entries[random_below(&random, model.count)].key, value;
			int rc = tree_get(&model.tree, key, &value);

			assert_true(rc == KV_OK || rc == KV_NOT_FOUND || rc == KV_CORRUPT);
			if (random_one_in(&random, 2))
				rc = tree_remove(&model.tree, key);
			else
				rc = tree_put(&model.tree, key, key, TREE_PUT, NULL, NULL);
			assert_true(rc == KV_OK || rc == KV_NOT_FOUND || rc == KV_CORRUPT);
			if (rc == KV_CORRUPT)
				model.tree.finger_height = 0;
		}
		tree_model_close(&model);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(trees_hold_what_was_put_into_them),
	        cmocka_unit_test(inserts_in_order_fill_leaves),
	        cmocka_unit_test(removals_merge_leaves),
	        cmocka_unit_test(refusals_change_nothing),
	        cmocka_unit_test(reserved_values_are_filled_in_place),
	        cmocka_unit_test(slices_of_the_tree_may_be_put),
	        cmocka_unit_test(large_values_come_back_whole_and_are_retired),
	        cmocka_unit_test(write_back_places_leaves_in_key_order),
	        cmocka_unit_test(forged_pages_do_no_harm),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : seed_from_clock();
	printf("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
