/* The one door to the operating system's files. Three implementations stand behind it: io_posix
 * (plain calls), io_uring (batches at queue depth), io_record (for tests: records every call and
 * makes any of them fail). All take and return the same things, so that what was tested with one
 * holds for the others. */
#ifndef KV_MMAP_IO_H
#define KV_MMAP_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmap/mem.h"

struct io; /* one instance per open database */

struct io_file {
	int fd;       /* for mmap only; -1 when closed */
	uint32_t tag; /* the recording layer's number for the file */
};

enum io_open_flags {
	IO_READ = 1 << 0,
	IO_WRITE = 1 << 1,
	IO_CREATE = 1 << 2, /* with mode; O_CREAT */
	IO_EXCLUSIVE = 1 << 3, /* O_EXCL */
	IO_TEMPORARY = 1 << 4, /* path is a directory: O_TMPFILE, or an unlinked file where the file system has none */
	IO_MEMORY = 1 << 5, /* memfd_create; path is its name for /proc */
};

enum io_lock { IO_LOCK_SHARED, IO_LOCK_EXCLUSIVE };

/* One write of a batch: size bytes from data to offset. data must stay untouched until io_flush. */
struct io_write {
	const void *data;
	size_t size;
	uint64_t offset;
};

/* Every function that can fail returns a status code with the detail set. Short writes are
 * continued inside; one that makes no progress is an error. EINTR is retried. Thread safety:
 * different threads may use one io at once, except that io_submit/io_flush of one file are called by one
 * thread at a time. */
struct io_ops {
	int (*open)(struct io *io, const char *path, unsigned flags, unsigned mode, struct io_file *file);
	int (*close)(struct io *io, struct io_file *file);
	int (*size)(struct io *io, const struct io_file *file, uint64_t *bytes);
	/* Reads exactly size bytes; *got < size only at the end of the file. */
	int (*read)(struct io *io, const struct io_file *file, void *data, size_t size, uint64_t offset, size_t *got);
	int (*write)(struct io *io, const struct io_file *file, const void *data, size_t size, uint64_t offset);
	/* Starts a batch of writes. May return before they are done; blocks when too many are under way.
	 * The first error is reported here or by flush, and sticks until flush has reported it. */
	int (*submit)(struct io *io, const struct io_file *file, const struct io_write *writes, size_t count);
	/* Waits until all submitted writes of the io are done (not: durable). */
	int (*flush)(struct io *io, const struct io_file *file);
	int (*sync)(struct io *io, const struct io_file *file);       /* fdatasync */
	int (*sync_directory)(struct io *io, const char *path);       /* of the file at path: its directory entry */
	int (*allocate)(struct io *io, const struct io_file *file, uint64_t offset, uint64_t size); /* fallocate, size grows; falls back to ftruncate on EOPNOTSUPP */
	int (*truncate)(struct io *io, const struct io_file *file, uint64_t size);
	int (*rename)(struct io *io, const char *from, const char *to);
	int (*remove)(struct io *io, const char *path);
	/* OFD lock on the whole file, never waiting: KV_BUSY if somebody else has it. Released by close. */
	int (*lock)(struct io *io, const struct io_file *file, enum io_lock kind);
	void (*free)(struct io *io);
};

struct io {
	const struct io_ops *ops;
	struct mem mem;
	bool uring; /* batches go through io_uring */
};

/* Makes the best implementation there is: io_uring unless avoid_uring is set, it was built out, or
 * the kernel refuses; else POSIX. Owned by the caller, freed with io->ops->free. */
int io_new(const struct mem *mem, bool avoid_uring, struct io **io);

int io_posix_new(const struct mem *mem, struct io **io);
int io_uring_new(const struct mem *mem, struct io **io); /* KV_IO where io_uring is not to be had */

#endif
