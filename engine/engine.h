/* What the files of this folder share: the database, transactions, tables' states.
 *
 * Who may touch what:
 *	- fields marked (w) belong to the holder of the writer lock;
 *	- snapshots.c's slots and ring are lock-free, see there;
 *	- the registry of tables has its own mutex;
 *	- a transaction's fields belong to the one thread that is using it. */
#ifndef KV_ENGINE_ENGINE_H
#define KV_ENGINE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <kv/kv.h>

#include "btree/tree.h"
#include "engine/defer.h"
#include "engine/idle.h"
#include "engine/lock.h"
#include "engine/reclaim.h"
#include "engine/snapshot.h"
#include "mmap/store.h"

/* Table ids are never used twice, so an id below a snapshot's next_table that the snapshot's
 * catalog does not have has been dropped. */
struct kv_table {
	kv_db *db;
	uint64_t id;
	uint32_t slot; /* index in the registry and in every transaction's states */
};

struct registry {
	pthread_mutex_t mutex;
	struct kv_table **tables; /* by slot */
	uint32_t *by_id;          /* slots, sorted by table id */
	uint32_t count, room;
};

struct kv_db {
	struct mem mem;
	struct store *store;
	const uint32_t *alive; /* 1; a page that reads 0 in a forked child */
	kv_options options;    /* with the defaults filled in */
	struct writer_lock lock;
	struct snapshots snapshots;
	struct registry registry;
	struct tree_stats stats;
	_Atomic uint64_t checkpoints;
	_Atomic uint64_t durable; /* (w) newest transaction that is on stable storage */
	_Atomic uint64_t held;    /* pages that the reclaimer holds, for kv_info */

	struct snapshot tip; /* (w) the newest committed state */
	uint64_t next_table; /* (w) */
	uint64_t *unflushed; /* (w) ids of tables whose root in tip is a frame */
	size_t unflushed_count, unflushed_room;
	struct reclaim reclaim; /* (w) */
	struct kv_txn *writer;  /* (w) the one write transaction's memory, used again and again */
	struct idle idle;
};

/* A table as one transaction sees it. */
struct table_state {
	struct tree tree;
	struct defer defer; /* writer: operations not applied yet */
	kv_table *table;
	uint64_t stamp; /* the transaction's stamp for which this is loaded */
	int missing;    /* KV_OK, or KV_NO_TABLE / KV_DROPPED */
	bool dirty;     /* (w) record must be written to the catalog */
	void *reserved; /* (w) kv_reserve's buffer for a large value, and what it is for */
	size_t reserved_size, reserved_key_size;
};

enum txn_kind { TXN_FREE = 0, TXN_READER, TXN_WRITER };

struct kv_txn {
	kv_db *db;
	_Atomic uint8_t kind; /* enum txn_kind */
	int error;            /* the first error: sticks */
	int durability;
	uint64_t id;
	uint64_t stamp;           /* changes whenever the states below no longer hold */
	struct reader *reader;    /* reader: its slot */
	struct snapshot snapshot; /* reader: what it reads; writer: what it began from */
	struct tree catalog;
	uint64_t next_table;
	struct table_state **states; /* by table slot; kept from one transaction to the next */
	uint32_t state_room;
	struct table_state **touched; /* those that this transaction has loaded */
	uint32_t touched_count, touched_room;
	struct defer_pool pool;        /* (w) */
	uint32_t dirty_count;          /* (w) */
	struct ledger ledger;          /* (w) */
	struct table_state *reserving; /* (w) the one with an unfinished kv_reserve */
	struct key_buffer *keys;       /* (w) memory for cursors' keys, freed at the end */
};

struct key_buffer {
	struct key_buffer *next;
	const void *owner; /* the cursor that saves its key here, or NULL */
	size_t size;
	uint8_t bytes[];
};

/* The catalog's record of a table: value of key 'T' + id (big endian). The root is read and written
 * atomically; in the file it is always a file id. */
struct table_record {
	uint64_t root;
	uint64_t count;
	uint64_t empty_since;
	uint32_t height;
	uint32_t flags;
	uint64_t reserved[4];
};
_Static_assert(sizeof(struct table_record) == 64, "table record");
#define RECORD_HAS_LARGE 1u

/* ---- txn.c ---------------------------------------------------------------------------------- */

/* Notes the first error of a transaction and returns rc. */
int txn_fail(kv_txn *txn, int rc);

/* The door of every call: is the transaction usable, does the table exist in it? */
int txn_enter(kv_txn *txn, kv_table *table, struct table_state **state);
/* The same for writes. */
int txn_enter_write(kv_txn *txn, kv_table *table, struct table_state **state);
/* The same for reads: a writer's deferred operations on the table are applied first. */
int txn_enter_read(kv_txn *txn, kv_table *table, struct table_state **state);
/* Checks without a table. */
int txn_check(kv_txn *txn);

/* After a write: spills when the arena is full. */
int txn_pressure(kv_txn *txn);

/* Memory for a key until the writer's end. owner: who may use it again, or NULL. NULL: KV_NOMEM. */
struct key_buffer *txn_key_buffer(kv_txn *txn, size_t size, const void *owner);
int txn_apply(kv_txn *txn, struct table_state *state);

/* A transaction that only deletes may use the pages kept back for that (R6); this one adds. */
static inline void txn_adds(kv_txn *txn)
{
	txn->ledger.reserve = false;
}

/* Frames that a checkpoint would write: those in use that nobody has replaced. (w) */
static inline uint64_t db_dirty_frames(const kv_db *db)
{
	return db->store->arena.used - db->reclaim.frames;
}

static inline bool db_alive(const kv_db *db)
{
	return *(const volatile uint32_t *)db->alive == 1;
}

/* Is the handle usable here? KV_INVALID: NULL. KV_FORKED. */
int db_check(const kv_db *db);
void db_log(const kv_db *db, int level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* ---- catalog.c ------------------------------------------------------------------------------ */

int catalog_load(kv_txn *txn, struct table_state *state);
int catalog_store(kv_txn *txn, struct table_state *state);
int catalog_record(const struct tree *catalog, uint64_t id, struct table_record *record);
int catalog_set_root(struct tree *catalog, uint64_t id, page_id root);
void catalog_tree(kv_db *db, const struct snapshot *snapshot, struct ledger *ledger,
                  struct tree *tree);
void registry_free(kv_db *db);
int registry_find(kv_db *db, uint64_t id, kv_table **table);
int txn_state(kv_txn *txn, kv_table *table, struct table_state **state);
/* Every table of the catalog. */
int catalog_each(const struct tree *catalog,
                 int (*fn)(void *arg, const char *name, uint64_t id,
                           const struct table_record *record),
                 void *arg);

/* ---- checkpoint.c ---------------------------------------------------------------------------- */

/* Writes all frames reachable from the catalog (a tree of the ledger's transaction) to the file and
 * makes that state durable as transaction ledger->txn. tables: ids of those that may have frames.
 * On success the ledger holds what was replaced, and snapshot is what to publish. */
int checkpoint_write(kv_db *db, struct tree *catalog, struct ledger *ledger, const uint64_t *tables,
                     size_t count, uint64_t next_table, struct snapshot *snapshot);
/* Makes the tip durable. The caller holds the writer lock. */
int checkpoint_tip(kv_db *db);
/* Publishes, hands the ledger's retired pages to the reclaimer, empties the ledger, reclaims. */
void db_reclaim(kv_db *db);
void checkpoint_publish(kv_db *db, struct ledger *ledger, const struct snapshot *snapshot);

#endif
