/* Ledgers, flushes and checkpoints. */
#include <unistd.h>

#include "tests/store_fixture.h"

enum { MANY = 3000 };

static uint64_t new_run(struct store_fixture *f, uint64_t count)
{
	uint64_t first;

	assert_status(store_run_new(f->store, &f->ledger, count, &first), KV_OK);
	return first;
}

static page_id new_frame(struct store_fixture *f)
{
	page_id id;
	void *page;

	assert_status(store_frame_new(f->store, &f->ledger, &id, &page), KV_OK);
	return id;
}

/* ---- ledgers ------------------------------------------------------------------------------- */

static void a_frame_knows_its_transaction(void **state)
{
	struct store_fixture *f = *state;
	page_id id;

	open_ok(f);
	id = new_frame(f);
	assert_true(page_is_frame(id));
	assert_true(store_trusted(f->store, id));
	assert_ptr_equal(store_at(f->store, id), store_frame(f->store, id));
	assert_int_equal(page_header_of(store_at(f->store, id))->birth, f->ledger.txn);
}

static void abort_gives_everything_back(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY];
	uint64_t usable, tip;
	page_id old;

	open_ok(f);
	old = write_page(f, 1);
	commit_ok(f, old);
	assert_status(flush_pages(f, 0, MANY, ids), KV_OK);
	store_ledger_undo(f->store, &f->ledger);
	usable = f->store->space.usable_count;
	tip = f->store->space.tip_count;
	for (int i = 0; i < 100; i++)
		new_frame(f);
	new_run(f, 7);
	assert_status(flush_pages(f, 0, 500, ids), KV_OK);
	assert_status(store_retire(f->store, &f->ledger, old, 1, 1), KV_OK);
	assert_status(store_retire(f->store, &f->ledger, ids[3], 1, f->ledger.txn), KV_OK);
	new_run(f, 1);
	store_ledger_undo(f->store, &f->ledger);
	assert_int_equal(f->store->space.usable_count, usable);
	assert_int_equal(f->store->space.tip_count, tip);
	assert_int_equal(f->store->arena.used, 0);
	assert_page(f, old, 1);
}

static void abort_undoes_an_applied_ledger(void **state)
{
	struct store_fixture *f = *state;
	uint64_t usable, tip;
	page_id old;

	open_ok(f);
	old = write_page(f, 1);
	commit_ok(f, old);
	write_page(f, 2);
	store_ledger_undo(f->store, &f->ledger);
	usable = f->store->space.usable_count;
	tip = f->store->space.tip_count;
	write_page(f, 2);
	assert_status(store_retire(f->store, &f->ledger, old, 1, 1), KV_OK);
	assert_status(store_ledger_apply(f->store, &f->ledger), KV_OK);
	assert_int_equal(f->store->space.tip_count, tip);
	store_ledger_undo(f->store, &f->ledger);
	assert_int_equal(f->store->space.usable_count, usable);
	assert_int_equal(f->store->space.tip_count, tip);
	assert_page(f, old, 1);
}

static void pages_of_the_same_transaction_are_free_at_once(void **state)
{
	struct store_fixture *f = *state;
	uint64_t first, usable;
	page_id frame;

	open_ok(f);
	first = new_run(f, 3);
	usable = f->store->space.usable_count;
	assert_status(store_retire(f->store, &f->ledger, first, 3, f->ledger.txn), KV_OK);
	assert_int_equal(f->store->space.usable_count, usable + 3);
	assert_int_equal(f->ledger.retired_count, 0);
	assert_int_equal(new_run(f, 2), first);
	frame = new_frame(f);
	assert_status(store_retire(f->store, &f->ledger, frame, 1, f->ledger.txn), KV_OK);
	assert_int_equal(new_frame(f), frame);
	commit_ok(f, PAGE_NONE);
	assert_false(bitmap_test(f->store->space.tip, first + 1));
	assert_true(bitmap_test(f->store->space.tip, first + 2));
}

static void older_pages_wait_for_the_reclaimer(void **state)
{
	struct store_fixture *f = *state;
	struct store_state next;
	uint64_t first;

	open_ok(f);
	first = new_run(f, 5);
	commit_ok(f, PAGE_NONE);
	assert_status(store_retire(f->store, &f->ledger, first, 2, 1), KV_OK);
	assert_status(store_retire(f->store, &f->ledger, first + 2, 1, 1), KV_OK);
	assert_int_equal(f->ledger.retired_count, 1);
	assert_int_equal(f->ledger.retired[0].count, 3);
	assert_status(store_ledger_apply(f->store, &f->ledger), KV_OK);
	next = f->store->state;
	next.txn = 2;
	assert_status(store_checkpoint(f->store, &next), KV_OK);
	assert_true(bitmap_test(f->store->space.tip, first));
	assert_false(bitmap_test(f->store->space.usable, first));
	store_free(f->store, first, 3);
	assert_true(bitmap_test(f->store->space.usable, first));
	store_ledger_empty(f->store, &f->ledger);
	/* What nobody has freed by then is free after opening: nobody reads it any more. */
	reopen(f, false);
	assert_true(bitmap_test(f->store->space.usable, first + 2));
	assert_false(bitmap_test(f->store->space.usable, first + 3));
}

static void what_is_not_in_use_cannot_be_given_up(void **state)
{
	struct store_fixture *f = *state;
	uint64_t first, end, txn;

	open_ok(f);
	first = new_run(f, 4);
	commit_ok(f, PAGE_NONE);
	end = f->store->file_pages;
	txn = f->ledger.txn;
	assert_status(store_retire(f->store, &f->ledger, 0, 1, 1), KV_CORRUPT);
	assert_status(store_retire(f->store, &f->ledger, 2, 1, 1), KV_CORRUPT);
	assert_status(store_retire(f->store, &f->ledger, end, 1, 1), KV_CORRUPT);
	assert_status(store_retire(f->store, &f->ledger, first, UINT64_MAX, 1), KV_CORRUPT);
	assert_status(store_retire(f->store, &f->ledger, first + 3, 2, 1), KV_CORRUPT);
	assert_status(store_retire(f->store, &f->ledger, first, 1, txn), KV_CORRUPT);
	assert_int_equal(f->ledger.retired_count, 0);
}

static void a_page_with_two_parents_is_damage_and_changes_nothing(void **state)
{
	struct store_fixture *f = *state;
	uint64_t first, tip;

	open_ok(f);
	first = new_run(f, 8);
	commit_ok(f, PAGE_NONE);
	tip = f->store->space.tip_count;
	new_run(f, 1);
	assert_status(store_retire(f->store, &f->ledger, first, 2, 1), KV_OK);
	assert_status(store_retire(f->store, &f->ledger, first + 4, 2, 1), KV_OK);
	assert_status(store_retire(f->store, &f->ledger, first + 1, 1, 1), KV_OK);
	assert_status(store_ledger_apply(f->store, &f->ledger), KV_CORRUPT);
	assert_int_equal(f->store->space.tip_count, tip);
	store_ledger_undo(f->store, &f->ledger);
	assert_int_equal(f->store->space.tip_count, tip);
}

/* ---- flushes ------------------------------------------------------------------------------- */

static void a_flush_is_contiguous_and_reads_back_at_every_page_size(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY];

	for (uint32_t size = 4096; size <= 65536; size *= 2) {
		unsigned count = MANY * 4096 / size;

		f->options.page_size = size;
		open_ok(f);
		assert_status(flush_pages(f, 0, count, ids), KV_OK);
		for (unsigned i = 1; i < count; i++)
			assert_int_equal(page_number(ids[i]), page_number(ids[i - 1]) + 1);
		for (unsigned i = 0; i < count; i++)
			assert_page(f, ids[i], i);
		commit_ok(f, ids[0]);
		reopen(f, true);
		for (unsigned i = 0; i < count; i++)
			assert_page(f, ids[i], i);
		assert_int_equal(f->store->verified_count, count);
		close_ok(f, true);
		unlink(f->dir.file);
	}
}

static void a_flush_guessed_too_high_takes_no_more_than_it_needs(void **state)
{
	struct store_fixture *f = *state;
	struct store_flush flush;
	uint64_t number, pages, usable;
	void *image;
	page_id id;

	open_ok(f);
	pages = f->store->file_pages;
	usable = f->store->space.usable_count;
	assert_status(store_flush_begin(f->store, &flush, &f->ledger, 1000000), KV_OK);
	assert_status(store_flush_place(&flush, &number), KV_OK);
	assert_status(store_flush_image(&flush, &image), KV_OK);
	memset(image, 0, 4096);
	assert_status(store_flush_add(&flush, number, image, &id), KV_OK);
	assert_status(store_flush_end(&flush, KV_OK), KV_OK);
	assert_true(f->store->file_pages <= pages + 32);
	assert_int_equal(f->store->space.usable_count, usable + (f->store->file_pages - pages) - 1);
}

static void a_flush_fills_holes_before_the_file_grows(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY], more[MANY];
	uint64_t pages;
	size_t n = 0;

	open_ok(f);
	assert_status(flush_pages(f, 0, MANY, ids), KV_OK);
	commit_ok(f, ids[0]);
	/* Holes of one page, of twenty, and one of 600. */
	for (int i = 0; i < 300; i += 3, n++)
		assert_status(store_retire(f->store, &f->ledger, ids[i], 1, 1), KV_OK);
	for (int i = 300; i < 900; i += 30, n += 20)
		assert_status(store_retire(f->store, &f->ledger, page_number(ids[i]), 20, 1),
		              KV_OK);
	assert_status(store_retire(f->store, &f->ledger, page_number(ids[1000]), 600, 1), KV_OK);
	commit_ok(f, ids[1]);
	pages = f->store->file_pages;
	f->ledger.reserve = true;
	assert_status(flush_pages(f, 0, n + 600, more), KV_OK);
	assert_int_equal(f->store->file_pages, pages);
	assert_int_equal(page_number(more[0]), page_number(ids[1000]));
	assert_int_equal(page_number(more[600]), page_number(ids[300]));
	for (size_t i = 0; i < n + 600; i++)
		assert_page(f, more[i], (unsigned)i);
}

static void frames_are_written_as_they_are(void **state)
{
	struct store_fixture *f = *state;
	struct store_flush flush;
	page_id frames[40], ids[40];

	open_ok(f);
	for (unsigned i = 0; i < 40; i++) {
		frames[i] = new_frame(f);
		memset(store_frame(f->store, frames[i]), (int)i, 4096);
		page_header(store_frame(f->store, frames[i]))->type = PAGE_LEAF;
	}
	assert_status(store_flush_begin(f->store, &flush, &f->ledger, 40), KV_OK);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t number;

		assert_status(store_flush_place(&flush, &number), KV_OK);
		assert_status(
		        store_flush_add(&flush, number, store_frame(f->store, frames[i]), &ids[i]),
		        KV_OK);
	}
	assert_status(store_flush_end(&flush, KV_OK), KV_OK);
	for (unsigned i = 0; i < 40; i++)
		assert_page(f, ids[i], i);
}

static void a_failed_write_stops_all_writing(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY];
	page_id old;

	open_ok(f);
	old = write_page(f, 1);
	commit_ok(f, old);
	fail_call(f, IO_RECORD_BATCH_WRITE, 700, IO_RECORD_EIO);
	assert_status(flush_pages(f, 0, MANY, ids), KV_IO);
	assert_int_equal(f->store->failed, KV_IO);
	assert_status(flush_pages(f, 0, 1, ids), KV_FAILED);
	assert_status(store_checkpoint(f->store, &f->store->state), KV_FAILED);
	assert_status(store_write_run(f->store, 8, "x", 1), KV_FAILED);
	assert_page(f, old, 1);
	close_ok(f, true); /* asked for, but not done */
	open_ok(f);
	assert_false(f->store->clean);
	assert_page(f, old, 1);
}

/* ---- checkpoints --------------------------------------------------------------------------- */

static void a_checkpoint_syncs_pages_before_the_meta_page_and_the_meta_page_after(void **state)
{
	struct store_fixture *f = *state;
	size_t length;

	open_ok(f);
	commit_ok(f, write_page(f, 1));
	io_record_clear(f->io);
	commit_ok(f, write_page(f, 2));
	length = io_record_length(f->io);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_TRUNCATE), 1); /* by the creation */
	assert_int_equal(io_record_get(f->io, length - 1)->kind, IO_RECORD_SYNC);
	assert_int_equal(io_record_get(f->io, length - 2)->kind, IO_RECORD_WRITE);
	assert_true(io_record_get(f->io, length - 2)->offset <= 4096);
	assert_int_equal(io_record_get(f->io, length - 3)->kind, IO_RECORD_SYNC);
	for (size_t i = 0; i < length - 3; i++)
		assert_true(io_record_get(f->io, i)->kind != IO_RECORD_SYNC);
}

static void a_checkpoint_writes_only_changed_map_pages(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY];
	uint64_t before;

	f->options.map_bits = 64;
	open_ok(f);
	assert_status(flush_pages(f, 0, MANY, ids), KV_OK);
	commit_ok(f, ids[0]);
	assert_true(f->store->space.map_pages > MANY / 64);
	assert_status(store_retire(f->store, &f->ledger, ids[10], 1, 1), KV_OK);
	before = io_record_calls(f->io, IO_RECORD_BATCH_WRITE);
	commit_ok(f, ids[0]);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_BATCH_WRITE) - before, 2);
	before = io_record_calls(f->io, IO_RECORD_BATCH_WRITE);
	commit_ok(f, ids[0]);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_BATCH_WRITE) - before, 0);
}

/* Fails each call of a transaction in turn; whatever happens, the old state or the new one is found
 * afterwards, whole. */
static void a_checkpoint_that_fails_anywhere_leaves_a_whole_state(void **state)
{
	struct store_fixture *f = *state;

	for (uint64_t nth = 1;; nth++) {
		struct io_record_fault stop = {.nth = nth, .effect = IO_RECORD_STOP};
		page_id old, ids[50];
		bool struck;

		open_ok(f);
		old = write_page(f, 'o');
		commit_ok(f, old);
		reopen(f, nth % 2);
		io_record_set_fault(f->io, &stop);
		if (flush_pages(f, 'n', 50, ids) == KV_OK &&
		    store_retire(f->store, &f->ledger, old, 1, 1) == KV_OK &&
		    try_commit(f, ids[7]) == KV_OK)
			old = ids[7];
		struck = io_record_struck(f->io);
		store_ledger_free(f->store, &f->ledger);
		store_close(f->store, true, false);
		f->store = NULL;
		open_ok(f);
		if (f->store->state.txn == 1) {
			assert_page(f, f->store->state.catalog_root, 'o');
			assert_int_equal(f->store->state.catalog_root, old);
		} else {
			assert_page(f, f->store->state.catalog_root, 'n' + 7);
			for (unsigned i = 0; i < 50; i++)
				assert_page(f, ids[i], 'n' + i);
		}
		close_ok(f, true);
		unlink(f->dir.file);
		if (!struck)
			break;
	}
}

/* ---- without a file, and without touching it ------------------------------------------------- */

static void in_memory_everything_works_without_a_sync(void **state)
{
	struct store_fixture *f = *state;
	static page_id ids[MANY];

	f->options.path = NULL;
	open_ok(f);
	assert_status(flush_pages(f, 0, MANY, ids), KV_OK);
	commit_ok(f, ids[0]);
	for (int i = 0; i < MANY; i++)
		assert_page(f, ids[i], (unsigned)i);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_SYNC), 0);
	close_ok(f, true);
}

static void an_abandoned_store_leaves_the_file_alone(void **state)
{
	struct store_fixture *f = *state;
	struct meta before;

	open_ok(f);
	commit_ok(f, write_page(f, 1));
	before = read_meta_page(f, 0);
	store_ledger_free(f->store, &f->ledger);
	assert_status(store_close(f->store, true, true), KV_OK);
	f->store = NULL;
	assert_int_equal(read_meta_page(f, 0).checksum, before.checksum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        store_test(a_frame_knows_its_transaction),
	        store_test(abort_gives_everything_back),
	        store_test(abort_undoes_an_applied_ledger),
	        store_test(pages_of_the_same_transaction_are_free_at_once),
	        store_test(older_pages_wait_for_the_reclaimer),
	        store_test(what_is_not_in_use_cannot_be_given_up),
	        store_test(a_page_with_two_parents_is_damage_and_changes_nothing),
	        store_test(a_flush_is_contiguous_and_reads_back_at_every_page_size),
	        store_test(a_flush_guessed_too_high_takes_no_more_than_it_needs),
	        store_test(a_flush_fills_holes_before_the_file_grows),
	        store_test(frames_are_written_as_they_are),
	        store_test(a_failed_write_stops_all_writing),
	        store_test(a_checkpoint_syncs_pages_before_the_meta_page_and_the_meta_page_after),
	        store_test(a_checkpoint_writes_only_changed_map_pages),
	        store_test(a_checkpoint_that_fails_anywhere_leaves_a_whole_state),
	        store_test(in_memory_everything_works_without_a_sync),
	        store_test(an_abandoned_store_leaves_the_file_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
