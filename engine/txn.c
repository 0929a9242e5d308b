/* Transactions: the door that every call comes through, and begin. Their end is in commit.c. */
#include "engine/engine.h"

#include <string.h>

#define FEW_FRAMES 64   /* too few to make a checkpoint for the sake of space */
#define MANY_PAGES 4096 /* enough to make one, in a small database */

/* ---- errors -------------------------------------------------------------------------------- */

int txn_fail(kv_txn *txn, int rc)
{
	bool refused = rc == KV_READ_ONLY || rc == KV_INVALID || rc == KV_TOO_BIG ||
	               rc == KV_NO_TABLE || rc == KV_DROPPED || rc == KV_ORDER;

	if (!txn || txn->kind == TXN_FREE)
		return rc;
	/* A refusal changes nothing in a reader: it has no commit to spoil. */
	if (rc < 0 && !txn->error && !(refused && txn->kind == TXN_READER))
		txn->error = rc;
	return rc;
}

/* ---- the door ------------------------------------------------------------------------------ */

static int finish_reserve(kv_txn *txn)
{
	struct table_state *state = txn->reserving;
	kv_slice key = kv_bytes(state->reserved, state->reserved_key_size);
	kv_slice value = kv_bytes((uint8_t *)state->reserved + key.size,
	                          state->reserved_size - key.size);
	int rc = tree_put(&state->tree, key, value, TREE_PUT, NULL, NULL);

	txn->reserving = NULL;
	mem_free(&txn->db->mem, state->reserved, state->reserved_size);
	state->reserved = NULL;
	return txn_fail(txn, rc);
}

int txn_check(kv_txn *txn)
{
	if (!txn)
		return status_fail(KV_INVALID, "the transaction is NULL");
	if (txn->kind == TXN_FREE)
		return status_fail(KV_ENDED, "the transaction has ended");
	if (!db_alive(txn->db))
		return status_fail(KV_FORKED, "the database was opened by a parent process");
	if (txn->error)
		return txn->error;
	if (txn->kind == TXN_WRITER) {
		_Atomic uint64_t *owner = &txn->db->lock.owner;

		/* It may have moved to another thread: that one must not begin another. */
		if (atomic_load_explicit(owner, memory_order_relaxed) != writer_lock_self())
			atomic_store_explicit(owner, writer_lock_self(), memory_order_relaxed);
		if (txn->reserving)
			return finish_reserve(txn);
	}
	return KV_OK;
}

struct key_buffer *txn_key_buffer(kv_txn *txn, size_t size, const void *owner)
{
	struct key_buffer *buffer = mem_resize(&txn->db->mem, NULL, 0, sizeof *buffer + size);

	if (!buffer)
		return NULL;
	buffer->size = size;
	buffer->owner = owner;
	buffer->next = txn->keys;
	txn->keys = buffer;
	return buffer;
}

static int grow_states(kv_txn *txn, uint32_t slot)
{
	uint32_t room = txn->state_room ? txn->state_room : 8;
	struct table_state **grown;

	while (room <= slot)
		room *= 2;
	grown = mem_resize(&txn->db->mem, txn->states,
	                   txn->state_room * sizeof(struct table_state *),
	                   room * sizeof(struct table_state *));
	if (!grown)
		return status_fail(KV_NOMEM, "no memory for a table's state");
	memset(grown + txn->state_room, 0, (room - txn->state_room) * sizeof(struct table_state *));
	txn->states = grown;
	txn->state_room = room;
	return KV_OK;
}

static int grow_touched(kv_txn *txn)
{
	uint32_t room = txn->touched_room ? 2 * txn->touched_room : 8;
	struct table_state **grown;

	if (txn->touched_count < txn->touched_room)
		return KV_OK;
	grown = mem_resize(&txn->db->mem, txn->touched,
	                   txn->touched_room * sizeof(struct table_state *),
	                   room * sizeof(struct table_state *));
	if (!grown)
		return status_fail(KV_NOMEM, "no memory for a table's state");
	txn->touched = grown;
	txn->touched_room = room;
	return KV_OK;
}

static int load_state(kv_txn *txn, kv_table *table)
{
	struct table_state *state;
	int rc = table->slot < txn->state_room ? KV_OK : grow_states(txn, table->slot);

	if (!rc)
		rc = grow_touched(txn);
	if (rc)
		return rc;
	state = txn->states[table->slot];
	if (!state) {
		state = mem_new(&txn->db->mem, sizeof *state);
		if (!state)
			return status_fail(KV_NOMEM, "no memory for a table's state");
		state->table = table;
		txn->states[table->slot] = state;
	}
	rc = catalog_load(txn, state);
	if (!rc)
		txn->touched[txn->touched_count++] = state;
	return rc;
}

int txn_enter(kv_txn *txn, kv_table *table, struct table_state **state)
{
	int rc = txn_check(txn);

	if (rc)
		return rc;
	if (!table || table->db != txn->db)
		return txn_fail(
		        txn, status_fail(KV_INVALID, table ? "the table belongs to another database"
		                                           : "the table is NULL"));
	if (table->slot >= txn->state_room || !txn->states[table->slot] ||
	    txn->states[table->slot]->stamp != txn->stamp) {
		rc = load_state(txn, table);
		if (rc)
			return txn_fail(txn, rc);
	}
	*state = txn->states[table->slot];
	if ((*state)->missing)
		return txn_fail(txn, status_fail((*state)->missing,
		                                 (*state)->missing == KV_DROPPED
		                                         ? "the table has been dropped"
		                                         : "the table is newer than the snapshot"));
	return KV_OK;
}

static void mark_dirty(kv_txn *txn, struct table_state *state)
{
	txn->dirty_count += !state->dirty;
	state->dirty = true;
}

int txn_enter_write(kv_txn *txn, kv_table *table, struct table_state **state)
{
	int rc = txn_check(txn);

	if (rc)
		return rc;
	if (txn->kind != TXN_WRITER)
		return txn_fail(txn, status_fail(KV_READ_ONLY, "a reader cannot write"));
	rc = txn_enter(txn, table, state);
	if (!rc)
		mark_dirty(txn, *state);
	return rc;
}

int txn_enter_read(kv_txn *txn, kv_table *table, struct table_state **state)
{
	int rc = txn_enter(txn, table, state);

	if (!rc && defer_pending(&(*state)->defer))
		rc = txn_apply(txn, *state);
	return rc;
}

/* No pressure here: reads come this way too, and a spill would take away the frames under slices
 * of other tables that the caller still looks at, or is just passing in. */
int txn_apply(kv_txn *txn, struct table_state *state)
{
	return txn_fail(txn, defer_apply(&state->defer, &txn->pool, &state->tree));
}

/* Writes the transaction's trees to the file when they have filled the arena (R14). A table that
 * was only read may have frames too, of an earlier commit: it is changed by that, and so dirty. */
int txn_pressure(kv_txn *txn)
{
	int rc = KV_OK;

	if (txn->db->store->arena.used < txn->ledger.spill_at)
		return KV_OK;
	for (uint32_t i = 0; i < txn->touched_count && !rc; i++) {
		struct table_state *state = txn->touched[i];

		if (state->missing || !page_is_frame(state->tree.root))
			continue;
		rc = tree_spill(&state->tree);
		if (!rc)
			mark_dirty(txn, state);
	}
	return txn_fail(txn, rc);
}

/* ---- begin --------------------------------------------------------------------------------- */

static int begin_reader(kv_db *db, kv_txn **result)
{
	struct reader *reader = reader_take(&db->snapshots);
	kv_txn *txn;

	if (!reader)
		return status_fail(KV_NOMEM, "no memory for a reader's slot");
	txn = reader->txn;
	if (!txn) {
		txn = mem_new(&db->mem, sizeof *txn);
		if (!txn) {
			reader_release(reader);
			return status_fail(KV_NOMEM, "no memory for a reader");
		}
		txn->db = db;
		txn->reader = reader;
		reader->txn = txn;
	}
	txn->stamp = reader_pin(&db->snapshots, reader, &txn->snapshot);
	txn->id = txn->snapshot.txn;
	txn->next_table = txn->snapshot.next_table;
	txn->error = KV_OK;
	txn->touched_count = 0;
	catalog_tree(db, &txn->snapshot, NULL, &txn->catalog);
	txn->kind = TXN_READER;
	*result = txn;
	return KV_OK;
}

/* The file holds what is live, what readers pin, what the next checkpoint will free, and for a
 * moment both versions of what that writes. Where readers pin much, checkpoints are made small;
 * where much waits for one, or more than is left to the limit, it comes. */
static bool space_short(const kv_db *db, uint64_t dirty)
{
	const struct reclaim *reclaim = &db->reclaim;
	const struct space *space = &db->store->space;
	uint64_t live = space->pages - space->tip_count;
	uint64_t left = space->usable_count + (db->store->limit_pages - space->pages);

	if (reclaim->undurable_pages > live / 4 + MANY_PAGES || reclaim->undurable_pages > left)
		return true;
	return dirty >= FEW_FRAMES && reclaim->pinned >= live / 4 &&
	       reclaim->pinned + dirty > live + live / 10;
}

/* With the lock held: makes room in the arena before the transaction begins, where it may take as
 * long as it takes (R14); what readers hold cannot be had (R15). */
static int make_room(kv_db *db)
{
	const struct arena *arena = &db->store->arena;
	uint64_t dirty, oldest = 0;
	int rc = KV_OK;

	db_reclaim(db);
	dirty = db_dirty_frames(db);
	if (dirty >= arena->limit || space_short(db, dirty))
		rc = checkpoint_tip(db);
	if (rc || arena->used < arena->limit + (arena->room - arena->limit) / 2)
		return rc;
	snapshot_readers(&db->snapshots, &oldest);
	return status_fail(
	        KV_READERS,
	        "readers hold %llu changed pages in memory; the oldest reads transaction %llu",
	        (unsigned long long)db->reclaim.frames, (unsigned long long)oldest);
}

/* A share of the arena is the transaction's own, whatever readers hold of the rest. */
static uint64_t spill_limit(const struct arena *arena)
{
	uint64_t least = arena->used + arena->limit / 8;

	return arena->limit > least ? arena->limit : least;
}

static int begin_writer(kv_db *db, uint64_t timeout_us, int durability, kv_txn **result)
{
	kv_txn *txn = db->writer;
	int rc;

	if (db->store->read_only)
		return status_fail(KV_READ_ONLY, "the database was opened read-only");
	/* The idle thread holds the lock for a moment only: it must not make a try fail. */
	if (!timeout_us && atomic_load(&db->idle.busy))
		timeout_us = IDLE_PATIENCE_US;
	rc = writer_lock_take(&db->lock, timeout_us);
	if (rc)
		return rc;
	if (db->store->failed)
		rc = status_fail(KV_FAILED,
		                 "a write or sync failed earlier (%s): reads only, until reopened",
		                 kv_strerror(db->store->failed));
	if (!rc)
		rc = make_room(db);
	if (rc) {
		writer_lock_give(&db->lock);
		return rc;
	}
	txn->error = KV_OK;
	txn->touched_count = 0;
	txn->durability = durability;
	txn->id = (db->tip.txn + 2) & ~UINT64_C(1);
	txn->stamp++;
	txn->snapshot = db->tip;
	txn->next_table = db->next_table;
	txn->dirty_count = 0;
	txn->ledger.txn = txn->id;
	txn->ledger.spill_at = spill_limit(&db->store->arena);
	txn->ledger.reserve = true; /* until it adds something */
	txn->kind = TXN_WRITER;
	catalog_tree(db, &db->tip, &txn->ledger, &txn->catalog);
	*result = txn;
	return KV_OK;
}

int kv_begin_write(kv_db *db, uint64_t timeout_us, int durability, kv_txn **txn)
{
	int rc = db_check(db);

	if (rc)
		return rc;
	if (durability == KV_DURABILITY_DEFAULT)
		durability = (int)db->options.durability;
	if (!txn || (durability != KV_IMMEDIATE && durability != KV_NONE))
		return status_fail(KV_INVALID, txn ? "unknown durability %d" : "txn is NULL (%d)",
		                   durability);
	return begin_writer(db, timeout_us, durability, txn);
}

int kv_begin(kv_db *db, unsigned flags, kv_txn **txn)
{
	int rc = db_check(db);

	if (rc)
		return rc;
	if (!txn || flags & ~(unsigned)(KV_WRITE | KV_TRY) || flags == KV_TRY)
		return status_fail(KV_INVALID,
		                   "kv_begin: txn is NULL or the flags make no sense (%u)", flags);
	if (!(flags & KV_WRITE))
		return begin_reader(db, txn);
	return begin_writer(db, flags & KV_TRY ? 0 : UINT64_MAX, (int)db->options.durability, txn);
}

int kv_set_durability(kv_txn *txn, int durability)
{
	int rc = txn_check(txn);

	if (rc)
		return rc;
	if (txn->kind != TXN_WRITER)
		return txn_fail(txn, status_fail(KV_READ_ONLY, "a reader has no durability"));
	if (durability != KV_IMMEDIATE && durability != KV_NONE)
		return txn_fail(txn, status_fail(KV_INVALID, "unknown durability %d", durability));
	txn->durability = durability;
	return KV_OK;
}

uint64_t kv_txn_id(const kv_txn *txn)
{
	return txn && txn->kind != TXN_FREE ? txn->id : 0;
}
