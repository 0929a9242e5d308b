/* Opening and closing a store. */
#include "mmap/store.h"

#include <assert.h>
#include <stdio.h>

#include "mmap/datafile.h"
#include "mmap/map.h"
#include "mmap/number.h"
#include "mmap/store_inner.h"

/* ---- failing ------------------------------------------------------------------------------- */

int store_fail(struct store *store, int rc)
{
	if (!store->failed)
		store->failed = rc;
	return rc;
}

int store_begin_writing(struct store *store)
{
	int rc;

	if (store->read_only)
		return status_fail(KV_READ_ONLY, "the database is open for reading only");
	if (store->failed)
		return status_fail(KV_FAILED,
		                   "a write or sync has failed before (%s): no more are made "
		                   "until the database is opened again",
		                   kv_strerror(store->failed));
	if (store->marked || store->in_memory)
		return KV_OK;
	rc = datafile_mark_open(store);
	store->marked = rc == KV_OK;
	return rc;
}

/* ---- opening ------------------------------------------------------------------------------- */

static int copy_path(struct store *store, const char *path)
{
	size_t bytes = strlen(path) + 1;

	store->path = mem_new(&store->mem, bytes);
	if (!store->path)
		return status_fail(KV_NOMEM, "no memory for a path");
	memcpy(store->path, path, bytes);
	return KV_OK;
}

/* What a new file's meta page says, apart from its id, size and map. */
static void first_meta(struct store *store, const struct store_options *options)
{
	store->meta = (struct meta){
	        .magic = META_MAGIC,
	        .version = META_VERSION,
	        .page_size = options->page_size,
	        .condition = META_CLEAN,
	        .sequence = 1,
	        .map_bits = options->map_bits,
	};
}

/* Takes over what the meta page says. */
static void adopt_meta(struct store *store)
{
	const struct meta *meta = &store->meta;

	store->page_size = meta->page_size;
	store->page_shift = (uint32_t)__builtin_ctz(meta->page_size);
	store->database_id = meta->database_id;
	store->opened_txn = meta->txn;
	store->state = (struct store_state){
	        .txn = meta->txn,
	        .catalog_root = meta->catalog_root,
	        .catalog_count = meta->catalog_count,
	        .catalog_height = meta->catalog_height,
	        .system_root = meta->system_root,
	        .next_table = meta->next_table,
	};
}

/* Reserves address space: the mapping, the bitmaps, and the arena. */
static int reserve_memory(struct store *store, const struct store_options *options)
{
	uint64_t need = store->meta.file_pages << store->page_shift;
	uint64_t most = space_limit(store->page_size, store->meta.map_bits);
	int rc = map_open(store, options->map_size, need);

	if (rc)
		return rc;
	store->map_pages = minimum(store->map_pages, most);
	store->limit_pages = minimum(store->map_pages, options->size_limit >> store->page_shift);
	rc = bitmap_open(&store->trusted, store->map_pages);
	if (!rc)
		rc = bitmap_open(&store->summed, store->map_pages);
	if (!rc)
		rc = space_open(&store->space, &store->mem, store->page_size, store->meta.map_bits,
		                store->map_pages);
	if (!rc)
		rc = arena_open(&store->arena, &store->mem, store->page_size, options->arena_size,
		                options->arena_reserve);
	store->base[1] = store->arena.base;
	return rc;
}

static int load_file(struct store *store)
{
	uint64_t size;
	int rc = store->io->ops->size(store->io, &store->file, &size);

	if (!rc)
		rc = space_load(&store->space, store->io, &store->file, store->database_id,
		                store->meta.file_pages, store->meta.roots);
	if (rc)
		return rc;
	store->disk_pages = size >> store->page_shift;
	atomic_store(&store->file_pages, store->space.pages);
	return KV_OK;
}

static int open_all(struct store *store, const struct store_options *options)
{
	bool created;
	int rc = datafile_open(store, options, &created);

	if (rc)
		return rc;
	if (created)
		first_meta(store, options);
	adopt_meta(store);
	rc = reserve_memory(store, options);
	if (!rc)
		rc = created ? datafile_finish(store) : load_file(store);
	if (rc)
		return rc;
	store_verify_open(store);
	/* What a crash left may have been seen in the page cache only: it is made durable before
	 * anyone sees it. */
	if (store->meta.condition == META_OPEN && !store->read_only)
		rc = store_begin_writing(store);
	return rc;
}

/* Errors of opening name the file. */
static int name_file(const struct store *store, int rc)
{
	char story[256];
	size_t length = store->path ? strlen(store->path) : 0;

	if (!store->path || strncmp(kv_detail(), store->path, length) == 0)
		return rc;
	snprintf(story, sizeof story, "%s", kv_detail());
	return status_fail(rc, "%s: %s", store->path, story);
}

static int free_all(struct store *store, bool abandon)
{
	struct mem mem = store->mem;
	struct io *io = store->io;
	int rc;

	map_close(store);
	bitmap_close(store->trusted, store->map_pages);
	bitmap_close(store->summed, store->map_pages);
	space_close(&store->space);
	arena_close(&store->arena);
	rc = datafile_close(store, abandon);
	store_flush_close(store);
	mem_free(&mem, store->path, store->path ? strlen(store->path) + 1 : 0);
	mem_free(&mem, store, sizeof *store);
	io->ops->free(io);
	return rc;
}

int store_open(const struct store_options *options, struct store **opened)
{
	struct io *io = options->io;
	struct store *store = mem_new(&options->mem, sizeof *store);
	int rc;

	assert(options->page_size >= 4096 && options->page_size <= 65536);
	if (!store) {
		io->ops->free(io);
		return status_fail(KV_NOMEM, "no memory for a store");
	}
	store->mem = options->mem;
	store->io = io;
	store->file.fd = store->empty.fd = -1;
	store->read_only = options->read_only;
	store->in_memory = options->path == NULL;
	store->sequential = UINT64_MAX;
	rc = options->path ? copy_path(store, options->path) : KV_OK;
	if (!rc)
		rc = open_all(store, options);
	if (rc) {
		rc = name_file(store, rc);
		free_all(store, false);
		return rc;
	}
	*opened = store;
	return KV_OK;
}

int store_close(struct store *store, bool mark_clean, bool abandon)
{
	int closed, rc = KV_OK;

	if (mark_clean && !abandon && store->marked && !store->failed && !store->in_memory)
		rc = datafile_mark_clean(store);
	closed = free_all(store, abandon);
	return rc ? rc : closed;
}

void store_trim(struct store *store)
{
	arena_trim(&store->arena);
}
