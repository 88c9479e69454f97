/* guest_signs.h - signs of failure that a guest's kernel shows, as sentences with the time at
 * which each was seen. A sample tells what was new in one second; an operator who looks a minute
 * later must still see it.
 *
 * Pure: time is an argument. The caller's storage; zeroed: nothing seen yet. What a detail quotes
 * is the guest's own text. */
#ifndef GN_BRAIN_GUEST_SIGNS_H
#define GN_BRAIN_GUEST_SIGNS_H

#include <stdbool.h>
#include <stdint.h>
#include "proto/gnomon/v1/sample.pb-c.h"

#define GN_GUEST_SIGN_KEPT_US 900000000u /* after it was seen last: 15 minutes */
#define GN_GUEST_SIGN_TEXT    320

#define GN_GUEST_SIGNS(X)                                                                          \
	X(PANIC, "panic")                                                                          \
	X(OOPS, "oops")                                                                            \
	X(LOCKUP, "lockup")                                                                        \
	X(CLOCK, "clock")   /* has stood still for 5 s and more */                                 \
	X(STUCK, "stuck")   /* threads in uninterruptible sleep */                                 \
	X(MEMORY, "memory") /* processes killed for want of it */                                  \
	X(LOG, "log")       /* lines at level error or worse */                                    \
	X(LEAK, "leak")     /* grows so that nothing is left within a day */

enum gn_guest_sign {
#define GN_GUEST_SIGN_ENUM(name, text) GN_GUEST_SIGN_##name,
	GN_GUEST_SIGNS(GN_GUEST_SIGN_ENUM)
#undef GN_GUEST_SIGN_ENUM
	        GN_N_GUEST_SIGNS
};

struct gn_guest_signs {
	struct {
		uint64_t since_us;  /* wall */
		uint64_t newest_us; /* 0: never */
		uint64_t count;     /* MEMORY, LOG: since then */
		char detail[GN_GUEST_SIGN_TEXT];
	} signs[GN_N_GUEST_SIGNS];
};

/* "panic" ... */
const char *gn_guest_sign_name(enum gn_guest_sign sign);

/* Takes a sample in. Returns the signs that are there now and were not within the last
 * GN_GUEST_SIGN_KEPT_US, as bits. */
uint32_t gn_guest_signs_take(struct gn_guest_signs *signs, const Gnomon__V1__GuestSample *sample,
                             uint64_t now_us);

/* Whether it was seen that recently. */
bool gn_guest_sign_is_kept(const struct gn_guest_signs *signs, enum gn_guest_sign sign,
                           uint64_t now_us);

#endif
