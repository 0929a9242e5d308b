/* What mmap/io.h promises, held against every implementation. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mmap/io.h"
#include "mmap/io_posix.h"
#include "mmap/io_record.h"
#include "tests/support.h"

enum { PAGE = 4096 };

static const struct mem plain_memory = {NULL, NULL};

/* The implementation under test, set before its group runs. */
static int (*make)(const struct mem *mem, struct io **io);

struct fixture {
	struct temp_dir dir;
	struct io *io;
	struct io_file file; /* dir.file, open for reading and writing */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	temp_dir_make(&f->dir, NULL);
	assert_int_equal(make(&plain_memory, &f->io), KV_OK);
	assert_int_equal(f->io->ops->open(f->io, f->dir.file, IO_READ | IO_WRITE | IO_CREATE, 0600,
	                                  &f->file),
	                 KV_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->io->ops->close(f->io, &f->file), KV_OK);
	f->io->ops->free(f->io);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

/* A path in the fixture's directory; the buffer is overwritten by the next call. */
static const char *path_of(const struct fixture *f, const char *name)
{
	static char path[SUPPORT_PATH + 64];

	snprintf(path, sizeof path, "%s/%s", f->dir.path, name);
	return path;
}

static int open_file(struct fixture *f, const char *path, unsigned flags, struct io_file *file)
{
	return f->io->ops->open(f->io, path, flags, 0600, file);
}

static uint64_t size_of(struct fixture *f)
{
	uint64_t bytes = UINT64_MAX;

	assert_int_equal(f->io->ops->size(f->io, &f->file, &bytes), KV_OK);
	return bytes;
}

static unsigned char *pages_new(size_t count)
{
	unsigned char *pages = malloc(count * PAGE);

	assert_non_null(pages);
	for (size_t i = 0; i < count * PAGE; i++)
		pages[i] = (unsigned char)(i / PAGE * 7 + i % 251 + 1);
	return pages;
}

/* Page i of pages must stand in the file as page places[i]. */
static void assert_pages(struct fixture *f, const unsigned char *pages, const size_t *places,
                         size_t count)
{
	unsigned char page[PAGE];

	for (size_t i = 0; i < count; i++) {
		size_t got = 0;

		assert_int_equal(
		        f->io->ops->read(f->io, &f->file, page, PAGE, places[i] * PAGE, &got),
		        KV_OK);
		assert_int_equal(got, PAGE);
		assert_memory_equal(page, pages + i * PAGE, PAGE);
	}
}

/* Runs body in a forked child, which returns 0 if all was well. */
static void in_child(struct fixture *f, int (*body)(struct fixture *f))
{
	int status = -1;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(body(f));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- reading and writing ------------------------------------------------------------------- */

static void what_is_written_is_read_back(void **state)
{
	struct fixture *f = *state;
	char data[6] = "";
	size_t got = 0;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "hello", 5, 100000), KV_OK);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 5, 100000, &got), KV_OK);
	assert_int_equal(got, 5);
	assert_string_equal(data, "hello");
	assert_int_equal(size_of(f), 100005);
	assert_int_equal(f->io->ops->sync(f->io, &f->file), KV_OK);
	assert_int_equal(f->io->ops->sync_directory(f->io, f->dir.file), KV_OK);
}

static void a_read_stops_at_the_end_of_the_file(void **state)
{
	struct fixture *f = *state;
	char data[10];
	size_t got = 99;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "hello", 5, 0), KV_OK);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 10, 2, &got), KV_OK);
	assert_int_equal(got, 3);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 10, 5, &got), KV_OK);
	assert_int_equal(got, 0);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 0, 0, &got), KV_OK);
	assert_int_equal(got, 0);
}

static void an_impossible_offset_is_an_error(void **state)
{
	struct fixture *f = *state;
	char byte;
	size_t got;

	assert_int_equal(f->io->ops->read(f->io, &f->file, &byte, 1, UINT64_MAX, &got), KV_IO);
	assert_int_equal(f->io->ops->write(f->io, &f->file, "x", 1, UINT64_MAX), KV_IO);
}

/* ---- batches ------------------------------------------------------------------------------- */

/* Writes page i of pages to page places[i] of the file, in batches, and reads all back. */
static void check_batch(struct fixture *f, const size_t *places, size_t count, size_t batch)
{
	unsigned char *pages = pages_new(count);
	struct io_write *writes = calloc(batch, sizeof *writes);

	assert_non_null(writes);
	for (size_t done = 0; done < count; done += batch) {
		size_t n = count - done < batch ? count - done : batch;

		for (size_t i = 0; i < n; i++)
			writes[i] = (struct io_write){pages + (done + i) * PAGE, PAGE,
			                              places[done + i] * PAGE};
		assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, n), KV_OK);
	}
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_pages(f, pages, places, count);
	free(writes);
	free(pages);
}

static void a_batch_of_scattered_pages_is_written(void **state)
{
	size_t places[100];

	for (size_t i = 0; i < 100; i++)
		places[i] = (i * 37 % 100) * 2;
	check_batch(*state, places, 100, 100);
}

static void a_batch_of_adjacent_pages_from_one_piece_of_memory_is_written(void **state)
{
	size_t places[100];

	for (size_t i = 0; i < 100; i++)
		places[i] = 5 + i;
	check_batch(*state, places, 100, 100);
}

/* More vectors than one call takes, and more runs than may be under way. */
static void large_batches_are_written(void **state)
{
	enum { COUNT = 20000 };
	struct fixture *f = *state;
	unsigned char *pages = pages_new(COUNT);
	struct io_write *writes = calloc(COUNT, sizeof *writes);
	size_t *places = calloc(COUNT, sizeof *places);

	assert_non_null(writes);
	assert_non_null(places);
	/* Backwards in memory, so that no two are neighbours there; every 5,000th leaves a gap. */
	for (size_t i = 0; i < COUNT; i++) {
		places[COUNT - 1 - i] = i + i / 5000;
		writes[i] = (struct io_write){pages + (COUNT - 1 - i) * PAGE, PAGE,
		                              (i + i / 5000) * PAGE};
	}
	assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, COUNT), KV_OK);
	memset(writes, 0xff, COUNT * sizeof *writes); /* the array may be reused at once */
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(size_of(f), (COUNT + 3) * (uint64_t)PAGE);
	assert_pages(f, pages, places, COUNT);
	free(places);
	free(writes);
	free(pages);
}

static void many_small_batches_are_written(void **state)
{
	enum { COUNT = 3000 };
	size_t *places = calloc(COUNT, sizeof *places);

	assert_non_null(places);
	for (size_t i = 0; i < COUNT; i++)
		places[i] = i * 1009 % COUNT;
	check_batch(*state, places, COUNT, 1);
	free(places);
}

static void an_empty_batch_and_empty_writes_do_nothing(void **state)
{
	struct fixture *f = *state;
	struct io_write writes[3] = {{"", 0, 500}, {"abc", 3, 0}, {"", 0, 900}};

	assert_int_equal(f->io->ops->submit(f->io, &f->file, NULL, 0), KV_OK);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, 1), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(size_of(f), 0);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, 3), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(size_of(f), 3);
}

static void *submit_one(void *arg)
{
	struct fixture *f = arg;
	static const struct io_write write = {"thread", 6, 0};

	return f->io->ops->submit(f->io, &f->file, &write, 1) == KV_OK ? f : NULL;
}

/* The kernel cancels what a thread had under way when it ends. */
static void a_batch_outlives_the_thread_that_submitted_it(void **state)
{
	struct fixture *f = *state;
	char data[7] = "";
	size_t got;

	for (int i = 0; i < 50; i++) {
		pthread_t thread;
		void *result;

		assert_int_equal(f->io->ops->truncate(f->io, &f->file, 0), KV_OK);
		assert_int_equal(pthread_create(&thread, NULL, submit_one, f), 0);
		assert_int_equal(pthread_join(thread, &result), 0);
		assert_ptr_equal(result, f);
		assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
		assert_int_equal(f->io->ops->read(f->io, &f->file, data, 6, 0, &got), KV_OK);
		assert_string_equal(data, "thread");
	}
}

static void close_waits_for_a_batch(void **state)
{
	struct fixture *f = *state;
	struct io_write write = {"late", 4, 0};

	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_OK);
	assert_int_equal(f->io->ops->close(f->io, &f->file), KV_OK);
	assert_int_equal(open_file(f, f->dir.file, IO_READ | IO_WRITE, &f->file), KV_OK);
	assert_int_equal(size_of(f), 4);
}

/* ---- a file that must not grow ------------------------------------------------------------- */

/* In a child, since a limit once lowered stays lowered. */
static int write_beyond_the_limit(struct fixture *f)
{
	struct rlimit limit = {3 * PAGE / 2, 3 * PAGE / 2};
	unsigned char *pages = pages_new(2);
	const struct io_ops *ops;
	struct io_file file;
	struct io *io;
	char byte;
	size_t got;

	signal(SIGXFSZ, SIG_IGN);
	if (make(&plain_memory, &io) || setrlimit(RLIMIT_FSIZE, &limit))
		return 1;
	ops = io->ops;
	if (ops->open(io, path_of(f, "small"), IO_READ | IO_WRITE | IO_CREATE, 0600, &file))
		return 2;
	if (ops->write(io, &file, pages, 2 * PAGE, 0) != KV_FULL)
		return 3;
	if (!strstr(kv_detail(), "small: writing 2048 bytes at offset 6144"))
		return 4;
	if (ops->read(io, &file, &byte, 1, 3 * PAGE / 2 - 1, &got) || got != 1)
		return 5; /* what fits has been written */
	if (ops->allocate(io, &file, 0, 2 * PAGE) != KV_FULL)
		return 6;
	if (ops->truncate(io, &file, 2 * PAGE) != KV_FULL || ops->truncate(io, &file, 0))
		return 7;
	if (ops->close(io, &file))
		return 8;
	ops->free(io);
	free(pages);
	return 0;
}

static void no_space_is_full(void **state)
{
	in_child(*state, write_beyond_the_limit);
}

/* The failed batch is followed by one that would fit. */
static int batch_beyond_the_limit(struct fixture *f)
{
	struct rlimit limit = {3 * PAGE / 2, 3 * PAGE / 2};
	unsigned char *pages = pages_new(2);
	struct io_write writes[2] = {{pages, PAGE, 0}, {pages + PAGE, PAGE, PAGE}};
	const struct io_ops *ops;
	struct io_file file, other;
	struct io *io;
	uint64_t bytes;
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	if (make(&plain_memory, &io) || setrlimit(RLIMIT_FSIZE, &limit))
		return 1;
	ops = io->ops;
	if (ops->open(io, path_of(f, "small"), IO_READ | IO_WRITE | IO_CREATE, 0600, &file) ||
	    ops->open(io, path_of(f, "other"), IO_WRITE | IO_CREATE, 0600, &other))
		return 2;
	rc = ops->submit(io, &file, writes, 2);
	if (rc != KV_OK && rc != KV_FULL)
		return 3;
	if (ops->submit(io, &other, writes, 1) || ops->flush(io, &other))
		return 4; /* the error belongs to the other file */
	if (rc && ops->submit(io, &file, writes, 1) != KV_FULL)
		return 5; /* sticks */
	if (ops->flush(io, &file) != KV_FULL || !strstr(kv_detail(), "small"))
		return 6;
	if (ops->flush(io, &file) || ops->submit(io, &file, writes, 1) || ops->flush(io, &file))
		return 7; /* reported, so gone */
	if (ops->size(io, &file, &bytes) || bytes != 3 * PAGE / 2)
		return 8;
	if (ops->close(io, &file) || ops->close(io, &other))
		return 9;
	ops->free(io);
	free(pages);
	return 0;
}

static void an_error_of_a_batch_sticks_until_flush_reports_it(void **state)
{
	in_child(*state, batch_beyond_the_limit);
}

/* ---- size ---------------------------------------------------------------------------------- */

static void allocate_grows_and_reserves_and_keeps(void **state)
{
	struct fixture *f = *state;
	struct stat status;
	char data[4];
	size_t got;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "abc", 3, 0), KV_OK);
	assert_int_equal(f->io->ops->allocate(f->io, &f->file, 0, 1 << 20), KV_OK);
	assert_int_equal(size_of(f), 1 << 20);
	assert_int_equal(fstat(f->file.fd, &status), 0);
	assert_true(status.st_blocks * 512 >= 1 << 20);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 4, 0, &got), KV_OK);
	assert_memory_equal(data, "abc", 4);
	assert_int_equal(f->io->ops->allocate(f->io, &f->file, 0, 100), KV_OK);
	assert_int_equal(size_of(f), 1 << 20);
}

static void truncate_cuts_and_grows(void **state)
{
	struct fixture *f = *state;
	char data[4];
	size_t got;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "abcd", 4, 0), KV_OK);
	assert_int_equal(f->io->ops->truncate(f->io, &f->file, 2), KV_OK);
	assert_int_equal(f->io->ops->truncate(f->io, &f->file, 4), KV_OK);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 4, 0, &got), KV_OK);
	assert_memory_equal(data, "ab\0\0", 4);
}

/* ---- opening ------------------------------------------------------------------------------- */

static void a_missing_file_is_no_file(void **state)
{
	struct fixture *f = *state;
	struct io_file file;

	assert_int_equal(open_file(f, path_of(f, "missing"), IO_READ, &file), KV_NO_FILE);
	assert_int_equal(file.fd, -1);
	assert_non_null(strstr(kv_detail(), "missing"));
	assert_int_equal(f->io->ops->close(f->io, &file), KV_OK);
	assert_int_equal(open_file(f, NULL, IO_READ, &file), KV_INVALID);
}

static void exclusive_creation_leaves_a_file_alone(void **state)
{
	struct fixture *f = *state;
	struct io_file file;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "keep", 4, 0), KV_OK);
	assert_int_equal(open_file(f, f->dir.file, IO_WRITE | IO_CREATE | IO_EXCLUSIVE, &file),
	                 KV_EXISTS);
	assert_int_equal(file.fd, -1);
	assert_int_equal(size_of(f), 4);
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
	struct fixture *f = *state;
	struct io_file file;

	assert_int_equal(mkfifo(path_of(f, "pipe"), 0600), 0);
	assert_int_equal(open_file(f, path_of(f, "pipe"), IO_READ, &file), KV_NOT_A_DATABASE);
	assert_int_equal(open_file(f, path_of(f, "pipe"), IO_WRITE, &file), KV_NOT_A_DATABASE);
	assert_int_equal(open_file(f, f->dir.path, IO_READ, &file), KV_NOT_A_DATABASE);
	assert_int_equal(open_file(f, f->dir.path, IO_READ | IO_WRITE, &file), KV_NOT_A_DATABASE);
	assert_int_equal(file.fd, -1);
}

static void descriptors_are_closed_on_exec_and_blocking(void **state)
{
	struct fixture *f = *state;
	struct io_file temporary, memory;

	assert_int_equal(open_file(f, f->dir.path, IO_TEMPORARY, &temporary), KV_OK);
	assert_int_equal(open_file(f, "name", IO_MEMORY, &memory), KV_OK);
	assert_int_equal(fcntl(f->file.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(temporary.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(memory.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(f->file.fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(f->io->ops->close(f->io, &temporary), KV_OK);
	assert_int_equal(f->io->ops->close(f->io, &memory), KV_OK);
}

static int open_without_standard_output(struct fixture *f)
{
	struct io_file file;

	close(STDOUT_FILENO);
	if (open_file(f, path_of(f, "new"), IO_WRITE | IO_CREATE, &file))
		return 1;
	return file.fd > STDERR_FILENO && write(STDOUT_FILENO, "x", 1) < 0 ? 0 : 2;
}

static void a_descriptor_never_takes_the_place_of_standard_output(void **state)
{
	in_child(*state, open_without_standard_output);
}

static void a_new_file_has_the_mode_asked_for(void **state)
{
	struct fixture *f = *state;
	struct stat status;

	assert_int_equal(fstat(f->file.fd, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

/* Both kinds are read and written like others, and leave nothing in the directory. */
static void check_nameless(struct fixture *f, const char *path, unsigned flags)
{
	struct io_file file;
	struct stat status;
	char data[4] = "";
	size_t got;

	assert_int_equal(open_file(f, path, flags, &file), KV_OK);
	assert_int_equal(f->io->ops->allocate(f->io, &file, 0, PAGE), KV_OK);
	assert_int_equal(f->io->ops->write(f->io, &file, "abc", 3, PAGE), KV_OK);
	assert_int_equal(f->io->ops->read(f->io, &file, data, 4, PAGE, &got), KV_OK);
	assert_int_equal(got, 3);
	assert_string_equal(data, "abc");
	assert_int_equal(f->io->ops->sync(f->io, &file), KV_OK);
	assert_int_equal(fstat(file.fd, &status), 0);
	assert_int_equal(status.st_nlink, 0);
	assert_int_equal(f->io->ops->close(f->io, &file), KV_OK);
}

static void temporary_files_have_no_name(void **state)
{
	struct fixture *f = *state;
	struct io_file file;

	check_nameless(f, f->dir.path, IO_TEMPORARY);
	assert_int_equal(open_file(f, path_of(f, "missing"), IO_TEMPORARY, &file), KV_NO_FILE);
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
	struct fixture *f = *state;
	struct io_file file;
	char to[SUPPORT_PATH + 64];

	snprintf(to, sizeof to, "%s", path_of(f, "to"));
	assert_int_equal(open_file(f, to, IO_WRITE | IO_CREATE, &file), KV_OK);
	assert_int_equal(f->io->ops->close(f->io, &file), KV_OK);
	assert_int_equal(f->io->ops->write(f->io, &f->file, "abc", 3, 0), KV_OK);
	assert_int_equal(f->io->ops->rename(f->io, f->dir.file, to), KV_OK);
	assert_int_equal(f->io->ops->rename(f->io, f->dir.file, to), KV_NO_FILE);
	assert_int_equal(f->io->ops->sync_directory(f->io, to), KV_OK);
	assert_int_equal(f->io->ops->close(f->io, &f->file), KV_OK);
	assert_int_equal(open_file(f, to, IO_READ, &f->file), KV_OK);
	assert_int_equal(size_of(f), 3);
}

static void remove_removes_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->io->ops->remove(f->io, f->dir.file), KV_OK);
	assert_int_equal(f->io->ops->remove(f->io, f->dir.file), KV_NO_FILE);
	assert_int_equal(access(f->dir.file, F_OK), -1);
}

static void directories_of_odd_paths_are_synced(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->io->ops->sync_directory(f->io, "name"), KV_OK);
	assert_int_equal(f->io->ops->sync_directory(f->io, "/name"), KV_OK);
	assert_int_equal(f->io->ops->sync_directory(f->io, path_of(f, "no/name")), KV_IO);
}

/* ---- locks --------------------------------------------------------------------------------- */

static int lock(struct fixture *f, const struct io_file *file, enum io_lock kind)
{
	return f->io->ops->lock(f->io, file, kind);
}

static void two_opens_in_one_process_exclude_each_other(void **state)
{
	struct fixture *f = *state;
	struct io_file other;

	assert_int_equal(open_file(f, f->dir.file, IO_READ | IO_WRITE, &other), KV_OK);
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
static int lock_is_busy(struct fixture *f)
{
	struct io_file file;
	struct io *io;

	if (make(&plain_memory, &io) ||
	    io->ops->open(io, f->dir.file, IO_READ | IO_WRITE, 0, &file))
		return 1;
	return io->ops->lock(io, &file, IO_LOCK_SHARED) == KV_BUSY ? 0 : 2;
}

static void another_process_is_excluded(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	in_child(f, lock_is_busy);
}

/* ---- fork ---------------------------------------------------------------------------------- */

static int use_and_close_in_child(struct fixture *f)
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
	struct fixture *f = *state;
	struct io_write write = {"parent", 6, 0};

	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	in_child(f, use_and_close_in_child);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(size_of(f), 6);
}

/* A child that lives on has a copy of the descriptor. */
static void close_releases_the_lock_though_a_child_lives(void **state)
{
	struct fixture *f = *state;
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
	assert_int_equal(open_file(f, f->dir.file, IO_READ | IO_WRITE, &f->file), KV_OK);
	assert_int_equal(lock(f, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	close(hold[0]);
	close(hold[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* ---- the table ----------------------------------------------------------------------------- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static int run(const char *name, int (*implementation)(const struct mem *mem, struct io **io))
{
	const struct CMUnitTest tests[] = {
	        TEST(what_is_written_is_read_back),
	        TEST(a_read_stops_at_the_end_of_the_file),
	        TEST(an_impossible_offset_is_an_error),
	        TEST(a_batch_of_scattered_pages_is_written),
	        TEST(a_batch_of_adjacent_pages_from_one_piece_of_memory_is_written),
	        TEST(large_batches_are_written),
	        TEST(many_small_batches_are_written),
	        TEST(an_empty_batch_and_empty_writes_do_nothing),
	        TEST(a_batch_outlives_the_thread_that_submitted_it),
	        TEST(close_waits_for_a_batch),
	        TEST(no_space_is_full),
	        TEST(an_error_of_a_batch_sticks_until_flush_reports_it),
	        TEST(allocate_grows_and_reserves_and_keeps),
	        TEST(truncate_cuts_and_grows),
	        TEST(a_missing_file_is_no_file),
	        TEST(exclusive_creation_leaves_a_file_alone),
	        TEST(what_is_no_regular_file_is_refused_at_once),
	        TEST(descriptors_are_closed_on_exec_and_blocking),
	        TEST(a_descriptor_never_takes_the_place_of_standard_output),
	        TEST(a_new_file_has_the_mode_asked_for),
	        TEST(temporary_files_have_no_name),
	        TEST(memory_files_have_no_name),
	        TEST(rename_replaces),
	        TEST(remove_removes_once),
	        TEST(directories_of_odd_paths_are_synced),
	        TEST(two_opens_in_one_process_exclude_each_other),
	        TEST(another_process_is_excluded),
	        TEST(a_forked_child_leaves_batches_and_locks_alone),
	        TEST(close_releases_the_lock_though_a_child_lives),
	};

	make = implementation;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

static int immediate_record_new(const struct mem *mem, struct io **io)
{
	int rc = io_record_new(mem, io);

	if (rc == KV_OK)
		io_record_set_immediate(*io, true);
	return rc;
}

int main(void)
{
	int failed = run("io_posix", io_posix_new);

#ifdef KV_HAVE_URING
	struct io *io;

	if (io_uring_new(&plain_memory, &io) == KV_OK) {
		io->ops->free(io);
		failed += run("io_uring", io_uring_new);
	} else {
		print_message("io_uring is left out: %s\n", kv_detail());
	}
#endif
	failed += run("io_record", io_record_new);
	failed += run("io_record, immediate", immediate_record_new);
	return failed != 0;
}
