/* telemetry.c - one SampleBatch a period, with what the network and the volumes of each VM
 * counted since the last. The batch is published even when it is empty: subscribers see that
 * the dataplane lives. */
#include "dataplane/control/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <rte_cycles.h>
#include "dataplane/blk/sample.h"
#include "dataplane/feature/sample.h"
#include "firmware/core/clock.h"
#include "proto/channel.h"

#define TOPIC "samples"

struct gn_telemetry {
	struct gn_dataplane *dp;
	struct gn_channel_publisher *publisher;
	sd_event_source *timer;
	uint64_t sequence;
	uint64_t last_us; /* monotonic, end of the last period */
	uint64_t due_us;
};

/* One VM's sample and all that its message points to. */
struct item {
	Gnomon__V1__Sample message;
	struct gn_dp_vm *vm;
	struct gn_feature_counters network_now;
	struct gn_network_sample network;
	struct gn_blk_stats disk_period;
	struct gn_blk_sample disk;
};

struct items {
	struct item *items;
	size_t n;
};

static void read_features(void *arg)
{
	struct items *all = arg;
	uint64_t now = rte_rdtsc();
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->items[i].vm->n_ports)
			gn_feature_read(all->items[i].vm->vm.feature, now,
			                &all->items[i].network_now);
}

static void fill_network(struct item *item)
{
	struct gn_feature_counters period;

	gn_feature_counters_diff(&item->network_now, &item->vm->network_before, &period);
	item->vm->network_before = item->network_now;
	gn_network_sample_fill(&period, &item->network);
	item->message.network = &item->network.message;
}

static void add_lag(Gnomon__V1__DiskSample *sample, struct gn_blk *blk)
{
	struct gn_vmirror_status s;

	if (!gn_blk_replica_status(blk, &s, NULL))
		return;
	sample->mirrored++;
	sample->lag_bytes += s.lag_bytes;
	sample->lag_writes += s.lag_writes;
	sample->journal_bytes += s.journal_bytes;
	if (s.lag_us > sample->lag_us)
		sample->lag_us = s.lag_us;
}

static void fill_disk(struct gn_dataplane *dp, struct item *item)
{
	struct gn_dp_volume *volume;

	LIST_FOREACH(volume, &dp->volumes, link)
	{
		struct gn_blk_stats now, period;

		if (volume->vm != item->vm)
			continue;
		gn_blk_take_stats(volume->blk, &now);
		gn_blk_stats_diff(&now, &volume->before, &period);
		gn_blk_stats_add(&item->disk_period, &period);
		volume->before = now;
	}
	gn_blk_sample_fill(&item->disk, &item->disk_period);
	LIST_FOREACH(volume, &dp->volumes, link)
	if (volume->vm == item->vm)
		add_lag(&item->disk.message, volume->blk);
	item->message.disk = &item->disk.message;
}

static void fill(struct gn_telemetry *telemetry, struct item *item, uint64_t now_us)
{
	item->message.vm = item->vm->name;
	item->message.wall_us = gn_clock_wall_us();
	item->message.monotonic_us = now_us;
	item->message.period_us = now_us - telemetry->last_us;
	item->message.sequence = telemetry->sequence;
	item->message.source_epoch = telemetry->dp->started_us;
	if (item->vm->n_ports)
		fill_network(item);
	if (item->vm->n_volumes)
		fill_disk(telemetry->dp, item);
}

static void publish(struct gn_telemetry *telemetry, struct items *all, uint64_t now_us)
{
	Gnomon__V1__SampleBatch batch = GNOMON__V1__SAMPLE_BATCH__INIT;
	Gnomon__V1__Sample **samples = calloc(all->n + 1, sizeof *samples);
	size_t i;

	if (!samples)
		return; /* a gap in the sequence will show it */
	gn_worker_call(telemetry->dp->network, read_features, all);
	for (i = 0; i < all->n; i++) {
		fill(telemetry, &all->items[i], now_us);
		samples[i] = &all->items[i].message;
	}
	batch.samples = samples;
	batch.n_samples = all->n;
	gn_channel_publish(telemetry->publisher, TOPIC, &batch.base);
	free(samples);
}

static void sample(struct gn_telemetry *telemetry)
{
	uint64_t now_us = gn_clock_monotonic_us();
	struct items all = {.n = 0};
	struct gn_dp_vm *vm;

	LIST_FOREACH(vm, &telemetry->dp->vms, link)
	all.n += vm->n_ports || vm->n_volumes;
	telemetry->sequence++;
	all.items = calloc(all.n + 1, sizeof *all.items);
	if (!all.items || now_us <= telemetry->last_us) {
		free(all.items);
		return;
	}
	all.n = 0;
	LIST_FOREACH(vm, &telemetry->dp->vms, link)
	{
		if (!vm->n_ports && !vm->n_volumes)
			continue;
		gnomon__v1__sample__init(&all.items[all.n].message);
		all.items[all.n++].vm = vm;
	}
	publish(telemetry, &all, now_us);
	free(all.items);
	telemetry->last_us = now_us;
}

/* Periods start at fixed instants; those that were slept over are skipped. */
static int timer_fired(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct gn_telemetry *telemetry = userdata;
	uint64_t period_us = telemetry->dp->config->period_ms * 1000ull;
	uint64_t now_us;

	sample(telemetry);
	gn_dataplane_save_again(telemetry->dp);
	sd_event_now(telemetry->dp->event, CLOCK_MONOTONIC, &now_us);
	telemetry->due_us += period_us;
	if (telemetry->due_us <= now_us)
		telemetry->due_us = now_us + period_us;
	sd_event_source_set_time(source, telemetry->due_us);
	return 0;
}

static int start_timer(struct gn_telemetry *telemetry)
{
	uint64_t now_us;
	int err = sd_event_now(telemetry->dp->event, CLOCK_MONOTONIC, &now_us);

	if (err < 0)
		return err;
	telemetry->last_us = gn_clock_monotonic_us();
	telemetry->due_us = now_us + telemetry->dp->config->period_ms * 1000ull;
	err = sd_event_add_time(telemetry->dp->event, &telemetry->timer, CLOCK_MONOTONIC,
	                        telemetry->due_us, 1000, timer_fired, telemetry);
	return err < 0 ? err : sd_event_source_set_enabled(telemetry->timer, SD_EVENT_ON);
}

int gn_telemetry_create(struct gn_dataplane *dp, struct gn_telemetry **out,
                        struct gn_status *status)
{
	struct gn_telemetry *telemetry = calloc(1, sizeof *telemetry);
	int err;

	if (!telemetry)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	telemetry->dp = dp;
	err = gn_channel_publisher_create(dp->config->telemetry_url, NULL, &telemetry->publisher,
	                                  status);
	if (!err && start_timer(telemetry) < 0)
		err = gn_status_set(status, GN_INTERNAL, "no timer for the samples");
	if (err) {
		gn_telemetry_destroy(telemetry);
		return err;
	}
	*out = telemetry;
	return 0;
}

void gn_telemetry_destroy(struct gn_telemetry *telemetry)
{
	if (!telemetry)
		return;
	sd_event_source_unref(telemetry->timer);
	gn_channel_publisher_destroy(telemetry->publisher);
	free(telemetry);
}
