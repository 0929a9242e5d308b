/* Frames of the arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "mmap/arena.h"
#include "mmap/status.h"
#include "tests/random.h"

#define PAGE ((size_t)4096)
#define MIB ((uint64_t)1 << 20)

static const struct mem plain;

static struct arena open_arena(uint64_t limit, uint64_t reserve)
{
	struct arena arena;

	assert_int_equal(arena_open(&arena, &plain, PAGE, limit, reserve), KV_OK);
	return arena;
}

static uint64_t take(struct arena *arena)
{
	uint64_t frame;

	assert_int_equal(arena_take(arena, &frame), KV_OK);
	return frame;
}

static void frames_are_distinct_and_writable(void **state)
{
	struct arena arena = open_arena(4 * MIB, MIB);

	(void)state;
	for (uint64_t i = 0; i < arena.room; i++) {
		uint64_t frame = take(&arena);

		assert_int_equal(frame, i);
		arena.base[frame * PAGE] = (uint8_t)i;
		arena.base[frame * PAGE + PAGE - 1] = (uint8_t)i;
	}
	for (uint64_t i = 0; i < arena.room; i++)
		assert_int_equal(arena.base[i * PAGE], (uint8_t)i);
	assert_int_equal(arena.used, arena.room);
	arena_close(&arena);
}

static void reserve_counts_in_room_but_not_in_limit(void **state)
{
	struct arena arena = open_arena(MIB, MIB / 2);
	uint64_t frame;

	(void)state;
	assert_int_equal(arena.limit, 256);
	assert_int_equal(arena.room, 384);
	for (uint64_t i = 0; i < 384; i++)
		take(&arena);
	assert_int_equal(arena_take(&arena, &frame), KV_NOMEM);
	arena_give(&arena, 17);
	assert_int_equal(take(&arena), 17);
	arena_close(&arena);
}

static void last_freed_is_taken_first(void **state)
{
	struct arena arena = open_arena(MIB, 0);

	(void)state;
	for (int i = 0; i < 10; i++)
		take(&arena);
	arena_give(&arena, 3);
	arena_give(&arena, 7);
	assert_int_equal(take(&arena), 7);
	assert_int_equal(take(&arena), 3);
	assert_int_equal(take(&arena), 10);
	arena_close(&arena);
}

static void giving_twice_is_giving_once(void **state)
{
	struct arena arena = open_arena(MIB, 0);

	(void)state;
	take(&arena);
	take(&arena);
	arena_give(&arena, 0);
	arena_give(&arena, 0);
	arena_give(&arena, 200); /* never taken */
	arena_give(&arena, UINT64_MAX);
	assert_int_equal(arena.used, 1);
	assert_int_equal(take(&arena), 0);
	assert_int_equal(take(&arena), 2);
	arena_close(&arena);
}

static size_t resident_pages(const struct arena *arena)
{
	static unsigned char resident[16 * MIB / PAGE];
	size_t count = 0;

	assert_true(arena->mapped <= 16 * MIB);
	assert_int_equal(mincore(arena->base, arena->mapped, resident), 0);
	for (size_t i = 0; i < arena->mapped / PAGE; i++)
		count += resident[i] & 1;
	return count;
}

static void an_idle_arena_takes_no_memory(void **state)
{
	struct arena arena = open_arena(8 * MIB, 8 * MIB);
	uint64_t frame = take(&arena);

	(void)state;
	arena.base[frame * PAGE] = 1;
	assert_int_equal(resident_pages(&arena), 1);
	assert_true(arena.known * 9 < MIB / 64);
	arena_close(&arena);
}

static void trimming_returns_all_but_frames_in_use(void **state)
{
	struct arena arena = open_arena(16 * MIB, 0);

	(void)state;
	for (uint64_t i = 0; i < arena.room; i++)
		arena.base[take(&arena) * PAGE] = (uint8_t)(i | 1);
	/* In use remain: one frame in the first huge page, and one in the third of eight. */
	for (uint64_t i = 0; i < arena.room; i++)
		if (i != 5 && i != 1100)
			arena_give(&arena, i);
	arena_trim(&arena);
	assert_int_equal(arena.high, 1101);
	assert_true(resident_pages(&arena) <= 1024);
	assert_int_equal(arena.base[5 * PAGE], 5);
	assert_int_equal(arena.base[1100 * PAGE], (uint8_t)(1100 | 1));
	assert_int_equal(take(&arena), 0);
	assert_int_equal(take(&arena), 1);
	arena_give(&arena, 5);
	arena_give(&arena, 1100);
	arena_close(&arena);
}

static void random_taking_agrees_with_a_model(void **state)
{
	struct arena arena = open_arena(2 * MIB, 0);
	struct random random = {42};
	bool taken[512] = {false};
	uint64_t used = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t frame = random_below(&random, 512);

		if (random_one_in(&random, 1000)) {
			arena_trim(&arena);
		} else if (random_one_in(&random, 2)) {
			used -= taken[frame];
			taken[frame] = false;
			arena_give(&arena, frame);
		} else if (used < 512) {
			frame = take(&arena);
			assert_false(taken[frame]);
			taken[frame] = true;
			used++;
		}
		assert_int_equal(arena.used, used);
		frame = random_below(&random, 512);
		assert_int_equal(arena_is_taken(&arena, frame), taken[frame]);
	}
	arena_close(&arena);
}

/* An allocator that refuses everything from a certain call on. */
static void *failing_resize(void *arg, void *ptr, size_t old_size, size_t new_size)
{
	int *calls = arg;

	(void)old_size;
	if (new_size == 0) {
		free(ptr);
		return NULL;
	}
	return (*calls)-- > 0 ? realloc(ptr, new_size) : NULL;
}

static void running_out_of_memory_leaves_the_arena_usable(void **state)
{
	int calls = 3; /* two for the first books, one of the two for the next */
	struct mem mem = {failing_resize, &calls};
	struct arena arena;
	uint64_t frame;

	(void)state;
	assert_int_equal(arena_open(&arena, &mem, PAGE, 4 * MIB, 0), KV_OK);
	while (arena.high < arena.known || arena.known == 0)
		take(&arena);
	assert_int_equal(arena_take(&arena, &frame), KV_NOMEM);
	arena_give(&arena, 1);
	assert_int_equal(take(&arena), 1);
	calls = 2;
	frame = take(&arena);
	assert_int_equal(frame, arena.known / 2);
	arena_close(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(frames_are_distinct_and_writable),
	        cmocka_unit_test(reserve_counts_in_room_but_not_in_limit),
	        cmocka_unit_test(last_freed_is_taken_first),
	        cmocka_unit_test(giving_twice_is_giving_once),
	        cmocka_unit_test(an_idle_arena_takes_no_memory),
	        cmocka_unit_test(trimming_returns_all_but_frames_in_use),
	        cmocka_unit_test(random_taking_agrees_with_a_model),
	        cmocka_unit_test(running_out_of_memory_leaves_the_arena_usable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
