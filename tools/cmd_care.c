/* copy and check: looking after a database. */
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- copy ---------------------------------------------------------------------------------- */

static void print_sizes(kv_db *db, const char *copy)
{
	kv_info info;
	struct stat st;

	if (kv_info_get(db, &info) || stat(copy, &st))
		return;
	output_format("%" PRIu64 " bytes copied into %" PRIu64 "\n", info.file_size,
	              (uint64_t)st.st_size);
}

/* Which of the two files failed stands in the library's detail, so the message names both. */
static int report_copy(int rc, const char *source, const char *target)
{
	char subject[512];

	if (rc == KV_EXISTS)
		return report_status(rc, target);
	snprintf(subject, sizeof subject, "copying %s to %s", source, target);
	return report_status(rc, subject);
}

static int run_copy(const struct args *args)
{
	const char *target = args->operands[1];
	struct progress progress;
	struct session session;
	int rc, code = session_open(&session, args);

	if (!code) {
		progress_start(&progress, "copying", args->progress);
		rc = kv_copy(session.db, target, progress_callback, &progress);
		progress_end(&progress);
		if (rc)
			code = report_copy(rc, session.path, target);
		else
			print_sizes(session.db, target);
	}
	return session_close(&session, code);
}

const struct command command_copy = {
        .name = "copy",
        .operands = "DATABASE NEW",
        .summary = "copy a database into a new, compact file",
        .about = "Writes what the database holds into the new file, without the free space\n"
                 "between. A file that is there already is left alone.",
        .example = "  kvtool copy app.kv app-copy.kv",
        .least = 2,
        .most = 2,
        .options = OPTION_PROGRESS,
        .run = run_copy,
};

/* ---- check --------------------------------------------------------------------------------- */

struct checking {
	struct progress progress;
	uint64_t faults;
};

static void print_fault(void *arg, uint64_t page, const char *what)
{
	struct checking *checking = arg;

	checking->faults++;
	progress_end(&checking->progress);
	if (page == UINT64_MAX)
		output_format("%s\n", what);
	else
		output_format("page %" PRIu64 ": %s\n", page, what);
}

static int check_progress(void *arg, uint64_t done, uint64_t total)
{
	struct checking *checking = arg;

	return progress_tick(&checking->progress, done, total) || !output_ok();
}

/* What the answer means. Opening may find damage before the check itself can run. */
static int judge(const struct session *session, const struct checking *checking, int rc)
{
	if (rc == KV_CORRUPT && !checking->faults)
		output_format("%s\n", *kv_detail() ? kv_detail() : kv_strerror(rc));
	if (rc == KV_CORRUPT)
		return EXIT_NEGATIVE;
	if (rc == KV_CANCELLED && !output_ok())
		return EXIT_OUTPUT;
	if (rc == KV_OK)
		output_string("no faults\n");
	return session_status(session, rc);
}

static int run_check(const struct args *args)
{
	const kv_options options = {.flags = KV_READ_ONLY_DB | KV_EXISTING, .log = report_log};
	struct session session = {.path = args->operands[0]};
	struct checking checking = {.faults = 0};
	int rc = kv_open(session.path, &options, &session.db);

	if (rc == KV_OK) {
		progress_start(&checking.progress, "checking", args->progress);
		rc = kv_check(session.db, print_fault, check_progress, &checking);
		progress_end(&checking.progress);
	}
	return session_close(&session, judge(&session, &checking, rc));
}

const struct command command_check = {
        .name = "check",
        .operands = "DATABASE",
        .summary = "verify the whole file and name every fault",
        .about = "Reads every page that the database uses and verifies checksums, key order,\n"
                 "counts and free space. Prints one line for each fault, with its page; exit code\n"
                 "1 if there are any. Nothing is changed.",
        .example = "  kvtool check app.kv && echo fine",
        .least = 1,
        .most = 1,
        .options = OPTION_PROGRESS,
        .run = run_check,
};
