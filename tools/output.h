/* Standard output: written without checking each call, judged once at the end. */
#ifndef KV_TOOLS_OUTPUT_H
#define KV_TOOLS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* Before anything is opened: gives descriptors 0 to 2 that are closed something harmless to be, so
 * that the database cannot land on one of them and be written over by a message. */
void output_start(void);

/* Writes size bytes. After a failure it does nothing. */
void output_bytes(const void *data, size_t size);

/* Writes a string without its NUL. */
void output_string(const char *string);

void output_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* False once a write has failed: nobody reads any more, or the disk is full. Loops stop then. */
bool output_ok(void);

/* Flushes and closes. Returns code, or EXIT_OUTPUT if something could not be written; that is
 * reported, unless the reader of a pipe just went away (as `head` does). */
int output_finish(int code);

#endif
