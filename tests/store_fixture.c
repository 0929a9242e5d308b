#include "tests/store_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int store_setup(void **state)
{
	struct store_fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	temp_dir_make(&f->dir, NULL);
	f->options = (struct store_options){
	        .path = f->dir.file,
	        .page_size = 4096,
	        .file_mode = 0600,
	        .size_limit = UINT64_MAX,
	        .map_size = (uint64_t)4 << 30,
	        .arena_size = 8 << 20,
	        .arena_reserve = 1 << 20,
	};
	*state = f;
	return 0;
}

int store_teardown(void **state)
{
	struct store_fixture *f = *state;

	if (f->store) {
		store_ledger_free(f->store, &f->ledger);
		store_close(f->store, false, false);
	}
	temp_dir_remove(&f->dir);
	free(f);
	return 0;
}

int try_open(struct store_fixture *f, const struct io_record_fault *fault)
{
	int rc;

	assert_null(f->store);
	assert_int_equal(io_record_new(&f->options.mem, &f->io), KV_OK);
	io_record_set_detail(f->io, IO_RECORD_CALLS);
	io_record_set_fault(f->io, fault);
	f->options.io = f->io;
	rc = store_open(&f->options, &f->store);
	if (rc)
		f->store = NULL;
	else
		f->ledger = (struct ledger){.txn = f->store->state.txn + 1};
	return rc;
}

void open_ok(struct store_fixture *f)
{
	assert_status(try_open(f, NULL), KV_OK);
}

void close_ok(struct store_fixture *f, bool clean)
{
	struct store *store = f->store;

	store_ledger_free(store, &f->ledger);
	f->store = NULL;
	assert_status(store_close(store, clean, false), KV_OK);
}

void reopen(struct store_fixture *f, bool clean)
{
	close_ok(f, clean);
	open_ok(f);
}

void fail_call(struct store_fixture *f, enum io_record_kind kind, uint64_t nth,
               enum io_record_effect effect)
{
	struct io_record_fault fault = {.kind = kind, .nth = nth, .effect = effect};

	io_record_set_fault(f->io, &fault);
}

/* ---- pages --------------------------------------------------------------------------------- */

static int add_page(struct store_flush *flush, unsigned fill, uint64_t birth, page_id *id)
{
	uint32_t page_size = flush->store->page_size;
	uint64_t number;
	void *image;
	int rc = store_flush_place(flush, &number);

	if (!rc)
		rc = store_flush_image(flush, &image);
	if (rc)
		return rc;
	memset(image, (int)(fill & 0xff), page_size);
	page_header(image)->birth = birth;
	page_header(image)->type = PAGE_LEAF;
	return store_flush_add(flush, number, image, id);
}

int flush_pages(struct store_fixture *f, unsigned fill, size_t count, page_id *ids)
{
	struct store_flush flush;
	int rc = store_flush_begin(f->store, &flush, &f->ledger, count);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < count; i++)
		rc = add_page(&flush, fill + (unsigned)i, f->ledger.txn, &ids[i]);
	return store_flush_end(&flush, rc);
}

page_id write_page(struct store_fixture *f, unsigned fill)
{
	page_id id = PAGE_NONE;

	assert_status(flush_pages(f, fill, 1, &id), KV_OK);
	return id;
}

void assert_page(struct store_fixture *f, page_id id, unsigned fill)
{
	assert_status(store_load(f->store, id), KV_OK);
	assert_int_equal(store_at(f->store, id)[f->store->page_size - 1], fill & 0xff);
	assert_int_equal(page_header_of(store_at(f->store, id))->type, PAGE_LEAF);
}

/* ---- commits ------------------------------------------------------------------------------- */

int try_commit(struct store_fixture *f, page_id root)
{
	struct store_state state = f->store->state;
	int rc = store_ledger_apply(f->store, &f->ledger);

	state.txn = f->ledger.txn;
	state.catalog_root = root;
	if (!rc)
		rc = store_checkpoint(f->store, &state);
	if (rc)
		return rc;
	for (size_t i = 0; i < f->ledger.retired_count; i++)
		store_free(f->store, f->ledger.retired[i].id, f->ledger.retired[i].count);
	store_ledger_empty(f->store, &f->ledger);
	f->ledger.txn++;
	return KV_OK;
}

void commit_ok(struct store_fixture *f, page_id root)
{
	assert_status(try_commit(f, root), KV_OK);
}

/* ---- the closed file ----------------------------------------------------------------------- */

static int open_raw(struct store_fixture *f)
{
	int fd = open(f->dir.file, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

struct meta read_meta_page(struct store_fixture *f, unsigned page)
{
	off_t offset = (off_t)page * f->options.page_size;
	struct meta meta;
	int fd = open_raw(f);

	assert_int_equal(pread(fd, &meta, sizeof meta, offset), sizeof meta);
	close(fd);
	return meta;
}

void write_meta_page(struct store_fixture *f, unsigned page, struct meta meta)
{
	off_t offset = (off_t)page * f->options.page_size;
	int fd = open_raw(f);

	meta.checksum = meta_checksum(&meta);
	assert_int_equal(pwrite(fd, &meta, sizeof meta, offset), sizeof meta);
	close(fd);
}

void flip_byte(struct store_fixture *f, uint64_t offset)
{
	unsigned char byte;
	int fd = open_raw(f);

	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x40;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

uint64_t size_on_disk(struct store_fixture *f)
{
	struct stat status;

	assert_int_equal(stat(f->dir.file, &status), 0);
	return (uint64_t)status.st_size;
}
