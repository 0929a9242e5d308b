/* First-touch verification: damage and cut files are errors, never signals. */
#include <pthread.h>
#include <unistd.h>

#include "tests/store_fixture.h"

enum { PAGES = 2000 };

/* A clean file with PAGES leaves, opened again: nothing is verified yet. */
static void make_pages(struct store_fixture *f, page_id *ids)
{
	open_ok(f);
	assert_status(flush_pages(f, 0, PAGES, ids), KV_OK);
	commit_ok(f, ids[0]);
	reopen(f, true);
	assert_int_equal(f->store->verified_count, 0);
}

static bool is_summed(const struct store *store, page_id id)
{
	return bitmap_test(store->summed, page_number(id));
}

static void a_page_is_verified_once_and_trusted_when_told(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	assert_false(store_trusted(f->store, ids[7]));
	assert_page(f, ids[7], 7);
	assert_false(store_trusted(f->store, ids[7]));
	store_trust(f->store, ids[7]);
	assert_true(store_trusted(f->store, ids[7]));
	assert_false(store_trusted(f->store, ids[8]));
	for (int i = 0; i < PAGES; i++)
		assert_page(f, ids[i], (unsigned)i);
	assert_int_equal(f->store->verified_count, PAGES);
	for (int i = 0; i < PAGES; i++)
		assert_page(f, ids[i], (unsigned)i);
	assert_int_equal(f->store->verified_count, PAGES);
}

static void pages_just_written_count_as_verified(void **state)
{
	struct store_fixture *f = *state;
	page_id id;

	open_ok(f);
	id = write_page(f, 'w');
	/* Its checksum does; whether it is a node, who reads it as one must see. */
	assert_false(store_trusted(f->store, id));
	assert_int_equal(store_load(f->store, id), KV_OK);
	assert_page(f, id, 'w');
	assert_int_equal(f->store->verified_count, 0);
}

static void neighbours_in_the_page_cache_are_verified_along(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	assert_page(f, ids[1000], 1000 & 0xff);
	assert_true(f->store->verified_count >= 500);
	assert_true(f->store->verified_count <= 512);
}

static void a_damaged_page_is_reported_and_its_neighbours_are_not_in_its_way(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	close_ok(f, true);
	flip_byte(f, page_number(ids[5]) * 4096 + 2000);
	flip_byte(f, page_number(ids[9]) * 4096 + 5);
	open_ok(f);
	assert_page(f, ids[6], 6);
	assert_status(store_load(f->store, ids[5]), KV_CORRUPT);
	assert_status(store_load(f->store, ids[9]), KV_CORRUPT);
	assert_false(is_summed(f->store, ids[5]));
	assert_page(f, ids[4], 4);
	assert_page(f, ids[10], 10);
}

static void every_byte_of_a_page_counts(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	for (uint64_t offset = 0; offset < 4096; offset += 7) {
		close_ok(f, true);
		flip_byte(f, page_number(ids[1]) * 4096 + offset);
		open_ok(f);
		assert_status(store_load(f->store, ids[1]), KV_CORRUPT);
		flip_byte(f, page_number(ids[1]) * 4096 + offset);
	}
}

static void a_lost_write_is_noticed_by_its_tag(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];
	page_id other;

	make_pages(f, ids);
	other = page_file_id(page_number(ids[3]), page_tag(ids[3]) ^ 1u);
	assert_status(store_load(f->store, other), KV_CORRUPT);
	assert_page(f, ids[3], 3);
	assert_status(store_load(f->store, other), KV_CORRUPT);
}

static void a_page_in_the_wrong_place_does_not_pass(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];
	unsigned char *bytes;
	size_t size;

	make_pages(f, ids);
	close_ok(f, true);
	bytes = file_read(f->dir.file, &size);
	memcpy(bytes + page_number(ids[1]) * 4096, bytes + page_number(ids[2]) * 4096, 4096);
	file_write(f->dir.file, bytes, size);
	free(bytes);
	open_ok(f);
	assert_status(store_load(f->store, page_file_id(page_number(ids[1]), page_tag(ids[2]))),
	              KV_CORRUPT);
}

static void ids_of_no_page_are_damage(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];
	page_id bad[] = {0,
	                 1,
	                 2,
	                 4,
	                 PAGE_FRAME,
	                 PAGE_FRAME | 5,
	                 UINT64_MAX,
	                 PAGE_NUMBER_MASK,
	                 UINT64_C(1) << 56 | 10,
	                 0};

	make_pages(f, ids);
	bad[9] = f->store->file_pages;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_status(store_load(f->store, bad[i]), KV_CORRUPT);
}

static void free_pages_are_not_read(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	assert_status(store_retire(f->store, &f->ledger, ids[50], 1, 1), KV_OK);
	commit_ok(f, ids[0]);
	assert_status(store_load(f->store, ids[50]), KV_CORRUPT);
	assert_page(f, ids[51], 51);
	assert_false(is_summed(f->store, ids[50]));
}

static void taking_a_trusted_page_is_refused(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];
	uint64_t first;

	make_pages(f, ids);
	assert_page(f, ids[1], 1);
	store_trust(f->store, ids[1]);
	/* A forged map calls it free. */
	space_tip_give(&f->store->space, page_number(ids[1]), 1);
	space_give(&f->store->space, page_number(ids[1]), 1);
	f->ledger.reserve = true;
	assert_status(store_run_new(f->store, &f->ledger, 1, &first), KV_CORRUPT);
}

static void freeing_a_page_forgets_its_verification(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	assert_page(f, ids[1], 1);
	store_trust(f->store, ids[1]);
	assert_status(store_retire(f->store, &f->ledger, ids[1], 1, 1), KV_OK);
	assert_true(store_trusted(f->store, ids[1]));
	commit_ok(f, ids[0]);
	assert_false(store_trusted(f->store, ids[1]));
	assert_false(is_summed(f->store, ids[1]));
}

/* ---- cut files ----------------------------------------------------------------------------- */

static void a_file_cut_while_open_is_an_error_not_a_signal(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];
	uint64_t cut;

	make_pages(f, ids);
	cut = page_number(ids[1500]);
	assert_int_equal(truncate(f->dir.file, (off_t)(cut * 4096 + 100)), 0);
	for (int i = PAGES - 1; i >= 0; i--)
		assert_int_equal(store_load(f->store, ids[i]), i >= 1500 ? KV_CORRUPT : KV_OK);
}

static void a_file_cut_while_read_in_order_is_an_error_not_a_signal(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	assert_page(f, ids[0], 0);
	assert_int_equal(truncate(f->dir.file, (off_t)(page_number(ids[700]) * 4096)), 0);
	for (int i = 1; i < PAGES; i++)
		assert_int_equal(store_load(f->store, ids[i]), i >= 700 ? KV_CORRUPT : KV_OK);
}

static void without_populating_pages_are_read_first(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	f->store->no_populate = true;
	assert_page(f, ids[3], 3);
	close_ok(f, true);
	open_ok(f);
	f->store->no_populate = true;
	assert_int_equal(truncate(f->dir.file, (off_t)(page_number(ids[700]) * 4096)), 0);
	assert_status(store_load(f->store, ids[701]), KV_CORRUPT);
	fail_call(f, IO_RECORD_READ, 1, IO_RECORD_EIO);
	assert_status(store_load(f->store, ids[1]), KV_IO);
	assert_page(f, ids[1], 1);
}

static void files_of_others_are_read_without_guessing_at_the_cache(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES];

	make_pages(f, ids);
	assert_true(f->store->residency);
	f->store->residency = false;
	assert_page(f, ids[100], 100);
	assert_int_equal(f->store->verified_count, 1);
	assert_page(f, ids[101], 101);
	assert_true(f->store->verified_count > 100);
}

/* ---- large values -------------------------------------------------------------------------- */

static uint64_t make_run(struct store_fixture *f, const char *data, size_t size, uint64_t *checksum)
{
	uint64_t first;

	assert_status(store_run_new(f->store, &f->ledger, (size + 4095) / 4096, &first), KV_OK);
	assert_status(store_write_run(f->store, first, data, size), KV_OK);
	*checksum = page_run_checksum(data, size, f->store->database_id, first);
	return first;
}

static void large_values_are_read_in_place(void **state)
{
	struct store_fixture *f = *state;
	static char value[1000001];
	uint64_t first, checksum;
	const void *data;

	memset(value, 'v', sizeof value);
	open_ok(f);
	first = make_run(f, value, sizeof value, &checksum);
	commit_ok(f, PAGE_NONE);
	reopen(f, true);
	assert_status(store_load_run(f->store, first, sizeof value, checksum, &data), KV_OK);
	assert_memory_equal(data, value, sizeof value);
	assert_ptr_equal(data, store_at(f->store, first));
	assert_false(store_trusted(f->store, first));
	close_ok(f, true);
	flip_byte(f, first * 4096 + sizeof value - 1);
	open_ok(f);
	assert_status(store_load_run(f->store, first, sizeof value, checksum, &data), KV_CORRUPT);
	assert_int_equal(truncate(f->dir.file, (off_t)(first * 4096 + 50000)), 0);
	assert_status(store_load_run(f->store, first, sizeof value, checksum, &data), KV_CORRUPT);
}

static void runs_of_no_pages_are_damage(void **state)
{
	struct store_fixture *f = *state;
	static char value[9000];
	uint64_t first, checksum, end;
	const void *data;

	open_ok(f);
	first = make_run(f, value, sizeof value, &checksum);
	commit_ok(f, PAGE_NONE);
	reopen(f, true);
	end = f->store->file_pages;
	assert_status(store_load_run(f->store, 0, 100, checksum, &data), KV_CORRUPT);
	assert_status(store_load_run(f->store, end, 100, checksum, &data), KV_CORRUPT);
	assert_status(store_load_run(f->store, UINT64_MAX, 4097, checksum, &data), KV_CORRUPT);
	assert_status(store_load_run(f->store, first, UINT64_MAX, checksum, &data), KV_CORRUPT);
	assert_status(store_load_run(f->store, first, (end - first) * 4096 + 1, checksum, &data),
	              KV_CORRUPT);
	assert_status(store_load_run(f->store, first, sizeof value, checksum ^ 1, &data),
	              KV_CORRUPT);
	assert_status(store_load_run(f->store, first, sizeof value, checksum, &data), KV_OK);
}

/* ---- threads ------------------------------------------------------------------------------- */

struct reader {
	struct store_fixture *f;
	const page_id *ids;
	unsigned step;
	int rc;
};

static void *read_all(void *arg)
{
	struct reader *reader = arg;

	for (unsigned n = 0, i = 0; n < PAGES && !reader->rc; n++, i = (i + reader->step) % PAGES)
		reader->rc = store_load(reader->f->store, reader->ids[i]);
	return NULL;
}

/* Writing and cutting the file go on while two threads verify pages that stay. */
static void threads_verify_while_the_file_grows_and_is_cut(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[PAGES], more[PAGES];
	struct reader readers[2] = {{f, ids, 7, 0}, {f, ids, 1, 0}};
	pthread_t threads[2];

	make_pages(f, ids);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]),
			                 0);
		assert_status(flush_pages(f, 0, PAGES, more), KV_OK);
		commit_ok(f, ids[0]);
		for (int i = 0; i < PAGES; i++)
			assert_status(store_retire(f->store, &f->ledger, more[i], 1, 1), KV_OK);
		commit_ok(f, ids[0]);
		commit_ok(f, ids[0]);
		for (int i = 0; i < 2; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		reopen(f, true);
	}
	assert_int_equal(readers[0].rc, KV_OK);
	assert_int_equal(readers[1].rc, KV_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        store_test(a_page_is_verified_once_and_trusted_when_told),
	        store_test(pages_just_written_count_as_verified),
	        store_test(neighbours_in_the_page_cache_are_verified_along),
	        store_test(a_damaged_page_is_reported_and_its_neighbours_are_not_in_its_way),
	        store_test(every_byte_of_a_page_counts),
	        store_test(a_lost_write_is_noticed_by_its_tag),
	        store_test(a_page_in_the_wrong_place_does_not_pass),
	        store_test(ids_of_no_page_are_damage),
	        store_test(free_pages_are_not_read),
	        store_test(taking_a_trusted_page_is_refused),
	        store_test(freeing_a_page_forgets_its_verification),
	        store_test(a_file_cut_while_open_is_an_error_not_a_signal),
	        store_test(a_file_cut_while_read_in_order_is_an_error_not_a_signal),
	        store_test(without_populating_pages_are_read_first),
	        store_test(files_of_others_are_read_without_guessing_at_the_cache),
	        store_test(large_values_are_read_in_place),
	        store_test(runs_of_no_pages_are_damage),
	        store_test(threads_verify_while_the_file_grows_and_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
