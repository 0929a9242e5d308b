#include "tools/json_text.h"

#include <stdlib.h>
#include <string.h>

bool buffer_add(struct buffer *buffer, const void *data, size_t size)
{
	if (size > buffer->capacity - buffer->size) {
		size_t larger = 2 * buffer->capacity + size + 64;
		char *moved = realloc(buffer->data, larger);

		if (!moved)
			return false;
		buffer->data = moved;
		buffer->capacity = larger;
	}
	if (size)
		memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
	return true;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){.data = NULL};
}

/* The escape of a character that may not stand in a string as it is. Returns its length. */
static size_t escape(unsigned char c, char out[6])
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	static const char digits[] = "0123456789abcdef";
	const char *found = c ? strchr(plain, c) : NULL;

	out[0] = '\\';
	if (found) {
		out[1] = letters[found - plain];
		return 2;
	}
	out[1] = 'u';
	out[2] = out[3] = '0';
	out[4] = digits[c >> 4];
	out[5] = digits[c & 15];
	return 6;
}

bool json_add_string(struct buffer *buffer, const char *text, size_t size)
{
	size_t start = 0;
	char escaped[6];

	if (!buffer_add(buffer, "\"", 1))
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		size_t length;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		length = escape(c, escaped);
		if (!buffer_add(buffer, text + start, i - start) ||
		    !buffer_add(buffer, escaped, length))
			return false;
		start = i + 1;
	}
	return buffer_add(buffer, text + start, size - start) && buffer_add(buffer, "\"", 1);
}
