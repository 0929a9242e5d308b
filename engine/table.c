/* The untyped calls on one table: single keys, ranges, counts. */
#include <string.h>

#include "engine/engine.h"

static int check_key(const kv_txn *txn, kv_slice key)
{
	if (key.size > KV_MAX_KEY(txn->db->store->page_size))
		return status_fail(KV_TOO_BIG, "a key of %zu bytes is longer than %u", key.size,
		                   KV_MAX_KEY(txn->db->store->page_size));
	if (!key.data && key.size)
		return status_fail(KV_INVALID, "the key's data is NULL");
	return KV_OK;
}

/* What is looked for may be longer than any key; it must only be there. */
static int check_bound(kv_txn *txn, const kv_slice *key)
{
	if (!key || key->data || !key->size)
		return KV_OK;
	return txn_fail(txn, status_fail(KV_INVALID, "a key's data is NULL"));
}

static int check_value(kv_slice value)
{
	if (value.size > KV_MAX_VALUE)
		return status_fail(KV_TOO_BIG, "a value of %zu bytes is longer than %u", value.size,
		                   KV_MAX_VALUE);
	if (!value.data && value.size)
		return status_fail(KV_INVALID, "the value's data is NULL");
	return KV_OK;
}

/* ---- reading ------------------------------------------------------------------------------- */

int kv_get(kv_txn *txn, kv_table *table, kv_slice key, kv_slice *value)
{
	struct table_state *state;
	int rc = txn_enter_read(txn, table, &state);

	if (rc)
		return rc;
	rc = check_bound(txn, &key);
	if (!rc)
		rc = tree_get(&state->tree, key, value);
	return rc < 0 ? txn_fail(txn, rc) : rc;
}

int kv_get_many(kv_txn *txn, kv_table *table, size_t n, const kv_slice *keys, kv_slice *values,
                size_t *found)
{
	struct table_state *state;
	size_t present = 0;
	int rc = txn_enter_read(txn, table, &state);

	if (!rc && n && (!keys || !values))
		rc = status_fail(KV_INVALID, "kv_get_many: keys or values is NULL");
	for (size_t i = 0; i < n && !rc; i++)
		rc = check_bound(txn, &keys[i]);
	if (!rc && n)
		rc = tree_get_many(&state->tree, n, keys, values, &present);
	if (found)
		*found = present;
	return txn_fail(txn, rc);
}

int kv_count(kv_txn *txn, kv_table *table, uint64_t *count)
{
	struct table_state *state;
	int rc = txn_enter_read(txn, table, &state);

	if (!rc && !count)
		return txn_fail(txn, status_fail(KV_INVALID, "kv_count: count is NULL"));
	if (!rc)
		*count = state->tree.count;
	return rc;
}

int kv_count_range(kv_txn *txn, kv_table *table, const kv_slice *from, const kv_slice *to,
                   uint64_t *count)
{
	struct table_state *state;
	int rc = txn_enter_read(txn, table, &state);

	if (!rc && !count)
		rc = status_fail(KV_INVALID, "kv_count_range: count is NULL");
	if (!rc)
		rc = check_bound(txn, from);
	if (!rc)
		rc = check_bound(txn, to);
	return txn_fail(txn, rc ? rc : tree_count_range(&state->tree, from, to, count));
}

int kv_rank(kv_txn *txn, kv_table *table, kv_slice key, uint64_t *rank)
{
	struct table_state *state;
	int rc = txn_enter_read(txn, table, &state);

	if (!rc && !rank)
		rc = status_fail(KV_INVALID, "kv_rank: rank is NULL");
	if (!rc)
		rc = check_bound(txn, &key);
	return txn_fail(txn, rc ? rc : tree_rank(&state->tree, key, rank));
}

int kv_nth(kv_txn *txn, kv_table *table, uint64_t n, kv_slice *key, kv_slice *value)
{
	struct kv_level path[KV_MAX_LEVELS];
	struct table_state *state;
	int rc = txn_enter_read(txn, table, &state);

	if (!rc)
		rc = tree_nth(&state->tree, n, path);
	if (!rc && key)
		*key = node_key(path[0].page, path[0].index);
	if (!rc && value)
		rc = tree_value(&state->tree, path[0].page, path[0].index, value);
	return rc < 0 ? txn_fail(txn, rc) : rc;
}

/* ---- blind writes -------------------------------------------------------------------------- */

/* Do the deferred writes, which came in key order, all belong behind the tree's last entry? */
static int follows_tree(const struct table_state *state, bool *follows)
{
	struct kv_level path[KV_MAX_LEVELS];
	int rc = tree_last(&state->tree, path);

	*follows = rc == KV_NOT_FOUND;
	if (rc)
		return rc < 0 ? rc : KV_OK;
	*follows = node_compare(node_key(path[0].page, path[0].index), defer_first(&state->defer)) <
	           0;
	return KV_OK;
}

/* Operations in key order that continue the tree are appended to it this soon, while they are in
 * the processor's cache. */
#define EAGER_BYTES ((size_t)8 << 20)

static bool may_follow(const struct defer *defer)
{
	return !defer->unsorted && !defer->run_count && !defer->scattered;
}

static int append_eagerly(kv_txn *txn, struct table_state *state)
{
	bool follows;
	int rc = follows_tree(state, &follows);

	if (rc)
		return rc;
	state->defer.scattered = !follows;
	if (!follows)
		return KV_OK;
	rc = txn_apply(txn, state);
	return rc ? rc : txn_pressure(txn);
}

/* The memory for deferred writes is used up: the table that has most of it sets them aside, to be
 * merged later; very many runs are better applied. */
static int relieve(kv_txn *txn)
{
	struct table_state *largest = NULL;
	int rc;

	for (uint32_t i = 0; i < txn->touched_count; i++) {
		struct table_state *state = txn->touched[i];

		if (state->defer.count &&
		    (!largest || defer_bytes(&state->defer) > defer_bytes(&largest->defer)))
			largest = state;
	}
	if (!largest)
		return KV_OK;
	if (largest->defer.run_count < DEFER_MANY_RUNS)
		return defer_set_aside(&largest->defer, &txn->pool, txn->db->store);
	rc = txn_apply(txn, largest);
	return rc ? rc : txn_pressure(txn);
}

static int collect(kv_txn *txn, struct table_state *state, kv_slice key, kv_slice value,
                   enum defer_kind kind)
{
	struct defer *defer = &state->defer;
	int rc;

	if (kind != DEFER_DELETE)
		txn_adds(txn);
	rc = defer_add(defer, &txn->pool, &txn->db->mem, key, value, kind);
	if (!rc && defer->bytes >= EAGER_BYTES && may_follow(defer))
		rc = append_eagerly(txn, state);
	if (!rc && txn->pool.bytes >= txn->db->options.batch_size)
		rc = relieve(txn);
	return txn_fail(txn, rc);
}

int kv_put(kv_txn *txn, kv_table *table, kv_slice key, kv_slice value)
{
	struct node_large large;
	struct table_state *state;
	int rc = txn_enter_write(txn, table, &state);

	if (rc)
		return rc;
	rc = check_key(txn, key);
	if (!rc)
		rc = check_value(value);
	if (rc)
		return txn_fail(txn, rc);
	if (node_fits_inline(txn->db->store->page_size, key.size, value.size))
		return collect(txn, state, key, value, DEFER_PUT);
	txn_adds(txn);
	rc = large_write(&state->tree, value, &large);
	if (rc)
		return txn_fail(txn, rc);
	return collect(txn, state, key, kv_bytes(&large, sizeof large), DEFER_PUT_LARGE);
}

int kv_delete(kv_txn *txn, kv_table *table, kv_slice key)
{
	struct table_state *state;
	int rc = txn_enter_write(txn, table, &state);

	if (rc)
		return rc;
	rc = check_key(txn, key);
	return rc ? txn_fail(txn, rc) : collect(txn, state, key, kv_bytes(NULL, 0), DEFER_DELETE);
}

/* ---- writes that answer -------------------------------------------------------------------- */

/* The door for writes that look at the tree: what was deferred comes first. */
static int enter_direct(kv_txn *txn, kv_table *table, kv_slice key, struct table_state **state)
{
	int rc = txn_enter_write(txn, table, state);

	if (!rc && defer_pending(&(*state)->defer))
		rc = txn_apply(txn, *state);
	if (!rc) {
		rc = check_key(txn, key);
		if (rc)
			txn_fail(txn, rc);
	}
	return rc;
}

static int direct_done(kv_txn *txn, int rc)
{
	if (rc < 0)
		return txn_fail(txn, rc);
	if (!rc)
		return txn_pressure(txn);
	return rc;
}

int kv_put_if_absent(kv_txn *txn, kv_table *table, kv_slice key, kv_slice value, kv_slice *old)
{
	struct table_state *state;
	int rc = enter_direct(txn, table, key, &state);

	if (rc)
		return rc;
	txn_adds(txn);
	rc = check_value(value);
	return direct_done(
	        txn, rc ? rc : tree_put(&state->tree, key, value, TREE_PUT_ABSENT, old, NULL));
}

int kv_append(kv_txn *txn, kv_table *table, kv_slice key, kv_slice value)
{
	struct table_state *state;
	int rc = enter_direct(txn, table, key, &state);

	if (rc)
		return rc;
	txn_adds(txn);
	rc = check_value(value);
	return direct_done(txn,
	                   rc ? rc : tree_put(&state->tree, key, value, TREE_PUT_LAST, NULL, NULL));
}

int kv_remove(kv_txn *txn, kv_table *table, kv_slice key)
{
	struct table_state *state;
	int rc = enter_direct(txn, table, key, &state);

	return rc ? rc : direct_done(txn, tree_remove(&state->tree, key));
}

/* A large value is collected in memory and written at the transaction's next call. */
static int reserve_large(kv_txn *txn, struct table_state *state, kv_slice key, size_t size,
                         void **data)
{
	uint8_t *buffer = mem_new(&txn->db->mem, key.size + size);

	if (!buffer)
		return status_fail(KV_NOMEM, "no memory for a value of %zu bytes", size);
	if (key.size)
		memcpy(buffer, key.data, key.size);
	state->reserved = buffer;
	state->reserved_size = key.size + size;
	state->reserved_key_size = key.size;
	txn->reserving = state;
	*data = buffer + key.size;
	return KV_OK;
}

int kv_reserve(kv_txn *txn, kv_table *table, kv_slice key, size_t size, void **data)
{
	struct table_state *state;
	int rc = enter_direct(txn, table, key, &state);

	if (rc)
		return rc;
	txn_adds(txn);
	if (!data)
		rc = status_fail(KV_INVALID, "kv_reserve: data is NULL");
	else if (size > KV_MAX_VALUE)
		rc = status_fail(KV_TOO_BIG, "a value of %zu bytes is longer than %u", size,
		                 KV_MAX_VALUE);
	else if (!node_fits_inline(txn->db->store->page_size, key.size, size))
		return txn_fail(txn, reserve_large(txn, state, key, size, data));
	if (rc)
		return txn_fail(txn, rc);
	rc = txn_pressure(txn); /* before: a spill would write the page without the bytes to come */
	if (!rc)
		rc = tree_put(&state->tree, key, kv_bytes(NULL, size), TREE_PUT, NULL, data);
	return txn_fail(txn, rc);
}

/* A bound may be a slice of the very table: a copy stays what it is while that changes. */
static int copy_bound(kv_txn *txn, const kv_slice *bound, kv_slice *copy)
{
	struct key_buffer *buffer;
	int rc = check_bound(txn, bound);

	if (rc || !bound)
		return rc;
	buffer = txn_key_buffer(txn, bound->size, NULL);
	if (!buffer)
		return txn_fail(txn, status_fail(KV_NOMEM, "no memory for a key"));
	if (bound->size)
		memcpy(buffer->bytes, bound->data, bound->size);
	*copy = kv_bytes(buffer->bytes, bound->size);
	return KV_OK;
}

int kv_delete_range(kv_txn *txn, kv_table *table, const kv_slice *from, const kv_slice *to,
                    uint64_t *removed)
{
	struct table_state *state;
	kv_slice first, end;
	uint64_t count = 0;
	int rc = enter_direct(txn, table, kv_bytes(NULL, 0), &state);

	if (!rc)
		rc = copy_bound(txn, from, &first);
	if (!rc)
		rc = copy_bound(txn, to, &end);
	if (rc)
		return rc;
	rc = tree_delete_range(&state->tree, from ? &first : NULL, to ? &end : NULL, &count);
	if (removed)
		*removed = count;
	return direct_done(txn, rc);
}

int kv_clear(kv_txn *txn, kv_table *table)
{
	struct table_state *state;
	int rc = enter_direct(txn, table, kv_bytes(NULL, 0), &state);

	return rc ? rc : direct_done(txn, tree_clear(&state->tree));
}
