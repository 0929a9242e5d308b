/* Databases: opening, closing, facts. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine/engine.h"

#define DEFAULT_ARENA (UINT64_C(256) << 20)
#define DEFAULT_BATCH (UINT64_C(64) << 20)
#define DEFAULT_IDLE_MS 10000
#define LEAST_ARENA (UINT64_C(1) << 20)
#define LEAST_FRAMES 64
#define LEAST_BATCH (UINT64_C(4) << 10)

const char *kv_version(void)
{
	return "0.1.0";
}

void db_log(const kv_db *db, int level, const char *format, ...)
{
	char line[512];
	va_list args;

	if (!db->options.log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	db->options.log(db->options.log_arg, level, line);
}

int db_check(const kv_db *db)
{
	if (!db)
		return status_fail(KV_INVALID, "the database is NULL");
	if (!db_alive(db))
		return status_fail(KV_FORKED, "the database was opened by a parent process");
	return KV_OK;
}

/* ---- opening ------------------------------------------------------------------------------- */

static int check_options(const kv_options *o)
{
	unsigned known = KV_CREATE | KV_EXISTING | KV_READ_ONLY_DB | KV_IN_MEMORY | KV_NO_URING;

	if (o->flags & ~known)
		return status_fail(KV_INVALID, "unknown flags %#x", o->flags & ~known);
	if ((o->flags & KV_CREATE) && (o->flags & (KV_EXISTING | KV_READ_ONLY_DB)))
		return status_fail(KV_INVALID,
		                   "KV_CREATE contradicts KV_EXISTING and KV_READ_ONLY_DB");
	if ((o->flags & KV_IN_MEMORY) && (o->flags & (KV_EXISTING | KV_READ_ONLY_DB)))
		return status_fail(KV_INVALID, "a database in memory is always new and writable");
	if (o->page_size && (o->page_size < KV_MIN_PAGE_SIZE || o->page_size > KV_MAX_PAGE_SIZE ||
	                     (o->page_size & (o->page_size - 1))))
		return status_fail(KV_INVALID,
		                   "a page size of %u is not a power of two from %u to %u",
		                   o->page_size, KV_MIN_PAGE_SIZE, KV_MAX_PAGE_SIZE);
	if (o->durability > KV_NONE)
		return status_fail(KV_INVALID, "unknown durability %u", o->durability);
	if (o->arena_size && o->arena_size < LEAST_ARENA)
		return status_fail(KV_INVALID, "an arena of %llu bytes is smaller than %llu",
		                   (unsigned long long)o->arena_size,
		                   (unsigned long long)LEAST_ARENA);
	if (o->file_mode & ~0777u)
		return status_fail(KV_INVALID, "a file mode of %o has more than permission bits",
		                   o->file_mode);
	return KV_OK;
}

static void fill_options(kv_options *o)
{
	if (!o->page_size)
		o->page_size = KV_MIN_PAGE_SIZE;
	if (!o->file_mode)
		o->file_mode = 0600;
	if (!o->durability)
		o->durability = KV_IMMEDIATE;
	if (!o->size_limit)
		o->size_limit = UINT64_MAX;
	if (!o->arena_size)
		o->arena_size = DEFAULT_ARENA;
	if (o->arena_size < (uint64_t)LEAST_FRAMES * o->page_size)
		o->arena_size = (uint64_t)LEAST_FRAMES * o->page_size;
	if (!o->batch_size)
		o->batch_size = DEFAULT_BATCH;
	if (!o->idle_ms)
		o->idle_ms = DEFAULT_IDLE_MS;
	if (o->batch_size < LEAST_BATCH)
		o->batch_size = LEAST_BATCH;
}

/* A page that the kernel empties in a forked child: one load tells where we are. */
static int make_alive(kv_db *db)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	                      0);

	if (page == MAP_FAILED)
		return status_fail(KV_NOMEM, "no memory for a page");
	db->alive = page;
	*page = 1;
	if (madvise(page, size, MADV_WIPEONFORK))
		return status_fail(KV_IO, "this kernel has no MADV_WIPEONFORK (Linux 4.14)");
	return KV_OK;
}

static int open_store(kv_db *db, const char *path)
{
	const kv_options *o = &db->options;
	struct store_options so = {
	        .path = o->flags & KV_IN_MEMORY ? NULL : path,
	        .mem = db->mem,
	        .page_size = o->page_size,
	        .file_mode = o->file_mode,
	        .size_limit = o->size_limit,
	        .map_size = o->map_size,
	        .arena_size = o->arena_size,
	        .arena_reserve = o->arena_size,
	        .read_only = o->flags & KV_READ_ONLY_DB,
	        .existing = o->flags & (KV_EXISTING | KV_READ_ONLY_DB),
	        .accept_empty = o->flags & KV_CREATE,
	};
	int rc = io_new(&db->mem, o->flags & KV_NO_URING, &so.io);

	return rc ? rc : store_open(&so, &db->store);
}

static int take_state(kv_db *db)
{
	const struct store_state *s = &db->store->state;

	/* The sector that holds it has a checksum, but that can be forged. */
	if (s->catalog_height > KV_MAX_LEVELS || !s->catalog_root != !s->catalog_height ||
	    s->catalog_root >> (PAGE_TAG_SHIFT + 16))
		return status_fail(KV_CORRUPT, "the meta page's catalog makes no sense");
	db->tip = (struct snapshot){
	        .txn = s->txn,
	        .catalog_root = s->catalog_root,
	        .catalog_count = s->catalog_count,
	        .catalog_height = s->catalog_height,
	        .next_table = s->next_table ? s->next_table : 1,
	        .system_root = s->system_root,
	};
	/* 0 means "no pin" in a reader's slot. */
	if (!db->tip.txn)
		db->tip.txn = 2;
	db->durable = db->tip.txn;
	db->next_table = db->tip.next_table;
	snapshot_publish(&db->snapshots, &db->tip);
	return KV_OK;
}

static void free_txn(kv_db *db, kv_txn *txn)
{
	if (!txn)
		return;
	for (uint32_t i = 0; i < txn->state_room; i++) {
		struct table_state *state = txn->states[i];

		if (!state)
			continue;
		defer_drop(&state->defer, &txn->pool, &db->mem);
		mem_free(&db->mem, state->reserved, state->reserved_size);
		mem_free(&db->mem, state, sizeof *state);
	}
	mem_free(&db->mem, txn->states, txn->state_room * sizeof(struct table_state *));
	mem_free(&db->mem, txn->touched, txn->touched_room * sizeof(struct table_state *));
	if (txn->ledger.txn)
		store_ledger_free(db->store, &txn->ledger);
	mem_free(&db->mem, txn, sizeof *txn);
}

static void free_readers(kv_db *db)
{
	for (struct reader_block *b = atomic_load(&db->snapshots.blocks); b;
	     b = atomic_load(&b->next))
		for (size_t i = 0; i < READER_BLOCK; i++)
			free_txn(db, b->readers[i].txn);
	snapshots_free_blocks(&db->snapshots);
}

/* Frees the handle and all its memory; the store as asked. Fit for a half-opened database too. */
static int destroy(kv_db *db, bool mark_clean, bool abandon)
{
	struct mem mem = db->mem;
	int rc = KV_OK;

	idle_close(&db->idle, abandon);
	free_readers(db);
	free_txn(db, db->writer);
	if (db->reclaim.store)
		reclaim_close(&db->reclaim);
	registry_free(db);
	writer_lock_close(&db->lock);
	mem_free(&mem, db->unflushed, db->unflushed_room * sizeof *db->unflushed);
	if (db->store)
		rc = store_close(db->store, mark_clean, abandon);
	if (db->alive)
		munmap((void *)(uintptr_t)db->alive, (size_t)sysconf(_SC_PAGESIZE));
	mem_free(&mem, db, sizeof *db);
	return rc;
}

static int open_parts(kv_db *db, const char *path)
{
	int rc = make_alive(db);

	if (!rc)
		rc = open_store(db, path);
	if (rc)
		return rc;
	db->writer = mem_new(&db->mem, sizeof *db->writer);
	if (!db->writer)
		return status_fail(KV_NOMEM, "no memory for the write transaction");
	db->writer->db = db;
	reclaim_open(&db->reclaim, &db->mem, db->store, &db->snapshots);
	return take_state(db);
}

int kv_open(const char *path, const kv_options *options, kv_db **result)
{
	static const kv_options none;
	struct mem mem;
	kv_db *db;
	int rc;

	if (!result)
		return status_fail(KV_INVALID, "kv_open: db is NULL");
	*result = NULL;
	if (!options)
		options = &none;
	if (!(options->flags & KV_IN_MEMORY) && (!path || !*path))
		return status_fail(KV_INVALID, "kv_open: no path");
	rc = check_options(options);
	if (rc)
		return rc;
	mem = (struct mem){.resize = options->resize, .arg = options->resize_arg};
	db = mem_new(&mem, sizeof *db);
	if (!db)
		return status_fail(KV_NOMEM, "no memory for a database handle");
	db->mem = mem;
	db->options = *options;
	fill_options(&db->options);
	snapshots_open(&db->snapshots, &mem);
	pthread_mutex_init(&db->registry.mutex, NULL);
	rc = writer_lock_open(&db->lock);
	if (!rc)
		rc = idle_open(&db->idle, db->options.idle_ms);
	if (!rc)
		rc = open_parts(db, path);
	if (rc) {
		destroy(db, false, false);
		return rc;
	}
	*result = db;
	return KV_OK;
}

/* ---- closing ------------------------------------------------------------------------------- */

int kv_close(kv_db *db)
{
	uint64_t oldest;
	int rc = KV_OK, closing;
	bool clean;

	if (!db)
		return KV_OK;
	if (!db_alive(db))
		return destroy(db, false, true);
	if (snapshot_readers(&db->snapshots, &oldest))
		return status_fail(KV_BUSY,
		                   "transactions are open: the oldest reads transaction %llu",
		                   (unsigned long long)oldest);
	if (db->writer->kind != TXN_FREE)
		return status_fail(KV_BUSY, "a write transaction is open");
	rc = writer_lock_take(&db->lock, UINT64_MAX); /* from the idle thread, at most */
	if (rc)
		return rc;
	if (!db->store->read_only && !db->store->failed && !db->store->in_memory)
		rc = checkpoint_tip(db);
	else if (db->store->failed && db->tip.txn != db->durable)
		rc = status_fail(
		        KV_FAILED,
		        "commits without durability are lost: a write or sync failed earlier");
	clean = !rc && !db->store->failed && !db->store->read_only;
	writer_lock_give(&db->lock);
	closing = destroy(db, clean, false);
	return rc ? rc : closing;
}

/* ---- facts --------------------------------------------------------------------------------- */

static int count_table(void *arg, const char *name, uint64_t id, const struct table_record *record)
{
	(void)name;
	(void)id;
	(void)record;
	++*(uint32_t *)arg;
	return 0;
}

int kv_info_get(kv_db *db, kv_info *info)
{
	const struct store *store;
	kv_txn *txn;
	int rc;

	if (!info)
		return status_fail(KV_INVALID, "kv_info_get: info is NULL");
	memset(info, 0, sizeof *info);
	rc = kv_begin(db, KV_READ, &txn);
	if (rc)
		return rc;
	store = db->store;
	info->last_txn = txn->id;
	rc = catalog_each(&txn->catalog, count_table, &info->tables);
	kv_end(txn);
	info->database_id = store->database_id;
	info->page_size = store->page_size;
	info->max_key = KV_MAX_KEY(store->page_size);
	info->max_inline = node_max_inline(store->page_size);
	info->file_size = atomic_load(&store->file_pages) << store->page_shift;
	info->free_pages = store->space.usable_count;
	info->held_pages = atomic_load(&db->held);
	info->arena_frames = store->arena.used;
	info->durable_txn = atomic_load(&db->durable);
	info->oldest_reader = info->last_txn;
	info->readers = snapshot_readers(&db->snapshots, &info->oldest_reader);
	info->clean = store->clean;
	info->uring = store->io->uring;
	info->splits = atomic_load(&db->stats.splits);
	info->merges = atomic_load(&db->stats.merges);
	info->spills = atomic_load(&db->stats.spills);
	info->checkpoints = atomic_load(&db->checkpoints);
	info->verified_pages = atomic_load(&store->verified_count);
	return rc;
}
