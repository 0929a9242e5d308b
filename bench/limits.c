/* Measuring the flush, the cache miss, and two bandwidths. */
#include "bench/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/files.h"
#include "bench/harness.h"
#include "bench/memory.h"

#define FLUSHES 500
#define FLUSH_BYTES 4096
#define FILE_BYTES ((size_t)256 << 20)
#define CHUNK_BYTES ((size_t)1 << 20)
#define BUFFER_BYTES ((size_t)1 << 30)
#define LINE_BYTES 64u
#define CHASE_STEPS 2000000u

static int compare(const void *a, const void *b)
{
	double x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static void write_all(int fd, const void *data, size_t size, off_t at)
{
	if (pwrite(fd, data, size, at) != (ssize_t)size)
		harness_fail("cannot write: %s", strerror(errno));
}

static void flush(int fd)
{
	if (fdatasync(fd))
		harness_fail("cannot sync: %s", strerror(errno));
}

static double measure_write(int fd, const uint8_t *chunk)
{
	uint64_t start = harness_now();

	for (size_t at = 0; at < FILE_BYTES; at += CHUNK_BYTES)
		write_all(fd, chunk, CHUNK_BYTES, (off_t)at);
	flush(fd);
	return (double)FILE_BYTES / (double)(harness_now() - start);
}

static double measure_flush(int fd, const uint8_t *chunk)
{
	double us[FLUSHES];

	for (size_t i = 0; i < FLUSHES; i++) {
		uint64_t start = harness_now();
		write_all(fd, chunk + i, FLUSH_BYTES, 0);
		flush(fd);
		us[i] = (double)(harness_now() - start) / 1e3;
	}
	qsort(us, FLUSHES, sizeof(us[0]), compare);
	return us[FLUSHES / 2];
}

static void measure_disk(struct limits *limits, const char *directory)
{
	char path[FILES_MAX_PATH];
	uint8_t *chunk = harness_alloc(CHUNK_BYTES);

	files_join(path, directory, "limits");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		harness_fail("cannot create a file: %s", strerror(errno));
	memset(chunk, 0x5a, CHUNK_BYTES);
	memory_warm(FILE_BYTES * 2);
	limits->write_gb_s = measure_write(fd, chunk);
	limits->flush_us = measure_flush(fd, chunk);
	close(fd);
	unlink(path);
	free(chunk);
}

/* Each line holds the number of the next; the numbers run through all lines in an order (a linear
 * congruence of full period) that no prefetcher follows. */
static void chain(uint64_t *words, uint64_t lines)
{
	for (uint64_t i = 0; i < lines; i++)
		words[i * (LINE_BYTES / 8)] = (i * 0x5851f42d4c957f2du + 0x14057b7ef767814fu) %
		                              lines;
}

static double measure_miss(const uint64_t *words)
{
	uint64_t at = 0, start = harness_now();

	for (uint64_t i = 0; i < CHASE_STEPS; i++)
		at = words[at * (LINE_BYTES / 8)];
	uint64_t end = harness_now();
	if (at >= BUFFER_BYTES / LINE_BYTES) /* the compiler must believe that the result matters */
		harness_fail("the chain left its buffer");
	return (double)(end - start) / CHASE_STEPS;
}

static double measure_read(const uint64_t *words)
{
	uint64_t sums[8] = {0}, start = harness_now();

	for (size_t i = 0; i < BUFFER_BYTES / 8; i += 8)
		for (size_t j = 0; j < 8; j++)
			sums[j] += words[i + j];
	uint64_t end = harness_now();
	if ((sums[0] | sums[1] | sums[2] | sums[3] | sums[4] | sums[5] | sums[6] | sums[7]) == 1)
		harness_fail("the buffer lost its contents");
	return (double)BUFFER_BYTES / (double)(end - start);
}

static void measure_memory(struct limits *limits)
{
	uint64_t *words = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE,
	                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (words == MAP_FAILED)
		harness_fail("cannot map 1 GiB");
	madvise(words, BUFFER_BYTES, MADV_HUGEPAGE);
	chain(words, BUFFER_BYTES / LINE_BYTES);
	limits->miss_ns = measure_miss(words);
	limits->read_gb_s = measure_read(words);
	munmap(words, BUFFER_BYTES);
}

void limits_measure(struct limits *limits, const char *directory)
{
	measure_memory(limits);
	measure_disk(limits, directory);
}
