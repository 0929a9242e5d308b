/* The pool of values, and random orders. */
#include "bench/data.h"

#include <stdlib.h>

#include "bench/harness.h"

#define POOL_SIZE (DATA_WINDOWS + DATA_LARGE_SIZE)

void data_open(struct data *data, uint64_t seed)
{
	data->seed = data_mix(seed + 1);
	data->pool = harness_alloc(POOL_SIZE);
	for (size_t i = 0; i + 8 <= POOL_SIZE; i += 8) {
		uint64_t word = data_mix(data->seed ^ (i + 1));
		memcpy(data->pool + i, &word, 8);
	}
}

void data_close(struct data *data)
{
	free(data->pool);
	data->pool = NULL;
}

void data_order(const struct data *data, uint64_t stream, uint32_t *order, uint64_t n,
                uint64_t limit)
{
	uint64_t start = data_mix(data->seed + stream * 0xd1342543de82ef95u);

	for (uint64_t i = 0; i < n; i++) {
		uint64_t word = data_mix(start + i * 0x9e3779b97f4a7c15u) >> 32;
		order[i] = (uint32_t)((word * limit) >> 32);
	}
}
