#include "engine/defer.h"

#include <stdlib.h>
#include <string.h>

#include "mmap/prefetch.h"
#include "mmap/status.h"

#define FIRST_CHUNK ((size_t)4 << 10)
#define LARGEST_CHUNK ((size_t)1 << 20)
#define READ_BYTES (256u << 10)

struct defer_chunk {
	struct defer_chunk *next;
	size_t size;
	uint8_t bytes[];
};

/* A record, in memory and in a run: sizes and kind, key, value. */
struct record_head {
	uint32_t value_size;
	uint16_t key_size;
	uint8_t kind;
	uint8_t zero;
};
#define RECORD_HEAD sizeof(struct record_head)

static struct record_head record_head(const uint8_t *record)
{
	struct record_head h;

	memcpy(&h, record, sizeof h);
	return h;
}

static kv_slice record_key(const uint8_t *record)
{
	return kv_bytes(record + RECORD_HEAD, record_head(record).key_size);
}

static size_t record_size(const uint8_t *record)
{
	struct record_head h = record_head(record);

	return RECORD_HEAD + h.key_size + h.value_size;
}

kv_slice defer_first(const struct defer *d)
{
	return record_key(d->entries[0].record);
}

static uint64_t entry_head(kv_slice key)
{
	uint64_t v = 0;

	memcpy(&v, key.data ? key.data : "", key.size < 8 ? key.size : 8);
	return __builtin_bswap64(v);
}

static int entry_compare(const struct defer_entry *a, const struct defer_entry *b)
{
	if (a->head != b->head)
		return a->head < b->head ? -1 : 1;
	return node_compare(record_key(a->record), record_key(b->record));
}

/* ---- collecting ---------------------------------------------------------------------------- */

/* A chunk with room for size bytes: a used one if it is large enough, else a new one. Chunks double:
 * a small transaction stays small, and never is half of the memory unused. */
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
static void reset_memory(struct defer *d, struct defer_pool *pool)
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

/* ---- sorting ------------------------------------------------------------------------------- */

/* Bottom-up merge sort: stable, as the last of equal keys must win. Runs of up to 16 are made by
 * insertion first. */
#define SORT_RUN 16

static void sort_run(struct defer_entry *e, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct defer_entry x = e[i];
		size_t j = i;

		for (; j && entry_compare(&e[j - 1], &x) > 0; j--)
			e[j] = e[j - 1];
		e[j] = x;
	}
}

static void merge_pair(const struct defer_entry *from, struct defer_entry *to, size_t middle,
                       size_t end)
{
	size_t a = 0, b = middle, n = 0;

	while (a < middle && b < end) {
		/* Taken from the right only if strictly smaller. */
		bool right = from[b].head != from[a].head ? from[b].head < from[a].head
		                                          : entry_compare(&from[b], &from[a]) < 0;

		to[n++] = right ? from[b] : from[a];
		b += right;
		a += !right;
	}
	memcpy(to + n, from + a, (middle - a) * sizeof *to);
	n += middle - a;
	memcpy(to + n, from + b, (end - b) * sizeof *to);
}

/* One pass over the 11 bits of the heads from shift on, counting sort (LSD radix, stable). */
static void radix_pass(const struct defer_entry *from, struct defer_entry *to, size_t count,
                       unsigned shift)
{
	size_t start[2049] = {0};

	for (size_t i = 0; i < count; i++)
		start[(from[i].head >> shift & 2047) + 1]++;
	for (size_t i = 1; i < 2049; i++)
		start[i] += start[i - 1];
	for (size_t i = 0; i < count; i++)
		to[start[from[i].head >> shift & 2047]++] = from[i];
}

static void merge_sort(struct defer_entry *e, struct defer_entry *spare, size_t count)
{
	struct defer_entry *from = e, *to = spare;

	for (size_t i = 0; i < count; i += SORT_RUN)
		sort_run(e + i, count - i < SORT_RUN ? count - i : SORT_RUN);
	for (size_t width = SORT_RUN; width < count; width *= 2) {
		struct defer_entry *swap = from;

		for (size_t i = 0; i < count; i += 2 * width) {
			size_t end = count - i < 2 * width ? count - i : 2 * width;

			merge_pair(from + i, to + i, end < width ? end : width, end);
		}
		from = to;
		to = swap;
	}
	if (from != e)
		memcpy(e, from, count * sizeof *e);
}

/* Sorts what the radix passes could not tell apart: groups with the same top 33 bits. They are
 * small for random keys; for keys with a long common prefix there is one large one. */
static void sort_groups(struct defer_entry *e, struct defer_entry *spare, size_t count)
{
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && e[end].head >> 31 == e[i].head >> 31; end++)
			;
		if (end - i > SORT_RUN)
			merge_sort(e + i, spare, end - i);
		else if (end - i > 1)
			sort_run(e + i, end - i);
	}
}

static int sort_entries(struct defer *d, const struct mem *mem)
{
	struct defer_entry *spare;

	if (!d->unsorted)
		return KV_OK;
	spare = mem_resize(mem, NULL, 0, d->count * sizeof *spare);
	if (!spare)
		return status_fail(KV_NOMEM, "no memory to sort %zu deferred writes", d->count);
	if (d->count >= 2048) {
		radix_pass(d->entries, spare, d->count, 31);
		radix_pass(spare, d->entries, d->count, 42);
		radix_pass(d->entries, spare, d->count, 53);
		memcpy(d->entries, spare, d->count * sizeof *spare);
		sort_groups(d->entries, spare, d->count);
	} else {
		merge_sort(d->entries, spare, d->count);
	}
	mem_free(mem, spare, d->count * sizeof *spare);
	d->unsorted = false;
	return KV_OK;
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
		rc = sort_entries(d, &store->mem);
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
		reset_memory(d, pool);
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

/* ---- merging ------------------------------------------------------------------------------- */

/* One sorted source: a run, read through a window, or the memory. */
struct source {
	const uint8_t *record; /* current; NULL at the end */
	uint64_t head;
	const struct defer_entry *entry, *entries_end; /* memory */
	uint8_t *window;                               /* run */
	size_t at, filled;
	uint64_t offset, left; /* of what is not in the window yet */
};

struct merge {
	struct tree_ops ops;
	struct defer *defer;
	struct defer_pool *pool;
	struct tree *tree;
	struct source *sources;
	uint32_t *
	        heap; /* indices of sources, smallest key on top; of equal keys the oldest source */
	size_t count, heap_count;
	uint8_t *out; /* the last operation taken from a run */
	size_t out_room;
};

#define WINDOW_BYTES \
	(READ_BYTES + (96u << 10)) /* a record always fits: key and inline value are below 64 KiB */

static int source_fill(struct merge *m, struct source *s)
{
	struct store *store = m->tree->store;
	size_t keep = s->filled - s->at;
	size_t want = WINDOW_BYTES - keep;
	size_t got;
	int rc;

	if (want > s->left)
		want = (size_t)s->left;
	memmove(s->window, s->window + s->at, keep);
	rc = store->io->ops->read(store->io, &m->pool->file, s->window + keep, want, s->offset,
	                          &got);
	if (!rc && got < want)
		rc = status_fail(KV_IO, "the temporary file of deferred writes is short");
	s->at = 0;
	s->filled = keep + want;
	s->offset += want;
	s->left -= want;
	return rc;
}

/* Steps to the next record. */
static int source_next(struct merge *m, struct source *s)
{
	int rc;

	if (!s->window) {
		s->record = s->entry < s->entries_end ? s->entry->record : NULL;
		if (s->record) {
			s->head = s->entry->head;
			s->entry++;
			if (s->entry + 8 < s->entries_end)
				for (size_t line = 0; line < 256; line += 64)
					prefetch_line(s->entry[8].record + line);
		}
		return KV_OK;
	}
	if (s->record)
		s->at += record_size(s->record);
	if (s->left && s->filled - s->at < (96u << 10)) {
		rc = source_fill(m, s);
		if (rc)
			return rc;
	}
	s->record = s->at < s->filled ? s->window + s->at : NULL;
	if (s->record)
		s->head = entry_head(record_key(s->record));
	return KV_OK;
}

static bool source_before(const struct merge *m, uint32_t a, uint32_t b)
{
	const struct source *x = &m->sources[a], *y = &m->sources[b];
	int c;

	if (x->head != y->head)
		return x->head < y->head;
	c = node_compare(record_key(x->record), record_key(y->record));
	return c ? c < 0 : a < b;
}

static void heap_down(struct merge *m, size_t i)
{
	uint32_t moving = m->heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= m->heap_count)
			break;
		if (child + 1 < m->heap_count &&
		    source_before(m, m->heap[child + 1], m->heap[child]))
			child++;
		if (!source_before(m, m->heap[child], moving))
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = moving;
}

/* Copies the top record out, since stepping may move its window. */
static int take_top(struct merge *m, struct tree_op *op)
{
	struct source *s = &m->sources[m->heap[0]];
	size_t size = record_size(s->record);
	struct record_head h;
	const uint8_t *record = s->record;
	int rc;

	if (s->window) {
		if (m->out_room < size) {
			uint8_t *grown = mem_resize(&m->tree->store->mem, m->out, m->out_room,
			                            size + 512);

			if (!grown)
				return status_fail(KV_NOMEM, "no memory to merge deferred writes");
			m->out = grown;
			m->out_room = size + 512;
		}
		memcpy(m->out, record, size);
		record = m->out;
	}
	rc = source_next(m, s);
	if (rc)
		return rc;
	if (!s->record)
		m->heap[0] = m->heap[--m->heap_count];
	if (m->heap_count)
		heap_down(m, 0);
	h = record_head(record);
	op->key = kv_bytes(record + RECORD_HEAD, h.key_size);
	op->value = kv_bytes(record + RECORD_HEAD + h.key_size, h.value_size);
	op->remove = h.kind == DEFER_DELETE;
	op->large = h.kind == DEFER_PUT_LARGE;
	return KV_OK;
}

/* An operation that a later call on the same key has overtaken. */
static int drop_op(struct merge *m, const struct tree_op *op)
{
	struct node_large large;

	if (!op->large)
		return KV_OK;
	memcpy(&large, op->value.data, sizeof large);
	return large_retire(m->tree, &large);
}

static int merge_next(struct tree_ops *ops, struct tree_op *op)
{
	struct merge *m = (struct merge *)ops;
	struct tree_op next;
	int rc;

	if (!m->heap_count)
		return KV_NOT_FOUND;
	rc = take_top(m, op);
	while (!rc && m->heap_count) {
		const struct source *top = &m->sources[m->heap[0]];

		if (top->head != entry_head(op->key) ||
		    node_compare(record_key(top->record), op->key))
			break;
		rc = drop_op(m, op);
		if (!rc)
			rc = take_top(m, &next);
		if (!rc)
			*op = next;
	}
	return rc;
}

static int merge_open(struct merge *m)
{
	struct defer *d = m->defer;
	const struct mem *mem = &m->tree->store->mem;
	int rc = KV_OK;

	m->count = d->run_count + (d->count ? 1 : 0);
	m->sources = mem_new(mem, m->count * sizeof *m->sources);
	m->heap = mem_new(mem, m->count * sizeof *m->heap);
	if (!m->sources || !m->heap)
		return status_fail(KV_NOMEM, "no memory to merge %zu runs", m->count);
	for (size_t i = 0; i < m->count && !rc; i++) {
		struct source *s = &m->sources[i];

		if (i < d->run_count) {
			s->offset = d->runs[i].offset;
			s->left = d->runs[i].size;
			s->window = mem_resize(mem, NULL, 0, WINDOW_BYTES);
			if (!s->window)
				return status_fail(KV_NOMEM, "no memory to merge %zu runs",
				                   m->count);
			m->ops.count += d->runs[i].count;
			m->ops.bytes += d->runs[i].size;
		} else {
			s->entry = d->entries;
			s->entries_end = d->entries + d->count;
			m->ops.count += d->count;
			m->ops.bytes += d->bytes;
		}
		rc = source_next(m, s);
		if (!rc && s->record)
			m->heap[m->heap_count++] = (uint32_t)i;
	}
	for (size_t i = m->heap_count / 2; i-- > 0;)
		heap_down(m, i);
	return rc;
}

static void merge_close(struct merge *m)
{
	const struct mem *mem = &m->tree->store->mem;

	for (size_t i = 0; m->sources && i < m->count; i++)
		mem_free(mem, m->sources[i].window, WINDOW_BYTES);
	mem_free(mem, m->sources, m->count * sizeof *m->sources);
	mem_free(mem, m->heap, m->count * sizeof *m->heap);
	mem_free(mem, m->out, m->out_room);
}

static void drop_runs(struct defer *d, struct defer_pool *pool, const struct mem *mem)
{
	pool->runs -= d->run_count;
	if (!pool->runs)
		pool->end = 0; /* the file's space is used again */
	mem_free(mem, d->runs, d->run_room * sizeof *d->runs);
	d->runs = NULL;
	d->run_count = d->run_room = 0;
}

int defer_apply(struct defer *d, struct defer_pool *pool, struct tree *tree)
{
	struct merge m = {.ops = {.next = merge_next, .in_order = !d->unsorted && !d->run_count},
	                  .defer = d,
	                  .pool = pool,
	                  .tree = tree};
	int rc = sort_entries(d, &tree->store->mem);

	if (!rc)
		rc = merge_open(&m);
	if (!rc)
		rc = tree_apply(tree, &m.ops);
	merge_close(&m);
	reset_memory(d, pool);
	drop_runs(d, pool, &tree->store->mem);
	return rc;
}

void defer_drop(struct defer *d, struct defer_pool *pool, const struct mem *mem)
{
	reset_memory(d, pool);
	mem_free(mem, d->entries, d->room * sizeof *d->entries);
	d->entries = NULL;
	d->room = 0;
	drop_runs(d, pool, mem);
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
