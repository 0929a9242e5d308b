/* Reproducible random numbers and the values made from them. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#include <kv/kv.h>

struct random {
	uint64_t state;
};

/* A bijective mixer (splitmix64's finalizer): a different number for every input. */
static inline uint64_t random_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline uint64_t random_next(struct random *random)
{
	random->state += UINT64_C(0x9e3779b97f4a7c15);
	return random_mix(random->state);
}

/* 0 <= result < limit; limit must not be 0. */
static inline uint64_t random_below(struct random *random, uint64_t limit)
{
	return random_next(random) % limit;
}

/* True once in n times on average. */
static inline bool random_one_in(struct random *random, uint64_t n)
{
	return random_below(random, n) == 0;
}

#endif
