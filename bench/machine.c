/* Facts about the machine from /proc, uname and statfs. */
#include "bench/machine.h"

#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "bench/memory.h"

static void read_cpu(char *cpu, size_t size)
{
	char line[256];
	FILE *f = fopen("/proc/cpuinfo", "re");

	snprintf(cpu, size, "unknown CPU");
	while (f && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		snprintf(cpu, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (f)
		fclose(f);
}

static const char *file_system_name(const char *directory)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {
	        {EXT4_SUPER_MAGIC, "ext4"},         {XFS_SUPER_MAGIC, "xfs"},
	        {BTRFS_SUPER_MAGIC, "btrfs"},       {TMPFS_MAGIC, "tmpfs"},
	        {OVERLAYFS_SUPER_MAGIC, "overlay"},
	};
	struct statfs st;

	if (statfs(directory, &st))
		return "unknown";
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].magic == (unsigned long)st.f_type)
			return known[i].name;
	return "unknown";
}

void machine_read(struct machine *machine, const char *directory)
{
	struct utsname name;
	time_t now = time(NULL);
	struct tm tm;

	read_cpu(machine->cpu, sizeof(machine->cpu));
	uname(&name);
	snprintf(machine->kernel, sizeof(machine->kernel), "%s %s", name.sysname, name.release);
	snprintf(machine->file_system, sizeof(machine->file_system), "%s",
	         file_system_name(directory));
	gmtime_r(&now, &tm);
	strftime(machine->date, sizeof(machine->date), "%Y-%m-%d %H:%M UTC", &tm);
	machine->cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	machine->memory_gib = (double)memory_total() / (1 << 30);
}
