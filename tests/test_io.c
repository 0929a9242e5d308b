/* Reading, writing and sizes, as mmap/io.h promises them, held against every implementation. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/io_fixture.h"

/* ---- reading and writing ------------------------------------------------------------------- */

static void what_is_written_is_read_back(void **state)
{
	struct io_fixture *f = *state;
	char data[6] = "";
	size_t got = 0;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "hello", 5, 100000), KV_OK);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 5, 100000, &got), KV_OK);
	assert_int_equal(got, 5);
	assert_string_equal(data, "hello");
	assert_int_equal(io_size_of(f), 100005);
	assert_int_equal(f->io->ops->sync(f->io, &f->file), KV_OK);
	assert_int_equal(f->io->ops->sync_directory(f->io, f->dir.file), KV_OK);
}

static void a_read_stops_at_the_end_of_the_file(void **state)
{
	struct io_fixture *f = *state;
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
	struct io_fixture *f = *state;
	char byte;
	size_t got;

	assert_int_equal(f->io->ops->read(f->io, &f->file, &byte, 1, UINT64_MAX, &got), KV_IO);
	assert_int_equal(f->io->ops->write(f->io, &f->file, "x", 1, UINT64_MAX), KV_IO);
}

/* ---- batches ------------------------------------------------------------------------------- */

/* Writes page i of pages to page places[i] of the file, in batches, and reads all back. */
static void check_batch(struct io_fixture *f, const size_t *places, size_t count, size_t batch)
{
	unsigned char *pages = io_pages_new(count);
	struct io_write *writes = calloc(batch, sizeof *writes);

	assert_non_null(writes);
	for (size_t done = 0; done < count; done += batch) {
		size_t n = count - done < batch ? count - done : batch;

		for (size_t i = 0; i < n; i++)
			writes[i] = (struct io_write){pages + (done + i) * IO_PAGE, IO_PAGE,
			                              places[done + i] * IO_PAGE};
		assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, n), KV_OK);
	}
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	io_assert_pages(f, pages, places, count);
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
	struct io_fixture *f = *state;
	unsigned char *pages = io_pages_new(COUNT);
	struct io_write *writes = calloc(COUNT, sizeof *writes);
	size_t *places = calloc(COUNT, sizeof *places);

	assert_non_null(writes);
	assert_non_null(places);
	/* Backwards in memory, so that no two are neighbours there; every 5,000th leaves a gap. */
	for (size_t i = 0; i < COUNT; i++) {
		places[COUNT - 1 - i] = i + i / 5000;
		writes[i] = (struct io_write){pages + (COUNT - 1 - i) * IO_PAGE, IO_PAGE,
		                              (i + i / 5000) * IO_PAGE};
	}
	assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, COUNT), KV_OK);
	memset(writes, 0xff, COUNT * sizeof *writes); /* the array may be reused at once */
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(io_size_of(f), (COUNT + 3) * (uint64_t)IO_PAGE);
	io_assert_pages(f, pages, places, COUNT);
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
	struct io_fixture *f = *state;
	struct io_write writes[3] = {{"", 0, 500}, {"abc", 3, 0}, {"", 0, 900}};

	assert_int_equal(f->io->ops->submit(f->io, &f->file, NULL, 0), KV_OK);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, 1), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(io_size_of(f), 0);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, 3), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(io_size_of(f), 3);
}

static void *submit_one(void *arg)
{
	struct io_fixture *f = arg;
	static const struct io_write write = {"thread", 6, 0};

	return f->io->ops->submit(f->io, &f->file, &write, 1) == KV_OK ? f : NULL;
}

/* The kernel cancels what a thread had under way when it ends. */
static void a_batch_outlives_the_thread_that_submitted_it(void **state)
{
	struct io_fixture *f = *state;
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
	struct io_fixture *f = *state;
	struct io_write write = {"late", 4, 0};

	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_OK);
	assert_int_equal(f->io->ops->close(f->io, &f->file), KV_OK);
	assert_int_equal(io_open_file(f, f->dir.file, IO_READ | IO_WRITE, &f->file), KV_OK);
	assert_int_equal(io_size_of(f), 4);
}

/* ---- a file that must not grow ------------------------------------------------------------- */

/* In a child, since a limit once lowered stays lowered. */
static int write_beyond_the_limit(struct io_fixture *f)
{
	struct rlimit limit = {3 * IO_PAGE / 2, 3 * IO_PAGE / 2};
	unsigned char *pages = io_pages_new(2);
	const struct io_ops *ops;
	struct io_file file;
	struct io *io;
	char byte;
	size_t got;

	signal(SIGXFSZ, SIG_IGN);
	if (io_make(&io) || setrlimit(RLIMIT_FSIZE, &limit))
		return 1;
	ops = io->ops;
	if (ops->open(io, io_path(f, "small"), IO_READ | IO_WRITE | IO_CREATE, 0600, &file))
		return 2;
	if (ops->write(io, &file, pages, 2 * IO_PAGE, 0) != KV_FULL)
		return 3;
	if (!strstr(kv_detail(), "small: writing 2048 bytes at offset 6144"))
		return 4;
	if (ops->read(io, &file, &byte, 1, 3 * IO_PAGE / 2 - 1, &got) || got != 1)
		return 5; /* what fits has been written */
	if (ops->allocate(io, &file, 0, 2 * IO_PAGE) != KV_FULL)
		return 6;
	if (ops->truncate(io, &file, 2 * IO_PAGE) != KV_FULL || ops->truncate(io, &file, 0))
		return 7;
	if (ops->close(io, &file))
		return 8;
	ops->free(io);
	free(pages);
	return 0;
}

static void no_space_is_full(void **state)
{
	io_in_child(*state, write_beyond_the_limit);
}

/* The failed batch is followed by one that would fit. */
static int batch_beyond_the_limit(struct io_fixture *f)
{
	struct rlimit limit = {3 * IO_PAGE / 2, 3 * IO_PAGE / 2};
	unsigned char *pages = io_pages_new(2);
	struct io_write writes[2] = {{pages, IO_PAGE, 0}, {pages + IO_PAGE, IO_PAGE, IO_PAGE}};
	const struct io_ops *ops;
	struct io_file file, other;
	struct io *io;
	uint64_t bytes;
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	if (io_make(&io) || setrlimit(RLIMIT_FSIZE, &limit))
		return 1;
	ops = io->ops;
	if (ops->open(io, io_path(f, "small"), IO_READ | IO_WRITE | IO_CREATE, 0600, &file) ||
	    ops->open(io, io_path(f, "other"), IO_WRITE | IO_CREATE, 0600, &other))
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
	if (ops->size(io, &file, &bytes) || bytes != 3 * IO_PAGE / 2)
		return 8;
	if (ops->close(io, &file) || ops->close(io, &other))
		return 9;
	ops->free(io);
	free(pages);
	return 0;
}

static void an_error_of_a_batch_sticks_until_flush_reports_it(void **state)
{
	io_in_child(*state, batch_beyond_the_limit);
}

/* ---- size ---------------------------------------------------------------------------------- */

static void allocate_grows_and_reserves_and_keeps(void **state)
{
	struct io_fixture *f = *state;
	struct stat status;
	char data[4];
	size_t got;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "abc", 3, 0), KV_OK);
	assert_int_equal(f->io->ops->allocate(f->io, &f->file, 0, 1 << 20), KV_OK);
	assert_int_equal(io_size_of(f), 1 << 20);
	assert_int_equal(fstat(f->file.fd, &status), 0);
	assert_true(status.st_blocks * 512 >= 1 << 20);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 4, 0, &got), KV_OK);
	assert_memory_equal(data, "abc", 4);
	assert_int_equal(f->io->ops->allocate(f->io, &f->file, 0, 100), KV_OK);
	assert_int_equal(io_size_of(f), 1 << 20);
}

static void truncate_cuts_and_grows(void **state)
{
	struct io_fixture *f = *state;
	char data[4];
	size_t got;

	assert_int_equal(f->io->ops->write(f->io, &f->file, "abcd", 4, 0), KV_OK);
	assert_int_equal(f->io->ops->truncate(f->io, &f->file, 2), KV_OK);
	assert_int_equal(f->io->ops->truncate(f->io, &f->file, 4), KV_OK);
	assert_int_equal(f->io->ops->read(f->io, &f->file, data, 4, 0, &got), KV_OK);
	assert_memory_equal(data, "ab\0\0", 4);
}

/* ---- the table ----------------------------------------------------------------------------- */

static int run(const char *name)
{
	const struct CMUnitTest tests[] = {
	        IO_TEST(what_is_written_is_read_back),
	        IO_TEST(a_read_stops_at_the_end_of_the_file),
	        IO_TEST(an_impossible_offset_is_an_error),
	        IO_TEST(a_batch_of_scattered_pages_is_written),
	        IO_TEST(a_batch_of_adjacent_pages_from_one_piece_of_memory_is_written),
	        IO_TEST(large_batches_are_written),
	        IO_TEST(many_small_batches_are_written),
	        IO_TEST(an_empty_batch_and_empty_writes_do_nothing),
	        IO_TEST(a_batch_outlives_the_thread_that_submitted_it),
	        IO_TEST(close_waits_for_a_batch),
	        IO_TEST(no_space_is_full),
	        IO_TEST(an_error_of_a_batch_sticks_until_flush_reports_it),
	        IO_TEST(allocate_grows_and_reserves_and_keeps),
	        IO_TEST(truncate_cuts_and_grows),
	};

	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	return io_for_each(run) != 0;
}
