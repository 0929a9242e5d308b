/* The table of I/O implementations, and a file to try them on. */
#ifndef TESTS_IO_FIXTURE_H
#define TESTS_IO_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "mmap/io.h"
#include "tests/support.h"

#define IO_PAGE ((size_t)4096) /* bytes */

struct io_fixture {
	struct temp_dir dir;
	struct io *io;
	struct io_file file; /* dir.file, open for reading and writing */
};

/* Makes an instance of the implementation under test. */
int io_make(struct io **io);

/* cmocka's: *state becomes a fixture with an instance of the implementation under test. */
int io_fixture_set_up(void **state);
int io_fixture_tear_down(void **state);

#define IO_TEST(name) cmocka_unit_test_setup_teardown(name, io_fixture_set_up, io_fixture_tear_down)

/* Calls run once for each implementation that this build and kernel have, with its name. Returns
 * the sum of what run returned. */
int io_for_each(int (*run)(const char *name));

/* A path in the fixture's directory; the buffer is overwritten by the next call. */
const char *io_path(const struct io_fixture *f, const char *name);

int io_open_file(struct io_fixture *f, const char *path, unsigned flags, struct io_file *file);
uint64_t io_size_of(struct io_fixture *f);

/* count pages that differ, from malloc. */
unsigned char *io_pages_new(size_t count);

/* Page i of pages must stand in the file as page places[i]. */
void io_assert_pages(struct io_fixture *f, const unsigned char *pages, const size_t *places,
                     size_t count);

/* Runs body in a forked child, where it has to return 0. */
void io_in_child(struct io_fixture *f, int (*body)(struct io_fixture *f));

#endif
