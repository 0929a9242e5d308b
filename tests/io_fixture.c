#include "tests/io_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "mmap/io_record.h"

static const struct mem plain_memory = {NULL, NULL};

static int (*make)(const struct mem *mem, struct io **io);

int io_make(struct io **io)
{
	return make(&plain_memory, io);
}

static int immediate_record_new(const struct mem *mem, struct io **io)
{
	int rc = io_record_new(mem, io);

	if (rc == KV_OK)
		io_record_set_immediate(*io, true);
	return rc;
}

int io_for_each(int (*run)(const char *name))
{
	int failed;
#ifdef KV_HAVE_URING
	struct io *io;
#endif

	make = io_posix_new;
	failed = run("io_posix");
	make = io_record_new;
	failed += run("io_record");
	make = immediate_record_new;
	failed += run("io_record, immediate");
#ifdef KV_HAVE_URING
	make = io_uring_new;
	if (io_make(&io) == KV_OK) {
		io->ops->free(io);
		failed += run("io_uring");
	} else {
		print_message("io_uring is left out: %s\n", kv_detail());
	}
#endif
	return failed;
}

int io_fixture_set_up(void **state)
{
	struct io_fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	temp_dir_make(&f->dir, NULL);
	assert_int_equal(io_make(&f->io), KV_OK);
	assert_int_equal(f->io->ops->open(f->io, f->dir.file, IO_READ | IO_WRITE | IO_CREATE, 0600,
	                                  &f->file),
	                 KV_OK);
	*state = f;
	return 0;
}

int io_fixture_tear_down(void **state)
{
	struct io_fixture *f = *state;

	assert_int_equal(f->io->ops->close(f->io, &f->file), KV_OK);
	f->io->ops->free(f->io);
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

/* A path in the fixture's directory; the buffer is overwritten by the next call. */
const char *io_path(const struct io_fixture *f, const char *name)
{
	static char path[SUPPORT_PATH + 64];

	snprintf(path, sizeof path, "%s/%s", f->dir.path, name);
	return path;
}

int io_open_file(struct io_fixture *f, const char *path, unsigned flags, struct io_file *file)
{
	return f->io->ops->open(f->io, path, flags, 0600, file);
}

uint64_t io_size_of(struct io_fixture *f)
{
	uint64_t bytes = UINT64_MAX;

	assert_int_equal(f->io->ops->size(f->io, &f->file, &bytes), KV_OK);
	return bytes;
}

unsigned char *io_pages_new(size_t count)
{
	unsigned char *pages = malloc(count * IO_PAGE);

	assert_non_null(pages);
	for (size_t i = 0; i < count * IO_PAGE; i++)
		pages[i] = (unsigned char)(i / IO_PAGE * 7 + i % 251 + 1);
	return pages;
}

/* Page i of pages must stand in the file as page places[i]. */
void io_assert_pages(struct io_fixture *f, const unsigned char *pages, const size_t *places,
                     size_t count)
{
	unsigned char page[IO_PAGE];

	for (size_t i = 0; i < count; i++) {
		size_t got = 0;

		assert_int_equal(
		        f->io->ops->read(f->io, &f->file, page, IO_PAGE, places[i] * IO_PAGE, &got),
		        KV_OK);
		assert_int_equal(got, IO_PAGE);
		assert_memory_equal(page, pages + i * IO_PAGE, IO_PAGE);
	}
}

/* Runs body in a forked child, which returns 0 if all was well. */
void io_in_child(struct io_fixture *f, int (*body)(struct io_fixture *f))
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
