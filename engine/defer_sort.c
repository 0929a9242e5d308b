/* Sorting deferred writes: stable, for the last call on a key wins. Large buffers are radix sorted
 * by the top bits of their heads; what is undecided then is merge sorted, like small buffers. */
#include "engine/defer_inner.h"
#include "mmap/status.h"

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

int defer_sort(struct defer *d, const struct mem *mem)
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
