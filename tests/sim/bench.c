/* bench.c - what one decision of the brain costs as the number of VMs grows: a policy's decision,
 * the ledger's promise on a host with all of them and a few dates ahead, and the admission and
 * first step of a plan. Prints nothing: callgrind counts the instructions of two runs. */
#include <stdio.h>
#include <stdlib.h>
#include "firmware/failover/failover.h"
#include "firmware/ledger/ledger.h"
#include "firmware/policy/policy.h"

#define DATES 8

struct fleet {
	struct gn_ledger ledger;
	struct gn_ledger_entry *entries;
	struct gn_ledger_edge *edges;
	uint32_t n;
};

/* The entries are filled in as gn_ledger_open() would, which looks for the owner each time: that
 * is paid once per VM, not per decision. */
static void set_up(struct fleet *f, uint32_t n)
{
	struct gn_ledger_host host = {.has = {.cpu_milli = n * UINT64_C(4000)}};
	uint32_t i;

	f->n = n;
	f->entries = calloc(n, sizeof *f->entries);
	f->edges = calloc(2 * (size_t)n, sizeof *f->edges);
	if (!f->entries || !f->edges)
		abort();
	gn_ledger_init(&f->ledger, f->entries, f->edges, n);
	gn_ledger_set_host(&f->ledger, &host);
	for (i = 0; i < n; i++) {
		f->entries[i].owner[0] = 'v';
		f->entries[i].began = true;
		gn_ledger_record(&f->ledger, i, (struct gn_ledger_amount){.cpu_milli = 1000});
	}
	for (i = 0; i < DATES && i < n; i++)
		gn_ledger_set_end(&f->ledger, i, 1000 + i);
}

static void decide(struct fleet *f, uint32_t turn)
{
	struct gn_predict_forecast forecast = {.horizon = 60, .quantiles = {900, 1500, 1500, 1900}};
	const struct gn_policy_input input = {.resource = GN_RESOURCE_CPU,
	                                      .mode = GN_POLICY_ENFORCE,
	                                      .allocated = 1000,
	                                      .definition_maximum = 4000,
	                                      .observed = 800,
	                                      .since_change_us = UINT64_MAX,
	                                      .host_free =
	                                              (int64_t)gn_ledger_room(&f->ledger).cpu_milli,
	                                      .period_us = 1000000,
	                                      .n_forecasts = 1,
	                                      .forecasts = &forecast};
	struct gn_policy_decision decision;
	struct gn_ledger_change change = {.entry = turn % f->n};
	const struct gn_plan_event tick = {
	        .may_begin = true, .has_room = true, .holds = UINT32_MAX};
	struct gn_plan plan;
	struct gn_plan_event first = tick;

	gn_policy_decide(&gn_policy_defaults[GN_RESOURCE_CPU], &input, &decision);
	change.amount.cpu_milli = (uint64_t)decision.target;
	if (gn_ledger_take(&f->ledger, &change, 1))
		abort();
	gn_plan_init(&plan, true, 1000000);
	gn_plan_add_action(&plan, 1000, decision.target);
	first.kind = GN_PLAN_EVENT_TICK;
	first.current = 1000;
	if (gn_plan_admit(&plan, NULL) != GN_PLAN_MAY_BEGIN ||
	    !(gn_plan_step(&plan, &first, 1) & GN_PLAN_STORE))
		abort();
	change.amount.cpu_milli = 1000;
	gn_ledger_take(&f->ledger, &change, 1);
}

/* sim-bench VMS DECISIONS */
int main(int argc, char **argv)
{
	struct fleet fleet;
	uint32_t i, n;

	if (argc != 3 || (n = (uint32_t)strtoul(argv[1], NULL, 10)) < 1) {
		fprintf(stderr, "sim-bench VMS DECISIONS\n");
		return 2;
	}
	set_up(&fleet, n);
	for (i = 0; i < strtoul(argv[2], NULL, 10); i++)
		decide(&fleet, i * 7919u);
	free(fleet.entries);
	free(fleet.edges);
	return 0;
}
