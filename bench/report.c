/* Collecting samples; medians and ratios. */
#include "bench/report.h"

#include <stdlib.h>
#include <string.h>

#include "bench/harness.h"

struct report_row *report_row(struct report *report, const char *name, const char *unit)
{
	for (unsigned i = 0; i < report->row_count; i++)
		if (strcmp(report->rows[i].name, name) == 0)
			return &report->rows[i];
	if (report->row_count == REPORT_MAX_ROWS)
		harness_fail("too many rows in the report");
	struct report_row *row = &report->rows[report->row_count++];
	snprintf(row->name, sizeof(row->name), "%s", name);
	snprintf(row->unit, sizeof(row->unit), "%s", unit);
	return row;
}

void report_add(struct report *report, struct report_row *row, unsigned engine, double value)
{
	struct report_cell *cell = &row->cells[engine];
	char number[32];

	if (cell->count == REPORT_MAX_SAMPLES)
		harness_fail("too many samples of %s", row->name);
	cell->samples[cell->count++] = value;
	report_number(number, sizeof(number), value);
	harness_progress("%-36s %-6s %10s %s", row->name, report->engines[engine]->name, number,
	                 row->unit);
}

static int compare(const void *a, const void *b)
{
	double x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

struct report_summary report_summarize(const struct report_cell *cell)
{
	double sorted[REPORT_MAX_SAMPLES];
	unsigned n = cell->count;

	memcpy(sorted, cell->samples, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), compare);
	return (struct report_summary){
	        .median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2,
	        .min = sorted[0],
	        .max = sorted[n - 1],
	};
}

double report_ratio(const struct report *report, const struct report_row *row)
{
	double worst = 0;

	if (!row->cells[0].count)
		return 0;
	double ours = report_summarize(&row->cells[0]).median;
	for (unsigned e = 1; e < report->engine_count; e++) {
		if (!row->cells[e].count)
			continue;
		double theirs = report_summarize(&row->cells[e]).median;
		if (ours <= 0 || theirs <= 0)
			return 0;
		double ratio = row->better == REPORT_LOWER ? theirs / ours : ours / theirs;
		if (worst <= 0 || ratio < worst)
			worst = ratio;
	}
	return worst;
}

static void group_thousands(char *text, size_t size)
{
	size_t length = strlen(text);

	for (size_t i = strcspn(text, "."); i > 3 && length + 2 <= size; i -= 3) {
		memmove(text + i - 2, text + i - 3, length - (i - 3) + 1);
		text[i - 3] = ',';
		length++;
	}
}

void report_number(char *text, size_t size, double value)
{
	int decimals = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;

	snprintf(text, size, "%.*f", decimals, value);
	group_thousands(text, size);
}

void report_count(char *text, size_t size, uint64_t count)
{
	snprintf(text, size, "%llu", (unsigned long long)count);
	group_thousands(text, size);
}
