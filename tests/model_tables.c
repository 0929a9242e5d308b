#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model_run.h"

/* ---- which key ----------------------------------------------------------------------------- */

/* Makes the existing key in run->key one with a byte more, less or changed; returns its size. */
static size_t key_neighbour(struct run *run, size_t size)
{
	unsigned char byte = (unsigned char)random_below(&run->random, 256);

	switch (random_below(&run->random, 4)) {
	case 0:
		if (size < run->max_key)
			run->key[size++] = random_one_in(&run->random, 2) ? 0 : byte;
		break;
	case 1:
		if (size)
			size--;
		break;
	case 2:
		if (size)
			run->key[random_below(&run->random, size)] = byte;
		break;
	default:
		if (size)
			run->key[size - 1]++;
	}
	return size;
}

/* Numbers for tables that grow at one end go on where they stopped. */
static uint64_t key_number(struct run *run, struct table_info *info)
{
	bool at_end = info->keys == KEY_ASCENDING || info->keys == KEY_DESCENDING;

	if (at_end && random_one_in(&run->random, 2))
		return info->next++;
	return random_below(&run->random, at_end ? info->next + 1 : info->domain);
}

kv_slice run_key(struct run *run, const struct model_table *table)
{
	uint64_t choice = random_below(&run->random, 100), count = rows_count(table->rows);
	struct table_info *info = &run->infos[table->id];
	const struct model_entry *entry;
	size_t size;

	if (choice >= 40 || !count) {
		size = key_make(info->keys, key_number(run, info), run->max_key, run->key);
		return kv_bytes(run->key, size);
	}
	entry = rows_at(table->rows, random_below(&run->random, count));
	memcpy(run->key, entry->key, entry->key_size);
	size = entry->key_size;
	if (choice < 3)
		size = key_neighbour(run, size);
	return kv_bytes(run->key, size);
}

void run_key_copy(struct run *run, const struct model_table *table, struct place_key *to)
{
	kv_slice key = run_key(run, table);

	to->size = key.size;
	memcpy(to->bytes, key.data, key.size);
}

/* ---- which table --------------------------------------------------------------------------- */

kv_table *run_handle(struct run *run, struct view *view, const struct model_table *table)
{
	struct table_info *info = &run->infos[table->id];

	if (!info->handle)
		run_expect(run, kv_table_open(view->txn, table->name, 0, &info->handle), KV_OK,
		           "kv_table_open");
	return info->handle;
}

struct model_table *run_table(struct run *run, struct view *view)
{
	uint64_t a, b;

	if (!view->model.count)
		return NULL;
	a = random_below(&run->random, view->model.count);
	b = random_below(&run->random, a + 1);
	return &view->model.tables[random_below(&run->random, b + 1)];
}

/* ---- creating, dropping and renaming ------------------------------------------------------- */

/* Some names are short and come back, some are long. */
static void choose_name(struct run *run, char *name)
{
	uint64_t number = random_below(&run->random, 40);
	int width = number % 2 ? 2 : 40;

	snprintf(name, MODEL_NAME, "t%0*llu", width, (unsigned long long)number);
}

static void create_table(struct run *run, const char *name)
{
	static const uint32_t sizes[] = {0, 8, 40, 150, 150, 700};
	struct table_info *info;
	uint32_t id = run->info_count++;

	run->infos = realloc(run->infos, run->info_count * sizeof(*run->infos));
	if (!run->infos)
		run_fail(run, "out of memory");
	info = &run->infos[id];
	*info = (struct table_info){.usual_size = sizes[random_below(&run->random, 6)]};
	info->keys = (enum key_kind)random_below(&run->random, KEY_KINDS);
	info->domain = key_domain(info->keys, run->max_key);
	run_expect(run, kv_table_open(run->writer.txn, name, KV_CREATE, &info->handle), KV_OK,
	           "kv_table_open with KV_CREATE");
	model_add(&run->writer.model, id, name);
}

static void drop_table(struct run *run, struct model_table *table)
{
	kv_table *handle = run_handle(run, &run->writer, table);

	run_expect(run, kv_table_drop(run->writer.txn, handle), KV_OK, "kv_table_drop");
	run_cursors_drop(&run->writer, table->id);
	model_drop(&run->writer.model, table->id);
}

static void rename_table(struct run *run, struct model_table *table, const char *name)
{
	kv_table *handle = run_handle(run, &run->writer, table);
	const struct model_table *other = model_named(&run->writer.model, name);
	bool taken = other && other != table;

	run_expect(run, kv_table_rename(run->writer.txn, handle, name), taken ? KV_EXISTS : KV_OK,
	           "kv_table_rename");
	if (!taken)
		snprintf(table->name, sizeof(table->name), "%s", name);
}

void run_change_tables(struct run *run)
{
	struct view *view = &run->writer;
	struct model_table *table = run_table(run, view);
	bool many = view->model.count > 4;
	char name[MODEL_NAME];

	run->op++;
	run->done[OP_TABLE]++;
	choose_name(run, name);
	if (many && random_one_in(&run->random, 2))
		rename_table(run, table, name);
	else if (view->model.count == MODEL_TABLES || (many && random_one_in(&run->random, 2)))
		drop_table(run, table);
	else if (!model_named(&view->model, name))
		create_table(run, name);
}
