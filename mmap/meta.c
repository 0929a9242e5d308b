#include "mmap/meta.h"

#include <inttypes.h>

#include "mmap/page.h"
#include "mmap/status.h"

enum { MIN_PAGE_SIZE = 4096, MAX_PAGE_SIZE = 65536 };

enum verdict {
	ABSENT,  /* no meta page */
	DAMAGED, /* once was one */
	FOREIGN, /* a good one of a newer format */
	GOOD,
};

struct candidate {
	struct meta meta;
	enum verdict verdict;
};

uint64_t meta_checksum(const struct meta *meta)
{
	return page_run_checksum(meta, offsetof(struct meta, checksum), META_MAGIC, 0);
}

static enum verdict judge(const struct meta *meta)
{
	if (meta->magic != META_MAGIC)
		return ABSENT;
	if (meta->checksum != meta_checksum(meta))
		return DAMAGED;
	if (meta->version != META_VERSION || meta->incompatible & ~META_INCOMPATIBLE)
		return FOREIGN;
	return GOOD;
}

static int read_candidate(struct io *io, const struct io_file *file, uint64_t offset,
                          struct candidate *candidate)
{
	size_t got;
	int rc;

	memset(candidate, 0, sizeof *candidate);
	rc = io->ops->read(io, file, &candidate->meta, sizeof candidate->meta, offset, &got);
	/* Cut short, it has no good checksum, but may have the magic number. */
	if (!rc)
		candidate->verdict = judge(&candidate->meta);
	return rc;
}

static bool is_page_size(uint32_t size)
{
	return size >= MIN_PAGE_SIZE && size <= MAX_PAGE_SIZE && (size & (size - 1)) == 0;
}

/* Page 0 says nothing: looks for page 1 where it would be at each page size. What it finds there
 * must say that it belongs there. A damaged one is remembered, not believed. */
static int seek_second(struct io *io, const struct io_file *file, struct candidate *second)
{
	enum verdict best = ABSENT;

	for (uint32_t size = MIN_PAGE_SIZE; size <= MAX_PAGE_SIZE; size *= 2) {
		int rc = read_candidate(io, file, size, second);

		if (rc)
			return rc;
		if (second->verdict >= FOREIGN && second->meta.page_size == size)
			return KV_OK;
		if (second->verdict == DAMAGED)
			best = DAMAGED;
	}
	second->verdict = best;
	return KV_OK;
}

static bool is_legal_root(uint64_t id, uint64_t file_pages)
{
	return id == PAGE_NONE || (id >> (PAGE_TAG_SHIFT + 16) == 0 && page_number(id) >= 2 &&
	                           page_number(id) < file_pages);
}

/* A good checksum does not make a file honest. */
static bool is_sensible(const struct meta *meta)
{
	return is_page_size(meta->page_size) && meta->database_id != 0 &&
	       (meta->condition == META_CLEAN || meta->condition == META_OPEN) &&
	       ((meta->txn | meta->sequence | meta->next_table) >> 62) == 0 &&
	       meta->file_pages > 2 && meta->map_bits % 64 == 0 &&
	       meta->map_bits <= (meta->page_size - sizeof(struct page_header)) * 8 &&
	       meta->file_pages <= space_limit(meta->page_size, meta->map_bits) &&
	       is_legal_root(meta->catalog_root, meta->file_pages) &&
	       is_legal_root(meta->system_root, meta->file_pages);
}

/* The one of a pair that counts: 0 or 1. */
static int choose(const struct candidate pair[2], int *chosen)
{
	if (pair[0].verdict == FOREIGN || pair[1].verdict == FOREIGN)
		return status_fail(KV_VERSION,
		                   "made by a newer version, or with features unknown here");
	if (pair[0].verdict == GOOD && pair[1].verdict == GOOD) {
		if (pair[0].meta.database_id != pair[1].meta.database_id ||
		    pair[0].meta.page_size != pair[1].meta.page_size)
			return status_fail(KV_CORRUPT,
			                   "the meta pages belong to different databases");
		*chosen = pair[1].meta.sequence > pair[0].meta.sequence ||
		          (pair[1].meta.sequence == pair[0].meta.sequence &&
		           pair[0].meta.sequence % 2 == 1);
		return KV_OK;
	}
	if (pair[0].verdict != GOOD && pair[1].verdict != GOOD) {
		if (pair[0].verdict == ABSENT && pair[1].verdict == ABSENT)
			return status_fail(KV_NOT_A_DATABASE, "the file is not a kv database");
		return status_fail(KV_CORRUPT, "both meta pages are damaged");
	}
	*chosen = pair[1].verdict == GOOD;
	if (pair[*chosen].meta.condition != META_CLEAN)
		return status_fail(
		        KV_CORRUPT,
		        "meta page %d is damaged, and the database was not closed cleanly: "
		        "the other one may be out of date",
		        !*chosen);
	return KV_OK;
}

int meta_choose(struct io *io, const struct io_file *file, uint64_t size, struct meta *meta,
                bool *alike)
{
	struct candidate pair[2];
	int chosen = 0, rc = read_candidate(io, file, 0, &pair[0]);

	if (!rc && pair[0].verdict == GOOD && is_page_size(pair[0].meta.page_size))
		rc = read_candidate(io, file, pair[0].meta.page_size, &pair[1]);
	else if (!rc)
		rc = seek_second(io, file, &pair[1]);
	if (!rc)
		rc = choose(pair, &chosen);
	if (rc)
		return rc;
	*meta = pair[chosen].meta;
	if (!is_sensible(meta))
		return status_fail(KV_CORRUPT, "meta page %d makes no sense", chosen);
	if (size / meta->page_size < meta->file_pages)
		return status_fail(KV_CORRUPT,
		                   "the file has been cut: %" PRIu64 " bytes are left of %" PRIu64,
		                   size, meta->file_pages * meta->page_size);
	*alike = pair[0].verdict == pair[1].verdict &&
	         memcmp(&pair[0].meta, &pair[1].meta, sizeof *meta) == 0;
	meta->sequence += (meta->sequence & 1) != (unsigned)chosen;
	return KV_OK;
}
