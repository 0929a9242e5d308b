/* Directories: make, remove, measure, copy, sync. A database's directory is flat or nearly so. */
#include "bench/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/harness.h"

#define COPY_BYTES ((size_t)8 << 20)
#define MAX_DESCRIPTORS 16

void files_join(char *path, const char *directory, const char *name)
{
	int n = snprintf(path, FILES_MAX_PATH, "%s/%s", directory, name);

	if (n < 0 || n >= FILES_MAX_PATH)
		harness_fail("path too long: %s/%s", directory, name);
}

void files_make(const char *directory)
{
	if (mkdir(directory, 0700) && errno != EEXIST)
		harness_fail("cannot make %s: %s", directory, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void files_remove(const char *directory)
{
	if (nftw(directory, remove_one, MAX_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
		harness_fail("cannot remove %s: %s", directory, strerror(errno));
}

void files_renew(const char *directory)
{
	files_remove(directory);
	files_make(directory);
}

/* nftw() has no argument for its callback. */
static uint64_t walk_size;
static const char *walk_from, *walk_to;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path, (void)ftw;
	if (type == FTW_F)
		walk_size += (uint64_t)st->st_size;
	return 0;
}

uint64_t files_size(const char *directory)
{
	walk_size = 0;
	if (nftw(directory, add_size, MAX_DESCRIPTORS, FTW_PHYS))
		harness_fail("cannot measure %s: %s", directory, strerror(errno));
	return walk_size;
}

static void copy_bytes(int in, int out, const char *name)
{
	char *buffer = harness_alloc(COPY_BYTES);
	ssize_t n;

	while ((n = read(in, buffer, COPY_BYTES)) > 0)
		if (write(out, buffer, (size_t)n) != n)
			harness_fail("cannot copy %s: %s", name, strerror(errno));
	if (n < 0 || fdatasync(out))
		harness_fail("cannot copy %s: %s", name, strerror(errno));
	free(buffer);
}

static int copy_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char target[FILES_MAX_PATH];

	(void)st, (void)ftw;
	files_join(target, walk_to, path + strlen(walk_from));
	if (type == FTW_D) {
		files_make(target);
		return 0;
	}
	int in = open(path, O_RDONLY | O_CLOEXEC);
	int out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		harness_fail("cannot copy %s: %s", path, strerror(errno));
	copy_bytes(in, out, path);
	close(in);
	close(out);
	return 0;
}

void files_copy(const char *from, const char *to)
{
	walk_from = from;
	walk_to = to;
	files_remove(to);
	if (nftw(from, copy_one, MAX_DESCRIPTORS, FTW_PHYS))
		harness_fail("cannot copy %s: %s", from, strerror(errno));
}

static int sync_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)st, (void)type, (void)ftw;
	if (fd < 0 || fsync(fd))
		harness_fail("cannot sync %s: %s", path, strerror(errno));
	return close(fd);
}

void files_sync(const char *directory)
{
	if (nftw(directory, sync_one, MAX_DESCRIPTORS, FTW_PHYS))
		harness_fail("cannot sync %s: %s", directory, strerror(errno));
}

void files_settle(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd))
		harness_fail("cannot sync %s: %s", directory, strerror(errno));
	close(fd);
}
