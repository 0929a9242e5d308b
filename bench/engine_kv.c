/* kv as an engine: default options (every page verified on first touch), durability per
 * transaction, one table. Sorted loads use plain kv_put: it needs no hint. */
#include <kv/kv.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine.h"

#define MAX_PATH 4096
#define TABLE "bench"

struct engine_db {
	kv_db *db;
	kv_table *table;
	int durability;
};

static kv_slice slice_of(struct engine_bytes bytes)
{
	return kv_bytes(bytes.data, bytes.size);
}

static struct engine_bytes bytes_of(kv_slice slice)
{
	return (struct engine_bytes){.data = slice.data, .size = slice.size};
}

static int answer(int rc)
{
	return rc == KV_NOT_FOUND ? ENGINE_NOT_FOUND : rc;
}

static void describe(char *text, size_t size)
{
	snprintf(text, size,
	         "kv %s; default options, verification on; KV_IMMEDIATE (durable), KV_NONE "
	         "(nosync); sorted load with kv_put; compaction with kv_copy; get_many with "
	         "kv_get_many",
	         kv_version());
}

static const char *error_text(int rc)
{
	static _Thread_local char text[512];

	if (rc == ENGINE_NOT_FOUND)
		return "not found";
	snprintf(text, sizeof(text), "%s (%s)", kv_strerror(rc), kv_detail());
	return text;
}

static int file_path(char path[MAX_PATH], const char *directory)
{
	int n = snprintf(path, MAX_PATH, "%s/data.kv", directory);

	return n < MAX_PATH ? KV_OK : KV_INVALID;
}

static int find_table(struct engine_db *db)
{
	kv_txn *txn;
	int rc = kv_begin(db->db, KV_READ, &txn);

	if (rc)
		return rc;
	rc = kv_table_open(txn, TABLE, 0, &db->table);
	kv_end(txn);
	return rc;
}

static int create_table(struct engine_db *db)
{
	kv_txn *txn;
	int rc = kv_begin(db->db, KV_WRITE, &txn);

	if (rc)
		return rc;
	rc = kv_table_open(txn, TABLE, KV_CREATE, &db->table);
	if (rc) {
		kv_abort(txn);
		return rc;
	}
	return kv_commit(txn);
}

static int open_db(const char *directory, enum engine_durability durability, struct engine_db **out)
{
	char path[MAX_PATH];
	struct engine_db *db = calloc(1, sizeof(*db));
	int rc = db ? file_path(path, directory) : KV_NOMEM;

	if (!rc)
		rc = kv_open(path, NULL, &db->db);
	if (rc) {
		free(db);
		return rc;
	}
	db->durability = durability == ENGINE_NOSYNC ? KV_NONE : KV_IMMEDIATE;
	rc = find_table(db);
	if (rc == KV_NO_TABLE)
		rc = create_table(db);
	if (rc) {
		kv_close(db->db);
		free(db);
		return rc;
	}
	*out = db;
	return ENGINE_OK;
}

static int close_db(struct engine_db *db)
{
	int rc = kv_close(db->db);

	free(db);
	return rc;
}

static int begin(struct engine_db *db, enum engine_access access, struct engine_txn *txn)
{
	kv_txn *handle = NULL;
	int rc = access == ENGINE_READ
	                 ? kv_begin(db->db, KV_READ, &handle)
	                 : kv_begin_write(db->db, UINT64_MAX, db->durability, &handle);

	txn->db = db;
	txn->handle = handle;
	return rc;
}

static int commit(struct engine_txn *txn)
{
	return kv_commit(txn->handle);
}

static int end(struct engine_txn *txn)
{
	return kv_end(txn->handle);
}

static int get(struct engine_txn *txn, struct engine_bytes key, struct engine_bytes *value)
{
	kv_slice v;
	int rc = kv_get(txn->handle, txn->db->table, slice_of(key), &v);

	if (rc)
		return answer(rc);
	*value = bytes_of(v);
	return ENGINE_OK;
}

static int get_many(struct engine_txn *txn, size_t n, const struct engine_bytes *keys,
                    struct engine_bytes *values)
{
	kv_slice k[ENGINE_MAX_BATCH], v[ENGINE_MAX_BATCH];
	size_t found;

	if (n == 0 || n > ENGINE_MAX_BATCH)
		return KV_INVALID;
	k[0] = slice_of(keys[0]);
	for (size_t i = 1; i < n; i++)
		k[i] = slice_of(keys[i]);
	int rc = kv_get_many(txn->handle, txn->db->table, n, k, v, &found);
	if (rc)
		return answer(rc);
	for (size_t i = 0; i < n; i++)
		values[i] = bytes_of(v[i]);
	return found == n ? ENGINE_OK : ENGINE_NOT_FOUND;
}

static int put(struct engine_txn *txn, struct engine_bytes key, struct engine_bytes value)
{
	return kv_put(txn->handle, txn->db->table, slice_of(key), slice_of(value));
}

static int remove_key(struct engine_txn *txn, struct engine_bytes key)
{
	return kv_delete(txn->handle, txn->db->table, slice_of(key));
}

static int count(struct engine_txn *txn, uint64_t *entries)
{
	return kv_count(txn->handle, txn->db->table, entries);
}

static int cursor_open(struct engine_txn *txn, struct engine_cursor *cursor)
{
	kv_cursor *handle = malloc(sizeof(*handle));

	cursor->txn = txn;
	cursor->handle = handle;
	return handle ? kv_cursor_open(txn->handle, txn->db->table, handle) : KV_NOMEM;
}

static int cursor_seek(struct engine_cursor *cursor, struct engine_bytes key,
                       struct engine_bytes *found, struct engine_bytes *value)
{
	kv_cursor *handle = cursor->handle;
	int rc = kv_cursor_seek(handle, slice_of(key));

	if (rc)
		return answer(rc);
	*found = bytes_of(handle->key);
	*value = bytes_of(handle->value);
	return ENGINE_OK;
}

static int cursor_next(struct engine_cursor *cursor, struct engine_bytes *key,
                       struct engine_bytes *value)
{
	kv_cursor *handle = cursor->handle;
	int rc = kv_cursor_next(handle);

	if (rc)
		return answer(rc);
	*key = bytes_of(handle->key);
	*value = bytes_of(handle->value);
	return ENGINE_OK;
}

static void cursor_close(struct engine_cursor *cursor)
{
	free(cursor->handle);
}

static int sync_db(struct engine_db *db)
{
	return kv_sync(db->db);
}

static int checkpoint(struct engine_db *db)
{
	return kv_checkpoint(db->db);
}

static int compact(struct engine_db *db, const char *directory)
{
	char path[MAX_PATH];
	int rc = file_path(path, directory);

	return rc ? rc : kv_copy(db->db, path, NULL, NULL);
}

const struct engine engine_kv = {
        .name = "kv",
        .describe = describe,
        .error = error_text,
        .open = open_db,
        .close = close_db,
        .begin = begin,
        .commit = commit,
        .end = end,
        .get = get,
        .get_many = get_many,
        .put = put,
        .append = put,
        .remove = remove_key,
        .count = count,
        .cursor_open = cursor_open,
        .cursor_seek = cursor_seek,
        .cursor_next = cursor_next,
        .cursor_close = cursor_close,
        .sync = sync_db,
        .checkpoint = checkpoint,
        .compact = compact,
};
