/* The report as aligned text, as Markdown, and as JSON. The first two print the same cells. */
#include <stdlib.h>
#include <string.h>

#include "bench/harness.h"
#include "bench/report.h"

#define CELL_BYTES 112
#define TEXT_BYTES 512
#define MAX_COLUMNS (REPORT_MAX_ENGINES + 6)
#define FIRST_NUMBER 3 /* columns from this one on are aligned to the right */

struct table {
	unsigned columns, rows;
	char cells[REPORT_MAX_ROWS + 1][MAX_COLUMNS][CELL_BYTES]; /* row 0 is the heading */
};

static void put_number(char *cell, double value)
{
	if (value > 0)
		report_number(cell, CELL_BYTES, value);
	else
		snprintf(cell, CELL_BYTES, "-");
}

static void put_samples(char *cell, const struct report_cell *samples)
{
	char median[32], min[32], max[32];

	if (!samples->count) {
		snprintf(cell, CELL_BYTES, "-");
		return;
	}
	struct report_summary s = report_summarize(samples);
	report_number(median, sizeof(median), s.median);
	report_number(min, sizeof(min), s.min);
	report_number(max, sizeof(max), s.max);
	if (samples->count == 1)
		snprintf(cell, CELL_BYTES, "%s", median);
	else
		snprintf(cell, CELL_BYTES, "%s (%s..%s)", median, min, max);
}

static void fill_heading(struct table *table, const struct report *report)
{
	unsigned c = FIRST_NUMBER;

	snprintf(table->cells[0][0], CELL_BYTES, "workload");
	snprintf(table->cells[0][1], CELL_BYTES, "what");
	snprintf(table->cells[0][2], CELL_BYTES, "unit");
	for (unsigned e = 0; e < report->engine_count; e++)
		snprintf(table->cells[0][c++], CELL_BYTES, "%s", report->engines[e]->name);
	if (report->engine_count > 1)
		snprintf(table->cells[0][c++], CELL_BYTES, "ratio");
	snprintf(table->cells[0][c++], CELL_BYTES, "limit");
	snprintf(table->cells[0][c++], CELL_BYTES, "%s/limit", report->engines[0]->name);
	table->columns = c;
}

static void fill_row(char (*cells)[CELL_BYTES], const struct report *report,
                     const struct report_row *row)
{
	unsigned c = FIRST_NUMBER;
	double ours = row->cells[0].count ? report_summarize(&row->cells[0]).median : 0;

	snprintf(cells[0], CELL_BYTES, "%s", row->name);
	snprintf(cells[1], CELL_BYTES, "%s", row->detail);
	snprintf(cells[2], CELL_BYTES, "%s%s", row->unit,
	         row->better == REPORT_HIGHER ? ", more is better" : "");
	for (unsigned e = 0; e < report->engine_count; e++)
		put_samples(cells[c++], &row->cells[e]);
	if (report->engine_count > 1)
		put_number(cells[c++], report_ratio(report, row));
	put_number(cells[c++], row->limit);
	put_number(cells[c], row->limit > 0 ? ours / row->limit : 0);
}

static struct table *make_table(const struct report *report)
{
	struct table *table = harness_alloc(sizeof(*table));

	fill_heading(table, report);
	for (unsigned r = 0; r < report->row_count; r++)
		fill_row(table->cells[r + 1], report, &report->rows[r]);
	table->rows = report->row_count + 1;
	return table;
}

static void print_head(const struct report *report, const char *bullet, FILE *out)
{
	const struct machine *m = &report->machine;
	const struct limits *l = &report->limits;
	char entries[32], text[TEXT_BYTES];

	report_count(entries, sizeof(entries), report->entries);
	fprintf(out, "%smachine: %s, %u cores, %.1f GiB of memory, %s, %s, %s\n", bullet, m->cpu,
	        m->cores, m->memory_gib, m->file_system, m->kernel, m->date);
	fprintf(out,
	        "%slimits measured: flush %.0f us; memory access %.0f ns; memory read %.1f GB/s; "
	        "file write %.2f GB/s\n",
	        bullet, l->flush_us, l->miss_ns, l->read_gb_s, l->write_gb_s);
	fprintf(out, "%sdata: %s entries, keys of 24 and values of 150 random bytes, seed %llu\n",
	        bullet, entries, (unsigned long long)report->seed);
	for (unsigned e = 0; e < report->engine_count; e++) {
		report->engines[e]->describe(text, sizeof(text));
		fprintf(out, "%s%s: %s\n", bullet, report->engines[e]->name, text);
	}
	fprintf(out, "%sfigures: median (min..max)%s; times until durable\n", bullet,
	        report->engine_count > 1
	                ? "; ratio: against the best peer, over 1 = the first is better"
	                : "");
}

static void column_widths(const struct table *table, int *widths)
{
	for (unsigned c = 0; c < table->columns; c++) {
		widths[c] = 0;
		for (unsigned r = 0; r < table->rows; r++) {
			int n = (int)strlen(table->cells[r][c]);
			widths[c] = n > widths[c] ? n : widths[c];
		}
	}
}

void report_print_text(const struct report *report, FILE *out)
{
	struct table *table = make_table(report);
	int widths[MAX_COLUMNS] = {0};

	print_head(report, "", out);
	fputc('\n', out);
	column_widths(table, widths);
	for (unsigned r = 0; r < table->rows; r++) {
		for (unsigned c = 0; c < table->columns; c++)
			fprintf(out, "%s%*s", c ? "  " : "",
			        c >= FIRST_NUMBER ? widths[c] : -widths[c], table->cells[r][c]);
		fputc('\n', out);
	}
	free(table);
}

void report_print_markdown(const struct report *report, FILE *out)
{
	struct table *table = make_table(report);

	print_head(report, "- ", out);
	fputc('\n', out);
	for (unsigned r = 0; r < table->rows; r++) {
		for (unsigned c = 0; c < table->columns; c++)
			fprintf(out, "| %s ", table->cells[r][c]);
		fputs("|\n", out);
		for (unsigned c = 0; r == 0 && c < table->columns; c++)
			fputs(c >= FIRST_NUMBER ? "|--:" : "|---", out);
		fputs(r == 0 ? "|\n" : "", out);
	}
	free(table);
}

static void print_json_string(FILE *out, const char *before, const char *text)
{
	fprintf(out, "%s\"", before);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
	fputc('"', out);
}

static void print_json_row(const struct report *report, const struct report_row *row, FILE *out)
{
	print_json_string(out, "    {\"workload\": ", row->name);
	print_json_string(out, ", \"what\": ", row->detail);
	print_json_string(out, ", \"unit\": ", row->unit);
	fprintf(out, ", \"better\": \"%s\", \"limit\": %.6g, \"ratio\": %.6g, \"samples\": {",
	        row->better == REPORT_LOWER ? "lower" : "higher", row->limit,
	        report_ratio(report, row));
	for (unsigned e = 0; e < report->engine_count; e++) {
		const struct report_cell *cell = &row->cells[e];
		print_json_string(out, e ? ", " : "", report->engines[e]->name);
		fputs(": [", out);
		for (unsigned i = 0; i < cell->count; i++)
			fprintf(out, "%s%.6g", i ? ", " : "", cell->samples[i]);
		fputc(']', out);
	}
	fputs("}}", out);
}

static void print_json_machine(const struct report *report, FILE *out)
{
	const struct machine *m = &report->machine;
	const struct limits *l = &report->limits;

	print_json_string(out, "  \"machine\": {\"cpu\": ", m->cpu);
	fprintf(out, ", \"cores\": %u, \"memory_gib\": %.2f", m->cores, m->memory_gib);
	print_json_string(out, ", \"file_system\": ", m->file_system);
	print_json_string(out, ", \"kernel\": ", m->kernel);
	print_json_string(out, ", \"date\": ", m->date);
	fprintf(out,
	        "},\n  \"limits\": {\"flush_us\": %.2f, \"miss_ns\": %.2f, \"read_gb_s\": %.3f, "
	        "\"write_gb_s\": %.3f},\n",
	        l->flush_us, l->miss_ns, l->read_gb_s, l->write_gb_s);
}

void report_print_json(const struct report *report, FILE *out)
{
	char text[TEXT_BYTES];

	fputs("{\n", out);
	print_json_machine(report, out);
	fprintf(out, "  \"entries\": %llu, \"seed\": %llu,\n  \"engines\": {",
	        (unsigned long long)report->entries, (unsigned long long)report->seed);
	for (unsigned e = 0; e < report->engine_count; e++) {
		report->engines[e]->describe(text, sizeof(text));
		print_json_string(out, e ? ", " : "", report->engines[e]->name);
		print_json_string(out, ": ", text);
	}
	fputs("},\n  \"rows\": [\n", out);
	for (unsigned r = 0; r < report->row_count; r++) {
		print_json_row(report, &report->rows[r], out);
		fputs(r + 1 < report->row_count ? ",\n" : "\n", out);
	}
	fputs("  ]\n}\n", out);
}
