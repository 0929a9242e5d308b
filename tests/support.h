/* What all test programs need: a directory of their own, time, arguments. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kv/kv.h>

#define SUPPORT_PATH 512 /* bytes for a path, with its NUL */

/* Whether a sanitizer is built in: memory and time mean nothing then. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SUPPORT_SANITIZED 1
#elif defined(__has_feature)
#define SUPPORT_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SUPPORT_SANITIZED 0
#endif

struct temp_dir {
	char path[SUPPORT_PATH];
	char file[SUPPORT_PATH + 32]; /* path/test.kv: where most tests put their database */
};

/* Makes a new directory below parent (NULL: $TMPDIR, else /tmp). Ends the program on failure. */
void temp_dir_make(struct temp_dir *dir, const char *parent);

/* Removes the directory and the files in it. */
void temp_dir_remove(const struct temp_dir *dir);

/* Seconds on a clock that only goes forward. */
double seconds_now(void);

/* A seed that differs from run to run. */
uint64_t seed_from_clock(void);

/* One option of a test program: --name VALUE with a number or a text as value. */
struct option_spec {
	const char *name; /* without the dashes */
	uint64_t *number; /* one of the two is set */
	const char **text;
	const char *help;
};

/* Parses the arguments by the table, which ends with a NULL name. --help and anything unknown print
 * the table and end the program. */
void options_parse(int argc, char **argv, const struct option_spec *specs);

/* A string as a slice, without its NUL. */
kv_slice text(const char *string);

/* Whole-file access for tests that damage files. file_read returns malloc'ed memory, or ends the
 * program. */
unsigned char *file_read(const char *path, size_t *size);
void file_write(const char *path, const void *data, size_t size);

/* For kv_check: prints each fault to stderr and counts it in the unsigned that arg points to. */
void fault_print(void *arg, uint64_t page, const char *what);

#endif
