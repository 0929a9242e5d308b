#include "tools/report.h"

#include <kv/kv.h>

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t caught; /* the signal's number; 0: none */

void report(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	flockfile(stderr); /* the library's log may come from another thread */
	fputs("kvtool: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	funlockfile(stderr);
	va_end(args);
}

int report_status(int rc, const char *subject)
{
	const char *detail = kv_detail();

	if (rc == KV_CANCELLED && caught)
		return EXIT_DATABASE;
	if (*detail && rc < 0)
		report("%s: %s (%s)", subject, kv_strerror(rc), detail);
	else
		report("%s: %s", subject, kv_strerror(rc));
	return EXIT_DATABASE;
}

void report_log(void *arg, int level, const char *line)
{
	(void)arg;
	if (level <= KV_LOG_WARNING)
		report("%s: %s", level == KV_LOG_ERROR ? "error" : "warning", line);
}

static void catch_signal(int number)
{
	caught = number;
}

void interrupt_catch(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction old, action;

	memset(&action, 0, sizeof action);
	action.sa_handler = catch_signal;
	action.sa_flags = (int)SA_RESETHAND; /* no SA_RESTART: a blocked read must notice */
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (!sigaction(numbers[i], NULL, &old) && old.sa_handler != SIG_IGN) /* nohup */
			sigaction(numbers[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

bool interrupted(void)
{
	return caught != 0;
}

void interrupt_finish(void)
{
	if (!caught)
		return;
	signal(caught, SIG_DFL);
	raise(caught);
}
