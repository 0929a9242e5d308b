/* Asking for memory before it is needed. */
#ifndef KV_MMAP_PREFETCH_H
#define KV_MMAP_PREFETCH_H

/* Asks for the cache line at p, which may be any address. GCC takes a function that only prefetches
 * for one without effect, and drops the calls of it; the empty statement keeps them. */
static inline void prefetch_line(const void *p)
{
	__builtin_prefetch(p);
	__asm__ volatile("");
}

#endif
