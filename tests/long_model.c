/* The model test: random operations on a database and on a trivial model, every answer compared.
 *
 * A run is cut into segments, each with a database, a page size and settings of its own that follow
 * from the seed and the segment's number. What fails is repeated with the same --ops, --seed,
 * --segments and --only NUMBER. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model_run.h"

struct settings {
	uint64_t ops, seed, segments, only, page_size, immediate, keep;
	const char *dir;
};

static const char *const op_names[RUN_OPS] = {
        [OP_PUT] = "put",
        [OP_DELETE] = "delete",
        [OP_REMOVE] = "remove",
        [OP_PUT_IF_ABSENT] = "put if absent",
        [OP_APPEND] = "append",
        [OP_RESERVE] = "reserve",
        [OP_DELETE_RANGE] = "delete range",
        [OP_CLEAR] = "clear",
        [OP_CURSOR_DELETE] = "cursor delete",
        [OP_CURSOR_REPLACE] = "cursor replace",
        [OP_GET] = "get",
        [OP_GET_MANY] = "get many",
        [OP_COUNT] = "count",
        [OP_COUNT_RANGE] = "count range",
        [OP_RANK] = "rank",
        [OP_NTH] = "nth",
        [OP_CURSOR_OPEN] = "cursor open",
        [OP_CURSOR_END] = "cursor first/last",
        [OP_CURSOR_SEEK] = "cursor seek",
        [OP_CURSOR_STEP] = "cursor next/prev",
        [OP_TABLE] = "tables",
        [OP_REFUSED] = "refused",
        [OP_BEGIN] = "begin",
        [OP_COMMIT] = "commit",
        [OP_ABORT] = "abort",
        [OP_READER] = "reader",
        [OP_SYNC] = "sync",
        [OP_COMPARE] = "compare all",
        [OP_REOPEN] = "reopen",
};

/* ---- choosing ------------------------------------------------------------------------------ */

static void step_writer(struct run *run)
{
	struct model_table *table = run_table(run, &run->writer);
	uint64_t choice = random_below(&run->random, 100000);

	if (!table || choice < 30)
		run_change_tables(run);
	else if (choice < 45)
		run_refused(run, table);
	else if (choice < 120)
		run_burst(run, table);
	else if (choice < 70000)
		run_write(run, table);
	else if (choice < 88000)
		run_read(run, &run->writer, table);
	else
		run_cursor(run, &run->writer);
}

static void step_reader(struct run *run, struct view *view)
{
	struct model_table *table = run_table(run, view);

	if (!table)
		run->op++;
	else if (random_one_in(&run->random, 2))
		run_read(run, view, table);
	else
		run_cursor(run, view);
}

static unsigned open_readers(const struct run *run)
{
	unsigned count = 0;

	for (unsigned i = 0; i < RUN_READERS; i++)
		count += run->readers[i].txn != NULL;
	return count;
}

/* Between write transactions. */
static void step_idle(struct run *run, uint64_t reopen_every)
{
	if (random_one_in(&run->random, 500))
		run_sync(run);
	if (random_one_in(&run->random, 5000))
		run_compare_committed(run);
	if (random_one_in(&run->random, reopen_every)) {
		run_close(run);
		run_open(run);
	}
	run_begin_write(run);
}

static void step(struct run *run, uint64_t reopen_every)
{
	struct view *reader = &run->readers[random_below(&run->random, RUN_READERS)];

	run_end_readers(run, false);
	if (random_one_in(&run->random, 300) && open_readers(run) < RUN_READERS)
		run_begin_reader(run);
	else if (reader->txn && random_one_in(&run->random, 3))
		step_reader(run, reader);
	else if (!run->writer.txn)
		step_idle(run, reopen_every);
	else if (run->op >= run->writer.ends_at)
		run_end_write(run, !random_one_in(&run->random, 8));
	else
		step_writer(run);
}

/* ---- segments ------------------------------------------------------------------------------ */

/* Small arenas and batches, so that the rare paths are common. */
static void choose_options(struct run *run, uint64_t page_size)
{
	static const uint64_t page_sizes[] = {4096, 16384, 65536};
	static const uint64_t arenas[] = {1u << 20, 4u << 20, 32u << 20, 0};
	static const uint64_t batches[] = {1u << 14, 1u << 17, 1u << 20, 0};

	run->options = (kv_options){
	        .page_size = (uint32_t)(page_size ? page_size : page_sizes[run->segment % 3]),
	        .arena_size = arenas[random_below(&run->random, 4)],
	        .batch_size = batches[random_below(&run->random, 4)],
	        .durability = KV_NONE,
	        .flags = random_one_in(&run->random, 4) ? KV_NO_URING : 0,
	};
}

static void segment_report(const struct run *run, double seconds)
{
	printf("segment %llu: %llu operations, pages of %u, arena %llu, batch %llu: %.1f s\n",
	       (unsigned long long)run->segment, (unsigned long long)run->op,
	       run->options.page_size, (unsigned long long)run->options.arena_size,
	       (unsigned long long)run->options.batch_size, seconds);
	fflush(stdout);
}

static uint64_t total_done(const struct run *run)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < RUN_OPS; i++)
		total += run->done[i];
	return total;
}

static void segment_run(struct run *run, const struct settings *settings)
{
	uint64_t ops = (settings->ops + settings->segments - 1) / settings->segments;
	uint64_t end = total_done(run) + ops;
	double start = seconds_now();

	run->op = 0;
	run->random.state = random_mix(settings->seed) + run->segment;
	run->immediate_percent = settings->immediate;
	choose_options(run, settings->page_size);
	temp_dir_make(&run->dir, settings->dir);
	run_open(run);
	while (total_done(run) < end)
		step(run, 20 + ops / 600);
	run_close(run);
	run_open(run);
	run_close(run);
	segment_report(run, seconds_now() - start);
	model_free(&run->committed);
	free(run->infos);
	run->infos = NULL;
	run->info_count = 0;
	if (!settings->keep)
		temp_dir_remove(&run->dir);
}

static void report(const struct run *run, double seconds)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < RUN_OPS; i++)
		total += run->done[i];
	printf("%llu operations in %.1f s, all answers equal:\n", (unsigned long long)total,
	       seconds);
	for (unsigned i = 0; i < RUN_OPS; i++)
		printf("  %-18s%10llu%s", op_names[i], (unsigned long long)run->done[i],
		       i % 3 == 2 ? "\n" : "");
	printf("\nsplits %llu, merges %llu, spills %llu, checkpoints %llu\n"
	       "greatest height %u, largest table %llu entries, compared in whole walks %llu\n"
	       "writers refused for old readers %llu\n",
	       (unsigned long long)run->splits, (unsigned long long)run->merges,
	       (unsigned long long)run->spills, (unsigned long long)run->checkpoints, run->highest,
	       (unsigned long long)run->largest_table, (unsigned long long)run->entries_compared,
	       (unsigned long long)run->readers_refused);
}

int main(int argc, char **argv)
{
	struct settings settings = {.ops = 100000,
	                            .seed = seed_from_clock(),
	                            .segments = 12,
	                            .only = UINT64_MAX,
	                            .immediate = 5};
	const struct option_spec specs[] = {
	        {"ops", &settings.ops, NULL, "operations in all"},
	        {"seed", &settings.seed, NULL, "of the random numbers"},
	        {"segments", &settings.segments, NULL, "databases to spread them over"},
	        {"only", &settings.only, NULL, "run this segment alone"},
	        {"page-size", &settings.page_size, NULL, "bytes; 0: 4, 16 and 64 KiB in turn"},
	        {"immediate", &settings.immediate, NULL, "percentage of durable commits"},
	        {"keep", &settings.keep, NULL, "1: leave the files behind"},
	        {"dir", NULL, &settings.dir, "where the databases go; default $TMPDIR or /tmp"},
	        {0},
	};
	struct run *run;
	double start = seconds_now();

	options_parse(argc, argv, specs);
	run = calloc(1, sizeof(*run));
	if (!run || !settings.segments)
		exit(2);
	run->seed = settings.seed;
	printf("model test: seed %llu, %llu operations in %llu segments\n",
	       (unsigned long long)settings.seed, (unsigned long long)settings.ops,
	       (unsigned long long)settings.segments);
	for (run->segment = 0; run->segment < settings.segments; run->segment++)
		if (settings.only == UINT64_MAX || settings.only == run->segment)
			segment_run(run, &settings);
	report(run, seconds_now() - start);
	free(run);
	return 0;
}
