/* health.h - whether the card that has just booted is well: what makes a slot good or bad.
 *
 * Pure. Signs are given about once a second; the slot is good once all of them have been there
 * for 'steady_us' on end, and has failed when that has not come within 'patience_us'. */
#ifndef GN_UPDATE_HEALTH_H
#define GN_UPDATE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

struct gn_health_signs {
	bool dataplane_answers;
	uint64_t dataplane_loops; /* grows while packets are looked for and forwarded */
	bool gnomond_answers;     /* the control channel is up */
	bool store_is_open;       /* gnomond stores what it learns */
	bool reaches_dataplane;   /* gnomond does */
};

enum gn_health_verdict { GN_HEALTH_WAIT, GN_HEALTH_GOOD, GN_HEALTH_BAD };

struct gn_health {
	uint64_t steady_us, patience_us;
	uint64_t started_us;
	uint64_t well_since_us; /* UINT64_MAX: it is not well */
	uint64_t loops;         /* as seen last */
	const char *lacks;      /* what was missing last; "" nothing */
};

/* 'now_us' is monotonic. */
void gn_health_init(struct gn_health *health, uint64_t steady_us, uint64_t patience_us,
                    uint64_t now_us);
enum gn_health_verdict gn_health_observe(struct gn_health *health,
                                         const struct gn_health_signs *signs, uint64_t now_us);

#endif
