/* Rows of newline-delimited JSON: one object on each line, stored as it is written there, so that
 * numbers keep every digit. jansson judges it and finds the key. */
#include "tools/report.h"
#include "tools/rows.h"

#include <stdio.h>
#include <string.h>

/* Finds the next line's end. It stays in the input until it is taken. */
static enum rows_status find_line(struct rows *rows, size_t *size)
{
	struct input *input = &rows->input;

	rows->line = rows->next_line++;
	for (;;) {
		const char *end = input->size ? memchr(input->data, '\n', input->size) : NULL;

		*size = end ? (size_t)(end - input->data) : input->size;
		if (end || (input->ended && input->size))
			return ROWS_OK;
		if (input->ended)
			return ROWS_END;
		if (input->full) {
			rows_bad(rows, "longer than %zu bytes", ROWS_MAX_SIZE);
			return input_skip_line(input) ? ROWS_FAILED : ROWS_BAD;
		}
		if (input_more(input))
			return ROWS_FAILED;
	}
}

/* JSON's white space only: anything else is jansson's to judge. */
static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the next line that is not blank off the input; text is without the space around it. */
static enum rows_status next_line(struct rows *rows, kv_slice *text)
{
	for (;;) {
		size_t size;
		enum rows_status status = find_line(rows, &size);
		const char *start, *end;

		if (status)
			return status;
		start = rows->input.data;
		end = start + size;
		input_take(&rows->input, size + (size < rows->input.size));
		while (start < end && is_space(*start))
			start++;
		while (start < end && is_space(end[-1]))
			end--;
		*text = kv_bytes(start, (size_t)(end - start));
		if (text->size)
			return ROWS_OK;
	}
}

/* Integers beyond 64 bits are fine anywhere but in the key, since what is stored is the text; but
 * jansson takes them only if it may read every integer as a real number. */
static json_t *load(kv_slice text, json_error_t *error)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
	json_t *json = json_loadb(text.data, text.size, flags, error);

	if (!json && json_error_code(error) == json_error_numeric_overflow)
		json = json_loadb(text.data, text.size, flags | JSON_DECODE_INT_AS_REAL, error);
	return json;
}

/* The key as an integer, also where it was read as a real number that is exactly one. */
static bool integer_key(const json_t *key, json_int_t *integer)
{
	const double exact = 9007199254740992.0; /* 2^53: integers below have no neighbours lost */
	double real = json_real_value(key);

	if (json_is_integer(key)) {
		*integer = json_integer_value(key);
		return true;
	}
	if (!json_is_real(key) || real <= -exact || real >= exact)
		return false;
	*integer = (json_int_t)real;
	return (double)*integer == real;
}

static enum rows_status find_key(struct rows *rows)
{
	const char *name = rows->key_field ? rows->key_field : "id";
	const json_t *key = json_object_get(rows->json, name);
	json_int_t integer;

	if (!key)
		return rows_bad(rows, "no field \"%s\"", name);
	if (json_is_string(key)) {
		rows->key = kv_bytes(json_string_value(key), json_string_length(key));
		return ROWS_OK;
	}
	if (!integer_key(key, &integer))
		return rows_bad(rows, "\"%s\" is neither a string nor a 64-bit integer", name);
	snprintf(rows->number, sizeof rows->number, "%" JSON_INTEGER_FORMAT, integer);
	rows->key = kv_bytes(rows->number, strlen(rows->number));
	return ROWS_OK;
}

enum rows_status rows_ndjson_next(struct rows *rows)
{
	enum rows_status status = next_line(rows, &rows->value);
	json_error_t error;

	if (status)
		return status;
	json_decref(rows->json);
	rows->json = load(rows->value, &error);
	if (!rows->json)
		return rows_bad(rows, "%s", error.text);
	if (!json_is_object(rows->json))
		return rows_bad(rows, "not a JSON object");
	return find_key(rows);
}
