#include "tools/input.h"
#include "tools/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_CAPACITY ((size_t)1 << 20) /* bytes */
#define LARGEST_READ ((size_t)1 << 30)   /* bytes; the kernel takes no more than 2 GiB at once */

int input_open(struct input *input, const char *path, size_t limit)
{
	struct stat st;

	*input = (struct input){.name = path, .fd = STDIN_FILENO, .limit = limit};
	if (!strcmp(path, "-"))
		input->name = "standard input";
	else
		input->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (input->fd < 0 || fstat(input->fd, &st)) {
		report("%s: %s", input->name, strerror(errno));
		return EXIT_INPUT;
	}
	if (S_ISREG(st.st_mode) && st.st_size > 0)
		input->total = (uint64_t)st.st_size;
	return EXIT_OK;
}

void input_close(struct input *input)
{
	if (input->fd > STDIN_FILENO)
		close(input->fd);
	free(input->buffer);
	*input = (struct input){.fd = -1};
}

/* Makes room behind the data: at the cost of what was taken, else by doubling. One byte more than
 * the limit fits, so that exceeding it can be told from meeting it. */
static bool make_room(struct input *input)
{
	size_t larger = input->capacity ? 2 * input->capacity : FIRST_CAPACITY;
	char *buffer;

	if (input->size)
		memmove(input->buffer, input->data, input->size);
	input->data = input->buffer;
	if (input->size < input->capacity)
		return true;
	if (larger > input->limit + 1)
		larger = input->limit + 1;
	buffer = realloc(input->buffer, larger);
	if (!buffer) {
		report("%s: no memory for %zu bytes", input->name, larger);
		return false;
	}
	input->buffer = input->data = buffer;
	input->capacity = larger;
	return true;
}

int input_more(struct input *input)
{
	if (input->ended || input->full)
		return EXIT_OK;
	if (!make_room(input))
		return EXIT_INPUT;
	while (input->size < input->capacity && !input->ended && !interrupted()) {
		size_t room = input->capacity - input->size;
		ssize_t n = read(input->fd, input->buffer + input->size,
		                 room < LARGEST_READ ? room : LARGEST_READ);

		if (n < 0 && errno == EINTR && !interrupted())
			continue;
		if (n < 0) {
			if (!interrupted())
				report("%s: %s", input->name, strerror(errno));
			return EXIT_INPUT;
		}
		input->ended = n == 0;
		input->size += (size_t)n;
	}
	input->full = input->size > input->limit;
	return interrupted() ? EXIT_INPUT : EXIT_OK;
}

int input_read_all(struct input *input)
{
	while (!input->ended) {
		int code = input_more(input);

		if (code)
			return code;
		if (input->full) {
			report("%s: larger than %zu bytes", input->name, input->limit);
			return EXIT_INPUT;
		}
	}
	return EXIT_OK;
}

void input_take(struct input *input, size_t size)
{
	input->data += size;
	input->size -= size;
	input->taken += size;
	input->full = false;
}

int input_skip_line(struct input *input)
{
	for (;;) {
		char *end = input->size ? memchr(input->data, '\n', input->size) : NULL;
		int code;

		if (end) {
			input_take(input, (size_t)(end - input->data) + 1);
			return EXIT_OK;
		}
		input_take(input, input->size);
		if (input->ended)
			return EXIT_OK;
		code = input_more(input);
		if (code)
			return code;
	}
}
