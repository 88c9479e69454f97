/* detect.c - see detect.h. */
#include "firmware/failover/detect.h"

static const struct {
	uint64_t timeout_us;
	bool alone;
	const char *text;
} signs[] = {
#define GN_DETECT_ROW(name, ms, alone, text) {(ms)*UINT64_C(1000), alone, text},
        GN_DETECT_SIGNS(GN_DETECT_ROW)
#undef GN_DETECT_ROW
};

const char *gn_detect_text(enum gn_detect_sign sign)
{
	return (unsigned)sign < GN_DETECT_N_SIGNS ? signs[sign].text : "unknown";
}

uint64_t gn_detect_timeout_us(enum gn_detect_sign sign)
{
	return signs[sign].timeout_us;
}

void gn_detect_see(struct gn_detect *detect, enum gn_detect_sign sign, bool shows, uint64_t now_us)
{
	uint32_t bit = 1u << sign;

	if (shows && !(detect->shown & bit))
		detect->since_us[sign] = now_us;
	detect->shown = shows ? detect->shown | bit : detect->shown & ~bit;
}

void gn_detect_heard(struct gn_detect *detect, enum gn_detect_sign sign, uint64_t now_us)
{
	detect->shown |= 1u << sign;
	detect->since_us[sign] = now_us;
}

void gn_detect_see_guest(struct gn_detect *detect, const struct gn_detect_guest *guest,
                         uint64_t now_us)
{
	bool counts = guest->is_fresh && guest->is_running;

	gn_detect_see(detect, GN_DETECT_GUEST_DEAD, counts && guest->has_panicked, now_us);
	gn_detect_see(detect, GN_DETECT_GUEST_HUNG,
	              counts && guest->clock_stopped_us >= GN_DETECT_CLOCK_US, now_us);
}

uint64_t gn_detect_age_us(const struct gn_detect *detect, enum gn_detect_sign sign, uint64_t now_us)
{
	if (!(detect->shown & 1u << sign) || now_us < detect->since_us[sign])
		return 0;
	return now_us - detect->since_us[sign];
}

enum gn_detect_verdict gn_detect_verdict(const struct gn_detect *detect, uint64_t now_us,
                                         enum gn_detect_sign *cause, uint64_t *first_us)
{
	enum gn_detect_verdict verdict = GN_DETECT_WELL;
	unsigned sign, n_count = 0, strongest = 0;
	bool alone = false;

	for (sign = 0; sign < GN_DETECT_N_SIGNS; sign++) {
		uint64_t shown_us;

		if (!(detect->shown & 1u << sign))
			continue;
		shown_us = gn_detect_age_us(detect, (enum gn_detect_sign)sign, now_us);
		if (shown_us >= signs[sign].timeout_us) {
			n_count++;
			if (n_count == 1 || (signs[sign].alone && !alone))
				strongest = sign;
			alone |= signs[sign].alone;
		} else if (shown_us * 2 >= signs[sign].timeout_us && !n_count) {
			verdict = GN_DETECT_SUSPECT;
			strongest = sign;
		}
	}
	if (n_count)
		verdict = alone || n_count > 1 ? GN_DETECT_LOST : GN_DETECT_SUSPECT;
	if (verdict == GN_DETECT_WELL)
		return verdict;
	if (cause)
		*cause = (enum gn_detect_sign)strongest;
	if (first_us)
		*first_us = detect->since_us[strongest];
	return verdict;
}
