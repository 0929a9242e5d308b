/* One node at a time against a sorted array: every operation, every page size, keys that share and
 * keys that do not. The seed is printed; give it as argument to run the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "btree/heads.h"
#include "btree/node.h"
#include "btree/node_heap.h"
#include "tests/keys.h"
#include "tests/random.h"
#include "tests/support.h"

#define MAX_ENTRIES 8192

static const uint32_t page_sizes[] = {4096, 8192, 16384, 65536};
static uint64_t seed;

struct entry {
	kv_slice key, value; /* malloc'ed; of a branch's child the value is empty */
	uint64_t child;
	bool large;
};

/* A node and what it should hold. */
struct model {
	uint8_t *page;
	uint32_t page_size;
	uint8_t type;
	uint32_t count;
	struct entry entries[MAX_ENTRIES];
};

static kv_slice copy(kv_slice slice)
{
	uint8_t *bytes = malloc(slice.size + 1);

	if (slice.size)
		memcpy(bytes, slice.data, slice.size);
	return kv_bytes(bytes, slice.size);
}

static void release(kv_slice slice)
{
	free((void *)(uintptr_t)slice.data);
}

static struct model *model_new(uint32_t page_size, uint8_t type)
{
	struct model *model = calloc(1, sizeof(*model));

	model->page = aligned_alloc(page_size, page_size);
	memset(model->page, 0xa5, page_size);
	model->page_size = page_size;
	model->type = type;
	node_init(model->page, page_size, type, type == PAGE_BRANCH, 7, 0);
	return model;
}

static void model_cut(struct model *model, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		release(model->entries[i].key);
		release(model->entries[i].value);
	}
	memmove(model->entries + from, model->entries + to,
	        (model->count - to) * sizeof(*model->entries));
	model->count -= to - from;
}

static void model_free(struct model *model)
{
	model_cut(model, 0, model->count);
	free(model->page);
	free(model);
}

/* Index of the first key >= key; in a branch, of those behind the first child. */
static uint32_t model_bound(const struct model *model, kv_slice key)
{
	uint32_t i = model->type == PAGE_BRANCH;

	while (i < model->count && node_compare(model->entries[i].key, key) < 0)
		i++;
	return i;
}

static void model_insert(struct model *model, uint32_t i, struct entry entry)
{
	assert_true(model->count < MAX_ENTRIES);
	memmove(model->entries + i + 1, model->entries + i,
	        (model->count - i) * sizeof(*model->entries));
	entry.key = copy(entry.key);
	entry.value = copy(entry.value);
	model->entries[i] = entry;
	model->count++;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void check_leaf_entry(const struct model *model, uint32_t i)
{
	const struct entry *entry = model->entries + i;
	bool large, equal;
	kv_slice value = node_value(model->page, i, &large);

	assert_int_equal(node_compare(value, entry->value), 0);
	assert_int_equal(large, entry->large);
	if (model->type == PAGE_CATALOG)
		assert_int_equal(((const uint8_t *)value.data - model->page) % 8, 0);
	assert_int_equal(node_find(model->page, entry->key), i);
	assert_int_equal(node_lower_bound(model->page, entry->key, &equal), i);
	assert_true(equal);
}

static void check_child(const struct model *model, uint32_t i)
{
	const struct entry *entry = model->entries + i;

	assert_int_equal(node_child(model->page, i), entry->child);
	assert_int_equal(node_counts(model->page)[i], entry->child * 3);
	if (i)
		assert_int_equal(node_route(model->page, entry->key), i);
}

/* The node holds the model's entries, in a sound form, with the heads that belong to them. */
static void check(const struct model *model)
{
	uint32_t first = model->type == PAGE_BRANCH, prefix = page_header(model->page)->prefix;
	const char *what = NULL;

	assert_int_equal(node_count(model->page), model->count);
	if (first && !model->count)
		return;
	if (!node_check(model->page, model->page_size, &what))
		fail_msg("%s", what);
	assert_true(node_used(model->page, model->page_size) <= model->page_size);
	for (uint32_t i = 0; i < model->count; i++) {
		if (i >= first) {
			assert_int_equal(
			        node_compare(node_key(model->page, i), model->entries[i].key), 0);
			assert_int_equal(node_heads(model->page)[i],
			                 node_head(model->entries[i].key, prefix));
		}
		if (first)
			check_child(model, i);
		else
			check_leaf_entry(model, i);
	}
}

/* A search for a key that may be there, beside one that is, or anywhere. */
static void check_search(const struct model *model, kv_slice key)
{
	uint32_t i = model_bound(model, key);
	bool present = i < model->count && !node_compare(model->entries[i].key, key), equal;

	if (!model->count)
		return;
	if (model->type == PAGE_BRANCH) {
		assert_int_equal(node_route(model->page, key), present ? i : i - 1);
		return;
	}
	assert_int_equal(node_lower_bound(model->page, key, &equal), i);
	assert_int_equal(equal, present);
	assert_int_equal(node_find(model->page, key), present ? i : UINT32_MAX);
}

static void check_searches(const struct model *model, struct random *random)
{
	uint8_t buffer[KV_MAX_KEY(KV_MAX_PAGE_SIZE) + 1];

	for (int n = 0; n < 20 && model->count; n++) {
		kv_slice key = model->entries[random_below(random, model->count)].key;

		if (key.size)
			memcpy(buffer, key.data, key.size);
		buffer[key.size] = 0;
		check_search(model, kv_bytes(buffer, key.size + 1));
		check_search(model, kv_bytes(buffer, random_below(random, key.size + 1)));
		if (key.size)
			buffer[random_below(random, key.size)] ^= (uint8_t)(1u << random_below(
			                                                            random, 8));
		check_search(model, kv_bytes(buffer, key.size));
	}
}

/* ---- random operations ---------------------------------------------------------------------- */

static kv_slice random_value(const struct model *model, struct random *random, size_t key_size,
                             uint8_t *buffer, bool *large)
{
	size_t most = model->page_size / (random_one_in(random, 10) ? 2 : 64);
	size_t size = random_below(random, most);

	while (!node_fits_inline(model->page_size, key_size, size))
		size /= 2;
	memset(buffer, (int)random_below(random, 255) + 1, model->page_size);
	*large = model->type == PAGE_LEAF && random_one_in(random, 20);
	if (*large) { /* no older than the page */
		size = sizeof(struct node_large);
		memset(buffer + offsetof(struct node_large, birth), 0, sizeof(uint64_t));
	}
	return kv_bytes(buffer, size);
}

static void insert(struct model *model, struct random *random, kv_slice key)
{
	uint8_t buffer[KV_MAX_PAGE_SIZE], *place;
	struct entry entry = {.key = key, .child = random_below(random, 1u << 30) + 2};
	uint32_t i = model_bound(model, key);

	if (model->type == PAGE_BRANCH) {
		if (!node_branch_has_room(model->page, model->page_size, key.size))
			return;
		if (!model->count)
			i = 0;
		node_branch_insert(model->page, model->page_size, i, key, entry.child,
		                   entry.child * 3);
	} else {
		entry.value = random_value(model, random, key.size, buffer, &entry.large);
		if (!node_leaf_has_room(model->page, model->page_size, key.size, entry.value.size))
			return;
		node_leaf_insert(model->page, model->page_size, i, key, entry.value, entry.large,
		                 &place);
		assert_memory_equal(place, buffer, entry.value.size);
	}
	model_insert(model, i, entry);
}

static void replace(struct model *model, struct random *random, uint32_t i)
{
	uint8_t buffer[KV_MAX_PAGE_SIZE], before[KV_MAX_PAGE_SIZE], *place;
	struct entry *entry = model->entries + i;
	bool large;
	kv_slice value = random_value(model, random, entry->key.size, buffer, &large);
	uint32_t used = node_used(model->page, model->page_size);
	uint32_t old = node_leaf_entry_size(model->page, entry->key.size, entry->value.size);
	uint32_t now = node_leaf_entry_size(model->page, entry->key.size, value.size);

	memcpy(before, model->page, model->page_size);
	if (!node_leaf_replace(model->page, model->page_size, i, value, large, &place)) {
		assert_true(used - old + now > model->page_size);
		assert_memory_equal(model->page, before, model->page_size);
		return;
	}
	assert_memory_equal(place, buffer, value.size);
	release(entry->value);
	entry->value = copy(value);
	entry->large = large;
}

static void put(struct model *model, struct random *random, kv_slice key)
{
	uint32_t i = model_bound(model, key);

	if (i >= model->count || node_compare(model->entries[i].key, key))
		insert(model, random, key);
	else if (model->type != PAGE_BRANCH)
		replace(model, random, i);
}

static void remove_some(struct model *model, struct random *random)
{
	uint32_t i = (uint32_t)random_below(random, model->count);
	uint32_t to = i + 1 + (uint32_t)random_below(random, 5);

	if (!random_one_in(random, 20))
		to = i + 1;
	if (to > model->count)
		to = model->count;
	node_remove_range(model->page, model->page_size, i, to);
	model_cut(model, i, to);
}

/* Splits the node in two and merges the halves again. */
static void split_and_merge(struct model *model, struct random *random)
{
	uint32_t from = (uint32_t)random_below(random, model->count + 1), count = model->count;
	struct model *right = model_new(model->page_size, model->type);
	kv_slice separator = from < count ? model->entries[from].key : kv_bytes(NULL, 0);

	node_split(model->page, right->page, model->page_size, from);
	memcpy(right->entries, model->entries + from, (count - from) * sizeof(*model->entries));
	right->count = count - from;
	model->count = from;
	check(model);
	check(right);
	assert_true(node_merge(model->page, right->page, model->page_size, separator));
	model->count = count;
	right->count = 0;
	model_free(right);
}

static void run(struct random *random, uint32_t page_size, uint8_t type, enum key_kind kind)
{
	struct model *model = model_new(page_size, type);
	uint8_t buffer[KV_MAX_KEY(KV_MAX_PAGE_SIZE)];
	uint32_t max = KV_MAX_KEY(page_size), domain = 16u << random_below(random, 8);
	bool shrinking = false;

	for (int step = 0; step < 2000; step++) {
		size_t size = key_make(kind, random_below(random, domain), max, buffer);

		if (random_one_in(random, 300))
			shrinking = !shrinking;
		if (shrinking && model->count && !random_one_in(random, 3))
			remove_some(model, random);
		else
			put(model, random, kv_bytes(buffer, size));
		if (model->count && random_one_in(random, 50))
			split_and_merge(model, random);
		if (step % 16 == 0)
			check(model);
		if (step % 16 == 0)
			check_searches(model, random);
	}
	check(model);
	model_free(model);
}

static void nodes_hold_what_was_put_into_them(void **state)
{
	static const uint8_t types[] = {PAGE_LEAF, PAGE_BRANCH, PAGE_CATALOG};
	struct random random = {seed};

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		for (uint32_t type = 0; type < 3; type++)
			for (int kind = 0; kind < KEY_KINDS; kind++)
				run(&random, page_sizes[i], types[type], (enum key_kind)kind);
}

/* ---- single behaviours ---------------------------------------------------------------------- */

static void sweeps_count_the_heads_below(void **state)
{
	uint32_t heads[700];
	struct random random = {seed};

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint32_t count = (uint32_t)random_below(&random, round % 8 ? 64 : 700),
		         expected = 0;
		uint32_t step = 1u << random_below(&random, 23), head = 0;
		uint32_t start = (uint32_t)(random_one_in(&random, 2)
		                                    ? 0
		                                    : random_next(&random) % 0x80000000u);

		for (uint32_t i = 0; i < count; i++) {
			uint64_t next = (i ? heads[i - 1] : start) + random_below(&random, step);

			heads[i] = next > UINT32_MAX ? UINT32_MAX : (uint32_t)next;
		}
		head = count && !random_one_in(&random, 8) ? heads[random_below(&random, count)]
		                                           : head;
		head += (uint32_t)random_below(&random, 3) - 1;
		while (expected < count && heads[expected] < head)
			expected++;
		assert_int_equal(heads_below(heads, count, head), expected);
	}
}

static void sweeps_of_disorder_stay_inside(void **state)
{
	uint32_t heads[700];
	struct random random = {seed};

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint32_t count = (uint32_t)random_below(&random, 700);

		for (uint32_t i = 0; i < count; i++)
			heads[i] = (uint32_t)random_next(&random);
		assert_true(heads_below(heads, count, (uint32_t)random_next(&random)) <= count);
	}
}

/* 22 entries of a 24-byte key and a 150-byte value fill 4096 bytes to the last one. */
static void a_leaf_is_filled_to_the_last_byte(void **state)
{
	_Alignas(8) uint8_t page[4096];
	uint8_t key[24] = {0}, value[150] = {0};
	const char *what;
	uint32_t n = 0;

	(void)state;
	node_init(page, 4096, PAGE_LEAF, 0, 1, 0);
	while (key[23] = (uint8_t)n,
	       node_append_leaf(page, 4096, kv_bytes(key, 24), kv_bytes(value, 150), false))
		n++;
	node_finish(page, 4096);
	assert_int_equal(n, 22);
	assert_int_equal(node_used(page, 4096), 4096);
	assert_true(node_check(page, 4096, &what));

	node_init(page, 4096, PAGE_LEAF, 0, 1, 0);
	for (n = 0; node_leaf_has_room(page, 4096, 24, 150); n++) {
		key[23] = (uint8_t)(n * 7);
		node_leaf_insert(page, 4096, n < 2 ? n : n / 2, kv_bytes(key, 24),
		                 kv_bytes(value, 150), false, NULL);
	}
	assert_int_equal(n, 22);
}

static void a_value_without_data_is_zeroed_room(void **state)
{
	_Alignas(8) uint8_t page[4096], zero[100] = {0};
	uint8_t *place;

	(void)state;
	memset(page, 0xff, sizeof(page));
	node_init(page, 4096, PAGE_LEAF, 0, 1, 0);
	node_leaf_insert(page, 4096, 0, text("key"), kv_bytes(NULL, 100), false, &place);
	assert_memory_equal(place, zero, 100);
}

static void separators_are_the_shortest(void **state)
{
	static const struct {
		const char *left, *right;
		size_t size;
	} cases[] = {{"", "b", 1},
	             {"a", "b", 1},
	             {"abc", "abd", 3},
	             {"ab", "abc", 3},
	             {"ab", "abcdef", 3},
	             {"abcxyz", "abd", 3},
	             {"a234567890b", "a234567890c", 11}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(node_separator(text(cases[i].left), text(cases[i].right)),
		                 cases[i].size);
}

/* ---- pages that are not what they claim ----------------------------------------------------- */

/* A leaf with 22 entries. */
static void make_leaf(uint8_t *page)
{
	char key[8];

	node_init(page, 4096, PAGE_LEAF, 0, 1, 0);
	for (uint32_t i = 0; i < 22; i++) {
		snprintf(key, sizeof(key), "key%02u", i);
		node_leaf_insert(page, 4096, i, text(key), text("value"), false, NULL);
	}
}

static void assert_refused(const uint8_t *page, const char *expected)
{
	const char *what = NULL;

	assert_false(node_check(page, 4096, &what));
	assert_string_equal(what, expected);
}

static void damaged_leaves_are_refused(void **state)
{
	_Alignas(8) uint8_t page[4096];
	struct page_header *h = page_header(page);
	uint16_t huge = 0x7fff;

	(void)state;
	make_leaf(page);
	h->type = PAGE_MAP;
	assert_refused(page, "not a page of a tree");
	make_leaf(page);
	h->level = 1;
	assert_refused(page, "level and type do not agree");
	make_leaf(page);
	h->count = (uint16_t)(h->capacity + 1);
	assert_refused(page, "bad entry count");
	make_leaf(page);
	h->capacity = 1000;
	assert_refused(page, "arrays and heap overlap");
	make_leaf(page);
	node_slots_of(page)[3] = 60;
	assert_refused(page, "an entry outside the heap");
	make_leaf(page);
	node_slots_of(page)[3] = 4094;
	assert_refused(page, "an entry outside the heap");
	make_leaf(page);
	memcpy(page + node_slots(page)[3], &huge, 2);
	assert_refused(page, "an entry beyond the page");
	make_leaf(page);
	node_slots_of(page)[3] = node_slots(page)[4];
	assert_refused(page, "entries overlap");
	make_leaf(page);
	h->dead = 1;
	assert_refused(page, "bytes of the heap do not add up");
	make_leaf(page);
	h->prefix = 6;
	assert_refused(page, "bad key size");
}

/* Whatever node_check lets through, searches and changes stay inside the page (under
 * sanitizers). */
static void random_damage_is_refused_or_harmless(void **state)
{
	struct random random = {seed};
	uint32_t accepted = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t *page = aligned_alloc(4096, 4096), *right = aligned_alloc(4096, 4096);
		const char *what;

		make_leaf(page);
		for (uint64_t n = random_below(&random, 4) + 1; n; n--) {
			uint64_t at = random_below(&random, random_one_in(&random, 3) ? 4096 : 256);

			page[at] = (uint8_t)random_next(&random);
		}
		if (node_check(page, 4096, &what) && page_header(page)->type != PAGE_BRANCH) {
			accepted++;
			node_find(page, text("key11"));
			while (node_leaf_has_room(page, 4096, 5, 90)) {
				bool equal;
				uint32_t i = node_lower_bound(page, text("key07"), &equal);

				node_leaf_insert(page, 4096, i, text("key07"), kv_bytes(NULL, 90),
				                 false, NULL);
			}
			node_leaf_replace(page, 4096, 0, kv_bytes(NULL, 50), false, NULL);
			node_init(right, 4096, page_header(page)->type, 0, 1, 0);
			node_split(page, right, 4096, node_count(page) / 2);
			node_merge(page, right, 4096, kv_bytes(NULL, 0));
			while (node_count(page))
				node_remove(page, 4096,
				            (uint32_t)random_below(&random, node_count(page)));
		}
		free(page);
		free(right);
	}
	assert_true(accepted > 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nodes_hold_what_was_put_into_them),
	        cmocka_unit_test(sweeps_count_the_heads_below),
	        cmocka_unit_test(sweeps_of_disorder_stay_inside),
	        cmocka_unit_test(a_leaf_is_filled_to_the_last_byte),
	        cmocka_unit_test(a_value_without_data_is_zeroed_room),
	        cmocka_unit_test(separators_are_the_shortest),
	        cmocka_unit_test(damaged_leaves_are_refused),
	        cmocka_unit_test(random_damage_is_refused_or_harmless),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : seed_from_clock();
	printf("seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
