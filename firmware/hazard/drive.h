/* drive.h - will this disk drive fail within 720 hours of operation?
 *
 * Features come from two readings of the SMART attributes, now and 720 hours of operation
 * ago. Two judges: a documented rule that needs no data (gn_drive_rule), and boosted trees
 * learnt on the user's own drives by 'gnomon-replay hdd --learn' (gn_drive_model). Attributes
 * follow the ones that Backblaze's and Google's field studies found to matter (Pinheiro,
 * Weber, Barroso, Failure trends in a large disk drive population, FAST 2007).
 * Pure. Owner: the caller. */
#ifndef GN_HAZARD_DRIVE_H
#define GN_HAZARD_DRIVE_H

#include <stddef.h>
#include <stdint.h>

enum gn_drive_attribute {
	GN_DRIVE_REALLOCATED,   /* SMART 5, sectors */
	GN_DRIVE_POWER_CYCLES,  /* 12 */
	GN_DRIVE_UNCORRECTABLE, /* 187 */
	GN_DRIVE_TIMEOUTS,      /* 188 */
	GN_DRIVE_HIGH_FLY,      /* 189 */
	GN_DRIVE_REALLOCATIONS, /* 196, events */
	GN_DRIVE_PENDING,       /* 197 */
	GN_DRIVE_OFFLINE,       /* 198 */
	GN_DRIVE_N_ATTRIBUTES,
};

#define GN_DRIVE_UNKNOWN (-1)

struct gn_drive_reading {
	int64_t hours;                      /* power-on hours */
	int64_t raw[GN_DRIVE_N_ATTRIBUTES]; /* GN_DRIVE_UNKNOWN: not reported */
};

/* Now, what it grew by in 720 hours, and the drive's age and size. */
#define GN_DRIVE_N_FEATURES (2 * GN_DRIVE_N_ATTRIBUTES + 2)

/* 'before': the reading of about 720 hours earlier, or the oldest there is. */
void gn_drive_features(const struct gn_drive_reading *now, const struct gn_drive_reading *before,
                       int64_t size_gb, int32_t features[GN_DRIVE_N_FEATURES]);

const char *gn_drive_feature_text(uint32_t feature);

/* Log-odds (Q8, natural) of failing within 720 h, by the rule. On Backblaze's drives of 2013-2016
 * one in a hundred of those that did not fail reaches GN_DRIVE_ALARM_Q8, and .28 of the others. */
#define GN_DRIVE_ALARM_Q8 136
int32_t gn_drive_rule(const int32_t features[GN_DRIVE_N_FEATURES]);

/* A learnt model as bytes: u32 magic 'GNDM', u16 version, u16 trees, i32 bias (Q8), u32 zero,
 * then per tree: u8 feature[7], u8 zero, i32 threshold[7], i16 leaf[8] (Q8). Node i has the
 * children 2i+1 (feature <= threshold) and 2i+2. Little-endian. */
#define GN_DRIVE_MAGIC     0x4d444e47u
#define GN_DRIVE_VERSION   1
#define GN_DRIVE_TREES_MAX 1000
#define GN_DRIVE_NODES     7
#define GN_DRIVE_LEAVES    8

struct gn_drive_tree {
	uint8_t feature[GN_DRIVE_NODES];
	uint8_t reserved;
	int32_t threshold[GN_DRIVE_NODES];
	int16_t leaf_q8[GN_DRIVE_LEAVES];
};

struct gn_drive_model {
	uint32_t magic;
	uint16_t version;
	uint16_t n_trees;
	int32_t bias_q8;
	uint32_t reserved;
	struct gn_drive_tree trees[];
};

/* Checks the bytes (aligned to 4). Returns them as a model, or NULL. */
const struct gn_drive_model *gn_drive_model_open(const void *data, size_t size);

int32_t gn_drive_score(const struct gn_drive_model *model,
                       const int32_t features[GN_DRIVE_N_FEATURES]);

/* Log-odds (Q8) to a probability (Q16). */
uint32_t gn_drive_probability_q16(int32_t log_odds_q8);

/* The feature that raised the score most against a drive without any defect. */
uint32_t gn_drive_reason(const struct gn_drive_model *model,
                         const int32_t features[GN_DRIVE_N_FEATURES]);

#endif
