#include "engine/defer_inner.h"

#include <stdlib.h>
#include <string.h>

#include "mmap/prefetch.h"
#include "mmap/status.h"

#define FIRST_CHUNK ((size_t)4 << 10)
#define LARGEST_CHUNK ((size_t)1 << 20)

struct defer_chunk {
	struct defer_chunk *next;
	size_t size;
	uint8_t bytes[];
};

kv_slice defer_first(const struct defer *d)
{
	return record_key(d->entries[0].record);
}

/* ---- collecting ---------------------------------------------------------------------------- */

/* A chunk with room for size bytes: a used one if it is large enough, else a new one. Chunks
 * double: a small transaction stays small, and never is half of the memory unused. */
static struct defer_chunk *chunk_new(const struct defer *d, struct defer_pool *pool,
                                     const struct mem *mem, size_t size)
{
	struct defer_chunk *chunk = pool->spare;
	size_t room = d->chunks ? 2 * d->chunks->size : FIRST_CHUNK;

	if (chunk && chunk->size >= size + sizeof *chunk) {
		pool->spare = chunk->next;
		return chunk;
	}
	if (room > LARGEST_CHUNK)
		room = LARGEST_CHUNK;
	if (room < size + sizeof *chunk)
		room = size + sizeof *chunk;
	chunk = mem_resize(mem, NULL, 0, room);
	if (chunk)
		chunk->size = room;
	return chunk;
}

static uint8_t *chunk_space(struct defer *d, struct defer_pool *pool, const struct mem *mem,
                            size_t size)
{
	uint8_t *space;

	if ((size_t)(d->end - d->next) < size) {
		struct defer_chunk *chunk = chunk_new(d, pool, mem, size);

		if (!chunk)
			return NULL;
		chunk->next = d->chunks;
		d->chunks = chunk;
		d->next = chunk->bytes;
		d->end = (uint8_t *)chunk + chunk->size;
		d->bytes += chunk->size;
		pool->bytes += chunk->size;
	}
	space = d->next;
	d->next += size;
	return space;
}

static int entries_reserve(struct defer *d, const struct mem *mem)
{
	size_t room = d->room ? 2 * d->room : 32;
	struct defer_entry *grown;

	if (d->count < d->room)
		return KV_OK;
	grown = mem_resize(mem, d->entries, d->room * sizeof *grown, room * sizeof *grown);
	if (!grown)
		return status_fail(KV_NOMEM, "no memory for %zu deferred writes", room);
	d->entries = grown;
	d->room = room;
	return KV_OK;
}

/* Forgets the operations in memory; the memory itself is kept for the next ones. */
void defer_reset(struct defer *d, struct defer_pool *pool)
{
	pool->bytes -= defer_bytes(d);
	while (d->chunks) {
		struct defer_chunk *chunk = d->chunks;

		d->chunks = chunk->next;
		chunk->next = pool->spare;
		pool->spare = chunk;
	}
	d->next = d->end = NULL;
	d->bytes = 0;
	d->count = 0;
	d->unsorted = d->scattered = false;
}

/* ---- runs ---------------------------------------------------------------------------------- */

static int open_file(struct defer_pool *pool, struct store *store)
{
	char directory[4096];
	const char *slash = store->in_memory ? NULL : strrchr(store->path, '/');
	size_t length = slash ? (size_t)(slash - store->path) : 0;
	int rc;

	if (pool->has_file)
		return KV_OK;
	if (length >= sizeof directory)
		return status_fail(KV_INVALID,
		                   "path of the database is too long for a temporary file");
	memcpy(directory, store->path ? store->path : "", length);
	strcpy(directory + length, slash ? (length ? "" : "/") : ".");
	rc = store->io->ops->open(store->io, store->in_memory ? "kv-runs" : directory,
	                          IO_READ | IO_WRITE |
	                                  (store->in_memory ? IO_MEMORY : IO_TEMPORARY),
	                          0600, &pool->file);
	pool->has_file = !rc;
	pool->end = 0;
	return rc;
}

/* Writes the sorted records of memory to the file; of equal keys all: the merge chooses. */
static int write_run(const struct defer *d, struct defer_pool *pool, struct store *store,
                     uint8_t *buffer, struct defer_run *run)
{
	size_t filled = 0;
	int rc = KV_OK;

	run->offset = pool->end;
	run->count = d->count;
	for (size_t i = 0; i < d->count && !rc; i++) {
		const uint8_t *record = d->entries[i].record;
		size_t size = record_size(record);

		if (i + 12 < d->count)
			for (size_t line = 0; line < 256; line += 64)
				prefetch_line(d->entries[i + 12].record + line);
		if (filled + size > READ_BYTES) {
			rc = store->io->ops->write(store->io, &pool->file, buffer, filled,
			                           pool->end);
			pool->end += filled;
			filled = 0;
		}
		memcpy(buffer + filled, record, size);
		filled += size;
	}
	if (!rc)
		rc = store->io->ops->write(store->io, &pool->file, buffer, filled, pool->end);
	pool->end += filled;
	run->size = pool->end - run->offset;
	return rc;
}

int defer_set_aside(struct defer *d, struct defer_pool *pool, struct store *store)
{
	struct defer_run *grown;
	size_t room = d->run_room ? 2 * d->run_room : 16;
	uint8_t *buffer;
	int rc = open_file(pool, store);

	if (!rc)
		rc = defer_sort(d, &store->mem);
	if (rc)
		return rc;
	if (d->run_count == d->run_room) {
		grown = mem_resize(&store->mem, d->runs, d->run_room * sizeof *grown,
		                   room * sizeof *grown);
		if (!grown)
			return status_fail(KV_NOMEM, "no memory for %zu runs", room);
		d->runs = grown;
		d->run_room = room;
	}
	buffer = mem_resize(&store->mem, NULL, 0, READ_BYTES);
	if (!buffer)
		return status_fail(KV_NOMEM, "no memory for a write buffer");
	rc = write_run(d, pool, store, buffer, &d->runs[d->run_count]);
	mem_free(&store->mem, buffer, READ_BYTES);
	if (!rc) {
		d->run_count++;
		pool->runs++;
		defer_reset(d, pool);
	}
	return rc;
}

int defer_add(struct defer *d, struct defer_pool *pool, const struct mem *mem, kv_slice key,
              kv_slice value, enum defer_kind kind)
{
	struct record_head h = {(uint32_t)value.size, (uint16_t)key.size, (uint8_t)kind, 0};
	struct defer_entry *e;
	uint8_t *record;
	int rc = entries_reserve(d, mem);

	if (rc)
		return rc;
	record = chunk_space(d, pool, mem, RECORD_HEAD + key.size + value.size);
	if (!record)
		return status_fail(KV_NOMEM, "no memory for a deferred write");
	memcpy(record, &h, sizeof h);
	if (key.size)
		memcpy(record + RECORD_HEAD, key.data, key.size);
	if (value.size)
		memcpy(record + RECORD_HEAD + key.size, value.data, value.size);
	e = &d->entries[d->count++];
	pool->bytes += sizeof *e;
	e->head = entry_head(key);
	e->record = record;
	/* Equal keys count as unsorted order only if they go backwards. */
	if (d->count > 1 && !d->unsorted)
		d->unsorted = entry_compare(e - 1, e) > 0;
	return KV_OK;
}

/* ---- forgetting ---------------------------------------------------------------------------- */

void defer_drop_runs(struct defer *d, struct defer_pool *pool, const struct mem *mem)
{
	pool->runs -= d->run_count;
	if (!pool->runs)
		pool->end = 0; /* the file's space is used again */
	mem_free(mem, d->runs, d->run_room * sizeof *d->runs);
	d->runs = NULL;
	d->run_count = d->run_room = 0;
}

void defer_drop(struct defer *d, struct defer_pool *pool, const struct mem *mem)
{
	defer_reset(d, pool);
	mem_free(mem, d->entries, d->room * sizeof *d->entries);
	d->entries = NULL;
	d->room = 0;
	defer_drop_runs(d, pool, mem);
}

void defer_pool_close(struct defer_pool *pool, struct store *store)
{
	while (pool->spare) {
		struct defer_chunk *next = pool->spare->next;

		mem_free(&store->mem, pool->spare, pool->spare->size);
		pool->spare = next;
	}
	if (pool->has_file)
		store->io->ops->close(store->io, &pool->file);
	pool->has_file = false;
}
