/* The one door to the operating system's files. Three implementations stand behind it: io_posix
 * (plain calls), io_uring (batches written by a kernel thread beside the caller), io_record (for
 * tests: records every call and makes any of them fail). All take and return the same things, so
 * that what was tested with one holds for the others. */
#ifndef KV_MMAP_IO_H
#define KV_MMAP_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mmap/mem.h"

struct io; /* one instance per open database */
struct io_file_state;

/* An open file. May be copied; the copies are the same file, closed by closing any one. */
struct io_file {
	int fd;                      /* for mmap only; -1 when closed */
	uint32_t tag;                /* the recording layer's number for the file; else 0 */
	struct io_file_state *state; /* the implementation's; freed by close */
};

enum io_open_flags {
	IO_READ = 1 << 0,
	IO_WRITE = 1 << 1,
	IO_CREATE = 1 << 2,    /* with mode; O_CREAT */
	IO_EXCLUSIVE = 1 << 3, /* O_EXCL */
	IO_NO_FOLLOW = 1 << 6, /* O_NOFOLLOW: KV_IO for a symbolic link */
	IO_TEMPORARY = 1 << 4, /* path is a directory; a nameless file in it, gone when closed */
	IO_MEMORY = 1 << 5,    /* memfd_create; path, which may be NULL, is its name for /proc */
};

enum io_lock { IO_LOCK_SHARED, IO_LOCK_EXCLUSIVE };

/* One write of a batch: size bytes from data to offset. data must stay untouched until flush. */
struct io_write {
	const void *data;
	size_t size;
	uint64_t offset;
};

/* Every function that can fail returns a status code with the detail set: KV_FULL when disk, quota
 * or file size limit (a process that sets one must ignore SIGXFSZ) are exhausted, KV_NOMEM, else
 * KV_IO, apart from those named below. Short writes are continued inside; one that makes no
 * progress is an error. EINTR is retried. Offsets and sizes are bytes.
 *
 * Threads: any number may use one io at once, also on the same file, except that submit and flush
 * of one file are called by one thread at a time.
 *
 * Fork: in a child, submit and flush return KV_FORKED and do nothing; close and free release the
 * child's descriptors and memory and leave the parent's locks alone. */
struct io_ops {
	/* Sets *file, on failure to a closed one. Temporary and in-memory files are opened for
	 * reading and writing; mode counts with IO_CREATE and IO_TEMPORARY. Descriptors are
	 * close-on-exec and never 0, 1 or 2. KV_NO_FILE: nothing there. KV_EXISTS: IO_EXCLUSIVE,
	 * and there is something. KV_READ_ONLY: IO_WRITE on a read-only file system.
	 * KV_NOT_A_DATABASE: a directory, device, socket or pipe. */
	int (*open)(struct io *io, const char *path, unsigned flags, unsigned mode,
	            struct io_file *file);
	/* Waits for submitted writes, but their errors are lost: flush first. The file is closed
	 * whatever is returned. Closing a closed file is fine. */
	int (*close)(struct io *io, struct io_file *file);
	int (*size)(struct io *io, const struct io_file *file, uint64_t *bytes);
	/* Reads exactly size bytes; *got < size only at the end of the file. */
	int (*read)(struct io *io, const struct io_file *file, void *data, size_t size,
	            uint64_t offset, size_t *got);
	int (*write)(struct io *io, const struct io_file *file, const void *data, size_t size,
	             uint64_t offset);
	/* Starts a batch of writes, in no promised order: writes between two flushes must not
	 * overlap. Neighbours in the array that are neighbours in the file are written as one. May
	 * return before they are done; blocks when too many are under way. writes may be reused at
	 * once. The first error is reported here or by flush, and sticks to the file until flush
	 * has reported it; later submits then write nothing. */
	int (*submit)(struct io *io, const struct io_file *file, const struct io_write *writes,
	              size_t count);
	/* Waits until all submitted writes of the file are done (not: durable). */
	int (*flush)(struct io *io, const struct io_file *file);
	/* Asks the system to begin writing this range of the page cache to the disk, so that less
	 * is left for sync to wait for. A hint: no error, nothing durable, nothing recorded. */
	void (*write_out)(struct io *io, const struct io_file *file, uint64_t offset,
	                  uint64_t size);
	/* fdatasync. Covers submitted writes only after flush. */
	int (*sync)(struct io *io, const struct io_file *file);
	/* Makes the directory entry of the file at path durable, or its absence. */
	int (*sync_directory)(struct io *io, const char *path);
	/* Reserves disk space for a range and grows the file to cover it; new bytes are zero. Where
	 * the file system cannot reserve, only grows: a later write may still get KV_FULL. */
	int (*allocate)(struct io *io, const struct io_file *file, uint64_t offset, uint64_t size);
	int (*truncate)(struct io *io, const struct io_file *file, uint64_t size);
	/* Replaces what is at to. KV_NO_FILE: nothing at from. */
	int (*rename)(struct io *io, const char *from, const char *to);
	/* KV_NO_FILE: nothing there. */
	int (*remove)(struct io *io, const char *path);
	/* OFD lock on the whole file, never waiting: KV_BUSY if another open file, of this process
	 * or another, has one that conflicts. Replaces the lock that this file has. Released by
	 * close. A shared lock needs IO_READ, an exclusive one IO_WRITE. */
	int (*lock)(struct io *io, const struct io_file *file, enum io_lock kind);
	/* All files must have been closed. */
	void (*free)(struct io *io);
};

struct io {
	const struct io_ops *ops;
	struct mem mem;
	pid_t owner;        /* the process that made it */
	_Atomic bool uring; /* batches go through io_uring */
};

/* Makes the best implementation there is: io_uring unless avoid_uring is set, it was built out, or
 * the kernel refuses; else POSIX. Owned by the caller, freed with io->ops->free. KV_NOMEM. */
int io_new(const struct mem *mem, bool avoid_uring, struct io **io);

int io_posix_new(const struct mem *mem, struct io **io);
/* KV_IO where io_uring is not to be had. Exists only if built with KV_HAVE_URING. */
int io_uring_new(const struct mem *mem, struct io **io);

#endif
