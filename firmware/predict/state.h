/* state.h - the memory of one predictor: what predict.h keeps opaque. Plain data without
 * pointers or padding surprises; blob.c writes it out field by field in this order. */
#ifndef GN_PREDICT_STATE_H
#define GN_PREDICT_STATE_H

#include "firmware/predict/autoreg.h"
#include "firmware/predict/history.h"
#include "firmware/predict/level.h"
#include "firmware/predict/period.h"
#include "firmware/predict/predict.h"
#include "firmware/predict/rls.h"
#include "firmware/predict/spread.h"

#define GN_H             GN_PREDICT_MAX_HORIZONS
#define GN_Q             GN_PREDICT_N_QUANTILES
#define GN_STACK_N       GN_RLS_SMALL
#define GN_PROFILE_SLOTS 288
#define GN_PENDING       18 /* enough for 1, 6, 12 and 24 steps ahead */

/* The experts whose quantiles are aggregated. */
enum gn_expert {
	GN_EXPERT_STACK,  /* auto-regression, rhythm and profile, regressed on each other */
	GN_EXPERT_RHYTHM, /* one found period ago */
	GN_EXPERT_DAY,    /* histogram of the last day */
	GN_EXPERT_WEEK,   /* histogram of the last week */
	GN_EXPERT_MIX,    /* those above, aggregated */
	GN_EXPERT_TREES,  /* the model pack, when there is one, else as the mixture */
	GN_N_EXPERTS,
};

/* Of a far horizon every second or third origin is learnt from and judged:
 * its neighbours in time say nearly the same. A young series learns from every one. */
#define GN_YOUNG     576
#define GN_TURNS_MAX 3
static inline uint32_t gn_turns(uint32_t horizon)
{
	return horizon < 6 ? 1 : horizon < 24 ? 2 : GN_TURNS_MAX;
}

struct gn_stack {
	uint64_t d[GN_STACK_N];
	int32_t u[GN_RLS_PAIRS(GN_STACK_N)];
	int32_t weights[GN_STACK_N];
};

/* Quantiles issued and not yet judged: their difference to the value then is the number here
 * times 2^shift, with one shift for the levels and one for all others. */
struct gn_pending {
	int16_t experts[GN_N_EXPERTS][GN_Q];
	int16_t issued[GN_Q];
	uint8_t shift, level_shift;
};

#define GN_N_ONLINE   GN_EXPERT_MIX /* experts that learn on the card */
#define GN_N_FEATURES 37

/* Running figures of the newest samples, for features.h. Units. */
#define GN_RECENT_BLOCK  12
#define GN_RECENT_BLOCKS 24
#define GN_HIGH_SLOTS    48
struct gn_recent {
	int32_t change_fast_q4, change_slow_q4; /* mean |change| */
	int32_t error_fast_q4[GN_H];            /* mean |value - P50| */
	int32_t above_q16[GN_H];                /* share of values above the mixture's P95 */
	int32_t max_6, max_96, max_288;
	uint16_t blocks[GN_RECENT_BLOCKS]; /* maxima of 12 steps each, small floats */
	uint16_t high[GN_HIGH_SLOTS];      /* decaying maxima per time of day, small floats */
	uint8_t block;                     /* the newest */
};

struct gn_accuracy {
	uint32_t loss_q4;      /* running |value - P50|, units */
	uint32_t naive_q4;     /* running |value - value h steps before|, units */
	uint32_t peak_loss_q4; /* running pinball loss of P95, units, and of the VPA's rule */
	uint32_t vpa_loss_q4;
	uint32_t n;
};

struct gn_predict {
	struct gn_predict_config config;
	uint64_t expected_us; /* when the newest sample was due */
	uint64_t now_us;
	uint64_t n_observed;
	uint32_t day;         /* steps per day */
	uint32_t n_missing;   /* in a row, just now */
	uint32_t n_since_gap; /* real samples since the last gap */
	int8_t shift;         /* units = value << shift */
	uint8_t scaled;       /* the shift has been chosen */
	uint8_t slots[GN_H];  /* pending forecasts per horizon */
	struct gn_history history;
	int32_t peak;             /* highest value so far, units */
	int32_t fast_q5, slow_q5; /* running means, units */
	int64_t variance;         /* units squared */
	struct gn_norm norm;
	struct gn_recent recent;
	struct gn_autoreg ar;
	struct gn_period period;
	struct gn_level level;
	struct gn_stack stack[GN_H];
	struct gn_spread spread[GN_H];
	struct gn_spread rhythm_spread[GN_H];
	uint16_t profile[GN_PROFILE_SLOTS]; /* small floats */
	uint64_t slot_sum;
	uint32_t slot_n;
	struct gn_pending pending[GN_PENDING];
	uint32_t losses[GN_H][GN_Q][GN_N_EXPERTS]; /* running pinball, units, Q4 */
	uint32_t n_judged[GN_H];
	uint16_t weights[GN_H][GN_Q][GN_N_EXPERTS]; /* Q12; on-line experts' sum to one, so do
	                                             * the mixture's and the trees' */
	int32_t offsets_q16[GN_H][GN_Q];            /* conformal, in units of the spread's scale */
	struct gn_accuracy accuracy[GN_H];
	int32_t quantiles[GN_H][GN_Q]; /* the newest forecast, units */
};

_Static_assert(sizeof(struct gn_predict) <= 8192, "predict.h promises 8 KiB");

#endif
