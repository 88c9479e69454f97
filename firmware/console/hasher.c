/* hasher.c - see hasher.h. A ring of jobs: the owner fills and empties it, the thread works on
 * what lies between. */
#include "firmware/console/hasher.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "firmware/console/crypto.h"
#include "firmware/core/mutex.h"

struct job {
	char password[GN_HASHER_PASSWORD];
	uint8_t salt[16], hash[32];
	size_t salt_size;
	uint32_t iterations;
	gn_hasher_done *done;
	void *context;
};

struct gn_hasher {
	pthread_t thread;
	bool has_thread;
	int event_fd;
	struct gn_mutex lock;
	pthread_cond_t wake;
	bool stop;                         /* lock */
	unsigned n_put, n_hashed, n_taken; /* lock; count up for ever */
	struct job jobs[GN_HASHER_QUEUE];  /* [n_hashed, n_put) are the thread's */
};

static void *run(void *context)
{
	struct gn_hasher *hasher = context;
	uint64_t one = 1;

	gn_mutex_lock(&hasher->lock);
	while (!hasher->stop) {
		struct job *job = &hasher->jobs[hasher->n_hashed % GN_HASHER_QUEUE];

		if (hasher->n_hashed == hasher->n_put) {
			gn_mutex_wait(&hasher->lock, &hasher->wake);
			continue;
		}
		gn_mutex_unlock(&hasher->lock);
		/* Without memory the hash is random: no password has it. */
		if (gn_crypto_password_hash(job->password, job->salt, job->salt_size,
		                            job->iterations, job->hash))
			gn_crypto_random(job->hash, sizeof job->hash);
		gn_crypto_wipe(job->password, sizeof job->password);
		gn_mutex_lock(&hasher->lock);
		hasher->n_hashed++;
		if (write(hasher->event_fd, &one, sizeof one) < 0)
			break; /* cannot fail below 2^64 wakes */
	}
	gn_mutex_unlock(&hasher->lock);
	return NULL;
}

int gn_hasher_create(struct gn_hasher **out)
{
	struct gn_hasher *hasher = calloc(1, sizeof *hasher);
	int error;

	if (!hasher)
		return -ENOMEM;
	gn_mutex_init(&hasher->lock);
	pthread_cond_init(&hasher->wake, NULL);
	hasher->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = hasher->event_fd < 0 ? errno : pthread_create(&hasher->thread, NULL, run, hasher);
	hasher->has_thread = !error;
	if (error)
		gn_hasher_destroy(hasher);
	else
		*out = hasher;
	return -error;
}

void gn_hasher_destroy(struct gn_hasher *hasher)
{
	if (!hasher)
		return;
	if (hasher->has_thread) {
		gn_mutex_lock(&hasher->lock);
		hasher->stop = true;
		pthread_cond_signal(&hasher->wake);
		gn_mutex_unlock(&hasher->lock);
		pthread_join(hasher->thread, NULL);
	}
	for (; hasher->n_taken != hasher->n_put; hasher->n_taken++) {
		struct job *job = &hasher->jobs[hasher->n_taken % GN_HASHER_QUEUE];

		job->done(job->context, NULL);
	}
	if (hasher->event_fd >= 0)
		close(hasher->event_fd);
	pthread_cond_destroy(&hasher->wake);
	gn_mutex_destroy(&hasher->lock);
	gn_crypto_wipe(hasher->jobs, sizeof hasher->jobs);
	free(hasher);
}

int gn_hasher_fd(const struct gn_hasher *hasher)
{
	return hasher->event_fd;
}

int gn_hasher_hash(struct gn_hasher *hasher, const char *password, const uint8_t *salt,
                   size_t salt_size, uint32_t iterations, gn_hasher_done *done, void *context)
{
	struct job job = {.salt_size = salt_size < 16 ? salt_size : 16,
	                  .iterations = iterations,
	                  .done = done,
	                  .context = context};
	int error = -EBUSY;

	snprintf(job.password, sizeof job.password, "%s", password);
	memcpy(job.salt, salt, job.salt_size);
	gn_mutex_lock(&hasher->lock);
	if (hasher->n_put - hasher->n_taken < GN_HASHER_QUEUE) {
		hasher->jobs[hasher->n_put++ % GN_HASHER_QUEUE] = job;
		pthread_cond_signal(&hasher->wake);
		error = 0;
	}
	gn_mutex_unlock(&hasher->lock);
	gn_crypto_wipe(&job, sizeof job);
	return error;
}

/* Copies the oldest job that is done; false: none. */
static bool take(struct gn_hasher *hasher, struct job *job)
{
	bool ready;

	gn_mutex_lock(&hasher->lock);
	ready = hasher->n_taken != hasher->n_hashed;
	if (ready)
		*job = hasher->jobs[hasher->n_taken++ % GN_HASHER_QUEUE];
	gn_mutex_unlock(&hasher->lock);
	return ready;
}

void gn_hasher_process(struct gn_hasher *hasher)
{
	struct job job;
	uint64_t count;

	if (read(hasher->event_fd, &count, sizeof count) < 0 && errno != EAGAIN)
		return;
	while (take(hasher, &job))
		job.done(job.context, job.hash);
}
