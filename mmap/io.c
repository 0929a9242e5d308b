#include "mmap/io.h"

#include "mmap/status.h"

int io_new(const struct mem *mem, bool avoid_uring, struct io **io)
{
#ifdef KV_HAVE_URING
	if (!avoid_uring) {
		int rc = io_uring_new(mem, io);

		if (rc != KV_IO)
			return rc;
	}
#else
	(void)avoid_uring;
#endif
	return io_posix_new(mem, io);
}
