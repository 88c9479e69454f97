/* clock.h - the two clocks, in microseconds. Shells read them and hand the value to
 * pure modules; a pure module never calls these. */
#ifndef GN_CORE_CLOCK_H
#define GN_CORE_CLOCK_H

#include <stdint.h>

/* Since boot, suspended time included; never goes back. */
uint64_t gn_clock_monotonic_us(void);

/* Since the epoch; may step. */
uint64_t gn_clock_wall_us(void);

#endif
