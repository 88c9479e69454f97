/* replica.c - the state machine of a shadow volume, as a table. */
#include "dataplane/volume/replica.h"

#include <stddef.h>
#include <stdint.h>

#define X(name, state, journals, applies, copies)                                                  \
	{#name, GN_REPLICA_##state, journals, applies, copies},
static const struct {
	const char *name;
	enum gn_replica_state state;
	bool journals, applies, copies;
} phases[GN_REPLICA_N_PHASES] = {GN_REPLICA_PHASES(X)};
#undef X

struct step {
	uint8_t from, event, to;
};
#define ON(from, event, to)                                                                        \
	{                                                                                          \
		GN_REPLICA_##from, GN_REPLICA_##event, GN_REPLICA_##to                             \
	}
static const struct step steps[] = {
        ON(LOADING, FOUND_PREFIX, DRAINING),
        ON(LOADING, FOUND_PARTIAL, COPYING),
        ON(LOADING, FOUND_NOTHING, MARKING),
        ON(LOADING, REFUSED, FENCED),
        ON(LOADING, UNREADABLE, LOST),
        ON(LOST, RETRY, LOADING),
        ON(LIVE, GAP, DRAINING),
        ON(LIVE, SHADOW_FAILED, RETRYING),
        ON(RETRYING, GAP, BROKEN),
        ON(RETRYING, RETRY, LIVE),
        ON(BROKEN, RETRY, DRAINING),
        ON(DRAINING, SHADOW_FAILED, BROKEN),
        ON(DRAINING, DRAINED_CLEAN, RESUMING),
        ON(RESUMING, MARKED, LIVE),
        ON(RESUMING, DRAINED, SNAPSHOT),
        ON(DRAINING, DRAINED, SNAPSHOT),
        ON(SNAPSHOT, SHADOW_FAILED, BROKEN),
        ON(SNAPSHOT, SNAPSHOT_TAKEN, MARKING),
        ON(MARKING, MARKED, COPYING),
        ON(COPYING, SHADOW_FAILED, HALTED),
        ON(COPYING, FEW_DIRTY, ARMING),
        ON(HALTED, RETRY, COPYING),
        ON(ARMING, MARKED, CATCHING_UP),
        ON(CATCHING_UP, GAP, COPYING),
        ON(CATCHING_UP, SHADOW_FAILED, HALTED),
        ON(CATCHING_UP, COPIED, LEVELLING),
        ON(LEVELLING, GAP, COPYING),
        ON(LEVELLING, SHADOW_FAILED, HALTED),
        ON(LEVELLING, LEVEL, SETTLING),
        ON(SETTLING, MARKED, LIVE),
        ON(SETTLING, GAP, DRAINING),
        ON(SETTLING, SHADOW_FAILED, RETRYING),
};

enum gn_replica_phase gn_replica_step(enum gn_replica_phase phase, enum gn_replica_event event)
{
	if (event == GN_REPLICA_ABANDONED)
		return GN_REPLICA_FENCED;
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (steps[i].from == phase && steps[i].event == event)
			return (enum gn_replica_phase)steps[i].to;
	return phase;
}

enum gn_replica_state gn_replica_state(enum gn_replica_phase phase)
{
	return phases[phase].state;
}

bool gn_replica_journals(enum gn_replica_phase phase)
{
	return phases[phase].journals;
}

bool gn_replica_applies(enum gn_replica_phase phase)
{
	return phases[phase].applies;
}

bool gn_replica_copies(enum gn_replica_phase phase)
{
	return phases[phase].copies;
}

const char *gn_replica_phase_name(enum gn_replica_phase phase)
{
	return phases[phase].name;
}

const char *gn_replica_reason_text(enum gn_replica_reason reason)
{
	static const char *const texts[] = {
	        [GN_REPLICA_FINE] = "",
	        [GN_REPLICA_PRIMARY] = "the primary store failed a write",
	        [GN_REPLICA_SHADOW] = "the shadow store fails or does not answer",
	        [GN_REPLICA_JOURNAL] = "the journal store fails or does not answer",
	        [GN_REPLICA_JOURNAL_FULL] = "the journal is full: the shadow store is too slow",
	        [GN_REPLICA_SNAPSHOTS] = "no snapshot of the shadow can be taken",
	        [GN_REPLICA_LEASE] = "another writer holds the shadow's lease",
	        [GN_REPLICA_RESTARTED] = "writes were on their way when the dataplane ended",
	        [GN_REPLICA_LINK] = "the shadow's server cannot be reached",
	};

	return texts[reason];
}
