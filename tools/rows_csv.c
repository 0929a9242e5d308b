/* Rows of a CSV file: its first record names the columns; each later one becomes a JSON object of
 * strings, since CSV has no types. */
#include "tools/report.h"
#include "tools/rows.h"
#include "tools/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum rows_status no_memory(void)
{
	report("out of memory");
	return ROWS_FAILED;
}

/* Passes over the line on which a row began that cannot be told from what follows it. */
static enum rows_status skip_broken(struct rows *rows)
{
	rows->next_line++;
	return input_skip_line(&rows->input) ? ROWS_FAILED : ROWS_BAD;
}

/* Reads the next record, blank or not. It stays in the input until it is taken. */
static enum rows_status read_record(struct rows *rows)
{
	struct input *input = &rows->input;

	rows->line = rows->next_line;
	for (;;) {
		enum csv_status status = CSV_MORE;

		if (!input->size && input->ended)
			return ROWS_END;
		if (input->size)
			status = csv_split(input->data, input->size, input->ended, &rows->record);
		if (status == CSV_OK)
			return ROWS_OK;
		if (status == CSV_NOMEM)
			return no_memory();
		if (status == CSV_BAD)
			rows_bad(rows, "%s", rows->record.problem);
		else if (input->full)
			rows_bad(rows, "longer than %zu bytes (is a quote not closed?)",
			         ROWS_MAX_SIZE);
		if (status == CSV_BAD || input->full)
			return skip_broken(rows);
		if (input_more(input))
			return ROWS_FAILED;
	}
}

/* Takes the record off the input. Its bytes stay where they are until more is read. */
static void take_record(struct rows *rows)
{
	rows->next_line += rows->record.lines;
	input_take(&rows->input, rows->record.size);
	csv_unescape(&rows->record);
}

/* Reads the next record that is not an empty line, and takes it. */
static enum rows_status next_record(struct rows *rows)
{
	for (;;) {
		enum rows_status status = read_record(rows);
		bool blank;

		if (status)
			return status;
		blank = rows->input.data[0] == '\n' || rows->input.data[0] == '\r';
		blank = blank && rows->record.count == 1 && !rows->record.fields[0].size;
		take_record(rows);
		if (!blank)
			return ROWS_OK;
	}
}

static bool same(const struct csv_field *field, const char *data, size_t size)
{
	return field->size == size && (!size || !memcmp(field->data, data, size));
}

static int find_key_column(struct rows *rows)
{
	const struct csv_record *header = &rows->record;

	if (!rows->key_field)
		return EXIT_OK; /* the first */
	for (size_t i = 0; i < header->count; i++)
		if (same(&header->fields[i], rows->key_field, strlen(rows->key_field))) {
			rows->key_column = i;
			return EXIT_OK;
		}
	report("%s: no column '%s' in the header", rows->input.name, rows->key_field);
	return EXIT_USAGE;
}

static int compare_fields(const void *left, const void *right)
{
	const struct csv_field *a = left, *b = right;

	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return a->size ? memcmp(a->data, b->data, a->size) : 0;
}

/* Sorts the header's fields to find two alike; they are not needed in their order any more. */
static int check_names(struct rows *rows)
{
	struct csv_field *fields = rows->record.fields;

	for (size_t i = 0; i < rows->columns; i++)
		if (!text_is_utf8(fields[i].data, fields[i].size)) {
			report("%s:%" PRIu64 ": the header is not valid UTF-8", rows->input.name,
			       rows->line);
			return EXIT_INPUT;
		}
	qsort(fields, rows->columns, sizeof *fields, compare_fields);
	for (size_t i = 1; i < rows->columns; i++)
		if (!compare_fields(&fields[i - 1], &fields[i])) {
			report("%s:%" PRIu64 ": two columns are named '%.*s'", rows->input.name,
			       rows->line, (int)fields[i].size, fields[i].data);
			return EXIT_INPUT;
		}
	return EXIT_OK;
}

/* Writes each column's name down the way it will stand in every object. */
static bool keep_names(struct rows *rows)
{
	const struct csv_field *fields = rows->record.fields;

	rows->columns = rows->record.count;
	rows->name_ends = calloc(rows->columns, sizeof *rows->name_ends);
	if (!rows->name_ends)
		return false;
	for (size_t i = 0; i < rows->columns; i++) {
		if (!buffer_add(&rows->names, i ? "," : "{", 1) ||
		    !json_add_string(&rows->names, fields[i].data, fields[i].size) ||
		    !buffer_add(&rows->names, ":", 1))
			return false;
		rows->name_ends[i] = rows->names.size;
	}
	return true;
}

int rows_csv_header(struct rows *rows)
{
	enum rows_status status = next_record(rows);
	int code;

	if (status == ROWS_BAD)
		report("%s:%" PRIu64 ": %s", rows->input.name, rows->line, rows->problem);
	else if (status == ROWS_END)
		report("%s: a header with the columns' names is missing", rows->input.name);
	if (status)
		return EXIT_INPUT;
	code = find_key_column(rows);
	if (code)
		return code;
	if (!keep_names(rows)) {
		no_memory();
		return EXIT_INPUT;
	}
	return check_names(rows);
}

static bool make_object(struct rows *rows)
{
	const struct csv_field *fields = rows->record.fields;
	size_t name = 0;

	rows->object.size = 0;
	for (size_t i = 0; i < rows->columns; i++) {
		if (!buffer_add(&rows->object, rows->names.data + name,
		                rows->name_ends[i] - name) ||
		    !json_add_string(&rows->object, fields[i].data, fields[i].size))
			return false;
		name = rows->name_ends[i];
	}
	return buffer_add(&rows->object, "}", 1);
}

enum rows_status rows_csv_next(struct rows *rows)
{
	enum rows_status status = next_record(rows);
	const struct csv_field *key;

	if (status)
		return status;
	if (rows->record.count != rows->columns)
		return rows_bad(rows, "%zu fields, but the header has %zu", rows->record.count,
		                rows->columns);
	if (!make_object(rows))
		return no_memory();
	if (!text_is_utf8(rows->object.data, rows->object.size))
		return rows_bad(rows, "not valid UTF-8");
	key = &rows->record.fields[rows->key_column];
	rows->key = kv_bytes(key->data, key->size);
	rows->value = kv_bytes(rows->object.data, rows->object.size);
	return ROWS_OK;
}
