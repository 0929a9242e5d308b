#include "engine/idle.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

#include "engine/engine.h"

/* Less is not worth a thread. */
#define WORTHWHILE (UINT64_C(512) << 10)
#define STACK_BYTES (64u << 10)

int idle_open(struct idle *idle, uint64_t period_ms)
{
	pthread_condattr_t attr;

	idle->started = idle->stop = false;
	idle->period_ms = period_ms;
	if (pthread_mutex_init(&idle->mutex, NULL))
		return status_fail(KV_NOMEM, "no memory for a mutex");
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&idle->wake, &attr);
	pthread_condattr_destroy(&attr);
	return KV_OK;
}

static bool wait_period(struct idle *idle)
{
	struct timespec until;
	bool stop;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(idle->period_ms / 1000);
	until.tv_nsec += (long)(idle->period_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&idle->mutex);
	while (!idle->stop &&
	       pthread_cond_timedwait(&idle->wake, &idle->mutex, &until) != ETIMEDOUT)
		;
	stop = idle->stop;
	pthread_mutex_unlock(&idle->mutex);
	return !stop;
}

/* Trims if nothing was written since the last look. */
static void look(kv_db *db, uint64_t *seen)
{
	uint64_t visible = atomic_load(&db->snapshots.visible);

	if (visible != *seen) {
		*seen = visible;
		return;
	}
	atomic_store(&db->idle.busy, true);
	if (writer_lock_take(&db->lock, 0)) {
		atomic_store(&db->idle.busy, false);
		return;
	}
	db_reclaim(db);
	if (db->store->arena.high > db->store->arena.used)
		store_trim(db->store);
	writer_lock_give(&db->lock);
	atomic_store(&db->idle.busy, false);
}

static void *run(void *arg)
{
	kv_db *db = arg;
	uint64_t seen = 0;

	while (wait_period(&db->idle))
		look(db, &seen);
	return NULL;
}

void idle_watch(kv_db *db)
{
	struct idle *idle = &db->idle;
	pthread_attr_t attr;
	sigset_t all, before;

	if (idle->started || db->store->arena.high << db->store->page_shift < WORTHWHILE)
		return;
	if (pthread_attr_init(&attr))
		return;
	pthread_attr_setstacksize(&attr, STACK_BYTES + (size_t)PTHREAD_STACK_MIN);
	/* The application's signal handlers do not belong on this small stack. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	idle->started = !pthread_create(&idle->thread, &attr, run, db);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (!idle->started)
		db_log(db, KV_LOG_WARNING,
		       "no thread to give memory back: it is kept until the database is closed");
}

void idle_close(struct idle *idle, bool abandon)
{
	if (idle->started && !abandon) {
		pthread_mutex_lock(&idle->mutex);
		idle->stop = true;
		pthread_cond_signal(&idle->wake);
		pthread_mutex_unlock(&idle->mutex);
		pthread_join(idle->thread, NULL);
	}
	if (abandon)
		return; /* the mutex may have been held when the process forked */
	pthread_cond_destroy(&idle->wake);
	pthread_mutex_destroy(&idle->mutex);
}
