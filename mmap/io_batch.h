/* What io_posix and io_uring share about batches: merging neighbouring writes into runs, writing a
 * run to its end, and the first error of a file's batches. */
#ifndef KV_MMAP_IO_BATCH_H
#define KV_MMAP_IO_BATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mmap/io.h"

/* Most vectors in one run: what the kernel takes in one call (IOV_MAX). */
enum { IO_RUN_VECTORS = 1024 };

/* Bytes from scattered memory to one contiguous range of a file. */
struct io_run {
	struct iovec *vectors; /* the ones still to write; owned by the caller */
	size_t count;          /* vectors */
	size_t size;           /* bytes in them */
	uint64_t offset;       /* of the first one, in the file */
};

/* One per open file, made by open. Changed by submit and flush only, hence by one thread at a
 * time. */
struct io_file_state {
	struct uring_queue *queue; /* io_uring's; NULL until the first submit */
	int error;                 /* errno of the first failed write since the last flush, or 0 */
	size_t error_size;         /* the bytes that it could not write */
	uint64_t error_offset;
	size_t path_size; /* bytes, with the NUL */
	char path[];      /* as opened, for messages */
};

/* Fills run with as many writes from the start of the array as lie behind each other in the file,
 * at most max vectors. Returns how many writes it took, at least 1; count must not be 0. */
size_t io_run_gather(struct io_run *run, struct iovec *vectors, size_t max,
                     const struct io_write *writes, size_t count);

/* Takes the first done bytes off the run. */
void io_run_advance(struct io_run *run, size_t done);

/* Writes all of the run. Returns 0, or an errno with run standing at what is not written. */
int io_run_write(int fd, struct io_run *run);

/* Notes a failure at the start of what is left of run, unless there has been one already. */
void io_batch_fail(struct io_file_state *state, int error, const struct io_run *run);

/* Returns the noted failure as a status code with its detail, or KV_OK. */
int io_batch_status(const struct io_file_state *state);

#endif
