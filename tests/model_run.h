/* The state of a model test run, shared by its parts:
 *
 *	long_model.c    segments, choice of operations, the report
 *	model_life.c    opening, transactions, readers, comparing everything
 *	model_tables.c  which table and key; creating, dropping, renaming
 *	model_write.c   operations that change a table
 *	model_read.c    operations that ask
 *	model_cursor.c  cursors
 *
 * An operation does the same to the database and to the model and compares the answers; a
 * difference is printed with what reproduces it and ends the program. */
#ifndef TESTS_MODEL_RUN_H
#define TESTS_MODEL_RUN_H

#include "tests/keys.h"
#include "tests/model.h"
#include "tests/support.h"

#define RUN_READERS 6
#define RUN_PLACES 3 /* cursors per transaction */
#define RUN_HELD 8   /* slices that a reader keeps until its end */
#define RUN_LONGEST_KEY KV_MAX_KEY(KV_MAX_PAGE_SIZE)

/* Operations, as counted for the report. */
enum run_op {
	OP_PUT,
	OP_DELETE,
	OP_REMOVE,
	OP_PUT_IF_ABSENT,
	OP_APPEND,
	OP_RESERVE,
	OP_DELETE_RANGE,
	OP_CLEAR,
	OP_CURSOR_DELETE,
	OP_CURSOR_REPLACE,
	OP_GET,
	OP_GET_MANY,
	OP_COUNT,
	OP_COUNT_RANGE,
	OP_RANK,
	OP_NTH,
	OP_CURSOR_OPEN,
	OP_CURSOR_END,
	OP_CURSOR_SEEK,
	OP_CURSOR_STEP,
	OP_TABLE,
	OP_REFUSED,
	OP_BEGIN,
	OP_COMMIT,
	OP_ABORT,
	OP_READER,
	OP_SYNC,
	OP_COMPARE,
	OP_REOPEN,
	RUN_OPS
};

enum place_state { PLACE_NOWHERE, PLACE_ON, PLACE_GONE, PLACE_BEFORE, PLACE_AFTER };

struct place_key {
	size_t size;
	unsigned char bytes[RUN_LONGEST_KEY];
};

/* A cursor and what the model knows of it. */
struct place {
	bool open, moved_since_write; /* the latter: cursor.key and value may be looked at */
	bool has_from, has_to, has_prefix;
	enum place_state state;
	uint32_t table; /* id */
	kv_cursor cursor;
	struct place_key at, from, to; /* a prefix stands in from */
};

struct held {
	kv_slice slice;
	struct model_value value;
};

/* A transaction and the model's picture of it. */
struct view {
	kv_txn *txn; /* NULL: not open */
	bool writer;
	struct model model;
	struct place places[RUN_PLACES];
	uint64_t ends_at;    /* operation number */
	unsigned held_count; /* readers only */
	struct held held[RUN_HELD];
};

/* What is known of a table besides its entries; never freed during a segment. */
struct table_info {
	enum key_kind keys;
	uint64_t domain;
	uint64_t next;       /* number for the next ascending or descending key */
	uint32_t usual_size; /* typical values are at most this long, bytes */
	bool shrinking;      /* deletes outnumber puts for a while */
	kv_table *handle;    /* NULL: not opened since the database was */
};

struct run {
	uint64_t seed, segment; /* what reproduces the run */
	uint64_t op;            /* number of operations done in this segment */
	struct random random;
	kv_options options;
	struct temp_dir dir;
	uint64_t immediate_percent; /* of the commits; the others are KV_NONE */

	kv_db *db;
	uint32_t max_key;
	struct model committed;
	struct view writer;
	struct view readers[RUN_READERS];
	struct table_info *infos; /* by table id */
	uint32_t info_count;

	uint64_t done[RUN_OPS];
	uint64_t splits, merges, spills, checkpoints, readers_refused, entries_compared,
	        largest_table;
	uint32_t highest;
	unsigned char key[RUN_LONGEST_KEY + 16]; /* for run_key */
};

/* Prints the difference and ends the program. */
_Noreturn void run_fail(const struct run *run, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Fails unless got == want. */
void run_expect(const struct run *run, int got, int want, const char *call);

void run_expect_number(const struct run *run, uint64_t got, uint64_t want, const char *call);

/* Fails unless the slice holds the value. */
void run_check_value(const struct run *run, struct model_value want, kv_slice got,
                     const char *call);

/* ---- model_tables.c ------------------------------------------------------------------------ */

/* A key for an operation on the table: often one that exists. Valid until the next call. */
kv_slice run_key(struct run *run, const struct model_table *table);

/* The same, copied to where the caller likes. */
void run_key_copy(struct run *run, const struct model_table *table, struct place_key *to);

static inline kv_slice place_slice(const struct place_key *key)
{
	return kv_bytes(key->bytes, key->size);
}

/* The table's handle, opened in the view's transaction if need be. */
kv_table *run_handle(struct run *run, struct view *view, const struct model_table *table);

/* One of the view's tables, the first ones more often; NULL if it has none. */
struct model_table *run_table(struct run *run, struct view *view);

void run_change_tables(struct run *run); /* creates, drops or renames in the writer */

/* ---- model_life.c -------------------------------------------------------------------------- */

void run_open(struct run *run);  /* opens, checks and compares everything */
void run_close(struct run *run); /* ends what is open, adds up the counters */
void run_begin_write(struct run *run);
void run_end_write(struct run *run, bool commit);
void run_end_refused(struct run *run, int rc); /* a commit that must return rc */
void run_begin_reader(struct run *run);
void run_end_readers(struct run *run, bool all); /* those whose time is over */
void run_sync(struct run *run);
void run_compare_committed(struct run *run); /* every entry, in a new reader */

/* ---- the operations ------------------------------------------------------------------------ */

void run_write(struct run *run, struct model_table *table);
void run_burst(struct run *run, struct model_table *table);   /* many puts or deletes in a row */
void run_refused(struct run *run, struct model_table *table); /* an error on purpose */
void run_read(struct run *run, struct view *view, struct model_table *table);
void run_cursor(struct run *run, struct view *view);
void run_cursors_written(struct view *view, uint32_t table); /* after a write to the table */
void run_cursors_drop(struct view *view, uint32_t table);

#endif
