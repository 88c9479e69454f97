/* promote.c - a device cut off from its front end, and its shadow judged: may it take the place of
 * the store (blk.h, "fence")? */
#include <errno.h>
#include <unistd.h>
#include "dataplane/blk/device.h"
#include "dataplane/ram/ram.h"
#include "firmware/core/clock.h"

#define LOOK_US       1000u
#define POINT_WAIT_US 1000000u

void gn_blk_fence(struct gn_blk *blk)
{
	if (blk->is_closing)
		return;
	gn_blk_vhost_close(blk);
	gn_ram_revoke(blk->socket_path);
}

int gn_blk_unfence(struct gn_blk *blk, struct gn_status *status)
{
	if (!blk->is_closing)
		return 0;
	blk->vid = -1;
	blk->is_closing = false;
	return gn_blk_vhost_open(blk, status);
}

static bool has_every_write(const struct gn_vmirror_status *s)
{
	return s->state == GN_REPLICA_IN_STEP && !s->lag_writes && !s->lag_bytes;
}

/* What is missing is not known to the byte: writes that wait in the journal, and parts that may
 * differ. */
static int last_point(struct gn_blk *blk, const struct gn_vmirror_status *s,
                      struct gn_blk_promotion *out, struct gn_status *status)
{
	bool of_snapshot;
	int fd, err = gn_blk_hold_point(blk, gn_clock_monotonic_us() + POINT_WAIT_US, &fd,
	                                &of_snapshot, &out->point_us);

	if (err)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the shadow of volume '%s' has no consistent point; there is "
		                     "nothing to promote",
		                     blk->name);
	close(fd);
	out->is_complete = false;
	out->from_snapshot = s->state == GN_REPLICA_SYNCING;
	out->lost_writes = s->lag_writes;
	out->lost_bytes = s->lag_bytes > s->dirty_bytes ? s->lag_bytes : s->dirty_bytes;
	return 0;
}

int gn_blk_judge_shadow(struct gn_blk *blk, bool accept_loss, unsigned wait_ms,
                        struct gn_blk_promotion *out, struct gn_status *status)
{
	uint64_t until_us = gn_clock_monotonic_us() + wait_ms * 1000ull;
	struct gn_vmirror_status s;

	for (;;) {
		if (!gn_blk_replica_status(blk, &s, NULL))
			return gn_status_set(status, GN_FAILED_PRECONDITION,
			                     "volume '%s' has no shadow that follows", blk->name);
		if (has_every_write(&s)) {
			*out = (struct gn_blk_promotion){.is_complete = true,
			                                 .point_us = gn_clock_wall_us()};
			return 0;
		}
		if (gn_clock_monotonic_us() >= until_us)
			break;
		gn_worker_wake(blk->worker);
		usleep(LOOK_US);
	}
	if (accept_loss)
		return last_point(blk, &s, out, status);
	if (s.state == GN_REPLICA_IN_STEP || s.state == GN_REPLICA_SYNCING)
		return gn_status_set(status, GN_UNAVAILABLE,
		                     "the shadow of volume '%s' still lacks %llu bytes; ask again",
		                     blk->name,
		                     (unsigned long long)(s.lag_bytes + s.resync_left_bytes));
	return gn_status_set(status, GN_FAILED_PRECONDITION,
	                     "the shadow of volume '%s' lacks writes and gets them no more; wait "
	                     "until it is in step, or accept the loss",
	                     blk->name);
}
