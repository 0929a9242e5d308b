/* cmocka with this project's fixture (a directory with an open database) and shorthands. */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support.h"

struct fixture {
	struct temp_dir dir;
	kv_db *db;       /* may be closed and set to NULL by the test */
	kv_table *table; /* "t", empty at first */
};

/* The call must return the status; if not, the test fails with what it returned and the detail. */
#define assert_status(call, status) \
	fixture_assert_status((call), (status), #call, __FILE__, __LINE__)
void fixture_assert_status(int got, int want, const char *call, const char *file, int line);

#define fixture_test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int fixture_setup(void **state);    /* makes *state a struct fixture */
int fixture_teardown(void **state); /* closes, removes the files, checks for open transactions */

/* Closes the database and opens it again with the options (NULL: defaults). */
void fixture_reopen(struct fixture *fixture, const kv_options *options);

/* The three below fail the test instead of returning errors. */
kv_txn *begin_write(kv_db *db);
kv_txn *begin_read(kv_db *db);
kv_table *open_table(kv_db *db, const char *name); /* creates and commits it if it is missing */

/* Commits one pair. */
void commit_pair(kv_db *db, kv_table *table, const char *key, const char *value);

/* The key has this value; NULL: the key is missing. */
void assert_value(kv_txn *txn, kv_table *table, const char *key, const char *value);
void assert_committed(kv_db *db, kv_table *table, const char *key, const char *value);
void assert_slice(kv_slice slice, const char *string);

uint64_t count_of(kv_db *db, kv_table *table);

/* kv_check finds nothing. */
void assert_sound(kv_db *db);

/* Puts the keys "000000", "000001" ... below n in a transaction; their values are the same text. */
void put_numbers(kv_txn *txn, kv_table *table, unsigned n);
const char *number_key(unsigned n); /* static, valid until the fourth call after */

#endif
