/* The process's memory: warming it, and watching how much of it is private. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stdint.h>

/* Bytes that the system could hand out now, page cache included. */
uint64_t memory_available(void);

/* Bytes of memory in the machine. */
uint64_t memory_total(void);

/* Touches and releases that much memory (at most two thirds of what is available). In a virtual
 * machine, pages not used for some seconds may have gone back to the host, and cost fifty times as
 * much to touch again: without this, whoever runs first pays for all. */
void memory_warm(uint64_t bytes);

/* Watches the private resident memory (RssAnon) from now on. One watch at a time. */
void memory_watch(void);

/* Ends the watch. Returns the largest growth since it began, in bytes. */
uint64_t memory_watched(void);

#endif
