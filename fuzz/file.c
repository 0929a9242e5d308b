/* Fuzz target: a database file of any bytes is opened, walked, checked, written to and closed. None
 * of it may crash, hang or read outside of the file.
 *
 * Random bytes would never get past the checksums, so inputs are made from small real databases and
 * repaired after each mutation: checksums of pages, and the tags of them that page ids carry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kv/kv.h>

#include "mmap/meta.h"
#include "mmap/page.h"

#define PAGE ((size_t)4096)
#define SEEDS 4
#define MAX_SIZE (128 * PAGE) /* bytes in an input */
#define MAX_STEPS 3000        /* cursor moves; forged trees can be longer than time */
#define MAX_REPAIRS 200       /* pages; forged files may name each other in circles */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static char path[256];

struct seed {
	uint8_t *data;
	size_t size;
};

static struct seed seeds[SEEDS];

static void need(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz: %s: %s\n", what, kv_detail());
	abort();
}

/* ---- seeds --------------------------------------------------------------------------------- */

static void put(kv_txn *txn, kv_table *table, unsigned number, size_t size)
{
	static const char value[20000];
	char key[16];

	snprintf(key, sizeof(key), "key %06u", number);
	kv_put(txn, table, kv_bytes(key, strlen(key)), kv_bytes(value, size));
}

/* 0: nothing, 1: a leaf, 2: branches, 3: many tables and large values. */
static void fill(kv_db *db, int kind)
{
	const unsigned tables[] = {0, 1, 1, 40}, entries[] = {0, 10, 3000, 4};
	kv_txn *txn;
	kv_table *table;
	char name[16];

	need(!kv_begin(db, KV_WRITE, &txn), "kv_begin");
	for (unsigned i = 0; i < tables[kind]; i++) {
		snprintf(name, sizeof(name), "table %u", i);
		need(!kv_table_open(txn, name, KV_CREATE, &table), "kv_table_open");
		for (unsigned n = 0; n < entries[kind]; n++)
			put(txn, table, n, kind == 3 && n == 3 && i < 5 ? 9000 : n % 60);
	}
	need(!kv_commit(txn), "kv_commit");
}

static void seed_make(struct seed *seed, int kind)
{
	kv_options options = {.page_size = PAGE};
	FILE *file;
	kv_db *db;
	long size = 0;

	unlink(path);
	need(!kv_open(path, &options, &db), "kv_open");
	fill(db, kind);
	need(!kv_close(db), "kv_close");
	file = fopen(path, "rb");
	need(file && !fseek(file, 0, SEEK_END) && (size = ftell(file)) > 0, "reading a seed");
	seed->size = (size_t)size;
	seed->data = malloc(seed->size);
	rewind(file);
	need(seed->data && fread(seed->data, 1, seed->size, file) == seed->size, "reading a seed");
	need(seed->size <= MAX_SIZE, "a seed is too large");
	fclose(file);
}

/* Without files to start from libFuzzer would stop at 4096 bytes: asks for more, before the given
 * arguments, so that they prevail. */
static void ask_for_length(int *argc, char ***argv)
{
	static char length[32];
	char **more = calloc((size_t)*argc + 2, sizeof(*more));

	need(more != NULL, "out of memory");
	snprintf(length, sizeof(length), "-max_len=%zu", MAX_SIZE);
	more[0] = (*argv)[0];
	more[1] = length;
	memcpy(more + 2, *argv + 1, (size_t)(*argc - 1) * sizeof(*more));
	*argv = more;
	(*argc)++;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *directory = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";

	snprintf(path, sizeof(path), "%s/kv-fuzz-%ld", directory, (long)getpid());
	for (int i = 0; i < SEEDS; i++)
		seed_make(&seeds[i], i);
	ask_for_length(argc, argv);
	return 0;
}

/* ---- what is done with a file -------------------------------------------------------------- */

/* Every byte, so that a slice that points astray is noticed. */
static void touch(kv_slice slice)
{
	const uint8_t *bytes = slice.data;
	uint8_t sum = 0;

	for (size_t i = 0; i < slice.size; i++)
		sum ^= bytes[i];
	__asm__ volatile("" : : "r"(sum)); /* or the loop would be optimized away */
}

static void walk(kv_txn *txn, kv_table *table)
{
	int (*const moves[])(kv_cursor *) = {kv_cursor_next, kv_cursor_prev};
	kv_cursor cursor;
	kv_slice key, value;
	uint64_t count = 0;

	for (int i = 0; i < 2; i++) {
		if (kv_cursor_open(txn, table, &cursor))
			return;
		for (int steps = 0; steps < MAX_STEPS && !moves[i](&cursor); steps++) {
			touch(cursor.key);
			touch(cursor.value);
			if (steps % 16 == 0 && !kv_get(txn, table, cursor.key, &value))
				touch(value);
		}
	}
	kv_count(txn, table, &count);
	if (!kv_nth(txn, table, count / 2, &key, &value))
		kv_rank(txn, table, key, &count);
}

struct names {
	char name[8][KV_MAX_TABLE_NAME + 1];
	int count;
};

static int collect(void *arg, const char *name, uint64_t entries)
{
	struct names *names = arg;

	(void)entries;
	snprintf(names->name[names->count], sizeof(names->name[0]), "%s", name);
	return ++names->count == 8;
}

static void read_all(kv_db *db, struct names *names)
{
	kv_table *table;
	kv_txn *txn;

	names->count = 0;
	if (kv_begin(db, KV_READ, &txn))
		return;
	kv_table_list(txn, collect, names);
	for (int i = 0; i < names->count; i++)
		if (!kv_table_open(txn, names->name[i], 0, &table))
			walk(txn, table);
	kv_end(txn);
}

static void change(kv_txn *txn, kv_table *table, int how)
{
	kv_slice from = kv_bytes("key 000002", 10), to = kv_bytes("key 002", 7);
	kv_cursor cursor;

	put(txn, table, 1, 100);
	put(txn, table, 999999, 20000);
	if (how % 2)
		kv_delete_range(txn, table, &from, &to, NULL);
	kv_cursor_open(txn, table, &cursor);
	for (int i = 0; i < 20 && !kv_cursor_next(&cursor); i++)
		kv_cursor_delete(&cursor);
	if (how % 4 == 2)
		kv_table_drop(txn, table);
}

/* A transaction per table: one that fails must not spare the others. */
static void write_all(kv_db *db, const struct names *names)
{
	kv_table *table;
	kv_txn *txn;

	for (int i = 0; i < names->count; i++) {
		if (kv_begin_write(db, 0, i % 2 ? KV_NONE : KV_IMMEDIATE, &txn))
			return;
		if (!kv_table_open(txn, names->name[i], 0, &table))
			change(txn, table, i);
		kv_commit(txn);
	}
}

static void use(unsigned flags)
{
	kv_options options = {
	        .flags = flags | KV_NO_URING, .map_size = 64u << 20, .arena_size = 1u << 20};
	struct names names;
	kv_db *db;

	if (kv_open(path, &options, &db))
		return;
	read_all(db, &names);
	kv_check(db, NULL, NULL, NULL);
	if (!(flags & KV_READ_ONLY_DB)) {
		write_all(db, &names);
		read_all(db, &names);
		kv_check(db, NULL, NULL, NULL);
	}
	kv_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *file = fopen(path, "wb");

	need(file && fwrite(data, 1, size, file) == size && !fclose(file), "writing the input");
	use(KV_READ_ONLY_DB);
	use(KV_EXISTING);
	unlink(path);
	return 0;
}

/* ---- repairing ----------------------------------------------------------------------------- */

static uint64_t load(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static void store(uint8_t *at, uint64_t word)
{
	memcpy(at, &word, sizeof(word));
}

/* Whether the word is an id of the page: a plain one, or an entry of the free-space map, which
 * names the first of two pages and says by bit 56 which of them it means. */
static int names_page(uint64_t word, uint64_t number, uint16_t tag)
{
	uint64_t second = word >> 56 & 1;

	return page_tag(word) == tag && page_number(word) + second == number && !(word >> 57);
}

/* Gives all ids of the page the new tag, and remembers which pages have changed by that. */
static void retag(uint8_t *data, size_t pages, uint64_t number, uint16_t from, uint16_t to,
                  uint8_t *changed)
{
	for (size_t at = 0; at < pages * PAGE; at += 8) {
		uint64_t word = load(data + at);

		if (!word || !names_page(word, number, from))
			continue;
		word &= ~(UINT64_C(0xffff) << PAGE_TAG_SHIFT);
		store(data + at, word | (uint64_t)to << PAGE_TAG_SHIFT);
		changed[at / PAGE] = 1;
	}
}

static void repair_meta(uint8_t *page)
{
	struct meta meta;

	memcpy(&meta, page, sizeof(meta));
	meta.checksum = meta_checksum(&meta);
	memcpy(page, &meta, sizeof(meta));
}

/* Recomputes checksums from the changed pages up to the meta pages. old: before the mutation. */
static void repair(uint8_t *data, size_t size, const uint8_t *old, uint8_t *changed)
{
	size_t pages = size / PAGE, number = 2;
	uint64_t database_id = load(data + offsetof(struct meta, database_id));

	for (int repairs = 0; repairs < MAX_REPAIRS && number < pages; number++) {
		uint8_t *page = data + number * PAGE;
		uint64_t checksum;

		if (!changed[number])
			continue;
		changed[number] = 0;
		repairs++;
		checksum = page_checksum(page, PAGE, database_id, number);
		store(page, checksum);
		retag(data, pages, number, (uint16_t)load(old + number * 8), (uint16_t)checksum,
		      changed);
		number = 1; /* parents may lie before their children */
	}
	for (number = 0; number < 2 && number < pages; number++)
		repair_meta(data + number * PAGE);
}

/* ---- mutating ------------------------------------------------------------------------------ */

static uint64_t random_number(unsigned *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* A word at a random place, more often in a header or the arrays behind it than in the heap. */
static void mutate_word(uint8_t *page, unsigned *state)
{
	static const uint64_t words[] = {0,          1,          2,    0xff,    0xffff,
	                                 0x7fffffff, UINT64_MAX, PAGE, PAGE - 1};
	size_t room = random_number(state) % 2 ? 64 : PAGE - 8,
	       width = (size_t)1 << random_number(state) % 4;
	size_t at = random_number(state) % room;
	uint64_t word = words[random_number(state) % (sizeof(words) / sizeof(words[0]))];

	if (random_number(state) % 2)
		word = load(page + at) + random_number(state) % 17 - 8;
	memcpy(page + at, &word, width);
}

static void mutate_page(uint8_t *data, size_t pages, size_t number, unsigned *state)
{
	uint8_t *page = data + number * PAGE;
	uint64_t choice = random_number(state) % 8;

	if (choice < 4)
		mutate_word(page, state);
	else if (choice < 7)
		LLVMFuzzerMutate(page + 8, PAGE - 8, PAGE - 8);
	else
		memcpy(page, data + random_number(state) % pages * PAGE, PAGE);
}

/* Half of the pages of a small database are unused: tries for one with something in it. */
static size_t choose_page(const uint8_t *data, size_t pages, unsigned *state)
{
	size_t number = random_number(state) % pages;

	for (int tries = 0; tries < 10 && number >= 2 && !load(data + number * PAGE + 8); tries++)
		number = random_number(state) % pages;
	return number;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static uint8_t old[MAX_SIZE / PAGE * 8], changed[MAX_SIZE / PAGE + 1];
	unsigned state = seed * 2654435761u + 1;
	const struct seed *fresh = &seeds[random_number(&state) % SEEDS];
	size_t pages, changes = 1 + random_number(&state) % 3;

	if ((size < 3 * PAGE || random_number(&state) % 64 == 0) && fresh->size <= max_size) {
		memcpy(data, fresh->data, fresh->size);
		size = fresh->size;
	}
	pages = size / PAGE;
	if (pages < 3 || size > MAX_SIZE || random_number(&state) % 32 == 0)
		return LLVMFuzzerMutate(data, size, max_size); /* anything at all */
	for (size_t i = 0; i < pages; i++)
		memcpy(old + i * 8, data + i * PAGE, 8);
	memset(changed, 0, sizeof(changed));
	while (changes--) {
		size_t number = choose_page(data, pages, &state);

		mutate_page(data, pages, number, &state);
		changed[number] = 1;
	}
	if (random_number(&state) % 16)
		repair(data, size, old, changed);
	return size;
}
