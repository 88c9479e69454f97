# The fleet in one process. A seed that fails: build/bin/gn-sim --seeds N --trace
sim.src := $(addprefix tests/sim/,main.c world.c link.c host.c brain.c steps.c fault.c check.c) \
	$(failover.src) firmware/plan/plan.c $(ledger.src) $(policy.src)
$(eval $(call prog,gn-sim,$(sim.src)))
$(eval $(call prog,sim-bench,tests/sim/bench.c firmware/plan/plan.c $(ledger.src) $(policy.src)))
