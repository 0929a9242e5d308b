/* Failing with a story: sets what kv_detail() returns for this thread. */
#ifndef KV_MMAP_STATUS_H
#define KV_MMAP_STATUS_H

#include <kv/status.h>

/* Formats the thread's detail and returns rc, so that `return status_fail(KV_CORRUPT, ...)` reads
 * well. Long texts are cut at 511 bytes. */
int status_fail(int rc, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a failed system call: adds strerror(error). ENOSPC, EDQUOT and EFBIG become KV_FULL,
 * ENOMEM KV_NOMEM, everything else KV_IO. error is positive. */
int status_fail_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
