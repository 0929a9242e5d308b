#include "tools/progress.h"
#include "tools/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000u /* microseconds */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec / 1000;
}

void progress_start(struct progress *progress, const char *verb, bool forced)
{
	*progress = (struct progress){.verb = verb, .terminal = isatty(STDERR_FILENO)};
	progress->wanted = forced || progress->terminal;
	progress->started = progress->last = now();
}

static void show(struct progress *progress, const char *text)
{
	if (progress->terminal)
		fprintf(stderr, "\r\033[K%s%s", progress->verb, text);
	else
		fprintf(stderr, "%s%s\n", progress->verb, text);
	fflush(stderr);
	progress->shown = true;
}

bool progress_tick(struct progress *progress, uint64_t done, uint64_t total)
{
	const uint64_t pause = progress->terminal && progress->shown ? SECOND / 4 : SECOND;
	uint64_t time;
	char text[64];

	if (!progress->wanted)
		return interrupted();
	time = now();
	if (time - progress->last < pause)
		return interrupted();
	progress->last = time;
	if (total)
		snprintf(text, sizeof text, " %.1f %%", 100.0 * (double)done / (double)total);
	else
		snprintf(text, sizeof text, " %" PRIu64, done);
	show(progress, text);
	return interrupted();
}

void progress_phase(struct progress *progress, const char *verb)
{
	progress->verb = verb;
	if (progress->wanted && now() - progress->started > SECOND / 4)
		show(progress, " ...");
}

void progress_end(struct progress *progress)
{
	if (progress->shown && progress->terminal)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}

double progress_seconds(const struct progress *progress)
{
	return (double)(now() - progress->started) / SECOND;
}

int progress_callback(void *arg, uint64_t done, uint64_t total)
{
	return progress_tick(arg, done, total);
}
