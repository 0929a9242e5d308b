/* Deleting ranges and clearing, on trees of every shape, against a sorted array. The seed is
 * printed; give it as argument to run the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support.h"
#include "tests/tree_model.h"

static uint64_t seed;

/* ---- which pages a tree reaches -------------------------------------------------------------- */

/* File pages, a byte each: how many times seen. */
struct pages {
	unsigned char *seen;
	size_t count;
};

static int see(void *arg, uint64_t first, uint64_t count)
{
	struct pages *pages = arg;

	for (uint64_t i = first; i < first + count; i++) {
		assert_true(i < pages->count);
		pages->seen[i]++;
	}
	return KV_OK;
}

static struct pages file_pages(const struct tree_model *model)
{
	struct pages pages = {.count = atomic_load(&model->store->file_pages) + 1024};
	struct tree_check check = {.visit = see, .arg = &pages};

	pages.seen = calloc(pages.count, 1);
	assert_non_null(pages.seen);
	assert_int_equal(tree_check(&model->tree, &check), KV_OK);
	return pages;
}

/* Adds the file pages that the open transaction has retired. */
static void see_retired(const struct tree_model *model, struct pages *pages)
{
	const struct ledger *ledger = &model->ledger;

	for (size_t i = 0; i < ledger->retired_count; i++)
		if (!page_is_frame(ledger->retired[i].id))
			see(pages, page_number(ledger->retired[i].id), ledger->retired[i].count);
}

/* ---- deleting -------------------------------------------------------------------------------- */

/* Deletes a random range from tree and array. */
static void delete_range(struct tree_model *model, struct random *random)
{
	unsigned char from_buffer[1024], to_buffer[1024];
	kv_slice from = tree_model_key(model, random, from_buffer);
	kv_slice to = tree_model_key(model, random, to_buffer);
	bool bounded_from = !random_one_in(random, 16), bounded_to = !random_one_in(random, 16);
	size_t i = bounded_from ? tree_model_bound(model, from) : 0;
	size_t k = bounded_to ? tree_model_bound(model, to) : model->count;
	uint64_t generation = model->tree.generation, removed = 99;

	if (k > i && random_one_in(random, 2)) { /* short ones are easily missed */
		k = i + random_below(random, 20);
		k = k < model->count ? k : model->count;
		bounded_to = k < model->count;
		if (bounded_to)
			to = model->entries[k].key;
	}
	assert_int_equal(tree_delete_range(&model->tree, bounded_from ? &from : NULL,
	                                   bounded_to ? &to : NULL, &removed),
	                 KV_OK);
	assert_int_equal(removed, k > i ? k - i : 0);
	assert_int_equal(model->tree.generation != generation, k > i);
	tree_model_cut(model, i, k);
}

/* Replaces a value by itself: puts that follow a cut must not trust the path of an earlier one. */
static void put_again(struct tree_model *model, struct random *random)
{
	const struct tree_entry *entry;

	if (!model->count || !random_one_in(random, 2))
		return;
	entry = model->entries + random_below(random, model->count);
	assert_int_equal(tree_put(&model->tree, entry->key, entry->value, TREE_PUT, NULL, NULL),
	                 KV_OK);
}

/* In one transaction, or each range in its own; with pages in the file or in frames. */
static void deleting_ranges_leaves_all_other_entries(void **state)
{
	static const uint32_t page_sizes[] = {4096, 8192, 16384, 65536};
	struct random random = {seed};

	(void)state;
	for (int round = 0; round < 480; round++) {
		struct tree_model model;
		size_t count = random_below(&random, 1u << random_below(&random, 13)) + 1;

		tree_model_open(&model, page_sizes[round % 4]);
		tree_model_fill(&model, &random, (enum key_kind)random_below(&random, KEY_KINDS),
		                count, (enum tree_shape)(round / 4 % TREE_SHAPES),
		                random_one_in(&random, 3));
		tree_model_check(&model);
		for (int n = 0; n < 40 && model.count; n++) {
			if (random_one_in(&random, 3))
				tree_model_flush(&model);
			else if (random_one_in(&random, 3))
				tree_model_commit(&model);
			delete_range(&model, &random);
			tree_model_check(&model);
			put_again(&model, &random);
		}
		tree_model_close(&model);
	}
}

static void deleting_everything_leaves_an_empty_tree(void **state)
{
	struct random random = {seed};

	(void)state;
	for (int round = 0; round < 36; round++) {
		struct tree_model model;
		kv_slice from = text("");
		uint64_t removed, expected;

		tree_model_open(&model, 4096);
		tree_model_fill(&model, &random, KEY_RANDOM, 1u << (round % 12),
		                (enum tree_shape)(round / 12), round & 1);
		tree_model_flush(&model);
		expected = model.count;
		assert_int_equal(tree_delete_range(&model.tree, &from, NULL, &removed), KV_OK);
		assert_int_equal(removed, expected);
		assert_int_equal(model.tree.root, PAGE_NONE);
		assert_int_equal(model.tree.height, 0);
		assert_int_equal(model.tree.count, 0);
		assert_false(model.tree.has_large);
		assert_int_equal(model.tree.empty_since, model.ledger.txn);
		tree_model_cut(&model, 0, model.count);
		tree_model_check(&model);
		assert_int_equal(tree_delete_range(&model.tree, NULL, NULL, &removed), KV_OK);
		assert_int_equal(removed, 0);
		tree_model_close(&model);
	}
}

/* Whatever is deleted, each file page stays reachable or is retired, once. */
static void every_page_is_kept_or_retired_once(void **state)
{
	struct random random = {seed};

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct tree_model model;
		struct pages before, after;

		tree_model_open(&model, 4096);
		tree_model_fill(&model, &random, KEY_RANDOM, 1u << (round % 13),
		                (enum tree_shape)(round % 3), round & 1);
		tree_model_flush(&model);
		before = file_pages(&model);
		if (round % 8)
			delete_range(&model, &random);
		else
			assert_int_equal(tree_clear(&model.tree), KV_OK);
		after = file_pages(&model);
		see_retired(&model, &after);
		for (size_t i = 0; i < model.ledger.retired_count; i++)
			assert_int_equal(model.ledger.retired[i].birth, model.ledger.txn - 2);
		assert_memory_equal(before.seen, after.seen, before.count);
		free(before.seen);
		free(after.seen);
		tree_model_close(&model);
	}
}

/* Frames of the deleting transaction itself are free at once. */
static void own_frames_are_free_at_once(void **state)
{
	struct random random = {seed};
	struct tree_model model;

	(void)state;
	tree_model_open(&model, 4096);
	tree_model_fill(&model, &random, KEY_RANDOM, 5000, SHAPE_PUT, true);
	assert_int_equal(tree_clear(&model.tree), KV_OK);
	assert_int_equal(model.store->arena.used, 0);
	assert_int_equal(model.ledger.retired_count, 0);
	tree_model_close(&model);
}

static size_t trusted_pages(const struct store *store)
{
	size_t words = atomic_load(&store->file_pages) / 64 + 1, sum = 0;

	for (size_t i = 0; i < words; i++)
		sum += (size_t)__builtin_popcountll(atomic_load(&store->trusted[i]));
	return sum;
}

static void forget_trust(struct store *store)
{
	size_t words = atomic_load(&store->file_pages) / 64 + 1;

	for (size_t i = 0; i < words; i++)
		atomic_store(&store->trusted[i], 0);
}

/* 20,000 entries are some 500 leaves, and a dozen branches. */
static void leaves_inside_are_not_read(void **state)
{
	struct random random = {seed};
	struct tree_model model;
	kv_slice from, to;
	uint64_t removed;

	(void)state;
	tree_model_open(&model, 4096);
	tree_model_fill(&model, &random, KEY_RANDOM, 20000, SHAPE_APPEND, false);
	tree_model_flush(&model);
	forget_trust(model.store);
	from = model.entries[100].key;
	to = model.entries[model.count - 100].key;
	assert_int_equal(tree_delete_range(&model.tree, &from, &to, &removed), KV_OK);
	assert_true(trusted_pages(model.store) < 40);
	tree_model_cut(&model, 100, model.count - 100);
	tree_model_check(&model);
	forget_trust(model.store);
	tree_model_close(&model);
}

static uint32_t used_by_child(const struct tree *tree, const struct kv_level *parent, uint32_t i)
{
	const uint8_t *child = store_at(tree->store, node_child(parent->page, i));

	return node_used(child, tree->store->page_size);
}

/* Fails if a node on the path is underfull and would fit into one with a sibling. */
static void assert_mended(const struct tree *tree, const struct kv_level *path)
{
	uint32_t page_size = tree->store->page_size;

	for (uint32_t level = 1; level < tree->height; level++) {
		const struct kv_level *parent = path + level;
		uint32_t i = parent->index, used = used_by_child(tree, parent, i);

		if (used >= page_size / 3)
			continue;
		if (i > 0)
			assert_true(used + used_by_child(tree, parent, i - 1) > page_size);
		if (i + 1 < parent->count)
			assert_true(used + used_by_child(tree, parent, i + 1) > page_size);
	}
}

/* Deletes entries [i, k), and looks at what is left on both sides. */
static void delete_and_look(struct tree_model *model, size_t i, size_t k)
{
	kv_slice from = model->entries[i].key, to = model->entries[k].key;
	struct kv_level path[KV_MAX_LEVELS];
	uint64_t removed;
	bool equal;

	assert_int_equal(tree_delete_range(&model->tree, &from, &to, &removed), KV_OK);
	assert_int_equal(tree_seek(&model->tree, to, path, &equal), KV_OK);
	assert_mended(&model->tree, path);
	if (i > 0) {
		assert_int_equal(tree_prev(&model->tree, path), KV_OK);
		assert_mended(&model->tree, path);
	}
	tree_model_cut(model, i, k);
}

/* In trees made by puts, no node is underfull before. */
static void underfull_edges_are_merged(void **state)
{
	struct random random = {seed};

	(void)state;
	for (int round = 0; round < 100; round++) {
		struct tree_model model;
		size_t i, k;

		tree_model_open(&model, 4096);
		tree_model_fill(&model, &random, KEY_RANDOM, 5000, SHAPE_PUT, false);
		i = random_below(&random, model.count - 1);
		k = i + 1 +
		    random_below(&random, (model.count - i - 1) >> random_below(&random, 12) | 1);
		delete_and_look(&model, i, k < model.count ? k : model.count - 1);
		tree_model_check(&model);
		tree_model_close(&model);
	}
}

/* What is left of a big tree is small. */
static void a_tree_shrinks_to_one_leaf(void **state)
{
	struct random random = {seed};
	struct tree_model model;
	kv_slice from, to;
	uint64_t removed;

	(void)state;
	tree_model_open(&model, 4096);
	tree_model_fill(&model, &random, KEY_RANDOM, 20000, SHAPE_PUT, false);
	from = model.entries[3].key;
	to = model.entries[model.count - 3].key;
	assert_int_equal(tree_delete_range(&model.tree, &from, &to, &removed), KV_OK);
	assert_int_equal(model.tree.height, 1);
	assert_int_equal(model.store->arena.used, 1);
	tree_model_cut(&model, 3, model.count - 3);
	tree_model_check(&model);
	tree_model_close(&model);
}

/* A hostile branch that names one child many times over, on every level. */
static void a_tree_larger_than_the_store_is_refused(void **state)
{
	struct tree_model model;
	page_id id;
	void *page;

	(void)state;
	tree_model_open(&model, 4096);
	assert_int_equal(store_frame_new(model.store, &model.ledger, &id, &page), KV_OK);
	node_init(page, 4096, PAGE_LEAF, 0, 1, 0);
	node_finish(page, 4096);
	for (uint8_t level = 1; level < KV_MAX_LEVELS; level++) {
		page_id child = id;

		assert_int_equal(store_frame_new(model.store, &model.ledger, &id, &page), KV_OK);
		node_init(page, 4096, PAGE_BRANCH, level, 1, 0);
		for (unsigned i = 0; i < 100; i++) {
			unsigned char key = (unsigned char)i;

			assert_true(
			        node_append_branch(page, 4096, kv_bytes(&key, i > 0), child, 1));
		}
		node_finish(page, 4096);
	}
	model.tree.root = id;
	model.tree.height = KV_MAX_LEVELS;
	assert_int_equal(tree_clear(&model.tree), KV_CORRUPT);
	model.tree.height = 0;
	tree_model_close(&model);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(deleting_ranges_leaves_all_other_entries),
	        cmocka_unit_test(deleting_everything_leaves_an_empty_tree),
	        cmocka_unit_test(every_page_is_kept_or_retired_once),
	        cmocka_unit_test(own_frames_are_free_at_once),
	        cmocka_unit_test(leaves_inside_are_not_read),
	        cmocka_unit_test(underfull_edges_are_merged),
	        cmocka_unit_test(a_tree_shrinks_to_one_leaf),
	        cmocka_unit_test(a_tree_larger_than_the_store_is_refused),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : seed_from_clock();
	printf("seed 0x%llx\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
