/* Counting the heads of a node that are below a number: the inner loop of every search.
 *
 * Counting all of them beats a binary search: ten independent loads are faster than four dependent
 * ones, and there is no branch to mispredict. Only in big nodes a few halvings go first. Heads past
 * the count are never read (a neighbour array may be changing there). */
#ifndef KV_BTREE_HEADS_H
#define KV_BTREE_HEADS_H

#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define HEADS_SWEEP 192u /* heads that are counted rather than halved */
#define HEADS_INLINE 32u /* heads up to which a call of the wider version does not pay */

#if defined(__x86_64__)
/* The same as heads_count with 8 lanes; the processor must have AVX2. count >= 8. */
uint32_t heads_count_avx2(const uint32_t *heads, uint32_t count, uint32_t head);
#endif

#if defined(__SSE2__)

#define HEADS_LANES 4u

/* Lanes below head, as ones from the low bit on: heads are sorted. */
static inline uint32_t heads_mask(const uint32_t *heads, __m128i biased)
{
	__m128i lanes = _mm_loadu_si128((const __m128i *)(const void *)heads);
	__m128i less = _mm_cmplt_epi32(_mm_xor_si128(lanes, _mm_set1_epi32(INT32_MIN)), biased);

	return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(less));
}

static inline uint32_t heads_count_lanes(const uint32_t *heads, uint32_t count, uint32_t head)
{
	const __m128i flip = _mm_set1_epi32(INT32_MIN);
	const __m128i biased = _mm_xor_si128(_mm_set1_epi32((int32_t)head), flip);
	__m128i sum = _mm_setzero_si128();
	uint32_t i = 0, rest = count % HEADS_LANES, below;

	for (; i + HEADS_LANES <= count; i += HEADS_LANES) {
		__m128i lanes = _mm_loadu_si128((const __m128i *)(const void *)(heads + i));

		sum = _mm_sub_epi32(sum, _mm_cmplt_epi32(_mm_xor_si128(lanes, flip), biased));
	}
	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
	sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
	below = (uint32_t)_mm_cvtsi128_si32(sum);
	if (rest) { /* the last lanes once more, without those that were counted */
		uint32_t mask = heads_mask(heads + count - HEADS_LANES, biased);

		below += (uint32_t)__builtin_ctz(~(mask >> (HEADS_LANES - rest)));
	}
	return below;
}

#elif defined(__ARM_NEON)

#define HEADS_LANES 4u

static inline uint32_t heads_count_lanes(const uint32_t *heads, uint32_t count, uint32_t head)
{
	uint32x4_t sum = vdupq_n_u32(0), wanted = vdupq_n_u32(head);
	uint32_t i = 0, lanes[4], below;

	for (; i + HEADS_LANES <= count; i += HEADS_LANES)
		sum = vsubq_u32(sum, vcltq_u32(vld1q_u32(heads + i), wanted));
	vst1q_u32(lanes, sum);
	below = lanes[0] + lanes[1] + lanes[2] + lanes[3];
	for (; i < count; i++)
		below += heads[i] < head;
	return below;
}

#else

#define HEADS_LANES 1u

static inline uint32_t heads_count_lanes(const uint32_t *heads, uint32_t count, uint32_t head)
{
	uint32_t below = 0;

	for (uint32_t i = 0; i < count; i++)
		below += heads[i] < head;
	return below;
}

#endif

static inline uint32_t heads_count(const uint32_t *heads, uint32_t count, uint32_t head)
{
	uint32_t below = 0;

#if defined(__x86_64__)
	if (count > HEADS_INLINE && __builtin_cpu_supports("avx2"))
		return heads_count_avx2(heads, count, head);
#endif
	if (count >= HEADS_LANES)
		return heads_count_lanes(heads, count, head);
	for (uint32_t i = 0; i < count; i++)
		below += heads[i] < head;
	return below;
}

/* How many of the sorted heads are below head. At most count, whatever the heads are. */
static inline uint32_t heads_below(const uint32_t *heads, uint32_t count, uint32_t head)
{
	uint32_t base = 0;

	while (count > HEADS_SWEEP) {
		uint32_t half = count / 2;

		base += heads[base + half - 1] < head ? half : 0;
		count -= half;
	}
	return base + heads_count(heads + base, count, head);
}

#endif
