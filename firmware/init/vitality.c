/* vitality.c - see vitality.h. */
#include "firmware/init/vitality.h"

void gn_vitality_init(struct gn_vitality *vitality, uint64_t now_us)
{
	*vitality = (struct gn_vitality){.moved_us = now_us};
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
	return now_us - vitality->moved_us <
	       (vitality->lived ? GN_VITALITY_PATIENCE_US : GN_VITALITY_START_US);
}
