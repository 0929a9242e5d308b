/* What the figures were measured on. No host name, no paths. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

struct machine {
	char cpu[128];
	char kernel[160];
	char file_system[32];
	char date[32]; /* UTC */
	unsigned cores;
	double memory_gib;
};

/* directory: where the databases are, for its file system. */
void machine_read(struct machine *machine, const char *directory);

#endif
