#include "tests/tree_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_KEY 700

static void must(int rc, const char *what)
{
	if (!rc)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, kv_strerror(rc), kv_detail());
	abort();
}

void tree_model_open(struct tree_model *model, uint32_t page_size)
{
	struct store_options options = {
	        .page_size = page_size,
	        .size_limit = UINT64_MAX,
	        .map_size = UINT64_C(1) << 30,
	        .arena_size = UINT64_C(256) << 20,
	        .arena_reserve = UINT64_C(64) << 20,
	};

	memset(model, 0, sizeof(*model));
	must(io_new(&options.mem, true, &options.io), "io_new");
	must(store_open(&options, &model->store), "store_open");
	model->ledger.txn = 2;
	model->tree = (struct tree){
	        .store = model->store,
	        .ledger = &model->ledger,
	        .stats = &model->stats,
	        .leaf_type = PAGE_LEAF,
	        .empty_since = 2,
	};
}

static void entries_free(struct tree_model *model)
{
	tree_model_cut(model, 0, model->count);
	free(model->entries);
	model->entries = NULL;
}

void tree_model_close(struct tree_model *model)
{
	entries_free(model);
	store_ledger_undo(model->store, &model->ledger);
	store_ledger_free(model->store, &model->ledger);
	must(store_close(model->store, false, false), "store_close");
}

void tree_model_commit(struct tree_model *model)
{
	struct ledger *ledger = &model->ledger;

	must(store_ledger_apply(model->store, ledger), "store_ledger_apply");
	for (size_t i = 0; i < ledger->retired_count; i++)
		store_free(model->store, ledger->retired[i].id, ledger->retired[i].count);
	store_ledger_empty(model->store, ledger);
	ledger->txn += 2;
	model->tree.generation++;
	model->tree.finger_height = 0;
}

void tree_model_flush(struct tree_model *model)
{
	if (model->tree.height)
		must(tree_spill(&model->tree), "tree_spill");
	tree_model_commit(model);
}

/* ---- entries --------------------------------------------------------------------------------- */

static kv_slice copy(const void *data, size_t size)
{
	void *bytes = malloc(size + 1);

	if (size)
		memcpy(bytes, data, size);
	return kv_bytes(bytes, size);
}

static kv_slice make_value(struct random *random, size_t page_size, bool large)
{
	size_t size = random_below(random, random_one_in(random, 8) ? page_size / 4 : 64);
	unsigned char *bytes;

	if (large && random_one_in(random, 20))
		size = page_size + random_below(random, 3 * page_size);
	bytes = malloc(size + 1);
	memset(bytes, (int)random_below(random, 256), size);
	return kv_bytes(bytes, size);
}

static int by_key(const void *a, const void *b)
{
	return node_compare(((const struct tree_entry *)a)->key,
	                    ((const struct tree_entry *)b)->key);
}

/* Frees the keys and values of entries [from, to). */
static void drop(struct tree_model *model, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		free((void *)(uintptr_t)model->entries[i].key.data);
		free((void *)(uintptr_t)model->entries[i].value.data);
	}
}

static void make_entries(struct tree_model *model, struct random *random, enum key_kind kind,
                         size_t count, bool large)
{
	unsigned char buffer[MAX_KEY];
	uint64_t domain = key_domain(kind, MAX_KEY);
	size_t unique = 0;

	entries_free(model);
	model->entries = calloc(count + 1, sizeof(*model->entries));
	for (size_t i = 0; i < count; i++) {
		size_t size = key_make(kind, random_below(random, domain), MAX_KEY, buffer);

		model->entries[i].key = copy(buffer, size);
		model->entries[i].value = make_value(random, model->store->page_size, large);
	}
	qsort(model->entries, count, sizeof(*model->entries), by_key);
	for (size_t i = 0; i < count; i++) {
		if (unique && !by_key(model->entries + unique - 1, model->entries + i))
			drop(model, i, i + 1);
		else
			model->entries[unique++] = model->entries[i];
	}
	model->count = unique;
}

void tree_model_cut(struct tree_model *model, size_t from, size_t to)
{
	if (from >= to)
		return;
	drop(model, from, to);
	memmove(model->entries + from, model->entries + to,
	        (model->count - to) * sizeof(*model->entries));
	model->count -= to - from;
}

size_t tree_model_bound(const struct tree_model *model, kv_slice key)
{
	size_t i = 0, end = model->count;

	while (i < end) {
		size_t mid = i + (end - i) / 2;

		if (node_compare(model->entries[mid].key, key) < 0)
			i = mid + 1;
		else
			end = mid;
	}
	return i;
}

kv_slice tree_model_key(const struct tree_model *model, struct random *random,
                        unsigned char *buffer)
{
	kv_slice key = kv_bytes(NULL, 0);
	size_t size;

	if (model->count && !random_one_in(random, 20))
		key = model->entries[random_below(random, model->count)].key;
	size = key.size;
	if (size)
		memcpy(buffer, key.data, size);
	switch (random_below(random, 5)) {
	case 0: buffer[size++] = 0; break; /* just after it */
	case 1: size -= size > 0; break;   /* before it */
	case 2:                            /* somewhere near */
		if (size)
			buffer[random_below(random, size)] = (unsigned char)random_next(random);
		break;
	default: break;
	}
	return kv_bytes(buffer, size);
}

/* ---- trees ----------------------------------------------------------------------------------- */

/* One level of a ragged tree under construction. */
struct row {
	page_id *ids;
	uint64_t *counts;
	kv_slice *separators; /* malloc'ed */
	size_t n;
};

static struct row row_new(size_t room)
{
	return (struct row){calloc(room, sizeof(page_id)), calloc(room, sizeof(uint64_t)),
	                    calloc(room, sizeof(kv_slice)), 0};
}

static void row_add(struct row *row, page_id id, uint64_t count, kv_slice separator)
{
	row->ids[row->n] = id;
	row->counts[row->n] = count;
	row->separators[row->n++] = copy(separator.data, separator.size);
}

static void row_free(struct row *row)
{
	for (size_t i = 0; i < row->n; i++)
		free((void *)(uintptr_t)row->separators[i].data);
	free(row->ids);
	free(row->counts);
	free(row->separators);
}

static uint8_t *new_node(struct tree_model *model, uint8_t level, page_id *id)
{
	void *page;

	must(store_frame_new(model->store, &model->ledger, id, &page), "store_frame_new");
	node_init(page, model->store->page_size, level ? PAGE_BRANCH : PAGE_LEAF, level,
	          model->ledger.txn, 0);
	return page;
}

/* Appends an entry to a leaf; false when it is full. */
static bool append_entry(struct tree_model *model, uint8_t *leaf, const struct tree_entry *entry)
{
	uint32_t page_size = model->store->page_size;
	struct node_large where;

	if (node_fits_inline(page_size, entry->key.size, entry->value.size))
		return node_append_leaf(leaf, page_size, entry->key, entry->value, false);
	if (!node_leaf_has_room(leaf, page_size, entry->key.size, sizeof(where)))
		return false;
	model->tree.has_large = true;
	must(large_write(&model->tree, entry->value, &where), "large_write");
	return node_append_leaf(leaf, page_size, entry->key, kv_bytes(&where, sizeof(where)), true);
}

/* Adds an empty leaf before entry i, if there is a separator that fits between it and its
 * predecessor. */
static void add_empty_leaf(struct tree_model *model, struct row *row, size_t i)
{
	unsigned char separator[MAX_KEY + 1] = {0};
	kv_slice key = kv_bytes(separator, 0);
	uint8_t *leaf;
	page_id id;

	if (i) {
		key.size = model->entries[i - 1].key.size + 1;
		if (key.size > 1)
			memcpy(separator, model->entries[i - 1].key.data, key.size - 1);
		separator[key.size - 1] = 0;
	}
	if (i < model->count && node_compare(key, model->entries[i].key) >= 0)
		return;
	leaf = new_node(model, 0, &id);
	node_finish(leaf, model->store->page_size);
	row_add(row, id, 0, key);
}

static struct row ragged_leaves(struct tree_model *model, struct random *random)
{
	struct row row = row_new(model->count * 2 + 2);

	for (size_t i = 0; i < model->count;) {
		size_t first = i, end = i + 1 + random_below(random, 30);
		page_id id;
		uint8_t *leaf;

		if (random_one_in(random, 10))
			add_empty_leaf(model, &row, i);
		leaf = new_node(model, 0, &id);
		while (i < model->count && i < end && append_entry(model, leaf, model->entries + i))
			i++;
		node_finish(leaf, model->store->page_size);
		row_add(&row, id, i - first, model->entries[first].key);
	}
	if (random_one_in(random, 4))
		add_empty_leaf(model, &row, model->count);
	return row;
}

static struct row ragged_branches(struct tree_model *model, struct random *random,
                                  const struct row *below, uint8_t level)
{
	struct row row = row_new(below->n + 1);

	for (size_t i = 0; i < below->n;) {
		size_t first = i,
		       end = i + (random_one_in(random, 4) ? 1 : 1 + random_below(random, 8));
		uint64_t count = 0;
		page_id id;
		uint8_t *branch = new_node(model, level, &id);

		for (; i < below->n && i < end; i++) {
			kv_slice separator = i == first ? kv_bytes(NULL, 0) : below->separators[i];

			if (!node_append_branch(branch, model->store->page_size, separator,
			                        below->ids[i], below->counts[i]))
				break;
			count += below->counts[i];
		}
		node_finish(branch, model->store->page_size);
		row_add(&row, id, count, below->separators[first]);
	}
	return row;
}

static void build_ragged(struct tree_model *model, struct random *random)
{
	struct row row = ragged_leaves(model, random);
	uint8_t level = 0;

	/* One more branch than needed now and then: a chain of single children at the top. */
	while (row.n > 1 || (level < 4 && random_one_in(random, 4))) {
		struct row above = ragged_branches(model, random, &row, ++level);

		row_free(&row);
		row = above;
	}
	if (row.n) {
		model->tree.root = row.ids[0];
		model->tree.height = level + 1u;
		model->tree.count = model->count;
	}
	row_free(&row);
}

static void build_by_puts(struct tree_model *model, struct random *random, bool shuffled)
{
	size_t *order = calloc(model->count + 1, sizeof(*order));

	for (size_t i = 0; i < model->count; i++) {
		size_t k = shuffled ? random_below(random, i + 1) : i;

		order[i] = order[k];
		order[k] = i;
	}
	for (size_t i = 0; i < model->count; i++) {
		const struct tree_entry *entry = model->entries + order[i];

		must(tree_put(&model->tree, entry->key, entry->value, TREE_PUT, NULL, NULL),
		     "tree_put");
	}
	free(order);
}

void tree_model_fill(struct tree_model *model, struct random *random, enum key_kind kind,
                     size_t count, enum tree_shape shape, bool large)
{
	must(tree_clear(&model->tree), "tree_clear");
	make_entries(model, random, kind, count, large);
	if (shape == SHAPE_RAGGED)
		build_ragged(model, random);
	else
		build_by_puts(model, random, shape == SHAPE_PUT);
}

/* ---- checking -------------------------------------------------------------------------------- */

static void print_fault(void *arg, uint64_t page, const char *what)
{
	(void)arg;
	fprintf(stderr, "page %llx: %s\n", (unsigned long long)page, what);
}

struct expected {
	const struct tree_model *model;
	size_t next;
};

static int expect_entry(void *arg, kv_slice key, kv_slice value)
{
	struct expected *expected = arg;
	const struct tree_entry *entry = expected->model->entries + expected->next;

	assert_true(expected->next++ < expected->model->count);
	assert_int_equal(node_compare(key, entry->key), 0);
	assert_int_equal(node_compare(value, entry->value), 0);
	return KV_OK;
}

void tree_model_check(const struct tree_model *model)
{
	struct expected expected = {model, 0};
	struct tree_check check = {.fault = print_fault, .value = expect_entry, .arg = &expected};

	assert_int_equal(model->tree.count, model->count);
	assert_int_equal(tree_check(&model->tree, &check), KV_OK);
	assert_int_equal(check.faults, 0);
	assert_int_equal(check.entries, model->count);
	assert_int_equal(expected.next, model->count);
}
