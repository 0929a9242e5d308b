#include "mmap/datafile.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/random.h>

#include "mmap/store_inner.h"

/* ---- opening ------------------------------------------------------------------------------- */

static int open_and_lock(struct store *store, const char *path, unsigned flags, unsigned mode,
                         struct io_file *file)
{
	struct io *io = store->io;
	int rc = io->ops->open(io, path, flags, mode, file);

	if (!rc)
		rc = io->ops->lock(io, file, store->read_only ? IO_LOCK_SHARED : IO_LOCK_EXCLUSIVE);
	return rc;
}

/* KV_OK if, under the lock of the new file, there still is nothing at path, or nothing but the
 * empty file that is to be replaced. KV_EXISTS if another process was faster. */
static int check_still_missing(struct store *store)
{
	struct io *io = store->io;
	struct io_file there;
	uint64_t size = 0;
	int rc = io->ops->open(io, store->path, IO_READ, 0, &there);

	if (rc == KV_NO_FILE)
		return KV_OK;
	if (!rc)
		rc = io->ops->size(io, &there, &size);
	io->ops->close(io, &there);
	if (rc)
		return rc;
	return store->empty.fd >= 0 && size == 0 ? KV_OK : KV_EXISTS;
}

/* What the name of a file that is being created ends in: nobody's file is called that. */
#define CREATING ".kv-creating"

/* Begins a new file under a name of its own, so that what a crash leaves behind cannot be taken for
 * a database; the next creation clears it away. Whoever holds the lock of the file of that name is
 * the one creator. */
static int begin_creation(struct store *store, const struct store_options *options)
{
	size_t bytes = strlen(options->path) + sizeof CREATING;
	struct io *io = store->io;
	int rc;

	store->creating = mem_new(&store->mem, bytes);
	if (!store->creating)
		return status_fail(KV_NOMEM, "no memory for a path");
	memcpy(store->creating, options->path, bytes - sizeof CREATING);
	memcpy(store->creating + bytes - sizeof CREATING, CREATING, sizeof CREATING);
	rc = open_and_lock(store, store->creating, IO_READ | IO_WRITE | IO_CREATE | IO_NO_FOLLOW,
	                   options->file_mode, &store->file);
	if (!rc)
		rc = check_still_missing(store);
	if (!rc)
		return io->ops->truncate(io, &store->file, 0);
	/* Not ours to remove: it may be somebody else's, or a database by now. */
	mem_free(&store->mem, store->creating, bytes);
	store->creating = NULL;
	return rc;
}

static int read_meta(struct store *store, uint64_t size)
{
	bool alike;
	int rc = meta_choose(store->io, &store->file, size, &store->meta, &alike);

	if (!rc)
		store->clean = alike && store->meta.condition == META_CLEAN;
	return rc;
}

static int open_path(struct store *store, const struct store_options *options, bool *created)
{
	unsigned flags = options->read_only ? IO_READ : IO_READ | IO_WRITE;
	uint64_t size;
	int rc = open_and_lock(store, options->path, flags, 0, &store->file);

	*created = rc == KV_NO_FILE && !options->existing && !options->read_only;
	if (*created)
		return begin_creation(store, options);
	if (!rc)
		rc = store->io->ops->size(store->io, &store->file, &size);
	if (rc)
		return rc;
	if (size > 0)
		return read_meta(store, size);
	if (!options->accept_empty || options->read_only)
		return status_fail(KV_NOT_A_DATABASE, "%s: the file is empty", options->path);
	*created = true;
	store->empty = store->file;
	store->file.fd = -1;
	return begin_creation(store, options);
}

int datafile_open(struct store *store, const struct store_options *options, bool *created)
{
	struct io *io = store->io;
	int rc;

	*created = true;
	if (store->in_memory)
		return io->ops->open(io, "kv", IO_MEMORY, 0, &store->file);
	rc = open_path(store, options, created);
	for (int retries = 0; rc == KV_EXISTS && retries < 3; retries++) {
		datafile_close(store, false);
		rc = open_path(store, options, created);
	}
	if (rc == KV_EXISTS)
		rc = status_fail(KV_BUSY, "%s: another process is creating it", options->path);
	return rc;
}

int datafile_close(struct store *store, bool abandon)
{
	struct io *io = store->io;
	int rc = io->ops->close(io, &store->file);

	io->ops->close(io, &store->empty);
	if (store->creating) {
		if (!abandon)
			io->ops->remove(io, store->creating);
		mem_free(&store->mem, store->creating, strlen(store->creating) + 1);
		store->creating = NULL;
	}
	return rc;
}

/* ---- meta pages ---------------------------------------------------------------------------- */

static int write_and_sync(struct store *store, const struct meta *meta, uint64_t page)
{
	struct io *io = store->io;
	int rc = io->ops->write(io, &store->file, meta, sizeof *meta, page << store->page_shift);

	if (!rc && !store->in_memory)
		rc = io->ops->sync(io, &store->file);
	return rc ? store_fail(store, rc) : KV_OK;
}

static int write_next(struct store *store, struct meta *meta)
{
	int rc;

	meta->sequence = store->meta.sequence + 1;
	meta->checksum = meta_checksum(meta);
	rc = write_and_sync(store, meta, meta->sequence & 1);
	if (!rc)
		store->meta = *meta;
	return rc;
}

int datafile_write_meta(struct store *store, const struct store_state *state)
{
	struct meta meta = store->meta;

	meta.condition = META_OPEN;
	meta.file_pages = store->space.pages;
	meta.txn = state->txn;
	meta.catalog_root = state->catalog_root;
	meta.catalog_count = state->catalog_count;
	meta.catalog_height = state->catalog_height;
	meta.system_root = state->system_root;
	meta.next_table = state->next_table;
	memcpy(meta.roots, store->space.next_roots, sizeof meta.roots);
	return write_next(store, &meta);
}

int datafile_mark_open(struct store *store)
{
	struct meta meta = store->meta;

	store->clean = false;
	/* After a crash the newest meta page may have been seen in the page cache only, even one
	 * whose sync failed: written again, it is dirty for certain, and the sync covers it. */
	if (meta.condition == META_OPEN)
		return write_and_sync(store, &meta, meta.sequence & 1);
	meta.condition = META_OPEN;
	return write_next(store, &meta);
}

int datafile_mark_clean(struct store *store)
{
	struct meta meta = store->meta;
	int rc;

	meta.condition = META_CLEAN;
	rc = write_next(store, &meta);
	/* At no time are both pages being written. */
	if (!rc)
		rc = write_and_sync(store, &meta, ~meta.sequence & 1);
	if (!rc)
		store->clean = true;
	return rc;
}

/* ---- creating ------------------------------------------------------------------------------ */

static int new_database_id(uint64_t *id)
{
	*id = 0;
	while (*id == 0) {
		if (getrandom(id, sizeof *id, 0) != sizeof *id && errno != EINTR)
			return status_fail_errno(errno, "getrandom");
	}
	return KV_OK;
}

static int write_metas(struct store *store)
{
	struct io *io = store->io;
	int rc = KV_OK;

	memcpy(store->meta.roots, store->space.roots, sizeof store->meta.roots);
	store->meta.file_pages = store->space.pages;
	store->meta.checksum = meta_checksum(&store->meta);
	for (uint64_t page = 0; !rc && page < 2; page++)
		rc = io->ops->write(io, &store->file, &store->meta, sizeof store->meta,
		                    page << store->page_shift);
	return rc;
}

static int write_first_pages(struct store *store)
{
	struct space *space = &store->space;
	int rc = store_begin_file(store);

	if (!rc)
		rc = store_assign_pairs(store);
	if (!rc)
		rc = store_write_map(store, store->state.txn, false);
	if (rc)
		return rc;
	space_written(space);
	return write_metas(store);
}

int datafile_finish(struct store *store)
{
	struct io *io = store->io;
	int rc = new_database_id(&store->database_id);

	store->meta.database_id = store->database_id;
	if (!rc)
		rc = write_first_pages(store);
	if (rc || store->in_memory)
		return rc;
	rc = io->ops->sync(io, &store->file);
	if (!rc)
		rc = io->ops->rename(io, store->creating, store->path);
	if (rc)
		return rc;
	mem_free(&store->mem, store->creating, strlen(store->creating) + 1);
	store->creating = NULL;
	io->ops->close(io, &store->empty);
	store->clean = true;
	return io->ops->sync_directory(io, store->path);
}
