/* snapshots.h - snapshots of shadows: made, listed, let go by rules, copied out, gone back to.
 *
 * A snapshot is a directory of files beside the shadow's disks,
 * <pool>/web-1-shadow/snapshots/<id>/vda.raw, copied by the dataplane at a consistent point; with
 * reflink in an instant, elsewhere as whole files. (qcow2 overlays would be as quick, but clone,
 * revert, export and promotion would depend on chains that nothing here reads.) What exists is
 * remembered in the store. Requests are checked at once and answered when the dataplane has done
 * its part. One thread. */
#ifndef GN_SHADOW_SNAPSHOTS_H
#define GN_SHADOW_SNAPSHOTS_H

#include "firmware/shadow/provision.h"

struct gn_snapshots;

/* Called once, later or within the call: the snapshot (or the shadow that was reverted), or NULL
 * and why not. */
typedef void gn_snapshots_done(void *context, const struct gn_status *status,
                               const ProtobufCMessage *message);

void gn_snapshots_create(struct gn_shadows *shadows, struct gn_snapshots **out);
/* After gn_shadows_close(). NULL is fine. */
void gn_snapshots_destroy(struct gn_snapshots *snapshots);
/* Every period: the rules. */
void gn_snapshots_tick(struct gn_snapshots *snapshots, struct gn_time now);

size_t gn_snapshots_count(const struct gn_snapshots *snapshots);
const Gnomon__V1__Snapshot *gn_snapshots_at(const struct gn_snapshots *snapshots, size_t index);

/* "vms/web-1/shadow/snapshots/<id>". */
void gn_snapshots_make(struct gn_snapshots *snapshots, const char *name, gn_snapshots_done *done,
                       void *context);
int gn_snapshots_delete(struct gn_snapshots *snapshots, const char *name, struct gn_status *status);
/* 'name' is a snapshot's or a shadow's. */
void gn_snapshots_export(struct gn_snapshots *snapshots, const char *name, const char *directory,
                         gn_snapshots_done *done, void *context);
void gn_snapshots_revert(struct gn_snapshots *snapshots, const char *name, gn_snapshots_done *done,
                         void *context);

#endif
