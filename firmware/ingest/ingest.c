/* ingest.c - see ingest.h. */
#include "firmware/ingest/ingest.h"

#include <stdlib.h>
#include <string.h>
#include "firmware/message/message.h"
#include "proto/gnomon/v1/host.pb-c.h"
#include "proto/gnomon/v1/sample.pb-c.h"

#define SECOND_US    ((uint64_t)1000000)
#define SLOW_POLL_US (5 * SECOND_US)
#define TIMEOUT_US   (3 * SECOND_US)

struct gn_ingest;

/* One thing that is asked for again and again. */
struct poll {
	struct gn_ingest *ingest;
	struct gn_peer *peer;
	const char *method;
	uint64_t every_us; /* 0: every period */
	void (*take)(struct gn_ingest *ingest, const ProtobufCMessage *reply);
	uint64_t asked_us; /* monotonic */
	uint32_t epoch;    /* of the peer, when last asked */
	bool waiting;
};

enum { N_POLLS = 8 };

struct gn_ingest {
	struct gn_brain *brain;
	struct gn_view *view;
	struct gn_ingest_hooks hooks;
	struct gn_channel_subscriber *samples;
	struct gn_channel_subscriber *guests; /* NULL: not configured */
	struct poll polls[N_POLLS];
};

/* ---- answers ------------------------------------------------------------------------ */

static void take_stats(struct gn_ingest *ingest, const ProtobufCMessage *reply)
{
	gn_brain_host_stats(ingest->brain, (const Gnomon__V1__HostStats *)reply, gn_time_now());
	gn_view_set_stats(ingest->view, (const Gnomon__V1__HostStats *)reply);
}

static void take_host(struct gn_ingest *ingest, const ProtobufCMessage *reply)
{
	gn_brain_host(ingest->brain, (const Gnomon__V1__HostInfo *)reply);
}

static void take_host_vms(struct gn_ingest *ingest, const ProtobufCMessage *reply)
{
	gn_brain_host_vms(ingest->brain, (const Gnomon__V1__HostVmList *)reply);
}

static void take_ports(struct gn_ingest *ingest, const ProtobufCMessage *reply)
{
	gn_view_set_ports(ingest->view, (const Gnomon__V1__PortList *)reply);
}

static void take_volumes(struct gn_ingest *ingest, const ProtobufCMessage *reply)
{
	gn_view_set_volumes(ingest->view, (const Gnomon__V1__VolumeList *)reply);
	if (ingest->hooks.listed && ingest->view->ports)
		ingest->hooks.listed(ingest->hooks.context);
}

static void take_mirrors(struct gn_ingest *ingest, const ProtobufCMessage *reply)
{
	gn_view_set_mirrors(ingest->view, (const Gnomon__V1__MirrorList *)reply);
}

static void take_meters(struct gn_ingest *ingest, const ProtobufCMessage *reply)
{
	gn_brain_meters(ingest->brain, (const Gnomon__V1__MeterList *)reply);
}

static void take_status(struct gn_ingest *ingest, const ProtobufCMessage *reply)
{
	gn_view_set_status(ingest->view, (const Gnomon__V1__DataplaneStatus *)reply);
}

static void on_answer(void *context, const struct gn_status *status, const ProtobufCMessage *reply)
{
	struct poll *poll = context;

	poll->waiting = false;
	if (reply)
		poll->take(poll->ingest, reply);
	/* What failed is not asked for less often; the peer keeps the reason. */
}

static void on_samples(void *context, const char *topic, const ProtobufCMessage *message)
{
	struct gn_ingest *ingest = context;

	gn_brain_samples(ingest->brain, (const Gnomon__V1__SampleBatch *)message, gn_time_now());
}

static void on_guests(void *context, const char *topic, const ProtobufCMessage *message)
{
	struct gn_ingest *ingest = context;

	gn_brain_guests(ingest->brain, (const Gnomon__V1__SampleBatch *)message, gn_time_now());
}

/* ---- turns ---------------------------------------------------------------------------- */

static bool is_due(const struct poll *poll, struct gn_time now)
{
	if (poll->waiting)
		return false;
	if (!poll->asked_us || poll->epoch != gn_peer_epoch(poll->peer))
		return true;
	return now.monotonic_us - poll->asked_us >= poll->every_us;
}

void gn_ingest_tick(struct gn_ingest *ingest, struct gn_time now)
{
	const Gnomon__V1__Empty empty = GNOMON__V1__EMPTY__INIT;
	unsigned i;

	for (i = 0; i < N_POLLS; i++) {
		struct poll *poll = &ingest->polls[i];

		if (!is_due(poll, now))
			continue;
		poll->waiting = true;
		poll->asked_us = now.monotonic_us;
		poll->epoch = gn_peer_epoch(poll->peer);
		gn_peer_call(poll->peer, poll->method, &empty.base, TIMEOUT_US, on_answer, poll);
	}
}

static int subscribe(struct gn_ingest *ingest, const char *url, gn_channel_event *event,
                     struct gn_channel_subscriber **out, struct gn_status *status)
{
	return gn_channel_subscriber_create(url, NULL, "samples",
	                                    &gnomon__v1__sample_batch__descriptor, event, ingest,
	                                    out, status);
}

int gn_ingest_create(struct gn_brain *brain, struct gn_peer *shim, struct gn_peer *dataplane,
                     struct gn_view *view, const char *samples_url, const char *guests_url,
                     const struct gn_ingest_hooks *hooks, struct gn_ingest **out,
                     struct gn_status *status)
{
	const struct poll polls[N_POLLS] = {
	        {.peer = shim, .method = "GetHost", .every_us = SLOW_POLL_US, .take = take_host},
	        {.peer = shim,
	         .method = "ListHostVms",
	         .every_us = SLOW_POLL_US,
	         .take = take_host_vms},
	        {.peer = shim, .method = "GetHostStats", .take = take_stats},
	        {.peer = dataplane, .method = "GetDataplaneStatus", .take = take_status},
	        {.peer = dataplane, .method = "ListPorts", .take = take_ports},
	        {.peer = dataplane, .method = "ListVolumes", .take = take_volumes},
	        {.peer = dataplane, .method = "ListMirrors", .take = take_mirrors},
	        {.peer = dataplane, .method = "ListMeters", .take = take_meters},
	};
	struct gn_ingest *ingest = gn_message_alloc(sizeof *ingest);
	unsigned i;
	int error;

	ingest->brain = brain;
	ingest->view = view;
	ingest->hooks = *hooks;
	memcpy(ingest->polls, polls, sizeof polls);
	for (i = 0; i < N_POLLS; i++)
		ingest->polls[i].ingest = ingest;
	error = subscribe(ingest, samples_url, on_samples, &ingest->samples, status);
	if (!error && guests_url)
		error = subscribe(ingest, guests_url, on_guests, &ingest->guests, status);
	if (error) {
		gn_ingest_destroy(ingest);
		return error;
	}
	*out = ingest;
	return 0;
}

void gn_ingest_destroy(struct gn_ingest *ingest)
{
	if (!ingest)
		return;
	gn_channel_subscriber_destroy(ingest->samples);
	gn_channel_subscriber_destroy(ingest->guests);
	free(ingest);
}

unsigned gn_ingest_fds(const struct gn_ingest *ingest, int fds[GN_INGEST_MAX_FDS])
{
	unsigned n = 0;

	fds[n++] = gn_channel_subscriber_fd(ingest->samples);
	if (ingest->guests)
		fds[n++] = gn_channel_subscriber_fd(ingest->guests);
	return n;
}

void gn_ingest_process(struct gn_ingest *ingest)
{
	gn_channel_subscriber_process(ingest->samples);
	if (ingest->guests)
		gn_channel_subscriber_process(ingest->guests);
}
