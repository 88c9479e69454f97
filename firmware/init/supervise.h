/* supervise.h - when a service is started, started again, or waited for.
 *
 * Pure. One struct a service; time is an argument (monotonic microseconds).
 *
 * A service that ends is started again after a pause that doubles from 100 ms to 30 s; once it
 * has run for a minute the pause is the shortest again. It is never given up: on a card nobody
 * is there to start it. */
#ifndef GN_INIT_SUPERVISE_H
#define GN_INIT_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

#define GN_SUPERVISE_PAUSE_MIN_US 100000u
#define GN_SUPERVISE_PAUSE_MAX_US 30000000u
#define GN_SUPERVISE_HEALTHY_US   60000000u

enum gn_supervise_state { GN_SUPERVISE_WAITS, GN_SUPERVISE_RUNS, GN_SUPERVISE_STOPPED };

struct gn_supervise {
	enum gn_supervise_state state;
	uint64_t since_us; /* when it was started, or ended */
	uint64_t due_us;   /* WAITS: when to start it */
	uint64_t pause_us; /* before the next start */
	uint32_t starts;
};

/* Due at once. */
void gn_supervise_init(struct gn_supervise *service, uint64_t now_us);

/* Whether to start it now. */
bool gn_supervise_is_due(const struct gn_supervise *service, uint64_t now_us);
/* When gn_supervise_is_due() will be true; UINT64_MAX: not by time alone. */
uint64_t gn_supervise_due_us(const struct gn_supervise *service);

/* What became of it. A start that failed is a start and an end. */
void gn_supervise_started(struct gn_supervise *service, uint64_t now_us);
void gn_supervise_ended(struct gn_supervise *service, uint64_t now_us);
/* It will not be started again: the card goes down. */
void gn_supervise_stop(struct gn_supervise *service);

#endif
