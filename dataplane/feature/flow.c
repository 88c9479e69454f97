/* flow.c - the flow table's slow side: set-up, insertion with eviction, retirement. */
#include "dataplane/feature/flow.h"

#include <string.h>

#define SWEEP_SHARE 16

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "gn_flow_match_tags() takes way 0 from the lowest byte");

size_t gn_flow_table_size(uint32_t n_flows)
{
	return n_flows / GN_FLOW_WAYS * sizeof(struct gn_flow_set) +
	       n_flows * (sizeof(struct gn_flow) + sizeof(struct gn_flow_detail));
}

void gn_flow_table_init(struct gn_flow_table *table, void *memory, uint32_t n_flows,
                        uint64_t tsc_hz, const uint64_t seed[2])
{
	uint32_t n_sets = n_flows / GN_FLOW_WAYS;
	uint32_t shift = 0;

	memset(table, 0, sizeof(*table));
	table->sets = memory;
	table->flows = (struct gn_flow *)(table->sets + n_sets);
	table->details = (struct gn_flow_detail *)(table->flows + n_flows);
	table->seed[0] = seed[0];
	table->seed[1] = seed[1];
	table->set_mask = n_sets - 1;
	/* 500..1000 ticks a second: 32 bits of them last for 49 days. */
	while (tsc_hz >> shift > 1000)
		shift++;
	table->tick_shift = shift;
	table->ticks_per_s = (uint32_t)(tsc_hz >> shift);
}

/* How willingly a flow is given up; the largest goes. */
static uint32_t victim_score(const struct gn_flow_table *table, const struct gn_flow_set *set,
                             unsigned way, uint32_t tick)
{
	uint32_t idle = tick - set->used[way];

	if (idle >= 1u << 30)
		idle = (1u << 30) - 1;
	switch ((enum gn_flow_state)set->states[way]) {
	case GN_FLOW_FREE:
		return UINT32_MAX;
	case GN_FLOW_CLOSED:
		return idle + (1u << 31);
	case GN_FLOW_HALF_OPEN:
		return idle + GN_FLOW_HALF_OPEN_MALUS_S * table->ticks_per_s;
	case GN_FLOW_OPEN:
		break;
	}
	return idle;
}

static unsigned choose_victim(const struct gn_flow_table *table, const struct gn_flow_set *set,
                              uint32_t tick)
{
	unsigned victim = 0;
	uint32_t best = 0;

	for (unsigned way = 0; way < GN_FLOW_WAYS; way++) {
		uint32_t score = victim_score(table, set, way, tick);

		if (score > best || way == 0) {
			best = score;
			victim = way;
		}
	}
	return victim;
}

gn_flow_id gn_flow_insert(struct gn_flow_table *table, const struct gn_flow_key *key, uint64_t hash,
                          uint32_t tick, enum gn_flow_state state)
{
	struct gn_flow_set *set = gn_flow_set_for(table, hash);
	unsigned way = choose_victim(table, set, tick);
	gn_flow_id id = gn_flow_id_of(table, set, way);

	table->n_evicted += gn_flow_is_tracked((enum gn_flow_state)set->states[way]);
	table->flows[id].key = *key;
	gn_flow_restart(table, id);
	gn_flow_set_state(table, id, state);
	set->tags[way] = gn_flow_tag(hash);
	set->used[way] = tick;
	return id;
}

void gn_flow_restart(struct gn_flow_table *table, gn_flow_id id)
{
	struct gn_flow *flow = &table->flows[id];
	struct gn_flow_key key = flow->key;

	memset(flow, 0, sizeof(*flow));
	flow->key = key;
	memset(&table->details[id], 0, sizeof(table->details[id]));
}

void gn_flow_sweep(struct gn_flow_table *table, uint32_t tick)
{
	uint32_t n = table->set_mask / SWEEP_SHARE + 1;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = table->swept++ & table->set_mask;
		struct gn_flow_set *set = &table->sets[at];

		for (unsigned way = 0; way < GN_FLOW_WAYS; way++) {
			uint32_t limit = set->states[way] == GN_FLOW_OPEN ? GN_FLOW_OPEN_IDLE_S
			                                                  : GN_FLOW_OTHER_IDLE_S;

			if (set->states[way] != GN_FLOW_FREE &&
			    tick - set->used[way] > limit * table->ticks_per_s)
				gn_flow_set_state(table, (gn_flow_id)(at * GN_FLOW_WAYS + way),
				                  GN_FLOW_FREE);
		}
	}
}
