/* fake_mood.c - see fake_mood.h. */
#include "tests/gnomond/fake_mood.h"

#include <stdio.h>
#include <string.h>

#define CHAOS_LENGTH 8192

static const char *const keys[GN_FAKE_N_TROUBLES] = {
        [GN_FAKE_LEAK_KIB_S] = "leak_kib_s",
        [GN_FAKE_NOISE_KIB] = "noise_kib",
        [GN_FAKE_LATENCY_US] = "latency_us",
        [GN_FAKE_DISK_ERRORS] = "disk_errors",
        [GN_FAKE_RETRANSMISSIONS] = "retransmissions",
        [GN_FAKE_RESETS] = "resets",
        [GN_FAKE_LOG_ERRORS] = "log_errors",
        [GN_FAKE_OOM_KILLS] = "oom_kills",
        [GN_FAKE_STUCK_THREADS] = "stuck_threads",
        [GN_FAKE_CLOCK_STOPPED_US] = "clock_stopped_us",
};

void gn_fake_mood_read(struct gn_fake_mood *mood, const char *path, uint64_t now_us)
{
	uint64_t passed_us = mood->at_us ? now_us - mood->at_us : 0;
	unsigned long long value;
	FILE *file = fopen(path, "r");
	char key[32];

	mood->leaked_bytes += mood->troubles[GN_FAKE_LEAK_KIB_S] * 1024 * passed_us / 1000000;
	mood->at_us = now_us;
	memset(mood->troubles, 0, sizeof mood->troubles);
	while (file && fscanf(file, "%31s %llu", key, &value) == 2)
		for (unsigned i = 0; i < GN_FAKE_N_TROUBLES; i++)
			if (strcmp(key, keys[i]) == 0)
				mood->troubles[i] = value;
	if (file)
		fclose(file);
	if (!mood->troubles[GN_FAKE_LEAK_KIB_S])
		mood->leaked_bytes = 0;
}

/* The logistic map x -> 4x(1 - x), in 1/2^20. */
uint32_t gn_fake_chaos(unsigned channel, uint64_t interval)
{
	static uint32_t values[4][CHAOS_LENGTH];
	uint64_t x = 123457 + 100003 * (channel % 4);

	for (unsigned i = 0; i < CHAOS_LENGTH && !values[channel % 4][CHAOS_LENGTH - 1]; i++) {
		x = 4 * x * ((1 << 20) - x) >> 20;
		if (x == 0 || x >= 1 << 20) /* fell into a fixed point */
			x = 345679 + i;
		values[channel % 4][i] = (uint32_t)(1 + (x * 999 >> 20));
	}
	return values[channel % 4][interval % CHAOS_LENGTH];
}
