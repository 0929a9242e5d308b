/* The trivial model that the engine is compared with: tables are ordered arrays.
 *
 * An array is cut into chunks that versions share (copied before they are changed), so that keeping
 * an old version costs nothing: a snapshot, an abort and a reader held open over many commits are
 * all just "keep the old version". Everything a cursor, a range or a count can ask is answered by
 * two functions, rows_rank and rows_at.
 *
 * Values are windows into one pool of random bytes, so a value of several MB takes 8 bytes here.
 * Nothing in here is thread-safe; running out of memory ends the program. */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <kv/kv.h>

#include "tests/random.h"

#define MODEL_TABLES 12            /* tables in a model at most */
#define MODEL_NAME 48              /* bytes for a table's name, with its NUL */
#define MODEL_MAX_VALUE (8u << 20) /* bytes in a value at most */

struct model_value {
	uint32_t offset, size; /* bytes [offset, offset + size) of the pool */
};

/* Immutable and shared by all versions that contain it. */
struct model_entry {
	uint32_t refs;
	uint32_t key_size;
	struct model_value value;
	unsigned char key[];
};

/* A random value of the given size, at most MODEL_MAX_VALUE. */
struct model_value model_value_new(struct random *random, uint32_t size);

/* The value's bytes; static. */
kv_slice model_value_bytes(struct model_value value);

/* True if the slice holds exactly the value's bytes. */
bool model_value_is(struct model_value value, kv_slice slice);

static inline kv_slice model_key(const struct model_entry *entry)
{
	return kv_bytes(entry->key, entry->key_size);
}

/* memcmp order, a prefix before what it begins. */
int model_compare(kv_slice a, kv_slice b);

/* ---- one version of one table's entries ---------------------------------------------------- */

struct model_rows;

struct model_rows *rows_new(void);
struct model_rows *rows_share(struct model_rows *rows); /* one more owner of the same version */
void rows_free(struct model_rows *rows);                /* one owner less */

/* Writers. *rows is replaced by a private version if others own it too. */
void rows_put(struct model_rows **rows, kv_slice key, struct model_value value);
void rows_delete_at(struct model_rows **rows, uint64_t index);
bool rows_delete(struct model_rows **rows, kv_slice key); /* false: it was not there */

uint64_t rows_count(const struct model_rows *rows);

/* Number of entries before key; *found (may be NULL) says whether key itself is the next one. */
uint64_t rows_rank(const struct model_rows *rows, kv_slice key, bool *found);

/* The entry with index entries before it, or NULL. Valid as long as this version is owned. */
const struct model_entry *rows_at(const struct model_rows *rows, uint64_t index);

const struct model_entry *rows_get(const struct model_rows *rows, kv_slice key);

/* The index range of from <= key < to; NULL is no bound; empty if from is not before to. */
void rows_range(const struct model_rows *rows, const kv_slice *from, const kv_slice *to,
                uint64_t *first, uint64_t *end);

/* ---- one version of a database ------------------------------------------------------------- */

struct model_table {
	uint32_t id; /* never given twice, follows renames */
	char name[MODEL_NAME];
	struct model_rows *rows;
};

struct model {
	uint32_t count;
	struct model_table tables[MODEL_TABLES];
};

void model_copy(struct model *to,
                const struct model *from); /* shares the rows; to is overwritten */
void model_free(struct model *model);      /* leaves it empty */
void model_add(struct model *model, uint32_t id, const char *name);
void model_drop(struct model *model, uint32_t id);
struct model_table *model_find(struct model *model, uint32_t id);       /* NULL: not there */
struct model_table *model_named(struct model *model, const char *name); /* NULL: not there */

#endif
