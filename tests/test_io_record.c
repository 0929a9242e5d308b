/* The recording implementation: its trace and its faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pthread.h>

#include <cmocka.h>

#include "mmap/io_record.h"
#include "tests/support.h"

struct fixture {
	struct temp_dir dir;
	struct io *io;
	struct io_file file; /* dir.file; its open is the first entry of the trace */
};

static int set_up(void **state)
{
	static const struct mem plain_memory = {NULL, NULL};
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	temp_dir_make(&f->dir, NULL);
	assert_int_equal(io_record_new(&plain_memory, &f->io), KV_OK);
	assert_int_equal(f->io->ops->open(f->io, f->dir.file, IO_READ | IO_WRITE | IO_CREATE, 0600,
	                                  &f->file),
	                 KV_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->io->ops->close(f->io, &f->file); /* may be made to fail */
	f->io->ops->free(f->io);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

static void set_fault(struct fixture *f, enum io_record_kind kind, uint64_t nth, bool lasting,
                      enum io_record_effect effect)
{
	struct io_record_fault fault = {
	        .kind = kind, .nth = nth, .lasting = lasting, .effect = effect};

	io_record_set_fault(f->io, &fault);
}

static int write_at(struct fixture *f, const char *data, uint64_t offset)
{
	return f->io->ops->write(f->io, &f->file, data, strlen(data), offset);
}

/* What really stands in the file, past the recorder. */
static void assert_content(struct fixture *f, const char *content)
{
	char data[64] = "";
	ssize_t n = pread(f->file.fd, data, sizeof data - 1, 0);

	assert_int_equal(n, strlen(content));
	assert_string_equal(data, content);
}

static const struct io_record_call *assert_call(struct fixture *f, size_t index,
                                                enum io_record_kind kind, int rc)
{
	const struct io_record_call *call = io_record_get(f->io, index);

	assert_non_null(call);
	assert_string_equal(io_record_kind_name(call->kind), io_record_kind_name(kind));
	assert_int_equal(call->rc, rc);
	return call;
}

/* ---- the trace ----------------------------------------------------------------------------- */

static void every_call_is_in_the_trace_in_order(void **state)
{
	struct fixture *f = *state;
	const struct io_ops *ops = f->io->ops;
	char to[SUPPORT_PATH + 64], data[8];
	struct io_write writes[2] = {{"cd", 2, 2}, {"ef", 2, 4}};
	uint64_t bytes;
	size_t got;

	strcpy(to, f->dir.file);
	strcat(to, "-new");
	assert_int_equal(write_at(f, "ab", 0), KV_OK);
	assert_int_equal(ops->submit(f->io, &f->file, writes, 2), KV_OK);
	assert_int_equal(ops->flush(f->io, &f->file), KV_OK);
	assert_int_equal(ops->sync(f->io, &f->file), KV_OK);
	assert_int_equal(ops->size(f->io, &f->file, &bytes), KV_OK);
	assert_int_equal(ops->read(f->io, &f->file, data, 8, 1, &got), KV_OK);
	assert_int_equal(ops->allocate(f->io, &f->file, 4, 10), KV_OK);
	assert_int_equal(ops->truncate(f->io, &f->file, 3), KV_OK);
	assert_int_equal(ops->lock(f->io, &f->file, IO_LOCK_EXCLUSIVE), KV_OK);
	assert_int_equal(ops->rename(f->io, f->dir.file, to), KV_OK);
	assert_int_equal(ops->sync_directory(f->io, to), KV_OK);
	assert_int_equal(ops->remove(f->io, to), KV_OK);
	assert_int_equal(ops->remove(f->io, to), KV_NO_FILE);
	assert_int_equal(ops->close(f->io, &f->file), KV_OK);

	assert_int_equal(io_record_length(f->io), 16);
	assert_true(assert_call(f, 0, IO_RECORD_OPEN, KV_OK)->created);
	assert_string_equal(io_record_get(f->io, 0)->path, f->dir.file);
	assert_memory_equal(assert_call(f, 1, IO_RECORD_WRITE, KV_OK)->data, "ab", 2);
	assert_memory_equal(assert_call(f, 2, IO_RECORD_BATCH_WRITE, KV_OK)->data, "cd", 2);
	assert_memory_equal(assert_call(f, 3, IO_RECORD_BATCH_WRITE, KV_OK)->data, "ef", 2);
	assert_int_equal(io_record_get(f->io, 3)->offset, 4);
	assert_int_equal(io_record_get(f->io, 3)->done, 2);
	assert_int_equal(io_record_get(f->io, 3)->tag, io_record_get(f->io, 0)->tag);
	assert_string_equal(io_record_get(f->io, 3)->path, f->dir.file);
	assert_call(f, 4, IO_RECORD_FLUSH, KV_OK);
	assert_call(f, 5, IO_RECORD_SYNC, KV_OK);
	assert_int_equal(assert_call(f, 6, IO_RECORD_SIZE, KV_OK)->done, 6);
	assert_int_equal(assert_call(f, 7, IO_RECORD_READ, KV_OK)->done, 5);
	assert_int_equal(assert_call(f, 8, IO_RECORD_ALLOCATE, KV_OK)->size, 10);
	assert_int_equal(assert_call(f, 9, IO_RECORD_TRUNCATE, KV_OK)->size, 3);
	assert_int_equal(assert_call(f, 10, IO_RECORD_LOCK, KV_OK)->flags, IO_LOCK_EXCLUSIVE);
	assert_string_equal(assert_call(f, 11, IO_RECORD_RENAME, KV_OK)->to, to);
	assert_string_equal(assert_call(f, 12, IO_RECORD_SYNC_DIRECTORY, KV_OK)->path, to);
	assert_string_equal(assert_call(f, 13, IO_RECORD_REMOVE, KV_OK)->path, to);
	assert_call(f, 14, IO_RECORD_REMOVE, KV_NO_FILE);
	assert_call(f, 15, IO_RECORD_CLOSE, KV_OK);
	assert_null(io_record_get(f->io, 16));
	assert_int_equal(io_record_calls(f->io, IO_RECORD_ANY), 16);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_BATCH_WRITE), 2);
}

static void every_open_has_its_own_tag(void **state)
{
	struct fixture *f = *state;
	struct io_file again;

	assert_int_equal(f->io->ops->open(f->io, f->dir.file, IO_READ, 0, &again), KV_OK);
	assert_int_not_equal(again.tag, f->file.tag);
	assert_false(io_record_get(f->io, 1)->created);
	assert_int_equal(f->io->ops->close(f->io, &again), KV_OK);
}

static void data_is_kept_only_as_far_as_asked_for(void **state)
{
	struct fixture *f = *state;

	io_record_set_detail(f->io, IO_RECORD_CALLS);
	assert_int_equal(write_at(f, "ab", 0), KV_OK);
	assert_null(assert_call(f, 1, IO_RECORD_WRITE, KV_OK)->data);
	io_record_set_detail(f->io, IO_RECORD_NOTHING);
	assert_int_equal(write_at(f, "ab", 0), KV_OK);
	assert_int_equal(io_record_length(f->io), 2);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_WRITE), 2);
	io_record_clear(f->io);
	assert_int_equal(io_record_length(f->io), 0);
}

/* The caller's mistake, made visible: the memory was reused before the flush. */
static void a_batch_is_written_from_memory_as_it_is_at_flush(void **state)
{
	struct fixture *f = *state;
	char data[3] = "ab";
	struct io_write write = {data, 2, 0};

	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_OK);
	assert_content(f, "");
	data[0] = 'x';
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
	assert_content(f, "xb");
}

static void *write_many(void *arg)
{
	struct fixture *f = arg;

	for (unsigned i = 0; i < 1000; i++)
		if (f->io->ops->write(f->io, &f->file, &i, sizeof i, 0) != KV_OK)
			return NULL;
	return f;
}

static void the_trace_of_two_threads_ends_with_what_is_in_the_file(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[2];
	unsigned last;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, f), 0);
	for (size_t i = 0; i < 2; i++) {
		void *result;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, f);
	}
	assert_int_equal(io_record_length(f->io), 2001);
	assert_int_equal(pread(f->file.fd, &last, sizeof last, 0), sizeof last);
	assert_memory_equal(io_record_get(f->io, 2000)->data, &last, sizeof last);
}

/* ---- faults -------------------------------------------------------------------------------- */

static void the_nth_call_of_a_kind_fails_once(void **state)
{
	struct fixture *f = *state;

	set_fault(f, IO_RECORD_WRITE, 2, false, IO_RECORD_EIO);
	assert_int_equal(write_at(f, "a", 0), KV_OK);
	assert_int_equal(f->io->ops->sync(f->io, &f->file), KV_OK);
	assert_false(io_record_struck(f->io));
	assert_int_equal(write_at(f, "b", 1), KV_IO);
	assert_non_null(strstr(kv_detail(), "injected fault in write"));
	assert_true(io_record_struck(f->io));
	assert_int_equal(write_at(f, "c", 1), KV_OK);
	assert_content(f, "ac");
	assert_true(assert_call(f, 3, IO_RECORD_WRITE, KV_IO)->injected);
	assert_int_equal(io_record_get(f->io, 3)->done, 0);
	assert_false(assert_call(f, 4, IO_RECORD_WRITE, KV_OK)->injected);
}

static void the_nth_call_of_any_kind_and_all_later_ones_fail(void **state)
{
	struct fixture *f = *state;

	set_fault(f, IO_RECORD_ANY, 2, true, IO_RECORD_ENOSPC);
	assert_int_equal(write_at(f, "a", 0), KV_OK);
	assert_int_equal(f->io->ops->sync(f->io, &f->file), KV_FULL);
	assert_int_equal(write_at(f, "b", 0), KV_FULL);
	io_record_set_fault(f->io, NULL);
	assert_int_equal(write_at(f, "c", 0), KV_OK);
	assert_content(f, "c");
}

static void a_fault_can_be_confined_to_one_file(void **state)
{
	struct fixture *f = *state;
	struct io_record_fault fault = {.kind = IO_RECORD_WRITE, .nth = 1, .lasting = true};
	struct io_file memory;

	assert_int_equal(f->io->ops->open(f->io, NULL, IO_MEMORY, 0, &memory), KV_OK);
	fault.tag = memory.tag;
	io_record_set_fault(f->io, &fault);
	assert_int_equal(write_at(f, "a", 0), KV_OK);
	assert_int_equal(f->io->ops->write(f->io, &memory, "a", 1, 0), KV_IO);
	assert_int_equal(f->io->ops->close(f->io, &memory), KV_OK);
}

static void a_short_write_leaves_the_first_half(void **state)
{
	struct fixture *f = *state;

	set_fault(f, IO_RECORD_WRITE, 1, false, IO_RECORD_SHORT_ENOSPC);
	assert_int_equal(write_at(f, "abcd", 0), KV_FULL);
	assert_content(f, "ab");
	assert_int_equal(assert_call(f, 1, IO_RECORD_WRITE, KV_FULL)->done, 2);
	assert_memory_equal(io_record_get(f->io, 1)->data, "abcd", 4);
	set_fault(f, IO_RECORD_WRITE, 1, false, IO_RECORD_SHORT_EIO);
	assert_int_equal(write_at(f, "xyzw", 0), KV_IO);
	assert_content(f, "xy");
}

static void one_write_of_a_batch_fails_and_flush_reports_it(void **state)
{
	struct fixture *f = *state;
	struct io_write writes[3] = {{"a", 1, 0}, {"b", 1, 1}, {"c", 1, 2}};

	assert_int_equal(write_at(f, "---", 0), KV_OK);
	set_fault(f, IO_RECORD_BATCH_WRITE, 2, false, IO_RECORD_ENOSPC);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, writes, 3), KV_OK);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_FULL);
	assert_content(f, "a-c");
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_OK);
}

static void an_immediate_batch_fails_in_submit_and_again_in_flush(void **state)
{
	struct fixture *f = *state;
	struct io_write write = {"a", 1, 0};

	io_record_set_immediate(f->io, true);
	set_fault(f, IO_RECORD_BATCH_WRITE, 1, false, IO_RECORD_EIO);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_IO);
	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_IO);
	assert_int_equal(f->io->ops->flush(f->io, &f->file), KV_IO);
	assert_content(f, "");
	assert_int_equal(f->io->ops->submit(f->io, &f->file, &write, 1), KV_OK);
	assert_content(f, "a");
}

static void after_a_full_stop_nothing_reaches_a_file(void **state)
{
	struct fixture *f = *state;
	const struct io_ops *ops = f->io->ops;
	struct io_write write = {"b", 1, 0};
	struct io_file other;
	char byte;
	size_t got = 1;
	uint64_t bytes;

	assert_int_equal(write_at(f, "a", 0), KV_OK);
	assert_int_equal(ops->submit(f->io, &f->file, &write, 1), KV_OK);
	set_fault(f, IO_RECORD_SYNC, 1, false, IO_RECORD_STOP);
	assert_int_equal(ops->sync(f->io, &f->file), KV_IO);
	assert_int_equal(ops->flush(f->io, &f->file), KV_IO);
	assert_int_equal(write_at(f, "c", 0), KV_IO);
	assert_int_equal(ops->allocate(f->io, &f->file, 0, 100), KV_IO);
	assert_int_equal(ops->truncate(f->io, &f->file, 0), KV_IO);
	assert_int_equal(ops->size(f->io, &f->file, &bytes), KV_IO);
	assert_int_equal(ops->read(f->io, &f->file, &byte, 1, 0, &got), KV_IO);
	assert_int_equal(got, 0);
	assert_int_equal(ops->lock(f->io, &f->file, IO_LOCK_SHARED), KV_IO);
	assert_int_equal(ops->open(f->io, f->dir.file, IO_READ, 0, &other), KV_IO);
	assert_int_equal(ops->rename(f->io, f->dir.file, "x"), KV_IO);
	assert_int_equal(ops->remove(f->io, f->dir.file), KV_IO);
	assert_int_equal(ops->sync_directory(f->io, f->dir.file), KV_IO);
	assert_content(f, "a");
	assert_int_equal(ops->close(f->io, &f->file), KV_IO);
	assert_int_equal(f->file.fd, -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(every_call_is_in_the_trace_in_order),
	        TEST(every_open_has_its_own_tag),
	        TEST(data_is_kept_only_as_far_as_asked_for),
	        TEST(a_batch_is_written_from_memory_as_it_is_at_flush),
	        TEST(the_trace_of_two_threads_ends_with_what_is_in_the_file),
	        TEST(the_nth_call_of_a_kind_fails_once),
	        TEST(the_nth_call_of_any_kind_and_all_later_ones_fail),
	        TEST(a_fault_can_be_confined_to_one_file),
	        TEST(a_short_write_leaves_the_first_half),
	        TEST(one_write_of_a_batch_fails_and_flush_reports_it),
	        TEST(an_immediate_batch_fails_in_submit_and_again_in_flush),
	        TEST(after_a_full_stop_nothing_reaches_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
