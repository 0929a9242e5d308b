/* Physical limits of the machine, measured in the same run, that no engine can pass. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

struct limits {
	double flush_us;   /* one 4 KiB overwrite and fdatasync, median */
	double miss_ns;    /* one dependent memory access in 1 GiB of huge pages */
	double read_gb_s;  /* one thread reading memory in order, 10^9 bytes per second */
	double write_gb_s; /* appending to a file, until durable, 10^9 bytes per second */
};

/* Takes two to three seconds, 1 GiB of memory, and 256 MiB in the directory meanwhile. */
void limits_measure(struct limits *limits, const char *directory);

#endif
