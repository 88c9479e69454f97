/* signs.h - a VM's signs of trouble, combined into one probability of failure.
 *
 * Each sign is a level: 0 is normal, 256 (1.0) is what an operator would look into. A logistic
 * model adds them up; it starts from documented weights and learns from what then happened on
 * this card (on-line logistic regression, pulled back towards the documented weights, which is
 * its prior). Its probabilities are recalibrated by comparing what it promised with what came.
 * Every contribution carries its sign's name into the alert. Pure; owner: the caller. */
#ifndef GN_HAZARD_SIGNS_H
#define GN_HAZARD_SIGNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gn_sign {
	GN_SIGN_ANOMALY,         /* of any metric: anomaly.h's score */
	GN_SIGN_LATENCY,         /* disk or network latency above its usual range */
	GN_SIGN_IO_ERRORS,       /* failed disk requests */
	GN_SIGN_RETRANSMISSIONS, /* TCP segments sent again */
	GN_SIGN_RESETS,          /* connections refused or reset */
	GN_SIGN_STUCK_TASKS,     /* tasks waiting without end */
	GN_SIGN_KERNEL,          /* warnings and oopses in the kernel's log */
	GN_SIGN_EXHAUSTION,      /* how soon something is used up: exhaustion.h */
	GN_SIGN_DRIVE,           /* the drive behind a volume: drive.h */
	GN_N_SIGNS,
};

struct gn_signs {
	int32_t weights_q16[GN_N_SIGNS];
	int32_t bias_q16;
	uint32_t promised_q16; /* running mean of what was promised, and of what came */
	uint32_t came_q16;
	uint32_t n_outcomes;
};

struct gn_signs_hazard {
	uint32_t probability_q16; /* of failing within the horizon that outcomes are told for */
	enum gn_sign strongest;
	int32_t contributions_q8[GN_N_SIGNS]; /* log-odds */
};

void gn_signs_init(struct gn_signs *signs);

/* 'levels' are clamped to 0..16 (Q8). */
struct gn_signs_hazard gn_signs_hazard(const struct gn_signs *signs,
                                       const int32_t levels_q8[GN_N_SIGNS]);

/* What came of a hazard that was given for 'levels': the VM failed in time, or did not. */
void gn_signs_learn(struct gn_signs *signs, const int32_t levels_q8[GN_N_SIGNS], bool failed);

const char *gn_sign_text(enum gn_sign sign);

#endif
