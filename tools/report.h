/* Exit codes, messages on stderr, and signals that ask kvtool to stop. */
#ifndef KV_TOOLS_REPORT_H
#define KV_TOOLS_REPORT_H

#include <stdbool.h>

enum exit_code {
	EXIT_OK = 0,
	EXIT_NEGATIVE = 1, /* the answer is no: key not found, check found faults */
	EXIT_USAGE = 2,    /* the command line makes no sense */
	EXIT_DATABASE = 3, /* the database said no, no such table included */
	EXIT_INPUT = 4,    /* an input file cannot be read, or has bad lines */
	EXIT_OUTPUT = 5,   /* the output could not be written */
};

/* Prints "kvtool: MESSAGE" and a newline to stderr. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reports what the library answered: "kvtool: SUBJECT: STORY". SUBJECT is what the user named.
 * Silent if the user interrupted the command. Returns EXIT_DATABASE. */
int report_status(int rc, const char *subject);

/* kv_options.log: warnings and errors of the library go to stderr as well. */
void report_log(void *arg, int level, const char *line);

/* Makes SIGINT, SIGTERM and SIGHUP set a flag, so that a transaction is dropped, and a half-written
 * copy removed, before kvtool ends. The second such signal kills at once. SIGPIPE is ignored:
 * writing to a closed pipe fails instead. */
void interrupt_catch(void);

/* True once such a signal has come. */
bool interrupted(void);

/* Ends the process the way the caught signal would have; returns if there was none. */
void interrupt_finish(void);

#endif
