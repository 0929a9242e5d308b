/* Writing JSON into a growing buffer. (Reading it is jansson's job.) */
#ifndef KV_TOOLS_JSON_TEXT_H
#define KV_TOOLS_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* All zero before its first use; given to buffer_free in the end. */
struct buffer {
	char *data;
	size_t size, capacity;
};

/* Adds bytes at the end. False if there is no memory. */
bool buffer_add(struct buffer *buffer, const void *data, size_t size);
void buffer_free(struct buffer *buffer);

/* Adds UTF-8 text as a JSON string, quotes included. False if there is no memory. */
bool json_add_string(struct buffer *buffer, const char *text, size_t size);

#endif
