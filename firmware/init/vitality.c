/* vitality.c - see vitality.h. */
#include "firmware/init/vitality.h"

void gn_vitality_init(struct gn_vitality *vitality, bool on_trial, uint64_t now_us)
{
	*vitality = (struct gn_vitality){
	        .moved_us = now_us, .on_trial = on_trial, .started_us = now_us};
}

void gn_vitality_observe(struct gn_vitality *vitality, uint64_t loops, uint64_t now_us)
{
	if (loops == vitality->loops)
		return;
	vitality->loops = loops;
	vitality->moved_us = now_us;
	vitality->lived = true;
}

bool gn_vitality_may_feed(const struct gn_vitality *vitality, uint64_t now_us)
{
	return !gn_vitality_trial_failed(vitality, now_us) &&
	       now_us - vitality->moved_us <
	               (vitality->lived ? GN_VITALITY_PATIENCE_US : GN_VITALITY_START_US);
}

void gn_vitality_good(struct gn_vitality *vitality)
{
	vitality->on_trial = false;
}

bool gn_vitality_trial_failed(const struct gn_vitality *vitality, uint64_t now_us)
{
	return vitality->on_trial && now_us - vitality->started_us >= GN_VITALITY_TRIAL_US;
}
