/* pattern.h - a demand over time, as a short text.
 *
 *   const:V                       always V
 *   periodic:BASE:PEAK:PERIOD:WIDTH[:PHASE]   PEAK for WIDTH seconds each PERIOD, else BASE;
 *                                 the first peak begins at PHASE (default: PERIOD - WIDTH)
 *   daily:BASE:PEAK:PERIOD[:PHASE]  a smooth day: from BASE up to PEAK and back (raised cosine)
 *   ramp:FROM:TO:SECONDS          straight from FROM to TO, then TO
 *   spike:BASE:PEAK:AT:SECONDS    BASE, but PEAK from AT for SECONDS
 *
 * Values are non-negative integers in the unit of what they drive (milli-vCPU, MiB, kbit/s,
 * requests/s, KiB/s); times are seconds since the pattern was set. Pure. */
#ifndef GN_GUEST_PATTERN_H
#define GN_GUEST_PATTERN_H

#include <stdint.h>

enum gn_pattern_kind { GN_CONST, GN_PERIODIC, GN_DAILY, GN_RAMP, GN_SPIKE };

struct gn_pattern {
	enum gn_pattern_kind kind;
	uint32_t n_arguments;
	uint64_t arguments[5];
};

/* -EINVAL: not a pattern; 'out' is then untouched. */
int gn_pattern_parse(const char *text, struct gn_pattern *out);

/* The value 'ms' milliseconds after the pattern was set. */
uint64_t gn_pattern_value(const struct gn_pattern *pattern, uint64_t ms);

#endif
