/* kvbench: measures embedded key-value engines beside each other. See README.md. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/store.h"

static const char help[] =
        "usage: kvbench [options]\n"
        "\n"
        "Runs the workloads of the suite `store` on each engine in turn and prints one table.\n"
        "\n"
        "  --entries N       entries in the database (5000000)\n"
        "  --engines A,B     engines, the one that is judged first (all of this build)\n"
        "  --only A,B        run only these workloads; --list shows them\n"
        "  --skip A,B        leave these workloads out\n"
        "  --threads A,B     numbers of reading threads (1,2,4)\n"
        "  --writers A,B     numbers of durably writing threads (1,4,16,64)\n"
        "  --repeat N        runs of each short workload (3)\n"
        "  --repeat-long N   runs of bulk, large, size and removals (1)\n"
        "  --large N         number of 2 MB values (400)\n"
        "  --seed N          seed of the data (1)\n"
        "  --dir DIR         where to put the databases (a new directory here)\n"
        "  --keep            leave the databases there at the end\n"
        "  --reuse           take the databases that an earlier run, same seed, kept in DIR\n"
        "  --json FILE       also write all samples as JSON\n"
        "  --markdown        print the table as Markdown\n"
        "  --quiet           no progress on stderr\n"
        "  --list            show workloads and engines\n"
        "  --help\n"
        "\n"
        "Exit status: 0 done, 1 an engine failed or answered wrongly, 2 wrong usage.\n";

enum option_id {
	ENTRIES = 1,
	ENGINES,
	ONLY,
	SKIP,
	THREADS,
	WRITERS,
	REPEAT,
	REPEAT_LONG,
	LARGE,
	SEED,
	DIR,
	KEEP,
	REUSE,
	JSON,
	MARKDOWN,
	QUIET,
	LIST,
	HELP,
};

static const struct option option_table[] = {
        {"entries", required_argument, NULL, ENTRIES},
        {"engines", required_argument, NULL, ENGINES},
        {"only", required_argument, NULL, ONLY},
        {"skip", required_argument, NULL, SKIP},
        {"threads", required_argument, NULL, THREADS},
        {"writers", required_argument, NULL, WRITERS},
        {"repeat", required_argument, NULL, REPEAT},
        {"repeat-long", required_argument, NULL, REPEAT_LONG},
        {"large", required_argument, NULL, LARGE},
        {"seed", required_argument, NULL, SEED},
        {"dir", required_argument, NULL, DIR},
        {"keep", no_argument, NULL, KEEP},
        {"reuse", no_argument, NULL, REUSE},
        {"json", required_argument, NULL, JSON},
        {"markdown", no_argument, NULL, MARKDOWN},
        {"quiet", no_argument, NULL, QUIET},
        {"list", no_argument, NULL, LIST},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
};

struct options {
	struct store_options store;
	const char *engines, *directory, *json;
	bool keep, markdown;
};

/* The directory of the databases, for the function that removes it at any exit. */
static struct {
	char path[FILES_MAX_PATH];
	pid_t owner; /* children that exit leave it alone */
	bool made;   /* by this run */
	bool keep;
} workspace;

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
	(void)signal_number;
	stop_requested = 1;
}

static _Noreturn void usage_error(const char *what, const char *value)
{
	fprintf(stderr, "kvbench: %s: %s (see --help)\n", what, value);
	exit(2);
}

static uint64_t parse_number(const char *text, uint64_t min, uint64_t max)
{
	char *end;

	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || n < min || n > max)
		usage_error("not a number in range", text);
	return n;
}

/* "1,2,4" into a list ended by 0. */
static void parse_list(const char *text, unsigned list[STORE_MAX_LIST])
{
	char *copy = strdup(text), *rest = copy, *item;
	unsigned n = 0;

	while (copy && (item = strsep(&rest, ",")) != NULL) {
		if (n + 1 == STORE_MAX_LIST)
			usage_error("too many numbers", text);
		list[n++] = (unsigned)parse_number(item, 1, STORE_MAX_THREADS);
	}
	list[n] = 0;
	free(copy);
}

/* Fails on names that no workload has. */
static const char *parse_workloads(const char *text)
{
	char *copy = strdup(text), *rest = copy, *item;

	while (copy && (item = strsep(&rest, ",")) != NULL) {
		const struct workload *w = store_workloads;
		while (w->name && strcmp(w->name, item) != 0)
			w++;
		if (!w->name)
			usage_error("no such workload", item);
	}
	free(copy);
	return text;
}

static void print_list(void)
{
	puts("workloads:");
	for (const struct workload *w = store_workloads; w->name; w++)
		printf("  %-12s %s\n", w->name, w->about);
	puts("engines:");
	for (size_t i = 0; engines[i]; i++) {
		char text[512];
		engines[i]->describe(text, sizeof(text));
		printf("  %-12s %s\n", engines[i]->name, text);
	}
}

static void set_option(struct options *o, int id, const char *arg)
{
	switch ((enum option_id)id) {
	case ENTRIES: o->store.entries = parse_number(arg, 1000, UINT32_MAX); break;
	case ENGINES: o->engines = arg; break;
	case ONLY: o->store.only = parse_workloads(arg); break;
	case SKIP: o->store.skip = parse_workloads(arg); break;
	case THREADS: parse_list(arg, o->store.threads); break;
	case WRITERS: parse_list(arg, o->store.writers); break;
	case REPEAT: o->store.repeat = (unsigned)parse_number(arg, 1, REPORT_MAX_SAMPLES); break;
	case REPEAT_LONG:
		o->store.repeat_long = (unsigned)parse_number(arg, 1, REPORT_MAX_SAMPLES);
		break;
	case LARGE: o->store.large = parse_number(arg, 1, 1000000); break;
	case SEED: o->store.seed = parse_number(arg, 0, UINT64_MAX); break;
	case DIR: o->directory = arg; break;
	case KEEP: o->keep = true; break;
	case REUSE: o->store.reuse = true; break;
	case JSON: o->json = arg; break;
	case MARKDOWN: o->markdown = true; break;
	case QUIET: harness_quiet(); break;
	case LIST: print_list(); exit(0);
	case HELP: fputs(help, stdout); exit(0);
	}
}

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
	        .store = {.entries = 5000000,
	                  .seed = 1,
	                  .large = 400,
	                  .repeat = 3,
	                  .repeat_long = 1,
	                  .threads = {1, 2, 4},
	                  .writers = {1, 4, 16, 64}},
	};
	int id;

	while ((id = getopt_long(argc, argv, "", option_table, NULL)) != -1) {
		if (id == '?')
			exit(2);
		set_option(&o, id, optarg);
	}
	if (optind < argc)
		usage_error("not an option", argv[optind]);
	return o;
}

static void choose_engines(struct report *report, const char *names)
{
	char *copy = names ? strdup(names) : NULL, *rest = copy, *name;

	while (copy && (name = strsep(&rest, ",")) != NULL) {
		if (report->engine_count == REPORT_MAX_ENGINES)
			usage_error("too many engines", names);
		const struct engine *engine = engine_find(name);
		if (!engine)
			usage_error("no such engine in this build", name);
		report->engines[report->engine_count++] = engine;
	}
	for (size_t i = 0; !names && engines[i]; i++)
		report->engines[report->engine_count++] = engines[i];
	free(copy);
}

static void leave_workspace(void)
{
	if (workspace.keep || getpid() != workspace.owner)
		return;
	for (size_t i = 0; engines[i]; i++) {
		char own[FILES_MAX_PATH];
		files_join(own, workspace.path, engines[i]->name);
		files_remove(own);
	}
	if (workspace.made)
		rmdir(workspace.path);
}

static void enter_workspace(const struct options *o)
{
	if (o->directory) {
		snprintf(workspace.path, sizeof(workspace.path), "%s", o->directory);
		files_make(workspace.path);
	} else {
		snprintf(workspace.path, sizeof(workspace.path), "kvbench.XXXXXX");
		if (!mkdtemp(workspace.path))
			harness_fail("cannot make a directory here: %s", strerror(errno));
		workspace.made = true;
	}
	workspace.keep = o->keep;
	workspace.owner = getpid();
	atexit(leave_workspace);
}

static void catch_signals(void)
{
	/* A second signal ends the process at once. */
	struct sigaction action = {.sa_handler = request_stop, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void write_json(const struct report *report, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		harness_fail("cannot write %s: %s", path, strerror(errno));
	report_print_json(report, f);
	if (fclose(f))
		harness_fail("cannot write %s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
	struct options o = parse_options(argc, argv);
	struct report *report = harness_alloc(sizeof(*report));

	choose_engines(report, o.engines);
	enter_workspace(&o);
	catch_signals();
	report->entries = o.store.entries;
	report->seed = o.store.seed;
	machine_read(&report->machine, workspace.path);
	limits_measure(&report->limits, workspace.path);
	store_run(&o.store, workspace.path, report, &stop_requested);
	if (o.markdown)
		report_print_markdown(report, stdout);
	else
		report_print_text(report, stdout);
	if (o.json)
		write_json(report, o.json);
	free(report);
	return 0;
}
