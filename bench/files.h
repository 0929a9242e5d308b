/* Directories that hold databases. All functions end the program on an error. */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

#include <stdint.h>

#define FILES_MAX_PATH 3072

/* directory/name into path, which has FILES_MAX_PATH bytes. */
void files_join(char *path, const char *directory, const char *name);

/* Makes the directory (and takes it as it is if it is there). */
void files_make(const char *directory);

/* Removes the directory with everything in it, if it is there, and makes it anew. */
void files_renew(const char *directory);

/* Removes the directory with everything in it, if it is there. */
void files_remove(const char *directory);

/* Sum of the file sizes in the directory, in bytes. */
uint64_t files_size(const char *directory);

/* Copies the files of a directory into a new one, and syncs them. */
void files_copy(const char *from, const char *to);

/* Makes the files in the directory durable. */
void files_sync(const char *directory);

/* Waits until the whole file system of the directory has nothing left to write. */
void files_settle(const char *directory);

#endif
