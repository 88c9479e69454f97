/* cpu.c - a CPU demand by duty cycle. Thread i burns what is left of the target above
 * i * 1000 milli-vCPU, in slices of GN_LOAD_SLICE_MS, measured by its own CPU clock: so a
 * guest that is short of vCPUs shows the shortage as work done late, not as less work. */
#include "tests/guest/load/load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 16

static _Atomic uint64_t target_milli;

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void *burn(void *argument)
{
	uint64_t index = (uint64_t)(uintptr_t)argument;

	for (;;) {
		uint64_t target = atomic_load(&target_milli);
		uint64_t mine = target > index * 1000 ? target - index * 1000 : 0;
		uint64_t slice_end = clock_us(CLOCK_MONOTONIC) + GN_LOAD_SLICE_MS * 1000;
		uint64_t start = clock_us(CLOCK_THREAD_CPUTIME_ID), now;

		if (mine > 1000)
			mine = 1000;
		while (clock_us(CLOCK_THREAD_CPUTIME_ID) - start < mine * GN_LOAD_SLICE_MS &&
		       clock_us(CLOCK_MONOTONIC) < slice_end)
			for (volatile int i = 0; i < 2000; i++)
				;
		now = clock_us(CLOCK_MONOTONIC);
		if (now < slice_end)
			usleep((useconds_t)(slice_end - now));
	}
	return NULL;
}

void gn_load_cpu_set(uint64_t milli)
{
	static uint64_t n_threads;
	pthread_t thread;

	while (n_threads < MAX_THREADS && n_threads * 1000 < milli) {
		if (pthread_create(&thread, NULL, burn, (void *)(uintptr_t)n_threads))
			break;
		n_threads++;
	}
	atomic_store(&target_milli, milli);
}
