#include "engine/lock.h"

#include <errno.h>
#include <time.h>

#include "mmap/status.h"

struct lock_waiter {
	pthread_cond_t granted_cond;
	bool granted;
	struct lock_waiter *next;
};

/* A number that no other thread ever has, not even one that comes after this one has ended. */
uint64_t writer_lock_self(void)
{
	static _Atomic uint64_t threads;
	static _Thread_local uint64_t self;

	if (!self)
		self = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) + 1;
	return self;
}

int writer_lock_open(struct writer_lock *lock)
{
	lock->held = false;
	lock->first = lock->last = NULL;
	atomic_store(&lock->owner, 0);
	return pthread_mutex_init(&lock->mutex, NULL)
	               ? status_fail(KV_NOMEM, "no memory for a mutex")
	               : KV_OK;
}

void writer_lock_close(struct writer_lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

static struct timespec deadline_after(uint64_t us)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(us / 1000000);
	t.tv_nsec += (long)(us % 1000000) * 1000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static void leave_queue(struct writer_lock *lock, struct lock_waiter *waiter)
{
	struct lock_waiter **link = &lock->first;
	struct lock_waiter *before = NULL;

	while (*link != waiter) {
		before = *link;
		link = &(*link)->next;
	}
	*link = waiter->next;
	if (lock->last == waiter)
		lock->last = before;
}

/* Called and left with the mutex held. */
static int wait_turn(struct writer_lock *lock, uint64_t timeout_us)
{
	struct lock_waiter waiter = {.granted = false, .next = NULL};
	bool forever = timeout_us > UINT64_C(1) << 52; /* a century */
	struct timespec deadline = deadline_after(forever ? 0 : timeout_us);
	pthread_condattr_t attr;
	int error = 0;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&waiter.granted_cond, &attr);
	pthread_condattr_destroy(&attr);
	if (lock->last)
		lock->last->next = &waiter;
	else
		lock->first = &waiter;
	lock->last = &waiter;
	while (!waiter.granted && error != ETIMEDOUT)
		error = forever ? pthread_cond_wait(&waiter.granted_cond, &lock->mutex)
		                : pthread_cond_timedwait(&waiter.granted_cond, &lock->mutex,
		                                         &deadline);
	if (!waiter.granted)
		leave_queue(lock, &waiter);
	pthread_cond_destroy(&waiter.granted_cond);
	return waiter.granted
	               ? KV_OK
	               : status_fail(KV_TIMEOUT, "the writer lock was not free within %llu us",
	                             (unsigned long long)timeout_us);
}

int writer_lock_take(struct writer_lock *lock, uint64_t timeout_us)
{
	int rc = KV_OK;

	if (atomic_load_explicit(&lock->owner, memory_order_relaxed) == writer_lock_self())
		return status_fail(KV_DEADLOCK, "this thread has a write transaction open already");
	pthread_mutex_lock(&lock->mutex);
	if (!lock->held)
		lock->held = true;
	else if (timeout_us)
		rc = wait_turn(lock, timeout_us);
	else
		rc = status_fail(KV_TIMEOUT, "the writer lock is not free");
	if (!rc)
		atomic_store_explicit(&lock->owner, writer_lock_self(), memory_order_relaxed);
	pthread_mutex_unlock(&lock->mutex);
	return rc;
}

void writer_lock_give(struct writer_lock *lock)
{
	struct lock_waiter *waiter;

	pthread_mutex_lock(&lock->mutex);
	atomic_store_explicit(&lock->owner, 0, memory_order_relaxed);
	waiter = lock->first;
	lock->held = waiter;
	if (waiter) {
		lock->first = waiter->next;
		if (!lock->first)
			lock->last = NULL;
		waiter->granted = true;
		pthread_cond_signal(&waiter->granted_cond);
	}
	pthread_mutex_unlock(&lock->mutex);
}
