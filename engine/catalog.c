/* The catalog: a tree of two kinds of keys.
 *
 *	'N' name        -> u64 table id
 *	'T' id, 8 bytes -> struct table_record      (big endian, so that ids are in order)
 *
 * Renaming moves an 'N' entry; handles stand for ids and do not notice. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#define NAME_KEY 'N'
#define TABLE_KEY 'T'

struct table_key {
	uint8_t bytes[9];
};

static struct table_key table_key(uint64_t id)
{
	struct table_key key;
	uint64_t big = __builtin_bswap64(id);

	key.bytes[0] = TABLE_KEY;
	memcpy(key.bytes + 1, &big, 8);
	return key;
}

struct name_key {
	uint8_t bytes[1 + KV_MAX_TABLE_NAME];
	size_t size;
};

static int name_key(const char *name, struct name_key *key)
{
	size_t length = name ? strlen(name) : 0;

	if (!length)
		return status_fail(KV_INVALID, "a table needs a name");
	if (length > KV_MAX_TABLE_NAME)
		return status_fail(KV_TOO_BIG, "a table's name of %zu bytes is longer than %d",
		                   length, KV_MAX_TABLE_NAME);
	key->bytes[0] = NAME_KEY;
	memcpy(key->bytes + 1, name, length);
	key->size = 1 + length;
	return KV_OK;
}

void catalog_tree(kv_db *db, const struct snapshot *snapshot, struct ledger *ledger,
                  struct tree *tree)
{
	memset(tree, 0, offsetof(struct tree, finger));
	tree->store = db->store;
	tree->ledger = ledger;
	tree->stats = &db->stats;
	tree->leaf_type = PAGE_CATALOG;
	tree->root = snapshot->catalog_root;
	tree->height = (uint32_t)snapshot->catalog_height;
	tree->count = snapshot->catalog_count;
}

/* ---- records ------------------------------------------------------------------------------- */

/* A page of the file names pages of the file only: else it is damaged, and must not be followed. */
static bool root_is_plausible(const struct tree *catalog, kv_slice value, page_id root)
{
	const struct store *store = catalog->store;
	bool in_frame = (uintptr_t)value.data - (uintptr_t)store->base[1] < store->arena.mapped;

	if (page_is_frame(root))
		return in_frame;
	return root >> (PAGE_TAG_SHIFT + 16) == 0 && (!root || page_number(root) >= 2);
}

int catalog_record(const struct tree *catalog, uint64_t id, struct table_record *record)
{
	struct table_key key = table_key(id);
	kv_slice value;
	int rc = tree_get(catalog, kv_bytes(key.bytes, sizeof key.bytes), &value);

	if (rc)
		return rc;
	if (value.size != sizeof *record)
		return status_fail(KV_CORRUPT, "the record of table %llu has %zu bytes",
		                   (unsigned long long)id, value.size);
	memcpy(record, value.data, sizeof *record);
	/* A checkpoint may be repointing it (R20): one atomic load, 8-byte aligned. */
	record->root = __atomic_load_n((const uint64_t *)value.data, __ATOMIC_ACQUIRE);
	if (record->height > KV_MAX_LEVELS || !record->root != !record->height ||
	    !root_is_plausible(catalog, value, record->root))
		return status_fail(KV_CORRUPT, "the record of table %llu makes no sense",
		                   (unsigned long long)id);
	return KV_OK;
}

static int put_record(struct tree *catalog, uint64_t id, const struct table_record *record)
{
	struct table_key key = table_key(id);

	return tree_put(catalog, kv_bytes(key.bytes, sizeof key.bytes),
	                kv_bytes(record, sizeof *record), TREE_PUT, NULL, NULL);
}

int catalog_set_root(struct tree *catalog, uint64_t id, page_id root)
{
	struct table_record record;
	int rc = catalog_record(catalog, id, &record);

	if (rc)
		return rc;
	record.root = root;
	return put_record(catalog, id, &record);
}

static void state_clear(kv_txn *txn, struct table_state *state)
{
	memset(&state->tree, 0, offsetof(struct tree, finger));
	state->tree.store = txn->db->store;
	state->tree.stats = &txn->db->stats;
	state->tree.leaf_type = PAGE_LEAF;
	state->tree.ledger = txn->kind == TXN_WRITER ? &txn->ledger : NULL;
	state->dirty = false;
	state->missing = KV_OK;
	state->stamp = txn->stamp;
}

/* Loads what the transaction's catalog says of the state's table. */
int catalog_load(kv_txn *txn, struct table_state *state)
{
	uint64_t id = state->table->id;
	struct table_record record;
	int rc = catalog_record(&txn->catalog, id, &record);

	if (rc < 0)
		return rc;
	if (!rc && record.empty_since > txn->id)
		return status_fail(KV_CORRUPT, "table %llu is younger than the database",
		                   (unsigned long long)id);
	state_clear(txn, state);
	if (rc) { /* KV_NOT_FOUND */
		state->missing = id < txn->next_table ? KV_DROPPED : KV_NO_TABLE;
		return KV_OK;
	}
	state->tree.root = record.root;
	state->tree.height = record.height;
	state->tree.count = record.count;
	state->tree.empty_since = record.empty_since;
	state->tree.has_large = record.flags & RECORD_HAS_LARGE;
	return KV_OK;
}

int catalog_store(kv_txn *txn, struct table_state *state)
{
	const struct tree *tree = &state->tree;
	struct table_record record = {
	        .root = tree->root,
	        .count = tree->count,
	        .empty_since = tree->empty_since,
	        .height = tree->height,
	        .flags = tree->has_large ? RECORD_HAS_LARGE : 0,
	};

	state->dirty = false;
	return put_record(&txn->catalog, state->table->id, &record);
}

/* ---- the registry of handles --------------------------------------------------------------- */

/* Position in by_id of the first id >= id. The mutex is held. */
static uint32_t registry_position(const struct registry *r, uint64_t id)
{
	uint32_t low = 0, high = r->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (r->tables[r->by_id[middle]]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int registry_grow(kv_db *db)
{
	struct registry *r = &db->registry;
	uint32_t room = r->room ? 2 * r->room : 16;
	struct kv_table **tables;
	uint32_t *by_id;

	if (r->count < r->room)
		return KV_OK;
	/* New ones for both, since only a failure before either is replaced can be taken back. */
	tables = mem_resize(&db->mem, NULL, 0, room * sizeof *tables);
	by_id = mem_resize(&db->mem, NULL, 0, room * sizeof *by_id);
	if (!tables || !by_id) {
		mem_free(&db->mem, tables, room * sizeof *tables);
		mem_free(&db->mem, by_id, room * sizeof *by_id);
		return KV_NOMEM;
	}
	if (r->count) {
		memcpy(tables, r->tables, r->count * sizeof *tables);
		memcpy(by_id, r->by_id, r->count * sizeof *by_id);
	}
	mem_free(&db->mem, r->tables, r->room * sizeof *tables);
	mem_free(&db->mem, r->by_id, r->room * sizeof *by_id);
	r->tables = tables;
	r->by_id = by_id;
	r->room = room;
	return KV_OK;
}

static int registry_add(kv_db *db, uint64_t id, uint32_t position, kv_table **table)
{
	struct registry *r = &db->registry;
	kv_table *t = registry_grow(db) ? NULL : mem_new(&db->mem, sizeof *t);

	if (!t)
		return status_fail(KV_NOMEM, "no memory for a table handle");
	t->db = db;
	t->id = id;
	t->slot = r->count;
	memmove(r->by_id + position + 1, r->by_id + position,
	        (r->count - position) * sizeof *r->by_id);
	r->by_id[position] = t->slot;
	r->tables[r->count++] = t;
	*table = t;
	return KV_OK;
}

/* The one handle of the table with this id. */
int registry_find(kv_db *db, uint64_t id, kv_table **table)
{
	struct registry *r = &db->registry;
	uint32_t position;
	int rc = KV_OK;

	pthread_mutex_lock(&r->mutex);
	position = registry_position(r, id);
	if (position < r->count && r->tables[r->by_id[position]]->id == id)
		*table = r->tables[r->by_id[position]];
	else
		rc = registry_add(db, id, position, table);
	pthread_mutex_unlock(&r->mutex);
	return rc;
}

void registry_free(kv_db *db)
{
	struct registry *r = &db->registry;

	for (uint32_t i = 0; i < r->count; i++)
		mem_free(&db->mem, r->tables[i], sizeof *r->tables[i]);
	mem_free(&db->mem, r->tables, r->room * sizeof(struct kv_table *));
	mem_free(&db->mem, r->by_id, r->room * sizeof *r->by_id);
	pthread_mutex_destroy(&r->mutex);
}

/* ---- public -------------------------------------------------------------------------------- */

static int find_name(const struct tree *catalog, const struct name_key *key, uint64_t *id)
{
	kv_slice value;
	int rc = tree_get(catalog, kv_bytes(key->bytes, key->size), &value);

	if (rc)
		return rc;
	if (value.size != sizeof *id)
		return status_fail(KV_CORRUPT, "the catalog's entry of a table name has %zu bytes",
		                   value.size);
	memcpy(id, value.data, sizeof *id);
	return KV_OK;
}

static int create_table(kv_txn *txn, const struct name_key *key, kv_table **table)
{
	struct table_record record = {.empty_since = txn->id};
	uint64_t id = txn->next_table;
	int rc;

	txn_adds(txn);
	rc = put_record(&txn->catalog, id, &record);

	if (!rc)
		rc = tree_put(&txn->catalog, kv_bytes(key->bytes, key->size),
		              kv_bytes(&id, sizeof id), TREE_PUT, NULL, NULL);
	if (!rc)
		rc = registry_find(txn->db, id, table);
	if (rc)
		return rc;
	/* Taken for good, even if the transaction aborts: ids are never used twice. */
	txn->next_table = txn->db->next_table = id + 1;
	return KV_OK;
}

int kv_table_open(kv_txn *txn, const char *name, unsigned flags, kv_table **table)
{
	struct name_key key;
	uint64_t id;
	int rc;

	if (!table || flags & ~(unsigned)KV_CREATE)
		return status_fail(KV_INVALID, "kv_table_open: table is NULL or a flag is unknown");
	*table = NULL;
	rc = txn_check(txn);
	if (rc)
		return rc;
	rc = name_key(name, &key);
	if (!rc)
		rc = find_name(&txn->catalog, &key, &id);
	if (!rc)
		rc = registry_find(txn->db, id, table);
	if (rc != KV_NOT_FOUND)
		return txn_fail(txn, rc);
	if (!(flags & KV_CREATE)) /* a question, not a fault: does not stick */
		return status_fail(KV_NO_TABLE, "there is no table \"%s\"", name);
	if (txn->kind != TXN_WRITER)
		return status_fail(KV_READ_ONLY, "a reader cannot create table \"%s\"", name);
	return txn_fail(txn, create_table(txn, &key, table));
}

struct name_search {
	uint64_t id;
	struct name_key key;
	bool found;
};

static int match_name(void *arg, const char *name, uint64_t id, const struct table_record *record)
{
	struct name_search *search = arg;

	(void)record;
	if (id != search->id)
		return 0;
	search->found = true;
	name_key(name, &search->key);
	return 1;
}

static int remove_name(kv_txn *txn, uint64_t id)
{
	struct name_search search = {.id = id};
	int rc = catalog_each(&txn->catalog, match_name, &search);

	if (rc < 0)
		return rc;
	if (!search.found)
		return status_fail(KV_CORRUPT, "table %llu has no name in the catalog",
		                   (unsigned long long)id);
	return tree_remove(&txn->catalog, kv_bytes(search.key.bytes, search.key.size));
}

int kv_table_rename(kv_txn *txn, kv_table *table, const char *name)
{
	struct table_state *state;
	struct name_key key;
	uint64_t id;
	int rc = txn_enter_write(txn, table, &state);

	if (rc)
		return rc;
	rc = name_key(name, &key);
	if (!rc)
		rc = find_name(&txn->catalog, &key, &id);
	if (!rc)
		return id == table->id ? KV_OK : KV_EXISTS;
	if (rc == KV_NOT_FOUND)
		rc = remove_name(txn, table->id);
	if (!rc)
		rc = tree_put(&txn->catalog, kv_bytes(key.bytes, key.size),
		              kv_bytes(&table->id, sizeof table->id), TREE_PUT, NULL, NULL);
	return txn_fail(txn, rc);
}

int kv_table_drop(kv_txn *txn, kv_table *table)
{
	struct table_state *state;
	struct table_key key;
	int rc = txn_enter_read(txn, table,
	                        &state); /* large values in the buffer become the tree's */

	if (!rc)
		rc = txn_enter_write(txn, table, &state);
	if (rc)
		return rc;
	rc = tree_clear(&state->tree);
	if (!rc)
		rc = remove_name(txn, table->id);
	key = table_key(table->id);
	if (!rc)
		rc = tree_remove(&txn->catalog, kv_bytes(key.bytes, sizeof key.bytes));
	if (rc)
		return txn_fail(txn, rc < 0 ? rc : KV_CORRUPT);
	state->missing = KV_DROPPED;
	state->dirty = false;
	return KV_OK;
}

/* The name and the record at a path in the names. KV_NOT_FOUND behind the last name. */
static int read_entry(const struct tree *catalog, const struct kv_level *path, char *name,
                      uint64_t *id, struct table_record *record)
{
	kv_slice key = node_key(path[0].page, path[0].index), value;
	int rc;

	if (!key.size || *(const uint8_t *)key.data != NAME_KEY)
		return KV_NOT_FOUND;
	rc = tree_value(catalog, path[0].page, path[0].index, &value);
	if (rc)
		return rc;
	if (key.size > KV_MAX_TABLE_NAME + 1 || value.size != sizeof *id)
		return status_fail(KV_CORRUPT, "a name in the catalog makes no sense");
	memcpy(id, value.data, sizeof *id);
	memcpy(name, (const char *)key.data + 1, key.size - 1);
	name[key.size - 1] = '\0';
	rc = catalog_record(catalog, *id, record);
	return rc == KV_NOT_FOUND ? status_fail(KV_CORRUPT, "table \"%s\" has no record", name)
	                          : rc;
}

/* To the entry after that of name, also when the catalog has changed under the path. */
static int next_entry(const struct tree *catalog, const char *name, uint64_t generation,
                      struct kv_level *path)
{
	struct name_key key;
	bool equal;
	int rc;

	if (catalog->generation == generation)
		return tree_next(catalog, path);
	rc = name_key(name, &key);
	if (!rc)
		rc = tree_seek(catalog, kv_bytes(key.bytes, key.size), path, &equal);
	return !rc && equal ? tree_next(catalog, path) : rc;
}

int catalog_each(const struct tree *catalog,
                 int (*fn)(void *arg, const char *name, uint64_t id,
                           const struct table_record *record),
                 void *arg)
{
	struct kv_level path[KV_MAX_LEVELS];
	char name[KV_MAX_TABLE_NAME + 1];
	const uint8_t prefix = NAME_KEY;
	struct table_record record;
	uint64_t id = 0, generation;
	bool equal;
	int rc = tree_seek(catalog, kv_bytes(&prefix, 1), path, &equal);

	while (!rc) {
		rc = read_entry(catalog, path, name, &id, &record);
		generation = catalog->generation;
		if (!rc)
			rc = fn(arg, name, id, &record);
		if (!rc)
			rc = next_entry(catalog, name, generation, path);
		else if (rc != KV_NOT_FOUND)
			return rc;
	}
	return rc == KV_NOT_FOUND ? KV_OK : rc;
}

struct listing {
	kv_txn *txn;
	int (*fn)(void *arg, const char *name, uint64_t entries);
	void *arg;
	int result;
};

static int list_one(void *arg, const char *name, uint64_t id, const struct table_record *record)
{
	struct listing *l = arg;

	(void)id;
	l->result = l->fn(l->arg, name, record->count);
	return l->result ? 1 : 0;
}

int kv_table_list(kv_txn *txn, int (*fn)(void *arg, const char *name, uint64_t entries), void *arg)
{
	struct listing listing = {.txn = txn, .fn = fn, .arg = arg};
	int rc = txn_check(txn);

	if (!rc && !fn)
		rc = status_fail(KV_INVALID, "kv_table_list: fn is NULL");
	/* The counts of a writer's tables are in its states: they go to the catalog first. */
	for (uint32_t i = 0; !rc && txn->kind == TXN_WRITER && i < txn->touched_count; i++) {
		struct table_state *state = txn->touched[i];

		if (state->missing || !state->dirty)
			continue;
		if (defer_pending(&state->defer))
			rc = txn_apply(txn, state);
		if (!rc)
			rc = catalog_store(txn, state);
		state->dirty = true; /* its root may move again before the commit */
	}
	if (!rc)
		rc = catalog_each(&txn->catalog, list_one, &listing);
	return rc < 0 ? txn_fail(txn, rc) : listing.result;
}
