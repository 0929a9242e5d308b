/* What io_uring and the tests borrow from io_posix. */
#ifndef KV_MMAP_IO_POSIX_H
#define KV_MMAP_IO_POSIX_H

#include "mmap/io.h"

extern const struct io_ops io_posix_ops;

/* A file in directory without a name, for file systems without O_TMPFILE: made with a random name
 * and mode 0600, and unlinked. Returns a descriptor (close-on-exec), or -1 with errno set. */
int io_posix_unlinked_file(const char *directory);

#endif
