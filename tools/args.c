#include "tools/args.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/report.h"
#include "tools/text.h"

#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum kind { KIND_FLAG, KIND_STRING, KIND_NUMBER };

/* Every option of every command; the same name means the same thing everywhere. */
static const struct option_spec {
	unsigned bit;
	enum kind kind;
	size_t offset; /* in struct args */
	const char *name, *argument, *help;
} specs[] = {
        {OPTION_FROM, KIND_STRING, offsetof(struct args, from), "from", "KEY",
         "only keys at or after KEY"},
        {OPTION_TO, KIND_STRING, offsetof(struct args, to), "to", "KEY", "only keys before KEY"},
        {OPTION_PREFIX, KIND_STRING, offsetof(struct args, prefix), "prefix", "KEY",
         "only keys that begin with KEY"},
        {OPTION_LIMIT, KIND_NUMBER, offsetof(struct args, limit), "limit", "N",
         "stop after N entries"},
        {OPTION_REVERSE, KIND_FLAG, offsetof(struct args, reverse), "reverse", NULL,
         "from the last key to the first"},
        {OPTION_KEYS_ONLY, KIND_FLAG, offsetof(struct args, keys_only), "keys-only", NULL,
         "print the keys without the values"},
        {OPTION_COUNT, KIND_FLAG, offsetof(struct args, count), "count", NULL,
         "print only how many entries there are"},
        {OPTION_HEX, KIND_FLAG, offsetof(struct args, hex), "hex", NULL,
         "keys and values in hexadecimal, as arguments and in the output"},
        {OPTION_RAW, KIND_FLAG, offsetof(struct args, raw), "raw", NULL,
         "write the value's bytes as they are, without a newline"},
        {OPTION_VALUE_FILE, KIND_STRING, offsetof(struct args, value_file), "value-file", "FILE",
         "the value is the content of FILE, - for standard input"},
        {OPTION_CREATE, KIND_FLAG, offsetof(struct args, create), "create", NULL,
         "make the database if it does not exist"},
        {OPTION_KEY, KIND_STRING, offsetof(struct args, key_field), "key", "FIELD",
         "the field that is the key; default: first column, or \"id\""},
        {OPTION_FORMAT, KIND_STRING, offsetof(struct args, format), "format", "FORMAT",
         "csv or ndjson; default: from the file's name"},
        {OPTION_SKIP_BAD, KIND_FLAG, offsetof(struct args, skip_bad), "skip-bad", NULL,
         "leave bad lines out instead of importing nothing"},
        {OPTION_PROGRESS, KIND_FLAG, offsetof(struct args, progress), "progress", NULL,
         "show progress even if standard error is not a terminal"},
};

#define SPECS (sizeof specs / sizeof *specs)
#define CODE_HELP 'h'
#define CODE_FIRST 256 /* getopt_long's answer for specs[0]; beyond every character */

int args_fault(const char *command, const char *format, ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	report("%s: %s\nTry 'kvtool %s --help'.", command, message, command);
	return EXIT_USAGE;
}

/* The options of the command for getopt_long, and a zero entry at the end. */
static void fill_options(const struct command *command, struct option options[SPECS + 2])
{
	size_t n = 0;

	options[n++] = (struct option){"help", no_argument, NULL, CODE_HELP};
	for (size_t i = 0; i < SPECS; i++) {
		int takes = specs[i].kind == KIND_FLAG ? no_argument : required_argument;

		if (command->options & specs[i].bit)
			options[n++] = (struct option){specs[i].name, takes, NULL,
			                               CODE_FIRST + (int)i};
	}
	options[n] = (struct option){NULL, 0, NULL, 0};
}

static bool set_option(const struct command *command, const struct option_spec *spec,
                       const char *argument, struct args *args)
{
	char *field = (char *)args + spec->offset;
	const bool yes = true;

	switch (spec->kind) {
	case KIND_FLAG: memcpy(field, &yes, sizeof yes); return true;
	case KIND_STRING: memcpy(field, &argument, sizeof argument); return true;
	case KIND_NUMBER: break;
	}
	if (text_parse_number(argument, (uint64_t *)(void *)field))
		return true;
	args_fault(command->name, "--%s wants a number, not '%s'", spec->name, argument);
	return false;
}

static bool check_operands(const struct command *command, const struct args *args)
{
	if (args->operand_count < command->least)
		args_fault(command->name, "wants %s", command->operands);
	else if (command->most >= 0 && args->operand_count > command->most)
		args_fault(command->name, "too many arguments: '%s'",
		           args->operands[command->most]);
	else
		return true;
	return false;
}

bool args_parse(const struct command *command, int argc, char **argv, struct args *args)
{
	struct option options[SPECS + 2];
	int code;

	*args = (struct args){.limit = UINT64_MAX};
	fill_options(command, options);
	opterr = 0; /* getopt would call this program by the command's name */
	while ((code = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (code == CODE_HELP) {
			args->help = true;
			return true;
		}
		if (code == ':' || code == '?') {
			args_fault(command->name, "%s '%s'",
			           code == ':' ? "a value is missing after" : "unknown option",
			           argv[optind - 1]);
			return false;
		}
		if (!set_option(command, &specs[code - CODE_FIRST], optarg, args))
			return false;
	}
	args->operands = (const char *const *)(argv + optind);
	args->operand_count = argc - optind;
	return check_operands(command, args);
}

void args_help(const struct command *command)
{
	char left[64];

	output_format("Usage: kvtool %s [OPTION]... %s\n\n%s\n\nOptions:\n", command->name,
	              command->operands, command->about);
	for (size_t i = 0; i < SPECS; i++) {
		const struct option_spec *spec = &specs[i];

		if (!(command->options & spec->bit))
			continue;
		snprintf(left, sizeof left, "--%s%s%s", spec->name, spec->argument ? " " : "",
		         spec->argument ? spec->argument : "");
		output_format("  %-20s  %s\n", left, spec->help);
	}
	output_format("  %-20s  %s\n\nExample:\n%s\n", "--help", "print this and end",
	              command->example);
}
