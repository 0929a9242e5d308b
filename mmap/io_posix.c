/* Plain system calls, and batches written with pwritev before submit returns. */
#include "mmap/io_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mmap/io_batch.h"
#include "mmap/status.h"

/* ---- opening and closing ------------------------------------------------------------------- */

static int access_mode(unsigned flags)
{
	if (!(flags & IO_WRITE))
		return O_RDONLY;
	return flags & IO_READ ? O_RDWR : O_WRONLY;
}

static int open_retrying(const char *path, int flags, unsigned mode)
{
	int fd;

	do {
		fd = open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
	} while (fd < 0 && errno == EINTR);
	return fd;
}

/* Not waiting for the other end, should the path name a pipe; a regular file never waits. */
static int open_named(const char *path, unsigned flags, unsigned mode)
{
	int how = access_mode(flags) | O_NONBLOCK;

	if (flags & IO_CREATE)
		how |= O_CREAT;
	if (flags & IO_EXCLUSIVE)
		how |= O_EXCL;
	if (flags & IO_NO_FOLLOW)
		how |= O_NOFOLLOW;
	return open_retrying(path, how, mode);
}

static int open_memory(const char *name)
{
	char cut[200]; /* memfd_create refuses more than 249 bytes */

	snprintf(cut, sizeof cut, "%s", name ? name : "");
	return memfd_create(cut, MFD_CLOEXEC);
}

int io_posix_unlinked_file(const char *directory)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/.kv-XXXXXX", directory);
	int fd;

	if (n < 0 || (size_t)n >= sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0 && unlink(path) < 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* EISDIR is how kernels before O_TMPFILE take the flag. */
static int open_temporary(const char *directory, unsigned mode)
{
	int fd = open_retrying(directory, O_TMPFILE | O_RDWR | O_EXCL, mode);

	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		fd = io_posix_unlinked_file(directory);
	return fd;
}

static int open_any(const char *path, unsigned flags, unsigned mode)
{
	if (flags & IO_MEMORY)
		return open_memory(path);
	if (flags & IO_TEMPORARY)
		return open_temporary(path, mode);
	return open_named(path, flags, mode);
}

static int open_failed(int error, const char *path, unsigned flags)
{
	if (error == ENOENT)
		return status_fail(KV_NO_FILE, "%s: no such file or directory", path);
	if (error == EEXIST)
		return status_fail(KV_EXISTS, "%s: exists already", path);
	if (error == EROFS && (flags & (IO_WRITE | IO_TEMPORARY)))
		return status_fail(KV_READ_ONLY, "%s: read-only file system", path);
	if (error == EISDIR || error == ENXIO)
		return status_fail(KV_NOT_A_DATABASE, "%s: not a regular file", path);
	return status_fail_errno(error, "%s: open", path);
}

/* Moves a descriptor out of 0 to 2: an application that closed those may still print. */
static int above_standard(int fd)
{
	int moved, error;

	if (fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	error = errno;
	close(fd);
	errno = error;
	return moved;
}

static int prepare(int fd, const char *path)
{
	struct stat status;
	int how;

	if (fstat(fd, &status) < 0)
		return status_fail_errno(errno, "%s: fstat", path);
	if (!S_ISREG(status.st_mode))
		return status_fail(KV_NOT_A_DATABASE, "%s: not a regular file", path);
	/* Some kernels let io_uring fail with EAGAIN where O_NONBLOCK is set. */
	how = fcntl(fd, F_GETFL);
	if (how < 0 || fcntl(fd, F_SETFL, how & ~O_NONBLOCK) < 0)
		return status_fail_errno(errno, "%s: fcntl", path);
	return KV_OK;
}

static struct io_file_state *state_new(const struct mem *mem, const char *path)
{
	size_t path_size = strlen(path) + 1;
	struct io_file_state *state = mem_new(mem, sizeof *state + path_size);

	if (!state)
		return NULL;
	state->path_size = path_size;
	memcpy(state->path, path, path_size);
	return state;
}

static int posix_open(struct io *io, const char *path, unsigned flags, unsigned mode,
                      struct io_file *file)
{
	const char *name = path ? path : "(memory)";
	int fd, rc;

	*file = (struct io_file){.fd = -1};
	if (!path && !(flags & IO_MEMORY))
		return status_fail(KV_INVALID, "open: no path given");
	fd = open_any(path, flags, mode);
	if (fd >= 0)
		fd = above_standard(fd);
	if (fd < 0)
		return open_failed(errno, name, flags);
	rc = prepare(fd, name);
	if (rc)
		goto fail;
	file->state = state_new(&io->mem, name);
	if (!file->state) {
		rc = status_fail(KV_NOMEM, "%s: no memory to open it", name);
		goto fail;
	}
	file->fd = fd;
	return KV_OK;
fail:
	close(fd);
	return rc;
}

/* A child of fork shares the lock: unlocked explicitly it ends here, though the child's copy of the
 * descriptor stays open. For the same reason the child itself must not unlock. */
static void unlock(int fd)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	fcntl(fd, F_OFD_SETLK, &lock);
}

static int posix_close(struct io *io, struct io_file *file)
{
	struct io_file_state *state = file->state;
	int rc = KV_OK;

	if (file->fd < 0)
		return KV_OK;
	if (getpid() == io->owner)
		unlock(file->fd);
	/* Linux closes the descriptor even where close reports an error or EINTR. */
	if (close(file->fd) < 0 && errno != EINTR)
		rc = status_fail_errno(errno, "%s: close", state->path);
	mem_free(&io->mem, state, sizeof *state + state->path_size);
	*file = (struct io_file){.fd = -1, .tag = file->tag};
	return rc;
}

/* ---- one file ------------------------------------------------------------------------------ */

static int posix_size(struct io *io, const struct io_file *file, uint64_t *bytes)
{
	struct stat status;

	(void)io;
	if (fstat(file->fd, &status) < 0)
		return status_fail_errno(errno, "%s: fstat", file->state->path);
	*bytes = (uint64_t)status.st_size;
	return KV_OK;
}

static int posix_read(struct io *io, const struct io_file *file, void *data, size_t size,
                      uint64_t offset, size_t *got)
{
	size_t done = 0;

	(void)io;
	*got = 0;
	while (done < size) {
		ssize_t n = pread(file->fd, (char *)data + done, size - done,
		                  (off_t)(offset + done));

		if (n == 0)
			break;
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return status_fail_errno(errno, "%s: reading %zu bytes at offset %" PRIu64,
			                         file->state->path, size - done, offset + done);
	}
	*got = done;
	return KV_OK;
}

static int posix_write(struct io *io, const struct io_file *file, const void *data, size_t size,
                       uint64_t offset)
{
	size_t done = 0;

	(void)io;
	while (done < size) {
		ssize_t n = pwrite(file->fd, (const char *)data + done, size - done,
		                   (off_t)(offset + done));

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return status_fail_errno(n == 0 ? EIO : errno,
			                         "%s: writing %zu bytes at offset %" PRIu64,
			                         file->state->path, size - done, offset + done);
	}
	return KV_OK;
}

static int posix_submit(struct io *io, const struct io_file *file, const struct io_write *writes,
                        size_t count)
{
	struct iovec vectors[IO_RUN_VECTORS];
	struct io_run run;

	if (getpid() != io->owner)
		return status_fail(KV_FORKED, "%s: written to in a forked child",
		                   file->state->path);
	while (count > 0 && !file->state->error) {
		size_t taken = io_run_gather(&run, vectors, IO_RUN_VECTORS, writes, count);
		int error = io_run_write(file->fd, &run);

		if (error)
			io_batch_fail(file->state, error, &run);
		writes += taken;
		count -= taken;
	}
	return io_batch_status(file->state);
}

static int posix_flush(struct io *io, const struct io_file *file)
{
	int rc;

	if (getpid() != io->owner)
		return status_fail(KV_FORKED, "%s: flushed in a forked child", file->state->path);
	rc = io_batch_status(file->state);
	file->state->error = 0;
	return rc;
}

static int posix_sync(struct io *io, const struct io_file *file)
{
	int failed;

	(void)io;
	do {
		failed = fdatasync(file->fd);
	} while (failed && errno == EINTR);
	return failed ? status_fail_errno(errno, "%s: fdatasync", file->state->path) : KV_OK;
}

static void posix_write_out(struct io *io, const struct io_file *file, uint64_t offset,
                            uint64_t size)
{
	(void)io;
	(void)sync_file_range(file->fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

static int grow_to(int fd, uint64_t size)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -1;
	return (uint64_t)status.st_size >= size ? 0 : ftruncate(fd, (off_t)size);
}

static int posix_allocate(struct io *io, const struct io_file *file, uint64_t offset, uint64_t size)
{
	int failed;

	(void)io;
	do {
		failed = fallocate(file->fd, 0, (off_t)offset, (off_t)size);
		if (failed && (errno == EOPNOTSUPP || errno == ENOSYS))
			failed = grow_to(file->fd, offset + size);
	} while (failed && errno == EINTR);
	if (failed)
		return status_fail_errno(errno,
		                         "%s: allocating %" PRIu64 " bytes at offset %" PRIu64,
		                         file->state->path, size, offset);
	return KV_OK;
}

static int posix_truncate(struct io *io, const struct io_file *file, uint64_t size)
{
	int failed;

	(void)io;
	do {
		failed = ftruncate(file->fd, (off_t)size);
	} while (failed && errno == EINTR);
	if (failed)
		return status_fail_errno(errno, "%s: setting the size to %" PRIu64 " bytes",
		                         file->state->path, size);
	return KV_OK;
}

static int posix_lock(struct io *io, const struct io_file *file, enum io_lock kind)
{
	struct flock lock = {
	        .l_type = kind == IO_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK,
	        .l_whence = SEEK_SET,
	};
	int failed;

	(void)io;
	do {
		failed = fcntl(file->fd, F_OFD_SETLK, &lock);
	} while (failed && errno == EINTR);
	if (failed && (errno == EAGAIN || errno == EACCES))
		return status_fail(KV_BUSY, "%s: opened elsewhere", file->state->path);
	return failed ? status_fail_errno(errno, "%s: lock", file->state->path) : KV_OK;
}

/* ---- directory entries --------------------------------------------------------------------- */

/* Copies the directory part of path; "." if it has none. */
static void directory_of(const char *path, char directory[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		snprintf(directory, PATH_MAX, ".");
	else
		snprintf(directory, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path),
		         path);
}

static int posix_sync_directory(struct io *io, const char *path)
{
	char directory[PATH_MAX];
	int fd, failed, error;

	(void)io;
	if (strlen(path) >= PATH_MAX)
		return status_fail_errno(ENAMETOOLONG, "sync of a directory");
	directory_of(path, directory);
	fd = open_retrying(directory, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return status_fail_errno(errno, "%s: open", directory);
	do {
		failed = fsync(fd);
	} while (failed && errno == EINTR);
	error = errno;
	close(fd);
	/* EINVAL: the file system has no sync of directories, so there is nothing to wait for. */
	if (failed && error != EINVAL)
		return status_fail_errno(error, "%s: fsync", directory);
	return KV_OK;
}

static int posix_rename(struct io *io, const char *from, const char *to)
{
	(void)io;
	if (rename(from, to) == 0)
		return KV_OK;
	if (errno == ENOENT)
		return status_fail(KV_NO_FILE, "%s: no such file to rename to %s", from, to);
	return status_fail_errno(errno, "%s: renaming to %s", from, to);
}

static int posix_remove(struct io *io, const char *path)
{
	(void)io;
	if (unlink(path) == 0)
		return KV_OK;
	if (errno == ENOENT)
		return status_fail(KV_NO_FILE, "%s: no such file to remove", path);
	return status_fail_errno(errno, "%s: unlink", path);
}

/* ---- the instance -------------------------------------------------------------------------- */

static void posix_free(struct io *io)
{
	struct mem mem = io->mem;

	mem_free(&mem, io, sizeof *io);
}

const struct io_ops io_posix_ops = {
        .open = posix_open,
        .close = posix_close,
        .size = posix_size,
        .read = posix_read,
        .write = posix_write,
        .submit = posix_submit,
        .flush = posix_flush,
        .write_out = posix_write_out,
        .sync = posix_sync,
        .sync_directory = posix_sync_directory,
        .allocate = posix_allocate,
        .truncate = posix_truncate,
        .rename = posix_rename,
        .remove = posix_remove,
        .lock = posix_lock,
        .free = posix_free,
};

int io_posix_new(const struct mem *mem, struct io **io)
{
	struct io *made = mem_new(mem, sizeof *made);

	if (!made)
		return status_fail(KV_NOMEM, "no memory for the I/O layer");
	made->ops = &io_posix_ops;
	made->mem = *mem;
	made->owner = getpid();
	*io = made;
	return KV_OK;
}
