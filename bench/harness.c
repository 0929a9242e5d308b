/* The clock, failing, progress. */
#include "bench/harness.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static bool quiet;

uint64_t harness_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

double harness_ms(uint64_t from, uint64_t to)
{
	return (double)(to - from) / 1e6;
}

void harness_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("kvbench: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void harness_quiet(void)
{
	quiet = true;
}

void harness_progress(const char *format, ...)
{
	va_list args;

	if (quiet)
		return;
	va_start(args, format);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

void *harness_alloc(uint64_t size)
{
	void *p = calloc(1, size);

	if (!p)
		harness_fail("out of memory for %llu bytes", (unsigned long long)size);
	return p;
}
