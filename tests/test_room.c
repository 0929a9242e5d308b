/* Room in the file: running out of it, growing, cutting. */
#include <unistd.h>

#include "tests/random.h"
#include "tests/store_fixture.h"

enum { MANY = 3000 };

/* ---- running out --------------------------------------------------------------------------- */

static void running_out_of_space_fails_the_transaction_only(void **state)
{
	struct store_fixture *f = *state;
	struct io_record_fault full = {
	        .kind = IO_RECORD_ALLOCATE, .nth = 1, .lasting = true, .effect = IO_RECORD_ENOSPC};
	static page_id ids[MANY];
	uint64_t pages;
	page_id id;

	open_ok(f);
	commit_ok(f, write_page(f, 1));
	pages = f->store->file_pages;
	io_record_set_fault(f->io, &full);
	assert_status(flush_pages(f, 0, MANY, ids), KV_FULL);
	store_ledger_undo(f->store, &f->ledger);
	assert_int_equal(f->store->file_pages, pages);
	assert_int_equal(f->store->failed, 0);
	/* Deletes still find room. */
	f->ledger.reserve = true;
	id = write_page(f, 9);
	commit_ok(f, id);
	reopen(f, true);
	assert_page(f, id, 9);
}

static void the_size_limit_leaves_a_reserve(void **state)
{
	struct store_fixture *f = *state;
	page_id id;
	int rc;

	f->options.size_limit = UINT64_C(200) * 4096;
	open_ok(f);
	do {
		rc = flush_pages(f, 0, 1, &id);
	} while (rc == KV_OK);
	assert_int_equal(rc, KV_FULL);
	assert_int_equal(f->store->file_pages, 200);
	assert_int_equal(f->store->space.usable_count, 16);
	f->ledger.reserve = true;
	for (int i = 0; i < 16; i++)
		assert_status(flush_pages(f, 0, 1, &id), KV_OK);
	assert_status(flush_pages(f, 0, 1, &id), KV_FULL);
	commit_ok(f, id);
	reopen(f, true);
	assert_page(f, id, 0);
	assert_int_equal(size_on_disk(f), 200 * 4096);
}

static void room_can_be_made_for_a_later_checkpoint(void **state)
{
	struct store_fixture *f = *state;
	page_id ids[150];

	f->options.size_limit = UINT64_C(200) * 4096;
	open_ok(f);
	assert_status(store_ensure_usable(f->store, 150, false), KV_OK);
	assert_status(store_ensure_usable(f->store, 190, false), KV_FULL);
	fail_call(f, IO_RECORD_ALLOCATE, 1, IO_RECORD_ENOSPC);
	assert_status(flush_pages(f, 0, 150, ids), KV_OK);
	assert_false(io_record_struck(f->io));
}

/* ---- growing and cutting ------------------------------------------------------------------- */

static void many_map_pages_survive(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY];
	static bool usable[4 * MANY];
	struct random random = {7};

	f->options.map_bits = 64;
	open_ok(f);
	for (unsigned round = 0; round < 8; round++) {
		uint64_t txn = f->ledger.txn, pages;

		assert_status(flush_pages(f, 0, MANY / 8, ids), KV_OK);
		commit_ok(f, ids[0]);
		for (unsigned i = 1; i < MANY / 8; i += 1 + (unsigned)random_below(&random, 5))
			assert_status(store_retire(f->store, &f->ledger, ids[i], 1, txn), KV_OK);
		commit_ok(f, ids[0]);
		pages = f->store->file_pages;
		for (uint64_t p = 0; p < pages; p++)
			usable[p] = bitmap_test(f->store->space.usable, p);
		assert_status(flush_pages(f, 0, 400, ids), KV_OK);
		store_ledger_undo(f->store, &f->ledger);
		reopen(f, round % 2);
		assert_int_equal(f->store->file_pages, pages);
		for (uint64_t p = 0; p < pages; p++)
			assert_int_equal(bitmap_test(f->store->space.usable, p), usable[p]);
		assert_int_equal(f->store->space.usable_count, f->store->space.tip_count);
	}
}

static void a_free_tail_is_cut_at_a_checkpoint(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY];
	uint64_t size, bits[2] = {0, 64};
	page_id low;

	for (int i = 0; i < 2; i++) {
		f->options.map_bits = (uint32_t)bits[i];
		open_ok(f);
		low = write_page(f, 'l');
		assert_status(flush_pages(f, 0, MANY, ids), KV_OK);
		commit_ok(f, low);
		size = size_on_disk(f);
		for (unsigned k = 0; k < MANY; k++)
			assert_status(store_retire(f->store, &f->ledger, ids[k], 1, 1), KV_OK);
		commit_ok(f, low);
		assert_int_equal(size_on_disk(f), size); /* a crash now needs them */
		commit_ok(f, low);
		assert_true(size_on_disk(f) < size / 8);
		assert_int_equal(size_on_disk(f), f->store->file_pages * 4096);
		assert_status(flush_pages(f, 5, MANY / 2, ids), KV_OK);
		commit_ok(f, ids[1]);
		reopen(f, i % 2);
		for (unsigned k = 0; k < MANY / 2; k++)
			assert_page(f, ids[k], 5 + k);
		assert_page(f, low, 'l');
		/* The map accounts for every page: 2 meta pages, pairs, and the content. */
		assert_int_equal(f->store->space.tip_count + 2 + 1 + MANY / 2 +
		                         2 * (f->store->space.map_pages + 1),
		                 f->store->file_pages);
		close_ok(f, true);
		unlink(f->dir.file);
	}
}

static void a_cut_waits_for_those_who_verify(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY];
	uint64_t size;
	page_id low;

	open_ok(f);
	low = write_page(f, 'l');
	assert_status(flush_pages(f, 0, MANY, ids), KV_OK);
	commit_ok(f, low);
	size = size_on_disk(f);
	for (unsigned k = 0; k < MANY; k++)
		assert_status(store_retire(f->store, &f->ledger, ids[k], 1, 1), KV_OK);
	commit_ok(f, low);
	f->store->verifying = 1;
	commit_ok(f, low);
	assert_int_equal(size_on_disk(f), size);
	assert_true(f->store->file_pages * 4096 < size);
	f->store->verifying = 0;
	commit_ok(f, low);
	assert_true(size_on_disk(f) < size);
}

/* With room left behind the last page in use, a map page stays whose pair lies behind that room. */
static void a_cut_keeps_the_pair_of_every_map_page_that_it_keeps(void **state)
{
	struct store_fixture *f = *state;
	uint64_t runs[400], before;
	size_t n = 0;

	f->options.map_bits = 64;
	open_ok(f);
	f->ledger.txn = 2;
	f->ledger.reserve = true;
	while (f->store->space.pages < 160 || f->store->space.usable_count) {
		assert_true(n < 400);
		assert_status(store_run_new(f->store, &f->ledger, 1, &runs[n++]), KV_OK);
	}
	commit_ok(f, PAGE_NONE);
	for (size_t i = 0; i < n; i++)
		if (runs[i] > 16)
			assert_status(store_retire(f->store, &f->ledger, runs[i], 1, 2), KV_OK);
	commit_ok(f, PAGE_NONE);
	before = f->store->file_pages;
	commit_ok(f, PAGE_NONE);
	assert_true(f->store->file_pages < before);
	for (size_t k = 0; k < f->store->space.map_pages; k++)
		assert_true(page_number(f->store->space.entries[k]) + 2 <= f->store->file_pages);
	reopen(f, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        store_test(running_out_of_space_fails_the_transaction_only),
	        store_test(the_size_limit_leaves_a_reserve),
	        store_test(room_can_be_made_for_a_later_checkpoint),
	        store_test(many_map_pages_survive),
	        store_test(a_free_tail_is_cut_at_a_checkpoint),
	        store_test(a_cut_waits_for_those_who_verify),
	        store_test(a_cut_keeps_the_pair_of_every_map_page_that_it_keeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
