/* The writer lock: first come, first served, with a time limit. A waiter sleeps on its own
 * condition variable; whoever leaves hands the lock to the one that has waited longest. */
#ifndef KV_ENGINE_LOCK_H
#define KV_ENGINE_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock_waiter;

struct writer_lock {
	pthread_mutex_t mutex;
	bool held;
	struct lock_waiter *first, *last;
	_Atomic uint64_t owner; /* the thread that holds it, or used its transaction last */
};

int writer_lock_open(struct writer_lock *lock);
void writer_lock_close(struct writer_lock *lock);

/* KV_OK, KV_TIMEOUT after timeout_us microseconds (0: at once; UINT64_MAX: never), KV_DEADLOCK if
 * the calling thread holds it. */
int writer_lock_take(struct writer_lock *lock, uint64_t timeout_us);
void writer_lock_give(struct writer_lock *lock);

/* The calling thread, as writer_lock.owner names it. */
uint64_t writer_lock_self(void);

#endif
