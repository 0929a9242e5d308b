/* The end of transactions: commit, abort, and the helpers that do both.
 *
 * A writer's commit, top to bottom: apply what was deferred; write the changed tables' records to
 * the catalog; then, for KV_IMMEDIATE, a checkpoint of the new state (there is no log yet), else
 * publishing alone. Until it is published nobody has seen any of it, so an abort at any point is
 * giving back what the ledger took. */
#include <string.h>

#include "engine/engine.h"

static void end_writer(kv_txn *txn)
{
	kv_db *db = txn->db;

	for (uint32_t i = 0; i < txn->touched_count; i++) {
		struct table_state *state = txn->touched[i];

		defer_drop(&state->defer, &txn->pool, &db->mem);
		mem_free(&db->mem, state->reserved, state->reserved_size);
		state->reserved = NULL;
	}
	defer_pool_close(&txn->pool, db->store);
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

static int apply_all(kv_txn *txn)
{
	int rc = KV_OK;

	for (uint32_t i = 0; i < txn->touched_count && !rc; i++) {
		struct table_state *state = txn->touched[i];

		if (!defer_pending(&state->defer))
			continue;
		rc = txn_apply(txn, state);
		if (!rc)
			rc = txn_pressure(txn);
	}
	return rc;
}

/* Only when all is applied: applying one table may spill another, and move its root. */
static int store_records(kv_txn *txn)
{
	int rc = apply_all(txn);

	for (uint32_t i = 0; i < txn->touched_count && !rc; i++)
		if (txn->touched[i]->dirty && !txn->touched[i]->missing)
			rc = catalog_store(txn, txn->touched[i]);
	return rc;
}

/* Did it go past the arena? Then its commit is a checkpoint (R5). */
static bool has_spilled(const kv_txn *txn)
{
	for (uint32_t i = 0; i < txn->touched_count; i++)
		if (txn->touched[i]->tree.spilled)
			return true;
	return false;
}

static int note_unflushed(kv_db *db, uint64_t id)
{
	size_t room = db->unflushed_room ? 2 * db->unflushed_room : 16;
	size_t low = 0, high = db->unflushed_count;
	uint64_t *grown;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (db->unflushed[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < db->unflushed_count && db->unflushed[low] == id)
		return KV_OK;
	if (db->unflushed_count == db->unflushed_room) {
		grown = mem_resize(&db->mem, db->unflushed, db->unflushed_room * sizeof *grown,
		                   room * sizeof *grown);
		if (!grown)
			return status_fail(KV_NOMEM, "no memory to list changed tables");
		db->unflushed = grown;
		db->unflushed_room = room;
	}
	memmove(db->unflushed + low + 1, db->unflushed + low,
	        (db->unflushed_count - low) * sizeof *db->unflushed);
	db->unflushed[low] = id;
	db->unflushed_count++;
	return KV_OK;
}

/* Ids of the tables that may have frames once this transaction is committed. Listing one that the
 * transaction then fails to commit is harmless. */
static int note_dirty(kv_txn *txn)
{
	int rc = KV_OK;

	for (uint32_t i = 0; i < txn->touched_count && !rc; i++) {
		const struct table_state *state = txn->touched[i];

		if (!state->missing && page_is_frame(state->tree.root))
			rc = note_unflushed(txn->db, state->table->id);
	}
	return rc;
}

static int commit_volatile(kv_txn *txn, struct snapshot *snapshot)
{
	kv_db *db = txn->db;
	/* What is accepted here a checkpoint must be able to write: space fails now or never. */
	int rc = store_ensure_usable(db->store, db_dirty_frames(db), txn->ledger.reserve);

	if (!rc)
		rc = reclaim_reserve(&db->reclaim, txn->ledger.retired_count);
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
	struct snapshot snapshot;
	bool durable;
	int rc = store_records(txn);

	if (rc)
		return rc;
	durable = (txn->durability == KV_IMMEDIATE || has_spilled(txn)) && !db->store->in_memory;
	if (!txn->catalog.generation && !txn->ledger.retired_count && !txn->ledger.frame_count &&
	    !txn->ledger.run_count)
		return durable ? checkpoint_tip(db) : KV_OK; /* nothing was written */
	rc = note_dirty(txn);
	if (rc)
		return rc;
	if (durable)
		rc = checkpoint_write(db, &txn->catalog, &txn->ledger, db->unflushed,
		                      db->unflushed_count, txn->next_table, &snapshot);
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
