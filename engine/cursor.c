/* Cursors: a path through the tree, the bounds it must stay within, and, in a writer, a copy of the
 * key it stands on, so that it finds its way again after the tree has changed. */
#include <string.h>

#include "engine/engine.h"

enum place {
	NOWHERE = 0,
	ON_ENTRY,
	ON_GAP, /* between entries, where `saved` was: it has been deleted */
	BEFORE_FIRST,
	AFTER_LAST,
};

int kv_cursor_open(kv_txn *txn, kv_table *table, kv_cursor *cursor)
{
	struct table_state *state;
	int rc;

	if (!cursor)
		return status_fail(KV_INVALID, "the cursor is NULL");
	memset(cursor, 0, offsetof(kv_cursor, path));
	cursor->status = KV_NOT_FOUND;
	rc = txn_enter(txn, table, &state);
	if (rc)
		return rc;
	cursor->txn = txn;
	cursor->table = table;
	cursor->stamp = txn->stamp;
	return KV_OK;
}

int kv_cursor_range(kv_cursor *c, const kv_slice *from, const kv_slice *to)
{
	if (!c)
		return status_fail(KV_INVALID, "the cursor is NULL");
	c->prefixed = false;
	c->bounded_from = from;
	c->bounded_to = to;
	if (from)
		c->from = *from;
	if (to)
		c->to = *to;
	return KV_OK;
}

int kv_cursor_prefix(kv_cursor *c, kv_slice prefix)
{
	int rc = kv_cursor_range(c, &prefix, NULL);

	if (!rc)
		c->prefixed = true;
	return rc;
}

/* ---- bounds -------------------------------------------------------------------------------- */

static bool past_end(const kv_cursor *c, kv_slice key)
{
	if (c->prefixed)
		return key.size < c->from.size ||
		       (c->from.size && memcmp(key.data, c->from.data, c->from.size) != 0);
	return c->bounded_to && node_compare(key, c->to) >= 0;
}

static bool before_start(const kv_cursor *c, kv_slice key)
{
	return c->bounded_from && node_compare(key, c->from) < 0;
}

/* ---- landing ------------------------------------------------------------------------------- */

static int cursor_enter(kv_cursor *c, struct table_state **state)
{
	int rc;

	if (!c || !c->txn)
		return status_fail(KV_INVALID, "the cursor is NULL or was not opened");
	if (c->stamp != c->txn->stamp && c->txn->kind != TXN_FREE)
		return c->status = status_fail(KV_ENDED, "the cursor's transaction has ended");
	rc = txn_enter_read(c->txn, c->table, state);
	if (rc)
		c->status = rc;
	return rc;
}

static int stop(kv_cursor *c, int rc, enum place place)
{
	if (rc < 0) {
		txn_fail(c->txn, rc);
		place = NOWHERE;
	}
	c->place = (uint8_t)place;
	c->key = c->value = kv_bytes(NULL, 0);
	return c->status = rc;
}

/* Memory of the transaction for a long key: a copy of the cursor must not share it. */
static int save_long(kv_cursor *c)
{
	kv_txn *txn = c->txn;
	struct key_buffer *buffer = c->saved;

	if (!buffer || buffer->owner != c) {
		buffer = txn_key_buffer(txn, KV_MAX_KEY(txn->db->store->page_size), c);
		if (!buffer)
			return status_fail(KV_NOMEM, "no memory for a cursor's key");
		c->saved = buffer;
	}
	memcpy(buffer->bytes, c->key.data, c->key.size);
	return KV_OK;
}

static kv_slice saved_key(const kv_cursor *c)
{
	const struct key_buffer *buffer = c->saved;

	return kv_bytes(c->saved_size <= sizeof c->saved_short ? c->saved_short : buffer->bytes,
	                c->saved_size);
}

static int save_key(kv_cursor *c)
{
	c->saved_size = (uint32_t)c->key.size;
	if (c->key.size > sizeof c->saved_short)
		return save_long(c);
	memcpy(c->saved_short, c->key.data, c->key.size);
	return KV_OK;
}

/* The path stands on an entry within the bounds: show it. */
static int land(kv_cursor *c, const struct table_state *state)
{
	const uint8_t *leaf = c->path[0].page;
	uint32_t i = c->path[0].index;
	bool large;
	int rc;

	c->key = node_key(leaf, i);
	c->value = node_value(leaf, i, &large);
	if (large) {
		rc = tree_value(&state->tree, leaf, i, &c->value);
		if (rc)
			return stop(c, rc, NOWHERE);
	}
	if (c->txn->kind == TXN_WRITER) {
		rc = save_key(c);
		if (rc)
			return stop(c, rc, NOWHERE);
	}
	c->generation = state->tree.generation;
	c->place = ON_ENTRY;
	return c->status = KV_OK;
}

static int land_forward(kv_cursor *c, const struct table_state *state, int rc)
{
	if (rc)
		return stop(c, rc, AFTER_LAST);
	if ((c->bounded_from || c->bounded_to) &&
	    past_end(c, node_key(c->path[0].page, c->path[0].index)))
		return stop(c, KV_NOT_FOUND, AFTER_LAST);
	return land(c, state);
}

static int land_backward(kv_cursor *c, const struct table_state *state, int rc)
{
	if (rc)
		return stop(c, rc, BEFORE_FIRST);
	if (c->bounded_from && before_start(c, node_key(c->path[0].page, c->path[0].index)))
		return stop(c, KV_NOT_FOUND, BEFORE_FIRST);
	return land(c, state);
}

/* ---- moving -------------------------------------------------------------------------------- */

int kv_cursor_first(kv_cursor *c)
{
	struct table_state *state;
	bool equal;
	int rc = cursor_enter(c, &state);

	if (rc)
		return rc;
	rc = c->bounded_from ? tree_seek(&state->tree, c->from, c->path, &equal)
	                     : tree_first(&state->tree, c->path);
	return land_forward(c, state, rc);
}

int kv_cursor_seek(kv_cursor *c, kv_slice key)
{
	struct table_state *state;
	bool equal;
	int rc = cursor_enter(c, &state);

	if (rc)
		return rc;
	if (before_start(c, key))
		key = c->from;
	return land_forward(c, state, tree_seek(&state->tree, key, c->path, &equal));
}

/* The last entry strictly before key. */
static int seek_before(const struct tree *tree, kv_slice key, struct kv_level *path)
{
	bool equal;
	int rc = tree_seek_back(tree, key, path, &equal);

	return !rc && equal ? tree_prev(tree, path) : rc;
}

/* The last entry whose key begins with prefix or sorts before it. */
static int seek_prefix_end(const struct tree *tree, kv_slice prefix, struct kv_level *path)
{
	uint8_t end[KV_MAX_KEY(KV_MAX_PAGE_SIZE)];
	size_t size = prefix.size < sizeof end ? prefix.size : sizeof end;

	/* The successor of all keys with the prefix: trailing 0xff bytes cut, the last raised. */
	if (size)
		memcpy(end, prefix.data, size);
	while (size && end[size - 1] == 0xff)
		size--;
	if (!size)
		return tree_last(tree, path);
	end[size - 1]++;
	return seek_before(tree, kv_bytes(end, size), path);
}

int kv_cursor_last(kv_cursor *c)
{
	struct table_state *state;
	int rc = cursor_enter(c, &state);

	if (rc)
		return rc;
	if (c->prefixed)
		rc = seek_prefix_end(&state->tree, c->from, c->path);
	else if (c->bounded_to)
		rc = seek_before(&state->tree, c->to, c->path);
	else
		rc = tree_last(&state->tree, c->path);
	return land_backward(c, state, rc);
}

int kv_cursor_seek_back(kv_cursor *c, kv_slice key)
{
	struct table_state *state;
	bool equal;
	int rc = cursor_enter(c, &state);

	if (rc)
		return rc;
	if (past_end(c, key) && !before_start(c, key))
		return kv_cursor_last(c);
	return land_backward(c, state, tree_seek_back(&state->tree, key, c->path, &equal));
}

static bool path_is_current(const kv_cursor *c, const struct table_state *state)
{
	return c->generation == state->tree.generation;
}

int kv_cursor_next(kv_cursor *c)
{
	struct table_state *state;
	bool equal = false;
	int rc = cursor_enter(c, &state);

	if (rc)
		return rc;
	if (c->place == NOWHERE || c->place == BEFORE_FIRST)
		return kv_cursor_first(c);
	if (c->place == AFTER_LAST)
		return c->status = KV_NOT_FOUND;
	if (c->place == ON_ENTRY && path_is_current(c, state))
		return land_forward(c, state, tree_next(&state->tree, c->path));
	rc = tree_seek(&state->tree, saved_key(c), c->path, &equal);
	if (!rc && equal)
		rc = tree_next(&state->tree, c->path);
	return land_forward(c, state, rc);
}

int kv_cursor_prev(kv_cursor *c)
{
	struct table_state *state;
	int rc = cursor_enter(c, &state);

	if (rc)
		return rc;
	if (c->place == NOWHERE || c->place == AFTER_LAST)
		return kv_cursor_last(c);
	if (c->place == BEFORE_FIRST)
		return c->status = KV_NOT_FOUND;
	if (c->place == ON_ENTRY && path_is_current(c, state))
		return land_backward(c, state, tree_prev(&state->tree, c->path));
	return land_backward(c, state, seek_before(&state->tree, saved_key(c), c->path));
}

/* ---- writing ------------------------------------------------------------------------------- */

static int enter_on_entry(kv_cursor *c, struct table_state **state)
{
	int rc = cursor_enter(c, state);

	if (!rc && c->txn->kind != TXN_WRITER)
		rc = txn_fail(c->txn, status_fail(KV_READ_ONLY, "a reader cannot write"));
	if (!rc && c->place != ON_ENTRY)
		rc = txn_fail(c->txn, status_fail(KV_INVALID, "the cursor stands on no entry"));
	return rc ? rc : txn_enter_write(c->txn, c->table, state);
}

int kv_cursor_delete(kv_cursor *c)
{
	struct table_state *state;
	int rc = enter_on_entry(c, &state);

	if (rc)
		return rc;
	rc = tree_remove(&state->tree, saved_key(c));
	if (!rc)
		rc = txn_pressure(c->txn);
	stop(c, rc < 0 ? rc : KV_NOT_FOUND, ON_GAP);
	return rc;
}

int kv_cursor_replace(kv_cursor *c, kv_slice value)
{
	struct table_state *state;
	int rc = enter_on_entry(c, &state);

	if (rc)
		return rc;
	if (value.size > KV_MAX_VALUE || (!value.data && value.size))
		return txn_fail(c->txn,
		                status_fail(KV_TOO_BIG, "the value is NULL or longer than %u bytes",
		                            KV_MAX_VALUE));
	txn_adds(c->txn);
	rc = tree_put(&state->tree, saved_key(c), value, TREE_PUT, NULL, NULL);
	if (!rc)
		rc = txn_pressure(c->txn);
	return txn_fail(c->txn, rc);
}
