#include "mmap/io_batch.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "mmap/status.h"

/* iovec has no const, though writing only reads: the one place where it is cast away. */
static void *writable(const void *data)
{
	return (void *)(uintptr_t)data;
}

/* True if the vector ends where data begins, so that it can simply be made longer. */
static bool touches(const struct iovec *vector, const void *data)
{
	return (uintptr_t)vector->iov_base + vector->iov_len == (uintptr_t)data;
}

size_t io_run_gather(struct io_run *run, struct iovec *vectors, size_t max,
                     const struct io_write *writes, size_t count)
{
	size_t i;

	assert(count > 0 && max > 0);
	*run = (struct io_run){.vectors = vectors, .offset = writes[0].offset};
	for (i = 0; i < count; i++) {
		if (writes[i].size == 0)
			continue;
		if (run->size == 0)
			run->offset = writes[i].offset;
		else if (writes[i].offset != run->offset + run->size)
			break;
		if (run->count > 0 && touches(&vectors[run->count - 1], writes[i].data)) {
			vectors[run->count - 1].iov_len += writes[i].size;
		} else {
			if (run->count == max)
				break;
			vectors[run->count].iov_base = writable(writes[i].data);
			vectors[run->count].iov_len = writes[i].size;
			run->count++;
		}
		run->size += writes[i].size;
	}
	return i;
}

void io_run_advance(struct io_run *run, size_t done)
{
	assert(done <= run->size);
	run->size -= done;
	run->offset += done;
	while (run->count > 0 && done >= run->vectors->iov_len) {
		done -= run->vectors->iov_len;
		run->vectors++;
		run->count--;
	}
	if (done > 0) {
		run->vectors->iov_base = (char *)run->vectors->iov_base + done;
		run->vectors->iov_len -= done;
	}
}

int io_run_write(int fd, struct io_run *run)
{
	while (run->size > 0) {
		ssize_t done = pwritev(fd, run->vectors, (int)run->count, (off_t)run->offset);

		if (done > 0)
			io_run_advance(run, (size_t)done);
		else if (done == 0)
			return EIO;
		else if (errno != EINTR)
			return errno;
	}
	return 0;
}

void io_batch_fail(struct io_file_state *state, int error, const struct io_run *run)
{
	if (state->error)
		return;
	state->error = error;
	state->error_size = run->size;
	state->error_offset = run->offset;
}

int io_batch_status(const struct io_file_state *state)
{
	if (!state->error)
		return KV_OK;
	return status_fail_errno(state->error, "%s: writing %zu bytes at offset %" PRIu64,
	                         state->path, state->error_size, state->error_offset);
}
