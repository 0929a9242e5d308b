/* LMDB as an engine.
 *
 * Settings, by its own documentation: a map as large as one may ever need (the file grows on
 * demand), MDB_NOTLS because a thread holds a reader beside its writer in some workloads, the
 * default durability of two flushes per commit, MDB_NOSYNC for the workloads that do not wait,
 * MDB_APPEND for sorted loads, MDB_CP_COMPACT for compaction. MDB_NORDAHEAD is not set: it is for
 * databases larger than memory. MDB_WRITEMAP is not set: it gives up the protection of the file
 * against stray pointers, which none of the engines compared here gives up. */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine.h"

#define MAP_SIZE ((size_t)256 << 30)
#define MAX_READERS 512
#define FILE_MODE 0600

struct engine_db {
	MDB_env *env;
	MDB_dbi dbi;
};

/* LMDB does not write through the pointers that it is given, its type just lacks the const. */
static MDB_val val_of(struct engine_bytes bytes)
{
	union {
		const void *readable;
		void *pointer;
	} data = {.readable = bytes.data};

	return (MDB_val){.mv_size = bytes.size, .mv_data = data.pointer};
}

static struct engine_bytes bytes_of(MDB_val val)
{
	return (struct engine_bytes){.data = val.mv_data, .size = val.mv_size};
}

static int answer(int rc)
{
	return rc == MDB_NOTFOUND ? ENGINE_NOT_FOUND : rc;
}

static void lmdb_describe(char *text, size_t size)
{
	int major, minor, patch;

	mdb_version(&major, &minor, &patch);
	snprintf(text, size,
	         "LMDB %d.%d.%d; MDB_NOTLS (durable), MDB_NOTLS|MDB_NOSYNC (nosync); readahead on; "
	         "map size %zu GiB; sorted load with MDB_APPEND; compaction with MDB_CP_COMPACT; "
	         "no get_many: gets",
	         major, minor, patch, MAP_SIZE >> 30);
}

static const char *lmdb_error(int rc)
{
	return rc == ENGINE_NOT_FOUND ? "not found" : mdb_strerror(rc);
}

static int open_main(struct engine_db *db)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (rc)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &db->dbi);
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static int lmdb_open(const char *directory, enum engine_durability durability,
                     struct engine_db **out)
{
	unsigned flags = MDB_NOTLS | (durability == ENGINE_NOSYNC ? MDB_NOSYNC : 0u);
	struct engine_db *db = calloc(1, sizeof(*db));
	int rc = db ? mdb_env_create(&db->env) : MDB_PANIC;

	if (!rc)
		rc = mdb_env_set_mapsize(db->env, MAP_SIZE);
	if (!rc)
		rc = mdb_env_set_maxreaders(db->env, MAX_READERS);
	if (!rc)
		rc = mdb_env_open(db->env, directory, flags, FILE_MODE);
	if (!rc)
		rc = open_main(db);
	if (rc) {
		if (db && db->env)
			mdb_env_close(db->env);
		free(db);
		return rc;
	}
	*out = db;
	return ENGINE_OK;
}

static int lmdb_close(struct engine_db *db)
{
	mdb_env_close(db->env);
	free(db);
	return ENGINE_OK;
}

static int lmdb_begin(struct engine_db *db, enum engine_access access, struct engine_txn *txn)
{
	MDB_txn *handle = NULL;
	int rc = mdb_txn_begin(db->env, NULL, access == ENGINE_READ ? MDB_RDONLY : 0, &handle);

	txn->db = db;
	txn->handle = handle;
	return rc;
}

static int lmdb_commit(struct engine_txn *txn)
{
	return mdb_txn_commit(txn->handle);
}

static int lmdb_end(struct engine_txn *txn)
{
	mdb_txn_abort(txn->handle);
	return ENGINE_OK;
}

static int lmdb_get(struct engine_txn *txn, struct engine_bytes key, struct engine_bytes *value)
{
	MDB_val k = val_of(key), v;
	int rc = mdb_get(txn->handle, txn->db->dbi, &k, &v);

	if (rc)
		return answer(rc);
	*value = bytes_of(v);
	return ENGINE_OK;
}

static int lmdb_put(struct engine_txn *txn, struct engine_bytes key, struct engine_bytes value)
{
	MDB_val k = val_of(key), v = val_of(value);

	return mdb_put(txn->handle, txn->db->dbi, &k, &v, 0);
}

static int lmdb_append(struct engine_txn *txn, struct engine_bytes key, struct engine_bytes value)
{
	MDB_val k = val_of(key), v = val_of(value);

	return mdb_put(txn->handle, txn->db->dbi, &k, &v, MDB_APPEND);
}

static int lmdb_remove(struct engine_txn *txn, struct engine_bytes key)
{
	MDB_val k = val_of(key);

	return answer(mdb_del(txn->handle, txn->db->dbi, &k, NULL));
}

static int lmdb_count(struct engine_txn *txn, uint64_t *count)
{
	MDB_stat stat;
	int rc = mdb_stat(txn->handle, txn->db->dbi, &stat);

	*count = rc ? 0 : stat.ms_entries;
	return rc;
}

static int lmdb_cursor_open(struct engine_txn *txn, struct engine_cursor *cursor)
{
	MDB_cursor *handle = NULL;
	int rc = mdb_cursor_open(txn->handle, txn->db->dbi, &handle);

	cursor->txn = txn;
	cursor->handle = handle;
	return rc;
}

static int cursor_move(struct engine_cursor *cursor, MDB_val k, MDB_cursor_op op,
                       struct engine_bytes *key, struct engine_bytes *value)
{
	MDB_val v;
	int rc = mdb_cursor_get(cursor->handle, &k, &v, op);

	if (rc)
		return answer(rc);
	*key = bytes_of(k);
	*value = bytes_of(v);
	return ENGINE_OK;
}

static int lmdb_cursor_seek(struct engine_cursor *cursor, struct engine_bytes key,
                            struct engine_bytes *found, struct engine_bytes *value)
{
	return cursor_move(cursor, val_of(key), key.size ? MDB_SET_RANGE : MDB_FIRST, found, value);
}

static int lmdb_cursor_next(struct engine_cursor *cursor, struct engine_bytes *key,
                            struct engine_bytes *value)
{
	return cursor_move(cursor, (MDB_val){0, NULL}, MDB_NEXT, key, value);
}

static void lmdb_cursor_close(struct engine_cursor *cursor)
{
	mdb_cursor_close(cursor->handle);
}

static int lmdb_sync(struct engine_db *db)
{
	return mdb_env_sync(db->env, 1);
}

static int lmdb_compact(struct engine_db *db, const char *directory)
{
	return mdb_env_copy2(db->env, directory, MDB_CP_COMPACT);
}

const struct engine engine_lmdb = {
        .name = "lmdb",
        .describe = lmdb_describe,
        .error = lmdb_error,
        .open = lmdb_open,
        .close = lmdb_close,
        .begin = lmdb_begin,
        .commit = lmdb_commit,
        .end = lmdb_end,
        .get = lmdb_get,
        .get_many = NULL,
        .put = lmdb_put,
        .append = lmdb_append,
        .remove = lmdb_remove,
        .count = lmdb_count,
        .cursor_open = lmdb_cursor_open,
        .cursor_seek = lmdb_cursor_seek,
        .cursor_next = lmdb_cursor_next,
        .cursor_close = lmdb_cursor_close,
        .sync = lmdb_sync,
        .checkpoint = lmdb_sync,
        .compact = lmdb_compact,
};
