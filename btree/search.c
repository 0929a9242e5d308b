/* Searching a node: prefix, heads, and only then the heap. */
#include "btree/node.h"

#include "btree/heads.h"
#include "mmap/prefetch.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 8u

__attribute__((target("avx2"))) uint32_t heads_count_avx2(const uint32_t *heads, uint32_t count,
                                                          uint32_t head)
{
	const __m256i flip = _mm256_set1_epi32(INT32_MIN);
	const __m256i biased = _mm256_xor_si256(_mm256_set1_epi32((int32_t)head), flip);
	__m256i even = _mm256_setzero_si256(), odd = even, lanes;
	__m128i sum;
	uint32_t i = 0, rest = count % LANES, below;

	for (; i + 2 * LANES <= count; i += 2 * LANES) {
		lanes = _mm256_loadu_si256((const __m256i *)(const void *)(heads + i));
		lanes = _mm256_cmpgt_epi32(biased, _mm256_xor_si256(lanes, flip));
		even = _mm256_sub_epi32(even, lanes);
		lanes = _mm256_loadu_si256((const __m256i *)(const void *)(heads + i + LANES));
		lanes = _mm256_cmpgt_epi32(biased, _mm256_xor_si256(lanes, flip));
		odd = _mm256_sub_epi32(odd, lanes);
	}
	if (i + LANES <= count) {
		lanes = _mm256_loadu_si256((const __m256i *)(const void *)(heads + i));
		lanes = _mm256_cmpgt_epi32(biased, _mm256_xor_si256(lanes, flip));
		even = _mm256_sub_epi32(even, lanes);
	}
	even = _mm256_add_epi32(even, odd);
	sum = _mm_add_epi32(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
	below = (uint32_t)_mm_cvtsi128_si32(sum);
	if (rest) { /* as in heads_count_lanes */
		uint32_t mask;

		lanes = _mm256_loadu_si256((const __m256i *)(const void *)(heads + count - LANES));
		lanes = _mm256_cmpgt_epi32(biased, _mm256_xor_si256(lanes, flip));
		mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(lanes));
		below += (uint32_t)__builtin_ctz(~(mask >> (LANES - rest)));
	}
	return below;
}
#endif

/* ---- the prefix ----------------------------------------------------------------------------- */

/* Compares key with the node's prefix when eight bytes do not settle it. */
static int prefix_compare_long(const uint8_t *page, kv_slice key)
{
	uint32_t prefix = page_header_of(page)->prefix, first = node_is_branch(page) ? 1 : 0;
	kv_slice whole = kv_bytes(page + sizeof(struct page_header), prefix);

	if (prefix > NODE_PREFIX_BYTES) {
		if (first >= node_count(page))
			return 0;
		whole = node_key(page, first);
		if (whole.size > prefix)
			whole.size = prefix;
	}
	if (key.size > whole.size)
		key.size = whole.size;
	return node_compare(key, whole);
}

static inline uint64_t big_endian(const void *bytes)
{
	uint64_t v;

	memcpy(&v, bytes, 8);
	return __builtin_bswap64(v);
}

/* Where key lies in relation to the keys that begin with the node's prefix: < 0 before all of them,
 * > 0 behind, 0 among them. */
static inline int prefix_compare(const uint8_t *page, kv_slice key)
{
	uint32_t prefix = page_header_of(page)->prefix;

	if (prefix == 0)
		return 0;
	if (prefix <= 8 && key.size >= 8) {
		uint64_t a = big_endian(key.data) >> (64 - 8 * prefix);
		uint64_t b = big_endian(page + sizeof(struct page_header)) >> (64 - 8 * prefix);

		return (a > b) - (a < b);
	}
	return prefix_compare_long(page, key);
}

/* ---- runs of equal heads -------------------------------------------------------------------- */

/* First index in [from, count) whose head is above heads[from]. */
static uint32_t run_end(const uint8_t *page, uint32_t from)
{
	const uint32_t *heads = node_heads(page);
	uint32_t count = node_count(page), head = heads[from];

	if (from + 1 == count || heads[from + 1] != head)
		return from + 1;
	return head == UINT32_MAX ? count
	                          : from + heads_below(heads + from, count - from, head + 1);
}

/* First index in the run of equal heads that begins at from whose key is > key, or >= key if
 * inclusive; the run's end if there is none. */
static uint32_t run_search(const uint8_t *page, uint32_t from, kv_slice key, bool inclusive)
{
	uint32_t to = run_end(page, from);

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		int c = node_compare(node_key(page, middle), key);

		if (c < 0 || (c == 0 && !inclusive))
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* ---- the three searches --------------------------------------------------------------------- */

static inline bool key_equal(const uint8_t *leaf, uint32_t i, kv_slice key)
{
	kv_slice found = node_key(leaf, i);

	return found.size == key.size && (!key.size || !memcmp(found.data, key.data, key.size));
}

uint32_t node_lower_bound(const uint8_t *leaf, kv_slice key, bool *equal)
{
	const uint32_t *heads = node_heads(leaf);
	uint32_t count = node_count(leaf), head, i;
	int c = prefix_compare(leaf, key);

	*equal = false;
	if (c)
		return c < 0 ? 0 : count;
	head = node_head(key, page_header_of(leaf)->prefix);
	i = heads_below(heads, count, head);
	if (i == count || heads[i] != head)
		return i;
	if (i + 1 < count && heads[i + 1] == head) {
		i = run_search(leaf, i, key, true);
		*equal = i < count && key_equal(leaf, i, key);
		return i;
	}
	c = node_compare(node_key(leaf, i), key);
	*equal = c == 0;
	return i + (c < 0);
}

/* Asks for an entry of some 200 bytes at once: else its further lines are waited for one by one,
 * after the comparison of the key. */
static inline void prefetch_entry(const uint8_t *leaf, uint32_t i)
{
	const uint8_t *entry = leaf + node_slots(leaf)[i];

	prefetch_line(entry);
	prefetch_line(entry + 64);
	prefetch_line(entry + 128);
	prefetch_line(entry + 192);
}

uint32_t node_find(const uint8_t *leaf, kv_slice key)
{
	const uint32_t *heads = node_heads(leaf);
	uint32_t count = node_count(leaf), i;
	/* A key without the prefix may meet a head all the same: the whole key decides. */
	uint32_t head = node_head(key, page_header_of(leaf)->prefix);

	i = heads_below(heads, count, head);
	if (i == count || heads[i] != head)
		return UINT32_MAX;
	prefetch_entry(leaf, i);
	if (i + 1 < count && heads[i + 1] == head) {
		i = run_search(leaf, i, key, true);
		if (i == count)
			return UINT32_MAX;
	}
	return key_equal(leaf, i, key) ? i : UINT32_MAX;
}

uint32_t node_route(const uint8_t *branch, kv_slice key)
{
	const uint32_t *heads = node_heads(branch);
	uint32_t count = node_count(branch), head, i;
	int c = prefix_compare(branch, key);

	if (c)
		return c < 0 ? 0 : count - 1;
	head = node_head(key, page_header_of(branch)->prefix);
	i = heads_below(heads, count, head);
	i += i == 0; /* separator 0 is minus infinity, its head 0 */
	if (i < count && heads[i] == head)
		i = run_search(branch, i, key, false);
	return i - 1;
}
