/* Bytes as people read and write them: UTF-8, escapes, hexadecimal, numbers. */
#ifndef KV_TOOLS_TEXT_H
#define KV_TOOLS_TEXT_H

#include <kv/kv.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes one code point of UTF-8 as RFC 3629 defines it (no surrogates, no overlong forms).
 * Returns its length in bytes, 1 to 4, or 0 if the size > 0 bytes at text do not begin with one. */
size_t text_decode(const unsigned char *text, size_t size, uint32_t *point);

bool text_is_utf8(const void *text, size_t size);

/* Writes bytes to standard output: printable text as it is, every other byte as \xNN; with hex,
 * two lower-case digits per byte. Control characters, line separators and characters that turn
 * the direction of writing are not printable, so one call never spoils a line. */
void text_print(kv_slice bytes, bool hex);

/* Reads hexadecimal digits, two per byte, in either case. *bytes is malloc'ed and the caller's
 * (never NULL on success). False: an odd number of digits, something else, or no memory. */
bool text_parse_hex(const char *text, unsigned char **bytes, size_t *size);

/* Reads a decimal number without sign. False: something else, or beyond 64 bits. */
bool text_parse_number(const char *text, uint64_t *number);

#endif
