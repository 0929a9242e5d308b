/* A copy-on-write B+tree over the store's pages. A struct tree is a value: a root and what is
 * known of it. Readers copy one out of a catalog; the writer has one with a ledger, whose root
 * moves as it writes.
 *
 * Copy on write: a node is changed in place only if it is a frame born in the ledger's transaction;
 * else it is copied into a new frame, the old page is retired, and the parent repointed; parents
 * first, from the root down. Counts in branches are kept exact at all times.
 *
 * Errors inside a write leave the tree in a state that is only fit to be dropped: the engine dooms
 * the transaction (sticky errors). Refusals (KV_EXISTS, KV_NOT_FOUND, KV_ORDER) change nothing. */
#ifndef KV_BTREE_TREE_H
#define KV_BTREE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include <kv/types.h>

#include "btree/node.h"
#include "mmap/store.h"

/* Since opening; shared by all trees of a database, changed by the writer only. */
struct tree_stats {
	_Atomic uint64_t splits, merges, spills;
};

/* A path from the root to an entry of a leaf is an array of struct kv_level: [0] is the leaf;
 * height levels are in use. The public cursor holds one. */

struct tree {
	struct store *store;
	struct ledger *ledger;    /* NULL for readers */
	struct tree_stats *stats; /* may be NULL */
	page_id root;             /* PAGE_NONE when empty */
	uint32_t height;          /* levels: 0 when empty, 1 when the root is a leaf */
	uint8_t leaf_type;        /* PAGE_LEAF or PAGE_CATALOG */
	bool spilled;             /* nodes of this transaction went to the file before its commit */
	bool has_large;           /* large values may be in it: set by puts, cleared when emptied */
	uint64_t count;           /* entries */
	uint64_t empty_since;     /* transaction when it was last empty: no page is older (R17) */
	uint64_t generation;      /* grows with every change: tells cursors to look again */

	/* The writer's finger: the path of the last put or remove. finger_height 0: none. Pages on
	 * it are all writable frames. Valid while finger_generation equals generation. */
	uint64_t finger_generation;
	uint32_t finger_height;
	struct kv_level finger[KV_MAX_LEVELS];
};

/* ---- access to nodes (for the files of this folder and the engine's checker) ----------------- */

/* Loads, verifies and returns the node that id names, which must be at the given level (0: a leaf
 * of leaf_type). The fast path is one bit test, one compare of type, level and tag. */
int tree_load_slow(const struct tree *tree, page_id id, uint32_t level, const uint8_t **node);

static inline int tree_load(const struct tree *tree, page_id id, uint32_t level,
                            const uint8_t **node)
{
	const struct store *store = tree->store;

	if (__builtin_expect(store_trusted(store, id), 1)) {
		const uint8_t *page = store_at(store, id);
		const struct page_header *h = page_header_of(page);
		uint8_t type = level ? PAGE_BRANCH : tree->leaf_type;

		if (__builtin_expect(
		            h->type == type && h->level == level &&
		                    (page_is_frame(id) || (uint16_t)h->checksum == page_tag(id)),
		            1)) {
			*node = page;
			return KV_OK;
		}
	}
	return tree_load_slow(tree, id, level, node);
}

/* Entry i's value as the user sees it; large ones are verified and sliced from the mapping. */
int tree_value(const struct tree *tree, const uint8_t *leaf, uint32_t i, kv_slice *value);

/* ---- tree.c: single keys --------------------------------------------------------------------- */

int tree_get(const struct tree *tree, kv_slice key, kv_slice *value); /* value may be NULL */
int tree_get_many(const struct tree *tree, size_t n, const kv_slice *keys, kv_slice *values,
                  size_t *found);

enum tree_put_mode {
	TREE_PUT,        /* insert or replace */
	TREE_PUT_ABSENT, /* KV_EXISTS if there (and *old, if not NULL, is its value) */
	TREE_PUT_LAST,   /* KV_ORDER unless it sorts after all others */
};

/* Values that do not fit inline are written to a run of file pages now. value.data NULL with a size
 * > 0 and place not NULL: room is made, zeroed, and *place is where the caller fills it in (inline
 * sizes only; KV_TOO_BIG else). */
int tree_put(struct tree *tree, kv_slice key, kv_slice value, enum tree_put_mode mode,
             kv_slice *old, void **place);

int tree_remove(struct tree *tree, kv_slice key); /* KV_NOT_FOUND */

/* ---- range.c: many keys at once -------------------------------------------------------------- */

/* from <= key < to, NULL: no bound. Subtrees inside are retired without reading their leaves,
 * unless the tree has large values. */
int tree_delete_range(struct tree *tree, const kv_slice *from, const kv_slice *to,
                      uint64_t *removed);
int tree_clear(struct tree *tree); /* also before a drop */

/* ---- count.c --------------------------------------------------------------------------------- */

int tree_rank(const struct tree *tree, kv_slice key, uint64_t *rank); /* entries before key */
int tree_count_range(const struct tree *tree, const kv_slice *from, const kv_slice *to,
                     uint64_t *count);
int tree_nth(const struct tree *tree, uint64_t n, struct kv_level *path);

/* ---- path.c: standing somewhere -------------------------------------------------------------- */

/* Each fills path[0..height) and returns KV_OK when path[0] stands on an entry, else KV_NOT_FOUND
 * or an error. tree_next and tree_prev move an existing path of an unchanged tree; at the end they
 * return KV_NOT_FOUND and leave the path where it was. They prefetch ahead. */
int tree_first(const struct tree *tree, struct kv_level *path);
int tree_last(const struct tree *tree, struct kv_level *path);
/* The first entry >= key, the last one <= key. */
int tree_seek(const struct tree *tree, kv_slice key, struct kv_level *path, bool *equal);
int tree_seek_back(const struct tree *tree, kv_slice key, struct kv_level *path, bool *equal);
int tree_next(const struct tree *tree, struct kv_level *path);
int tree_prev(const struct tree *tree, struct kv_level *path);

/* ---- large.c --------------------------------------------------------------------------------- */

int large_write(struct tree *tree, kv_slice value, struct node_large *large);
int large_read(const struct tree *tree, const struct node_large *large, kv_slice *value);
int large_retire(struct tree *tree, const struct node_large *large);

/* ---- batch.c: sorted operations -------------------------------------------------------------- */

struct tree_op {
	kv_slice key, value;
	bool remove;
	bool large; /* value is a struct node_large */
};

/* A source of operations in strictly ascending key order. next: KV_OK, KV_NOT_FOUND at the end, or
 * an error. Slices are valid until the next call. */
struct tree_ops {
	int (*next)(struct tree_ops *ops, struct tree_op *op);
	uint64_t count; /* about how many, keys counted as often as they were written */
	uint64_t bytes; /* about how many bytes of keys and values */
	bool in_order;  /* they came in key order: leaves are filled up, else some room is left */
};

/* Applies them all: key order turns cache misses into a sweep. An empty tree is built by appending
 * to full nodes; finished leaves may go to the file at once when the arena is short. */
int tree_apply(struct tree *tree, struct tree_ops *ops);

/* ---- writeback.c: frames to file pages ------------------------------------------------------- */

/* The frames that have been written and have a place now. */
struct tree_written {
	struct retired *frames;
	size_t count, room;
};

/* Writes every frame reachable from root through frames, children first in key order, into the open
 * flush, and gives the file id that replaces root (root itself if it is a file page). Frames are
 * not changed, save for the checksum field of leaves; they are added to written, and must not be
 * retired before the flush has ended. Used by checkpoints and by spilling. */
int tree_write_back(struct store *store, struct store_flush *flush, page_id root,
                    struct tree_written *written, page_id *place);

/* Retires all frames that were written: their places stand for them from now on. Frees the list,
 * even if it fails or if rc, which it returns then, is an error already. */
int tree_retire_written(struct store *store, struct ledger *ledger, struct tree_written *written,
                        int rc);

/* Writes all frames of the tree's root to the file now, because the arena is full: the frames are
 * retired, the root becomes a file page. */
int tree_spill(struct tree *tree);

/* ---- check.c --------------------------------------------------------------------------------- */

/* Checks the whole tree: order of keys within and across nodes against their fences, prefixes,
 * heads, counts, levels, large values' checksums; calls fault for each fault. visit, if not NULL,
 * is told of every file page run that the tree reaches (first page, count), and may say KV_CORRUPT
 * (already reported) or an error to stop. Returns KV_OK even with faults: *faults counts them. */
struct tree_check {
	void (*fault)(void *arg, uint64_t page, const char *what);
	int (*visit)(void *arg, uint64_t first, uint64_t count);
	int (*value)(void *arg, kv_slice key, kv_slice value); /* each entry; may be NULL */
	void *arg;
	uint64_t faults, pages, entries;
};
int tree_check(const struct tree *tree, struct tree_check *check);

#endif
