/* The free-space map: searching, changing, and its form on disk. */
#include <stdlib.h>
#include <unistd.h>

#include "mmap/io_record.h"
#include "mmap/page.h"
#include "mmap/space.h"
#include "tests/fixture.h"
#include "tests/random.h"

enum { PAGE = 4096, FIRST_USABLE = 2 };

static const struct mem plain;

static struct space make_space(uint64_t bits, uint64_t pages)
{
	struct space space;

	assert_status(space_open(&space, &plain, PAGE, bits, pages + 1000000), KV_OK);
	assert_status(space_grow(&space, pages), KV_OK);
	return space;
}

static uint64_t find(struct space *space, uint64_t count)
{
	uint64_t first;

	return space_find(space, count, &first) ? first : 0;
}

/* Makes exactly these runs usable. */
static void leave_usable(struct space *space, const struct run *runs, size_t count)
{
	space_take(space, 0, space->pages);
	for (size_t i = 0; i < count; i++)
		space_give(space, runs[i].first, runs[i].count);
}

/* ---- searching ----------------------------------------------------------------------------- */

static void the_lowest_run_that_fits_is_found(void **state)
{
	struct space space = make_space(0, 20000);
	const struct run runs[] = {{10, 1}, {60, 10}, {9000, 100}, {19999, 1}};

	(void)state;
	leave_usable(&space, runs, 4);
	assert_int_equal(find(&space, 1), 10);
	assert_int_equal(find(&space, 2), 60);
	assert_int_equal(find(&space, 10), 60);
	assert_int_equal(find(&space, 11), 9000);
	assert_int_equal(find(&space, 100), 9000);
	assert_int_equal(find(&space, 101), 0);
	space_give(&space, 9100, 1);
	assert_int_equal(find(&space, 101), 9000);
	space_give(&space, 8990, 10);
	assert_int_equal(find(&space, 111), 8990);
	space_close(&space);
}

static void meta_pages_are_never_found(void **state)
{
	struct space space = make_space(0, 100);

	(void)state;
	assert_int_equal(space.usable_count, 98);
	assert_int_equal(find(&space, 1), FIRST_USABLE);
	space_give(&space, 0, 2);
	assert_int_equal(find(&space, 98), FIRST_USABLE);
	assert_int_equal(find(&space, 99), 0);
	assert_int_equal(space_tip_give(&space, 0, 3), 3);
	space_close(&space);
}

static void a_run_goes_on_into_what_the_file_has_grown_by(void **state)
{
	struct space space = make_space(0, 100);

	(void)state;
	space_take(&space, 0, 95);
	assert_int_equal(find(&space, 6), 0);
	assert_status(space_grow(&space, 101), KV_OK);
	assert_int_equal(find(&space, 6), 95);
	space_close(&space);
}

static uint64_t model_find(const bool *usable, uint64_t pages, uint64_t count)
{
	uint64_t length = 0;

	for (uint64_t p = 0; p < pages; p++) {
		length = usable[p] ? length + 1 : 0;
		if (length == count)
			return p + 1 - count;
	}
	return 0;
}

static void searching_agrees_with_a_model(void **state)
{
	enum { PAGES = 10000 };
	static bool usable[PAGES];
	struct space space = make_space(64, PAGES);
	struct random random = {11};

	(void)state;
	memset(usable + FIRST_USABLE, true, PAGES - FIRST_USABLE);
	for (int i = 0; i < 20000; i++) {
		uint64_t first = FIRST_USABLE + random_below(&random, PAGES - FIRST_USABLE);
		uint64_t count = 1 + random_below(&random, random_one_in(&random, 10) ? 300 : 8);
		uint64_t free_pages = 0;

		if (count > PAGES - first)
			count = PAGES - first;
		if (random_one_in(&random, 3)) {
			space_give(&space, first, count);
			memset(usable + first, true, count);
		} else {
			space_take(&space, first, count);
			memset(usable + first, false, count);
		}
		count = 1 + random_below(&random, 40);
		assert_int_equal(find(&space, count), model_find(usable, PAGES, count));
		for (uint64_t p = 0; i % 1000 == 0 && p < PAGES; p++)
			free_pages += usable[p];
		if (i % 1000 == 0)
			assert_int_equal(space.usable_count, free_pages);
	}
	space_close(&space);
}

static void long_runs_come_first_then_middle_ones_then_any(void **state)
{
	struct space space = make_space(0, 20000);
	const struct run runs[] = {{10, 3}, {60, 20}, {1000, 600}, {5000, 40}, {9000, 700}};
	const struct run expected[] = {{1000, 600}, {9000, 700}, {60, 20}, {5000, 40}, {10, 3}};
	struct space_search search = {0};
	struct run run;

	(void)state;
	leave_usable(&space, runs, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_true(space_find_long(&space, &search, 1363, &run));
		assert_int_equal(run.first, expected[i].first);
		assert_int_equal(run.count, expected[i].count);
		space_take(&space, run.first, run.count);
	}
	assert_false(space_find_long(&space, &search, 1, &run));
	space_close(&space);
}

static void a_few_pages_take_the_lowest_run_that_holds_them(void **state)
{
	struct space space = make_space(0, 20000);
	const struct run runs[] = {{10, 2}, {60, 3}, {1000, 600}};
	struct space_search search = {0};
	struct run run;

	(void)state;
	leave_usable(&space, runs, 3);
	assert_true(space_find_long(&space, &search, 3, &run));
	assert_int_equal(run.first, 60);
	search = (struct space_search){0};
	assert_true(space_find_long(&space, &search, 5, &run));
	assert_int_equal(run.first, 1000);
	assert_int_equal(run.count, 5);
	space_close(&space);
}

/* ---- what a commit does -------------------------------------------------------------------- */

static void a_commit_takes_what_is_not_usable_again(void **state)
{
	struct space space = make_space(0, 1000);

	(void)state;
	space_take(&space, 100, 10);
	space_give(&space, 103, 2);
	space_tip_take(&space, 100, 10);
	assert_int_equal(space.tip_count, 998 - 8);
	assert_false(bitmap_test(space.tip, 102));
	assert_true(bitmap_test(space.tip, 103));
	assert_true(bitmap_test(space.tip, 110));
	assert_int_equal(space_tip_give(&space, 100, 10), 2);
	assert_int_equal(space.tip_count, 998);
	space_close(&space);
}

/* ---- on disk ------------------------------------------------------------------------------- */

struct disk {
	struct io *io;
	struct io_file file;
};

static struct disk make_disk(void)
{
	struct disk disk;

	assert_status(io_record_new(&plain, &disk.io), KV_OK);
	assert_status(disk.io->ops->open(disk.io, NULL, IO_MEMORY, 0, &disk.file), KV_OK);
	return disk;
}

static void drop_disk(struct disk *disk)
{
	disk->io->ops->close(disk->io, &disk->file);
	disk->io->ops->free(disk->io);
}

static int write_map(struct space *space, struct disk *disk, uint64_t txn)
{
	static _Alignas(8) uint8_t images[SPACE_BATCH * PAGE];
	uint64_t first;

	while (space_lacks_pair(space)) {
		assert_true(space_find(space, 2, &first));
		space_take(space, first, 2);
		space_assign_pair(space, first);
	}
	return space_write(space, disk->io, &disk->file, 99, txn, images);
}

static int load_map(struct space *space, struct disk *disk, uint64_t pages, const uint64_t *roots)
{
	assert_status(space_open(space, &plain, PAGE, 64, pages), KV_OK);
	return space_load(space, disk->io, &disk->file, 99, pages, roots);
}

static void assert_same_tip(const struct space *a, const struct space *b)
{
	assert_int_equal(a->pages, b->pages);
	for (uint64_t p = 0; p < a->pages; p++)
		assert_int_equal(bitmap_test(a->tip, p), bitmap_test(b->tip, p));
	assert_int_equal(a->tip_count, b->tip_count);
}

/* Enough map pages of 64 bits for two root pages. */
static void what_is_written_is_loaded(void **state)
{
	enum { PAGES = 64 * 600 + 17 };
	struct space space = make_space(64, PAGES), loaded;
	struct disk disk = make_disk();
	struct random random = {5};

	(void)state;
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 200; i++) {
			uint64_t first = random_below(&random, PAGES - 50);

			space_take(&space, first, 20);
			space_tip_take(&space, first, 20);
		}
		assert_status(write_map(&space, &disk, 1), KV_OK);
		space_written(&space);
		assert_true(space.roots[1] != 0);
		assert_int_equal(space.roots[2], 0);
		assert_status(load_map(&loaded, &disk, PAGES, space.roots), KV_OK);
		assert_same_tip(&space, &loaded);
		assert_int_equal(loaded.usable_count, loaded.tip_count);
		space_close(&loaded);
	}
	drop_disk(&disk);
	space_close(&space);
}

static void the_old_map_stays_whole_until_the_new_one_is_durable(void **state)
{
	struct space space = make_space(64, 6400), loaded, old;
	struct disk disk = make_disk();

	(void)state;
	assert_status(write_map(&space, &disk, 1), KV_OK);
	space_written(&space);
	assert_status(load_map(&old, &disk, 6400, space.roots), KV_OK);
	for (uint64_t txn = 2; txn < 6; txn++) {
		space_take(&space, 3000 + 10 * txn, 5);
		space_tip_take(&space, 3000 + 10 * txn, 5);
		/* Written, but the meta page never is: twice over. */
		assert_status(write_map(&space, &disk, txn), KV_OK);
		assert_status(load_map(&loaded, &disk, 6400, space.roots), KV_OK);
		assert_same_tip(&loaded, &old);
		space_close(&loaded);
	}
	space_written(&space);
	assert_status(load_map(&loaded, &disk, 6400, space.roots), KV_OK);
	assert_same_tip(&loaded, &space);
	space_close(&loaded);
	space_close(&old);
	drop_disk(&disk);
	space_close(&space);
}

static void a_failed_write_may_be_repeated(void **state)
{
	struct space space = make_space(64, 6400), loaded;
	struct disk disk = make_disk();

	(void)state;
	for (uint64_t nth = 1; nth < 120; nth++) {
		struct io_record_fault fault = {
		        .kind = IO_RECORD_BATCH_WRITE, .nth = nth, .effect = IO_RECORD_SHORT_EIO};

		space_take(&space, 1000 + 40 * nth, 5);
		space_tip_take(&space, 1000 + 40 * nth, 5);
		io_record_set_fault(disk.io, &fault);
		if (write_map(&space, &disk, nth) != KV_OK)
			assert_status(write_map(&space, &disk, nth), KV_OK);
		io_record_set_fault(disk.io, NULL);
		space_written(&space);
		assert_status(load_map(&loaded, &disk, 6400, space.roots), KV_OK);
		assert_same_tip(&loaded, &space);
		space_close(&loaded);
	}
	drop_disk(&disk);
	space_close(&space);
}

static void damage_to_any_map_page_is_found(void **state)
{
	struct space space = make_space(64, 640), loaded;
	struct disk disk = make_disk();

	(void)state;
	assert_status(write_map(&space, &disk, 1), KV_OK);
	space_written(&space);
	for (size_t k = 0; k <= space.map_pages; k++) {
		uint64_t entry = k < space.map_pages ? space.entries[k] : space.roots[0];
		uint64_t offset = (page_number(entry) + (entry >> 56 & 1)) * PAGE;

		for (uint64_t i = 0; i < PAGE; i += 97) {
			uint8_t byte;

			assert_int_equal(pread(disk.file.fd, &byte, 1, (off_t)(offset + i)), 1);
			byte ^= 1;
			assert_int_equal(pwrite(disk.file.fd, &byte, 1, (off_t)(offset + i)), 1);
			assert_status(load_map(&loaded, &disk, 640, space.roots), KV_CORRUPT);
			space_close(&loaded);
			byte ^= 1;
			assert_int_equal(pwrite(disk.file.fd, &byte, 1, (off_t)(offset + i)), 1);
		}
	}
	assert_status(load_map(&loaded, &disk, 640, space.roots), KV_OK);
	space_close(&loaded);
	drop_disk(&disk);
	space_close(&space);
}

static void a_lost_map_write_is_found(void **state)
{
	struct space space = make_space(64, 640), loaded;
	struct disk disk = make_disk();
	uint64_t stale[SPACE_ROOTS];

	(void)state;
	assert_status(write_map(&space, &disk, 1), KV_OK);
	space_written(&space);
	memcpy(stale, space.roots, sizeof stale);
	for (uint64_t txn = 2; txn < 4; txn++) {
		space_take(&space, 100 * txn, 1);
		space_tip_take(&space, 100 * txn, 1);
		assert_status(write_map(&space, &disk, txn), KV_OK);
		space_written(&space);
	}
	/* The same place by now, but not the content that the entry knows. */
	assert_int_equal(stale[0] >> 56, space.roots[0] >> 56);
	assert_status(load_map(&loaded, &disk, 640, stale), KV_CORRUPT);
	space_close(&loaded);
	drop_disk(&disk);
	space_close(&space);
}

/* A map that calls everything free, itself included. */
static void a_forged_map_cannot_free_fixed_pages(void **state)
{
	struct space space = make_space(64, 640), loaded;
	struct disk disk = make_disk();

	(void)state;
	assert_status(write_map(&space, &disk, 1), KV_OK);
	for (uint64_t w = 0; w < 10; w++)
		space.tip[w] = UINT64_MAX;
	memset(space.dirty, 1, space.map_pages);
	assert_status(write_map(&space, &disk, 2), KV_OK);
	space_written(&space);
	assert_status(load_map(&loaded, &disk, 640, space.roots), KV_OK);
	assert_int_equal(loaded.tip_count, 640 - 2 - 2 * 11);
	assert_false(bitmap_test(loaded.usable, 0));
	for (size_t k = 0; k < loaded.map_pages; k++)
		assert_false(bitmap_test(loaded.usable, page_number(loaded.entries[k])));
	space_close(&loaded);
	drop_disk(&disk);
	space_close(&space);
}

static void forged_entries_are_refused(void **state)
{
	struct space space = make_space(64, 640), loaded;
	struct disk disk = make_disk();
	uint64_t good, roots[SPACE_ROOTS] = {0};

	(void)state;
	assert_status(write_map(&space, &disk, 1), KV_OK);
	space_written(&space);
	good = space.entries[3];
	for (int i = 0; i < 6; i++) {
		const uint64_t bad[] = {
		        0, 1, 639, PAGE_NUMBER_MASK, good | UINT64_C(1) << 60, space.entries[2]};

		space.entries[3] = bad[i];
		space.dirty[4] = 1; /* writes the root anew, but not map page 3 */
		memcpy(space.next, space.entries, space.map_pages * sizeof *space.next);
		if (!space_lacks_pair(&space))
			assert_status(write_map(&space, &disk, 2), KV_OK);
		memcpy(roots, space.next_roots, sizeof roots);
		assert_status(load_map(&loaded, &disk, 640, roots), KV_CORRUPT);
		space_close(&loaded);
	}
	drop_disk(&disk);
	space_close(&space);
}

static void shrinking_drops_pairs_and_frees_them_afterwards(void **state)
{
	struct space space = make_space(64, 6400), loaded;
	struct disk disk = make_disk();
	uint64_t end, tip;

	(void)state;
	assert_status(write_map(&space, &disk, 1), KV_OK);
	space_written(&space);
	end = space_end(&space);
	/* The pairs of the first map page and the root are all that is needed. */
	assert_int_equal(end, 6);
	space_shrink(&space, 60);
	tip = space.tip_count;
	assert_int_equal(space.map_pages, 1);
	assert_int_equal(space.usable_count, 0);
	assert_status(write_map(&space, &disk, 2), KV_OK);
	space_written(&space);
	assert_int_equal(space.usable_count, tip);
	assert_int_equal(tip, 60 - 6);
	assert_status(load_map(&loaded, &disk, 60, space.roots), KV_OK);
	assert_same_tip(&loaded, &space);
	space_close(&loaded);
	assert_status(space_grow(&space, 3000), KV_OK);
	assert_status(write_map(&space, &disk, 3), KV_OK);
	space_written(&space);
	assert_status(load_map(&loaded, &disk, 3000, space.roots), KV_OK);
	assert_same_tip(&loaded, &space);
	space_close(&loaded);
	drop_disk(&disk);
	space_close(&space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_lowest_run_that_fits_is_found),
	        cmocka_unit_test(meta_pages_are_never_found),
	        cmocka_unit_test(a_run_goes_on_into_what_the_file_has_grown_by),
	        cmocka_unit_test(searching_agrees_with_a_model),
	        cmocka_unit_test(long_runs_come_first_then_middle_ones_then_any),
	        cmocka_unit_test(a_few_pages_take_the_lowest_run_that_holds_them),
	        cmocka_unit_test(a_commit_takes_what_is_not_usable_again),
	        cmocka_unit_test(what_is_written_is_loaded),
	        cmocka_unit_test(the_old_map_stays_whole_until_the_new_one_is_durable),
	        cmocka_unit_test(a_failed_write_may_be_repeated),
	        cmocka_unit_test(damage_to_any_map_page_is_found),
	        cmocka_unit_test(a_lost_map_write_is_found),
	        cmocka_unit_test(a_forged_map_cannot_free_fixed_pages),
	        cmocka_unit_test(forged_entries_are_refused),
	        cmocka_unit_test(shrinking_drops_pairs_and_frees_them_afterwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
