/* The rows of an import: keys and values taken from a CSV or NDJSON file. */
#ifndef KV_TOOLS_ROWS_H
#define KV_TOOLS_ROWS_H

#include "tools/csv.h"
#include "tools/input.h"
#include "tools/json_text.h"

#include <kv/kv.h>

#include <jansson.h>

#define ROWS_MAX_SIZE ((size_t)256 << 20) /* bytes of one row in the file */

enum rows_format { ROWS_CSV, ROWS_NDJSON };

enum rows_status {
	ROWS_OK,
	ROWS_END,
	ROWS_BAD,    /* a bad row, passed over: see line and problem */
	ROWS_FAILED, /* the input cannot be read, or no memory; reported */
};

struct rows {
	enum rows_format format;
	struct input input;
	uint64_t line;       /* where the latest row begins, from 1 */
	char problem[256];   /* after ROWS_BAD */
	kv_slice key, value; /* after ROWS_OK, until the next call; value is a JSON object */

	uint64_t next_line;
	const char *key_field;
	struct csv_record record; /* CSV: the latest row */
	struct buffer names;      /* CSV: the columns' names as JSON members begin: "id": */
	size_t *name_ends;        /* CSV: where each ends within names */
	size_t columns, key_column;
	struct buffer object; /* CSV: the value */
	json_t *json;         /* NDJSON: the latest row, which owns the key */
	char number[24];      /* NDJSON: the key, if it is a number */
};

/* Opens the file ("-": standard input) and reads the header of a CSV file. key_field NULL: the
 * first column of CSV, "id" in NDJSON. EXIT_OK, or EXIT_INPUT or EXIT_USAGE, reported. rows_close
 * is due in either case. */
int rows_open(struct rows *rows, enum rows_format format, const char *path, const char *key_field);
void rows_close(struct rows *rows);

enum rows_status rows_next(struct rows *rows);

/* The rest is between rows*.c. */

/* Sets the problem and returns ROWS_BAD. */
enum rows_status rows_bad(struct rows *rows, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

int rows_csv_header(struct rows *rows);
enum rows_status rows_csv_next(struct rows *rows);
enum rows_status rows_ndjson_next(struct rows *rows);

#endif
