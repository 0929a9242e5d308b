/* A file or standard input, read through one growing buffer. */
#ifndef KV_TOOLS_INPUT_H
#define KV_TOOLS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
	const char *name; /* for messages */
	char *data;       /* bytes read and not yet taken; moves with input_more */
	size_t size;
	bool ended;     /* nothing follows them */
	bool full;      /* they have reached the limit: input_more will read no more */
	uint64_t taken; /* bytes taken so far */
	uint64_t total; /* bytes in the file; 0: unknown */

	int fd;
	char *buffer;
	size_t capacity, limit;
};

/* Opens the file at path, "-" being standard input. limit: bytes that may have to be held at once.
 * EXIT_OK or EXIT_INPUT, reported. input_close is due in either case. */
int input_open(struct input *input, const char *path, size_t limit);
void input_close(struct input *input);

/* Reads until the buffer is full or the input ends, growing the buffer if it was full already, so
 * that looking at all data again after each call costs linear time. EXIT_OK or EXIT_INPUT,
 * reported. */
int input_more(struct input *input);

/* Reads everything. More than the limit is EXIT_INPUT, reported. */
int input_read_all(struct input *input);

/* Drops size bytes from the front of the data. */
void input_take(struct input *input, size_t size);

/* Takes everything up to the end of the line, however long that is. EXIT_OK or EXIT_INPUT. */
int input_skip_line(struct input *input);

#endif
