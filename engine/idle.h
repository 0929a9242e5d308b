/* The idle thread: gives memory back after a long time without writes. It is started by the first
 * commit that leaves the arena large, takes the writer lock only if that is free, and ends when the
 * database is closed. An idle database so keeps neither frames nor deferred writes' memory. */
#ifndef KV_ENGINE_IDLE_H
#define KV_ENGINE_IDLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct idle {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool started, stop;
	_Atomic bool busy; /* holds the writer lock, for a moment */
	uint64_t period_ms;
};

struct kv_db;

/* Longest time that it may hold the lock, for those who only try. */
#define IDLE_PATIENCE_US 1000000

int idle_open(struct idle *idle, uint64_t period_ms);

/* Starts the thread if it is not running and there is something to give back. The writer lock is
 * held. Failing to start it is no error: memory is then kept. */
void idle_watch(struct kv_db *db);

/* Stops the thread and waits for it. abandon: in a forked child, where there is none. */
void idle_close(struct idle *idle, bool abandon);

#endif
