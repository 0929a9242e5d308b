/* I/O for tests: real files through io_posix, with every call written down and any of them made to
 * fail. Linked into tests only.
 *
 * Calls are carried out one at a time, so that the trace is in the order in which the files
 * changed. A batch is carried out at flush (or close), from the memory as it is then: a caller that
 * reads the file, syncs it or reuses the memory before flushing is found out. */
#ifndef KV_MMAP_IO_RECORD_H
#define KV_MMAP_IO_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/io.h"

enum io_record_kind {
	IO_RECORD_ANY, /* in faults and counts only */
	IO_RECORD_OPEN,
	IO_RECORD_CLOSE,
	IO_RECORD_SIZE,
	IO_RECORD_READ,
	IO_RECORD_WRITE,
	IO_RECORD_BATCH_WRITE, /* one write of a batch */
	IO_RECORD_FLUSH,       /* after the batch's writes */
	IO_RECORD_SYNC,
	IO_RECORD_SYNC_DIRECTORY,
	IO_RECORD_ALLOCATE,
	IO_RECORD_TRUNCATE,
	IO_RECORD_RENAME,
	IO_RECORD_REMOVE,
	IO_RECORD_LOCK,
	IO_RECORD_KINDS
};

/* One call. Fields that a kind has no use for are 0 or NULL. */
struct io_record_call {
	enum io_record_kind kind;
	uint32_t tag;     /* of the open file, from 1; each open has its own */
	const char *path; /* of that file as opened, NULL if in memory; else the call's own */
	const char *to;   /* rename */
	unsigned flags;   /* open: enum io_open_flags; lock: enum io_lock */
	bool created;  /* open: there was no file at path before; temporary and memory files too */
	bool injected; /* failed by a fault, not by the system */
	uint64_t offset;  /* read, writes, allocate */
	uint64_t size;    /* bytes asked for: read, writes, allocate, truncate */
	uint64_t done;    /* bytes read, or that reached the file; size: the answer. Of a write that
	                     the system failed by itself, 0, though some may have reached it */
	const void *data; /* writes: a copy of all size bytes, if data is being kept */
	int rc;           /* what the call returned */
};

/* How much is written down. Calls are counted in any case. */
enum io_record_detail { IO_RECORD_NOTHING, IO_RECORD_CALLS, IO_RECORD_DATA };

enum io_record_effect {
	IO_RECORD_EIO,          /* KV_IO, nothing done */
	IO_RECORD_ENOSPC,       /* KV_FULL, nothing done */
	IO_RECORD_SHORT_EIO,    /* writes: the first half is written, then KV_IO; others as EIO */
	IO_RECORD_SHORT_ENOSPC, /* likewise with KV_FULL */
	/* As if the power went: this call and all later ones, whatever their kind and file, give
	 * KV_IO and nothing more reaches any file. Descriptors are closed all the same. */
	IO_RECORD_STOP,
};

struct io_record_fault {
	enum io_record_kind kind; /* which calls match: IO_RECORD_ANY, or those of one kind */
	uint32_t tag;             /* and on one file only, if not 0 */
	uint64_t nth;             /* fails the nth match from now; 1 is the next one; 0 none */
	bool lasting;             /* and all later matches too */
	enum io_record_effect effect;
};

/* Keeps data and has no fault at first. To be freed with ops->free once all files are closed. */
int io_record_new(const struct mem *mem, struct io **io);

/* The rest may be called from any thread. io must come from io_record_new. */

/* Replaces the fault, also one that is stopping everything; NULL: none. Counting begins anew. */
void io_record_set_fault(struct io *io, const struct io_record_fault *fault);

/* True if the fault has struck since it was set. */
bool io_record_struck(struct io *io);

/* Batches are carried out inside submit, as io_posix does, so that errors appear there. */
void io_record_set_immediate(struct io *io, bool immediate);

void io_record_set_detail(struct io *io, enum io_record_detail detail);

/* Calls of a kind made so far, or of any, whether written down or not. */
uint64_t io_record_calls(struct io *io, enum io_record_kind kind);

/* Length of the trace, and one entry of it, the oldest being 0; NULL beyond the end. Entries are
 * valid until io_record_clear or free. */
size_t io_record_length(struct io *io);
const struct io_record_call *io_record_get(struct io *io, size_t index);

/* Forgets the trace; counts and tags go on. */
void io_record_clear(struct io *io);

/* "write", "sync", ...: static. */
const char *io_record_kind_name(enum io_record_kind kind);

#endif
