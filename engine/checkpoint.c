/* Checkpoints: turning the frames of a state into file pages and making that state durable.
 *
 * For now the writer lock is held throughout, so that the state that is written is also the newest
 * one: after it no frame is reachable from the new snapshot, and nothing needs repointing. Older
 * readers go on using the frames, which are retired like replaced pages (R2). */
#include <string.h>

#include "engine/engine.h"

static int write_table(struct store_flush *flush, struct tree *catalog, uint64_t id,
                       struct tree_written *written)
{
	struct table_record record;
	page_id place;
	int rc = catalog_record(catalog, id, &record);

	if (rc == KV_NOT_FOUND)
		return KV_OK; /* dropped meanwhile */
	if (rc || !page_is_frame(record.root))
		return rc;
	rc = tree_write_back(catalog->store, flush, record.root, written, &place);
	return rc ? rc : catalog_set_root(catalog, id, place);
}

static int write_frames(kv_db *db, struct tree *catalog, struct ledger *ledger,
                        const uint64_t *tables, size_t count, struct tree_written *written,
                        page_id *root)
{
	struct store *store = db->store;
	struct store_flush flush;
	int rc = store_flush_begin(store, &flush, ledger, db_dirty_frames(db));

	if (rc)
		return rc;
	for (size_t i = 0; i < count && !rc; i++)
		rc = write_table(&flush, catalog, tables[i], written);
	*root = catalog->root;
	if (!rc && page_is_frame(catalog->root))
		rc = tree_write_back(store, &flush, catalog->root, written, root);
	return store_flush_end(&flush, rc);
}

int checkpoint_write(kv_db *db, struct tree *catalog, struct ledger *ledger, const uint64_t *tables,
                     size_t count, uint64_t next_table, struct snapshot *snapshot)
{
	struct store *store = db->store;
	struct tree_written written = {NULL, 0, 0};
	struct store_state state = {
	        .txn = ledger->txn, .next_table = next_table, .system_root = db->tip.system_root};
	int rc = write_frames(db, catalog, ledger, tables, count, &written, &state.catalog_root);

	rc = tree_retire_written(store, ledger, &written, rc);
	if (!rc)
		rc = reclaim_reserve(&db->reclaim, ledger->retired_count);
	if (!rc)
		rc = store_ledger_apply(store, ledger);
	if (rc)
		return rc;
	state.catalog_count = catalog->count;
	state.catalog_height = catalog->height;
	rc = store_checkpoint(store, &state);
	if (rc)
		return rc;
	atomic_fetch_add_explicit(&db->checkpoints, 1, memory_order_relaxed);
	*snapshot = (struct snapshot){
	        .txn = state.txn,
	        .catalog_root = state.catalog_root,
	        .catalog_count = state.catalog_count,
	        .catalog_height = state.catalog_height,
	        .next_table = next_table,
	        .system_root = state.system_root,
	};
	return KV_OK;
}

/* What is only in memory has nothing to be durable on: there, visible is enough. */
void db_reclaim(kv_db *db)
{
	reclaim_run(&db->reclaim, db->store->in_memory ? db->tip.txn : db->durable);
	atomic_store_explicit(&db->held, db->reclaim.pages, memory_order_relaxed);
}

void checkpoint_publish(kv_db *db, struct ledger *ledger, const struct snapshot *snapshot)
{
	db->tip = *snapshot;
	snapshot_publish(&db->snapshots, snapshot);
	reclaim_add(&db->reclaim, ledger->retired, ledger->retired_count, snapshot->txn);
	store_ledger_empty(db->store, ledger);
	db_reclaim(db);
	idle_watch(db);
}

int checkpoint_tip(kv_db *db)
{
	struct ledger ledger = {.txn = db->tip.txn + 1, .reserve = true};
	struct snapshot snapshot;
	struct tree catalog;
	int rc;

	if (db->tip.txn == db->durable)
		return KV_OK;
	catalog_tree(db, &db->tip, &ledger, &catalog);
	rc = checkpoint_write(db, &catalog, &ledger, db->unflushed, db->unflushed_count,
	                      db->tip.next_table, &snapshot);
	if (rc) {
		store_ledger_undo(db->store, &ledger);
	} else {
		db->durable = snapshot.txn;
		db->unflushed_count = 0;
		checkpoint_publish(db, &ledger, &snapshot);
	}
	store_ledger_free(db->store, &ledger);
	return rc;
}

static int locked_checkpoint(kv_db *db)
{
	int rc = db_check(db);

	if (rc || db->store->read_only)
		return rc;
	rc = writer_lock_take(&db->lock, UINT64_MAX);
	if (rc)
		return rc;
	rc = db->store->failed
	             ? status_fail(KV_FAILED,
	                           "a write or sync failed earlier: reads only, until reopened")
	             : checkpoint_tip(db);
	writer_lock_give(&db->lock);
	return rc;
}

int kv_sync(kv_db *db)
{
	return locked_checkpoint(db);
}

int kv_checkpoint(kv_db *db)
{
	return locked_checkpoint(db);
}
