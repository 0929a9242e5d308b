/* Which node layout finds a random key soonest? Packs the same sorted entries (24-byte random keys,
 * 150-byte values) into trees of several layouts and page sizes, in anonymous memory with huge
 * pages, and gets random keys from each, one by one and in batches of 32 that go down in lockstep.
 *
 *	layout [entries [rounds]]
 *
 * Prints a Markdown table: nanoseconds per get, the median of the rounds. Trees take turns in every
 * round, so that a noisy neighbour hits all alike. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "bench/layout/heads.h"
#include "bench/layout/interleaved.h"
#include "bench/layout/plain.h"

#define KEY ((size_t)24)
#define VALUE 150u
#define BATCH 32u
#define GETS 1000000u
#define MAX_ROUNDS 99u
#define HUGE (UINT64_C(2) << 20)

struct pack {
	const struct layout *layout;
	uint8_t *base;
	uint32_t page_size, height;
	uint64_t pages, root;
};

static void fail(const char *what)
{
	fprintf(stderr, "layout: %s\n", what);
	exit(1);
}

static void *huge_memory(size_t size)
{
	uint8_t *p = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0);

	if (p == MAP_FAILED)
		fail("no memory");
	p += -(uintptr_t)p % HUGE;
	madvise(p, size, MADV_HUGEPAGE);
	return p;
}

/* ---- entries --------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, KEY);
}

static uint8_t *sorted_keys(uint64_t entries)
{
	uint8_t *keys = huge_memory(entries * KEY);

	for (uint64_t i = 0; i < entries * (KEY / 8); i++) {
		uint64_t v = mix((i + 1) * UINT64_C(0x9e3779b97f4a7c15));

		memcpy(keys + 8 * i, &v, 8);
	}
	qsort(keys, entries, KEY, compare_keys);
	return keys;
}

/* Keys to get, in the order of asking. */
static uint8_t *make_queries(const uint8_t *keys, uint64_t entries)
{
	uint8_t *queries = huge_memory((size_t)GETS * KEY);

	for (uint64_t i = 0; i < GETS; i++)
		memcpy(queries + i * KEY, keys + mix(~i) % entries * KEY, KEY);
	return queries;
}

/* ---- packing --------------------------------------------------------------------------------- */

struct level {
	uint8_t *page; /* the node being filled, the last of its level */
	uint64_t count, made;
	uint8_t separator[KEY]; /* before it */
	size_t separator_size;
};

struct packer {
	struct pack *pack;
	struct level levels[KV_MAX_LEVELS];
};

static void open_node(struct packer *p, uint32_t level, kv_slice separator)
{
	struct level *l = p->levels + level;

	l->page = p->pack->base + p->pack->pages++ * p->pack->page_size;
	l->count = 0;
	l->made++;
	l->separator_size = separator.size;
	if (separator.size)
		memcpy(l->separator, separator.data, separator.size);
	p->pack->layout->init(l->page, p->pack->page_size, (uint8_t)level);
}

static void add_child(struct packer *p, uint32_t level, kv_slice separator, uint64_t child,
                      uint64_t count);

static void close_node(struct packer *p, uint32_t level)
{
	struct level *l = p->levels + level;

	p->pack->layout->finish(l->page, p->pack->page_size);
	add_child(p, level + 1, kv_bytes(l->separator, l->separator_size),
	          (uint64_t)(l->page - p->pack->base) / p->pack->page_size, l->count);
}

static void add_child(struct packer *p, uint32_t level, kv_slice separator, uint64_t child,
                      uint64_t count)
{
	struct level *l = p->levels + level;
	const struct pack *pack = p->pack;

	if (!l->page)
		open_node(p, level, kv_bytes(NULL, 0));
	if (!pack->layout->append_branch(l->page, pack->page_size,
	                                 node_count(l->page) ? separator : kv_bytes(NULL, 0), child,
	                                 count)) {
		close_node(p, level);
		open_node(p, level, separator);
		pack->layout->append_branch(l->page, pack->page_size, kv_bytes(NULL, 0), child,
		                            count);
	}
	l->count += count;
}

static void add_entry(struct packer *p, kv_slice before, kv_slice key)
{
	static const uint8_t ones[VALUE] = {1};
	kv_slice value = kv_bytes(ones, VALUE);
	const struct pack *pack = p->pack;
	struct level *l = p->levels;

	if (!l->page)
		open_node(p, 0, kv_bytes(NULL, 0));
	if (!pack->layout->append_leaf(l->page, pack->page_size, key, value)) {
		close_node(p, 0);
		open_node(p, 0, kv_bytes(key.data, node_separator(before, key)));
		pack->layout->append_leaf(l->page, pack->page_size, key, value);
	}
	l->count++;
}

static struct pack pack_new(const struct layout *layout, uint32_t page_size, const uint8_t *keys,
                            uint64_t entries)
{
	struct pack pack = {.layout = layout, .page_size = page_size};
	struct packer packer = {.pack = &pack};
	uint32_t level = 0;

	pack.base = huge_memory(entries * 256 + HUGE);
	for (uint64_t i = 0; i < entries; i++)
		add_entry(&packer, kv_bytes(keys + (i ? i - 1 : 0) * KEY, KEY),
		          kv_bytes(keys + i * KEY, KEY));
	for (; packer.levels[level].made > 1; level++)
		close_node(&packer, level);
	layout->finish(packer.levels[level].page, page_size);
	pack.root = (uint64_t)(packer.levels[level].page - pack.base) / page_size;
	pack.height = level + 1;
	return pack;
}

/* ---- getting --------------------------------------------------------------------------------- */

/* What to ask for ahead of need. */
enum { PREFETCH_LEAF = 1, PREFETCH_BRANCH = 2, PREFETCH_ENTRY = 4 };

#define INLINE static inline __attribute__((always_inline))

INLINE void prefetch_lines(const uint8_t *from, uint32_t lines)
{
	for (uint32_t i = 0; i < lines; i++)
		__builtin_prefetch(from + 64 * (size_t)i);
}

INLINE const uint8_t *child_of(const struct pack *pack, const struct layout *layout,
                               const uint8_t *node, uint32_t level, kv_slice key, int prefetch)
{
	const uint8_t *child = pack->base + layout->route(node, key) * pack->page_size;
	uint32_t scale = pack->page_size / 4096;

	if (level == 1 && (prefetch & PREFETCH_LEAF))
		prefetch_lines(child, layout->leaf_lines * scale);
	if (level > 1 && (prefetch & PREFETCH_BRANCH))
		prefetch_lines(child, layout->branch_lines * scale);
	return child;
}

/* Reads the value as a caller would: all of its lines. */
INLINE uint64_t use(const uint8_t *value)
{
	if (!value)
		fail("a key is missing");
	return (uint64_t)value[0] + value[VALUE / 2] + value[VALUE - 1];
}

/* The candidate's value; keys whose heads are equal are told apart by a full search. */
INLINE const uint8_t *confirm(const struct layout *layout, const uint8_t *leaf,
                              const uint8_t *entry, kv_slice key)
{
	const uint8_t *value = entry ? layout->confirm(entry, key) : NULL;

	return value ? value : layout->find(leaf, key);
}

INLINE uint64_t get(const struct pack *pack, const struct layout *layout, kv_slice key,
                    int prefetch)
{
	const uint8_t *node = pack->base + pack->root * pack->page_size, *entry;

	for (uint32_t level = pack->height - 1; level; level--)
		node = child_of(pack, layout, node, level, key, prefetch);
	if (!(prefetch & PREFETCH_ENTRY))
		return use(layout->find(node, key));
	entry = layout->candidate(node, key);
	if (entry)
		prefetch_lines(entry, 4);
	return use(confirm(layout, node, entry, key));
}

INLINE uint64_t get_batch(const struct pack *pack, const struct layout *layout, const uint8_t *keys)
{
	const uint8_t *node[BATCH], *entry[BATCH];
	uint64_t sum = 0;

	for (uint32_t k = 0; k < BATCH; k++)
		node[k] = pack->base + pack->root * pack->page_size;
	for (uint32_t level = pack->height - 1; level; level--)
		for (uint32_t k = 0; k < BATCH; k++)
			node[k] = child_of(pack, layout, node[k], level,
			                   kv_bytes(keys + k * KEY, KEY),
			                   PREFETCH_LEAF | PREFETCH_BRANCH);
	if (!layout->candidate) {
		for (uint32_t k = 0; k < BATCH; k++)
			sum += use(layout->find(node[k], kv_bytes(keys + k * KEY, KEY)));
		return sum;
	}
	for (uint32_t k = 0; k < BATCH; k++) {
		entry[k] = layout->candidate(node[k], kv_bytes(keys + k * KEY, KEY));
		if (entry[k])
			prefetch_lines(entry[k], 4);
	}
	for (uint32_t k = 0; k < BATCH; k++)
		sum += use(confirm(layout, node[k], entry[k], kv_bytes(keys + k * KEY, KEY)));
	return sum;
}

INLINE uint64_t get_all(const struct pack *pack, const struct layout *layout,
                        const uint8_t *queries, int prefetch)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < GETS; i++)
		sum += get(pack, layout, kv_bytes(queries + (size_t)i * KEY, KEY), prefetch);
	return sum;
}

INLINE uint64_t get_batches(const struct pack *pack, const struct layout *layout,
                            const uint8_t *queries)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i + BATCH <= GETS; i += BATCH)
		sum += get_batch(pack, layout, queries + (size_t)i * KEY);
	return sum;
}

/* ---- measuring ------------------------------------------------------------------------------- */

typedef uint64_t run_fn(const struct pack *pack, const uint8_t *queries);

#define RUN(name, expression)                                                 \
	static uint64_t name(const struct pack *pack, const uint8_t *queries) \
	{                                                                     \
		return expression;                                            \
	}
RUN(heads_single, get_all(pack, &layout_heads, queries, 0))
RUN(heads_leaf, get_all(pack, &layout_heads, queries, PREFETCH_LEAF))
RUN(heads_branch, get_all(pack, &layout_heads, queries, PREFETCH_LEAF | PREFETCH_BRANCH))
RUN(heads_entry, get_all(pack, &layout_heads, queries, PREFETCH_LEAF | PREFETCH_ENTRY))
RUN(heads_batch, get_batches(pack, &layout_heads, queries))
RUN(interleaved_single, get_all(pack, &layout_interleaved, queries, 0))
RUN(interleaved_leaf, get_all(pack, &layout_interleaved, queries, PREFETCH_LEAF))
RUN(interleaved_entry, get_all(pack, &layout_interleaved, queries, PREFETCH_LEAF | PREFETCH_ENTRY))
RUN(interleaved_batch, get_batches(pack, &layout_interleaved, queries))
RUN(plain_single, get_all(pack, &layout_plain, queries, 0))
RUN(plain_leaf, get_all(pack, &layout_plain, queries, PREFETCH_LEAF))
RUN(plain_batch, get_batches(pack, &layout_plain, queries))

struct measure {
	uint32_t pack;
	const char *what;
	run_fn *run;
	double ns[MAX_ROUNDS];
};

/* Nanoseconds of processor time: others may use the machine. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare_times(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure_all(const struct pack *packs, struct measure *measures, size_t n,
                        const uint8_t *queries, uint32_t rounds)
{
	uint64_t sum = 0;

	for (uint32_t round = 0; round < rounds; round++)
		for (size_t i = 0; i < n; i++) {
			double start = now();

			sum += measures[i].run(packs + measures[i].pack, queries);
			measures[i].ns[round] = (now() - start) / GETS;
		}
	if (sum == 0)
		printf("all values were zero\n"); /* the sum is used: nothing is optimized away */
	for (size_t i = 0; i < n; i++)
		qsort(measures[i].ns, rounds, sizeof(double), compare_times);
}

static uint32_t number(const char *argument, uint32_t most)
{
	unsigned long v = strtoul(argument, NULL, 10);

	if (!v || v > most)
		fail("usage: layout [entries [rounds]]");
	return (uint32_t)v;
}

int main(int argc, char **argv)
{
	uint32_t entries = argc > 1 ? number(argv[1], UINT32_MAX) : 5000000;
	uint32_t rounds = argc > 2 ? number(argv[2], MAX_ROUNDS) : 9;
	/* Layout A's own search, node_find, prefetches the entry in any case. */
	static struct measure measures[] = {
	        {0, "one by one", heads_single, {0}},
	        {0, "one by one, the leaf's first lines prefetched", heads_leaf, {0}},
	        {0, "the same, and those of branches", heads_branch, {0}},
	        {0, "the leaf's first lines and the entry's prefetched", heads_entry, {0}},
	        {0, "batches of 32", heads_batch, {0}},
	        {1, "one by one", interleaved_single, {0}},
	        {1, "one by one, the leaf's first lines prefetched", interleaved_leaf, {0}},
	        {1, "the leaf's first lines and the entry's prefetched", interleaved_entry, {0}},
	        {1, "batches of 32", interleaved_batch, {0}},
	        {2, "one by one", plain_single, {0}},
	        {2, "one by one, the leaf's first lines prefetched", plain_leaf, {0}},
	        {2, "batches of 32", plain_batch, {0}},
	        {3, "one by one", heads_single, {0}},
	        {3, "one by one, the leaf's first lines prefetched", heads_leaf, {0}},
	        {3, "batches of 32", heads_batch, {0}},
	        {4, "one by one", heads_single, {0}},
	        {4, "one by one, the leaf's first lines prefetched", heads_leaf, {0}},
	        {4, "batches of 32", heads_batch, {0}},
	};
	const uint8_t *keys = sorted_keys(entries), *queries = make_queries(keys, entries);
	struct pack packs[] = {
	        pack_new(&layout_heads, 4096, keys, entries),
	        pack_new(&layout_interleaved, 4096, keys, entries),
	        pack_new(&layout_plain, 4096, keys, entries),
	        pack_new(&layout_heads, 8192, keys, entries),
	        pack_new(&layout_heads, 16384, keys, entries),
	};
	size_t n = sizeof(measures) / sizeof(*measures);

	measure_all(packs, measures, n, queries, rounds);
	printf("%u entries, %u rounds of %u gets\n\n", entries, rounds, GETS);
	printf("| layout | page | height | MiB | gets | ns, median | fastest - slowest |\n");
	printf("|---|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < n; i++) {
		const struct pack *pack = packs + measures[i].pack;
		const double *ns = measures[i].ns;

		printf("| %s | %u | %u | %.0f | %s | %.0f | %.0f - %.0f |\n", pack->layout->name,
		       pack->page_size, pack->height,
		       (double)(pack->pages * pack->page_size) / 1048576, measures[i].what,
		       ns[rounds / 2], ns[0], ns[rounds - 1]);
	}
	return 0;
}
