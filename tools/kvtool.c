/* kvtool: the command line of kv. This file finds the command and runs it; the commands are in
 * cmd_*.c, their options in args.c. It uses the public interface only. */
#include "tools/args.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/report.h"

#include <kv/kv.h>

#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
        &command_info,  &command_tables, &command_get,  &command_put,   &command_del, &command_scan,
        &command_count, &command_import, &command_copy, &command_check, NULL,
};

static const char overview_end[] =
        "\n"
        "`kvtool COMMAND --help` tells the options of one, with an example. An argument\n"
        "that begins with '-' but is no option goes after '--'.\n"
        "\n"
        "Exit codes:\n"
        "  0  done\n"
        "  1  the answer is no: the key is not there; check found faults\n"
        "  2  the command line makes no sense\n"
        "  3  the database said no: no such file or table, in use, damaged, full ...\n"
        "  4  an input file cannot be read or has bad lines\n"
        "  5  the output could not be written\n";

static void print_overview(void)
{
	output_string("Usage: kvtool COMMAND [OPTION]... [ARGUMENT]...\n"
	              "Looks into and changes kv databases.\n\nCommands:\n");
	for (const struct command *const *c = commands; *c; c++)
		output_format("  %-8s  %s\n", (*c)->name, (*c)->summary);
	output_string("  help      print this, or the help of one command\n"
	              "  version   print the version\n");
	output_string(overview_end);
}

static const struct command *find_command(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	report("no command '%s'\nTry 'kvtool help'.", name);
	return NULL;
}

static int help(const char *name)
{
	const struct command *command;

	if (!name) {
		print_overview();
		return EXIT_OK;
	}
	command = find_command(name);
	if (!command)
		return EXIT_USAGE;
	args_help(command);
	return EXIT_OK;
}

static int run_command(int argc, char **argv)
{
	const struct command *command = find_command(argv[0]);
	struct args args;

	if (!command || !args_parse(command, argc, argv, &args))
		return EXIT_USAGE;
	if (args.help) {
		args_help(command);
		return EXIT_OK;
	}
	return command->run(&args);
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		report("a command is missing\nTry 'kvtool help'.");
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help(argc > 2 ? argv[2] : NULL);
	if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version")) {
		output_format("kvtool (kv) %s\n", kv_version());
		return EXIT_OK;
	}
	return run_command(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int code;

	output_start();
	interrupt_catch();
	code = output_finish(run(argc, argv));
	interrupt_finish();
	return code;
}
