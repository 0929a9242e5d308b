/* The few types and limits that every folder shares with the public interface. Applications get
 * them through kv.h. */
#ifndef KV_TYPES_H
#define KV_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that somebody else owns. data may be NULL when size is 0. */
typedef struct kv_slice {
	const void *data;
	size_t size;
} kv_slice;

static inline kv_slice kv_bytes(const void *data, size_t size)
{
	kv_slice s = {data, size};
	return s;
}

/* One level of a cursor's path: a page and where in it. Opaque to applications. */
struct kv_level {
	const void *page;
	uint32_t index, count;
};

#define KV_MAX_VALUE UINT32_MAX /* bytes in a value: 4 GiB - 1 */
#define KV_MAX_TABLE_NAME 255   /* bytes in a table's name, at least 1, no NUL */
#define KV_MIN_PAGE_SIZE 4096u  /* page sizes are powers of two */
#define KV_MAX_PAGE_SIZE 65536u
#define KV_MAX_LEVELS 20 /* of a tree, leaves included */
/* Longest key, in bytes, in a database of the given page size: 960 at 4 KiB, 16,320 at 64 KiB.
 * The shortest key has 0 bytes. kv_info_get() says it for an open database. */
#define KV_MAX_KEY(page_size) ((page_size) / 4 - 64)

#endif
