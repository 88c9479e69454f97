/* policy_file.h - the YAML file of a policy that is replayed. */
#ifndef GN_REPLAY_POLICY_FILE_H
#define GN_REPLAY_POLICY_FILE_H

#include "firmware/policy/policy.h"

/* As written: 0 where a key is missing. Amounts are in the unit of the CSV columns. */
struct gn_policy_file {
	enum gn_resource resource;
	uint64_t quantile_milli, horizon_us, headroom_milli, dead_band_milli, cooldown_us,
	        shrink_after_us;
	double minimum, maximum, step, max_change, initial;
};

/* 0, or -EINVAL after a message. */
int gn_policy_file_read(const char *path, struct gn_policy_file *out);

/* The rules for a column whose numbers were multiplied by 'scale'. */
void gn_policy_file_rules(const struct gn_policy_file *file, int64_t scale,
                          struct gn_policy_rules *rules);

#endif
