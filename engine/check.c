/* The checker: walks everything that the newest snapshot reaches, and holds the result against the
 * free-space map. Every page must be exactly one of: fixed (meta, map), reached once, or free. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

struct checker {
	kv_db *db;
	kv_fault fault;
	kv_progress progress;
	void *arg;
	uint64_t *reached; /* bit per file page */
	uint64_t pages;    /* in the file */
	uint64_t done, told;
	uint64_t faults;
	const char *table; /* being walked */
};

static void tell(struct checker *c, uint64_t page, const char *what)
{
	char text[600];

	c->faults++;
	if (!c->fault)
		return;
	snprintf(text, sizeof text, "%s%s%s%s", c->table ? "table \"" : "",
	         c->table ? c->table : "", c->table ? "\": " : "", what);
	c->fault(c->arg, page, text);
}

static void on_fault(void *arg, uint64_t page, const char *what)
{
	tell(arg, page, what);
}

#define PROGRESS_PAGES 1024

/* Progress is told every few pages, as pages walked of pages in the file. */
static int tell_progress(struct checker *c, uint64_t more)
{
	c->done += more;
	if (!c->progress || c->done - c->told < PROGRESS_PAGES)
		return KV_OK;
	c->told = c->done;
	return c->progress(c->arg, c->done, c->pages)
	               ? status_fail(KV_CANCELLED, "the check was cancelled")
	               : KV_OK;
}

static int on_visit(void *arg, uint64_t first, uint64_t count)
{
	struct checker *c = arg;

	if (first >= c->pages || count > c->pages - first) {
		tell(c, first, "lies beyond the end of the file");
		return KV_CORRUPT;
	}
	for (uint64_t n = first; n < first + count; n++) {
		uint64_t bit = UINT64_C(1) << (n % 64);

		if (c->reached[n / 64] & bit) {
			tell(c, n, "is reached twice");
			return KV_CORRUPT;
		}
		c->reached[n / 64] |= bit;
	}
	return tell_progress(c, count);
}

static int walk(struct checker *c, const struct tree *tree)
{
	struct tree_check check = {.fault = on_fault, .visit = on_visit, .arg = c};

	return tree_check(tree, &check);
}

static int walk_table(void *arg, const char *name, uint64_t id, const struct table_record *record)
{
	struct checker *c = arg;
	struct tree tree = {
	        .store = c->db->store,
	        .leaf_type = PAGE_LEAF,
	        .root = record->root,
	        .height = record->height,
	        .count = record->count,
	        .empty_since = record->empty_since,
	        .has_large = record->flags & RECORD_HAS_LARGE,
	};
	int rc;

	(void)id;
	c->table = name;
	rc = walk(c, &tree);
	c->table = NULL;
	return rc == KV_CORRUPT ? KV_OK : rc; /* told already: on with the next table */
}

static void compare_with_map(struct checker *c)
{
	const struct space *space = &c->db->store->space;

	for (uint64_t n = 0; n < c->pages; n++) {
		bool reached = c->reached[n / 64] >> (n % 64) & 1;
		bool free = bitmap_test(space->tip, n);
		bool fixed = bitmap_test(space->fixed, n);

		if (fixed && (reached || free))
			tell(c, n, "is a page of the file's own, yet reached or free");
		else if (reached && free)
			tell(c, n, "is in use, yet free in the free-space map");
		else if (!fixed && !reached && !free)
			tell(c, n, "is neither in use nor free");
	}
}

static int check_locked(struct checker *c)
{
	struct tree catalog;
	int rc;

	catalog_tree(c->db, &c->db->tip, NULL, &catalog);
	rc = walk(c, &catalog);
	if (rc && rc != KV_CORRUPT)
		return rc;
	rc = catalog_each(&catalog, walk_table, c);
	if (rc == KV_CORRUPT)
		tell(c, UINT64_MAX, kv_detail());
	else if (rc)
		return rc;
	if (c->faults) /* what is damaged is not reached: the map would only add noise */
		return KV_OK;
	compare_with_map(c);
	return KV_OK;
}

int kv_check(kv_db *db, kv_fault fault, kv_progress progress, void *arg)
{
	struct checker c = {.db = db, .fault = fault, .progress = progress, .arg = arg};
	size_t bytes;
	int rc = db_check(db);

	if (rc)
		return rc;
	rc = writer_lock_take(&db->lock, UINT64_MAX);
	if (rc)
		return rc;
	c.pages = atomic_load(&db->store->file_pages);
	bytes = (size_t)(c.pages / 64 + 1) * sizeof *c.reached;
	c.reached = mem_new(&db->mem, bytes);
	rc = c.reached ? check_locked(&c) : status_fail(KV_NOMEM, "no memory for a bit per page");
	mem_free(&db->mem, c.reached, bytes);
	writer_lock_give(&db->lock);
	if (!rc && c.faults)
		rc = status_fail(KV_CORRUPT, "the check found %llu faults",
		                 (unsigned long long)c.faults);
	return rc;
}
