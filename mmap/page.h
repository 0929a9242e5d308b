/* Pages: ids, the header that every page in the file carries, and its checksum.
 *
 * A page id is 64 bits:
 *
 *	bit 63      1: a frame in the arena; 0: a page of the file
 *	bits 40-55  file pages: tag, the low 16 bits of the page's checksum, so that a lost or
 *	            misplaced write is noticed when the page is reached through its parent
 *	bits 0-39   number of the frame or page
 *
 * Id 0 (page 0, a meta page) stands for "none".
 *
 * Header, 32 bytes, little endian like everything in the file:
 *
 *	 0  u64  checksum   XXH3-64 of bytes 8.. of the page, seeded by database id and page number
 *	 8  u64  birth      id of the transaction that made the content
 *	16  u8   type       enum page_type
 *	17  u8   level      0 for leaves, parent's minus one below
 *	18  u16  count      entries
 *	20  u32  heap       offset of the lowest heap byte in use (nodes)
 *	24  u32  dead       bytes inside the heap that no entry owns (nodes)
 *	28  u16  capacity   entries that the arrays have room for (nodes)
 *	30  u16  prefix     bytes that all keys of the node share (nodes) */
#ifndef KV_MMAP_PAGE_H
#define KV_MMAP_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t page_id;

#define PAGE_FRAME (UINT64_C(1) << 63)
#define PAGE_NUMBER_BITS 40
#define PAGE_NUMBER_MASK ((UINT64_C(1) << PAGE_NUMBER_BITS) - 1)
#define PAGE_TAG_SHIFT 40
#define PAGE_NONE UINT64_C(0)

enum page_type {
	PAGE_META = 1,
	PAGE_MAP_ROOT = 2,
	PAGE_MAP = 3,
	PAGE_LEAF = 4,
	PAGE_BRANCH = 5,
	PAGE_CATALOG = 6, /* a leaf whose values are 8-byte aligned: they hold page ids */
};

struct page_header {
	uint64_t checksum;
	uint64_t birth;
	uint8_t type;
	uint8_t level;
	uint16_t count;
	uint32_t heap;
	uint32_t dead;
	uint16_t capacity;
	uint16_t prefix;
};
_Static_assert(sizeof(struct page_header) == 32, "page header");

static inline bool page_is_frame(page_id id)
{
	return id >> 63;
}

static inline uint64_t page_number(page_id id)
{
	return id & PAGE_NUMBER_MASK;
}

static inline uint16_t page_tag(page_id id)
{
	return (uint16_t)(id >> PAGE_TAG_SHIFT);
}

/* The id of a file page whose header (checksum included) is complete. */
static inline page_id page_file_id(uint64_t number, uint64_t checksum)
{
	return (checksum & 0xffff) << PAGE_TAG_SHIFT | number;
}

static inline page_id page_frame_id(uint64_t frame)
{
	return PAGE_FRAME | frame;
}

/* Pages and frames are aligned to their size, so a header may be read through the struct. */
static inline struct page_header *page_header(void *page)
{
	return (struct page_header *)page;
}

static inline const struct page_header *page_header_of(const void *page)
{
	return (const struct page_header *)page;
}

/* XXH3-64 (xxHash, Yann Collet) of the page from byte 8 on, seeded so that a page of another
 * database or from another place does not pass. */
uint64_t page_checksum(const void *page, uint32_t page_size, uint64_t database_id, uint64_t number);

/* Seeded the same way, for large values, which carry no headers. */
uint64_t page_run_checksum(const void *data, uint64_t size, uint64_t database_id, uint64_t number);

#endif
