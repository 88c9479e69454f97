/* retention.h - which snapshots a shadow's rules ask for, and which they let go.
 *
 * A rule cuts time, from the epoch on, into slots of equal length and keeps one snapshot in each of
 * the newest so many slots that have any: the first one made there, so that the choice stays the
 * same while others come. So a card that was off for a week comes back to all it had. A snapshot
 * that no rule keeps is let go. Only automatic snapshots are judged. Pure; wall time. */
#ifndef GN_SHADOW_RETENTION_H
#define GN_SHADOW_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_RETENTION_MAX_RULES 4

struct gn_retention_rule {
	uint64_t every_us; /* length of a slot, > 0 */
	uint32_t keep;
};

/* True when a rule has no snapshot in the slot of 'now_us'. 'made_us' are 'n' instants,
 * ascending. */
bool gn_retention_is_due(const struct gn_retention_rule *rules, size_t n_rules,
                         const uint64_t *made_us, size_t n, uint64_t now_us);

/* 'keep[i]' says whether a rule keeps the snapshot that was made at 'made_us[i]'. */
void gn_retention_choose(const struct gn_retention_rule *rules, size_t n_rules,
                         const uint64_t *made_us, size_t n, bool *keep);

#endif
