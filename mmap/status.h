/* Failing with a story: sets what kv_detail() returns for this thread. */
#ifndef KV_MMAP_STATUS_H
#define KV_MMAP_STATUS_H

#include <kv/status.h>

/* status_fail(rc, format, ...) formats the thread's detail and gives rc, which is evaluated twice:
 * `return status_fail(KV_CORRUPT, ...)` reads well. Long texts are cut at 511 bytes. A macro, so
 * that compilers and static analysis see that a failure is not zero. */
#define status_fail(rc, ...) (status_detail(__VA_ARGS__), (rc))
void status_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a failed system call: adds strerror(error). ENOSPC, EDQUOT and EFBIG become KV_FULL,
 * ENOMEM KV_NOMEM, everything else KV_IO. error is positive. */
int status_fail_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
