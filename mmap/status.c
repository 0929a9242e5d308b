#include "mmap/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char detail[512];

const char *kv_detail(void)
{
	return detail;
}

const char *kv_strerror(int rc)
{
	switch (rc) {
	case KV_OK: return "success";
	case KV_NOT_FOUND: return "not found";
	case KV_EXISTS: return "exists already";
	case KV_INVALID: return "invalid argument";
	case KV_NOMEM: return "out of memory";
	case KV_IO: return "input/output error";
	case KV_FULL: return "no space left";
	case KV_CORRUPT: return "database is damaged";
	case KV_NOT_A_DATABASE: return "not a kv database";
	case KV_VERSION: return "unsupported format version or feature";
	case KV_NO_FILE: return "no such file";
	case KV_LOG_MISSING: return "the log is missing";
	case KV_BUSY: return "in use";
	case KV_TIMEOUT: return "timed out waiting for the writer lock";
	case KV_DEADLOCK: return "this thread has a write transaction already";
	case KV_READ_ONLY: return "read-only";
	case KV_TOO_BIG: return "key, value or name is too long";
	case KV_NO_TABLE: return "no such table";
	case KV_DROPPED: return "the table has been dropped";
	case KV_ENDED: return "the transaction has ended";
	case KV_FORKED: return "used in a forked child";
	case KV_FAILED: return "a write failed earlier: read-only until reopened";
	case KV_READERS: return "old readers hold too much memory";
	case KV_ORDER: return "key out of order";
	case KV_CANCELLED: return "cancelled";
	default: return "unknown status";
	}
}

static void set_detail(const char *format, va_list args, const char *reason)
{
	int n = vsnprintf(detail, sizeof detail, format, args);

	if (reason && n >= 0 && (size_t)n < sizeof detail)
		snprintf(detail + n, sizeof detail - (size_t)n, ": %s", reason);
}

void status_detail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_detail(format, args, NULL);
	va_end(args);
}

int status_fail_errno(int error, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	set_detail(format, args, strerror_r(error, text, sizeof text));
	va_end(args);
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return KV_FULL;
	case ENOMEM: return KV_NOMEM;
	default: return KV_IO;
	}
}
