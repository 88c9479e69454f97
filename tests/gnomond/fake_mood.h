/* fake_mood.h - what a test makes the models' VMs suffer: 'key value' lines in a file that
 * the test writes anew at any time. A missing file or key means: nothing. One thread. */
#ifndef GN_TESTS_GNOMOND_FAKE_MOOD_H
#define GN_TESTS_GNOMOND_FAKE_MOOD_H

#include <stdint.h>

enum gn_fake_trouble {
	GN_FAKE_LEAK_KIB_S,  /* memory used grows so fast; 0: what leaked is freed */
	GN_FAKE_NOISE_KIB,   /* memory used varies by so much */
	GN_FAKE_LATENCY_US,  /* of each disk request; 0: 200 */
	GN_FAKE_DISK_ERRORS, /* per period, as all below */
	GN_FAKE_RETRANSMISSIONS,
	GN_FAKE_RESETS,
	GN_FAKE_LOG_ERRORS, /* of the guest's kernel; any guest key makes a guest part */
	GN_FAKE_OOM_KILLS,
	GN_FAKE_STUCK_THREADS,
	GN_FAKE_CLOCK_STOPPED_US,
	GN_FAKE_N_TROUBLES,
};

struct gn_fake_mood {
	uint64_t troubles[GN_FAKE_N_TROUBLES];
	uint64_t leaked_bytes;
	uint64_t at_us; /* when it was read, monotonic */
};

/* Reads the file again, and lets memory leak since the last time. */
void gn_fake_mood_read(struct gn_fake_mood *mood, const char *path, uint64_t now_us);

/* A repeatable disorder: a chaotic map's value (0..1000) for each interval. A forecaster that
 * only adds up cannot foresee it, trees can. 'channel' 0..3 are different ones. */
uint32_t gn_fake_chaos(unsigned channel, uint64_t interval);

#endif
