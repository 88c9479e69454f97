/* blob.c - a predictor's memory as bytes, for storage and migration.
 *
 * Layout: magic, version, size, checksum (FNV-1a, against damage, not against forgery: blobs
 * travel in authenticated channels), then the state as it lies in memory, which is the same
 * on all targets (little-endian, LP64). A blob is not believed: every number that serves as
 * an index, a shift or a divisor is checked here against what the modules can produce. */
#include <errno.h>
#include <string.h>

#include "firmware/core/fixed.h"
#include "firmware/predict/config.h"
#include "firmware/predict/mix.h"
#include "firmware/predict/state.h"

#define MAGIC   0x42504e47u /* "GNPB" */
#define VERSION 2

struct header {
	uint32_t magic;
	uint32_t version;
	uint64_t size;
	uint64_t checksum;
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs are little-endian");
_Static_assert(sizeof(struct gn_predict) % 8 == 0, "no padding at the end");

const size_t gn_predict_blob_max = sizeof(struct header) + sizeof(struct gn_predict);

static uint64_t checksum(const void *data, size_t size)
{
	const uint8_t *byte = data;
	uint64_t hash = 14695981039346656037u;

	while (size--)
		hash = (hash ^ *byte++) * 1099511628211u;
	return hash;
}

size_t gn_predict_export(const struct gn_predict *p, void *blob, size_t size)
{
	struct header header = {.magic = MAGIC, .version = VERSION, .size = sizeof(*p)};

	if (size < gn_predict_blob_max)
		return 0;
	header.checksum = checksum(p, sizeof(*p));
	memcpy(blob, &header, sizeof(header));
	memcpy((char *)blob + sizeof(header), p, sizeof(*p));
	return gn_predict_blob_max;
}

static bool all_within(const int32_t *values, size_t n, int32_t low, int32_t high)
{
	for (size_t i = 0; i < n; i++)
		if (values[i] < low || values[i] > high)
			return false;
	return true;
}

static bool small_floats_are_units(const uint16_t *packed, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (gn_small_unpack(packed[i]) > (uint64_t)GN_U_MAX + 1) /* rounded up */
			return false;
	return true;
}

static bool covariance_is_sound(const uint64_t *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (d[i] < GN_RLS_D_MIN || d[i] > GN_RLS_D_MAX)
			return false;
	return true;
}

static bool time_is_sound(const struct gn_predict *p)
{
	uint64_t limit = (uint64_t)1 << 62;

	return p->expected_us < limit && p->now_us < limit && p->n_observed < limit &&
	       p->n_missing <= GN_PREDICT_MAX_HORIZON && p->shift >= -32 && p->shift <= 32 &&
	       p->scaled <= 1 && p->day == GN_PREDICT_DAY_US / p->config.period_us &&
	       (p->history.n > 0) == (p->n_observed > 0) && p->n_observed <= p->history.n;
}

static bool values_are_sound(const struct gn_predict *p)
{
	const struct gn_norm *norm = &p->norm;

	if (!all_within(p->history.exact, GN_HISTORY_EXACT, 0, GN_U_MAX) ||
	    !all_within(&p->peak, 1, 0, GN_U_MAX) ||
	    !all_within(&p->recent.max_6, 3, 0, GN_U_MAX) ||
	    !all_within(&p->recent.change_fast_q4, 2 + GN_H, 0, 1 << 30) ||
	    !all_within(p->recent.above_q16, GN_H, 0, 65536) ||
	    p->recent.block >= GN_RECENT_BLOCKS ||
	    !all_within(&p->quantiles[0][0], GN_H * GN_Q, 0, GN_U_MAX) ||
	    !all_within(&p->fast_q5, 1, 0, INT32_MAX) || !all_within(&p->slow_q5, 1, 0, INT32_MAX))
		return false;
	if (p->history.exact_next >= GN_HISTORY_EXACT || p->history.packed_next >= GN_HISTORY_SIZE)
		return false;
	if (!small_floats_are_units(p->history.packed, GN_HISTORY_SIZE) ||
	    !small_floats_are_units(p->profile, GN_PROFILE_SLOTS) ||
	    !small_floats_are_units(p->recent.blocks, GN_RECENT_BLOCKS) ||
	    !small_floats_are_units(p->recent.high, GN_HIGH_SLOTS))
		return false;
	if (norm->mean < 0 || norm->mean > GN_U_MAX || norm->sd < 16 || norm->sd > GN_U_MAX)
		return false;
	if (norm->inverse_sd_q36 != ((int64_t)1 << 36) / norm->sd)
		return false;
	return p->variance >= 0 && p->variance <= (int64_t)1 << 54 &&
	       p->slot_n <= GN_PREDICT_DAY_STEPS_MAX &&
	       p->slot_sum <= (uint64_t)GN_U_MAX * GN_PREDICT_DAY_STEPS_MAX;
}

static bool learners_are_sound(const struct gn_predict *p)
{
	const struct gn_period *period = &p->period;

	if (!covariance_is_sound(p->ar.d, GN_AUTOREG_N) ||
	    !all_within(&p->ar.weights[0][0], GN_H * GN_AUTOREG_N, -GN_RLS_WEIGHT_MAX,
	                GN_RLS_WEIGHT_MAX) ||
	    !all_within(p->ar.newest, GN_AUTOREG_N, -GN_RLS_LIMIT_Q12, GN_RLS_LIMIT_Q12))
		return false;
	for (uint32_t i = 0; i < GN_AUTOREG_RING; i++)
		if (p->ar.shifts[i] > GN_AUTOREG_SHIFT_MAX)
			return false;
	for (uint32_t i = 0; i < GN_H; i++) {
		if (!covariance_is_sound(p->stack[i].d, GN_STACK_N) ||
		    !all_within(p->stack[i].weights, GN_STACK_N, -GN_RLS_WEIGHT_MAX,
		                GN_RLS_WEIGHT_MAX))
			return false;
		if (!gn_spread_is_sound(&p->spread[i]) || !gn_spread_is_sound(&p->rhythm_spread[i]))
			return false;
		if (!all_within(p->offsets_q16[i], GN_Q, -GN_OFFSET_MAX_Q16, GN_OFFSET_MAX_Q16) ||
		    !gn_mix_is_sound(p, i))
			return false;
	}
	return gn_level_is_sound(&p->level) && period->best <= GN_PERIOD_MAX &&
	       period->found <= GN_PERIOD_MAX && period->best != 1 && period->best != 2 &&
	       period->visits <= GN_PERIOD_WARM && gn_period_is_sound(period);
}

int gn_predict_import(struct gn_predict *p, const void *blob, size_t size)
{
	struct header header;
	struct gn_predict state;

	if (size < sizeof(header))
		return -EBADMSG;
	memcpy(&header, blob, sizeof(header));
	if (header.magic != MAGIC)
		return -EBADMSG;
	if (header.version != VERSION)
		return -EPROTO;
	if (header.size != sizeof(state) || size != gn_predict_blob_max)
		return -EBADMSG;
	memcpy(&state, (const char *)blob + sizeof(header), sizeof(state));
	if (header.checksum != checksum(&state, sizeof(state)))
		return -EBADMSG;
	if (!gn_predict_config_is_valid(&state.config) || !time_is_sound(&state) ||
	    !values_are_sound(&state) || !learners_are_sound(&state))
		return -EBADMSG;
	gn_mix_share_slots(&state);
	*p = state;
	return 0;
}
