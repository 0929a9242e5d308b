/* The damage test: a small, cleanly closed database with every byte changed in turn, the file cut
 * everywhere, pages lost and misplaced. Every open and read must give the right data or KV_CORRUPT,
 * in little time; never a crash, never a wrong answer. A single damaged byte in a meta page must
 * not cost anything, since there are two.
 *
 * Cases are tried in child processes, so that a crash or a hang is known by its case. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/keys.h"
#include "tests/model.h"
#include "tests/support.h"

#define TABLES 3u
#define HANG_SECONDS 20
#define WORKERS 2

enum outcome { RIGHT, CORRUPT, WRONG };

enum kind { FLIP, CUT, GROW, ZERO, MISPLACE, KINDS };

static const char *const kind_names[KINDS] = {
        "bytes changed", "cut files", "longer files", "pages of zeros", "misplaced pages",
};

/* One way to damage the file. */
struct damage {
	enum kind kind;
	uint64_t at;   /* FLIP: byte; CUT, GROW: size; ZERO, MISPLACE: page written */
	uint64_t from; /* MISPLACE: page copied */
};

/* What a worker is at; shared with the parent. */
struct desk {
	_Atomic uint64_t current;
	_Atomic uint64_t outcomes[KINDS][WRONG + 1];
};

struct test {
	uint64_t page_size, mask, step;
	const char *parent;
	struct temp_dir dir;
	struct model model;   /* what the database holds */
	unsigned char *image; /* the undamaged file */
	size_t size;
	struct damage *damages;
	uint64_t count;
	struct desk *desks; /* one per worker */
};

/* ---- the database -------------------------------------------------------------------------- */

static void must(int rc, const char *call)
{
	if (!rc)
		return;
	fprintf(stderr, "damage test: %s: %s (%s)\n", call, kv_strerror(rc), kv_detail());
	exit(2);
}

/* Enough for branches and large values, small enough to damage every byte. */
static void fill_table(kv_txn *txn, struct model_table *table, struct random *random)
{
	static const enum key_kind kinds[TABLES] = {KEY_RANDOM, KEY_NESTED, KEY_DENSE};
	static const unsigned counts[TABLES] = {150, 10, 3};
	unsigned char key[KV_MAX_KEY(KV_MAX_PAGE_SIZE)];
	kv_table *handle;

	must(kv_table_open(txn, table->name, KV_CREATE, &handle), "kv_table_open");
	for (unsigned i = 0; i < counts[table->id]; i++) {
		size_t size = key_make(kinds[table->id], random_next(random), 900, key);
		uint32_t value_size = i == 1 ? 9000 : (uint32_t)random_below(random, 100);
		struct model_value value = model_value_new(random, value_size);

		must(kv_put(txn, handle, kv_bytes(key, size), model_value_bytes(value)), "kv_put");
		rows_put(&table->rows, kv_bytes(key, size), value);
	}
}

static void build(struct test *test)
{
	kv_options options = {.page_size = (uint32_t)test->page_size};
	struct random random = {7};
	char name[MODEL_NAME];
	kv_txn *txn;
	kv_db *db;

	must(kv_open(test->dir.file, &options, &db), "kv_open");
	for (uint32_t i = 0; i < TABLES; i++) {
		snprintf(name, sizeof(name), "table %u", i);
		model_add(&test->model, i, name);
		must(kv_begin(db, KV_WRITE, &txn), "kv_begin");
		fill_table(txn, &test->model.tables[i], &random);
		must(kv_commit(txn), "kv_commit");
	}
	must(kv_close(db), "kv_close");
	test->image = file_read(test->dir.file, &test->size);
}

/* ---- reading it ---------------------------------------------------------------------------- */

static enum outcome outcome_of(int rc)
{
	return rc == KV_CORRUPT ? CORRUPT : WRONG;
}

static enum outcome read_table(kv_txn *txn, const struct model_table *table, bool changed)
{
	const struct model_entry *entry;
	kv_table *handle;
	kv_cursor cursor;
	kv_slice value;
	int rc = kv_table_open(txn, table->name, 0, &handle);

	if (!rc)
		rc = kv_cursor_open(txn, handle, &cursor);
	if (rc)
		return outcome_of(rc);
	for (uint64_t i = 0; i < rows_count(table->rows); i++) {
		entry = rows_at(table->rows, i);
		rc = kv_cursor_next(&cursor);
		if (rc)
			return outcome_of(rc);
		if (model_compare(cursor.key, model_key(entry)) ||
		    !model_value_is(entry->value, cursor.value))
			return WRONG;
		rc = kv_get(txn, handle, model_key(entry), &value);
		if (rc)
			return outcome_of(rc);
		if (!model_value_is(entry->value, value))
			return WRONG;
	}
	rc = kv_cursor_next(&cursor);
	if (changed && rc == KV_OK) /* the entry that write_one adds sorts last */
		rc = kv_cursor_next(&cursor);
	return rc == KV_NOT_FOUND ? RIGHT : outcome_of(rc);
}

static enum outcome read_all(const struct test *test, kv_db *db, bool changed)
{
	enum outcome worst = RIGHT;
	kv_txn *txn;
	int rc = kv_begin(db, KV_READ, &txn);

	if (rc)
		return outcome_of(rc);
	for (uint32_t i = 0; i < TABLES; i++) {
		enum outcome one = read_table(txn, &test->model.tables[i], changed && i == 0);

		if (one > worst)
			worst = one;
	}
	rc = kv_end(txn); /* says KV_CORRUPT again if it was met */
	return rc && worst == RIGHT ? WRONG : worst;
}

/* Puts a key behind all others of the first table. KV_OK or the error. */
static int write_one(kv_db *db)
{
	unsigned char key[30];
	kv_table *table;
	kv_txn *txn;
	int rc = kv_begin(db, KV_WRITE, &txn);

	if (rc)
		return rc;
	memset(key, 0xff, sizeof(key));
	rc = kv_table_open(txn, "table 0", 0, &table);
	if (!rc)
		kv_put(txn, table, kv_bytes(key, sizeof(key)), text("value"));
	return kv_commit(txn);
}

/* Opens for writing, checks, writes, reads: a damaged page must not spread. */
static enum outcome try_writing(const struct test *test, const char *path)
{
	kv_options options = {.flags = KV_EXISTING, .map_size = 1u << 30, .arena_size = 1u << 20};
	enum outcome first, second;
	kv_db *db;
	int rc = kv_open(path, &options, &db), checked;

	if (rc)
		return outcome_of(rc);
	first = read_all(test, db, false);
	checked = kv_check(db, NULL, NULL, NULL);
	if (checked != KV_OK && checked != KV_CORRUPT)
		first = WRONG;
	if (first == CORRUPT && checked == KV_OK)
		first = WRONG; /* the checker has overlooked it */
	rc = write_one(db);
	second = rc ? outcome_of(rc) : read_all(test, db, true);
	rc = kv_close(db);
	if (rc && rc != KV_CORRUPT)
		return WRONG;
	return first > second ? first : second;
}

static enum outcome try_reading(const struct test *test, const char *path)
{
	kv_options options = {
	        .flags = KV_READ_ONLY_DB, .map_size = 1u << 30, .arena_size = 1u << 20};
	enum outcome outcome;
	kv_db *db;
	int rc = kv_open(path, &options, &db);

	if (rc)
		return outcome_of(rc);
	outcome = read_all(test, db, false);
	return kv_close(db) ? WRONG : outcome;
}

/* ---- the cases ----------------------------------------------------------------------------- */

static void add(struct test *test, enum kind kind, uint64_t at, uint64_t from)
{
	test->damages[test->count++] = (struct damage){kind, at, from};
}

static void plan(struct test *test)
{
	uint64_t pages = test->size / test->page_size;

	test->damages = calloc(test->size + 5 * pages + pages * pages + 10, sizeof(*test->damages));
	if (!test->damages)
		exit(2);
	for (uint64_t i = 0; i < pages; i++) {
		add(test, CUT, (i + 1) * test->page_size - test->page_size / 2, 0);
		if (i + 1 < pages)
			add(test, CUT, (i + 1) * test->page_size, 0);
		add(test, ZERO, i, 0);
		for (uint64_t from = 0; from < pages; from++)
			if (from != i)
				add(test, MISPLACE, i, from);
	}
	add(test, GROW, test->size + 1, 0);
	add(test, GROW, test->size + test->page_size, 0);
	for (uint64_t i = 0; i < test->size; i += test->step)
		add(test, FLIP, i, 0);
}

/* Writes the damaged file. */
static void damage_file(const struct test *test, const struct damage *damage, int fd)
{
	static unsigned char *copy;
	size_t page = test->page_size, size = test->size;

	if (!copy)
		copy = malloc(test->size);
	if (!copy)
		exit(2);
	memcpy(copy, test->image, test->size);
	if (damage->kind == FLIP)
		copy[damage->at] ^= (unsigned char)test->mask;
	else if (damage->kind == ZERO)
		memset(copy + damage->at * page, 0, page);
	else if (damage->kind == MISPLACE)
		memcpy(copy + damage->at * page, test->image + damage->from * page, page);
	else if (damage->kind == CUT)
		size = damage->at;
	if (ftruncate(fd, 0) || pwrite(fd, copy, size, 0) != (ssize_t)size)
		exit(2);
	if (damage->kind == GROW && ftruncate(fd, (off_t)damage->at))
		exit(2);
}

static bool in_meta_page(const struct test *test, const struct damage *damage)
{
	return damage->kind != CUT && damage->kind != GROW &&
	       (damage->kind == FLIP ? damage->at / test->page_size : damage->at) < 2;
}

static void describe(const struct damage *damage)
{
	fprintf(stderr, "damage test: %s, at %llu (from %llu)", kind_names[damage->kind],
	        (unsigned long long)damage->at, (unsigned long long)damage->from);
}

/* Tries one case for reading and for writing; false if the promise is broken. */
static bool try_case(const struct test *test, const struct damage *damage, struct desk *desk,
                     const char *path, int fd)
{
	for (int writing = 0; writing < 2; writing++) {
		enum outcome outcome;

		damage_file(test, damage, fd);
		outcome = writing ? try_writing(test, path) : try_reading(test, path);
		atomic_fetch_add(&desk->outcomes[damage->kind][outcome], 1);
		if (outcome == WRONG || (outcome != RIGHT && in_meta_page(test, damage))) {
			describe(damage);
			fprintf(stderr, ", %s: %s; detail: %s\n", writing ? "writing" : "reading",
			        outcome == WRONG ? "wrong answer" : "a meta page is lost",
			        kv_detail());
			return false;
		}
	}
	return true;
}

static _Noreturn void worker(const struct test *test, unsigned number, uint64_t from)
{
	struct desk *desk = &test->desks[number];
	char path[SUPPORT_PATH + 64];
	bool good = true;
	int fd;

	snprintf(path, sizeof(path), "%s.%u", test->dir.file, number);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0)
		exit(2);
	for (uint64_t i = from; i < test->count; i += WORKERS) {
		atomic_store(&desk->current, i);
		alarm(HANG_SECONDS);
		good = try_case(test, &test->damages[i], desk, path, fd) && good;
	}
	_exit(good ? 0 : 1);
}

/* Starts a worker; one that dies is replaced by another that goes on behind the fatal case. */
static bool run_worker(const struct test *test, unsigned number)
{
	uint64_t from = number;
	bool good = true;
	int status = 0;

	for (;;) {
		pid_t child = fork();

		if (!child)
			worker(test, number, from);
		if (child < 0 || waitpid(child, &status, 0) != child)
			exit(2);
		if (WIFEXITED(status))
			return good && !WEXITSTATUS(status);
		good = false;
		describe(&test->damages[test->desks[number].current]);
		fprintf(stderr, ": %s\n", WTERMSIG(status) == SIGALRM ? "hangs" : "crashes");
		from = test->desks[number].current + WORKERS;
	}
}

static bool run_all(const struct test *test)
{
	bool good = true;
	int status;

	for (unsigned i = 0; i < WORKERS; i++)
		if (!fork())
			_exit(run_worker(test, i) ? 0 : 1);
	for (unsigned i = 0; i < WORKERS; i++)
		good = wait(&status) > 0 && !status && good;
	return good;
}

static void report(const struct test *test)
{
	for (int kind = 0; kind < KINDS; kind++) {
		uint64_t sums[WRONG + 1] = {0};

		for (int i = 0; i < WORKERS; i++)
			for (int outcome = RIGHT; outcome <= WRONG; outcome++)
				sums[outcome] += test->desks[i].outcomes[kind][outcome];
		printf("  %-16s %8llu right, %8llu KV_CORRUPT, %llu wrong\n", kind_names[kind],
		       (unsigned long long)sums[RIGHT], (unsigned long long)sums[CORRUPT],
		       (unsigned long long)sums[WRONG]);
	}
}

int main(int argc, char **argv)
{
	struct test test = {.page_size = 4096, .mask = 0xff, .step = 1};
	const struct option_spec specs[] = {
	        {"page-size", &test.page_size, NULL, "bytes"},
	        {"mask", &test.mask, NULL, "what bytes are XORed with"},
	        {"step", &test.step, NULL, "change every so many bytes"},
	        {"dir", NULL, &test.parent,
	         "where the files go; default /dev/shm, $TMPDIR or /tmp"},
	        {0},
	};
	double start = seconds_now();
	bool good;

	options_parse(argc, argv, specs);
	if (!test.parent && !access("/dev/shm", W_OK))
		test.parent = "/dev/shm"; /* syncs cost nothing there, and nothing is to survive */
	temp_dir_make(&test.dir, test.parent);
	build(&test);
	plan(&test);
	test.desks = mmap(NULL, WORKERS * sizeof(*test.desks), PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (test.desks == MAP_FAILED)
		exit(2);
	printf("damage test: a file of %zu bytes, %llu cases\n", test.size,
	       (unsigned long long)test.count);
	fflush(stdout);
	good = run_all(&test);
	report(&test);
	printf("%.1f s\n", seconds_now() - start);
	model_free(&test.model);
	free(test.image);
	free(test.damages);
	temp_dir_remove(&test.dir);
	return good ? 0 : 1;
}
