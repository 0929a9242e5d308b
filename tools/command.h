/* A command of kvtool: what it accepts, its help, and the function that does it. */
#ifndef KV_TOOLS_COMMAND_H
#define KV_TOOLS_COMMAND_H

#include "tools/args.h"

struct command {
	const char *name;
	const char *operands; /* as the usage line shows them */
	const char *summary;  /* one line for `kvtool help` */
	const char *about;    /* the paragraphs of `kvtool NAME --help` */
	const char *example;  /* command lines, indented by two spaces */
	int least, most;      /* number of operands; most -1: any */
	unsigned options;     /* the union of enum option_bit accepted, --help aside */
	/* Runs it with operands and options that fit the above; returns an enum exit_code. */
	int (*run)(const struct args *args);
};

extern const struct command command_info, command_tables, command_get, command_put, command_del,
        command_scan, command_count, command_import, command_copy, command_check;

#endif
