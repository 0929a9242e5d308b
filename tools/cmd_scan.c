/* scan and count: ranges of entries. */
#include "tools/command.h"
#include "tools/keys.h"
#include "tools/output.h"
#include "tools/report.h"
#include "tools/session.h"
#include "tools/text.h"

#include <inttypes.h>

static void print_entry(const struct args *args, const kv_cursor *cursor)
{
	text_print(cursor->key, args->hex);
	if (!args->keys_only) {
		output_string("\t");
		text_print(cursor->value, args->hex);
	}
	output_string("\n");
}

static int scan(struct session *session, const struct args *args, const struct key_range *range)
{
	kv_cursor cursor;
	int rc = kv_cursor_open(session->txn, session->table, &cursor);

	if (!rc)
		rc = kv_cursor_range(&cursor, range->from, range->to);
	if (!rc)
		rc = args->reverse ? kv_cursor_last(&cursor) : kv_cursor_first(&cursor);
	for (uint64_t n = 0; !rc && output_ok() && !interrupted();) {
		print_entry(args, &cursor);
		if (++n == args->limit)
			break;
		rc = args->reverse ? kv_cursor_prev(&cursor) : kv_cursor_next(&cursor);
	}
	return session_status(session, rc);
}

static int count(struct session *session, const struct args *args, const struct key_range *range)
{
	uint64_t n = 0;
	int rc = KV_OK;

	if (!range->empty)
		rc = kv_count_range(session->txn, session->table, range->from, range->to, &n);
	if (!rc)
		output_format("%" PRIu64 "\n", n < args->limit ? n : args->limit);
	return session_status(session, rc);
}

static int run_range(const struct args *args, bool only_count)
{
	struct session session;
	struct key_range range;
	int code = key_range_parse(args, &range);

	if (code)
		return code;
	code = session_read(&session, args);
	if (!code && only_count)
		code = count(&session, args, &range);
	else if (!code && !range.empty && args->limit)
		code = scan(&session, args, &range);
	code = session_close(&session, code);
	key_range_free(&range);
	return code;
}

static int run_scan(const struct args *args)
{
	if (args->count && args->keys_only)
		return args_fault("scan", "--count and --keys-only exclude each other");
	return run_range(args, args->count);
}

static int run_count(const struct args *args)
{
	return run_range(args, true);
}

const struct command command_scan = {
        .name = "scan",
        .operands = "DATABASE TABLE",
        .summary = "print the entries of a table or of a range, in key order",
        .about =
                "Prints key, tab and value, one entry per line. Printable UTF-8 appears as it is,\n"
                "every other byte as \\xNN; since backslashes appear as they are too, this is for\n"
                "reading, and --hex is for programs. Keys are in the order of their bytes.",
        .example = "  kvtool scan --prefix user: --limit 10 app.kv users\n"
                   "  kvtool scan --from 2026-01 --to 2026-02 --reverse --keys-only app.kv log",
        .least = 2,
        .most = 2,
        .options = OPTION_RANGE | OPTION_LIMIT | OPTION_REVERSE | OPTION_KEYS_ONLY | OPTION_COUNT |
                   OPTION_HEX,
        .run = run_scan,
};

const struct command command_count = {
        .name = "count",
        .operands = "DATABASE TABLE",
        .summary = "print the number of entries of a table or of a range",
        .about = "Prints the number of entries. It is taken from the tree's branches, so that it\n"
                 "takes no longer for a large range.",
        .example = "  kvtool count --from 2026-01 --to 2026-02 app.kv log",
        .least = 2,
        .most = 2,
        .options = OPTION_RANGE | OPTION_HEX,
        .run = run_count,
};
