#include "tools/keys.h"
#include "tools/report.h"
#include "tools/text.h"

#include <stdlib.h>
#include <string.h>

int key_parse(const char *text, bool hex, struct key *key)
{
	*key = (struct key){kv_bytes(text, strlen(text)), NULL};
	if (!hex)
		return EXIT_OK;
	if (!text_parse_hex(text, &key->owned, &key->bytes.size)) {
		report("'%s' is not hexadecimal: two digits for each byte", text);
		return EXIT_USAGE;
	}
	key->bytes.data = key->owned;
	return EXIT_OK;
}

void key_free(struct key *key)
{
	free(key->owned);
	key->owned = NULL;
}

static int compare(const kv_slice *a, const kv_slice *b)
{
	size_t n = a->size < b->size ? a->size : b->size;
	int order = n ? memcmp(a->data, b->data, n) : 0;

	if (order)
		return order;
	return (a->size > b->size) - (a->size < b->size);
}

static void narrow_from(struct key_range *range, const kv_slice *from)
{
	if (!range->from || compare(from, range->from) > 0)
		range->from = from;
}

static void narrow_to(struct key_range *range, const kv_slice *to)
{
	if (!range->to || compare(to, range->to) < 0)
		range->to = to;
}

/* The end of a prefix: its last byte that is not 0xFF raised by one, the rest cut. A prefix of
 * 0xFF bytes alone, or of none, has no end. */
static int narrow_to_prefix(struct key_range *range)
{
	size_t size = range->prefix.bytes.size;
	unsigned char *end = malloc(size ? size : 1);

	if (!end) {
		report("out of memory");
		return EXIT_DATABASE;
	}
	if (size)
		memcpy(end, range->prefix.bytes.data, size);
	while (size && end[size - 1] == 0xFF)
		size--;
	range->prefix_end.owned = end;
	narrow_from(range, &range->prefix.bytes);
	if (!size)
		return EXIT_OK;
	end[size - 1]++;
	range->prefix_end.bytes = kv_bytes(end, size);
	narrow_to(range, &range->prefix_end.bytes);
	return EXIT_OK;
}

int key_range_parse(const struct args *args, struct key_range *range)
{
	int code = EXIT_OK;

	*range = (struct key_range){.from = NULL};
	if (args->from)
		code = key_parse(args->from, args->hex, &range->first);
	if (!code && args->to)
		code = key_parse(args->to, args->hex, &range->end);
	if (!code && args->prefix)
		code = key_parse(args->prefix, args->hex, &range->prefix);
	if (!code && args->from)
		narrow_from(range, &range->first.bytes);
	if (!code && args->to)
		narrow_to(range, &range->end.bytes);
	if (!code && args->prefix)
		code = narrow_to_prefix(range);
	range->empty = range->from && range->to && compare(range->from, range->to) >= 0;
	if (code)
		key_range_free(range);
	return code;
}

void key_range_free(struct key_range *range)
{
	key_free(&range->first);
	key_free(&range->end);
	key_free(&range->prefix);
	key_free(&range->prefix_end);
}
