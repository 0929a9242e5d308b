/* info and tables: what is in a database. */
#include "tools/command.h"
#include "tools/output.h"
#include "tools/report.h"
#include "tools/session.h"
#include "tools/text.h"

#include <inttypes.h>
#include <string.h>

static void print_info(const kv_info *info)
{
	output_format("database id     %016" PRIx64 "\n", info->database_id);
	output_format("file size       %" PRIu64 " bytes\n", info->file_size);
	output_format("page size       %" PRIu32 " bytes\n", info->page_size);
	output_format("pages           %" PRIu64 ", of which %" PRIu64 " free\n",
	              info->file_size / info->page_size, info->free_pages);
	output_format("longest key     %" PRIu32 " bytes\n", info->max_key);
	output_format("closed cleanly  %s\n", info->clean ? "yes" : "no");
	output_format("transaction     %" PRIu64 "\n", info->last_txn);
	output_format("tables          %" PRIu32 "\n", info->tables);
}

static int run_info(const struct args *args)
{
	struct session session;
	kv_info info;
	int code = session_open(&session, args);

	if (!code)
		code = session_status(&session, kv_info_get(session.db, &info));
	if (!code)
		print_info(&info);
	return session_close(&session, code);
}

const struct command command_info = {
        .name = "info",
        .operands = "DATABASE",
        .summary = "print size, page size and other facts of a database",
        .about = "Prints facts about the database, one per line.",
        .example = "  kvtool info app.kv",
        .least = 1,
        .most = 1,
        .run = run_info,
};

static int print_table(void *arg, const char *name, uint64_t entries)
{
	(void)arg;
	text_print(kv_bytes(name, strlen(name)), false);
	output_format("\t%" PRIu64 "\n", entries);
	return !output_ok();
}

static int run_tables(const struct args *args)
{
	struct session session;
	int code = session_open(&session, args);

	if (!code)
		code = session_status(&session, kv_begin(session.db, KV_READ, &session.txn));
	if (!code)
		code = session_status(&session, kv_table_list(session.txn, print_table, NULL));
	return session_close(&session, code);
}

const struct command command_tables = {
        .name = "tables",
        .operands = "DATABASE",
        .summary = "list the tables, with the number of entries of each",
        .about = "Prints each table's name, a tab and its number of entries, in order of names.",
        .example = "  kvtool tables app.kv",
        .least = 1,
        .most = 1,
        .run = run_tables,
};
