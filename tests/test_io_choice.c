/* What happens where io_uring is forbidden, and the choice of an implementation. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mmap/io.h"
#include "mmap/io_posix.h"
#include "tests/support.h"

static const struct mem plain_memory = {NULL, NULL};

/* From here on a system call fails in this process, as container runtimes have it. */
static int forbid(unsigned call, int error)
{
	struct sock_filter steps[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof steps / sizeof *steps, steps};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Writes two pages through a batch and reads them back. Returns 0 if all was well. */
static int try_batch(struct io *io)
{
	struct io_write writes[2] = {{"one", 3, 0}, {"two", 3, 4096}};
	struct io_file file;
	char data[4] = "";
	size_t got;

	if (io->ops->open(io, "batch", IO_MEMORY, 0, &file))
		return 1;
	if (io->ops->submit(io, &file, writes, 2) || io->ops->flush(io, &file))
		return 2;
	if (io->ops->read(io, &file, data, 3, 4096, &got) || strcmp(data, "two") != 0)
		return 3;
	return io->ops->close(io, &file) ? 4 : 0;
}

static int in_child(int (*body)(int error), int error)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(body(error));
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int forbidden_before_opening(int error)
{
	struct io *io;
	int rc;

	if (forbid(SYS_io_uring_setup, error) || io_new(&plain_memory, false, &io) || io->uring)
		return 10;
	rc = try_batch(io);
	io->ops->free(io);
	return rc;
}

static void where_uring_is_forbidden_posix_is_chosen(void **state)
{
	(void)state;
	assert_int_equal(in_child(forbidden_before_opening, EPERM), 0);
	assert_int_equal(in_child(forbidden_before_opening, ENOSYS), 0);
	assert_int_equal(in_child(forbidden_before_opening, EACCES), 0);
	assert_int_equal(in_child(forbidden_before_opening, ENOMEM), 0);
}

static int forbidden_before_the_first_batch(int error)
{
	struct io *io;
	int rc;

	if (io_new(&plain_memory, false, &io) || forbid(SYS_io_uring_setup, error))
		return 10;
	rc = try_batch(io);
	if (rc == 0 && io->uring)
		rc = 11;
	io->ops->free(io);
	return rc;
}

static void a_ring_that_cannot_be_made_later_is_done_without(void **state)
{
	(void)state;
	assert_int_equal(in_child(forbidden_before_the_first_batch, ENOMEM), 0);
}

static int forbidden_between_two_batches(int error)
{
	static const struct io_write writes[2] = {{"one", 3, 0}, {"two", 3, 4096}};
	struct io_file file;
	char data[4] = "";
	struct io *io;
	size_t got;

	if (io_new(&plain_memory, false, &io) || io->ops->open(io, "batch", IO_MEMORY, 0, &file))
		return 10;
	if (io->ops->submit(io, &file, writes, 1) || io->ops->flush(io, &file))
		return 11;
	if (forbid(SYS_io_uring_enter, error) || io->ops->submit(io, &file, writes, 2))
		return 12;
	if (io->uring || io->ops->flush(io, &file))
		return 13;
	if (io->ops->read(io, &file, data, 3, 4096, &got) || strcmp(data, "two") != 0)
		return 14;
	if (io->ops->close(io, &file))
		return 15;
	io->ops->free(io);
	return 0;
}

static void a_ring_that_breaks_is_done_without(void **state)
{
	(void)state;
	assert_int_equal(in_child(forbidden_between_two_batches, EPERM), 0);
}

static void uring_can_be_avoided(void **state)
{
	struct io *io;

	(void)state;
	assert_int_equal(io_new(&plain_memory, true, &io), KV_OK);
	assert_false(io->uring);
	assert_int_equal(try_batch(io), 0);
	io->ops->free(io);
}

static int count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += lseek(fd, 0, SEEK_CUR) >= 0 || errno != EBADF;
	return count;
}

static void an_open_file_without_batches_has_one_descriptor_and_close_leaves_none(void **state)
{
	int before = count_descriptors();
	struct io_file file;
	struct io *io;

	(void)state;
	assert_int_equal(io_new(&plain_memory, false, &io), KV_OK);
	assert_int_equal(io->ops->open(io, "idle", IO_MEMORY, 0, &file), KV_OK);
	assert_int_equal(count_descriptors(), before + 1);
	assert_int_equal(io->ops->close(io, &file), KV_OK);
	assert_int_equal(try_batch(io), 0);
	assert_int_equal(count_descriptors(), before);
	io->ops->free(io);
}

/* Counts what is allocated, and fails from the allocation on that limit names. */
struct counting {
	size_t live; /* bytes */
	unsigned made, limit;
};

static void *counting_resize(void *arg, void *ptr, size_t old_size, size_t new_size)
{
	struct counting *counting = arg;
	void *result;

	if (new_size == 0) {
		counting->live -= old_size;
		free(ptr);
		return NULL;
	}
	if (counting->made++ >= counting->limit)
		return NULL;
	result = realloc(ptr, new_size);
	if (result)
		counting->live += new_size - old_size;
	return result;
}

/* One allocation for the instance, one per file; the queue's may fail and is done without. */
static void no_memory_is_reported_and_nothing_leaks(void **state)
{
	(void)state;
	for (unsigned limit = 0; limit < 5; limit++) {
		struct counting counting = {.limit = limit};
		struct mem mem = {counting_resize, &counting};
		struct io_file file;
		struct io *io;
		int rc = io_new(&mem, false, &io);

		assert_int_equal(rc, limit < 1 ? KV_NOMEM : KV_OK);
		if (rc == KV_OK) {
			rc = io->ops->open(io, "x", IO_MEMORY, 0, &file);
			assert_int_equal(rc, limit < 2 ? KV_NOMEM : KV_OK);
			assert_int_equal(io->ops->close(io, &file), KV_OK);
			io->ops->free(io);
		}
		assert_int_equal(counting.live, 0);
	}
	for (unsigned limit = 2; limit < 5; limit++) {
		struct counting counting = {.limit = limit};
		struct mem mem = {counting_resize, &counting};
		struct io *io;

		assert_int_equal(io_new(&mem, false, &io), KV_OK);
		assert_int_equal(try_batch(io), 0);
		io->ops->free(io);
		assert_int_equal(counting.live, 0);
	}
}

static void a_temporary_file_is_had_without_o_tmpfile(void **state)
{
	struct temp_dir dir;
	int fd;

	(void)state;
	temp_dir_make(&dir, NULL);
	fd = io_posix_unlinked_file(dir.path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(close(fd), 0);
	assert_int_equal(rmdir(dir.path), 0); /* it is empty */
	assert_int_equal(io_posix_unlinked_file(dir.path), -1);
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(where_uring_is_forbidden_posix_is_chosen),
	        cmocka_unit_test(a_ring_that_cannot_be_made_later_is_done_without),
	        cmocka_unit_test(a_ring_that_breaks_is_done_without),
	        cmocka_unit_test(uring_can_be_avoided),
	        cmocka_unit_test(
	                an_open_file_without_batches_has_one_descriptor_and_close_leaves_none),
	        cmocka_unit_test(no_memory_is_reported_and_nothing_leaks),
	        cmocka_unit_test(a_temporary_file_is_had_without_o_tmpfile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
