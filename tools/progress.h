/* Progress of something long, on standard error, from one second after its start: on one line that
 * overwrites itself or, where that is no terminal and --progress was given, a line a second. */
#ifndef KV_TOOLS_PROGRESS_H
#define KV_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *verb;             /* "importing" */
	bool wanted, terminal, shown; /* shown: there is a line to wipe */
	uint64_t started, last;       /* microseconds, CLOCK_MONOTONIC */
};

/* forced: --progress. verb must outlive the progress. */
void progress_start(struct progress *progress, const char *verb, bool forced);

/* done of total, in any unit; total 0: unknown, and done is shown as it is. Costs a look at the
 * clock, so call it every some thousand steps. Returns whether the user wants to stop. */
bool progress_tick(struct progress *progress, uint64_t done, uint64_t total);

/* A last phase that cannot tell how far it is. Shown at once unless everything has been quick. */
void progress_phase(struct progress *progress, const char *verb);

/* Wipes the line. */
void progress_end(struct progress *progress);

/* Seconds since the start. */
double progress_seconds(const struct progress *progress);

/* kv_progress: arg is a struct progress. */
int progress_callback(void *arg, uint64_t done, uint64_t total);

#endif
