#include "tools/text.h"
#include "tools/output.h"

#include <stdlib.h>
#include <string.h>

/* Length of the sequence that begins with byte first, its payload bits, and the smallest code
 * point that needs such a length. 0: not a first byte. */
static size_t sequence_start(unsigned char first, uint32_t *bits, uint32_t *smallest)
{
	if (first >= 0xC2 && first <= 0xDF) {
		*bits = first & 0x1Fu;
		*smallest = 0x80;
		return 2;
	}
	if (first >= 0xE0 && first <= 0xEF) {
		*bits = first & 0x0Fu;
		*smallest = 0x800;
		return 3;
	}
	if (first >= 0xF0 && first <= 0xF4) {
		*bits = first & 0x07u;
		*smallest = 0x10000;
		return 4;
	}
	return 0;
}

size_t text_decode(const unsigned char *text, size_t size, uint32_t *point)
{
	uint32_t value, smallest;
	size_t length;

	if (text[0] < 0x80) {
		*point = text[0];
		return 1;
	}
	length = sequence_start(text[0], &value, &smallest);
	if (!length || length > size)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xC0) != 0x80)
			return 0;
		value = value << 6 | (text[i] & 0x3Fu);
	}
	if (value < smallest || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
		return 0;
	*point = value;
	return length;
}

bool text_is_utf8(const void *text, size_t size)
{
	const unsigned char *p = text;
	uint32_t point;

	for (size_t i = 0, n; i < size; i += n) {
		n = text_decode(p + i, size - i, &point);
		if (!n)
			return false;
	}
	return true;
}

static bool is_printable(uint32_t point)
{
	if (point < 0x20 || (point >= 0x7F && point < 0xA0))
		return false;
	if (point == 0x200E || point == 0x200F || (point >= 0x2028 && point <= 0x202E))
		return false; /* direction marks, separators, embeddings and overrides */
	if (point >= 0x2066 && point <= 0x2069)
		return false; /* isolates */
	return point != 0xFEFF && (point & 0xFFFE) != 0xFFFE;
}

/* Bytes at the start of text that are printable; 0 if the first one is not. */
static size_t printable_run(const unsigned char *text, size_t size)
{
	size_t i = 0, n;
	uint32_t point;

	for (; i < size; i += n) {
		n = text_decode(text + i, size - i, &point);
		if (!n || !is_printable(point))
			break;
	}
	return i;
}

static void print_escape(unsigned char byte)
{
	static const char digits[] = "0123456789ABCDEF";
	char escape[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};

	output_bytes(escape, sizeof escape);
}

static void print_hex(const unsigned char *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	char buffer[1024];

	for (size_t i = 0; i < size && output_ok();) {
		size_t n = 0;

		for (; i < size && n < sizeof buffer; i++) {
			buffer[n++] = digits[bytes[i] >> 4];
			buffer[n++] = digits[bytes[i] & 15];
		}
		output_bytes(buffer, n);
	}
}

void text_print(kv_slice bytes, bool hex)
{
	const unsigned char *p = bytes.data;

	if (hex) {
		print_hex(p, bytes.size);
		return;
	}
	for (size_t i = 0; i < bytes.size && output_ok();) {
		size_t run = printable_run(p + i, bytes.size - i);

		output_bytes(p + i, run);
		i += run;
		if (i < bytes.size)
			print_escape(p[i++]);
	}
}

/* The digit's value, or -1. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool text_parse_hex(const char *text, unsigned char **bytes, size_t *size)
{
	size_t n = strlen(text) / 2;
	unsigned char *out;

	if (strlen(text) % 2)
		return false;
	out = malloc(n ? n : 1);
	if (!out)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0) {
			free(out);
			return false;
		}
		out[i] = (unsigned char)(high << 4 | low);
	}
	*bytes = out;
	*size = n;
	return true;
}

bool text_parse_number(const char *text, uint64_t *number)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	}
	*number = value;
	return true;
}
