/* Trees over a store in memory, each beside a sorted array that holds the same entries. For tests
 * of btree/ that do without the engine. */
#ifndef TESTS_TREE_MODEL_H
#define TESTS_TREE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kv/kv.h>

#include "btree/tree.h"
#include "tests/keys.h"
#include "tests/random.h"

struct tree_entry {
	kv_slice key, value; /* malloc'ed */
};

struct tree_model {
	struct store *store;
	struct ledger ledger;
	struct tree_stats stats;
	struct tree tree;
	struct tree_entry *entries; /* in key order */
	size_t count;
};

/* How to build a tree; the first two are what btree/ itself makes. */
enum tree_shape {
	SHAPE_PUT,    /* puts in random order */
	SHAPE_APPEND, /* puts in key order: full leaves */
	SHAPE_RAGGED, /* nodes of any fill, single-child branches and empty leaves among them */
	TREE_SHAPES
};

/* Opens an empty store. Ends the program on failure, like everything here. */
void tree_model_open(struct tree_model *model, uint32_t page_size);
void tree_model_close(struct tree_model *model);

/* Replaces the model's entries with about count new ones, whose keys are of the given kind, and
 * the tree with one that holds them. large: some values go to page runs of their own. */
void tree_model_fill(struct tree_model *model, struct random *random, enum key_kind kind,
                     size_t count, enum tree_shape shape, bool large);

/* Writes all frames of the tree to the file, gives them up and commits. */
void tree_model_flush(struct tree_model *model);

/* Goes on in a new transaction. What the old one retired is free: there are no readers. */
void tree_model_commit(struct tree_model *model);

/* Index of the first entry whose key is >= key. */
size_t tree_model_bound(const struct tree_model *model, kv_slice key);

/* A key that is in the model, next to one that is, or neither; in buffer (1024 bytes). */
kv_slice tree_model_key(const struct tree_model *model, struct random *random,
                        unsigned char *buffer);

/* Drops entries [from, to) of the array. */
void tree_model_cut(struct tree_model *model, size_t from, size_t to);

/* Fails the test unless the tree holds the model's entries, with no faults in its structure. */
void tree_model_check(const struct tree_model *model);

#endif
