/* health.c - see health.h. */
#include "firmware/shadow/health.h"

/* Of two disks the one with the higher rank decides. */
static unsigned rank(enum gn_shadow_state state)
{
	switch (state) {
	case GN_SHADOW_STALE:
		return 4;
	case GN_SHADOW_DEGRADED:
		return 3;
	case GN_SHADOW_SYNCING:
		return 2;
	case GN_SHADOW_IN_STEP:
		return 1;
	case GN_SHADOW_NONE:
	case GN_SHADOW_PROVISIONING:
	case GN_SHADOW_REHEARSING:
	case GN_SHADOW_PROMOTING:
	case GN_SHADOW_ACTIVE:
	case GN_SHADOW_FAILED:
		return 0;
	}
	return 0;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void gn_shadow_health_init(struct gn_shadow_health *health)
{
	*health = (struct gn_shadow_health){.n_disks = 0};
}

void gn_shadow_health_add(struct gn_shadow_health *health, const struct gn_shadow_disk *disk)
{
	struct gn_shadow_disk *all = &health->all;

	if (rank(disk->state) > rank(all->state)) {
		all->state = disk->state;
		all->cause = disk->cause;
		health->worst = health->n_disks;
	}
	all->lag_bytes += disk->lag_bytes;
	all->lag_writes += disk->lag_writes;
	all->lag_us = most(all->lag_us, disk->lag_us);
	all->journal_bytes += disk->journal_bytes;
	all->journal_size_bytes += disk->journal_size_bytes;
	all->resync_done_bytes += disk->resync_done_bytes;
	all->resync_left_bytes += disk->resync_left_bytes;
	all->resync_left_us = most(all->resync_left_us, disk->resync_left_us);
	if (!health->n_disks || disk->point_us < all->point_us)
		all->point_us = disk->point_us;
	health->n_disks++;
}

const char *gn_shadow_cause_text(enum gn_shadow_cause cause)
{
	static const char *const texts[] = {
#define GN_SHADOW_CAUSE_TEXT(name, text) text,
	        GN_SHADOW_CAUSES(GN_SHADOW_CAUSE_TEXT)
#undef GN_SHADOW_CAUSE_TEXT
	};

	return (unsigned)cause < GN_SHADOW_N_CAUSES ? texts[cause] : "something unknown";
}
