/* predict.h - what one resource of one VM will need, as quantiles at several horizons.
 *
 * Pure: no I/O, clock, allocation, floats or globals; bit-identical on x86-64 and arm64.
 * Not thread-safe: one owner per instance. The instance is the caller's storage, of fixed
 * size, without pointers; so it can be copied, and exported with gn_predict_export().
 *
 * Values are in the resource's own unit (milli-vCPU, bytes, bits/s), 0..GN_PREDICT_MAX. */
#ifndef GN_PREDICT_H
#define GN_PREDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_PREDICT_MAX          ((int64_t)1 << 48) /* larger values are clamped */
#define GN_PREDICT_MAX_HORIZONS 4
#define GN_PREDICT_MAX_HORIZON  288 /* steps */

enum gn_predict_quantile { GN_P50, GN_P90, GN_P95, GN_P99, GN_PREDICT_N_QUANTILES };

struct gn_predict_config {
	uint64_t period_us;                         /* one step: 1 s, 1 min, 5 min; 100 ms..1 h */
	uint32_t n_horizons;                        /* 1..GN_PREDICT_MAX_HORIZONS */
	uint32_t horizons[GN_PREDICT_MAX_HORIZONS]; /* in steps, ascending, 1..MAX_HORIZON */
	uint32_t min_history; /* steps before a forecast is trusted, at least; 0: the default */
};

/* Why a forecast is not trusted. */
enum gn_predict_reason {
	GN_PREDICT_TRUSTED,
	GN_PREDICT_TOO_LITTLE_HISTORY,
	GN_PREDICT_WORSE_THAN_NAIVE, /* its running loss is above that of 'stays as it is' */
	GN_PREDICT_INTERRUPTED,      /* samples were missing just now */
};

struct gn_predict_forecast {
	int64_t quantiles[GN_PREDICT_N_QUANTILES]; /* never crossing: P50 <= P90 <= ... */
	int64_t observed;                          /* newest value */
	uint32_t horizon;                          /* steps */
	uint32_t found_period;                     /* steps; 0: no rhythm found */
	uint64_t n_observed;
	int32_t error_ratio_q16; /* running loss / naive's; 65536 = equal; less is better */
	enum gn_predict_reason reason;
};

struct gn_predict;
extern const size_t gn_predict_size; /* bytes an instance needs, at most 8 KiB; 8-byte aligned */

/* -EINVAL: the configuration is out of range; 'p' is then untouched. */
int gn_predict_init(struct gn_predict *p, const struct gn_predict_config *config);

/* Feeds the value seen over the period that ended at 'now_us' (monotonic, never
 * backwards). Skipped periods are treated as missing. Returns 0, or -ERANGE when
 * 'now_us' does not advance, and leaves 'p' unchanged. */
int gn_predict_observe(struct gn_predict *p, uint64_t now_us, int64_t value);

/* The same with a learned model beside the experts that learn on the card; NULL: without.
 * 'pack' (pack.h) is only read, during the call; another one may be given at any time. */
struct gn_pack;
int gn_predict_observe_with(struct gn_predict *p, const struct gn_pack *pack, uint64_t now_us,
                            int64_t value);

/* The value's quantiles 'config.horizons[index]' steps after the newest sample.
 * -EINVAL: no such horizon. -EAGAIN: nothing observed yet. */
int gn_predict_forecast(const struct gn_predict *p, uint32_t index,
                        struct gn_predict_forecast *out);

/* What it has learnt of its own accuracy at a horizon, as running means of the last some
 * hundred targets, in thousandths of the resource's unit. Ratios below 1 are good. */
struct gn_predict_accuracy {
	int64_t error_milli, naive_error_milli; /* |value - P50|, |value - value then| */
	int64_t loss95_milli, vpa_loss95_milli; /* pinball of P95, and of the K8s VPA's rule */
	uint64_t n;                             /* targets judged */
};
int gn_predict_accuracy(const struct gn_predict *p, uint32_t index,
                        struct gn_predict_accuracy *out);

/* What it was made with; also what an imported one says of itself. */
const struct gn_predict_config *gn_predict_configuration(const struct gn_predict *p);

/* When the newest sample was taken; 0: none yet. */
uint64_t gn_predict_newest_us(const struct gn_predict *p);

/* The VM's allocation changed: old residuals say less from here on. */
void gn_predict_note_resize(struct gn_predict *p, int64_t old_limit, int64_t new_limit);

/* One sentence on how the newest forecast came about (experts' weights, rhythm, recent
 * error). Writes at most 'size' bytes with the NUL. Returns the length. */
size_t gn_predict_explain(const struct gn_predict *p, uint32_t index, char *text, size_t size);

/* A versioned blob, for storage and migration, of at most gn_predict_blob_max bytes.
 * Import checks everything: -EBADMSG for a damaged or hostile blob, -EPROTO for another
 * version; 'p' is then untouched. */
extern const size_t gn_predict_blob_max;
size_t gn_predict_export(const struct gn_predict *p, void *blob, size_t size);
int gn_predict_import(struct gn_predict *p, const void *blob, size_t size);

const char *gn_predict_reason_text(enum gn_predict_reason reason);

#endif
