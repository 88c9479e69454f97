/* anomaly.h - is this value new to this series? On-line, per metric, calibrated.
 *
 * Three views of the series (the value, its mean over 12 samples and over 100) are each
 * compared with the range that the view has kept to over the last 5000 samples; the score is
 * how far outside it lies, in widths of the range. Slow views must be further outside, since
 * a drift of a mean is less of a surprise. A score counts only when it tops those of the last
 * 'quiet' samples: one event, one alarm. Ranges are order statistics (the 1 in 1000 highest
 * and lowest), so single spikes of the past neither blind it nor make it jumpy.
 *
 * Calibration: how often scores that high came on this very series is counted, so that an
 * alarm threshold can be given as a budget: so many false alarms a month.
 *
 * Pure. Owner: the caller; one instance per metric; plain data without pointers. */
#ifndef GN_HAZARD_ANOMALY_H
#define GN_HAZARD_ANOMALY_H

#include <stdbool.h>
#include <stdint.h>

#define GN_ANOMALY_VIEWS         3
#define GN_ANOMALY_BLOCKS        10
#define GN_ANOMALY_BLOCK         500 /* samples */
#define GN_ANOMALY_ORDER         6   /* extremes kept per block */
#define GN_ANOMALY_RECENT        24
#define GN_ANOMALY_SUMS          10
#define GN_ANOMALY_BINS          24
#define GN_ANOMALY_VALUE_MAX     ((int64_t)1 << 48)
#define GN_ANOMALY_SCORE_MAX_Q16 (64 << 16)

enum gn_anomaly_view { GN_ANOMALY_SAMPLE, GN_ANOMALY_MEAN_12, GN_ANOMALY_MEAN_100 };

struct gn_anomaly_range {
	int64_t high[GN_ANOMALY_BLOCKS][GN_ANOMALY_ORDER]; /* the highest of each block, falling */
	int64_t low[GN_ANOMALY_BLOCKS][GN_ANOMALY_ORDER];  /* the lowest, negated, falling */
	int64_t top, bottom; /* the range, worked out every few samples */
};

struct gn_anomaly {
	uint64_t n;
	uint32_t quiet; /* samples */
	struct gn_anomaly_range ranges[GN_ANOMALY_VIEWS];
	int64_t last_12[12];
	int64_t sums[GN_ANOMALY_SUMS];         /* of ten samples each */
	int32_t recent_q16[GN_ANOMALY_RECENT]; /* highest scores per quiet / 24 samples */
	uint16_t counts[GN_ANOMALY_BINS];      /* alarms by score, half octaves from 2^-8 */
};

struct gn_anomaly_result {
	int32_t score_q16;         /* 0: nothing new; 65536: one whole range outside */
	enum gn_anomaly_view view; /* which view it was, for the explanation */
	bool above;                /* above the range, else below */
	uint32_t per_month_q8; /* how many scores like this or higher the series gives a month */
};

/* 'quiet': samples after an event during which only a greater one counts; 24..100000. */
void gn_anomaly_init(struct gn_anomaly *anomaly, uint32_t quiet);

/* Judges 'value' against what came before, then takes it in. 'period_us' > 0 is the sampling
 * period, for the monthly figure. */
struct gn_anomaly_result gn_anomaly_observe(struct gn_anomaly *anomaly, int64_t value,
                                            uint64_t period_us);

/* The score above which the series gives at most 'budget_q8' alarms a month. */
int32_t gn_anomaly_threshold(const struct gn_anomaly *anomaly, uint64_t period_us,
                             uint32_t budget_q8);

/* Whether these may be the bytes of an anomaly that was set up with 'quiet': whatever is observed
 * next, nothing overflows. For state that comes from elsewhere. */
bool gn_anomaly_is_sound(const struct gn_anomaly *anomaly, uint32_t quiet);

const char *gn_anomaly_view_text(enum gn_anomaly_view view);

#endif
