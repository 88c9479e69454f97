/* policy.h - what a VM should have of one resource, given what it will need.
 *
 *   need    = the highest forecast, at the policy's quantile, of every horizon up to the
 *             first that covers the policy's, or what is seen now if that is more; plus
 *             headroom
 *   target  = need, rounded up to the step, within the limits
 *
 * Growing follows the forecast. Shrinking follows only what was seen: the highest demand
 * of the whole 'shrink_after' window, plus headroom, must lie below the allocation, and
 * the forecast must not object. Demand at the allocation is censored - nobody can see how
 * much more the VM would take - so it asks for at least one step more, dead band or not.
 *
 * Pure: no I/O, clock, allocation, floats or globals. Values are in the resource's unit
 * and clamped to 0..GN_PREDICT_MAX, so that no product below overflows 63 bits. */
#ifndef GN_POLICY_H
#define GN_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include "firmware/demand/resource.h"
#include "firmware/predict/predict.h"

/* Numbered as 'enum Mode' of control.proto. */
enum gn_policy_mode { GN_POLICY_OFF = 1, GN_POLICY_FORECAST_ONLY = 2, GN_POLICY_ENFORCE = 3 };

/* The rules for one resource of one VM: message ResourcePolicy, checked. */
struct gn_policy_rules {
	uint32_t quantile_milli; /* 500, 900, 950 or 990 */
	uint64_t horizon_us;
	int64_t minimum;
	int64_t maximum; /* 0: what the VM's definition allows */
	int64_t step;
	uint32_t headroom_milli;
	uint32_t dead_band_milli;
	uint64_t cooldown_us;
	uint64_t shrink_after_us;
	int64_t max_change; /* 0: no limit */
};

extern const struct gn_policy_rules gn_policy_defaults[GN_RESOURCE_END];

/* 0, or -EINVAL with a sentence that says which field is wrong and what it may be. */
int gn_policy_check(enum gn_resource resource, const struct gn_policy_rules *rules,
                    struct gn_text *why);

/* ---- what was seen ---------------------------------------------------------- */

/* The highest demand of the last 'shrink_after', in a fixed number of buckets: the window
 * covers between 15/16 and 16/16 of it. Owner: the caller; no pointers. */
#define GN_POLICY_WINDOW_BUCKETS 16
struct gn_policy_window {
	uint64_t bucket_us;
	uint64_t head;     /* number of the newest bucket: time / bucket_us */
	uint64_t first_us; /* begin of unbroken observation; 0: nothing seen */
	uint64_t newest_us;
	int64_t maxima[GN_POLICY_WINDOW_BUCKETS]; /* -1: nothing seen in it */
};

void gn_policy_window_init(struct gn_policy_window *window, uint64_t shrink_after_us);
/* 'now_us' does not go back. When nothing was seen for longer than 'gap_us', observation
 * begins anew. */
void gn_policy_window_add(struct gn_policy_window *window, uint64_t now_us, uint64_t gap_us,
                          int64_t value);
int64_t gn_policy_window_maximum(const struct gn_policy_window *window);
/* How long observation has been unbroken. */
uint64_t gn_policy_window_length(const struct gn_policy_window *window);

/* ---- the decision ------------------------------------------------------------ */

struct gn_policy_input {
	enum gn_resource resource;
	enum gn_policy_mode mode;
	int64_t allocated;          /* 0: not limited, so there is nothing to decide */
	int64_t definition_maximum; /* 0: none */
	int64_t observed;           /* newest */
	bool estimated;             /* not the guest's own figure: shown, never acted upon */
	int64_t window_maximum;     /* highest of the window */
	uint64_t window_us;         /* seen for so long without a break */
	uint64_t since_change_us;   /* since this allocation was last changed; UINT64_MAX: never */
	int64_t host_free;          /* room in the ledger; INT64_MAX: not bounded */
	uint64_t period_us;         /* of one forecast step */
	uint32_t n_forecasts;       /* 0: none yet */
	const struct gn_predict_forecast *forecasts; /* ascending horizons */
};

/* What decided, in the order of X: the text is what an operator reads. */
#define GN_POLICY_BOUNDS(X)                                                                        \
	X(NONE, "none")                                                                            \
	X(OFF, "mode OFF")                                                                         \
	X(NOT_LIMITED, "no allocation is set")                                                     \
	X(ESTIMATED, "the guest reports no figures of its own")                                    \
	X(HISTORY, "too little history")                                                           \
	X(INTERRUPTED, "samples are missing")                                                      \
	X(MINIMUM, "minimum")                                                                      \
	X(MAXIMUM, "maximum")                                                                      \
	X(DEFINITION, "the VM's definition")                                                       \
	X(DEAD_BAND, "dead band")                                                                  \
	X(COOLDOWN, "cooldown")                                                                    \
	X(MAX_CHANGE, "rate of change")                                                            \
	X(SHRINK_WAIT, "shrinks only after longer observation")                                    \
	X(HOST_CAPACITY, "host capacity")

enum gn_policy_bound {
#define GN_POLICY_BOUND_ENUM(name, text) GN_POLICY_BOUND_##name,
	GN_POLICY_BOUNDS(GN_POLICY_BOUND_ENUM)
#undef GN_POLICY_BOUND_ENUM
};
const char *gn_policy_bound_text(enum gn_policy_bound bound);

enum gn_policy_verdict { GN_POLICY_KEEP, GN_POLICY_GROW, GN_POLICY_SHRINK };

struct gn_policy_decision {
	enum gn_policy_verdict verdict; /* what to do now: KEEP when a limit forbids it */
	enum gn_policy_bound bound;     /* the limit that decided */
	int64_t predicted;              /* at the quantile, highest up to the horizon */
	uint64_t horizon_us;            /* that was really looked at */
	int64_t need;                   /* with headroom */
	int64_t uncapped_target;        /* before the limits */
	int64_t target;                 /* after them; = allocated when KEEP */
	bool saturated;                 /* demand is at the allocation */
	bool advisory;  /* to be shown, not executed: the forecast is demoted, or the mode
	                 * is FORECAST_ONLY */
	bool demoted;   /* because its forecast is worse than naive */
	bool must_move; /* the host has no room for what the VM needs */
};

void gn_policy_decide(const struct gn_policy_rules *rules, const struct gn_policy_input *input,
                      struct gn_policy_decision *out);

/* One sentence with the figures: "CPU of vms/web-1: P95 within 15 s is 0.97 vCPU, with 20%
 * headroom 1.16, has 1: grow to 2 vCPU (bound by: none)". */
void gn_policy_explain(const struct gn_policy_rules *rules, const struct gn_policy_input *input,
                       const struct gn_policy_decision *decision, const char *vm,
                       struct gn_text *text);

#endif
