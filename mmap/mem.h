/* The application's allocator, as handed down from kv_options. */
#ifndef KV_MMAP_MEM_H
#define KV_MMAP_MEM_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct mem {
	void *(*resize)(void *arg, void *ptr, size_t old_size, size_t new_size); /* NULL: malloc */
	void *arg;
};

/* Like realloc: ptr NULL allocates, new_size 0 frees and returns NULL. NULL on failure, with the
 * old block untouched. Thread-safe as far as the application's hook is. */
static inline void *mem_resize(const struct mem *mem, void *ptr, size_t old_size, size_t new_size)
{
	if (mem->resize)
		return ptr || new_size ? mem->resize(mem->arg, ptr, old_size, new_size) : NULL;
	if (new_size)
		return realloc(ptr, new_size);
	free(ptr);
	return NULL;
}

static inline void *mem_new(const struct mem *mem, size_t size)
{
	void *ptr = mem_resize(mem, NULL, 0, size);

	if (ptr)
		memset(ptr, 0, size);
	return ptr;
}

static inline void mem_free(const struct mem *mem, void *ptr, size_t size)
{
	if (ptr)
		mem_resize(mem, ptr, size, 0);
}

#endif
