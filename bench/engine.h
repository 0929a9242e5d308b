/* The interface between the workloads and a database engine.
 *
 * An engine is a constant table of functions. The workloads know nothing else of it, so every
 * engine does the same work on the same data and its results are consumed by the same code. The
 * table suits stores with a single writer (kv, LMDB, SQLite) as well as stores whose transaction is
 * a snapshot and a write batch (RocksDB, LevelDB).
 *
 * Every function returns ENGINE_OK, ENGINE_NOT_FOUND where that is an answer, or any other value
 * for an error, which error() explains. Keys and values handed out stay valid until the next call
 * on the same transaction or cursor; those passed in must be copied before the call returns. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Not among the error codes of any engine, so that a plug-in can pass its own codes through. */
enum { ENGINE_OK = 0, ENGINE_NOT_FOUND = 0x6e6f6e65 };

enum engine_durability {
	ENGINE_DURABLE, /* a commit returns when it is on stable storage */
	ENGINE_NOSYNC,  /* commits wait for nothing; sync() makes them durable */
};

enum engine_access { ENGINE_READ, ENGINE_WRITE };

#define ENGINE_MAX_BATCH 64 /* keys in one get_many */

struct engine_bytes {
	const void *data;
	size_t size;
};

struct engine_db; /* each plug-in defines its own */

/* A transaction, in the caller's memory: beginning one allocates nothing in the benchmark. */
struct engine_txn {
	struct engine_db *db;
	void *handle; /* the plug-in's */
};

struct engine_cursor {
	struct engine_txn *txn;
	void *handle; /* the plug-in's */
};

struct engine {
	const char *name;

	/* Version, flags and settings, in one line of at most size - 1 bytes. */
	void (*describe)(char *text, size_t size);

	/* Text of an error that this thread got from any function here. Static or thread-local. */
	const char *(*error)(int rc);

	/* Opens the database in a directory that exists, creating it if the directory is empty. */
	int (*open)(const char *directory, enum engine_durability durability,
	            struct engine_db **db);
	/* Closes it in order; all transactions have ended. */
	int (*close)(struct engine_db *db);

	/* Begins a transaction; a writer waits for its turn. Each thread has one writer at most,
	 * but may have a reader open as well. */
	int (*begin)(struct engine_db *db, enum engine_access access, struct engine_txn *txn);
	/* Ends a writer, with the durability that the database was opened with. */
	int (*commit)(struct engine_txn *txn);
	/* Ends a reader. */
	int (*end)(struct engine_txn *txn);

	int (*get)(struct engine_txn *txn, struct engine_bytes key, struct engine_bytes *value);
	/* n <= ENGINE_MAX_BATCH gets at once; ENGINE_NOT_FOUND if any is missing. NULL in an
	 * engine that has no such call: the workload then uses get. */
	int (*get_many)(struct engine_txn *txn, size_t n, const struct engine_bytes *keys,
	                struct engine_bytes *values);
	int (*put)(struct engine_txn *txn, struct engine_bytes key, struct engine_bytes value);
	/* A put whose key sorts after all others: the engine's fast way to load sorted data. */
	int (*append)(struct engine_txn *txn, struct engine_bytes key, struct engine_bytes value);
	/* The key is there. */
	int (*remove)(struct engine_txn *txn, struct engine_bytes key);
	/* Exact number of entries. */
	int (*count)(struct engine_txn *txn, uint64_t *count);

	/* A cursor for reading upwards. seek stands on the first entry at or after the key (an
	 * empty key: on the first of all), next on the one after. ENGINE_NOT_FOUND at the end. */
	int (*cursor_open)(struct engine_txn *txn, struct engine_cursor *cursor);
	int (*cursor_seek)(struct engine_cursor *cursor, struct engine_bytes key,
	                   struct engine_bytes *found, struct engine_bytes *value);
	int (*cursor_next)(struct engine_cursor *cursor, struct engine_bytes *key,
	                   struct engine_bytes *value);
	void (*cursor_close)(struct engine_cursor *cursor);

	/* Makes every commit durable. */
	int (*sync)(struct engine_db *db);
	/* The same, and brings the files to the state that their size is judged in: logs emptied
	 * into the data file. */
	int (*checkpoint)(struct engine_db *db);
	/* Writes a compact copy of the database into another directory, which is empty. */
	int (*compact)(struct engine_db *db, const char *directory);
};

extern const struct engine engine_kv;
extern const struct engine engine_lmdb;

/* All engines of this build, the one that is judged first; ended by NULL. */
extern const struct engine *const engines[];

/* The engine of that name, or NULL. */
const struct engine *engine_find(const char *name);

#endif
