/* signs.c - see signs.h. */
#include "firmware/hazard/signs.h"

#include "firmware/core/fixed.h"
#include "firmware/hazard/drive.h"

#define LEVEL_MAX   (16 << 8)
#define WEIGHT_MAX  (16 << 16)
#define RATE_SHIFT  7            /* 1/128 */
#define PRIOR_SHIFT 14           /* back to the prior by 1/16384 per outcome */
#define MEMORY      512          /* outcomes */
#define BIAS_PRIOR  (-6 * 65536) /* 0.25 % without any sign */

static const struct {
	int32_t weight_q16;
	const char *text;
} prior[GN_N_SIGNS] = {
        [GN_SIGN_ANOMALY] = {32768, "a metric left its usual range"},
        [GN_SIGN_LATENCY] = {49152, "latency drifts"},
        [GN_SIGN_IO_ERRORS] = {131072, "disk requests fail"},
        [GN_SIGN_RETRANSMISSIONS] = {32768, "retransmissions"},
        [GN_SIGN_RESETS] = {32768, "connections are reset"},
        [GN_SIGN_STUCK_TASKS] = {131072, "tasks are stuck"},
        [GN_SIGN_KERNEL] = {163840, "kernel warnings"},
        [GN_SIGN_EXHAUSTION] = {131072, "a resource is about to run out"},
        [GN_SIGN_DRIVE] = {98304, "a drive is failing"},
};

void gn_signs_init(struct gn_signs *signs)
{
	*signs = (struct gn_signs){.bias_q16 = BIAS_PRIOR};
	for (uint32_t s = 0; s < GN_N_SIGNS; s++)
		signs->weights_q16[s] = prior[s].weight_q16;
}

static int64_t level_of(const int32_t *levels_q8, uint32_t sign)
{
	return gn_clamp64(levels_q8[sign], 0, LEVEL_MAX);
}

/* Log-odds before recalibration, Q16: at most nine products of 2^20 * 2^12, >> 8. */
static int64_t odds_q16(const struct gn_signs *signs, const int32_t *levels_q8)
{
	int64_t sum = signs->bias_q16;

	for (uint32_t s = 0; s < GN_N_SIGNS; s++)
		sum += (signs->weights_q16[s] * level_of(levels_q8, s)) >> 8;
	return sum;
}

/* How far promises were off, as log-odds Q8; nothing until some failures were seen. */
static int32_t correction_q8(const struct gn_signs *signs)
{
	int64_t log_ratio;

	if (signs->n_outcomes < 64)
		return 0;
	/* two more of each, so that a card without failures does not promise none */
	log_ratio = gn_log2_q10(signs->came_q16 + 256) - gn_log2_q10(signs->promised_q16 + 256);
	return (int32_t)gn_clamp64((log_ratio * 710) >> 12, -512, 512); /* ln 2, Q10 to Q8 */
}

struct gn_signs_hazard gn_signs_hazard(const struct gn_signs *signs,
                                       const int32_t levels_q8[GN_N_SIGNS])
{
	struct gn_signs_hazard hazard = {0};
	int32_t best = INT32_MIN;

	for (uint32_t s = 0; s < GN_N_SIGNS; s++) {
		int64_t part = (signs->weights_q16[s] * level_of(levels_q8, s)) >> 16;

		hazard.contributions_q8[s] = (int32_t)part;
		if (hazard.contributions_q8[s] > best) {
			best = hazard.contributions_q8[s];
			hazard.strongest = (enum gn_sign)s;
		}
	}
	hazard.probability_q16 = gn_drive_probability_q16(
	        (int32_t)(odds_q16(signs, levels_q8) >> 8) + correction_q8(signs));
	return hazard;
}

static void average(uint32_t *mean_q16, int64_t value_q16, uint32_t n)
{
	*mean_q16 =
	        (uint32_t)(*mean_q16 + (value_q16 - *mean_q16) / gn_min64((int64_t)n + 1, MEMORY));
}

void gn_signs_learn(struct gn_signs *signs, const int32_t levels_q8[GN_N_SIGNS], bool failed)
{
	int64_t promised = gn_drive_probability_q16((int32_t)(odds_q16(signs, levels_q8) >> 8));
	int64_t error_q16 = (failed ? 65536 : 0) - promised;

	average(&signs->promised_q16, promised, signs->n_outcomes);
	average(&signs->came_q16, failed ? 65536 : 0, signs->n_outcomes);
	if (signs->n_outcomes < UINT32_MAX)
		signs->n_outcomes++;
	for (uint32_t s = 0; s < GN_N_SIGNS; s++) {
		int64_t step = (error_q16 * level_of(levels_q8, s)) >> (8 + RATE_SHIFT);
		int64_t back = (prior[s].weight_q16 - signs->weights_q16[s]) >> PRIOR_SHIFT;

		signs->weights_q16[s] =
		        gn_clamp32(signs->weights_q16[s] + step + back, 0, WEIGHT_MAX);
	}
	signs->bias_q16 = gn_clamp32(signs->bias_q16 + (error_q16 >> RATE_SHIFT), -12 * 65536, 0);
}

const char *gn_sign_text(enum gn_sign sign)
{
	return sign < GN_N_SIGNS ? prior[sign].text : "unknown";
}
