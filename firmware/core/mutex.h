/* mutex.h - a mutex whose use clang checks (-Wthread-safety; 'make lint').
 *
 * Locking twice, leaving a function with a lock held that its declaration does not announce,
 * and calling a GN_REQUIRES() function without the lock are errors. So is touching a
 * GN_GUARDED_BY() variable; C has that for file-scope variables only, so struct members say in
 * their comment which lock they are under, and the functions that touch them GN_REQUIRES() it.
 *
 * Never on an lcore, unless a comment says for how long at most. */
#ifndef GN_CORE_MUTEX_H
#define GN_CORE_MUTEX_H

#include <pthread.h>
#include <time.h>

#ifdef __clang__
#define GN_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define GN_THREAD_SAFETY(attribute)
#endif

#define GN_GUARDED_BY(mutex) GN_THREAD_SAFETY(guarded_by(mutex))
/* The caller holds 'mutex'; must not hold it. */
#define GN_REQUIRES(mutex) GN_THREAD_SAFETY(requires_capability(mutex))
#define GN_EXCLUDES(mutex) GN_THREAD_SAFETY(locks_excluded(mutex))
/* Returns with 'mutex' held; no longer held. */
#define GN_ACQUIRES(mutex) GN_THREAD_SAFETY(acquire_capability(mutex))
#define GN_RELEASES(mutex) GN_THREAD_SAFETY(release_capability(mutex))
/* For what the analysis cannot follow; a comment says why it is right. */
#define GN_UNCHECKED GN_THREAD_SAFETY(no_thread_safety_analysis)

struct GN_THREAD_SAFETY(capability("mutex")) gn_mutex {
	pthread_mutex_t pthread;
};

#define GN_MUTEX_INITIALIZER                                                                       \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER                                                          \
	}

/* gcc wants attributes of a definition in front, clang those that name a parameter behind. */
static inline void gn_mutex_init(struct gn_mutex *mutex);
static inline void gn_mutex_destroy(struct gn_mutex *mutex) GN_EXCLUDES(mutex);
static inline void gn_mutex_lock(struct gn_mutex *mutex) GN_ACQUIRES(mutex);
static inline void gn_mutex_unlock(struct gn_mutex *mutex) GN_RELEASES(mutex);
/* As pthread_cond_wait(). */
static inline void gn_mutex_wait(struct gn_mutex *mutex, pthread_cond_t *cond) GN_REQUIRES(mutex);
/* As pthread_cond_timedwait(): 0 or ETIMEDOUT. */
static inline int gn_mutex_wait_until(struct gn_mutex *mutex, pthread_cond_t *cond,
                                      const struct timespec *until) GN_REQUIRES(mutex);

static inline void gn_mutex_init(struct gn_mutex *mutex)
{
	pthread_mutex_init(&mutex->pthread, NULL);
}

static inline void gn_mutex_destroy(struct gn_mutex *mutex)
{
	pthread_mutex_destroy(&mutex->pthread);
}

GN_UNCHECKED static inline void gn_mutex_lock(struct gn_mutex *mutex)
{
	pthread_mutex_lock(&mutex->pthread);
}

GN_UNCHECKED static inline void gn_mutex_unlock(struct gn_mutex *mutex)
{
	pthread_mutex_unlock(&mutex->pthread);
}

static inline void gn_mutex_wait(struct gn_mutex *mutex, pthread_cond_t *cond)
{
	pthread_cond_wait(cond, &mutex->pthread);
}

static inline int gn_mutex_wait_until(struct gn_mutex *mutex, pthread_cond_t *cond,
                                      const struct timespec *until)
{
	return pthread_cond_timedwait(cond, &mutex->pthread, until);
}

#endif
