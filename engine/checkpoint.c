/* Checkpoints: turning the frames of a state into file pages and making that state durable.
 *
 * For now the writer lock is held throughout, so that the state that is written is also the newest
 * one: after it no frame is reachable from the new snapshot, and nothing needs repointing. Older
 * readers go on using the frames, which are retired like replaced pages (R2). */
#include <string.h>

#include "engine/engine.h"

/* Frames that have been written; retired when the writing is over. */
struct flushed {
	const struct mem *mem;
	struct retired *frames;
	size_t count, room;
};

static int note_flushed(void *arg, page_id frame, page_id place, uint64_t birth)
{
	struct flushed *f = arg;

	(void)place;
	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 256;
		struct retired *grown = mem_resize(f->mem, f->frames, f->room * sizeof *grown, room * sizeof *grown);

		if (!grown)
			return status_fail(KV_NOMEM, "no memory to list %zu written pages", room);
		f->frames = grown;
		f->room = room;
	}
	f->frames[f->count++] = (struct retired){.id = frame, .count = 1, .birth = birth};
	return KV_OK;
}

static int write_table(struct store_flush *flush, struct tree *catalog, uint64_t id, struct flushed *flushed)
{
	struct table_record record;
	page_id place;
	int rc = catalog_record(catalog, id, &record);

	if (rc == KV_NOT_FOUND)
		return KV_OK; /* dropped meanwhile */
	if (rc || !page_is_frame(record.root))
		return rc;
	rc = tree_write_back(catalog->store, flush, record.root, note_flushed, flushed, &place);
	return rc ? rc : catalog_set_root(catalog, id, place);
}

static int write_frames(struct store *store, struct tree *catalog, struct ledger *ledger, const uint64_t *tables,
                        size_t count, struct flushed *flushed, page_id *root)
{
	struct store_flush flush;
	int rc = store_flush_begin(store, &flush, ledger, store->arena.used);

	if (rc)
		return rc;
	for (size_t i = 0; i < count && !rc; i++)
		rc = write_table(&flush, catalog, tables[i], flushed);
	*root = catalog->root;
	if (!rc && page_is_frame(catalog->root))
		rc = tree_write_back(store, &flush, catalog->root, note_flushed, flushed, root);
	return store_flush_end(&flush, rc);
}

int checkpoint_write(kv_db *db, struct tree *catalog, struct ledger *ledger, const uint64_t *tables, size_t count,
                     uint64_t next_table, struct snapshot *snapshot)
{
	struct store *store = db->store;
	struct flushed flushed = {.mem = &db->mem};
	struct store_state state = {.txn = ledger->txn, .next_table = next_table, .system_root = db->tip.system_root};
	int rc = write_frames(store, catalog, ledger, tables, count, &flushed, &state.catalog_root);

	for (size_t i = 0; i < flushed.count && !rc; i++)
		rc = store_retire(store, ledger, flushed.frames[i].id, 1, flushed.frames[i].birth);
	mem_free(&db->mem, flushed.frames, flushed.room * sizeof *flushed.frames);
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

void checkpoint_publish(kv_db *db, struct ledger *ledger, const struct snapshot *snapshot)
{
	db->tip = *snapshot;
	snapshot_publish(&db->snapshots, snapshot);
	reclaim_add(&db->reclaim, ledger->retired, ledger->retired_count, snapshot->txn);
	store_ledger_empty(db->store, ledger);
	reclaim_run(&db->reclaim, db->durable);
	atomic_store_explicit(&db->held, db->reclaim.pages, memory_order_relaxed);
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
	rc = checkpoint_write(db, &catalog, &ledger, db->unflushed, db->unflushed_count, db->tip.next_table, &snapshot);
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
	int rc;

	if (!db)
		return status_fail(KV_INVALID, "the database is NULL");
	if (!db_alive(db))
		return status_fail(KV_FORKED, "the database was opened by a parent process");
	if (db->store->read_only)
		return KV_OK;
	rc = writer_lock_take(&db->lock, UINT64_MAX);
	if (rc)
		return rc;
	rc = db->store->failed ? status_fail(KV_FAILED, "a write or sync failed earlier: reads only, until reopened")
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
