/* Creating, opening and closing data files; the meta pages (R7). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/store_fixture.h"

/* A closed, clean file with one page of content. */
static page_id make_clean(struct store_fixture *f)
{
	page_id id;

	open_ok(f);
	id = write_page(f, 'a');
	commit_ok(f, id);
	close_ok(f, true);
	return id;
}

/* A file as a crash leaves it, after two checkpoints: both meta pages open. */
static page_id make_open(struct store_fixture *f)
{
	page_id id;

	open_ok(f);
	commit_ok(f, write_page(f, 'a'));
	id = write_page(f, 'b');
	commit_ok(f, id);
	close_ok(f, false);
	return id;
}

/* ---- creating ------------------------------------------------------------------------------ */

static void a_new_file_is_small_clean_and_private(void **state)
{
	struct store_fixture *f = *state;
	struct stat status;

	open_ok(f);
	assert_true(f->store->clean);
	assert_true(f->store->database_id != 0);
	assert_int_equal(f->store->state.catalog_root, PAGE_NONE);
	close_ok(f, true);
	assert_int_equal(stat(f->dir.file, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(status.st_size, 16 * 4096);
}

static void every_page_size_is_kept(void **state)
{
	struct store_fixture *f = *state;

	for (uint32_t size = 4096; size <= 65536; size *= 2) {
		page_id id;

		f->options.page_size = size;
		open_ok(f);
		id = write_page(f, 'x');
		commit_ok(f, id);
		close_ok(f, true);
		f->options.page_size = 4096;
		open_ok(f);
		assert_int_equal(f->store->page_size, size);
		assert_int_equal(1u << f->store->page_shift, size);
		assert_page(f, id, 'x');
		close_ok(f, true);
		unlink(f->dir.file);
	}
}

static void a_crash_while_creating_leaves_nothing_that_is_in_the_way(void **state)
{
	struct store_fixture *f = *state;

	for (uint64_t nth = 1;; nth++) {
		struct io_record_fault stop = {.nth = nth, .effect = IO_RECORD_STOP};

		if (try_open(f, &stop) == KV_OK) {
			io_record_set_fault(f->io, NULL);
			close_ok(f, true);
			assert_true(nth > 10);
			break;
		}
		open_ok(f);
		assert_int_equal(f->store->state.txn, 0);
		commit_ok(f, write_page(f, 'a'));
		close_ok(f, true);
		unlink(f->dir.file);
	}
}

static void a_failing_creation_removes_its_traces(void **state)
{
	struct store_fixture *f = *state;
	struct io_record_fault full = {
	        .kind = IO_RECORD_ALLOCATE, .nth = 1, .lasting = true, .effect = IO_RECORD_ENOSPC};
	char path[SUPPORT_PATH + 64];

	assert_status(try_open(f, &full), KV_FULL);
	snprintf(path, sizeof path, "%s.kv-creating", f->dir.file);
	assert_int_equal(access(f->dir.file, F_OK), -1);
	assert_int_equal(access(path, F_OK), -1);
}

static void the_directory_entry_is_durable_before_opening_returns(void **state)
{
	struct store_fixture *f = *state;
	enum io_record_kind last = IO_RECORD_ANY;

	open_ok(f);
	for (size_t i = 0; i < io_record_length(f->io); i++) {
		enum io_record_kind kind = io_record_get(f->io, i)->kind;

		if (kind == IO_RECORD_RENAME)
			assert_int_equal(last, IO_RECORD_SYNC);
		if (kind == IO_RECORD_SYNC_DIRECTORY)
			assert_true(last == IO_RECORD_RENAME || last == IO_RECORD_CLOSE);
		last = kind;
	}
	assert_int_equal(io_record_calls(f->io, IO_RECORD_SYNC_DIRECTORY), 1);
}

static void two_creators_cannot_meet(void **state)
{
	struct store_fixture *f = *state;
	char path[SUPPORT_PATH + 64];
	struct io_file file;
	struct io *io;

	snprintf(path, sizeof path, "%s.kv-creating", f->dir.file);
	assert_int_equal(io_posix_new(&f->options.mem, &io), KV_OK);
	assert_int_equal(io->ops->open(io, path, IO_READ | IO_WRITE | IO_CREATE, 0600, &file),
	                 KV_OK);
	assert_int_equal(io->ops->lock(io, &file, IO_LOCK_EXCLUSIVE), KV_OK);
	assert_status(try_open(f, NULL), KV_BUSY);
	io->ops->close(io, &file);
	io->ops->free(io);
	open_ok(f);
}

static void creating_leaves_a_file_with_new_behind_its_name_alone(void **state)
{
	struct store_fixture *f = *state;
	char path[SUPPORT_PATH + 64];
	unsigned char *data;
	size_t size;

	snprintf(path, sizeof path, "%s-new", f->dir.file);
	file_write(path, "mine", 4);
	open_ok(f);
	data = file_read(path, &size);
	assert_int_equal(size, 4);
	assert_memory_equal(data, "mine", 4);
	free(data);
}

static void creating_does_not_follow_a_symbolic_link(void **state)
{
	struct store_fixture *f = *state;
	char path[SUPPORT_PATH + 64], target[SUPPORT_PATH + 64];
	unsigned char *data;
	size_t size;

	snprintf(path, sizeof path, "%s.kv-creating", f->dir.file);
	snprintf(target, sizeof target, "%s/target", f->dir.path);
	file_write(target, "precious", 8);
	assert_int_equal(symlink(target, path), 0);
	assert_status(try_open(f, NULL), KV_IO);
	assert_int_equal(access(f->dir.file, F_OK), -1);
	data = file_read(target, &size);
	assert_int_equal(size, 8);
	assert_memory_equal(data, "precious", 8);
	free(data);
}

static void existing_only_means_no_creation(void **state)
{
	struct store_fixture *f = *state;

	f->options.existing = true;
	assert_status(try_open(f, NULL), KV_NO_FILE);
	f->options.existing = false;
	f->options.read_only = true;
	assert_status(try_open(f, NULL), KV_NO_FILE);
	assert_int_equal(access(f->dir.file, F_OK), -1);
}

static void an_empty_file_becomes_a_database_on_demand_only(void **state)
{
	struct store_fixture *f = *state;

	file_write(f->dir.file, "", 0);
	assert_status(try_open(f, NULL), KV_NOT_A_DATABASE);
	f->options.accept_empty = true;
	f->options.read_only = true;
	assert_status(try_open(f, NULL), KV_NOT_A_DATABASE);
	f->options.read_only = false;
	open_ok(f);
	commit_ok(f, write_page(f, 'a'));
	reopen(f, true);
	assert_int_equal(f->store->state.txn, 1);
}

static void the_mapping_halves_until_it_fits(void **state)
{
	struct store_fixture *f = *state;

	f->options.map_size = (uint64_t)1 << 60;
	open_ok(f);
	assert_true(f->store->mapped_bytes >= (uint64_t)1 << 36);
	assert_int_equal((uintptr_t)f->store->base[0] % (2 << 20), 0);
	close_ok(f, true);
	f->options.map_size = 0;
	open_ok(f);
	assert_true(f->store->mapped_bytes >= (uint64_t)1 << 30);
}

/* ---- locks --------------------------------------------------------------------------------- */

static void one_writer_or_many_readers(void **state)
{
	struct store_fixture *f = *state;
	struct store_options other = f->options;
	struct store *second, *third;

	open_ok(f);
	assert_int_equal(io_posix_new(&other.mem, &other.io), KV_OK);
	assert_status(store_open(&other, &second), KV_BUSY);
	other.read_only = true;
	assert_int_equal(io_posix_new(&other.mem, &other.io), KV_OK);
	assert_status(store_open(&other, &second), KV_BUSY);
	close_ok(f, true);
	assert_int_equal(io_posix_new(&other.mem, &other.io), KV_OK);
	assert_status(store_open(&other, &second), KV_OK);
	assert_int_equal(io_posix_new(&other.mem, &other.io), KV_OK);
	assert_status(store_open(&other, &third), KV_OK);
	assert_status(try_open(f, NULL), KV_BUSY);
	assert_status(store_close(second, false, false), KV_OK);
	assert_status(store_close(third, false, false), KV_OK);
	open_ok(f);
}

static void reading_only_never_writes(void **state)
{
	struct store_fixture *f = *state;
	struct store_flush flush;
	uint64_t first;
	page_id id = make_open(f);

	f->options.read_only = true;
	open_ok(f);
	assert_page(f, id, 'b');
	assert_status(store_run_new(f->store, &f->ledger, 1, &first), KV_READ_ONLY);
	assert_status(store_flush_begin(f->store, &flush, &f->ledger, 1), KV_READ_ONLY);
	assert_status(store_checkpoint(f->store, &f->store->state), KV_READ_ONLY);
	assert_status(store_write_run(f->store, 8, "x", 1), KV_READ_ONLY);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_WRITE), 0);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_SYNC), 0);
	close_ok(f, true);
}

/* ---- clean and open ------------------------------------------------------------------------ */

static void a_clean_close_leaves_both_meta_pages_alike(void **state)
{
	struct store_fixture *f = *state;
	struct meta pages[2];

	make_clean(f);
	pages[0] = read_meta_page(f, 0);
	pages[1] = read_meta_page(f, 1);
	assert_memory_equal(&pages[0], &pages[1], sizeof pages[0]);
	assert_int_equal(pages[0].condition, META_CLEAN);
	assert_int_equal(pages[0].txn, 1);
}

/* Were both in one sync, a power cut could meet both sectors while they are being written. */
static void the_second_clean_meta_page_is_written_after_a_sync_of_the_first(void **state)
{
	struct store_fixture *f = *state;
	struct store *store;

	open_ok(f);
	commit_ok(f, write_page(f, 'a'));
	fail_call(f, IO_RECORD_SYNC, 1, IO_RECORD_EIO);
	store_ledger_free(f->store, &f->ledger);
	store = f->store;
	f->store = NULL;
	assert_status(store_close(store, true, false), KV_IO);
	assert_int_equal(read_meta_page(f, 0).condition + read_meta_page(f, 1).condition,
	                 META_OPEN + META_CLEAN);
	open_ok(f);
	assert_int_equal(f->store->state.txn, 1);
}

static void the_first_change_marks_the_file_open_before_anything_else(void **state)
{
	struct store_fixture *f = *state;
	const struct io_record_call *first, *second;
	uint64_t run;

	make_clean(f);
	open_ok(f);
	io_record_clear(f->io);
	assert_status(store_run_new(f->store, &f->ledger, 1, &run), KV_OK);
	first = io_record_get(f->io, 0);
	second = io_record_get(f->io, 1);
	assert_int_equal(first->kind, IO_RECORD_WRITE);
	assert_true(first->offset == 0 || first->offset == 4096);
	assert_int_equal(first->size, 512);
	assert_int_equal(second->kind, IO_RECORD_SYNC);
	assert_false(f->store->clean);
	close_ok(f, false);
	assert_int_equal(read_meta_page(f, 0).condition + read_meta_page(f, 1).condition,
	                 META_OPEN + META_CLEAN);
}

static void opening_and_closing_alone_writes_nothing(void **state)
{
	struct store_fixture *f = *state;

	make_clean(f);
	open_ok(f);
	assert_true(f->store->clean);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_WRITE), 0);
	close_ok(f, true);
	open_ok(f);
	assert_true(f->store->clean);
}

static void after_a_crash_opening_makes_the_newest_meta_page_durable(void **state)
{
	struct store_fixture *f = *state;
	size_t last;

	make_open(f);
	open_ok(f);
	last = io_record_length(f->io);
	assert_int_equal(io_record_calls(f->io, IO_RECORD_WRITE), 1);
	assert_int_equal(io_record_get(f->io, last - 2)->kind, IO_RECORD_WRITE);
	assert_int_equal(io_record_get(f->io, last - 2)->offset,
	                 (f->store->meta.sequence & 1) * 4096);
	assert_int_equal(io_record_get(f->io, last - 1)->kind, IO_RECORD_SYNC);
	assert_int_equal(f->store->state.txn, 2);
}

static void the_newest_of_two_good_meta_pages_counts(void **state)
{
	struct store_fixture *f = *state;
	page_id last = make_open(f);

	open_ok(f);
	assert_int_equal(f->store->state.catalog_root, last);
	for (unsigned i = 0; i < 5; i++) {
		last = write_page(f, i);
		commit_ok(f, last);
		reopen(f, i % 2);
		assert_int_equal(f->store->state.catalog_root, last);
		assert_int_equal(f->store->state.txn, 3 + i);
	}
}

/* ---- damage -------------------------------------------------------------------------------- */

static void either_meta_page_of_a_clean_file_may_be_damaged(void **state)
{
	struct store_fixture *f = *state;
	page_id id = make_clean(f);

	for (uint64_t offset = 0; offset < 512; offset++)
		for (uint64_t page = 0; page < 2; page++) {
			flip_byte(f, page * 4096 + offset);
			f->options.read_only = true;
			open_ok(f);
			assert_page(f, id, 'a');
			assert_false(f->store->clean);
			close_ok(f, true);
			flip_byte(f, page * 4096 + offset);
		}
}

static void writing_heals_a_damaged_meta_page_first(void **state)
{
	struct store_fixture *f = *state;

	for (unsigned page = 0; page < 2; page++) {
		uint64_t first;

		make_clean(f);
		flip_byte(f, page * 4096 + 100);
		open_ok(f);
		assert_status(store_run_new(f->store, &f->ledger, 1, &first), KV_OK);
		close_ok(f, false);
		/* The good one is still there, and it and the healed one say the same. */
		assert_int_equal(read_meta_page(f, page).condition, META_OPEN);
		assert_int_equal(read_meta_page(f, !page).condition, META_CLEAN);
		open_ok(f);
		close_ok(f, true);
		unlink(f->dir.file);
	}
}

static void the_second_meta_page_is_found_at_every_page_size(void **state)
{
	struct store_fixture *f = *state;

	for (uint32_t size = 4096; size <= 65536; size *= 2) {
		page_id id;

		f->options.page_size = size;
		id = make_clean(f);
		flip_byte(f, 12); /* the page size itself */
		open_ok(f);
		assert_int_equal(f->store->page_size, size);
		assert_page(f, id, 'a');
		close_ok(f, true);
		unlink(f->dir.file);
	}
}

static void the_survivor_of_an_open_pair_is_refused(void **state)
{
	struct store_fixture *f = *state;

	make_open(f);
	for (uint64_t page = 0; page < 2; page++) {
		flip_byte(f, page * 4096 + 64);
		assert_status(try_open(f, NULL), KV_CORRUPT);
		flip_byte(f, page * 4096 + 64);
	}
	open_ok(f);
}

static void the_last_clean_meta_page_does_not_outlive_a_newer_state(void **state)
{
	struct store_fixture *f = *state;

	make_clean(f);
	open_ok(f);
	commit_ok(f, write_page(f, 'b'));
	close_ok(f, false);
	assert_int_equal(read_meta_page(f, 0).condition, META_OPEN);
	assert_int_equal(read_meta_page(f, 1).condition, META_OPEN);
}

static void two_damaged_meta_pages_are_damage_and_none_is_no_database(void **state)
{
	struct store_fixture *f = *state;
	char zeros[8192] = {0};

	make_clean(f);
	flip_byte(f, 40);
	flip_byte(f, 4096 + 40);
	assert_status(try_open(f, NULL), KV_CORRUPT);
	flip_byte(f, 0);
	assert_status(try_open(f, NULL), KV_CORRUPT);
	flip_byte(f, 4096);
	assert_status(try_open(f, NULL), KV_NOT_A_DATABASE);
	file_write(f->dir.file, zeros, sizeof zeros);
	assert_status(try_open(f, NULL), KV_NOT_A_DATABASE);
	file_write(f->dir.file, "#!/bin/sh\n", 10);
	assert_status(try_open(f, NULL), KV_NOT_A_DATABASE);
}

static void damage_behind_the_meta_sector_is_harmless(void **state)
{
	struct store_fixture *f = *state;
	page_id id = make_clean(f);

	flip_byte(f, 512);
	flip_byte(f, 4096 + 4095);
	open_ok(f);
	assert_true(f->store->clean);
	assert_page(f, id, 'a');
}

static void a_cut_file_is_damage(void **state)
{
	struct store_fixture *f = *state;
	uint64_t size;

	make_clean(f);
	size = size_on_disk(f);
	while (size > 600) {
		size -= 600;
		assert_int_equal(truncate(f->dir.file, (off_t)size), 0);
		assert_status(try_open(f, NULL), KV_CORRUPT);
	}
	assert_int_equal(truncate(f->dir.file, 100), 0);
	assert_status(try_open(f, NULL), KV_CORRUPT);
}

static void a_longer_file_is_fine_and_cut_at_the_next_checkpoint(void **state)
{
	struct store_fixture *f = *state;
	page_id id = make_clean(f);
	uint64_t size = size_on_disk(f);

	assert_int_equal(truncate(f->dir.file, 1 << 20), 0);
	open_ok(f);
	assert_page(f, id, 'a');
	commit_ok(f, id);
	close_ok(f, true);
	assert_int_equal(size_on_disk(f), size);
}

static void newer_formats_and_unknown_features_are_refused(void **state)
{
	struct store_fixture *f = *state;
	struct meta good, meta;

	make_clean(f);
	good = meta = read_meta_page(f, 0);
	meta.version = META_VERSION + 1;
	write_meta_page(f, 0, meta);
	assert_status(try_open(f, NULL), KV_VERSION);
	meta = good;
	meta.incompatible = UINT64_C(1) << 63;
	write_meta_page(f, 0, meta);
	assert_status(try_open(f, NULL), KV_VERSION);
	meta = good;
	meta.compatible = UINT64_MAX;
	write_meta_page(f, 0, meta);
	write_meta_page(f, 1, meta);
	open_ok(f);
}

static void forged_meta_pages_are_refused(void **state)
{
	struct store_fixture *f = *state;
	struct meta good, forged[16];
	size_t n = 0;

	make_clean(f);
	good = read_meta_page(f, 0);
	for (size_t i = 0; i < 16; i++)
		forged[i] = good;
	forged[n++].page_size = 512;
	forged[n++].page_size = 0;
	forged[n++].page_size = 12288;
	forged[n++].database_id = 0;
	forged[n++].condition = 0;
	forged[n++].file_pages = 0;
	forged[n++].file_pages = UINT64_MAX;
	forged[n++].file_pages = good.file_pages + 1;
	forged[n++].map_bits = 63;
	forged[n++].map_bits = 1 << 20;
	forged[n++].catalog_root = PAGE_FRAME | 1;
	forged[n++].catalog_root = 1;
	forged[n++].catalog_root = good.file_pages;
	forged[n++].system_root = UINT64_C(1) << 56 | 8;
	forged[n++].roots[0] = good.file_pages;
	forged[n++].roots[0] = 0;
	for (size_t i = 0; i < n; i++) {
		write_meta_page(f, 0, forged[i]);
		write_meta_page(f, 1, forged[i]);
		assert_status(try_open(f, NULL), KV_CORRUPT);
	}
}

static void meta_pages_of_two_databases_are_damage(void **state)
{
	struct store_fixture *f = *state;
	struct meta other;

	make_clean(f);
	other = read_meta_page(f, 1);
	other.database_id ^= 1;
	write_meta_page(f, 1, other);
	assert_status(try_open(f, NULL), KV_CORRUPT);
}

static void errors_name_the_file(void **state)
{
	struct store_fixture *f = *state;

	file_write(f->dir.file, "nonsense", 8);
	assert_status(try_open(f, NULL), KV_NOT_A_DATABASE);
	assert_non_null(strstr(kv_detail(), f->dir.file));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        store_test(a_new_file_is_small_clean_and_private),
	        store_test(every_page_size_is_kept),
	        store_test(a_crash_while_creating_leaves_nothing_that_is_in_the_way),
	        store_test(a_failing_creation_removes_its_traces),
	        store_test(the_directory_entry_is_durable_before_opening_returns),
	        store_test(two_creators_cannot_meet),
	        store_test(creating_leaves_a_file_with_new_behind_its_name_alone),
	        store_test(creating_does_not_follow_a_symbolic_link),
	        store_test(existing_only_means_no_creation),
	        store_test(an_empty_file_becomes_a_database_on_demand_only),
	        store_test(the_mapping_halves_until_it_fits),
	        store_test(one_writer_or_many_readers),
	        store_test(reading_only_never_writes),
	        store_test(a_clean_close_leaves_both_meta_pages_alike),
	        store_test(the_second_clean_meta_page_is_written_after_a_sync_of_the_first),
	        store_test(the_first_change_marks_the_file_open_before_anything_else),
	        store_test(opening_and_closing_alone_writes_nothing),
	        store_test(after_a_crash_opening_makes_the_newest_meta_page_durable),
	        store_test(the_newest_of_two_good_meta_pages_counts),
	        store_test(either_meta_page_of_a_clean_file_may_be_damaged),
	        store_test(writing_heals_a_damaged_meta_page_first),
	        store_test(the_second_meta_page_is_found_at_every_page_size),
	        store_test(the_survivor_of_an_open_pair_is_refused),
	        store_test(the_last_clean_meta_page_does_not_outlive_a_newer_state),
	        store_test(two_damaged_meta_pages_are_damage_and_none_is_no_database),
	        store_test(damage_behind_the_meta_sector_is_harmless),
	        store_test(a_cut_file_is_damage),
	        store_test(a_longer_file_is_fine_and_cut_at_the_next_checkpoint),
	        store_test(newer_formats_and_unknown_features_are_refused),
	        store_test(forged_meta_pages_are_refused),
	        store_test(meta_pages_of_two_databases_are_damage),
	        store_test(errors_name_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
