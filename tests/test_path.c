/* Cursors' paths, counts and batched gets over trees of every shape, against a sorted array. The
 * seed is printed; give it as argument to run the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "btree/path.h"
#include "tests/support.h"
#include "tests/tree_model.h"

static uint64_t seed;

/* Runs a test on trees of all shapes, in frames and in the file. */
static void on_all_trees(void (*test)(struct tree_model *model, struct random *random))
{
	static const uint32_t page_sizes[] = {4096, 8192, 16384, 65536};
	struct random random = {seed};

	for (int round = 0; round < 288; round++) {
		struct tree_model model;
		size_t count = random_below(&random, 1u << random_below(&random, 13)) + 1;

		tree_model_open(&model, page_sizes[round % 4]);
		tree_model_fill(&model, &random, (enum key_kind)random_below(&random, KEY_KINDS),
		                count, (enum tree_shape)(round / 4 % TREE_SHAPES),
		                random_one_in(&random, 3));
		if (round & 1)
			tree_model_flush(&model);
		test(&model, &random);
		tree_model_close(&model);
	}
}

/* Fails unless path stands on entry i. */
static void assert_stands(const struct tree_model *model, const struct kv_level *path, size_t i)
{
	const struct tree_entry *entry = model->entries + i;
	kv_slice value;

	assert_true(i < model->count);
	assert_true(path->index < path->count);
	assert_int_equal(node_compare(node_key(path->page, path->index), entry->key), 0);
	assert_int_equal(tree_value(&model->tree, path->page, path->index, &value), KV_OK);
	assert_int_equal(node_compare(value, entry->value), 0);
}

static void walk(struct tree_model *model, struct random *random)
{
	struct kv_level path[KV_MAX_LEVELS], end[KV_MAX_LEVELS];
	const struct tree *tree = &model->tree;
	size_t size = tree->height * sizeof(*path);

	(void)random;
	assert_int_equal(tree_first(tree, path), KV_OK);
	for (size_t i = 0; i < model->count; i++) {
		assert_stands(model, path, i);
		memcpy(end, path, size);
		assert_int_equal(tree_next(tree, path),
		                 i + 1 < model->count ? KV_OK : KV_NOT_FOUND);
	}
	assert_memory_equal(end, path, size);
	assert_int_equal(tree_last(tree, path), KV_OK);
	for (size_t i = model->count; i-- > 0;) {
		assert_stands(model, path, i);
		memcpy(end, path, size);
		assert_int_equal(tree_prev(tree, path), i > 0 ? KV_OK : KV_NOT_FOUND);
	}
	assert_memory_equal(end, path, size);
}

static void walks_meet_every_entry_in_both_directions(void **state)
{
	(void)state;
	on_all_trees(walk);
}

/* Some steps in random directions from entry i on. */
static void wander(const struct tree_model *model, struct random *random, struct kv_level *path,
                   size_t i)
{
	for (int step = 0; step < 20; step++) {
		assert_stands(model, path, i);
		if (random_one_in(random, 2)) {
			assert_int_equal(tree_next(&model->tree, path),
			                 i + 1 < model->count ? KV_OK : KV_NOT_FOUND);
			i += i + 1 < model->count;
		} else {
			assert_int_equal(tree_prev(&model->tree, path),
			                 i > 0 ? KV_OK : KV_NOT_FOUND);
			i -= i > 0;
		}
	}
}

static void seek(struct tree_model *model, struct random *random)
{
	struct kv_level path[KV_MAX_LEVELS];
	unsigned char buffer[1024];

	for (int n = 0; n < 200; n++) {
		kv_slice key = tree_model_key(model, random, buffer);
		size_t i = tree_model_bound(model, key);
		bool there = i < model->count && !node_compare(model->entries[i].key, key), equal;
		int rc = tree_seek(&model->tree, key, path, &equal);

		assert_int_equal(rc, i < model->count ? KV_OK : KV_NOT_FOUND);
		assert_int_equal(equal, there);
		if (!rc)
			wander(model, random, path, i);
		i += there;
		rc = tree_seek_back(&model->tree, key, path, &equal);
		assert_int_equal(rc, i ? KV_OK : KV_NOT_FOUND);
		assert_int_equal(equal, there);
		if (!rc)
			wander(model, random, path, i - 1);
	}
}

static void seeks_find_the_nearest_entry_on_either_side(void **state)
{
	(void)state;
	on_all_trees(seek);
}

static void count(struct tree_model *model, struct random *random)
{
	struct kv_level path[KV_MAX_LEVELS];
	unsigned char from_buffer[1024], to_buffer[1024];
	uint64_t n;

	for (int round = 0; round < 100; round++) {
		kv_slice from = tree_model_key(model, random, from_buffer);
		kv_slice to = tree_model_key(model, random, to_buffer);
		size_t i = tree_model_bound(model, from), k = tree_model_bound(model, to);

		assert_int_equal(tree_rank(&model->tree, from, &n), KV_OK);
		assert_int_equal(n, i);
		assert_int_equal(tree_count_range(&model->tree, &from, &to, &n), KV_OK);
		assert_int_equal(n, k > i ? k - i : 0);
		assert_int_equal(tree_count_range(&model->tree, NULL, &to, &n), KV_OK);
		assert_int_equal(n, k);
		assert_int_equal(tree_count_range(&model->tree, &from, NULL, &n), KV_OK);
		assert_int_equal(n, model->count - i);
		i = random_below(random, model->count);
		assert_int_equal(tree_nth(&model->tree, i, path), KV_OK);
		wander(model, random, path, i);
	}
	assert_int_equal(tree_count_range(&model->tree, NULL, NULL, &n), KV_OK);
	assert_int_equal(n, model->count);
	assert_int_equal(tree_nth(&model->tree, model->count, path), KV_NOT_FOUND);
}

static void ranks_counts_and_positions_agree(void **state)
{
	(void)state;
	on_all_trees(count);
}

/* Checks one answer of get_many; returns how many it found. */
static size_t check_answer(const struct tree_model *model, kv_slice key, kv_slice value)
{
	size_t i = tree_model_bound(model, key);

	if (i == model->count || node_compare(model->entries[i].key, key) != 0) {
		assert_null(value.data);
		assert_int_equal(value.size, 0);
		return 0;
	}
	assert_non_null(value.data);
	assert_int_equal(node_compare(value, model->entries[i].value), 0);
	return 1;
}

static void get_many(struct tree_model *model, struct random *random)
{
	static unsigned char buffers[100][1024];
	kv_slice keys[100], values[100];

	for (int round = 0; round < 20; round++) {
		size_t n = random_below(random, 101), found = 99, expected = 0;

		memset(values, 0xff, sizeof(values));
		for (size_t k = 0; k < n; k++)
			keys[k] = k && random_one_in(random, 8)
			                  ? keys[random_below(random, k)]
			                  : tree_model_key(model, random, buffers[k]);
		assert_int_equal(tree_get_many(&model->tree, n, keys, values, &found), KV_OK);
		for (size_t k = 0; k < n; k++)
			expected += check_answer(model, keys[k], values[k]);
		assert_int_equal(found, expected);
		assert_int_equal(tree_get_many(&model->tree, n, keys, values, NULL), KV_OK);
	}
}

static void get_many_answers_like_single_gets(void **state)
{
	(void)state;
	on_all_trees(get_many);
}

static void an_empty_tree_has_nothing(void **state)
{
	struct kv_level path[KV_MAX_LEVELS];
	struct tree_model model;
	kv_slice keys[2] = {text("a"), text("b")}, values[2];
	bool equal = true;
	uint64_t n = 1;
	size_t found = 1;

	(void)state;
	tree_model_open(&model, 4096);
	assert_int_equal(tree_first(&model.tree, path), KV_NOT_FOUND);
	assert_int_equal(tree_last(&model.tree, path), KV_NOT_FOUND);
	assert_int_equal(tree_seek(&model.tree, keys[0], path, &equal), KV_NOT_FOUND);
	assert_false(equal);
	assert_int_equal(tree_seek_back(&model.tree, keys[0], path, &equal), KV_NOT_FOUND);
	assert_int_equal(tree_nth(&model.tree, 0, path), KV_NOT_FOUND);
	assert_int_equal(tree_rank(&model.tree, keys[0], &n), KV_OK);
	assert_int_equal(n, 0);
	assert_int_equal(tree_count_range(&model.tree, NULL, NULL, &n), KV_OK);
	assert_int_equal(n, 0);
	assert_int_equal(tree_get_many(&model.tree, 2, keys, values, &found), KV_OK);
	assert_int_equal(found, 0);
	assert_null(values[0].data);
	assert_null(values[1].data);
	tree_model_close(&model);
}

/* A hostile branch: one empty leaf, many times over. */
static void endless_empty_leaves_are_refused(void **state)
{
	struct kv_level path[KV_MAX_LEVELS];
	struct tree_model model;
	page_id leaf_id, root_id;
	void *leaf, *root;
	bool equal;

	(void)state;
	tree_model_open(&model, 65536);
	assert_int_equal(store_frame_new(model.store, &model.ledger, &leaf_id, &leaf), KV_OK);
	node_init(leaf, 65536, PAGE_LEAF, 0, model.ledger.txn, 0);
	node_finish(leaf, 65536);
	assert_int_equal(store_frame_new(model.store, &model.ledger, &root_id, &root), KV_OK);
	node_init(root, 65536, PAGE_BRANCH, 1, model.ledger.txn, 0);
	for (unsigned i = 0; i < 1100; i++) {
		unsigned char key[2] = {(unsigned char)(i >> 8), (unsigned char)i};

		assert_true(node_append_branch(root, 65536, kv_bytes(key, i ? 2 : 0), leaf_id, 0));
	}
	node_finish(root, 65536);
	model.tree.root = root_id;
	model.tree.height = 2;
	assert_int_equal(tree_first(&model.tree, path), KV_CORRUPT);
	assert_int_equal(tree_last(&model.tree, path), KV_CORRUPT);
	assert_int_equal(tree_seek(&model.tree, text(""), path, &equal), KV_CORRUPT);
	model.tree.height = 0;
	tree_model_close(&model);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_empty_tree_has_nothing),
	        cmocka_unit_test(endless_empty_leaves_are_refused),
	        cmocka_unit_test(walks_meet_every_entry_in_both_directions),
	        cmocka_unit_test(seeks_find_the_nearest_entry_on_either_side),
	        cmocka_unit_test(ranks_counts_and_positions_agree),
	        cmocka_unit_test(get_many_answers_like_single_gets),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : seed_from_clock();
	printf("seed 0x%llx\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
