/* The list of engines. KV_HAVE_LMDB is defined by the build if the library was found. */
#include <string.h>

#include "bench/engine.h"

const struct engine *const engines[] = {
        &engine_kv,
#ifdef KV_HAVE_LMDB
        &engine_lmdb,
#endif
        NULL,
};

const struct engine *engine_find(const char *name)
{
	for (size_t i = 0; engines[i]; i++)
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	return NULL;
}
