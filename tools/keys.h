/* Keys and key ranges as they are given on the command line. */
#ifndef KV_TOOLS_KEYS_H
#define KV_TOOLS_KEYS_H

#include "tools/args.h"

#include <kv/kv.h>

/* The bytes of an argument: itself, or what its hexadecimal digits mean. */
struct key {
	kv_slice bytes;
	unsigned char *owned; /* malloc'ed; NULL if the bytes are the argument's */
};

/* Takes over text, as hexadecimal if hex. Returns EXIT_OK and a key that must be given to key_free,
 * or EXIT_USAGE, reported. */
int key_parse(const char *text, bool hex, struct key *key);
void key_free(struct key *key);

/* Keys with from <= key < to; a bound of NULL means none. What --from, --to and --prefix have in
 * common if several are given. */
struct key_range {
	const kv_slice *from, *to;
	bool empty; /* no key can be in it */
	struct key first, end, prefix;
	struct key prefix_end; /* the first key after all that begin with prefix */
};

/* EXIT_OK and a range that must be given to key_range_free, or an error, reported. The range points
 * into itself and must not be moved. */
int key_range_parse(const struct args *args, struct key_range *range);
void key_range_free(struct key_range *range);

#endif
