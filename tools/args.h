/* The command line of one command: options and operands, checked and ready for use. */
#ifndef KV_TOOLS_ARGS_H
#define KV_TOOLS_ARGS_H

#include <stdbool.h>
#include <stdint.h>

enum option_bit {
	OPTION_FROM = 1 << 0,
	OPTION_TO = 1 << 1,
	OPTION_PREFIX = 1 << 2,
	OPTION_RANGE = OPTION_FROM | OPTION_TO | OPTION_PREFIX,
	OPTION_LIMIT = 1 << 3,
	OPTION_REVERSE = 1 << 4,
	OPTION_KEYS_ONLY = 1 << 5,
	OPTION_COUNT = 1 << 6,
	OPTION_HEX = 1 << 7,
	OPTION_RAW = 1 << 8,
	OPTION_VALUE_FILE = 1 << 9,
	OPTION_CREATE = 1 << 10,
	OPTION_KEY = 1 << 11,
	OPTION_FORMAT = 1 << 12,
	OPTION_SKIP_BAD = 1 << 13,
	OPTION_PROGRESS = 1 << 14,
};

/* Strings belong to argv; NULL and zero where nothing was given. */
struct args {
	const char *from, *to, *prefix;
	const char *value_file;
	const char *key_field;
	const char *format;
	uint64_t limit; /* entries; UINT64_MAX: no limit */
	bool reverse, keys_only, count, hex, raw, create, skip_bad, progress;
	bool help;                   /* only print the help */
	const char *const *operands; /* what is not an option, NULL at the end */
	int operand_count;
};

struct command;

/* Reads argv, of which argv[0] is the command's name, and sorts the operands to its end. False if
 * it does not fit the command; that has been reported then. */
bool args_parse(const struct command *command, int argc, char **argv, struct args *args);

/* Prints the whole help of a command to standard output. */
void args_help(const struct command *command);

/* Reports a fault in the command line. Returns EXIT_USAGE. */
int args_fault(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
