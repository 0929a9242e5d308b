#include "mmap/map.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define HUGE_PAGE ((uint64_t)2 << 20)
#define GIB ((uint64_t)1 << 30)
#define DEFAULT_MAP (1024 * GIB)

/* ---- mapping ------------------------------------------------------------------------------- */

static void *reserve(uint64_t bytes)
{
	void *start = mmap(NULL, (size_t)bytes, PROT_NONE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return start == MAP_FAILED ? NULL : start;
}

/* A process has 128 TiB of addresses. If every database took the largest piece that can be had, the
 * first 127 would leave nothing to the others; so each takes at most a 128th of the largest hole
 * (of two, hence 512 GiB at first): enough for a thousand. But a large file gets room to grow. */
static uint64_t fair_share(uint64_t need)
{
	uint64_t bytes = DEFAULT_MAP;

	while (bytes > GIB) {
		void *hole = reserve(bytes * 128);

		if (hole) {
			munmap(hole, (size_t)(bytes * 128));
			break;
		}
		bytes /= 2;
	}
	return bytes > 4 * need ? bytes : 4 * need;
}

/* Maps the file over bytes of address space that begin at a multiple of HUGE_PAGE, so that the
 * kernel can use huge pages. The file is shorter: what lies behind its end must not be touched, and
 * comes to life by itself when it grows. One mapping for all costs no more than one for a part. */
static uint8_t *map_aligned(const struct io_file *file, uint64_t bytes)
{
	uint8_t *start = reserve(bytes + HUGE_PAGE), *base;
	size_t before;

	if (!start)
		return NULL;
	before = (size_t)((HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE);
	base = mmap(start + before, (size_t)bytes, PROT_READ,
	            MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file->fd, 0);
	if (base == MAP_FAILED) {
		munmap(start, (size_t)(bytes + HUGE_PAGE));
		return NULL;
	}
	if (before)
		munmap(start, before);
	munmap(base + bytes, (size_t)HUGE_PAGE - before);
	return base;
}

int map_open(struct store *store, uint64_t want, uint64_t need)
{
	uint64_t bytes = want ? want : fair_share(need);

	need = need ? (need + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : HUGE_PAGE;
	bytes = bytes / HUGE_PAGE * HUGE_PAGE;
	for (;;) {
		if (bytes < need)
			bytes = need;
		store->base[0] = map_aligned(&store->file, bytes);
		if (store->base[0])
			break;
		if (bytes == need)
			return status_fail_errno(ENOMEM, "mapping the file's %" PRIu64 " bytes",
			                         need);
		bytes = bytes / 2 / HUGE_PAGE * HUGE_PAGE;
	}
	store->mapped_bytes = (size_t)bytes;
	store->map_pages = bytes >> store->page_shift;
	return KV_OK;
}

void map_close(struct store *store)
{
	if (store->base[0])
		munmap(store->base[0], store->mapped_bytes);
	store->base[0] = NULL;
}

/* ---- faulting in --------------------------------------------------------------------------- */

static int cut_off(uint64_t page)
{
	return status_fail(KV_CORRUPT, "page %" PRIu64 " is gone: the file has been cut", page);
}

/* Why pages could not be faulted in: the kernel says EFAULT of cut files and of bad disks alike. */
static int explain(struct store *store, uint64_t first, uint64_t count, int error)
{
	uint64_t size;
	int rc;

	if (error == ENOMEM || error == EAGAIN)
		return status_fail(KV_NOMEM, "no memory to read page %" PRIu64, first);
	rc = store->io->ops->size(store->io, &store->file, &size);
	if (!rc && size < (first + count) << store->page_shift)
		return cut_off(size >> store->page_shift > first ? size >> store->page_shift
		                                                 : first);
	return rc ? rc : status_fail(KV_IO, "page %" PRIu64 " cannot be read from the disk", first);
}

/* Without MADV_POPULATE_READ: a byte read from each piece brings it into the page cache or says why
 * not. Should it be evicted again before it is touched, an error then is a SIGBUS after all. */
static int read_instead(struct store *store, uint64_t first, uint64_t count)
{
	uint64_t start = first << store->page_shift, end = (first + count) << store->page_shift;

	for (uint64_t offset = start; offset < end; offset += 4096) {
		uint8_t byte;
		size_t got;
		int rc = store->io->ops->read(store->io, &store->file, &byte, 1, offset, &got);

		if (rc)
			return rc;
		if (got == 0)
			return cut_off(offset >> store->page_shift);
	}
	return KV_OK;
}

int map_populate(struct store *store, uint64_t first, uint64_t count)
{
	uint8_t *start = store->base[0] + (first << store->page_shift);
	size_t bytes = (size_t)(count << store->page_shift);
	int failed;

	if (store->no_populate)
		return read_instead(store, first, count);
	do {
		failed = madvise(start, bytes, MADV_POPULATE_READ);
	} while (failed && errno == EINTR);
	if (failed && errno == EINVAL) {
		store->no_populate = true;
		return read_instead(store, first, count);
	}
	return failed ? explain(store, first, count, errno) : KV_OK;
}
