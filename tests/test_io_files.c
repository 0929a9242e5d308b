/* Opening, names, locks and fork, as mmap/io.h promises them, held against every implementation. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/io_fixture.h"

/* ---- opening ------------------------------------------------------------------------------- */

static void a_missing_file_is_no_file(void **state)
{
	struct io_fixture *f = *state;
	struct io_file file;

	assert_int_equal(io_open_file(f, io_path(f, "missing"), IO_READ, &file), KV_NO_FILE);
	assert_int_equal(file.fd, -1);
	assert_non_null(strstr(kv_detail(), "missing"));
	assert_int_equal(f->io->ops->close(f->io, &file), KV_OK);
	assert_int_equal(io_open_file(f, NULL, IO_READ, &file), KV_INVALID);
}

static void exclusive_creation_leaves_a_file_alone(void **state)
{
	struct io_fixture *f = *state;
	struct io_file file;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "keep", 4, 0), KV_OK);
	assert_int_equal(io_open_file(f, f->dir.file, IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &file),
	                 KV_EXISTS);
	assert_int_equal(file.fd, -1);
	assert_int_equal(io_size_of(f), 4);
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
	struct io_fixture *f = *state;
	struct io_file file;

	assert_int_equal(mkfifo(io_path(f, "pipe"), 0600), 0);
	assert_int_equal(io_open_file(f, io_path(f, "pipe"), IO_READ, &file), KV_NOT_A_DATABASE);
	assert_int_equal(io_open_file(f, io_path(f, "pipe"), IO_WRITE, &file), KV_NOT_A_DATABASE);
	assert_int_equal(io_open_file(f, f->dir.path, IO_READ, &file), KV_NOT_A_DATABASE);
	assert_int_equal(io_open_file(f, f->dir.path, IO_READ | IO_WRITE, &file),
	                 KV_NOT_A_DATABASE);
	assert_int_equal(file.fd, -1);
}

static void descriptors_are_closed_on_exec_and_blocking(void **state)
{
	struct io_fixture *f = *state;
	struct io_file temporary, memory;

	assert_int_equal(io_open_file(f, f->dir.path, IO_TEMPORARY, &temporary), KV_OK);
	assert_int_equal(io_open_file(f, "name", IO_MEMORY, &memory), KV_OK);
	assert_int_equal(fcntl(f->file.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(temporary.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(memory.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(f->file.fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(f->io->ops->close(f->io, &temporary), KV_OK);
	assert_int_equal(f->io->ops->close(f->io, &memory), KV_OK);
}

static int open_without_standard_output(struct io_fixture *f)
{
	struct io_file file;

	close(STDOUT_FILENO);
	if (io_open_file(f, io_path(f, "new"), IO_WRITE | IO_CREATE, &file))
		return 1;
	return file.fd > STDERR_FILENO && write(STDOUT_FILENO, "x", 1) < 0 ? 0 : 2;
}

static void a_descriptor_never_takes_the_place_of_standard_output(void **state)
{
	io_in_child(*state, open_without_standard_output);
}

static void a_new_file_has_the_mode_asked_for(void **state)
{
	struct io_fixture *f = *state;
	struct stat status;

	assert_int_equal(fstat(f->file.fd, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

/* Both kinds are read and written like others, and leave nothing in the directory. */
static void check_nameless(struct io_fixture *f, const char *path, unsigned flags)
{
	struct io_file file;
	struct stat status;
	char data[4] = "";
	size_t got;

	assert_int_equal(io_open_file(f, path, flags, &file), KV_OK);
	assert_int_equal(f->io->ops->allocate(f->io, &file, 0, IO_PAGE), KV_OK);
	assert_int_equal(f->io->ops->write(f->io, &file, "abc", 3, IO_PAGE), KV_OK);
	assert_int_equal(f->io->ops->read(f->io, &file, data, 4, IO_PAGE, &got), KV_OK);
	assert_int_equal(got, 3);
	assert_string_equal(data, "abc");
	assert_int_equal(f->io->ops->sync(f->io, &file), KV_OK);
	assert_int_equal(fstat(file.fd, &status), 0);
	assert_int_equal(status.st_nlink, 0);
	assert_int_equal(f->io->ops->close(f->io, &file), KV_OK);
}

static void temporary_files_have_no_name(void **state)
{
	struct io_fixture *f = *state;
	struct io_file file;

	check_nameless(f, f->dir.path, IO_TEMPORARY);
	assert_int_equal(io_open_file(f, io_path(f, "missing"), IO_TEMPORARY, &file), KV_NO_FILE);
}

static void memory_files_have_no_name(void **state)
{
	char long_name[400];

	memset(long_name, 'n', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = 0;
	check_nameless(*state, "database", IO_MEMORY);
	check_nameless(*state, NULL, IO_MEMORY);
	check_nameless(*state, long_name, IO_MEMORY);
}

/* ---- directory entries --------------------------------------------------------------------- */

static void rename_replaces(void **state)
{
	struct io_fixture *f = *state;
	struct io_file file;
	char to[SUPPORT_PATH + 64];

	snprintf(to, sizeof to, "%s", io_path(f, "to"));
	assert_int_equal(io_open_file(f, to, IO_WRITE | IO_CREATE, &file), KV_OK);
	assert_int_equal(f->io->ops->close(f->io, &file), KV_OK);
	assert_int_equal(f->io->ops->write(f->io, &f->file, "abc", 3, 0), KV_OK);
	assert_int_equal(f->io->ops->rename(f->io, f->dir.file, to), KV_OK);
	assert_int_equal(f->io->ops->rename(f->io, f->dir.file, to), KV_NO_FILE);
	assert_int_equal(f->io->ops->sync_directory(f->io, to), KV_OK);
	assert_int_equal(f->io->ops->close(f->io, &f->file), KV_OK);
	assert_int_equal(io_open_file(f, to, IO_READ, &f->file), KV_OK);
	assert_int_equal(io_size_of(f), 3);
}

static void remove_removes_once(void **state)
{
	struct io_fixture *f = *state;

	assert_int_equal(f->io->ops->remove(f->io, f->dir.file), KV_OK);
	assert_int_equal(f->io->ops->remove(f->io, f->dir.file), KV_NO_FILE);
	assert_int_equal(access(f->dir.file, F_OK), -1);
}

static void directories_of_odd_paths_are_synced(void **state)
{
	struct io_fixture *f = *state;

	assert_int_equal(f->io->ops->sync_directory(f->io, "name"), KV_OK);
	assert_int_equal(f->io->ops->sync_directory(f->io, "/name"), KV_OK);
	assert_int_equal(f->io->ops->sync_directory(f->io, io_path(f, "no/name")), KV_IO);
}

/* ---- locks --------------------------------------------------------------------------------- */

static int lock(struct io_fixture *f, const struct io_file *file, enum io_lock kind)
{
	return f->io->ops->lock(f->io, file, kind);
}

static void two_opens_in_one_process_exclude_each_other(void **state)
{
	struct io_fixture *f = *state;
	struct io_file other;

	assert_int_equal(io_open_file(f, f->dir.file, IO_READ | IO_WRITE, &other), KV_OK);
	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	assert_int_equal(lock(f, &other, IO_LOCK_EXCLUSIVE), KV_BUSY);
	assert_int_equal(lock(f, &other, IO_LOCK_SHARED), KV_BUSY);
	assert_int_equal(lock(f, &f->file, IO_LOCK_SHARED), KV_OK);
	assert_int_equal(lock(f, &other, IO_LOCK_SHARED), KV_OK);
	assert_int_equal(lock(f, &other, IO_LOCK_EXCLUSIVE), KV_BUSY);
	assert_int_equal(f->io->ops->close(f->io, &other), KV_OK);
	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
}

/* With another instance, as another process would. */
static int lock_is_busy(struct io_fixture *f)
{
	struct io_file file;
	struct io *io;

	if (io_make(&io) || io->ops->open(io, f->dir.file, IO_READ | IO_WRITE, 0, &file))
		return 1;
	return io->ops->lock(io, &file, IO_LOCK_SHARED) == KV_BUSY ? 0 : 2;
}

static void another_process_is_excluded(void **state)
{
	struct io_fixture *f = *state;

	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	io_in_child(f, lock_is_busy);
}

/* ---- fork ---------------------------------------------------------------------------------- */

static int use_and_close_in_child(struct io_fixture *f)
{
	struct io_write write = {"child", 5, 0};
	const struct io_ops *ops = f->io->ops;

	if (ops->submit(f->io, &f->file, &write, 1) != KV_FORKED)
		return 1;
	if (ops->flush(f->io, &f->file) != KV_FORKED)
		return 2;
	if (ops->close(f->io, &f->file))
		return 3;
	ops->free(f->io);
	return lock_is_busy(f); /* still the parent's */
}

static void a_forked_child_leaves_batches_and_locks_alone(void **state)
{
	struct io_fixture *f = *state;
	struct io_write write = {"parent", 6, 0};

	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	io_in_child(f, use_and_close_in_child);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(io_size_of(f), 6);
}

/* A child that lives on has a copy of the descriptor. */
static void close_releases_the_lock_though_a_child_lives(void **state)
{
	struct io_fixture *f = *state;
	int hold[2];
	pid_t child;

	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	assert_int_equal(pipe(hold), 0);
	child = fork();
	if (child == 0) {
		char byte;

		close(hold[1]);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(f->io->ops->close(f->io, &f->file), KV_OK);
	assert_int_equal(io_open_file(f, f->dir.file, IO_READ | IO_WRITE, &f->file), KV_OK);
	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	close(hold[0]);
	close(hold[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* ---- the table ----------------------------------------------------------------------------- */

static int run(const char *name)
{
	const struct CMUnitTest tests[] = {
	        IO_TEST(a_missing_file_is_no_file),
	        IO_TEST(exclusive_creation_leaves_a_file_alone),
	        IO_TEST(what_is_no_regular_file_is_refused_at_once),
	        IO_TEST(descriptors_are_closed_on_exec_and_blocking),
	        IO_TEST(a_descriptor_never_takes_the_place_of_standard_output),
	        IO_TEST(a_new_file_has_the_mode_asked_for),
	        IO_TEST(temporary_files_have_no_name),
	        IO_TEST(memory_files_have_no_name),
	        IO_TEST(rename_replaces),
	        IO_TEST(remove_removes_once),
	        IO_TEST(directories_of_odd_paths_are_synced),
	        IO_TEST(two_opens_in_one_process_exclude_each_other),
	        IO_TEST(another_process_is_excluded),
	        IO_TEST(a_forked_child_leaves_batches_and_locks_alone),
	        IO_TEST(close_releases_the_lock_though_a_child_lives),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return io_for_each(run) != 0;
}
