/* drain.c - see drain.h. */
#include "firmware/failover/drain.h"

#define MAX_FAILURES   5
#define FIRST_RETRY_US ((uint64_t)10000000)

static bool goes_before(const struct gn_drain_vm *a, const struct gn_drain_vm *b)
{
	if (a->vm_class != b->vm_class)
		return a->vm_class > b->vm_class;
	return a->memory_bytes < b->memory_bytes;
}

uint32_t gn_drain_next(const struct gn_drain_vm *vms, uint32_t n_vms, uint32_t at_once,
                       uint64_t now_us, enum gn_move_kind *kind)
{
	uint32_t i, best = n_vms, n_going = 0;

	for (i = 0; i < n_vms; i++) {
		const struct gn_drain_vm *vm = &vms[i];

		n_going += vm->state == GN_DRAIN_GOING;
		if (vm->state != GN_DRAIN_HERE || !vm->in_step || now_us < vm->retry_us)
			continue;
		if (best == n_vms || goes_before(vm, &vms[best]))
			best = i;
	}
	if (n_going >= at_once || best == n_vms)
		return n_vms;
	*kind = vms[best].can_migrate ? GN_MOVE_MIGRATE : GN_MOVE_RELOCATE;
	return best;
}

void gn_drain_ended(struct gn_drain_vm *vm, bool done, uint64_t now_us)
{
	if (vm->state != GN_DRAIN_GOING)
		return;
	if (done) {
		vm->state = GN_DRAIN_GONE;
		return;
	}
	vm->state = ++vm->n_failed < MAX_FAILURES ? GN_DRAIN_HERE : GN_DRAIN_STAYS;
	vm->retry_us = now_us + (FIRST_RETRY_US << vm->n_failed);
}

void gn_drain_progress(const struct gn_drain_vm *vms, uint32_t n_vms, struct gn_drain_progress *out)
{
	uint32_t i;

	*out = (struct gn_drain_progress){0};
	for (i = 0; i < n_vms; i++) {
		switch (vms[i].state) {
		case GN_DRAIN_HERE:
			out->n_here++;
			break;
		case GN_DRAIN_GOING:
			out->n_going++;
			break;
		case GN_DRAIN_GONE:
			out->n_gone++;
			break;
		case GN_DRAIN_STAYS:
			out->n_stay++;
			break;
		}
	}
}
