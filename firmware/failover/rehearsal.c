/* rehearsal.c - see rehearsal.h. */
#include "firmware/failover/rehearsal.h"

static const struct {
	const char *text, *advice;
} refusals[] = {
#define ROW(name, text, advice) {text, advice},
        GN_REHEARSAL_REFUSALS(ROW)
#undef ROW
};

#define N_REFUSALS (sizeof refusals / sizeof refusals[0])

const char *gn_rehearsal_refusal_text(enum gn_rehearsal_refusal refusal)
{
	return (unsigned)refusal < N_REFUSALS ? refusals[refusal].text : "unknown";
}

const char *gn_rehearsal_advice(enum gn_rehearsal_refusal refusal)
{
	return (unsigned)refusal < N_REFUSALS ? refusals[refusal].advice : "";
}

enum gn_rehearsal_refusal gn_rehearsal_judge(const struct gn_rehearsal_facts *facts)
{
	if (!facts->has_shadow)
		return GN_REHEARSAL_NO_SHADOW;
	if (facts->moving)
		return GN_REHEARSAL_MOVING;
	if (!facts->stands)
		return GN_REHEARSAL_NOT_READY;
	if (facts->runs)
		return GN_REHEARSAL_RUNS;
	if (!facts->has_point)
		return GN_REHEARSAL_NO_POINT;
	if (!facts->n_nics)
		return GN_REHEARSAL_NO_NIC;
	return GN_REHEARSAL_NONE;
}

bool gn_rehearsal_is_due(uint64_t first_us, uint64_t every_us, uint64_t newest_us, uint64_t now_us)
{
	if (!first_us || now_us < first_us)
		return false;
	if (newest_us < first_us)
		return true;
	/* Another one when an instant first + k * every lies in (newest, now]. */
	return every_us && (now_us - first_us) / every_us > (newest_us - first_us) / every_us;
}
