/* meters.c - UpdateMeter. */
#include "dataplane/control/dataplane.h"

#include <errno.h>
#include <rte_cycles.h>
#include "dataplane/control/message.h"
#include "dataplane/control/names.h"

struct order {
	struct gn_dp_vm *vm;
	const Gnomon__V1__Meter *meter;
	uint64_t tsc_hz;
};

/* The values were checked: these calls cannot fail. */
static void set_network(void *arg)
{
	struct order *order = arg;
	struct gn_meter *meters = order->vm->vm.meters;

	gn_meter_set(&meters[GN_RX], order->meter->rx_bps, order->tsc_hz, rte_rdtsc());
	gn_meter_set(&meters[GN_TX], order->meter->tx_bps, order->tsc_hz, rte_rdtsc());
}

static void set_disk(void *arg)
{
	struct order *order = arg;

	gn_disk_meter_set(&order->vm->disk_meter, order->meter->disk_operations,
	                  order->meter->disk_bytes, order->tsc_hz, rte_rdtsc());
}

static int check(const Gnomon__V1__Meter *meter, struct gn_status *status)
{
	int err = gn_name_check(meter->vm, "vms/", status);

	if (err)
		return err;
	if (meter->rx_bps > GN_METER_MAX_BPS || meter->tx_bps > GN_METER_MAX_BPS)
		return gn_status_set(
		        status, GN_OUT_OF_RANGE,
		        "the meter of '%s' is above %llu bits/s; give less, or 0 for no limit",
		        meter->vm, (unsigned long long)GN_METER_MAX_BPS);
	return 0;
}

static bool limits_nothing(const Gnomon__V1__Meter *meter)
{
	return !meter->rx_bps && !meter->tx_bps && !meter->disk_operations && !meter->disk_bytes;
}

/* A stored meter keeps its VM. */
static int keep(struct gn_dp_vm *vm, const Gnomon__V1__Meter *request, struct gn_status *status)
{
	Gnomon__V1__Meter *copy = (Gnomon__V1__Meter *)gn_message_copy(&request->base);

	if (!copy)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	if (!vm->meter)
		vm->n_refs++;
	gn_message_free(vm->meter);
	vm->meter = copy;
	return 0;
}

int gn_dp_meter_update(struct gn_dataplane *dp, const Gnomon__V1__Meter *request,
                       struct gn_status *status)
{
	struct order order = {.meter = request, .tsc_hz = dp->tsc_hz};
	int err = check(request, status);

	if (err)
		return err;
	order.vm = gn_dp_vm_get(dp, request->vm);
	if (!order.vm)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	if (!limits_nothing(request)) {
		err = keep(order.vm, request, status);
	} else if (order.vm->meter) {
		gn_message_free(order.vm->meter);
		order.vm->meter = NULL;
		order.vm->n_refs--;
	}
	if (!err) {
		gn_worker_call(dp->network, set_network, &order);
		gn_worker_call(order.vm->volume_worker, set_disk, &order);
		gn_dp_forget(dp, GN_DP_METER, request->vm);
		err = gn_dataplane_save(dp, status);
	}
	gn_dp_vm_put(dp, order.vm);
	return err;
}
