/* kv: an embedded key-value engine. This header is the manual of the untyped interface.
 *
 *	kv_db *db;
 *	int rc = kv_open("app.kv", NULL, &db);
 *
 * Threads: a kv_db and a kv_table may be used by any number of threads at once. A kv_txn, and the
 * cursors made from it, may move between threads but be used by one at a time. Readers take no
 * lock, never wait for the writer and never make it wait (kv_table_open takes a mutex for a
 * moment). There is one write transaction at a time. Nothing may be called from a signal handler.
 * A thread that writes needs 256 KiB of stack. In a forked child every call reports KV_FORKED and
 * does nothing else; kv_close there releases the child's memory and leaves the file alone.
 *
 * Slices: key and value slices handed out point into the database. In a reader they are valid
 * until kv_end; in a writer until its next write to any table, at the longest until commit or
 * abort. Slices passed in are copied before the call returns.
 *
 * Errors: see kv/status.h. The first error inside a transaction sticks: later calls on it, and
 * kv_commit, return it again, and kv_commit aborts. KV_NOT_FOUND and KV_EXISTS are not errors, and
 * arguments refused at the door (KV_INVALID, KV_TOO_BIG, KV_READ_ONLY, KV_ORDER, KV_DROPPED) stick
 * as well in a writer, so that a loop of unchecked puts can be checked once, at the commit. */
#ifndef KV_KV_H
#define KV_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kv/status.h>
#include <kv/types.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define KV_VERSION_MAJOR 0
#define KV_VERSION_MINOR 1
#define KV_VERSION_PATCH 0

/* "0.1.0": the library's version, which may differ from the header's. */
const char *kv_version(void);

typedef struct kv_db kv_db;       /* an open database */
typedef struct kv_txn kv_txn;     /* a transaction: a reader or the writer */
typedef struct kv_table kv_table; /* a named table; owned by the database, valid until kv_close */

/* kv_slice, kv_bytes() and the limits are in kv/types.h. */

/* ---- opening ------------------------------------------------------------------------------- */

enum kv_open_flags {
	KV_CREATE = 1 << 0,       /* also make a database of an existing empty file */
	KV_EXISTING = 1 << 1,     /* do not create: KV_NO_FILE if it is missing */
	KV_READ_ONLY_DB = 1 << 2, /* never write; several such openers may share a file */
	KV_IN_MEMORY = 1 << 3,    /* no file: the path is ignored and may be NULL */
	KV_NO_URING = 1 << 4,     /* do I/O by plain POSIX calls */
	KV_READ_COPIES = 1 << 5,  /* reserved: KV_INVALID for now */
};

enum kv_durability {
	KV_DURABILITY_DEFAULT = 0,
	KV_IMMEDIATE = 1, /* commit returns when the transaction is on stable storage */
	KV_NONE = 2,      /* visible at once, durable with the next durable commit or kv_sync */
};

enum kv_log_level { KV_LOG_ERROR = 1, KV_LOG_WARNING = 2, KV_LOG_INFO = 3 };

/* All fields may be zero, which means the default. */
typedef struct kv_options {
	unsigned flags;      /* enum kv_open_flags; 0: open, or create if the file is missing */
	uint32_t page_size;  /* bytes, a power of two, for a new database; default 4096 */
	uint32_t file_mode;  /* permissions of a new file; default 0600 */
	uint32_t durability; /* enum kv_durability for kv_begin; default KV_IMMEDIATE */
	uint64_t size_limit; /* bytes of file beyond which writes get KV_FULL; default: none */
	uint64_t map_size;   /* bytes of address space reserved for the file, halved until it
	                        succeeds; also the limit of growth; default: up to 1 TiB, less in
	                        a process with many databases, at least four times the file */
	uint64_t arena_size; /* bytes of changed pages kept in memory before a checkpoint or a
	                        spill; default 256 MiB, at least 1 MiB and 64 pages */
	uint64_t batch_size; /* bytes of deferred writes that a transaction collects in memory
	                            before they are sorted and set aside; default 64 MiB */
	uint64_t idle_ms;    /* milliseconds without writes after which memory is given back to the
	                            system; default 10,000 */
	/* Told about unusual events. One line, no newline. May be called from any thread that uses
	 * the database; must not call back into it. The library prints nothing itself. */
	void (*log)(void *arg, int level, const char *line);
	void *log_arg;
	/* Allocator: ptr NULL allocates, new_size 0 frees (and returns NULL), else reallocates;
	 * old_size is what was asked for before. Must be thread-safe. NULL: malloc and friends. */
	void *(*resize)(void *arg, void *ptr, size_t old_size, size_t new_size);
	void *resize_arg;
} kv_options;

/* Opens the database at path, creating it if it is missing (see flags). options may be NULL.
 * *db is set on success only and must be given to kv_close.
 * Errors: KV_BUSY (another process, or this one, has it open for writing; at once, no waiting),
 * KV_NO_FILE, KV_NOT_A_DATABASE, KV_VERSION, KV_CORRUPT, KV_FULL, KV_IO, KV_NOMEM, KV_INVALID. */
int kv_open(const char *path, const kv_options *options, kv_db **db);

/* Makes all commits durable, marks the file clean and frees the handle. NULL is fine. With open
 * transactions it does nothing and returns KV_BUSY. Other errors (KV_IO, KV_FULL) are reported, but
 * the handle is gone then; durable commits are safe. No other thread may be using db. */
int kv_close(kv_db *db);

typedef struct kv_info {
	uint64_t database_id;
	uint32_t page_size;    /* bytes */
	uint32_t max_key;      /* bytes */
	uint32_t max_inline;   /* largest key + value kept inside a page, bytes */
	uint64_t file_size;    /* bytes */
	uint64_t free_pages;   /* pages inside the file that can be reused at once */
	uint64_t held_pages;   /* pages that will be, when readers end or a checkpoint is durable */
	uint64_t arena_frames; /* frames in use: changed pages that are not yet in the file */
	uint64_t last_txn;     /* id of the newest visible transaction */
	uint64_t durable_txn;  /* id of the newest durable transaction */
	uint64_t oldest_reader; /* id of the oldest snapshot still read, or last_txn */
	uint32_t readers;       /* open readers */
	uint32_t tables;        /* tables in the newest snapshot */
	bool clean;             /* the file on disk is marked clean */
	bool uring;             /* io_uring is in use */
	uint64_t splits, merges, spills, checkpoints; /* since opening */
	uint64_t verified_pages; /* pages whose checksum was checked since opening */
} kv_info;

/* Facts and counters, a moment's picture. Thread-safe. */
int kv_info_get(kv_db *db, kv_info *info);

/* Makes every commit that has returned durable. Takes the writer lock: KV_DEADLOCK if this thread
 * has the write transaction open. Thread-safe. */
int kv_sync(kv_db *db);

/* Checkpoint: writes all changed pages to the file, durably, and empties the arena. For now the
 * same as kv_sync. */
int kv_checkpoint(kv_db *db);

/* ---- transactions -------------------------------------------------------------------------- */

enum kv_begin_flags {
	KV_READ = 0,       /* a reader of the newest visible snapshot */
	KV_WRITE = 1 << 0, /* the writer; waits for its turn, first come first served */
	KV_TRY = 1 << 1,   /* with KV_WRITE: KV_TIMEOUT at once instead of waiting */
};

/* Begins a transaction. *txn must be given to kv_end, kv_commit or kv_abort.
 * Errors: KV_TIMEOUT, KV_DEADLOCK, KV_READ_ONLY, KV_FAILED, KV_READERS, KV_FULL, KV_FORKED,
 * KV_NOMEM. */
int kv_begin(kv_db *db, unsigned flags, kv_txn **txn);

/* The same for a writer, waiting at most timeout_us microseconds for its turn (UINT64_MAX: for
 * ever), with the given enum kv_durability. */
int kv_begin_write(kv_db *db, uint64_t timeout_us, int durability, kv_txn **txn);

/* Ends the transaction, always: whatever it returns, the handle is gone. A reader has nothing to
 * commit: it is ended, and what stopped it is returned. On an error nothing of the writer's work
 * remains, except with KV_IO or KV_FAILED, when it is unknown until the database is reopened
 * whether the transaction took place. NULL is fine and returns KV_OK. */
int kv_commit(kv_txn *txn);

/* Ends the transaction and drops its work. NULL is fine. */
void kv_abort(kv_txn *txn);

/* Ends a reader (or aborts a writer); returns the first error that it met, else KV_OK. */
int kv_end(kv_txn *txn);

/* Changes the durability of a write transaction that is still open. */
int kv_set_durability(kv_txn *txn, int durability);

/* The transaction's id: of a reader, that of its snapshot; of the writer, its own. Ids grow. */
uint64_t kv_txn_id(const kv_txn *txn);

/* Runs fn in a write transaction: commits if it returns KV_OK (or KV_NOT_FOUND, KV_EXISTS), else
 * aborts. Returns fn's error, or the commit's. */
int kv_update(kv_db *db, int (*fn)(kv_txn *txn, void *arg), void *arg);

/* Runs fn in a reader; returns what fn returned, or the reader's first error. */
int kv_view(kv_db *db, int (*fn)(kv_txn *txn, void *arg), void *arg);

/* ---- tables -------------------------------------------------------------------------------- */

/* Finds a table by name; with KV_CREATE and a writer, makes it if it is missing. The handle stands
 * for the table itself: it follows renames, and gives KV_DROPPED after a drop (KV_NO_TABLE in
 * snapshots older than the table). KV_NO_TABLE if there is none, which does not stick; KV_READ_ONLY
 * when a reader would have to create it. */
int kv_table_open(kv_txn *txn, const char *name, unsigned flags, kv_table **table);

/* Renames; KV_EXISTS if a table has the new name. Writer only. */
int kv_table_rename(kv_txn *txn, kv_table *table, const char *name);

/* Drops the table with all entries, in O(pages of branches). Writer only. */
int kv_table_drop(kv_txn *txn, kv_table *table);

/* Calls fn for every table in name order until it returns non-zero, which is then returned. The
 * name is valid during the call only. */
int kv_table_list(kv_txn *txn, int (*fn)(void *arg, const char *name, uint64_t entries), void *arg);

/* ---- single keys --------------------------------------------------------------------------- */

/* KV_OK and the value (which may be NULL if it is not wanted), or KV_NOT_FOUND. */
int kv_get(kv_txn *txn, kv_table *table, kv_slice key, kv_slice *value);

/* n lookups whose cache misses overlap: values[i] belongs to keys[i]; a key that is missing gets
 * data NULL and size 0 (a present empty value has data non-NULL). Order and duplicates do not
 * matter. *found, if not NULL, is the number present. */
int kv_get_many(kv_txn *txn, kv_table *table, size_t n, const kv_slice *keys, kv_slice *values,
                size_t *found);

/* Sets the key's value. Deferred: collected, and applied in key order before the next read of the
 * table or at commit. */
int kv_put(kv_txn *txn, kv_table *table, kv_slice key, kv_slice value);

/* Deletes the key if it is there; says KV_OK either way. Deferred like kv_put. */
int kv_delete(kv_txn *txn, kv_table *table, kv_slice key);

/* Sets the key's value only if the key is absent; else KV_EXISTS and, if old is not NULL, the
 * value that is there. */
int kv_put_if_absent(kv_txn *txn, kv_table *table, kv_slice key, kv_slice value, kv_slice *old);

/* Deletes the key now; KV_NOT_FOUND if it was absent. */
int kv_remove(kv_txn *txn, kv_table *table, kv_slice key);

/* Adds at the end: KV_ORDER unless the key sorts after every other. */
int kv_append(kv_txn *txn, kv_table *table, kv_slice key, kv_slice value);

/* Sets the key to a value of the given size that the caller writes into *data afterwards, before
 * its next call on this transaction. Spares a copy. Bytes never written are zero. */
int kv_reserve(kv_txn *txn, kv_table *table, kv_slice key, size_t size, void **data);

/* ---- ranges and counts --------------------------------------------------------------------- */

/* A bound of NULL means no bound. Ranges are from <= key < to. */

/* Deletes a range; *removed, if not NULL, is the number of entries. O(pages on its two edges, and
 * branch pages between); leaves in between are not read unless the table holds large values. */
int kv_delete_range(kv_txn *txn, kv_table *table, const kv_slice *from, const kv_slice *to,
                    uint64_t *removed);

/* Empties the table. */
int kv_clear(kv_txn *txn, kv_table *table);

int kv_count(kv_txn *txn, kv_table *table, uint64_t *count); /* O(1) */
int kv_count_range(kv_txn *txn, kv_table *table, const kv_slice *from, const kv_slice *to,
                   uint64_t *count); /* O(log n) */
/* Number of entries that sort before key. O(log n). */
int kv_rank(kv_txn *txn, kv_table *table, kv_slice key, uint64_t *rank);
/* The entry with n entries before it, or KV_NOT_FOUND. key or value may be NULL. O(log n). */
int kv_nth(kv_txn *txn, kv_table *table, uint64_t n, kv_slice *key, kv_slice *value);

/* ---- cursors ------------------------------------------------------------------------------- */

/* A cursor is a value: it owns nothing and need not be closed. key and value are set while it
 * stands on an entry (status KV_OK). It survives its own transaction's writes: after one, next and
 * prev go on after (before) the key it stood on, whether that still exists or not, and key and
 * value must not be used until it has moved. The rest of the fields are the library's. */
typedef struct kv_cursor {
	kv_slice key, value; /* the entry it stands on */
	int status;          /* what the last move returned */

	kv_txn *txn;
	kv_table *table;
	uint64_t stamp, generation; /* of the transaction and the tree that path belongs to */
	void *saved;                /* writer: copy of the key it stands on, if that is long */
	uint32_t saved_size;
	uint8_t saved_short[64]; /* the same if it is short */
	uint8_t place;
	bool bounded_from, bounded_to, prefixed;
	kv_slice from, to;
	struct kv_level path[KV_MAX_LEVELS];
} kv_cursor;

/* Makes a cursor that stands nowhere. */
int kv_cursor_open(kv_txn *txn, kv_table *table, kv_cursor *cursor);

/* Confines it to from <= key < to (NULL: no bound), or to keys that begin with prefix. The bounds
 * are not copied: they must outlive the cursor. Does not move it. */
int kv_cursor_range(kv_cursor *cursor, const kv_slice *from, const kv_slice *to);
int kv_cursor_prefix(kv_cursor *cursor, kv_slice prefix);

/* Moves. KV_OK: key and value are set. KV_NOT_FOUND: no such entry within the bounds; the cursor
 * then stands before the first (after the last) entry, so moving back in works. Else an error. */
int kv_cursor_first(kv_cursor *cursor);
int kv_cursor_last(kv_cursor *cursor);
int kv_cursor_seek(kv_cursor *cursor, kv_slice key);      /* first entry at or after key */
int kv_cursor_seek_back(kv_cursor *cursor, kv_slice key); /* last entry at or before key */
int kv_cursor_next(kv_cursor *cursor);                    /* from nowhere: first */
int kv_cursor_prev(kv_cursor *cursor);                    /* from nowhere: last */

/* Deletes the entry under the cursor, or replaces its value. KV_INVALID if it stands on none. */
int kv_cursor_delete(kv_cursor *cursor);
int kv_cursor_replace(kv_cursor *cursor, kv_slice value);

/* ---- looking after it ---------------------------------------------------------------------- */

/* Progress of something long: done of total (same unit, roughly). Non-zero cancels. */
typedef int (*kv_progress)(void *arg, uint64_t done, uint64_t total);

/* Checks everything reachable from the newest visible snapshot: checksums, order, fences, levels,
 * counts, and reachability against the free-space map. Each fault is told to fault (page
 * UINT64_MAX: no single page). KV_OK if there was none, else KV_CORRUPT. Holds the writer lock
 * meanwhile. Any callback may be NULL. */
typedef void (*kv_fault)(void *arg, uint64_t page, const char *what);
int kv_check(kv_db *db, kv_fault fault, kv_progress progress, void *arg);

/* Writes the newest visible snapshot into a new, compact database file (KV_EXISTS if there is a
 * file already), without stopping anyone. */
int kv_copy(kv_db *db, const char *path, kv_progress progress, void *arg);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
