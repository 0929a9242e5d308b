/* The results: rows of one measurement each, with the samples of every engine. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/engine.h"
#include "bench/limits.h"
#include "bench/machine.h"

#define REPORT_MAX_ENGINES 8
#define REPORT_MAX_SAMPLES 64
#define REPORT_MAX_ROWS 96

enum report_better { REPORT_LOWER, REPORT_HIGHER };

struct report_cell {
	double samples[REPORT_MAX_SAMPLES];
	unsigned count;
};

struct report_row {
	char name[64];
	char detail[64]; /* what is counted: "1,000,000 gets" */
	char unit[16];
	enum report_better better;
	double limit; /* physical limit in the row's unit, or 0 */
	struct report_cell cells[REPORT_MAX_ENGINES];
};

struct report {
	struct machine machine;
	struct limits limits;
	uint64_t entries, seed;
	unsigned engine_count;
	const struct engine *engines[REPORT_MAX_ENGINES]; /* the first is judged against the rest */
	unsigned row_count;
	struct report_row rows[REPORT_MAX_ROWS];
};

/* The row of that name, made at its first use. */
struct report_row *report_row(struct report *report, const char *name, const char *unit);

/* Adds a sample, and tells of it as progress. */
void report_add(struct report *report, struct report_row *row, unsigned engine, double value);

struct report_summary {
	double median, min, max;
};

/* Of a cell with at least one sample. */
struct report_summary report_summarize(const struct report_cell *cell);

/* How many times better the first engine is than the best of the others; 0 if there is nothing to
 * compare. */
double report_ratio(const struct report *report, const struct report_row *row);

/* A number for reading, three digits or more: "18,310", "91.2", "0.043". */
void report_number(char *text, size_t size, double value);

/* A count for reading: "1,000,000", "5". */
void report_count(char *text, size_t size, uint64_t count);

void report_print_text(const struct report *report, FILE *out);
void report_print_markdown(const struct report *report, FILE *out);
void report_print_json(const struct report *report, FILE *out);

#endif
