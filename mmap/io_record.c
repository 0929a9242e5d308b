#include "mmap/io_record.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "mmap/status.h"

/* A submitted write that has not been carried out. */
struct pending {
	struct io_file file;
	struct io_write write;
};

/* What is known of an open file; tags are never given twice, so neither is this freed early. */
struct tagged {
	char *path; /* as opened; NULL: a nameless memory file */
	int rc;     /* first failure of its batches since the last flush */
};

struct entry {
	struct io_record_call call;
	char *path, *to;
	void *data;
};

/* lock guards everything below it, and is held while a call is carried out. The trace does not use
 * the application's allocator: failing that is another test's business. */
struct recorder {
	struct io io;
	pthread_mutex_t lock;
	struct io *real;
	enum io_record_detail detail;
	bool immediate;
	struct io_record_fault fault;
	uint64_t matches; /* of the fault, since it was set */
	bool struck;
	uint64_t calls[IO_RECORD_KINDS];
	struct entry **trace;
	size_t length, capacity;
	struct tagged *files; /* of tag n at n - 1 */
	uint32_t file_count;
	struct pending *pending;
	size_t pending_count, pending_capacity;
};

static struct recorder *recorder_of(struct io *io)
{
	return (struct recorder *)io;
}

static struct recorder *lock_recorder(struct io *io)
{
	struct recorder *recorder = recorder_of(io);

	pthread_mutex_lock(&recorder->lock);
	return recorder;
}

static int unlock_recorder(struct recorder *recorder, int rc)
{
	pthread_mutex_unlock(&recorder->lock);
	return rc;
}

/* A test that runs out of memory has nothing left to say. */
static void *checked(void *ptr)
{
	if (!ptr)
		abort();
	return ptr;
}

static char *copy_text(const char *text)
{
	return text ? checked(strdup(text)) : NULL;
}

static void *copy_bytes(const void *data, size_t size)
{
	return memcpy(checked(malloc(size ? size : 1)), data, size);
}

/* ---- faults -------------------------------------------------------------------------------- */

static bool stopped(const struct recorder *recorder)
{
	return recorder->struck && recorder->fault.effect == IO_RECORD_STOP;
}

/* Counts the call against the fault; true if it has to fail. */
static bool strikes(struct recorder *recorder, const struct io_record_call *call)
{
	const struct io_record_fault *fault = &recorder->fault;

	if (stopped(recorder))
		return true;
	if (fault->nth == 0 || (fault->kind != IO_RECORD_ANY && fault->kind != call->kind) ||
	    (fault->tag != 0 && fault->tag != call->tag))
		return false;
	recorder->matches++;
	if (recorder->matches < fault->nth || (recorder->matches > fault->nth && !fault->lasting))
		return false;
	recorder->struck = true;
	return true;
}

static int fault_error(enum io_record_effect effect)
{
	return effect == IO_RECORD_ENOSPC || effect == IO_RECORD_SHORT_ENOSPC ? ENOSPC : EIO;
}

static bool is_short(enum io_record_effect effect)
{
	return effect == IO_RECORD_SHORT_EIO || effect == IO_RECORD_SHORT_ENOSPC;
}

/* Begins every call: fills in the file's path, and says whether it may go on. */
static bool admit(struct recorder *recorder, struct io_record_call *call)
{
	recorder->calls[IO_RECORD_ANY]++;
	recorder->calls[call->kind]++;
	if (call->tag)
		call->path = recorder->files[call->tag - 1].path;
	call->injected = strikes(recorder, call);
	if (!call->injected)
		return true;
	call->rc = status_fail_errno(
	        fault_error(recorder->fault.effect), "%s: injected fault in %s",
	        call->path ? call->path : "(memory)", io_record_kind_name(call->kind));
	return false;
}

/* ---- the trace ----------------------------------------------------------------------------- */

/* Ends every call: writes it down, with copies of what it points to, and returns its result. */
static int note(struct recorder *recorder, const struct io_record_call *call)
{
	struct entry *entry;

	if (recorder->detail == IO_RECORD_NOTHING)
		return call->rc;
	if (recorder->length == recorder->capacity) {
		size_t capacity = recorder->capacity ? 2 * recorder->capacity : 64;
		size_t size = capacity * sizeof(struct entry *);

		recorder->trace = checked(realloc(recorder->trace, size));
		recorder->capacity = capacity;
	}
	entry = checked(calloc(1, sizeof *entry));
	entry->path = copy_text(call->path);
	entry->to = copy_text(call->to);
	if (call->data && recorder->detail == IO_RECORD_DATA)
		entry->data = copy_bytes(call->data, (size_t)call->size);
	entry->call = *call;
	entry->call.path = entry->path;
	entry->call.to = entry->to;
	entry->call.data = entry->data;
	recorder->trace[recorder->length++] = entry;
	return call->rc;
}

static void forget_trace(struct recorder *recorder)
{
	for (size_t i = 0; i < recorder->length; i++) {
		free(recorder->trace[i]->path);
		free(recorder->trace[i]->to);
		free(recorder->trace[i]->data);
		free(recorder->trace[i]);
	}
	recorder->length = 0;
}

/* ---- opening and closing ------------------------------------------------------------------- */

/* Gives the file the next tag. */
static void tag_file(struct recorder *recorder, struct io_file *file, const char *path)
{
	size_t size = (recorder->file_count + (size_t)1) * sizeof *recorder->files;

	recorder->files = checked(realloc(recorder->files, size));
	recorder->files[recorder->file_count++] = (struct tagged){.path = copy_text(path)};
	file->tag = recorder->file_count;
}

static int record_open(struct io *io, const char *path, unsigned flags, unsigned mode,
                       struct io_file *file)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {.kind = IO_RECORD_OPEN, .path = path, .flags = flags};
	bool nameless = flags & (IO_TEMPORARY | IO_MEMORY);
	bool absent = nameless || (path && access(path, F_OK) != 0);

	*file = (struct io_file){.fd = -1};
	if (admit(recorder, &call)) {
		call.rc = recorder->real->ops->open(recorder->real, path, flags, mode, file);
		if (call.rc == KV_OK) {
			tag_file(recorder, file, path);
			call.tag = file->tag;
			call.created = absent;
		}
	}
	return unlock_recorder(recorder, note(recorder, &call));
}

static void run_pending(struct recorder *recorder, const struct io_file *file);

/* The descriptor is really closed even if the call is made to fail, as the system does it. */
static int record_close(struct io *io, struct io_file *file)
{
	struct recorder *recorder;
	struct io_record_call call = {.kind = IO_RECORD_CLOSE, .tag = file->tag};
	int rc;

	if (file->fd < 0)
		return KV_OK;
	recorder = lock_recorder(io);
	run_pending(recorder, file);
	rc = recorder->real->ops->close(recorder->real, file);
	if (admit(recorder, &call))
		call.rc = rc;
	return unlock_recorder(recorder, note(recorder, &call));
}

/* ---- one file ------------------------------------------------------------------------------ */

static int record_size(struct io *io, const struct io_file *file, uint64_t *bytes)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {.kind = IO_RECORD_SIZE, .tag = file->tag};

	if (admit(recorder, &call)) {
		call.rc = recorder->real->ops->size(recorder->real, file, bytes);
		if (call.rc == KV_OK)
			call.done = *bytes;
	}
	return unlock_recorder(recorder, note(recorder, &call));
}

static int record_read(struct io *io, const struct io_file *file, void *data, size_t size,
                       uint64_t offset, size_t *got)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {
	        .kind = IO_RECORD_READ, .tag = file->tag, .size = size, .offset = offset};

	*got = 0;
	if (admit(recorder, &call)) {
		call.rc = recorder->real->ops->read(recorder->real, file, data, size, offset, got);
		call.done = *got;
	}
	return unlock_recorder(recorder, note(recorder, &call));
}

/* Carries out one write under either name. */
static int run_write(struct recorder *recorder, const struct io_file *file,
                     enum io_record_kind kind, const struct io_write *write)
{
	struct io_record_call call = {
	        .kind = kind,
	        .tag = file->tag,
	        .size = write->size,
	        .offset = write->offset,
	        .data = write->data,
	};
	struct io *real = recorder->real;
	size_t half = write->size / 2;

	if (admit(recorder, &call)) {
		call.rc = real->ops->write(real, file, write->data, write->size, write->offset);
		if (call.rc == KV_OK)
			call.done = write->size;
	} else if (is_short(recorder->fault.effect) &&
	           real->ops->write(real, file, write->data, half, write->offset) == KV_OK) {
		call.done = half;
	}
	return note(recorder, &call);
}

static int record_write(struct io *io, const struct io_file *file, const void *data, size_t size,
                        uint64_t offset)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_write write = {data, size, offset};

	return unlock_recorder(recorder, run_write(recorder, file, IO_RECORD_WRITE, &write));
}

/* ---- batches ------------------------------------------------------------------------------- */

/* Carries out what was submitted for the file. Goes on after a failure, as io_uring may. */
static void run_pending(struct recorder *recorder, const struct io_file *file)
{
	struct tagged *tagged = &recorder->files[file->tag - 1];
	size_t kept = 0;

	for (size_t i = 0; i < recorder->pending_count; i++) {
		struct pending *pending = &recorder->pending[i];
		int rc;

		if (pending->file.tag != file->tag) {
			recorder->pending[kept++] = *pending;
			continue;
		}
		rc = run_write(recorder, file, IO_RECORD_BATCH_WRITE, &pending->write);
		if (!tagged->rc)
			tagged->rc = rc;
	}
	recorder->pending_count = kept;
}

static void add_pending(struct recorder *recorder, const struct io_file *file,
                        const struct io_write *write)
{
	if (recorder->pending_count == recorder->pending_capacity) {
		size_t capacity = recorder->pending_capacity ? 2 * recorder->pending_capacity : 64;
		size_t size = capacity * sizeof *recorder->pending;

		recorder->pending = checked(realloc(recorder->pending, size));
		recorder->pending_capacity = capacity;
	}
	recorder->pending[recorder->pending_count++] = (struct pending){*file, *write};
}

static int batch_status(const struct tagged *tagged)
{
	if (!tagged->rc)
		return KV_OK;
	return status_fail(tagged->rc, "%s: a write of a batch has failed",
	                   tagged->path ? tagged->path : "(memory)");
}

static int record_submit(struct io *io, const struct io_file *file, const struct io_write *writes,
                         size_t count)
{
	struct recorder *recorder = recorder_of(io);
	int rc;

	if (getpid() != io->owner)
		return status_fail(KV_FORKED, "written to in a forked child");
	lock_recorder(io);
	rc = batch_status(&recorder->files[file->tag - 1]);
	if (rc)
		return unlock_recorder(recorder, rc);
	for (size_t i = 0; i < count; i++)
		add_pending(recorder, file, &writes[i]);
	if (recorder->immediate)
		run_pending(recorder, file);
	return unlock_recorder(recorder, batch_status(&recorder->files[file->tag - 1]));
}

static int record_flush(struct io *io, const struct io_file *file)
{
	struct recorder *recorder = recorder_of(io);
	struct io_record_call call = {.kind = IO_RECORD_FLUSH, .tag = file->tag};
	struct tagged *tagged;

	if (getpid() != io->owner)
		return status_fail(KV_FORKED, "flushed in a forked child");
	lock_recorder(io);
	run_pending(recorder, file);
	tagged = &recorder->files[file->tag - 1];
	if (admit(recorder, &call))
		call.rc = batch_status(tagged);
	tagged->rc = KV_OK;
	return unlock_recorder(recorder, note(recorder, &call));
}

/* ---- the rest of one file ------------------------------------------------------------------ */

static int record_sync(struct io *io, const struct io_file *file)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {.kind = IO_RECORD_SYNC, .tag = file->tag};

	if (admit(recorder, &call))
		call.rc = recorder->real->ops->sync(recorder->real, file);
	return unlock_recorder(recorder, note(recorder, &call));
}

static int record_allocate(struct io *io, const struct io_file *file, uint64_t offset,
                           uint64_t size)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {
	        .kind = IO_RECORD_ALLOCATE, .tag = file->tag, .size = size, .offset = offset};

	if (admit(recorder, &call))
		call.rc = recorder->real->ops->allocate(recorder->real, file, offset, size);
	return unlock_recorder(recorder, note(recorder, &call));
}

static int record_truncate(struct io *io, const struct io_file *file, uint64_t size)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {.kind = IO_RECORD_TRUNCATE, .tag = file->tag, .size = size};

	if (admit(recorder, &call))
		call.rc = recorder->real->ops->truncate(recorder->real, file, size);
	return unlock_recorder(recorder, note(recorder, &call));
}

static int record_lock(struct io *io, const struct io_file *file, enum io_lock kind)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {
	        .kind = IO_RECORD_LOCK, .tag = file->tag, .flags = (unsigned)kind};

	if (admit(recorder, &call))
		call.rc = recorder->real->ops->lock(recorder->real, file, kind);
	return unlock_recorder(recorder, note(recorder, &call));
}

/* ---- directory entries --------------------------------------------------------------------- */

static int record_sync_directory(struct io *io, const char *path)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {.kind = IO_RECORD_SYNC_DIRECTORY, .path = path};

	if (admit(recorder, &call))
		call.rc = recorder->real->ops->sync_directory(recorder->real, path);
	return unlock_recorder(recorder, note(recorder, &call));
}

static int record_rename(struct io *io, const char *from, const char *to)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {.kind = IO_RECORD_RENAME, .path = from, .to = to};

	if (admit(recorder, &call))
		call.rc = recorder->real->ops->rename(recorder->real, from, to);
	return unlock_recorder(recorder, note(recorder, &call));
}

static int record_remove(struct io *io, const char *path)
{
	struct recorder *recorder = lock_recorder(io);
	struct io_record_call call = {.kind = IO_RECORD_REMOVE, .path = path};

	if (admit(recorder, &call))
		call.rc = recorder->real->ops->remove(recorder->real, path);
	return unlock_recorder(recorder, note(recorder, &call));
}

/* ---- the instance -------------------------------------------------------------------------- */

static void record_free(struct io *io)
{
	struct recorder *recorder = recorder_of(io);

	forget_trace(recorder);
	for (uint32_t i = 0; i < recorder->file_count; i++)
		free(recorder->files[i].path);
	free(recorder->files);
	free(recorder->trace);
	free(recorder->pending);
	recorder->real->ops->free(recorder->real);
	pthread_mutex_destroy(&recorder->lock);
	free(recorder);
}

static void record_write_out(struct io *io, const struct io_file *file, uint64_t offset,
                             uint64_t size)
{
	(void)io;
	(void)file;
	(void)offset;
	(void)size;
}

static const struct io_ops record_ops = {
        .open = record_open,
        .close = record_close,
        .size = record_size,
        .read = record_read,
        .write = record_write,
        .submit = record_submit,
        .flush = record_flush,
        .write_out = record_write_out,
        .sync = record_sync,
        .sync_directory = record_sync_directory,
        .allocate = record_allocate,
        .truncate = record_truncate,
        .rename = record_rename,
        .remove = record_remove,
        .lock = record_lock,
        .free = record_free,
};

int io_record_new(const struct mem *mem, struct io **io)
{
	struct io *real;
	struct recorder *recorder;
	int rc = io_posix_new(mem, &real);

	if (rc)
		return rc;
	recorder = checked(calloc(1, sizeof *recorder));
	recorder->io.ops = &record_ops;
	recorder->io.mem = *mem;
	recorder->io.owner = real->owner;
	recorder->real = real;
	recorder->detail = IO_RECORD_DATA;
	pthread_mutex_init(&recorder->lock, NULL);
	*io = &recorder->io;
	return KV_OK;
}

/* ---- programming and reading it ------------------------------------------------------------ */

void io_record_set_fault(struct io *io, const struct io_record_fault *fault)
{
	struct recorder *recorder = lock_recorder(io);

	recorder->fault = fault ? *fault : (struct io_record_fault){.nth = 0};
	recorder->matches = 0;
	recorder->struck = false;
	unlock_recorder(recorder, KV_OK);
}

bool io_record_struck(struct io *io)
{
	struct recorder *recorder = lock_recorder(io);
	bool struck = recorder->struck;

	unlock_recorder(recorder, KV_OK);
	return struck;
}

void io_record_set_immediate(struct io *io, bool immediate)
{
	struct recorder *recorder = lock_recorder(io);

	recorder->immediate = immediate;
	unlock_recorder(recorder, KV_OK);
}

void io_record_set_detail(struct io *io, enum io_record_detail detail)
{
	struct recorder *recorder = lock_recorder(io);

	recorder->detail = detail;
	unlock_recorder(recorder, KV_OK);
}

uint64_t io_record_calls(struct io *io, enum io_record_kind kind)
{
	struct recorder *recorder = lock_recorder(io);
	uint64_t calls = recorder->calls[kind];

	unlock_recorder(recorder, KV_OK);
	return calls;
}

size_t io_record_length(struct io *io)
{
	struct recorder *recorder = lock_recorder(io);
	size_t length = recorder->length;

	unlock_recorder(recorder, KV_OK);
	return length;
}

const struct io_record_call *io_record_get(struct io *io, size_t index)
{
	struct recorder *recorder = lock_recorder(io);
	const struct io_record_call *call = index < recorder->length ? &recorder->trace[index]->call
	                                                             : NULL;

	unlock_recorder(recorder, KV_OK);
	return call;
}

void io_record_clear(struct io *io)
{
	struct recorder *recorder = lock_recorder(io);

	forget_trace(recorder);
	unlock_recorder(recorder, KV_OK);
}

const char *io_record_kind_name(enum io_record_kind kind)
{
	static const char *const names[IO_RECORD_KINDS] = {
	        "any call", "open",        "close",  "size",   "read",
	        "write",    "batch write", "flush",  "sync",   "sync_directory",
	        "allocate", "truncate",    "rename", "remove", "lock",
	};

	return names[kind];
}
