/* policy.h - what a policy would have done with a recorded history. */
#ifndef GN_REPLAY_POLICY_H
#define GN_REPLAY_POLICY_H

#include "tools/replay/forecast.h"

/* Runs predictor and policy over every row of the trace and prints, per row and in all, what
 * would have been allocated, violated and wasted; with 'html' also a report with charts.
 * 'policy' is a YAML file with one policy's rules, in the units of the CSV columns:
 *   resource: memory        # whose defaults apply: cpu, memory, network_rx, ...
 *   quantile_milli: 950     # 500, 900, 950, 990
 *   horizon_us: 3600000000
 *   minimum: 0.5            # and maximum, step, max_change, initial: numbers of the column
 *   headroom_milli: 100     # and dead_band_milli
 *   cooldown_us: 300000000  # and shrink_after_us
 * 0 or a negative errno after a message. */
int gn_replay_policy(const struct gn_trace *trace, const struct gn_replay_options *options,
                     const char *policy, const char *html);

#endif
