/* A store in a directory of its own, over io_record, and shorthands for what tests do with it. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "mmap/io_record.h"
#include "mmap/meta.h"
#include "mmap/store.h"
#include "tests/fixture.h"
#include "tests/support.h"

struct store_fixture {
	struct temp_dir dir;
	struct store_options options; /* for the next opening */
	struct io *io;                /* io_record of the open store */
	struct store *store;          /* NULL: closed */
	struct ledger ledger;         /* of the transaction under way */
};

#define store_test(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
int store_setup(void **state); /* nothing is open yet; options are for 4 KiB pages */
int store_teardown(void **state);

/* Opens with the options, returning what store_open does. The fault, if any, is set before. */
int try_open(struct store_fixture *f, const struct io_record_fault *fault);
void open_ok(struct store_fixture *f);
void close_ok(struct store_fixture *f, bool clean);
void reopen(struct store_fixture *f, bool clean);

/* Makes the nth call of a kind from now fail. */
void fail_call(struct store_fixture *f, enum io_record_kind kind, uint64_t nth,
               enum io_record_effect effect);

/* Writes count leaves in one flush; page i is filled with the byte fill + i. Returns the status. */
int flush_pages(struct store_fixture *f, unsigned fill, size_t count, page_id *ids);
page_id write_page(struct store_fixture *f, unsigned fill);

/* Commits what the ledger has, with this catalog root, durably, and frees what it retired, as if
 * there were no readers. On an error the ledger is as it was. */
int try_commit(struct store_fixture *f, page_id root);
void commit_ok(struct store_fixture *f, page_id root);

/* The page loads, and has this fill. */
void assert_page(struct store_fixture *f, page_id id, unsigned fill);

/* Meta page 0 or 1 in a closed file of the options' page size. */
struct meta read_meta_page(struct store_fixture *f, unsigned page);
void write_meta_page(struct store_fixture *f, unsigned page,
                     struct meta meta); /* fixes the checksum */

/* Changes one byte of the closed file. */
void flip_byte(struct store_fixture *f, uint64_t offset);
uint64_t size_on_disk(struct store_fixture *f);

#endif
