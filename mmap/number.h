/* The smaller of two, and a number kept within limits. */
#ifndef KV_MMAP_NUMBER_H
#define KV_MMAP_NUMBER_H

#include <stdint.h>

static inline uint64_t minimum(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t clamp(uint64_t n, uint64_t least, uint64_t most)
{
	return n < least ? least : minimum(n, most);
}

#endif
