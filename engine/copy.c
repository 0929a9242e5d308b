/* Copying a snapshot into a new file: entries go over in key order, so that the copy's leaves are
 * full and its pages lie in order. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

struct copying {
	kv_db *from;
	kv_txn *reader, *writer;
	kv_progress progress;
	void *arg;
	uint64_t done, total; /* entries */
};

static int count_entries(void *arg, const char *name, uint64_t entries)
{
	(void)name;
	((struct copying *)arg)->total += entries;
	return 0;
}

#define PROGRESS_ENTRIES 4096

static int copy_entries(struct copying *c, kv_table *source, kv_table *target)
{
	kv_cursor cursor;
	int rc = kv_cursor_open(c->reader, source, &cursor);

	if (!rc)
		rc = kv_cursor_first(&cursor);
	while (!rc) {
		rc = kv_put(c->writer, target, cursor.key, cursor.value);
		if (!rc && ++c->done % PROGRESS_ENTRIES == 0 && c->progress &&
		    c->progress(c->arg, c->done, c->total))
			rc = status_fail(KV_CANCELLED, "the copy was cancelled");
		if (!rc)
			rc = kv_cursor_next(&cursor);
	}
	return rc == KV_NOT_FOUND ? KV_OK : rc;
}

static int copy_table(void *arg, const char *name, uint64_t entries)
{
	struct copying *c = arg;
	kv_table *source, *target;
	int rc = kv_table_open(c->reader, name, 0, &source);

	(void)entries;
	if (!rc)
		rc = kv_table_open(c->writer, name, KV_CREATE, &target);
	return rc ? rc : copy_entries(c, source, target);
}

static int copy_all(struct copying *c, kv_db *to)
{
	int rc = kv_begin(c->from, KV_READ, &c->reader), end;

	if (rc)
		return rc;
	rc = kv_begin(to, KV_WRITE, &c->writer);
	if (!rc)
		rc = kv_table_list(c->reader, count_entries, c);
	if (!rc)
		rc = kv_table_list(c->reader, copy_table, c);
	if (rc)
		kv_abort(c->writer);
	else
		rc = kv_commit(c->writer);
	end = kv_end(c->reader);
	return rc ? rc : end;
}

/* An empty file that nobody had before: KV_EXISTS if there is one. */
static int create_file(kv_db *db, const char *path)
{
	struct io *io = db->store->io;
	struct io_file file = {.fd = -1};
	int rc = io->ops->open(io, path, IO_READ | IO_WRITE | IO_CREATE | IO_EXCLUSIVE,
	                       db->options.file_mode, &file);

	return rc ? rc : io->ops->close(io, &file);
}

int kv_copy(kv_db *db, const char *path, kv_progress progress, void *arg)
{
	struct copying c = {.from = db, .progress = progress, .arg = arg};
	kv_options options;
	kv_db *to;
	int rc, closed;

	rc = db_check(db);
	if (!rc && !path)
		rc = status_fail(KV_INVALID, "kv_copy: path is NULL");
	if (!rc)
		rc = create_file(db, path);
	if (rc)
		return rc;
	options = db->options;
	options.flags = (options.flags & KV_NO_URING) | KV_CREATE;
	options.page_size = db->store->page_size;
	options.size_limit = 0;
	rc = kv_open(path, &options, &to);
	if (!rc) {
		rc = copy_all(&c, to);
		closed = kv_close(to);
		if (!rc)
			rc = closed;
	}
	if (rc)
		db->store->io->ops->remove(db->store->io, path);
	return rc;
}
