#include "engine/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "mmap/status.h"

void snapshots_open(struct snapshots *snapshots, const struct mem *mem)
{
	memset(snapshots, 0, sizeof *snapshots);
	snapshots->mem = *mem;
}

void snapshot_publish(struct snapshots *s, const struct snapshot *snapshot)
{
	uint64_t words[SNAPSHOT_WORDS];
	uint64_t next = atomic_load_explicit(&s->visible, memory_order_relaxed) + 1;

	memcpy(words, snapshot, sizeof words);
	for (size_t i = 0; i < SNAPSHOT_WORDS; i++)
		atomic_store_explicit(&s->ring[next % SNAPSHOT_RING][i], words[i],
		                      memory_order_relaxed);
	atomic_store_explicit(&s->visible, next, memory_order_release);
}

uint64_t reader_pin(struct snapshots *s, struct reader *reader, struct snapshot *snapshot)
{
	uint64_t words[SNAPSHOT_WORDS];
	uint64_t seen;

	do {
		seen = atomic_load_explicit(&s->visible, memory_order_acquire);
		for (size_t i = 0; i < SNAPSHOT_WORDS; i++)
			words[i] = atomic_load_explicit(&s->ring[seen % SNAPSHOT_RING][i],
			                                memory_order_relaxed);
		/* The exchange is a full barrier on every machine, and the cheapest one on x86. */
		atomic_exchange_explicit(&reader->pin, words[0], memory_order_seq_cst);
		atomic_thread_fence(memory_order_seq_cst);
	} while (atomic_load_explicit(&s->visible, memory_order_acquire) != seen);
	memcpy(snapshot, words, sizeof words);
	return seen;
}

/* Threads come back to the slot that they used last: its lines are in their cache. */
static _Thread_local uint32_t slot_hint;

static struct reader *try_slot(struct snapshots *s, struct reader *reader, uint64_t index)
{
	uint32_t expected = 0;
	uint64_t used;

	if (atomic_load_explicit(&reader->taken, memory_order_relaxed) ||
	    !atomic_compare_exchange_strong_explicit(&reader->taken, &expected, 1,
	                                             memory_order_acquire, memory_order_relaxed))
		return NULL;
	slot_hint = (uint32_t)index;
	used = atomic_load_explicit(&s->slots_used, memory_order_relaxed);
	/* Sequentially consistent: the reclaimer must see the slot before it can miss its pin. */
	while (used <= index &&
	       !atomic_compare_exchange_weak_explicit(&s->slots_used, &used, index + 1,
	                                              memory_order_seq_cst, memory_order_relaxed))
		;
	return reader;
}

/* The block behind *link, made if there is none. Losing the race to add one frees ours. */
static struct reader_block *block_at(struct snapshots *s, _Atomic(struct reader_block *) *link)
{
	struct reader_block *block = atomic_load_explicit(link, memory_order_acquire);
	struct reader_block *mine;
	void *raw;

	if (block)
		return block;
	/* Blocks live until close; alignment is made here because the allocator hook knows none. */
	raw = mem_new(&s->mem, sizeof *mine + 64);
	if (!raw)
		return NULL;
	mine = (struct reader_block *)(((uintptr_t)raw + 64) & ~(uintptr_t)63);
	((unsigned char *)mine)[-1] = (unsigned char)((uintptr_t)mine - (uintptr_t)raw);
	if (atomic_compare_exchange_strong_explicit(link, &block, mine, memory_order_acq_rel,
	                                            memory_order_acquire))
		return mine;
	mem_free(&s->mem, raw, sizeof *mine + 64);
	return block;
}

void snapshots_free_blocks(struct snapshots *s)
{
	struct reader_block *block = atomic_load(&s->blocks);

	while (block) {
		struct reader_block *next = atomic_load(&block->next);
		unsigned char *start = (unsigned char *)block - ((unsigned char *)block)[-1];

		mem_free(&s->mem, start, sizeof *block + 64);
		block = next;
	}
	atomic_store(&s->blocks, NULL);
}

struct reader *reader_take(struct snapshots *s)
{
	uint32_t hint = slot_hint;
	_Atomic(struct reader_block *) *link = &s->blocks;

	if (hint < READER_BLOCK) {
		struct reader_block *first = block_at(s, link);
		struct reader *reader = first ? try_slot(s, &first->readers[hint], hint) : NULL;

		if (reader)
			return reader;
	}
	for (uint64_t base = 0;; base += READER_BLOCK) {
		struct reader_block *block = block_at(s, link);

		if (!block)
			return NULL;
		for (uint64_t i = 0; i < READER_BLOCK; i++) {
			struct reader *reader = try_slot(s, &block->readers[i], base + i);

			if (reader)
				return reader;
		}
		link = &block->next;
	}
}

void reader_release(struct reader *reader)
{
	/* Release: what the reader read of the pages happens before their reuse. */
	atomic_store_explicit(&reader->pin, READER_IDLE, memory_order_release);
	atomic_store_explicit(&reader->taken, 0, memory_order_release);
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int push_pin(struct snapshots *s, uint64_t pin, uint64_t **pins, size_t *count, size_t *room)
{
	if (*count == *room) {
		size_t larger = *room ? 2 * *room : 64;
		uint64_t *grown = mem_resize(&s->mem, *pins, *room * sizeof **pins,
		                             larger * sizeof **pins);

		if (!grown)
			return status_fail(KV_NOMEM, "no memory to list %zu readers", larger);
		*pins = grown;
		*room = larger;
	}
	(*pins)[(*count)++] = pin;
	return KV_OK;
}

static void sort_unique(uint64_t *pins, size_t *count)
{
	size_t kept = 0;

	if (*count < 2)
		return;
	qsort(pins, *count, sizeof *pins, compare_ids);
	for (size_t i = 0; i < *count; i++)
		if (!i || pins[i] != pins[kept - 1])
			pins[kept++] = pins[i];
	*count = kept;
}

int snapshot_pins(struct snapshots *s, uint64_t **pins, size_t *count, size_t *room)
{
	uint64_t used;
	uint64_t index = 0;

	*count = 0;
	atomic_thread_fence(memory_order_seq_cst);
	used = atomic_load_explicit(&s->slots_used, memory_order_seq_cst);
	for (struct reader_block *b = atomic_load(&s->blocks); b && index < used;
	     b = atomic_load(&b->next)) {
		for (uint64_t i = 0; i < READER_BLOCK && index < used; i++, index++) {
			/* Acquire: see reader_release. */
			uint64_t pin = atomic_load_explicit(&b->readers[i].pin,
			                                    memory_order_acquire);

			if (pin != READER_IDLE && push_pin(s, pin, pins, count, room))
				return KV_NOMEM;
		}
	}
	sort_unique(*pins, count);
	return KV_OK;
}

uint32_t snapshot_readers(struct snapshots *s, uint64_t *oldest)
{
	uint32_t readers = 0;

	for (struct reader_block *b = atomic_load(&s->blocks); b; b = atomic_load(&b->next)) {
		for (size_t i = 0; i < READER_BLOCK; i++) {
			uint64_t pin = atomic_load(&b->readers[i].pin);

			if (pin == READER_IDLE)
				continue;
			if (!readers++ || pin < *oldest)
				*oldest = pin;
		}
	}
	return readers;
}
