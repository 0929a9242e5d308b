/* Status codes: the one header that every folder may include.
 *
 * Zero is success. Positive codes are ordinary answers, negative ones are errors. After an error
 * kv_detail() has the whole story for the calling thread. */
#ifndef KV_STATUS_H
#define KV_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum kv_status {
	KV_OK = 0,
	KV_NOT_FOUND = 1, /* no such key; a cursor ran past the end */
	KV_EXISTS = 2,    /* the key, table or file is there already, and was left as it is */

	KV_INVALID = -1, /* an argument makes no sense (NULL, zero, unknown flag) */
	KV_NOMEM = -2,   /* the allocator or mmap said no */
	KV_IO = -3,      /* a system call on the file failed; the detail names it and errno */
	KV_FULL = -4,    /* the disk is full, or the size limit or a format limit is reached */
	KV_CORRUPT = -5, /* damage was found; the detail names the page */
	KV_NOT_A_DATABASE =
	        -6,          /* the file is something else, or empty and KV_CREATE was not given */
	KV_VERSION = -7,     /* made by a newer format or with a feature this build lacks */
	KV_NO_FILE = -8,     /* no such file, and none was to be created */
	KV_LOG_MISSING = -9, /* the log that the file needs is gone */
	KV_BUSY = -10,       /* opened elsewhere; or closing with transactions still open */
	KV_TIMEOUT = -11,    /* the writer lock was not free within the time limit */
	KV_DEADLOCK = -12,   /* this thread holds the write transaction already */
	KV_READ_ONLY = -13,  /* a write in a reader, or in a database opened read-only */
	KV_TOO_BIG = -14,    /* key, value or name beyond its limit */
	KV_NO_TABLE = -15,   /* no such table in this snapshot */
	KV_DROPPED = -16,    /* the handle's table has been dropped */
	KV_ENDED = -17,      /* the transaction has been committed, aborted or ended */
	KV_FORKED = -18,     /* used in a child of the process that opened it */
	KV_FAILED = -19,     /* an earlier write or sync failed: reads only, until reopened */
	KV_READERS = -20,    /* old readers hold so much memory that no writer may begin */
	KV_ORDER = -21,      /* kv_append: the key does not sort after the last one */
	KV_CANCELLED = -22,  /* a progress callback asked to stop */
};

/* A short text for a code, in English, static; unknown codes get "unknown status". Thread-safe. */
const char *kv_strerror(int rc);

/* The whole story of the calling thread's latest error: one line, without newline, valid until
 * the thread's next error; "" if there was none. Thread-safe. */
const char *kv_detail(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
