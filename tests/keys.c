#include "tests/keys.h"

#include <stdio.h>
#include <string.h>

#include "tests/random.h"

static void put_big_endian(unsigned char *to, uint64_t number, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (unsigned char)(number >> (8 * (size - 1 - i)));
}

static size_t make_random(uint64_t number, unsigned char *buffer)
{
	put_big_endian(buffer, random_mix(number), 8);
	put_big_endian(buffer + 8, random_mix(number + 1), 8);
	put_big_endian(buffer + 16, random_mix(number + 2), 8);
	return 24;
}

static size_t make_prefix(uint64_t number, size_t max, unsigned char *buffer)
{
	size_t shared = max / 3;

	memset(buffer, 'p', shared);
	snprintf((char *)buffer + shared, 9, "%08u", (unsigned)(random_mix(number) % 100000000));
	return shared + 8;
}

static size_t make_zeros(uint64_t number, unsigned char *buffer)
{
	uint64_t bits = random_mix(number);
	size_t size = bits % 25;

	memset(buffer, 0, size);
	if (size) {
		buffer[(bits >> 8) % size] = (unsigned char)((bits >> 16) % 3);
		buffer[(bits >> 24) % size] = (bits >> 32) % 7 ? 0 : 0xff;
	}
	return size;
}

static size_t make_one_byte(uint64_t number, unsigned char *buffer)
{
	uint64_t bits = random_mix(number);

	memset(buffer, 0x80, 64);
	buffer[bits % 64] = (unsigned char)(bits >> 8);
	return 64;
}

static size_t make_nested(uint64_t number, size_t max, unsigned char *buffer)
{
	uint64_t bits = random_mix(number);
	size_t size = (bits >> 8) % (bits % 8 ? 100 : max + 1);

	memset(buffer, 'a', size);
	if (size && bits % 3 == 0)
		buffer[size - 1] = (unsigned char)('a' + (bits >> 40) % 3);
	return size;
}

static size_t make_limit(uint64_t number, size_t max, unsigned char *buffer)
{
	uint64_t bits = random_mix(number);
	size_t size = max - bits % 3;

	memset(buffer, 'L', size);
	buffer[size / 2] = (unsigned char)((bits >> 8) % 4);
	put_big_endian(buffer + size - 4, bits >> 32, 4);
	return size;
}

size_t key_make(enum key_kind kind, uint64_t number, size_t max, unsigned char *buffer)
{
	switch (kind) {
	case KEY_DENSE: put_big_endian(buffer, number, 4); return 4;
	case KEY_PREFIX: return make_prefix(number, max, buffer);
	case KEY_ZEROS: return make_zeros(number, buffer);
	case KEY_ONE_BYTE: return make_one_byte(number, buffer);
	case KEY_NESTED: return make_nested(number, max, buffer);
	case KEY_ASCENDING: put_big_endian(buffer, number, 8); return 8;
	case KEY_DESCENDING: put_big_endian(buffer, ~number, 8); return 8;
	case KEY_LIMIT: return make_limit(number, max, buffer);
	case KEY_MIXED:
		return key_make((enum key_kind)(random_mix(~number) % KEY_MIXED), number, max,
		                buffer);
	case KEY_RANDOM:
	case KEY_KINDS: break;
	}
	return make_random(number, buffer);
}

uint64_t key_domain(enum key_kind kind, size_t max)
{
	const uint64_t memory = 8u << 20; /* bytes of keys in a table at most */

	switch (kind) {
	case KEY_PREFIX: return 3 * memory / max;
	case KEY_LIMIT: return memory / max;
	case KEY_NESTED: return 8 * memory / max;
	case KEY_MIXED: return 4 * memory / max;
	case KEY_ZEROS:
	case KEY_ONE_BYTE: return 20000;
	default: return 200000;
	}
}
