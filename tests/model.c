#include "tests/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_ENTRIES 128u
#define POOL_SIZE (2 * (size_t)MODEL_MAX_VALUE)
#define SMALL_VALUE 4096u            /* values up to this size stay in a part of the pool ... */
#define SMALL_POOL ((size_t)1 << 19) /* ... that fits a processor's cache */

struct chunk {
	uint32_t refs;
	uint32_t count;
	struct model_entry *entries[CHUNK_ENTRIES];
};

struct slot {
	struct chunk *chunk;
	uint64_t count; /* of the chunk's entries: summing them up must not touch the chunks */
};

struct model_rows {
	uint32_t refs;
	uint32_t used, room; /* slots */
	uint64_t count;      /* entries */
	struct slot *slots;  /* no chunk is empty */
};

static void *allocate(void *old, size_t size)
{
	void *memory = realloc(old, size);

	if (!memory) {
		fprintf(stderr, "model: out of memory\n");
		exit(2);
	}
	return memory;
}

/* ---- values -------------------------------------------------------------------------------- */

static const unsigned char *pool(void)
{
	static uint64_t *bytes;
	struct random random = {42};

	if (!bytes) {
		bytes = allocate(NULL, POOL_SIZE);
		for (size_t i = 0; i < POOL_SIZE / sizeof(*bytes); i++)
			bytes[i] = random_next(&random);
	}
	return (const unsigned char *)bytes;
}

struct model_value model_value_new(struct random *random, uint32_t size)
{
	size_t room = size <= SMALL_VALUE ? SMALL_POOL : POOL_SIZE;

	return (struct model_value){(uint32_t)random_below(random, room - size), size};
}

kv_slice model_value_bytes(struct model_value value)
{
	return kv_bytes(pool() + value.offset, value.size);
}

bool model_value_is(struct model_value value, kv_slice slice)
{
	if (slice.size != value.size)
		return false;
	return value.size == 0 || !memcmp(slice.data, pool() + value.offset, value.size);
}

int model_compare(kv_slice a, kv_slice b)
{
	size_t shorter = a.size < b.size ? a.size : b.size;
	int order = shorter ? memcmp(a.data, b.data, shorter) : 0;

	return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* ---- entries and chunks -------------------------------------------------------------------- */

static struct model_entry *entry_new(kv_slice key, struct model_value value)
{
	struct model_entry *entry = allocate(NULL, sizeof(*entry) + key.size);

	entry->refs = 1;
	entry->key_size = (uint32_t)key.size;
	entry->value = value;
	if (key.size)
		memcpy(entry->key, key.data, key.size);
	return entry;
}

static void entry_free(struct model_entry *entry)
{
	if (--entry->refs == 0)
		free(entry);
}

static void chunk_free(struct chunk *chunk)
{
	if (--chunk->refs)
		return;
	for (uint32_t i = 0; i < chunk->count; i++)
		entry_free(chunk->entries[i]);
	free(chunk);
}

static struct chunk *chunk_new(struct model_entry *const *entries, uint32_t count)
{
	struct chunk *chunk = allocate(NULL, sizeof(*chunk));

	chunk->refs = 1;
	chunk->count = count;
	if (count)
		memcpy(chunk->entries, entries, count * sizeof(*entries));
	return chunk;
}

/* Makes the slot's chunk one that only this version owns. */
static struct chunk *chunk_own(struct slot *slot)
{
	struct chunk *old = slot->chunk;

	if (old->refs == 1)
		return old;
	slot->chunk = chunk_new(old->entries, old->count);
	for (uint32_t i = 0; i < old->count; i++)
		old->entries[i]->refs++;
	old->refs--;
	return slot->chunk;
}

/* ---- rows ---------------------------------------------------------------------------------- */

struct model_rows *rows_new(void)
{
	struct model_rows *rows = allocate(NULL, sizeof(*rows));

	*rows = (struct model_rows){.refs = 1};
	return rows;
}

struct model_rows *rows_share(struct model_rows *rows)
{
	rows->refs++;
	return rows;
}

void rows_free(struct model_rows *rows)
{
	if (--rows->refs)
		return;
	for (uint32_t i = 0; i < rows->used; i++)
		chunk_free(rows->slots[i].chunk);
	free(rows->slots);
	free(rows);
}

static struct model_rows *rows_own(struct model_rows **rows)
{
	struct model_rows *old = *rows, *own;

	if (old->refs == 1)
		return old;
	own = rows_new();
	own->used = own->room = old->used;
	own->count = old->count;
	own->slots = allocate(NULL, (old->used + 1) * sizeof(*own->slots));
	for (uint32_t i = 0; i < old->used; i++) {
		own->slots[i] = old->slots[i];
		own->slots[i].chunk->refs++;
	}
	old->refs--;
	*rows = own;
	return own;
}

static void slot_insert(struct model_rows *rows, uint32_t at, struct chunk *chunk)
{
	if (rows->used == rows->room) {
		rows->room = rows->room * 2 + 4;
		rows->slots = allocate(rows->slots, rows->room * sizeof(*rows->slots));
	}
	memmove(rows->slots + at + 1, rows->slots + at, (rows->used - at) * sizeof(*rows->slots));
	rows->slots[at] = (struct slot){chunk, chunk->count};
	rows->used++;
}

static void slot_remove(struct model_rows *rows, uint32_t at)
{
	chunk_free(rows->slots[at].chunk);
	rows->used--;
	memmove(rows->slots + at, rows->slots + at + 1, (rows->used - at) * sizeof(*rows->slots));
}

/* The last slot whose first key is at or before key, else the first; rows must have slots. */
static uint32_t slot_of(const struct model_rows *rows, kv_slice key)
{
	uint32_t low = 0, high = rows->used;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (model_compare(model_key(rows->slots[middle].chunk->entries[0]), key) <= 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The number of entries of the chunk that sort before key. */
static uint32_t place_in(const struct chunk *chunk, kv_slice key, bool *found)
{
	uint32_t low = 0, high = chunk->count;

	*found = false;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = model_compare(model_key(chunk->entries[middle]), key);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void chunk_split(struct model_rows *rows, uint32_t at)
{
	struct chunk *left = rows->slots[at].chunk;
	/* Half, except at the end of the table, where ascending keys would leave halves behind. */
	uint32_t keep = at + 1 == rows->used ? CHUNK_ENTRIES - 8 : CHUNK_ENTRIES / 2;

	slot_insert(rows, at + 1, chunk_new(left->entries + keep, left->count - keep));
	left->count = keep;
	rows->slots[at].count = keep;
}

void rows_put(struct model_rows **shared, kv_slice key, struct model_value value)
{
	struct model_rows *rows = rows_own(shared);
	struct chunk *chunk;
	uint32_t at, place;
	bool found;

	if (!rows->used)
		slot_insert(rows, 0, chunk_new(NULL, 0));
	at = slot_of(rows, key);
	chunk = chunk_own(&rows->slots[at]);
	place = place_in(chunk, key, &found);
	if (found) {
		entry_free(chunk->entries[place]);
		chunk->entries[place] = entry_new(key, value);
		return;
	}
	memmove(chunk->entries + place + 1, chunk->entries + place,
	        (chunk->count - place) * sizeof(*chunk->entries));
	chunk->entries[place] = entry_new(key, value);
	rows->slots[at].count = ++chunk->count;
	rows->count++;
	if (chunk->count == CHUNK_ENTRIES)
		chunk_split(rows, at);
}

/* The slot that holds entry number *index, which becomes its place in the chunk. */
static uint32_t slot_at(const struct model_rows *rows, uint64_t *index)
{
	uint32_t at = 0;

	while (*index >= rows->slots[at].count)
		*index -= rows->slots[at++].count;
	return at;
}

void rows_delete_at(struct model_rows **shared, uint64_t index)
{
	struct model_rows *rows = rows_own(shared);
	uint32_t at = slot_at(rows, &index);
	struct chunk *chunk = chunk_own(&rows->slots[at]);

	entry_free(chunk->entries[index]);
	chunk->count--;
	memmove(chunk->entries + index, chunk->entries + index + 1,
	        (chunk->count - index) * sizeof(*chunk->entries));
	rows->slots[at].count = chunk->count;
	rows->count--;
	if (!chunk->count)
		slot_remove(rows, at);
}

bool rows_delete(struct model_rows **rows, kv_slice key)
{
	bool found;
	uint64_t index = rows_rank(*rows, key, &found);

	if (found)
		rows_delete_at(rows, index);
	return found;
}

uint64_t rows_count(const struct model_rows *rows)
{
	return rows->count;
}

uint64_t rows_rank(const struct model_rows *rows, kv_slice key, bool *found)
{
	uint64_t before = 0;
	uint32_t at;
	bool ignored;

	if (!found)
		found = &ignored;
	*found = false;
	if (!rows->used)
		return 0;
	at = slot_of(rows, key);
	for (uint32_t i = 0; i < at; i++)
		before += rows->slots[i].count;
	return before + place_in(rows->slots[at].chunk, key, found);
}

const struct model_entry *rows_at(const struct model_rows *rows, uint64_t index)
{
	uint32_t at;

	if (index >= rows->count)
		return NULL;
	at = slot_at(rows, &index);
	return rows->slots[at].chunk->entries[index];
}

const struct model_entry *rows_get(const struct model_rows *rows, kv_slice key)
{
	bool found = false;
	struct chunk *chunk;
	uint32_t place;

	if (!rows->used)
		return NULL;
	chunk = rows->slots[slot_of(rows, key)].chunk;
	place = place_in(chunk, key, &found);
	return found ? chunk->entries[place] : NULL;
}

void rows_range(const struct model_rows *rows, const kv_slice *from, const kv_slice *to,
                uint64_t *first, uint64_t *end)
{
	*first = from ? rows_rank(rows, *from, NULL) : 0;
	*end = to ? rows_rank(rows, *to, NULL) : rows->count;
	if (*end < *first)
		*end = *first;
}

/* ---- databases ----------------------------------------------------------------------------- */

void model_copy(struct model *to, const struct model *from)
{
	*to = *from;
	for (uint32_t i = 0; i < to->count; i++)
		rows_share(to->tables[i].rows);
}

void model_free(struct model *model)
{
	for (uint32_t i = 0; i < model->count; i++)
		rows_free(model->tables[i].rows);
	model->count = 0;
}

void model_add(struct model *model, uint32_t id, const char *name)
{
	struct model_table *table = &model->tables[model->count++];

	table->id = id;
	snprintf(table->name, sizeof(table->name), "%s", name);
	table->rows = rows_new();
}

void model_drop(struct model *model, uint32_t id)
{
	struct model_table *table = model_find(model, id);

	rows_free(table->rows);
	*table = model->tables[--model->count];
}

struct model_table *model_find(struct model *model, uint32_t id)
{
	for (uint32_t i = 0; i < model->count; i++)
		if (model->tables[i].id == id)
			return &model->tables[i];
	return NULL;
}

struct model_table *model_named(struct model *model, const char *name)
{
	for (uint32_t i = 0; i < model->count; i++)
		if (!strcmp(model->tables[i].name, name))
			return &model->tables[i];
	return NULL;
}
