/* learn.h - learns the drive model: boosted trees of three levels on the logistic loss. */
#ifndef GN_REPLAY_LEARN_H
#define GN_REPLAY_LEARN_H

#include <stdbool.h>
#include <stddef.h>

#include "firmware/hazard/drive.h"

struct gn_drive_case {
	int32_t features[GN_DRIVE_N_FEATURES];
	bool failed; /* within 720 h */
	bool held_out;
};

/* Learns from the cases that are not held out. The caller frees the model; NULL: no memory,
 * or no failure to learn from. */
struct gn_drive_model *gn_learn_drive(const struct gn_drive_case *cases, size_t n);

size_t gn_learn_drive_size(const struct gn_drive_model *model);

#endif
