#include "tools/csv.h"

#include <stdlib.h>
#include <string.h>

static enum csv_status bad(struct csv_record *record, const char *problem)
{
	record->problem = problem;
	return CSV_BAD;
}

static enum csv_status add_field(struct csv_record *record, char *data, size_t size, bool doubled)
{
	if (record->count == CSV_MAX_FIELDS)
		return bad(record, "more than 65535 fields");
	if (record->count == record->capacity) {
		size_t larger = record->capacity ? 2 * record->capacity : 16;
		struct csv_field *fields = realloc(record->fields, larger * sizeof *fields);

		if (!fields)
			return CSV_NOMEM;
		record->fields = fields;
		record->capacity = larger;
	}
	record->fields[record->count++] = (struct csv_field){data, size, doubled};
	return CSV_OK;
}

/* The field without quotes at *at; leaves *at at the comma or line feed behind it, or at size. */
static enum csv_status split_plain(char *text, size_t size, bool last, size_t *at,
                                   struct csv_record *record)
{
	size_t start = *at, end = start;

	while (end < size && text[end] != ',' && text[end] != '\n')
		end++;
	if (end == size && !last)
		return CSV_MORE;
	*at = end;
	if (end > start && text[end - 1] == '\r' && (end == size || text[end] == '\n'))
		end--;
	return add_field(record, text + start, end - start, false);
}

/* Moves *at from the character after the opening quote to the one after the closing quote. */
static enum csv_status find_closing_quote(const char *text, size_t size, bool last, size_t *at,
                                          struct csv_record *record, bool *doubled)
{
	for (;;) {
		const char *quote = *at < size ? memchr(text + *at, '"', size - *at) : NULL;

		if (!quote)
			return last ? bad(record, "a quote is not closed") : CSV_MORE;
		*at = (size_t)(quote - text) + 1;
		if (*at == size && !last)
			return CSV_MORE;
		if (*at == size || text[*at] != '"')
			return CSV_OK;
		*doubled = true;
		++*at;
	}
}

static uint64_t count_line_feeds(const char *text, size_t size)
{
	const char *end = text + size;
	uint64_t n = 0;

	while (text < end && (text = memchr(text, '\n', (size_t)(end - text)))) {
		n++;
		text++;
	}
	return n;
}

/* The same as split_plain for a field whose opening quote is at *at. */
static enum csv_status split_quoted(char *text, size_t size, bool last, size_t *at,
                                    struct csv_record *record)
{
	size_t start = ++*at;
	bool doubled = false;
	enum csv_status status = find_closing_quote(text, size, last, at, record, &doubled);

	if (status)
		return status;
	status = add_field(record, text + start, *at - 1 - start, doubled);
	if (status)
		return status;
	record->lines += count_line_feeds(text + start, *at - 1 - start);
	if (*at < size && text[*at] == '\r') {
		if (*at + 1 == size && !last)
			return CSV_MORE;
		if (*at + 1 == size || text[*at + 1] == '\n')
			++*at;
	}
	if (*at < size && text[*at] != ',' && text[*at] != '\n')
		return bad(record, "something follows a closing quote");
	return CSV_OK;
}

enum csv_status csv_split(char *text, size_t size, bool last, struct csv_record *record)
{
	enum csv_status status;
	size_t at = 0;

	record->count = 0;
	record->lines = 0;
	for (;;) {
		if (at < size && text[at] == '"')
			status = split_quoted(text, size, last, &at, record);
		else
			status = split_plain(text, size, last, &at, record);
		if (status)
			return status;
		if (at == size || text[at] == '\n')
			break;
		at++; /* the comma */
	}
	if (at < size) {
		at++;
		record->lines++;
	}
	record->size = at;
	return CSV_OK;
}

void csv_unescape(struct csv_record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		struct csv_field *field = &record->fields[i];
		size_t out = 0;

		if (!field->doubled)
			continue;
		for (size_t in = 0; in < field->size; in++) {
			field->data[out++] = field->data[in];
			in += field->data[in] == '"';
		}
		field->size = out;
		field->doubled = false;
	}
}

void csv_free(struct csv_record *record)
{
	free(record->fields);
	*record = (struct csv_record){.fields = NULL};
}
