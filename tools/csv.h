/* Splitting comma-separated values into records and fields, after RFC 4180:
 *
 *	record = field *("," field) (CRLF / LF / end of input)
 *	field  = quoted / anything but comma and line feed
 *	quoted = DQUOTE *(anything but DQUOTE / 2DQUOTE) DQUOTE
 *
 * Beyond the RFC, lines may end with LF alone, and a quote in a field that does not begin with one
 * stands for itself. A carriage return that no line feed follows is an ordinary character. */
#ifndef KV_TOOLS_CSV_H
#define KV_TOOLS_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_MAX_FIELDS 65535

struct csv_field {
	char *data; /* in the text; within the quotes, if any */
	size_t size;
	bool doubled; /* contains doubled quotes, each of which stands for one */
};

/* All zero before its first use; given to csv_free in the end. */
struct csv_record {
	struct csv_field *fields;
	size_t count, capacity;
	size_t size;         /* bytes of text that it took, its line end included */
	uint64_t lines;      /* line feeds among these */
	const char *problem; /* after CSV_BAD: what is wrong; static */
};

enum csv_status {
	CSV_OK,
	CSV_MORE, /* the text ends within the record: call again with more of it */
	CSV_BAD,  /* not a record; size is not set */
	CSV_NOMEM,
};

/* Splits off the record at the start of text, of size > 0 bytes. last: no text follows these. */
enum csv_status csv_split(char *text, size_t size, bool last, struct csv_record *record);

/* Makes doubled quotes single, in place; the text cannot be split again after that. */
void csv_unescape(struct csv_record *record);

void csv_free(struct csv_record *record);

#endif
