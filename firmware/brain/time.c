/* time.c - the clocks, for everything that is told the time by its caller (brain.h). A file
 * of its own, so that tests link another. */
#include "firmware/brain/brain.h"
#include "firmware/core/clock.h"

struct gn_time gn_time_now(void)
{
	return (struct gn_time){gn_clock_wall_us(), gn_clock_monotonic_us()};
}
