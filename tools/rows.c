#include "tools/rows.h"
#include "tools/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void skip_byte_order_mark(struct input *input)
{
	if (input->size >= 3 && !memcmp(input->data, "\xEF\xBB\xBF", 3))
		input_take(input, 3);
}

int rows_open(struct rows *rows, enum rows_format format, const char *path, const char *key_field)
{
	int code;

	*rows = (struct rows){.format = format, .key_field = key_field, .next_line = 1};
	code = input_open(&rows->input, path, ROWS_MAX_SIZE);
	if (!code)
		code = input_more(&rows->input);
	if (code)
		return code;
	skip_byte_order_mark(&rows->input);
	return format == ROWS_CSV ? rows_csv_header(rows) : EXIT_OK;
}

void rows_close(struct rows *rows)
{
	input_close(&rows->input);
	csv_free(&rows->record);
	buffer_free(&rows->names);
	buffer_free(&rows->object);
	free(rows->name_ends);
	json_decref(rows->json);
}

enum rows_status rows_bad(struct rows *rows, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(rows->problem, sizeof rows->problem, format, args);
	va_end(args);
	return ROWS_BAD;
}

enum rows_status rows_next(struct rows *rows)
{
	enum rows_status status;

	status = rows->format == ROWS_CSV ? rows_csv_next(rows) : rows_ndjson_next(rows);
	if (status == ROWS_OK && !rows->key.size)
		return rows_bad(rows, "the key is empty");
	return status;
}
