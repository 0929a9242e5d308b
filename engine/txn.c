/* Transactions: begin, the door that every call comes through, commit, abort.
 *
 * A writer's commit, top to bottom: apply what was deferred; write the changed tables' records to
 * the catalog; then, for KV_IMMEDIATE, a checkpoint of the new state (there is no log yet), else
 * publishing alone. Until it is published nobody has seen any of it, so an abort at any point is
 * giving back what the ledger took. */
#include "engine/engine.h"

#include <string.h>

#define FEW_FRAMES 256 /* too few to make a checkpoint for the sake of space */

/* ---- errors -------------------------------------------------------------------------------- */

int txn_fail(kv_txn *txn, int rc)
{
	bool refused = rc == KV_READ_ONLY || rc == KV_INVALID || rc == KV_TOO_BIG || rc == KV_NO_TABLE ||
	               rc == KV_DROPPED || rc == KV_ORDER;

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
	kv_slice value = kv_bytes((uint8_t *)state->reserved + key.size, state->reserved_size - key.size);
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
		_Atomic(const void *) *owner = &txn->db->lock.owner;

		/* It may have moved to another thread, which is the one that must not begin another. */
		if (atomic_load_explicit(owner, memory_order_relaxed) != writer_lock_self())
			atomic_store_explicit(owner, writer_lock_self(), memory_order_relaxed);
		if (txn->reserving)
			return finish_reserve(txn);
	}
	return KV_OK;
}

static int grow_states(kv_txn *txn, uint32_t slot)
{
	uint32_t room = txn->state_room ? txn->state_room : 8;
	struct table_state **grown;

	while (room <= slot)
		room *= 2;
	grown = mem_resize(&txn->db->mem, txn->states, txn->state_room * sizeof(struct table_state *),
	                   room * sizeof(struct table_state *));
	if (!grown)
		return status_fail(KV_NOMEM, "no memory for a table's state");
	memset(grown + txn->state_room, 0, (room - txn->state_room) * sizeof(struct table_state *));
	txn->states = grown;
	txn->state_room = room;
	return KV_OK;
}

static int load_state(kv_txn *txn, kv_table *table)
{
	struct table_state *state;
	int rc = table->slot < txn->state_room ? KV_OK : grow_states(txn, table->slot);

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
	return catalog_load(txn, state);
}

int txn_enter(kv_txn *txn, kv_table *table, struct table_state **state)
{
	int rc = txn_check(txn);

	if (rc)
		return rc;
	if (!table || table->db != txn->db)
		return txn_fail(txn, status_fail(KV_INVALID, table ? "the table belongs to another database"
		                                                   : "the table is NULL"));
	if (table->slot >= txn->state_room || !txn->states[table->slot] ||
	    txn->states[table->slot]->stamp != txn->stamp) {
		rc = load_state(txn, table);
		if (rc)
			return txn_fail(txn, rc);
	}
	*state = txn->states[table->slot];
	if ((*state)->missing)
		return txn_fail(txn, status_fail((*state)->missing, (*state)->missing == KV_DROPPED
		                                                            ? "the table has been dropped"
		                                                            : "the table is newer than the snapshot"));
	return KV_OK;
}

int txn_enter_write(kv_txn *txn, kv_table *table, struct table_state **state)
{
	int rc = txn_check(txn);

	if (rc)
		return rc;
	if (txn->kind != TXN_WRITER)
		return txn_fail(txn, status_fail(KV_READ_ONLY, "a reader cannot write"));
	rc = txn_enter(txn, table, state);
	if (!rc && !(*state)->dirty) {
		(*state)->dirty = true;
		txn->dirty_count++;
	}
	return rc;
}

int txn_enter_read(kv_txn *txn, kv_table *table, struct table_state **state)
{
	int rc = txn_enter(txn, table, state);

	if (!rc && defer_pending(&(*state)->defer))
		rc = txn_apply(txn, *state);
	return rc;
}

int txn_apply(kv_txn *txn, struct table_state *state)
{
	int rc = defer_apply(&state->defer, &state->tree);

	if (!rc)
		rc = txn_pressure(txn);
	return txn_fail(txn, rc);
}

/* Writes the transaction's trees to the file when they have filled the arena (R14). */
int txn_pressure(kv_txn *txn)
{
	const struct arena *arena = &txn->db->store->arena;
	int rc = KV_OK;

	if (arena->used < arena->limit)
		return KV_OK;
	for (uint32_t i = 0; i < txn->state_room && !rc; i++) {
		struct table_state *state = txn->states[i];

		if (state && state->stamp == txn->stamp && page_is_frame(state->tree.root))
			rc = tree_spill(&state->tree);
	}
	atomic_fetch_add_explicit(&txn->db->spills, 1, memory_order_relaxed);
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
	catalog_tree(db, &txn->snapshot, NULL, &txn->catalog);
	txn->kind = TXN_READER;
	*result = txn;
	return KV_OK;
}

/* The file holds what is live, what readers pin, and for a moment both versions of what a checkpoint
 * writes. Where readers pin much already, checkpoints are made small. */
static bool space_short(const kv_db *db)
{
	const struct space *space = &db->store->space;
	uint64_t pinned = db->reclaim.pinned, dirty = db->store->arena.used;
	uint64_t live = space->pages - space->tip_count;

	return dirty >= FEW_FRAMES && pinned >= live / 4 && pinned + dirty > live + live / 10;
}

static bool arena_short(const struct arena *arena)
{
	return arena->used >= arena->limit - arena->limit / 4;
}

/* With the lock held: makes room in the arena before the transaction begins, where it may take as
 * long as it takes (R14); what readers hold cannot be had (R15). */
static int make_room(kv_db *db)
{
	const struct arena *arena = &db->store->arena;
	uint64_t oldest = 0;
	int rc;

	reclaim_run(&db->reclaim, db->durable);
	if (!arena_short(arena) && !space_short(db))
		return KV_OK;
	rc = checkpoint_tip(db);
	if (rc)
		return rc;
	if (arena->used < arena->limit + (arena->room - arena->limit) / 2)
		return KV_OK;
	snapshot_readers(&db->snapshots, &oldest);
	return status_fail(KV_READERS, "readers hold %llu changed pages in memory; the oldest reads transaction %llu",
	                   (unsigned long long)arena->used, (unsigned long long)oldest);
}

static int begin_writer(kv_db *db, uint64_t timeout_us, int durability, kv_txn **result)
{
	kv_txn *txn = db->writer;
	int rc;

	if (db->store->read_only)
		return status_fail(KV_READ_ONLY, "the database was opened read-only");
	rc = writer_lock_take(&db->lock, timeout_us);
	if (rc)
		return rc;
	if (db->store->failed)
		rc = status_fail(KV_FAILED, "a write or sync failed earlier (%s): reads only, until reopened",
		                 kv_strerror(db->store->failed));
	if (!rc)
		rc = make_room(db);
	if (rc) {
		writer_lock_give(&db->lock);
		return rc;
	}
	txn->error = KV_OK;
	txn->large = false;
	txn->durability = durability;
	txn->id = (db->tip.txn + 2) & ~UINT64_C(1);
	txn->stamp++;
	txn->snapshot = db->tip;
	txn->next_table = db->next_table;
	txn->dirty_count = 0;
	txn->ledger.txn = txn->id;
	txn->ledger.reserve = true; /* until it adds something */
	txn->kind = TXN_WRITER;
	catalog_tree(db, &db->tip, &txn->ledger, &txn->catalog);
	*result = txn;
	return KV_OK;
}

static int check_db(kv_db *db)
{
	if (!db)
		return status_fail(KV_INVALID, "the database is NULL");
	if (!db_alive(db))
		return status_fail(KV_FORKED, "the database was opened by a parent process");
	return KV_OK;
}

int kv_begin_write(kv_db *db, uint64_t timeout_us, int durability, kv_txn **txn)
{
	int rc = check_db(db);

	if (rc)
		return rc;
	if (durability == KV_DURABILITY_DEFAULT)
		durability = (int)db->options.durability;
	if (!txn || (durability != KV_IMMEDIATE && durability != KV_NONE))
		return status_fail(KV_INVALID, txn ? "unknown durability %d" : "txn is NULL (%d)", durability);
	return begin_writer(db, timeout_us, durability, txn);
}

int kv_begin(kv_db *db, unsigned flags, kv_txn **txn)
{
	int rc = check_db(db);

	if (rc)
		return rc;
	if (!txn || flags & ~(unsigned)(KV_WRITE | KV_TRY) || flags == KV_TRY)
		return status_fail(KV_INVALID, "kv_begin: txn is NULL or the flags make no sense (%u)", flags);
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

/* ---- end ----------------------------------------------------------------------------------- */

static void end_writer(kv_txn *txn)
{
	kv_db *db = txn->db;

	for (uint32_t i = 0; i < txn->state_room; i++) {
		struct table_state *state = txn->states[i];

		if (!state)
			continue;
		defer_drop(&state->defer, db->store);
		mem_free(&db->mem, state->reserved, state->reserved_size);
		state->reserved = NULL;
	}
	txn->reserving = NULL;
	while (txn->keys) {
		struct key_buffer *next = txn->keys->next;

		mem_free(&db->mem, txn->keys, sizeof *txn->keys + txn->keys->size);
		txn->keys = next;
	}
	txn->kind = TXN_FREE;
	writer_lock_give(&db->lock);
}

static void undo(kv_txn *txn)
{
	store_ledger_undo(txn->db->store, &txn->ledger);
}

static int store_records(kv_txn *txn)
{
	int rc = KV_OK;

	for (uint32_t i = 0; i < txn->state_room && !rc; i++) {
		struct table_state *state = txn->states[i];

		if (!state || state->stamp != txn->stamp || state->missing || !state->dirty)
			continue;
		if (defer_pending(&state->defer))
			rc = txn_apply(txn, state);
		if (!rc)
			rc = catalog_store(txn, state);
	}
	return rc;
}

static int note_unflushed(kv_db *db, uint64_t id)
{
	size_t room = db->unflushed_room ? 2 * db->unflushed_room : 16;
	uint64_t *grown;

	for (size_t i = 0; i < db->unflushed_count; i++)
		if (db->unflushed[i] == id)
			return KV_OK;
	if (db->unflushed_count == db->unflushed_room) {
		grown = mem_resize(&db->mem, db->unflushed, db->unflushed_room * sizeof *grown, room * sizeof *grown);
		if (!grown)
			return status_fail(KV_NOMEM, "no memory to list changed tables");
		db->unflushed = grown;
		db->unflushed_room = room;
	}
	db->unflushed[db->unflushed_count++] = id;
	return KV_OK;
}

/* Ids of the tables that may have frames once this transaction is committed. Listing one that the
 * transaction then fails to commit is harmless. */
static int note_dirty(kv_txn *txn)
{
	int rc = KV_OK;

	for (uint32_t i = 0; i < txn->state_room && !rc; i++) {
		const struct table_state *state = txn->states[i];

		if (state && state->stamp == txn->stamp && !state->missing && page_is_frame(state->tree.root))
			rc = note_unflushed(txn->db, state->table->id);
	}
	return rc;
}

static int commit_volatile(kv_txn *txn, struct snapshot *snapshot)
{
	kv_db *db = txn->db;
	int rc = reclaim_reserve(&db->reclaim, txn->ledger.retired_count);

	if (!rc)
		rc = store_ledger_apply(db->store, &txn->ledger);
	if (rc)
		return rc;
	snapshot->txn = txn->id;
	snapshot->catalog_root = txn->catalog.root;
	snapshot->catalog_count = txn->catalog.count;
	snapshot->catalog_height = txn->catalog.height;
	snapshot->next_table = txn->next_table;
	snapshot->system_root = db->tip.system_root;
	return KV_OK;
}

static int commit_writer(kv_txn *txn)
{
	kv_db *db = txn->db;
	bool durable = (txn->durability == KV_IMMEDIATE || txn->large) && !db->store->in_memory;
	struct snapshot snapshot;
	int rc = store_records(txn);

	if (rc)
		return rc;
	if (!txn->catalog.generation && !txn->ledger.retired_count && !txn->ledger.frame_count)
		return KV_OK; /* nothing was written */
	rc = note_dirty(txn);
	if (rc)
		return rc;
	if (durable)
		rc = checkpoint_write(db, &txn->catalog, &txn->ledger, db->unflushed, db->unflushed_count,
		                      txn->next_table, &snapshot);
	else
		rc = commit_volatile(txn, &snapshot);
	if (rc)
		return rc;
	if (durable) {
		db->durable = snapshot.txn;
		db->unflushed_count = 0;
	}
	checkpoint_publish(db, &txn->ledger, &snapshot);
	return KV_OK;
}

int kv_commit(kv_txn *txn)
{
	int rc;

	if (!txn)
		return KV_OK;
	if (txn->kind == TXN_READER)
		return kv_end(txn);
	rc = txn_check(txn);
	if (txn->kind == TXN_FREE || rc == KV_FORKED)
		return rc;
	if (!rc)
		rc = commit_writer(txn);
	if (rc)
		undo(txn);
	end_writer(txn);
	return rc;
}

int kv_end(kv_txn *txn)
{
	int rc;

	if (!txn)
		return KV_OK;
	rc = txn_check(txn);
	if (txn->kind == TXN_FREE || rc == KV_FORKED)
		return rc;
	rc = txn->error;
	if (txn->kind == TXN_READER) {
		txn->kind = TXN_FREE;
		reader_release(txn->reader);
		return rc;
	}
	undo(txn);
	end_writer(txn);
	return rc;
}

void kv_abort(kv_txn *txn)
{
	kv_end(txn);
}

int kv_update(kv_db *db, int (*fn)(kv_txn *txn, void *arg), void *arg)
{
	kv_txn *txn;
	int rc, commit;

	if (!fn)
		return status_fail(KV_INVALID, "kv_update: fn is NULL");
	rc = kv_begin(db, KV_WRITE, &txn);
	if (rc)
		return rc;
	rc = fn(txn, arg);
	if (rc < 0) {
		kv_abort(txn);
		return rc;
	}
	commit = kv_commit(txn);
	return commit ? commit : rc;
}

int kv_view(kv_db *db, int (*fn)(kv_txn *txn, void *arg), void *arg)
{
	kv_txn *txn;
	int rc, end;

	if (!fn)
		return status_fail(KV_INVALID, "kv_view: fn is NULL");
	rc = kv_begin(db, KV_READ, &txn);
	if (rc)
		return rc;
	rc = fn(txn, arg);
	end = kv_end(txn);
	return rc < 0 || !end ? rc : end;
}
