/* Stepping along a path without a call for the common case, which is to stay in the leaf. Full
 * scans live here: each step asks for the entry PATH_AHEAD further on, and the first entries of the
 * neighbouring leaf when the end comes near, so that the memory system is always busy. */
#ifndef KV_BTREE_PATH_H
#define KV_BTREE_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "btree/tree.h"
#include "mmap/prefetch.h"

#define PATH_AHEAD 8u /* entries; at 20 ns a step, some 160 ns: a cache miss */

/* The slow parts. Both expect path to stand in a leaf; the step leaves it as it was unless it
 * returns KV_OK. */
int path_step_leaf(const struct tree *tree, struct kv_level *path, bool back);
void path_prefetch_sibling(const struct tree *tree, const struct kv_level *path, bool back);

/* Asks for the start of entry i of a node: sizes, key, the start of a value behind a short key. */
static inline void path_prefetch_entry(const uint8_t *page, uint32_t i)
{
	const uint8_t *entry = page + node_slots(page)[i];

	prefetch_line(entry);
	prefetch_line(entry + 32);
}

/* tree_next. */
static inline int path_next(const struct tree *tree, struct kv_level *path)
{
	uint32_t i = path->index + 1, ahead = i + PATH_AHEAD;

	if (__builtin_expect(i >= path->count, 0))
		return path_step_leaf(tree, path, false);
	path->index = i;
	if (ahead < path->count)
		path_prefetch_entry(path->page, ahead);
	else if (ahead == path->count)
		path_prefetch_sibling(tree, path, false);
	return KV_OK;
}

/* tree_prev. */
static inline int path_prev(const struct tree *tree, struct kv_level *path)
{
	uint32_t i = path->index;

	if (__builtin_expect(i == 0, 0))
		return path_step_leaf(tree, path, true);
	path->index = --i;
	if (i >= PATH_AHEAD)
		path_prefetch_entry(path->page, i - PATH_AHEAD);
	else if (i == PATH_AHEAD - 1)
		path_prefetch_sibling(tree, path, true);
	return KV_OK;
}

#endif
