/* POSIX calls for everything except batches, which are handed to the kernel through io_uring, so
 * that a kernel thread copies them into the page cache while the caller goes on.
 *
 * A file gets its queue at its first submit, since most files of most databases never need one. A
 * queue is used by one thread at a time, as submit and flush are, and so needs no lock; that thread
 * may change, so nothing here may depend on who made the ring.
 *
 * IOSQE_ASYNC is not set: ext4 goes to a kernel thread by itself, and forcing it cost CPU time for
 * no gain. (1 GiB in batches of 512 scattered pages, overwriting a cached file, with checksums made
 * between the batches: 0.24 s until flushed, 0.27 s if forced, 0.33 s with pwritev; without the
 * checksums 0.25 s each. The sync that follows takes 0.36 s.)
 *
 * Whatever the ring cannot do is done by pwritev instead: the rest of a short write, a write that
 * was cancelled because the thread that submitted it has ended, every one after the ring broke. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mmap/io_batch.h"
#include "mmap/io_posix.h"
#include "mmap/status.h"

/* Writes under way per file, and vectors in each: at 4 KiB pages 32 MiB, for 130 KiB of memory.
 * Buffered writes to one file are carried out one after the other, so that depth only has to bridge
 * the caller's pauses; more and smaller writes were measured slower. */
enum { QUEUE_DEPTH = 16, SLOT_VECTORS = 512 };

/* One write under way. The kernel may read vectors until it is done. */
struct slot {
	struct io_run run;
	struct slot *next_free;
	struct iovec vectors[SLOT_VECTORS];
};

struct uring_queue {
	struct io_uring ring;
	int fd; /* for the ring alone, see own_descriptor; -1: the file's */
	struct slot *free_slots;
	unsigned busy; /* slots under way */
	struct slot slots[QUEUE_DEPTH];
};

struct uring_io {
	struct io io;
	struct io_ops ops; /* those of io_posix, some replaced */
};

/* ---- the queue of a file ------------------------------------------------------------------- */

static void slot_release(struct uring_queue *queue, struct slot *slot)
{
	slot->next_free = queue->free_slots;
	queue->free_slots = slot;
}

/* Opens the file anew for the ring. When a process is killed, the kernel takes its time to end what
 * the ring has under way, and that keeps the open file description, with the lock that it carries:
 * the next opener would find the database in use. So the ring has a description without a lock.
 * Returns -1 where there is no /proc. */
static int own_descriptor(int file_fd)
{
	char path[32];
	int fd, high;

	snprintf(path, sizeof path, "/proc/self/fd/%d", file_fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return high;
}

/* NULL if there is no memory or the kernel refuses. */
static struct uring_queue *queue_new(const struct mem *mem, int file_fd)
{
	struct uring_queue *queue = mem_resize(mem, NULL, 0, sizeof *queue);

	if (!queue)
		return NULL;
	if (io_uring_queue_init(QUEUE_DEPTH, &queue->ring, 0) < 0) {
		mem_free(mem, queue, sizeof *queue);
		return NULL;
	}
	/* A child of fork must not even see the ring; if the advice is refused, the check of the
	 * owner is enough. */
	(void)io_uring_ring_dontfork(&queue->ring);
	queue->fd = own_descriptor(file_fd);
	queue->free_slots = NULL;
	queue->busy = 0;
	for (size_t i = 0; i < QUEUE_DEPTH; i++)
		slot_release(queue, &queue->slots[i]);
	return queue;
}

static void queue_free(struct io *io, struct io_file_state *state)
{
	struct uring_queue *queue = state->queue;

	/* The child's part of the address space may hold something else where the ring was: it
	 * closes its descriptor and no more. */
	if (getpid() == io->owner)
		io_uring_queue_exit(&queue->ring);
	else
		close(queue->ring.ring_fd);
	if (queue->fd >= 0)
		close(queue->fd);
	mem_free(&io->mem, queue, sizeof *queue);
	state->queue = NULL;
}

/* True if the write may simply be tried again by other means. */
static bool worth_another_try(int error)
{
	return error == EINTR || error == EAGAIN || error == ECANCELED || error == ENOMEM;
}

/* Ends a write that the kernel has answered with result: bytes written, or a negative errno. */
static void finish(const struct io_file *file, struct io_run *run, int result)
{
	int error = result < 0 ? -result : 0;

	if (result > 0)
		io_run_advance(run, (size_t)result);
	if (error == 0 || worth_another_try(error))
		error = io_run_write(file->fd, run);
	if (error)
		io_batch_fail(file->state, error, run);
}

/* Waits for one write to be done. Returns 0 or an errno. */
static int reap(const struct io_file *file)
{
	struct uring_queue *queue = file->state->queue;
	struct io_uring_cqe *cqe;
	struct slot *slot;
	int result;

	do {
		result = io_uring_wait_cqe(&queue->ring, &cqe);
	} while (result == -EINTR);
	if (result < 0)
		return -result;
	slot = io_uring_cqe_get_data(cqe);
	result = cqe->res;
	io_uring_cqe_seen(&queue->ring, cqe);
	queue->busy--;
	finish(file, &slot->run, result);
	slot_release(queue, slot);
	return 0;
}

/* Waits for everything under way. If the ring cannot even be waited on, it is not known what the
 * kernel still reads: the queue is kept, and the file fails. */
static void drain(const struct io_file *file)
{
	struct uring_queue *queue = file->state->queue;

	while (queue->busy > 0) {
		int error = reap(file);

		if (error) {
			io_batch_fail(file->state, error, &(struct io_run){.count = 0});
			return;
		}
	}
}

/* Hands one run to the kernel. False if the ring refused it. */
static bool enqueue(const struct io_file *file, struct slot *slot)
{
	struct uring_queue *queue = file->state->queue;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
	int submitted;

	if (!sqe)
		return false;
	io_uring_prep_writev(sqe, queue->fd >= 0 ? queue->fd : file->fd, slot->run.vectors,
	                     (unsigned)slot->run.count, slot->run.offset);
	io_uring_sqe_set_data(sqe, slot);
	do {
		submitted = io_uring_submit(&queue->ring);
	} while (submitted == -EINTR);
	if (submitted != 1)
		return false;
	queue->busy++;
	return true;
}

/* Queues the writes at the start of the array that make one run; returns how many they are. If the
 * ring refuses, it is abandoned and its file written by POSIX calls from then on. */
static size_t queue_run(struct io *io, const struct io_file *file, const struct io_write *writes,
                        size_t count)
{
	struct uring_queue *queue = file->state->queue;
	struct slot *slot = queue->free_slots;
	size_t taken;

	assert(slot);
	taken = io_run_gather(&slot->run, slot->vectors, SLOT_VECTORS, writes, count);
	if (slot->run.size == 0)
		return taken;
	queue->free_slots = slot->next_free;
	if (!enqueue(file, slot)) {
		io->uring = false;
		drain(file);
		finish(file, &slot->run, 0);
		if (queue->busy == 0)
			queue_free(io, file->state);
	}
	return taken;
}

/* ---- operations ---------------------------------------------------------------------------- */

/* Queues runs until all are under way, an error is noted or the ring is gone; returns how many
 * writes it dealt with. */
static size_t queue_runs(struct io *io, const struct io_file *file, const struct io_write *writes,
                         size_t count)
{
	struct io_file_state *state = file->state;
	size_t done = 0;

	while (done < count && state->queue && !state->error) {
		int error = state->queue->free_slots ? 0 : reap(file);

		if (error)
			io_batch_fail(state, error,
			              &(struct io_run){.offset = writes[done].offset});
		else if (!state->error)
			done += queue_run(io, file, writes + done, count - done);
	}
	return done;
}

static int uring_submit(struct io *io, const struct io_file *file, const struct io_write *writes,
                        size_t count)
{
	struct io_file_state *state = file->state;
	size_t done;

	if (getpid() != io->owner)
		return status_fail(KV_FORKED, "%s: written to in a forked child", state->path);
	if (!state->queue && io->uring) {
		state->queue = queue_new(&io->mem, file->fd);
		if (!state->queue)
			io->uring = false;
	}
	done = queue_runs(io, file, writes, count);
	if (state->error || done == count)
		return io_batch_status(state);
	return io_posix_ops.submit(io, file, writes + done, count - done);
}

static int uring_flush(struct io *io, const struct io_file *file)
{
	if (file->state->queue && getpid() == io->owner)
		drain(file);
	return io_posix_ops.flush(io, file);
}

static int uring_close(struct io *io, struct io_file *file)
{
	if (file->fd >= 0 && file->state->queue) {
		if (getpid() == io->owner)
			drain(file);
		queue_free(io, file->state);
	}
	return io_posix_ops.close(io, file);
}

static void uring_free(struct io *io)
{
	struct mem mem = io->mem;

	mem_free(&mem, io, sizeof(struct uring_io));
}

/* Asks for a ring with an address that cannot be one: a kernel that has io_uring and allows it says
 * EFAULT, and nothing is made. */
static bool uring_available(int *error)
{
	long result = syscall(SYS_io_uring_setup, 1, NULL);

	*error = errno;
	return result < 0 && *error == EFAULT;
}

int io_uring_new(const struct mem *mem, struct io **io)
{
	struct uring_io *made;
	int error;

	if (!uring_available(&error))
		return status_fail(KV_IO, "io_uring is not available: errno %d", error);
	made = mem_new(mem, sizeof *made);
	if (!made)
		return status_fail(KV_NOMEM, "no memory for the I/O layer");
	made->ops = io_posix_ops;
	made->ops.submit = uring_submit;
	made->ops.flush = uring_flush;
	made->ops.close = uring_close;
	made->ops.free = uring_free;
	made->io.ops = &made->ops;
	made->io.mem = *mem;
	made->io.owner = getpid();
	made->io.uring = true;
	*io = &made->io;
	return KV_OK;
}
