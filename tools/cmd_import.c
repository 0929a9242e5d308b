/* import: the rows of a CSV or NDJSON file become entries of a table, all in one transaction. */
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/rows.h"
#include "tools/session.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define SHOWN_BAD_ROWS 20  /* with --skip-bad; the rest is only counted */
#define ROWS_PER_TICK 1024 /* a power of two */

struct import {
	const struct args *args;
	struct session session;
	struct rows rows;
	struct progress progress;
	uint32_t max_key; /* bytes */
	uint64_t before;  /* entries in the table */
	uint64_t imported, added, bad;
};

/* The format that --format or the file's name says; false, reported, if neither does. */
static bool choose_format(const struct args *args, enum rows_format *format)
{
	const char *path = args->operands[2];
	const char *dot = strrchr(path, '.');
	const char *name = args->format ? args->format : dot ? dot + 1 : "";

	if (!strcasecmp(name, "csv")) {
		*format = ROWS_CSV;
		return true;
	}
	if (!strcasecmp(name, "ndjson") || (!args->format && !strcasecmp(name, "jsonl"))) {
		*format = ROWS_NDJSON;
		return true;
	}
	if (args->format)
		args_fault("import", "no format '%s': csv and ndjson are known", args->format);
	else
		args_fault("import", "the format of '%s' is unclear: give --format", path);
	return false;
}

static int bad_row(struct import *import)
{
	if (import->bad++ < SHOWN_BAD_ROWS) {
		progress_end(&import->progress);
		report("%s:%" PRIu64 ": %s", import->rows.input.name, import->rows.line,
		       import->rows.problem);
	}
	if (import->args->skip_bad)
		return EXIT_OK;
	report("nothing was imported; --skip-bad leaves bad lines out");
	return EXIT_INPUT;
}

static int put_row(struct import *import)
{
	struct session *session = &import->session;
	struct rows *rows = &import->rows;

	if (rows->key.size > import->max_key) {
		rows_bad(rows, "the key has %zu bytes, more than the %" PRIu32 " allowed",
		         rows->key.size, import->max_key);
		return bad_row(import);
	}
	import->imported++;
	return session_status(session,
	                      kv_put(session->txn, session->table, rows->key, rows->value));
}

static int put_rows(struct import *import)
{
	int code = EXIT_OK;

	for (uint64_t n = 1; !code; n++) {
		switch (rows_next(&import->rows)) {
		case ROWS_OK: code = put_row(import); break;
		case ROWS_BAD: code = bad_row(import); break;
		case ROWS_FAILED: return EXIT_INPUT;
		case ROWS_END: return EXIT_OK;
		}
		if (!(n & (ROWS_PER_TICK - 1)) &&
		    progress_tick(&import->progress, import->rows.input.taken,
		                  import->rows.input.total))
			return EXIT_INPUT; /* interrupted */
	}
	return code;
}

static int begin(struct import *import)
{
	struct session *session = &import->session;
	kv_info info;
	int code = session_write(session, import->args, true);

	if (!code)
		code = session_status(session, kv_info_get(session->db, &info));
	if (code)
		return code;
	import->max_key = info.max_key;
	return session_status(session, kv_count(session->txn, session->table, &import->before));
}

/* Counting makes the library sort the rows into the tree, which the commit would do otherwise. */
static int count_added(struct import *import)
{
	struct session *session = &import->session;
	uint64_t after = 0;
	int rc;

	progress_phase(&import->progress, "sorting");
	rc = kv_count(session->txn, session->table, &after);
	import->added = after - import->before;
	progress_phase(&import->progress, "writing");
	return interrupted() ? EXIT_DATABASE : session_status(session, rc);
}

static void print_summary(const struct import *import)
{
	output_format("%" PRIu64 " rows imported: %" PRIu64 " new, %" PRIu64 " replaced",
	              import->imported, import->added, import->imported - import->added);
	if (import->bad)
		output_format("; %" PRIu64 " bad left out", import->bad);
	output_format(" (%.2f s)\n", progress_seconds(&import->progress));
}

/* The database is opened only once the input has proved readable. */
static int import_rows(struct import *import)
{
	int code = begin(import);

	if (!code)
		code = put_rows(import);
	if (!code)
		code = count_added(import);
	code = session_close(&import->session, code);
	progress_end(&import->progress);
	if (!code)
		print_summary(import);
	return code;
}

static int run_import(const struct args *args)
{
	struct import import = {.args = args};
	enum rows_format format;
	int code;

	if (!choose_format(args, &format))
		return EXIT_USAGE;
	progress_start(&import.progress, "importing", args->progress);
	code = rows_open(&import.rows, format, args->operands[2], args->key_field);
	if (!code)
		code = import_rows(&import);
	rows_close(&import.rows);
	return code;
}

/* What kvtool import --help says between the usage line and the options. */
static const char about[] =
        "Each row becomes an entry: its key is one field, its value a JSON object of all fields.\n"
        "FILE may be - for standard input.\n"
        "  csv     the first line names the columns; every field is stored as a string\n"
        "  ndjson  one JSON object per line, stored as it stands there; the key is a string\n"
        "          or an integer. Also known by the ending .jsonl\n"
        "\n"
        "The table is made if it is missing; the database only with --create. Of several rows\n"
        "with one key the last one wins, and a row replaces an entry that the table has: both\n"
        "count as replaced. Everything is one durable transaction: a bad line (named by its\n"
        "number) means that nothing is imported, unless --skip-bad is given.";

const struct command command_import = {
        .name = "import",
        .operands = "DATABASE TABLE FILE",
        .summary = "put the rows of a CSV or NDJSON file into a table",
        .about = about,
        .example = "  kvtool import --create --key sha app.kv commits commits.csv\n"
                   "  zcat events.ndjson.gz | kvtool import --format ndjson app.kv events -",
        .least = 3,
        .most = 3,
        .options = OPTION_CREATE | OPTION_KEY | OPTION_FORMAT | OPTION_SKIP_BAD | OPTION_PROGRESS,
        .run = run_import,
};
