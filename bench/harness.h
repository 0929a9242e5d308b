/* What every part of the benchmark needs: the clock, and a loud end. */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdint.h>

/* Nanoseconds of the monotonic clock. */
uint64_t harness_now(void);

/* Milliseconds between two readings of the clock. */
double harness_ms(uint64_t from, uint64_t to);

/* Says on stderr what went wrong and exits with status 1. A benchmark whose engine fails, or
 * answers wrongly, has no result. */
void harness_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* One line on stderr, unless progress was switched off. */
void harness_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void harness_quiet(void);

/* Memory of the given size, never NULL. */
void *harness_alloc(uint64_t size);

#endif
