/* Merging deferred writes into a tree: memory and runs are sources in key order; a heap of sources
 * hands out the smallest key, of equal keys the oldest source first, and the last one counts. */
#include <stdlib.h>

#include "engine/defer_inner.h"
#include "mmap/prefetch.h"
#include "mmap/status.h"

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

int defer_apply(struct defer *d, struct defer_pool *pool, struct tree *tree)
{
	struct merge m = {.ops = {.next = merge_next, .in_order = !d->unsorted && !d->run_count},
	                  .defer = d,
	                  .pool = pool,
	                  .tree = tree};
	int rc = defer_sort(d, &tree->store->mem);

	if (!rc)
		rc = merge_open(&m);
	if (!rc)
		rc = tree_apply(tree, &m.ops);
	merge_close(&m);
	defer_reset(d, pool);
	defer_drop_runs(d, pool, &tree->store->mem);
	return rc;
}
