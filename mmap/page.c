#include "mmap/page.h"

/* Inlined, so that the compiler sees the fixed length and no symbol can clash with another copy of
 * xxHash in the application. SSE2 suffices: from memory the checksum runs as fast as memory
 * does. */
#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's integers are little endian");

/* Spreads page numbers over the whole seed; odd, so that no two numbers share one. */
#define SEED_STEP UINT64_C(0x9e3779b97f4a7c15)

uint64_t page_checksum(const void *page, uint32_t page_size, uint64_t database_id, uint64_t number)
{
	return page_run_checksum((const uint8_t *)page + sizeof(uint64_t),
	                         page_size - sizeof(uint64_t), database_id, number);
}

uint64_t page_run_checksum(const void *data, uint64_t size, uint64_t database_id, uint64_t number)
{
	return XXH3_64bits_withSeed(data, size, database_id + number * SEED_STEP);
}
