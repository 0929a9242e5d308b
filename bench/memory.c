/* Warming memory, and a thread that samples RssAnon. */
#include "bench/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/harness.h"

#define SAMPLE_US 5000

static struct {
	pthread_t thread;
	int fd; /* statm of this process */
	uint64_t start, peak;
	atomic_bool stop; /* tells the thread to end; join orders the rest */
} watch;

/* A line of /proc/meminfo, in bytes. */
static uint64_t meminfo(const char *name)
{
	char line[128];
	uint64_t kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtoull(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return kib << 10;
}

uint64_t memory_available(void)
{
	return meminfo("MemAvailable:");
}

uint64_t memory_total(void)
{
	return meminfo("MemTotal:");
}

void memory_warm(uint64_t bytes)
{
	uint64_t most = memory_available() / 3 * 2;

	if (bytes > most)
		bytes = most;
	/* In blocks of 2 MiB: these are what a guest hands back to its host, and what huge pages
	 * and large writes to the page cache are made of; small pages come from what is warm. */
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		harness_fail("cannot map %llu bytes", (unsigned long long)bytes);
	madvise(p, bytes, MADV_HUGEPAGE);
	if (madvise(p, bytes, MADV_POPULATE_WRITE))
		memset(p, 1, bytes);
	munmap(p, bytes);
}

/* statm: size, resident and shared in pages; what is resident but not shared is RssAnon. */
static uint64_t anonymous_bytes(void)
{
	char text[128], *rest = text;
	ssize_t n = pread(watch.fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	strtoull(rest, &rest, 10);
	uint64_t resident = strtoull(rest, &rest, 10);
	uint64_t shared = strtoull(rest, &rest, 10);
	return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void *sample(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&watch.stop, memory_order_relaxed)) {
		uint64_t now = anonymous_bytes();
		if (now > watch.peak)
			watch.peak = now;
		usleep(SAMPLE_US);
	}
	return NULL;
}

void memory_watch(void)
{
	malloc_trim(0);
	watch.fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (watch.fd < 0)
		harness_fail("cannot open /proc/self/statm");
	watch.start = watch.peak = anonymous_bytes();
	atomic_store(&watch.stop, false);
	if (pthread_create(&watch.thread, NULL, sample, NULL))
		harness_fail("cannot start a thread");
}

uint64_t memory_watched(void)
{
	atomic_store(&watch.stop, true);
	pthread_join(watch.thread, NULL);
	close(watch.fd);
	return watch.peak - watch.start;
}
