/* A program outside of the project: built against the installed headers and archive, in C and
 * (consumer.cpp includes this file) in C++. */
#include <kv/kv.h>

#include <stdio.h>
#include <string.h>

static int fail(const char *what, int rc)
{
	fprintf(stderr, "%s: %s (%s)\n", what, kv_strerror(rc), kv_detail());
	return 1;
}

static int greet(kv_txn *txn, void *arg)
{
	kv_table *table;
	int rc = kv_table_open(txn, "greetings", KV_CREATE, &table);

	(void)arg;
	if (rc)
		return rc;
	return kv_put(txn, table, kv_bytes("hello", 5), kv_bytes("world", 5));
}

static int read_back(kv_txn *txn, void *arg)
{
	kv_table *table;
	kv_slice *value = (kv_slice *)arg;
	int rc = kv_table_open(txn, "greetings", 0, &table);

	if (rc)
		return rc;
	rc = kv_get(txn, table, kv_bytes("hello", 5), value);
	if (rc)
		return rc;
	return value->size == 5 && memcmp(value->data, "world", 5) == 0 ? KV_OK : KV_CORRUPT;
}

int main(void)
{
	kv_options options;
	kv_slice value;
	kv_db *db;
	int rc;

	memset(&options, 0, sizeof options);
	options.flags = KV_IN_MEMORY;
	rc = kv_open(NULL, &options, &db);
	if (rc)
		return fail("open", rc);
	rc = kv_update(db, greet, NULL);
	if (rc)
		return fail("update", rc);
	rc = kv_view(db, read_back, &value);
	if (rc)
		return fail("view", rc);
	rc = kv_close(db);
	if (rc)
		return fail("close", rc);
	printf("kv %s\n", kv_version());
	return 0;
}
