#include "tests/support.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void die(const char *what, const char *path)
{
	fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
	exit(2);
}

void temp_dir_make(struct temp_dir *dir, const char *parent)
{
	if (!parent)
		parent = getenv("TMPDIR");
	if (!parent || !*parent)
		parent = "/tmp";
	snprintf(dir->path, sizeof(dir->path), "%s/kv-test-XXXXXX", parent);
	if (!mkdtemp(dir->path))
		die("cannot make", dir->path);
	snprintf(dir->file, sizeof(dir->file), "%s/test.kv", dir->path);
}

void temp_dir_remove(const struct temp_dir *dir)
{
	DIR *list = opendir(dir->path);
	struct dirent *entry;

	while (list && (entry = readdir(list)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(list), entry->d_name, 0);
	if (list)
		closedir(list);
	rmdir(dir->path);
}

double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

uint64_t seed_from_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) % 1000000000000u;
}

static _Noreturn void usage(const char *program, const struct option_spec *specs, int status)
{
	FILE *out = status ? stderr : stdout;

	fprintf(out, "usage: %s [--OPTION VALUE]...\n", program);
	for (; specs->name; specs++) {
		fprintf(out, "  --%-14s %s", specs->name, specs->help);
		if (specs->number)
			fprintf(out, " (default %llu)", (unsigned long long)*specs->number);
		fprintf(out, "\n");
	}
	exit(status);
}

static bool option_set(const struct option_spec *spec, const char *value)
{
	char *end;

	if (!value)
		return false;
	if (spec->text) {
		*spec->text = value;
		return true;
	}
	*spec->number = strtoull(value, &end, 10);
	return *value && !*end;
}

void options_parse(int argc, char **argv, const struct option_spec *specs)
{
	for (int i = 1; i < argc; i += 2) {
		const struct option_spec *spec = specs;

		if (!strcmp(argv[i], "--help"))
			usage(argv[0], specs, 0);
		while (spec->name &&
		       (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, spec->name) != 0))
			spec++;
		if (!spec->name || !option_set(spec, argv[i + 1]))
			usage(argv[0], specs, 2);
	}
}

kv_slice text(const char *string)
{
	return kv_bytes(string, strlen(string));
}

unsigned char *file_read(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	unsigned char *data;
	long end;

	if (!file || fseek(file, 0, SEEK_END) || (end = ftell(file)) < 0)
		die("cannot read", path);
	rewind(file);
	*size = (size_t)end;
	data = malloc(*size + 1);
	if (!data || fread(data, 1, *size, file) != *size)
		die("cannot read", path);
	fclose(file);
	return data;
}

void file_write(const char *path, const void *data, size_t size)
{
	FILE *file = fopen(path, "wb");

	if (!file || fwrite(data, 1, size, file) != size || fclose(file))
		die("cannot write", path);
}

void fault_print(void *arg, uint64_t page, const char *what)
{
	unsigned *count = arg;

	fprintf(stderr, "fault on page %lld: %s\n", (long long)page, what);
	(*count)++;
}
