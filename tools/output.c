#include "tools/output.h"
#include "tools/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int first_error; /* errno of the first write that failed; 0: none */

void output_start(void)
{
	/* Opened the wrong way round, so that using it fails as a closed one would. open() gives
	 * the lowest free number, which is fd here, since those below are open by now. */
	for (int fd = 0; fd <= 2; fd++) {
		int opened = fd;

		if (fcntl(fd, F_GETFD) < 0)
			opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
		if (opened != fd)
			_exit(EXIT_OUTPUT);
	}
	if (!isatty(STDOUT_FILENO))
		setvbuf(stdout, NULL, _IOFBF, 1 << 16);
}

static void note_error(void)
{
	if (!first_error)
		first_error = errno ? errno : EIO;
}

void output_bytes(const void *data, size_t size)
{
	if (first_error || !size)
		return;
	errno = 0;
	if (fwrite_unlocked(data, 1, size, stdout) != size)
		note_error();
}

void output_string(const char *string)
{
	output_bytes(string, strlen(string));
}

void output_format(const char *format, ...)
{
	va_list args;

	if (first_error)
		return;
	errno = 0;
	va_start(args, format);
	if (vprintf(format, args) < 0)
		note_error();
	va_end(args);
}

bool output_ok(void)
{
	return !first_error;
}

int output_finish(int code)
{
	errno = 0;
	if (fclose(stdout) && !first_error)
		note_error();
	if (!first_error)
		return code;
	if (first_error != EPIPE)
		report("cannot write the output: %s", strerror(first_error));
	return EXIT_OUTPUT;
}
